//! Cases, and streams against whole texts.

use pointsman_sdk::testing::{Answer, FakeView, Suite, configured};
use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn cases_hold() {
    Suite::<GuardWords>::new()
        .request_guard()
        .response_guard()
        .run(include_str!("../cases.jsonl"));
}

fn masking() -> &'static GuardWords {
    configured::<GuardWords>(&json!({"lists": [
        {"name": "words", "act": "mask", "placeholder": "<w>",
         "words": ["darn", "project bluebird", "project", "c++", "ärger", "a b c d"]},
        {"name": "patterns", "act": "mask", "placeholder": "<p>",
         "patterns": ["\\bACME-[0-9]{4,6}\\b", "x[a-y]*z", "é+!", "darn it all"]}
    ]}))
}

fn masked(text: &str) -> String {
    let scanner = &masking().scanner;
    let mut masked = text.to_owned();
    for find in finds(scanner, text).into_iter().rev() {
        masked.replace_range(find.start..find.end, scanner.placeholder(find.kind));
    }
    masked
}

fn streamed(text: &str, lengths: &[usize], expires: bool) -> String {
    let mut answer = Answer::new(masking(), &FakeView::user("x"));
    let channel = answer.open("text", "");
    let mut rest = text;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(pointsman_sdk::border_above(rest, *length));
        answer.push(channel, piece);
        if expires {
            answer.expire(&[channel]);
        }
        rest = after;
    }
    answer.close(channel);
    answer.released(channel).to_owned()
}

fn text() -> impl Strategy<Value = String> {
    let pieces = vec![
        "darn",
        "darn it",
        " it all",
        "project",
        " bluebird",
        "  \n",
        " ",
        "c++",
        "C+",
        "ÄRGER",
        "ACME-1234",
        "56",
        "x",
        "abc",
        "z",
        "é",
        "!",
        "_",
        "a b ",
        "c d",
        "日本",
        ".",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(pieces).prop_map(str::to_owned),
        1 => "[a-y]{200,300}",
        1 => "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_stream_in_any_pieces_releases_the_masked_whole(
        text in text(),
        lengths in prop::collection::vec(1_usize..20, 1..6),
    ) {
        prop_assert_eq!(streamed(&text, &lengths, false), masked(&text));
    }

    #[test]
    fn an_expiry_never_lets_a_whole_word_through(before in "[b-w ]{0,8} ", length in 1_usize..5) {
        let released = streamed(&format!("{before}project bluebird, darn"), &[length], true);
        prop_assert!(!released.contains("bluebird") && !released.contains("darn"), "{released:?}");
    }
}

#[test]
fn a_flood_of_beginnings_is_held_within_the_bound() {
    for flood in ["x", "darn", "a b ", "é", "project ", "ACME-1"] {
        let text = flood.repeat(10_000 / flood.len());
        assert_eq!(streamed(&text, &[37], false), masked(&text), "{flood}");
    }
}

#[test]
fn thousands_of_words_are_one_table() {
    let words: Vec<String> = (0..20_000).map(|index| format!("word{index}")).collect();
    let guard = configured::<GuardWords>(
        &json!({"lists": [{"name": "many", "words": words, "act": "label"}]}),
    );
    assert_eq!(finds(&guard.scanner, "word7 word19999 word20000").len(), 2);
}
