//! The attributes of plans: which there are, and what is wrong with a plan that a router returned.

use pointsman_domain::plan::Plan;
use pointsman_domain::value::Attribute;

pub(super) const TIMEOUT_MS: &str = "timeout-ms";
pub(super) const FIRST_TOKEN_TIMEOUT_MS: &str = "first-token-timeout-ms";
pub(super) const RETRIES: &str = "retries";
pub(super) const MODEL: &str = "model";
const HEDGE_AFTER_MS: &str = "hedge-after-ms";
pub(super) const DEADLINE_MS: &str = "deadline-ms";
pub(super) const ATTEMPTS_MAX: &str = "attempts-max";

/// Bytes of a router's own words that an error repeats.
const QUOTED_BYTES_MAX: usize = 64;

/// Whether this version can execute the plan as it is written.
///
/// # Errors
/// Names the first attribute that is unknown, not supported, given twice or of a wrong value.
pub fn check(plan: &Plan) -> Result<(), String> {
    attributes(&plan.attributes, |attribute| match attribute.key.as_str() {
        DEADLINE_MS | ATTEMPTS_MAX => at_least(attribute, 1),
        _ => Err(format!("is unknown; write {DEADLINE_MS} or {ATTEMPTS_MAX}")),
    })
    .map_err(|detail| format!("the plan's {detail}"))?;
    for (index, attempt) in plan.attempts.iter().enumerate() {
        attributes(&attempt.attributes, |attribute| {
            match attribute.key.as_str() {
                TIMEOUT_MS | FIRST_TOKEN_TIMEOUT_MS => at_least(attribute, 1),
                RETRIES => at_least(attribute, 0),
                MODEL => named(attribute),
                // A plan that asks for a hedge and gets none would be slower than its router believes.
                HEDGE_AFTER_MS => Err("is not supported by this version; leave it out".to_owned()),
                _ => Err(format!(
                    "is unknown; write {TIMEOUT_MS}, {FIRST_TOKEN_TIMEOUT_MS}, {RETRIES} or {MODEL}"
                )),
            }
        })
        .map_err(|detail| format!("attempt {index} (`{}`): {detail}", clip(&attempt.target)))?;
    }
    Ok(())
}

/// An attribute's whole number, if it is there and not negative.
pub(super) fn integer(attributes: &[Attribute], key: &str) -> Option<u64> {
    let value = &attributes
        .iter()
        .find(|attribute| attribute.key == key)?
        .value;
    u64::try_from(value.as_integer()?).ok()
}

/// An attribute's text, if it is there.
pub(super) fn text<'a>(attributes: &'a [Attribute], key: &str) -> Option<&'a str> {
    attributes
        .iter()
        .find(|attribute| attribute.key == key)?
        .value
        .as_text()
}

fn attributes(
    attributes: &[Attribute],
    allowed: impl Fn(&Attribute) -> Result<(), String>,
) -> Result<(), String> {
    for (index, attribute) in attributes.iter().enumerate() {
        let told = |detail: String| format!("attribute `{}` {detail}", clip(&attribute.key));
        allowed(attribute).map_err(told)?;
        if attributes[..index]
            .iter()
            .any(|earlier| earlier.key == attribute.key)
        {
            return Err(told("is given twice".to_owned()));
        }
    }
    Ok(())
}

fn at_least(attribute: &Attribute, least: i64) -> Result<(), String> {
    match attribute.value.as_integer() {
        Some(value) if value >= least => Ok(()),
        _ => Err(format!("must be a whole number of at least {least}")),
    }
}

fn named(attribute: &Attribute) -> Result<(), String> {
    match attribute.value.as_text() {
        Some(text) if !text.is_empty() => Ok(()),
        _ => Err("must be a model's name".to_owned()),
    }
}

fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(QUOTED_BYTES_MAX)]
}
