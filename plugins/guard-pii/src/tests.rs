//! From outside: cases, streams in random pieces against the whole text, expiry, bounds.

use pointsman_guard::{Scan as _, finds};
use pointsman_sdk::testing::{Answer, FakeView, Suite, configured};
use pointsman_sdk::{
    Action, Channel, Delta, Edit, GuardStream as _, RequestGuard as _, ResponseGuard as _, Verdict,
};
use proptest::prelude::*;
use serde_json::json;

use super::kind::Kind;
use super::scan::HOLD_BYTES;
use super::{GuardPii, Settings};

#[test]
fn cases_hold() {
    Suite::<GuardPii>::new()
        .request_guard()
        .response_guard()
        .run(include_str!("../cases.jsonl"));
}

fn masking() -> &'static GuardPii {
    configured(&json!({"ip": "mask"}))
}

fn masked(text: &str) -> String {
    let mut masked = text.to_owned();
    let settings = Settings::masking();
    for find in finds(&settings, text).into_iter().rev() {
        masked.replace_range(find.start..find.end, settings.placeholder(find.kind));
    }
    masked
}

/// Pieces of text that end and begin finds in every way.
fn piece() -> impl Strategy<Value = String> {
    let real = prop::sample::select(vec![
        "jane.doe@example.com",
        "ü@bücher.example",
        "4111 1111 1111 1111",
        "5555555555554444",
        "3782-822463-10005",
        "DE89 3704 0044 0532 0130 00",
        "GB29NWBK60161331926819",
        "+46 (0)8 928 571 38",
        "(201) 555-0123",
        "001-518-640-0854x123",
        "phone 467 3395",
        "416 60 039 office",
        "192.168.0.1",
        "10.0.0.0/8",
        "2001:db8::8a2e:370:7334",
        "fe80::1%eth0",
        "::1",
        "514-69-0360",
        "SSN 078051123",
    ]);
    let near = prop::sample::select(vec![
        "4111 1111 1111 1112",
        "jane.doe@",
        "@example.com",
        "version 1.2.3.4",
        "order 12345678901",
        "2024-01-31 12:30",
        "call ",
        "fax: ",
        "card",
        "DE89 3704",
        "1 2 3 4 5 6 7 8 9",
        "(555 ",
        "ext. 5",
        "x12",
        "日本",
        "$",
        "0.",
        "00",
    ]);
    prop_oneof![
        3 => real.prop_map(str::to_owned),
        2 => near.prop_map(str::to_owned),
        3 => prop::sample::select(vec![" ", "", ".", ",", "-", "/", "\n", ": ", "(", ")", "+", "@", "_", "'", "\u{a0}", "a", "7"]).prop_map(str::to_owned),
        1 => "[a-z0-9@.+() :-]{0,12}",
        1 => "[a-z]{60,90}",
        1 => "[0-9]{1,25}",
        1 => "\\PC{0,4}",
    ]
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..10).prop_map(|pieces| pieces.concat())
}

/// Cuts `text` on character borders into pieces of these lengths, in turn.
fn cut<'a>(text: &'a str, lengths: &[usize]) -> Vec<&'a str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(pointsman_sdk::border_above(rest, *length));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_stream_in_any_pieces_releases_the_masked_whole(
        text in text(),
        lengths in prop::collection::vec(1_usize..20, 1..8),
    ) {
        let mut answer = Answer::new(masking(), &FakeView::user("x"));
        let channel = answer.open("text", "");
        for piece in cut(&text, &lengths) {
            answer.push(channel, piece);
        }
        answer.close(channel);
        answer.finish();
        prop_assert_eq!(answer.released(channel), masked(&text));
    }

    #[test]
    fn requests_are_masked_like_answers(text in text()) {
        let checked = masking().check(&FakeView::user(&text)).expect("a verdict");
        let mut edited = text.clone();
        if let Verdict::Edit(edits) = checked.verdict {
            for edit in edits.into_iter().rev() {
                let Edit::Text(edit) = edit else {
                    continue;
                };
                edited.replace_range(edit.start as usize..edit.end as usize, &edit.text);
            }
        }
        prop_assert_eq!(edited, masked(&text));
    }

    #[test]
    fn an_expiry_never_lets_a_whole_find_through(
        secret in prop::sample::select(vec![
            "jane.doe@example.com",
            "4111 1111 1111 1111",
            "5555555555554444",
            "DE89 3704 0044 0532 0130 00",
            "192.168.0.17",
            "514-69-0360",
            "+12015550123",
            "(201) 555-0123",
        ]),
        before in "[bfgkz ]{0,10} ",
        after in "(, [a-z ]{0,10})?",
        expiries in prop::collection::vec(any::<bool>(), 1..8),
    ) {
        let text = format!("{before}{secret}{after}");
        let mut answer = Answer::new(masking(), &FakeView::user("x"));
        let channel = answer.open("text", "");
        for (piece, expires) in cut(&text, &[1]).into_iter().zip(expiries.iter().cycle()) {
            answer.push(channel, piece);
            if *expires {
                answer.expire(&[channel]);
            }
        }
        answer.close(channel);
        let released = answer.released(channel);
        prop_assert!(!released.contains(secret), "{released:?}");
        prop_assert!(released.ends_with(&after) && released.starts_with(&before), "{released:?}");
    }

    #[test]
    fn finds_lie_on_character_borders_in_order(text in "\\PC{0,200}") {
        let mut last = 0;
        for find in finds(&Settings::masking(), &text) {
            prop_assert!(last <= find.start && find.start < find.end);
            prop_assert!(text.is_char_boundary(find.start) && text.is_char_boundary(find.end));
            last = find.end;
        }
    }
}

#[test]
fn a_secret_split_at_every_byte_of_arguments_is_never_released() {
    for secret in ["jane.doe@example.com", "4111111111111111"] {
        for at in 1..secret.len() {
            let mut answer = Answer::new(masking(), &FakeView::user("x"));
            let channel = answer.open("tool-argument", "/to");
            answer.push(channel, &secret[..at]);
            answer.push(channel, &secret[at..]);
            answer.close(channel);
            let released = answer.released(channel);
            assert!(
                released.starts_with('[') && released.ends_with(']'),
                "{released}"
            );
        }
    }
}

#[test]
fn clean_text_flows_at_once() {
    let mut answer = Answer::new(masking(), &FakeView::user("x"));
    let channel = answer.open("text", "");
    assert_eq!(
        answer.push(channel, "The answer is 42, and "),
        "The answer is 42, and "
    );
    assert_eq!(
        answer.push(channel, "that"),
        "",
        "a word may still become an address"
    );
    assert_eq!(answer.push(channel, " is it. "), "that is it. ");
}

#[test]
fn floods_are_held_within_the_bound_and_cost_little() {
    for flood in [
        "a", "a.", "9", "9 ", "9.", "a@", ":", "1:", "(", "+1", "é", "DE12", "a9",
    ] {
        let text = flood.repeat(40_000 / flood.len());
        let mut answer = Answer::new(masking(), &FakeView::user("x"));
        let channel = answer.open("text", "");
        for piece in cut(&text, &[37]) {
            answer.push(channel, piece);
            assert!(answer.held(channel).len() <= HOLD_BYTES);
        }
        answer.close(channel);
        assert_eq!(answer.released(channel), masked(&text), "{flood}");
    }
}

#[test]
fn a_domain_without_end_is_one_find() {
    let text = format!("x@{}.com y", "long.".repeat(300));
    let mut answer = Answer::new(masking(), &FakeView::user("x"));
    let channel = answer.open("text", "");
    for piece in cut(&text, &[50]) {
        answer.push(channel, piece);
    }
    answer.close(channel);
    assert_eq!(answer.released(channel), "[EMAIL] y");
    assert_eq!(masked(&text), "[EMAIL] y");
}

#[test]
fn an_address_behind_a_flood_of_letters_is_found() {
    let text = format!("{}jane@example.com", "x".repeat(500));
    let released = masked(&text);
    assert!(
        released.ends_with("[EMAIL]") && !released.contains("jane"),
        "{released}"
    );
}

#[test]
fn channels_do_not_see_each_other() {
    let mut answer = Answer::new(masking(), &FakeView::user("x"));
    let text = answer.open("text", "");
    let argument = answer.open("tool-argument", "/card");
    answer.push_all(&[
        (text, "4111 1111 "),
        (argument, "jane@"),
        (text, "1111 1111"),
    ]);
    answer.push_all(&[(argument, "b.io")]);
    answer.close(text);
    answer.close(argument);
    assert_eq!(answer.released(text), "[CARD]");
    assert_eq!(answer.released(argument), "[EMAIL]");
}

#[test]
fn a_choice_that_was_cut_gets_nothing_more_and_others_go_on() {
    let plugin = configured::<GuardPii>(&json!({"email": "deny"}));
    let mut stream = plugin.start(&FakeView::user("x"));
    for choice in [0, 1] {
        stream.open(choice, channel(choice)).expect("opens");
    }
    let mut push = |channel: u32, text: &str| {
        let delta = Delta {
            channel,
            text: text.to_owned(),
        };
        stream.push(vec![delta]).expect("pushes")
    };
    let actions = push(0, "see a@b.io ");
    assert!(
        matches!(actions.last(), Some(Action::Cut(stop)) if stop.choice == Some(0) && stop.reason.code == "pii.email"),
        "{actions:?}"
    );
    assert_eq!(push(0, "more "), Vec::new());
    assert_eq!(push(1, "fine "), vec![Action::pass(1, 5)]);
}

#[test]
fn a_channel_that_was_never_opened_is_an_error() {
    let mut stream = masking().start(&FakeView::user("x"));
    assert!(stream.close(7).is_err());
}

#[test]
fn doubt_is_masked_where_it_tells_and_released_where_it_does_not() {
    let check = |text: &str, released: &str| {
        let mut answer = Answer::new(masking(), &FakeView::user("x"));
        let channel = answer.open("text", "");
        answer.push(channel, text);
        answer.expire(&[channel]);
        assert_eq!(answer.released(channel), released, "{text}");
    };
    check("ask jane", "ask jane");
    check("ask jane@exam", "ask [EMAIL]");
    check("ask jane@example.com", "ask [EMAIL]");
    check("4111 11", "4111 11");
    check("4111 1111 11", "[CARD]");
    check("192.168.0", "[IP]");
    check("in 2024", "in 2024");
    check("514-69-03", "[US-SSN]");
}

#[test]
fn thousands_of_finds_are_masked_within_the_bounds_on_edits_and_actions() {
    let text = "mail a@b.io now, ".repeat(5000);
    let wanted = "mail [EMAIL] now, ".repeat(5000);
    let checked = masking().check(&FakeView::user(&text)).expect("a verdict");
    let Verdict::Edit(edits) = checked.verdict else {
        unreachable!("{:?}", checked.labels)
    };
    assert_eq!(edits.len(), 1);
    let Edit::Text(edit) = &edits[0] else {
        unreachable!("a text edit")
    };
    let mut edited = text.clone();
    edited.replace_range(edit.start as usize..edit.end as usize, &edit.text);
    assert_eq!(edited, wanted);

    let mut stream = masking().start(&FakeView::user("x"));
    stream.open(0, channel(0)).expect("opens");
    let delta = Delta {
        channel: 0,
        text: text.clone(),
    };
    let actions = stream.push(vec![delta]).expect("pushes");
    assert!(actions.len() < 4096, "{}", actions.len());
    let mut answer = Answer::new(masking(), &FakeView::user("x"));
    let channel = answer.open("text", "");
    answer.push(channel, &text);
    answer.close(channel);
    assert_eq!(answer.released(channel), wanted);
}

fn channel(choice: u32) -> Channel {
    Channel {
        choice,
        item: 0,
        kind: "text".to_owned(),
        path: String::new(),
        attributes: Vec::new(),
    }
}

#[test]
fn reasons_and_labels_hold_no_content() {
    let plugin = configured::<GuardPii>(&json!({"email": "deny"}));
    let checked = plugin
        .check(&FakeView::user("jane.doe@example.com"))
        .expect("a verdict");
    assert!(!format!("{checked:?}").contains("jane"), "{checked:?}");
}

#[test]
fn each_kind_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind.index(), index);
    }
}
