//! Cases, and streams against whole texts.

use pointsman_guard::finds;
use pointsman_sdk::testing::{Answer, FakeView, Suite, configured};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::scan::HOLD_BYTES;

#[test]
fn cases_hold() {
    Suite::<GuardSecrets>::new()
        .request_guard()
        .response_guard()
        .run(include_str!("../cases.jsonl"));
}

const SECRETS: &[&str] = &[
    "ghp_R2D2c3pobb8k9L0zX7vQ1wE5tY8uI3oP6aS4",
    "AKIAQ3EGRR5HTZV7K2NW",
    "xoxb-123456789012-a8Kd93hfLq02mZpR7sVtWx1y",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "token = 'a8Kd93hfLq02mZpR7sVt'",
    "password: tr0ub4dor&3x ",
    "https://ada:Zq93kd0sLm@host",
    "-u ada:Zq93kd0sLm ",
    "Authorization: Basic YWRhOlpxOTNrZDBzTG0=",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpQIBAAKCAQEAn6/O8li+SX4m98LLYt/PKSzEmQ++ZBD7Loh9P13f4yQ92EF3yxR5MsXF\n-----END RSA PRIVATE KEY-----",
];

fn masking() -> &'static GuardSecrets {
    configured::<GuardSecrets>(&json!({}))
}

fn masked(text: &str) -> String {
    let scanner = masking().scanner();
    let mut masked = text.to_owned();
    for find in finds(scanner, text).into_iter().rev() {
        masked.replace_range(find.start..find.end, scanner.placeholder(find.kind));
    }
    masked
}

fn piece() -> impl Strategy<Value = String> {
    let near = vec![
        "ghp_",
        "AKIA",
        "sk-proj-",
        "token = ",
        "password=",
        "\"api_key\": \"",
        "://",
        "-u ",
        "Bearer ",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "-----END",
        "-----",
        "eyJhbGciOiJIUzI1NiIsIn.",
        "Q~",
        "日本",
        "a8Kd93hfLq02mZpR7sVt",
        "deadbeef0123456789deadbeef012345",
        "xoxb-12345678",
        " ",
        "\n",
        "'",
        "\"",
        "@",
        ":",
        ".",
        "-",
        "é",
    ];
    prop_oneof![
        3 => prop::sample::select(SECRETS).prop_map(str::to_owned),
        5 => prop::sample::select(near).prop_map(str::to_owned),
        1 => "[A-Za-z0-9_-]{0,40}",
        1 => "[A-Za-z0-9+/]{500,600}",
        1 => "\\PC{0,4}",
    ]
}

/// Feeds `text` in pieces of these lengths and returns what was released.
fn streamed(text: &str, lengths: &[usize], expiries: &[bool]) -> String {
    let mut answer = Answer::new(masking(), &FakeView::user("x"));
    let channel = answer.open("text", "");
    let mut rest = text;
    for (length, expires) in lengths.iter().cycle().zip(expiries.iter().cycle()) {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(pointsman_sdk::border_above(rest, *length));
        answer.push(channel, piece);
        if *expires {
            answer.expire(&[channel]);
        }
        rest = after;
    }
    answer.close(channel);
    answer.released(channel).to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_stream_in_any_pieces_releases_the_masked_whole(
        pieces in prop::collection::vec(piece(), 0..8),
        lengths in prop::collection::vec(1_usize..40, 1..6),
    ) {
        let text = pieces.concat();
        prop_assert_eq!(streamed(&text, &lengths, &[false]), masked(&text));
    }

    #[test]
    fn an_expiry_never_lets_a_whole_secret_through(
        secret in prop::sample::select(&SECRETS[..4]),
        length in 1_usize..9,
        expiries in prop::collection::vec(any::<bool>(), 1..6),
    ) {
        let released = streamed(&format!("see {secret} there"), &[length], &expiries);
        prop_assert!(!released.contains(secret), "{released:?}");
        prop_assert!(released.starts_with("see ") && released.ends_with(" there"), "{released:?}");
    }
}

#[test]
fn a_secret_split_at_every_byte_is_never_released() {
    for secret in SECRETS {
        let whole = masked(secret);
        assert_ne!(whole, *secret);
        for at in 1..secret.len() {
            assert_eq!(
                streamed(secret, &[at, secret.len()], &[false]),
                whole,
                "{secret} at {at}"
            );
        }
    }
}

#[test]
fn floods_are_held_within_the_bound_and_cost_little() {
    for flood in [
        "a",
        "a8",
        "A",
        "-",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ.",
        "://a:",
        "token=",
        "=",
        "'",
        "é",
        "s.",
    ] {
        let text = flood.repeat(20_000 / flood.len());
        let mut answer = Answer::new(masking(), &FakeView::user("x"));
        let channel = answer.open("text", "");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(pointsman_sdk::border_above(rest, 37));
            answer.push(channel, piece);
            assert!(answer.held(channel).len() <= HOLD_BYTES);
            rest = after;
        }
        answer.close(channel);
        assert_eq!(answer.released(channel), masked(&text), "{flood}");
    }
}

#[test]
fn doubt_is_masked_where_it_tells_and_released_where_it_does_not() {
    for (text, released) in [
        ("ask information", "ask information"),
        ("see ghp_R2D2c3pobb8", "see [KEY]"),
        ("token = a8Kd93hf", "token = [ASSIGNED]"),
        ("the token", "the token"),
    ] {
        let mut answer = Answer::new(masking(), &FakeView::user("x"));
        let channel = answer.open("text", "");
        answer.push(channel, text);
        answer.expire(&[channel]);
        assert_eq!(answer.released(channel), released, "{text}");
    }
}

#[test]
fn reasons_and_labels_hold_no_content() {
    let plugin = configured::<GuardSecrets>(&json!({"key": "deny"}));
    let checked = plugin
        .check(&FakeView::user(SECRETS[0]))
        .expect("a verdict");
    assert!(!format!("{checked:?}").contains("R2D2"), "{checked:?}");
}
