//! Whole answers take the same way.

use pointsman_wire::release::Shape;
use serde_json::Value as Json;

use crate::guards::{Bench, Guard, Manner};

const RECORDED: [&str; 3] = [
    include_str!("../data/openai-whole.json"),
    include_str!("../data/deepseek-tools.json"),
    include_str!("../data/mistral-tools.json"),
];

fn through(guards: Vec<Guard>, body: &str) -> (String, Bench) {
    let mut bench = Bench::new(guards, true, Shape::Whole);
    let out = bench.body(body);
    (out, bench)
}

#[test]
fn unchanged_answers_are_byte_for_byte() {
    for body in RECORDED {
        assert_eq!(through(Vec::new(), body).0, body);
        for manner in [Manner::Pass, Manner::Lag, Manner::HoldAll] {
            let (out, bench) = through(vec![Guard::new(manner)], body);
            assert_eq!(out, body);
            let summary = bench.release.summary();
            assert!(
                summary.done
                    && summary.saw_content
                    && !summary.meters.is_empty()
                    && summary.response_model.is_some()
            );
            assert_eq!(bench.guards[0].finished, Some(true));
            assert!(bench.guards[0].held.is_empty());
        }
    }
}

#[test]
fn edits_change_their_strings_alone() {
    let body = "{ \"choices\":[ {\"index\":0,\"logprobs\":null,\"message\":{\"role\":\"assistant\",\"content\":\"my \\u0073ecret\",\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{ \\\"a\\\": \\\"secret\\\", \\\"b\\\":1.0 }\"}}],\"x\":null},\"finish_reason\":\"tool_calls\"}], \"y\":1e3}";
    let (out, bench) = through(vec![Guard::mask("secret", "\"x\"")], body);
    let wanted = body
        .replace("\\u0073ecret", "\\\"x\\\"")
        .replace("\\\"secret\\\"", "\\\"\\\\\\\"x\\\\\\\"\\\"");
    assert_eq!(out, wanted);
    assert_eq!(bench.release.summary().finish_reasons, ["tool_calls"]);
    let json: Json = serde_json::from_str(&out).expect("JSON");
    let arguments = json["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
        .as_str()
        .expect("a string");
    assert_eq!(
        serde_json::from_str::<Json>(arguments).expect("JSON")["a"],
        "\"x\""
    );
}

#[test]
fn a_cut_choice_keeps_what_was_released() {
    let body = r#"{"id":"r","choices":[{"index":0,"message":{"content":"go stop","annotations":["later"]},"finish_reason":"stop"},{"index":1,"message":{"content":"fine"},"finish_reason":"stop"}]}"#;
    let cut = |all| {
        Guard::new(Manner::CutAt {
            word: "stop".to_owned(),
            all,
            refusal: true,
        })
    };
    let (out, bench) = through(vec![cut(true)], &body.replace("\"later\"", ""));
    let json: Json = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["choices"][0]["message"]["content"], "go ");
    assert_eq!(json["choices"][0]["message"]["refusal"], "sorry");
    assert_eq!(json["choices"][1]["finish_reason"], "content_filter");
    assert!(!out.contains("fine") && out.contains("\"id\":\"r\""));
    assert!(
        bench
            .release
            .summary()
            .cut
            .as_ref()
            .is_some_and(|cut| cut.choice.is_none())
    );
    let (out, _) = through(vec![cut(false)], &body.replace("\"later\"", ""));
    assert!(
        out.contains(r#"{"index":1,"message":{"content":"fine"},"finish_reason":"stop"}"#),
        "{out}"
    );
    // Text in a field that no guard reads is denied where guards are required.
    let (out, bench) = through(vec![Guard::new(Manner::Pass)], body);
    assert!(!out.contains("later"), "{out}");
    assert_eq!(
        bench
            .release
            .summary()
            .cut
            .as_ref()
            .expect("cut")
            .reason
            .code,
        "uncovered-kind"
    );
}

#[test]
fn an_answer_cut_before_it_came_says_nothing() {
    let mut bench = Bench::new(vec![Guard::new(Manner::Pass)], true, Shape::Whole);
    bench.release.cut(None, crate::guards::reason(false));
    let out = bench
        .body(r#"{"choices":[{"index":0,"message":{"content":"hello"},"finish_reason":"stop"}]}"#);
    assert_eq!(
        out,
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null},"logprobs":null,"finish_reason":"content_filter"}]}"#
    );
}

#[test]
fn errors_inside_a_200_are_told() {
    let error = |body: &str| {
        through(vec![Guard::new(Manner::Pass)], body)
            .1
            .release
            .summary()
            .provider_error
            .clone()
    };
    assert_eq!(
        error(r#"{"error":{"code":"busy"}}"#).as_deref(),
        Some("busy")
    );
    assert_eq!(error("<html>").as_deref(), Some("malformed answer"));
}
