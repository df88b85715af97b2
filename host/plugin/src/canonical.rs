//! One text for one JSON value, so that equal configurations have equal digests: keys sorted, no spaces.

use serde_json::Value as Json;

/// The canonical text.
pub(crate) fn text(value: &Json) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Json, out: &mut String) {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {
            out.push_str(&value.to_string());
        }
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            // The map's own order depends on a feature that any crate of the build may switch on.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (index, (key, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(&Json::String(key.clone()), out);
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    #[test]
    fn order_and_spaces_do_not_count() {
        let one: Json =
            serde_json::from_str(r#"{"b": [1, {"y": 2.5, "x": null}], "a": "é\n"}"#).expect("json");
        let two = json!({"a": "é\n", "b": [1, {"x": null, "y": 2.5}]});
        assert_eq!(super::text(&one), super::text(&two));
        assert_eq!(
            super::text(&two),
            r#"{"a":"é\n","b":[1,{"x":null,"y":2.5}]}"#
        );
    }
}
