//! Cases, schemas, and what a repair may do.

use pointsman_sdk::testing::{Answer, FakeView, Suite, configured};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::repair::repaired;

#[test]
fn cases_hold() {
    Suite::<GuardJson>::new()
        .response_guard()
        .run(include_str!("../cases.jsonl"));
}

fn broken(schema: &Value, value: &Value) -> Option<String> {
    let schema = Schema::new(schema).expect("a schema");
    schema
        .broken(value)
        .map(|broken| format!("{} {}", broken.path, broken.keyword))
}

#[test]
fn each_keyword_holds_and_breaks() {
    for (schema, good, bad, place) in [
        (json!({"type": "integer"}), json!(3.0), json!(3.5), " type"),
        (
            json!({"type": ["string", "null"]}),
            json!(null),
            json!(1),
            " type",
        ),
        (json!({"enum": ["a", 1]}), json!(1.0), json!("b"), " enum"),
        (
            json!({"const": {"a": [1]}}),
            json!({"a": [1.0]}),
            json!({"a": [2]}),
            " enum",
        ),
        (
            json!({"required": ["a"]}),
            json!({"a": 1}),
            json!({"b": 1}),
            "/a required",
        ),
        (
            json!({"properties": {"a": {"type": "string"}}}),
            json!({"a": "x"}),
            json!({"a": 1}),
            "/a type",
        ),
        (
            json!({"properties": {"a": true}, "additionalProperties": false}),
            json!({"a": 1}),
            json!({"b": 1}),
            " additionalProperties",
        ),
        (
            json!({"additionalProperties": {"type": "number"}}),
            json!({"x": 1}),
            json!({"x": "1"}),
            "/* type",
        ),
        (
            json!({"items": {"type": "number"}}),
            json!([1]),
            json!([1, "2"]),
            "/1 type",
        ),
        (
            json!({"prefixItems": [{"type": "string"}], "items": false}),
            json!(["a"]),
            json!(["a", 1]),
            "/1 false",
        ),
        (
            json!({"uniqueItems": true}),
            json!([1, 2]),
            json!([1, 1.0]),
            " uniqueItems",
        ),
        (
            json!({"minItems": 2}),
            json!([1, 2]),
            json!([1]),
            " minItems",
        ),
        (
            json!({"maxProperties": 1}),
            json!({}),
            json!({"a": 1, "b": 2}),
            " maxProperties",
        ),
        (
            json!({"minLength": 2, "maxLength": 3}),
            json!("日本"),
            json!("日本日本"),
            " maxLength",
        ),
        (
            json!({"minimum": 1, "exclusiveMaximum": 2}),
            json!(1),
            json!(2),
            " exclusiveMaximum",
        ),
        (
            json!({"multipleOf": 0.1}),
            json!(0.3),
            json!(0.35),
            " multipleOf",
        ),
        (
            json!({"anyOf": [{"type": "string"}, {"minimum": 5}]}),
            json!(6),
            json!(4),
            " anyOf",
        ),
        (
            json!({"oneOf": [{"minimum": 5}, {"maximum": 7}]}),
            json!(8),
            json!(6),
            " oneOf",
        ),
        (
            json!({"allOf": [{"minimum": 5}, {"maximum": 7}]}),
            json!(6),
            json!(8),
            " maximum",
        ),
        (
            json!({"not": {"type": "string"}}),
            json!(1),
            json!("a"),
            " not",
        ),
        (
            json!({"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}),
            json!({"next": {"next": {}}}),
            json!({"next": {"next": 1}}),
            "/next/next type",
        ),
    ] {
        assert_eq!(broken(&schema, &good), None, "{schema} {good}");
        assert_eq!(
            broken(&schema, &bad).as_deref(),
            Some(place),
            "{schema} {bad}"
        );
    }
}

#[test]
fn a_schema_that_refers_to_itself_for_ever_ends() {
    let schema = json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"});
    assert_eq!(broken(&schema, &json!(1)).as_deref(), Some(" $ref"));
}

#[test]
fn repairs_are_plain() {
    for (text, wanted) in [
        ("```json\n{\"a\": 1}\n```", Some("{\"a\": 1}")),
        ("Sure! Here it is: [1, 2] Enjoy.", Some("[1, 2]")),
        ("{\"a\": [1, 2, ], }", Some("{\"a\": [1, 2]}")),
        (
            "{\"a\": \"two\nlines, }\"}",
            Some("{\"a\": \"two\\nlines, }\"}"),
        ),
        ("{\"a\": 1", None),
        ("{\"a\": 1} or {\"a\": 2}", None),
        ("no JSON at all", None),
        ("{a: 1}", None),
    ] {
        let mended = repaired(text).map(|(mended, _)| mended);
        assert_eq!(mended.as_deref(), wanted, "{text}");
    }
}

#[test]
fn tool_calls_need_no_text_and_flow_at_once() {
    let guard = configured::<GuardJson>(&json!({"schema": {"type": "object"}}));
    let mut answer = Answer::new(guard, &FakeView::user("x"));
    let (text, argument) = (answer.open("text", ""), answer.open("tool-argument", "/a"));
    assert_eq!(answer.push(argument, "value"), "value");
    answer.close(text);
    answer.finish();
    assert_eq!(answer.stopped(), None);
}

#[test]
fn reasons_hold_no_content() {
    let guard =
        configured::<GuardJson>(&json!({"schema": {"additionalProperties": {"type": "number"}}}));
    let mut answer = Answer::new(guard, &FakeView::user("x"));
    let text = answer.open("text", "");
    answer.push(text, "{\"hidden\": \"content\"}");
    answer.close(text);
    let reason = format!("{:?}", answer.stopped().expect("it was cut"));
    assert!(
        !reason.contains("hidden") && !reason.contains("content"),
        "{reason}"
    );
}

proptest! {
    #[test]
    fn what_is_released_is_json(text in "[\\[\\]{},:\"a1 \n\\\\`]{0,24}", length in 1_usize..6) {
        let guard = configured::<GuardJson>(&json!({"schema": true}));
        let mut answer = Answer::new(guard, &FakeView::user("x"));
        let channel = answer.open("text", "");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(pointsman_sdk::border_above(rest, length));
            answer.push(channel, piece);
            rest = after;
        }
        answer.close(channel);
        let released = answer.released(channel);
        if answer.stopped().is_none() {
            prop_assert!(serde_json::from_str::<Value>(released).is_ok(), "{released:?}");
        } else {
            prop_assert_eq!(released, "");
        }
    }
}
