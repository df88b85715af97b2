//! Makes up the arguments of a tool call: the smallest value that its JSON Schema allows, as far as the usual keywords
//! go.

use serde_json::{Map, Value, json};

use crate::limits::SCHEMA_DEPTH_MAX;

/// A value that satisfies the schema.
pub(crate) fn example(schema: &Value) -> Value {
    value(schema, schema, 0)
}

fn value(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > SCHEMA_DEPTH_MAX {
        return Value::Null;
    }
    if let Some(target) = schema["$ref"]
        .as_str()
        .and_then(|name| root.pointer(name.strip_prefix('#')?))
    {
        return value(target, root, depth + 1);
    }
    if let Some(fixed) = schema
        .get("const")
        .or_else(|| schema["enum"].get(0))
        .or_else(|| schema.get("default"))
    {
        return fixed.clone();
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[keyword].get(0) {
            return value(first, root, depth + 1);
        }
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"][0].as_str());
    match kind {
        Some("string") => json!(string(schema)),
        Some("integer") => json!(least(schema).ceil() as i64),
        Some("number") => json!(least(schema)),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("array") => array(schema, root, depth),
        _ => object(schema, root, depth),
    }
}

fn string(schema: &Value) -> String {
    let text = match schema["format"].as_str() {
        Some("date") => "2026-01-02",
        Some("date-time") => "2026-01-02T03:04:05Z",
        Some("email") => "someone@example.com",
        Some("uri") => "https://example.com/",
        _ => "example",
    };
    let shortest = usize::try_from(schema["minLength"].as_u64().unwrap_or(0)).unwrap_or(0);
    let longest =
        usize::try_from(schema["maxLength"].as_u64().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    text.chars()
        .chain(std::iter::repeat('x'))
        .take(text.len().max(shortest).min(longest))
        .collect()
}

fn least(schema: &Value) -> f64 {
    let above = schema["exclusiveMinimum"].as_f64().map(|bound| bound + 1.0);
    let bound = above.or_else(|| schema["minimum"].as_f64());
    let most = schema["maximum"].as_f64().unwrap_or(f64::MAX);
    bound.unwrap_or(1.0).min(most)
}

fn array(schema: &Value, root: &Value, depth: usize) -> Value {
    let shortest = schema["minItems"].as_u64().unwrap_or(1).min(16);
    (0..shortest)
        .map(|_| value(&schema["items"], root, depth + 1))
        .collect()
}

fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let required = schema["required"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut object = Map::new();
    for name in required.iter().filter_map(Value::as_str) {
        object.insert(
            name.to_owned(),
            value(&schema["properties"][name], root, depth + 1),
        );
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: Value, expected: Value) {
        assert_eq!(example(&schema), expected, "{schema}");
    }

    #[test]
    fn required_properties_are_given_and_others_left_out() {
        check(
            json!({"type": "object", "required": ["city"], "properties": {
                "city": {"type": "string"}, "unit": {"enum": ["c", "f"]}}}),
            json!({"city": "example"}),
        );
        check(json!({}), json!({}));
    }

    #[test]
    fn bounds_and_fixed_values_are_kept() {
        check(json!({"enum": ["c", "f"]}), json!("c"));
        check(json!({"const": 7}), json!(7));
        check(json!({"type": "integer", "minimum": 5}), json!(5));
        check(
            json!({"type": "number", "exclusiveMinimum": 1, "maximum": 2}),
            json!(2.0),
        );
        check(
            json!({"type": "string", "minLength": 9}),
            json!("examplexx"),
        );
        check(json!({"type": "string", "maxLength": 2}), json!("ex"));
        check(json!({"type": ["string", "null"]}), json!("example"));
        check(
            json!({"type": "array", "minItems": 2, "items": {"type": "boolean"}}),
            json!([true, true]),
        );
    }

    #[test]
    fn references_are_followed_but_not_for_ever() {
        check(
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "boolean"}}}),
            json!(true),
        );
        check(
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}),
            Value::Null,
        );
    }
}
