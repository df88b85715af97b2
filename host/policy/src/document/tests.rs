//! Errors as people read them, and that nothing panics.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::{parse, parse_json, parse_lines};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "read for its errors")]
struct Sheet {
    endpoint: String,
    #[serde(default)]
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its errors")]
struct Row {
    tokens: u32,
}

fn refused(text: &str) -> String {
    parse::<Sheet>("a.toml", text)
        .expect_err("refused")
        .to_string()
}

#[test]
fn a_syntax_error_shows_its_place() {
    insta::assert_snapshot!(refused("endpoint = \"x\"\nrows = [\n{ tokens = 1 ]\n"), @r#"
    a.toml:3:14: invalid inline table element, expected `,`
       |
     3 | { tokens = 1 ]
       |              ^
    "#);
}

#[test]
fn a_wrong_type_shows_the_value() {
    insta::assert_snapshot!(refused("endpoint = \"x\"\n[[rows]]\ntokens = \"many\"\n"), @r#"
    a.toml:3:10: invalid type: string "many", expected u32
       |
     3 | tokens = "many"
       |          ^^^^^^
    "#);
}

#[test]
fn a_missing_key_is_named() {
    insta::assert_snapshot!(refused("rows = []\n"), @r#"
    a.toml:1:1: the key `endpoint` is missing
       |
     1 | rows = []
       | ^
    "#);
}

#[test]
fn a_twice_written_key_is_refused() {
    assert!(refused("endpoint = 'a'\nendpoint = 'b'\n").contains("a.toml:2:1"));
}

#[test]
fn json_errors_point_at_their_line() {
    let error = parse_json::<Sheet>("a.json", "{\n  \"endpoint\": \"x\",\n  \"rowz\": []\n}")
        .expect_err("refused");
    insta::assert_snapshot!(error, @r#"
    a.json:3:4: unknown key `rowz`
       |
     3 |   "rowz": []
       |    ^^^^^
      help: did you mean `rows`? known here: endpoint, rows
    "#);
    let error =
        parse_lines::<Row>("a.jsonl", "{\"tokens\":1}\n\n{\"tokens\":-1}\n").expect_err("refused");
    insta::assert_snapshot!(error, @r#"
    a.jsonl:3:11: invalid value: integer `-1`, expected u32
       |
     3 | {"tokens":-1}
       |           ^^
    "#);
}

#[test]
fn a_diagnostic_carries_span_and_help() {
    use miette::Diagnostic as _;
    let error = parse::<Sheet>("a.toml", "endpont = 'x'").expect_err("refused");
    let labels: Vec<_> = error.labels().expect("labels").collect();
    assert_eq!((labels[0].offset(), labels[0].len()), (0, 7));
    assert!(
        error
            .help()
            .expect("help")
            .to_string()
            .contains("did you mean `endpoint`?")
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        for error in [parse::<Sheet>("t", &text).err(), parse_json::<Sheet>("t", &text).err()] {
            prop_assert!(error.is_none_or(|error| !error.to_string().is_empty()));
        }
    }

    #[test]
    fn no_near_miss_panics(text in "(endpoint|rows|tokens|[\\[\\]{}=,\"'\n #ä€\u{1F600}]|value = |[0-9]){0,60}") {
        let _ = parse::<Sheet>("t", &text).map_err(|error| error.to_string());
        let _ = parse_json::<Value>("t", &text).map_err(|error| error.to_string());
        let _ = parse_lines::<Sheet>("t", &text).map_err(|error| error.to_string());
    }
}
