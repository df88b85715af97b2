//! Cases as they are written, and what a failed one says.

use pointsman_domain::Picos;
use proptest::prelude::*;
use serde_json::json;

use super::{Denied, Expect, Outcome, compare, parse};

const EXAMPLE: &str = r#"{"name":"masks e-mail","request":{"dialect":"openai-chat","headers":{},"body":{"model":"auto","messages":[{"role":"user","content":"mail a@b.io"}]}},"inputs":{"pool":{"cloud":{"healthy":false}}},"answer":{"deltas":["write a@","b.io"],"usage":{"input-tokens":9,"output-tokens":5}},"expect":{"labels":{"task":"chat"},"edited":"mail [EMAIL]","plan":["local"],"released":"write [EMAIL]","cost-pico-usd":"480000"}}"#;

fn expect(text: &str) -> Expect {
    serde_json::from_str(text).expect("an expectation")
}

fn outcome() -> Outcome {
    Outcome {
        labels: [
            ("task".to_owned(), json!("chat")),
            ("complexity".to_owned(), json!(1.0)),
        ]
        .into(),
        edited: Some("mail [EMAIL]".to_owned()),
        plan: Some(vec!["local".to_owned()]),
        released: Some("write [EMAIL]".to_owned()),
        cost: Some(Picos(480_000)),
        steps: [("pii-in".to_owned(), "edit".to_owned())].into(),
        ..Outcome::default()
    }
}

#[track_caller]
fn mismatches(text: &str, outcome: &Outcome, wanted: &str) {
    let found: Vec<_> = compare(&expect(text), outcome)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found.join("\n"), wanted);
}

#[test]
fn the_example_is_read_and_holds() {
    let cases = parse("cases.jsonl", EXAMPLE).expect("cases");
    assert_eq!((cases.len(), cases[0].line), (1, 1));
    assert_eq!(cases[0].inputs.pool["cloud"]["healthy"], json!(false));
    assert_eq!(compare(&cases[0].expect, &outcome()), []);
}

#[test]
fn what_came_out_otherwise_is_said() {
    mismatches(
        r#"{"plan":["cloud","local"],"variant":"candidate","labels":{"task":"code","complexity":1},"steps":{"pii-in":"pass"},"cost-pico-usd":"1"}"#,
        &outcome(),
        "labels.task: expected \"code\", found \"chat\"\nsteps.pii-in: expected pass, found edit\nvariant: expected candidate, found nothing\nplan: expected cloud, local, found local\ncost-pico-usd: expected 1, found 480000",
    );
    let unpriced = Outcome {
        unpriced: true,
        ..outcome()
    };
    mismatches(
        r#"{"cost-pico-usd":"480000"}"#,
        &unpriced,
        "cost-pico-usd: expected 480000, found unpriced",
    );
    mismatches(r#"{"cost-pico-usd":"unpriced"}"#, &unpriced, "");
    mismatches(
        "{\"edited\":\"a\\nb\"}",
        &outcome(),
        "edited:\n  expected: \"a\\nb\"\n  found:    \"mail [EMAIL]\"",
    );
}

#[test]
fn an_unmentioned_refusal_fails_a_case() {
    let denied = Outcome {
        denied: Some(Denied {
            code: "pii.card".to_owned(),
            status: Some(403),
        }),
        ..Outcome::default()
    };
    mismatches(
        r#"{"labels":{}}"#,
        &denied,
        "denied: expected nothing, found pii.card",
    );
    mismatches(r#"{"denied":{"code":"pii.card"}}"#, &denied, "");
    mismatches(
        r#"{"denied":{"code":"pii.card","status":451}}"#,
        &denied,
        "denied: expected pii.card (status 451), found pii.card (status 403)",
    );
    let failed = Outcome {
        error: Some("policy_step_failed".to_owned()),
        cut: Some("pii.card".to_owned()),
        ..Outcome::default()
    };
    mismatches(
        "{}",
        &failed,
        "error: expected nothing, found policy_step_failed\ncut: expected nothing, found pii.card",
    );
    mismatches(
        r#"{"denied":{"code":"x"}}"#,
        &outcome(),
        "denied: expected x, found nothing",
    );
}

#[test]
fn what_cannot_be_a_case_is_refused_with_its_line() {
    let case =
        |rest: &str| format!("{EXAMPLE}\n{{\"name\":\"b\",\"request\":{{\"body\":{{}}}},{rest}}}");
    for (text, wanted) in [
        (format!("{EXAMPLE}\n{EXAMPLE}"), "is in line 1 already"),
        (case(r#""expect":{}"#), "expects nothing"),
        (case(r#""expect":{"plam":[]}"#), "did you mean `plan`?"),
        (case(r#""expect":{"released":"x"}"#), "is about an answer"),
        (
            case(r#""answer":{},"expect":{"cost-pico-usd":"1.5"}"#),
            "a whole number in quotes",
        ),
        (
            case(r#""inputs":{"pol":{}},"expect":{"plan":[]}"#),
            "did you mean `pool`?",
        ),
    ] {
        let error = parse("cases.jsonl", &text)
            .expect_err("refused")
            .to_string();
        assert!(
            error.starts_with("cases.jsonl:2:") && error.contains(wanted),
            "{error}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,120}") {
        let _ = parse("c", &text).map_err(|error| error.to_string());
    }
}
