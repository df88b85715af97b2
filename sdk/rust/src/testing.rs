//! A native test bench: fake view, pool and host, a stream driver that holds a response guard to the contract, and
//! a runner for `cases.jsonl`. Not compiled into components. Panics are its way to fail a test.

mod answer;
mod cases;
pub(crate) mod fake_import;
mod pool;
mod request;

pub use answer::Answer;
pub use cases::Suite;
pub use fake_import::FakeHost;
pub use pool::FakePool;
pub use request::FakeView;

use pointsman_cases::Scalar;

use crate::plugin::Plugin;
use crate::words::Value;

/// A configured plugin, leaked so that it lives as long as the test, as a component's state does.
///
/// # Panics
/// When the configuration is refused.
#[must_use]
pub fn configured<P: Plugin>(config: &serde_json::Value) -> &'static P {
    let plugin = try_configured::<P>(config);
    assert!(
        plugin.is_ok(),
        "configuration {config} was refused: {:?}",
        plugin.err()
    );
    plugin.expect("asserted above")
}

/// A configured plugin or what the operator would be told.
///
/// # Errors
/// The refusal.
pub fn try_configured<P: Plugin>(config: &serde_json::Value) -> Result<&'static P, String> {
    let plugin = P::configure(crate::glue::parse::<P>(&config.to_string())?)?;
    Ok(Box::leak(Box::new(plugin)))
}

/// A JSON value as the contract's value; objects and null have none.
///
/// # Panics
/// On an object, null or a list of anything but strings.
#[must_use]
pub fn value(json: &serde_json::Value) -> Value {
    let scalar = Scalar::try_from(json.clone());
    assert!(scalar.is_ok(), "{scalar:?}");
    of_scalar(scalar.expect("asserted above"))
}

pub(crate) fn of_scalar(scalar: Scalar) -> Value {
    match scalar {
        Scalar::Text(text) => Value::Text(text),
        Scalar::Texts(texts) => Value::Texts(texts),
        Scalar::Integer(integer) => Value::Integer(integer),
        Scalar::Number(number) => Value::Number(number),
        Scalar::Flag(flag) => Value::Flag(flag),
    }
}

/// A contract value as JSON.
#[must_use]
pub fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Texts(texts) => texts.clone().into(),
        Value::Integer(integer) => (*integer).into(),
        Value::Number(number) => (*number).into(),
        Value::Flag(flag) => (*flag).into(),
    }
}
