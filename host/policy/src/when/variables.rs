//! The values of the names that a condition uses, and of no others: most conditions look at one label.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::Key;
use cel::{Context, Value};
use pointsman_domain::{RequestView, Value as Given};

use super::names::{Names, Used, same};

/// Binds what `names` asks for.
pub(super) fn bind(
    context: &mut Context<'_, '_>,
    names: &Names,
    view: &RequestView,
    variant: Option<&str>,
) {
    let text = |name: &str| {
        Value::from(
            view.field(name)
                .and_then(Given::as_text)
                .unwrap_or_default(),
        )
    };
    if names.request.any() {
        let fields = view
            .fields
            .iter()
            .map(|(name, value)| (&**name, Source::Given(value)));
        context.add_variable_from_value("request", table(&names.request, fields));
    }
    if names.labels.any() {
        let labels = view
            .labels
            .iter()
            .map(|label| (label.key.as_str(), Source::Given(&label.value)));
        context.add_variable_from_value("labels", table(&names.labels, labels));
    }
    if names.headers.any() {
        let headers = view
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), Source::Text(value)));
        context.add_variable_from_value("headers", table(&names.headers, headers));
    }
    if names.tenant {
        context.add_variable_from_value("tenant", text("tenant"));
    }
    if names.key {
        context.add_variable_from_value("key", text("key"));
    }
    if names.variant {
        context.add_variable_from_value("variant", variant.unwrap_or_default());
    }
}

enum Source<'a> {
    Given(&'a Given),
    Text(&'a str),
}

fn table<'a>(used: &Used, entries: impl Iterator<Item = (&'a str, Source<'a>)>) -> Value {
    let mut table: HashMap<Key, Value> = HashMap::new();
    for (name, source) in entries {
        let asked = used.entries.iter().filter(|written| same(name, written));
        for written in asked {
            table.insert(Key::from(written.as_str()), value(&source));
        }
        if used.whole {
            table.insert(Key::from(name), value(&source));
        }
    }
    Value::from(table)
}

fn value(source: &Source<'_>) -> Value {
    match source {
        Source::Text(text) => Value::from(*text),
        Source::Given(Given::Text(text)) => Value::from(text.as_str()),
        Source::Given(Given::Texts(texts)) => Value::List(Arc::new(
            texts
                .iter()
                .map(|text| Value::from(text.as_str()))
                .collect(),
        )),
        Source::Given(Given::Integer(integer)) => Value::Int(*integer),
        Source::Given(Given::Number(number)) => Value::Float(*number),
        Source::Given(Given::Flag(flag)) => Value::Bool(*flag),
    }
}
