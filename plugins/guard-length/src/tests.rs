//! Cases, and answers at their bound.

use pointsman_sdk::testing::{Answer, FakeView, Suite, configured};
use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn cases_hold() {
    Suite::<GuardLength>::new()
        .request_guard()
        .response_guard()
        .run(include_str!("../cases.jsonl"));
}

proptest! {
    #[test]
    fn a_shortened_answer_is_its_longest_beginning_within_the_bound(
        pieces in prop::collection::vec("[a-cé日]{0,6}", 0..8),
        max in 1_usize..24,
    ) {
        let guard = configured::<GuardLength>(&json!({"answer-bytes-max": max, "answer-over": "shorten"}));
        let mut answer = Answer::new(guard, &FakeView::user("x"));
        let channel = answer.open("text", "");
        for piece in &pieces {
            answer.push(channel, piece);
        }
        answer.close(channel);
        let text = pieces.concat();
        let released = answer.released(channel);
        prop_assert!(text.starts_with(released) && released.len() <= max);
        prop_assert!(text.len() <= max && released == text || text.len() > max && released.len() + 3 >= max.min(text.len()));
    }
}

#[test]
fn reasoning_and_tool_calls_are_not_counted() {
    let guard = configured::<GuardLength>(&json!({"answer-bytes-max": 3}));
    let mut answer = Answer::new(guard, &FakeView::user("x"));
    let (reasoning, argument) = (
        answer.open("reasoning", ""),
        answer.open("tool-argument", "/a"),
    );
    let text = answer.open("text", "");
    answer.push_all(&[
        (reasoning, "a long thought"),
        (argument, "a long argument"),
        (text, "abcd"),
    ]);
    assert_eq!(answer.released(reasoning), "a long thought");
    assert_eq!(answer.released(argument), "a long argument");
    assert_eq!(answer.released(text), "abc");
    assert_eq!(
        answer.stopped().map(|reason| reason.code.as_str()),
        Some("length.answer")
    );
}

#[test]
fn bytes_of_one_message_are_those_of_all_its_parts() {
    let guard = configured::<GuardLength>(&json!({"message-bytes-max": 5}));
    let view = |first: &str, second: &str| {
        FakeView::from_chat(&json!({"messages": [
            {"role": "user", "content": [{"type": "text", "text": first}, {"type": "text", "text": second}]},
            {"role": "user", "content": "abcde"}
        ]}))
    };
    assert_eq!(
        guard
            .check(&view("ab", "cde"))
            .map(|checked| format!("{:?}", checked.verdict)),
        Ok("Verdict::Pass".to_owned())
    );
    let denied = guard.check(&view("abc", "def")).expect("a verdict");
    assert!(
        format!("{denied:?}").contains("length.message"),
        "{denied:?}"
    );
}
