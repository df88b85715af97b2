//! Whatever the texts, splits, interleavings and guards: the client has the masked whole.

use std::collections::BTreeMap;

use pointsman_wire::release::{Release, ReleaseLimits, Shape};
use pointsman_wire::sse::{Decoder, Event};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value as Json, json};

use crate::client::Client;
use crate::guards::{Bench, Guard, Manner};

const SECRET: &str = "sk-Ünïq-41\u{1f511}1";
const MASK: &str = "[\"gone\"\n]";

/// Fragments of one field of one choice.
#[derive(Clone, Debug)]
struct Source {
    choice: u64,
    field: Field,
    fragments: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Content,
    Reasoning,
    Call(u64),
}

fn chunk(choice: u64, delta: &Json) -> String {
    json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": "f",
        "choices": [{"index": choice, "delta": delta, "finish_reason": null}]})
    .to_string()
}

fn delta(field: Field, text: &str) -> Json {
    match field {
        Field::Content => json!({"content": text}),
        Field::Reasoning => json!({"reasoning_content": text}),
        Field::Call(index) => {
            json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
        }
    }
}

/// Cuts a text at sampled characters.
fn cut(text: &str, cuts: &[Index]) -> Vec<String> {
    let borders: Vec<usize> = (0..=text.len())
        .filter(|at| text.is_char_boundary(*at))
        .collect();
    let mut at: Vec<usize> = cuts
        .iter()
        .map(|cut| borders[cut.index(borders.len())])
        .collect();
    at.extend([0, text.len()]);
    at.sort_unstable();
    at.windows(2)
        .map(|pair| text[pair[0]..pair[1]].to_owned())
        .collect()
}

fn plain_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(SECRET.to_owned()),
        Just("sk-Ü".to_owned()),
        ".{0,6}",
        Just("sk-Ünïq-41".to_owned())
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn arguments() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        plain_text().prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            proptest::collection::btree_map(".{0,4}", inner, 0..3)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// JSON text with characters escaped at will, as providers do.
fn spell(json: &Json, ascii: bool) -> String {
    if !ascii {
        return json.to_string();
    }
    let mut out = String::new();
    for character in json.to_string().chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

fn masked(text: &str) -> String {
    text.replace(SECRET, MASK)
}

fn masked_json(json: &Json) -> Json {
    match json {
        Json::String(text) => masked(text).into(),
        Json::Array(items) => items.iter().map(masked_json).collect(),
        Json::Object(members) => members
            .iter()
            .map(|(key, value)| (masked(key), masked_json(value)))
            .collect(),
        other => other.clone(),
    }
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![Just(Manner::Pass), Just(Manner::Lag), Just(Manner::HoldAll)]
}

/// Merges sources in a sampled order that keeps each one's own.
fn interleave(mut sources: Vec<Source>, order: &[Index]) -> Vec<(u64, Field, String)> {
    let mut merged = Vec::new();
    let mut turn = 0;
    while !sources.is_empty() {
        let pick = order.get(turn).map_or(0, |pick| pick.index(sources.len()));
        turn += 1;
        let source = &mut sources[pick];
        if source.fragments.is_empty() {
            sources.remove(pick);
            continue;
        }
        let fragment = source.fragments.remove(0);
        merged.push((source.choice, source.field, fragment));
    }
    merged
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_client_has_the_masked_whole(
        texts in proptest::collection::vec((0u64..3, any::<bool>(), plain_text(), proptest::collection::vec(any::<Index>(), 0..12)), 1..4),
        calls in proptest::collection::vec((0u64..3, arguments(), any::<bool>(), proptest::collection::vec(any::<Index>(), 0..20)), 0..4),
        order in proptest::collection::vec(any::<Index>(), 0..120),
        before in manner(),
        after in manner(),
    ) {
        let mut sources = Vec::new();
        let mut wanted: BTreeMap<(u64, Field), String> = BTreeMap::new();
        for (choice, is_reasoning, text, cuts) in texts {
            let field = if is_reasoning { Field::Reasoning } else { Field::Content };
            if wanted.insert((choice, field), masked(&text)).is_none() {
                sources.push(Source { choice, field, fragments: cut(&text, &cuts) });
            } else {
                wanted.insert((choice, field), String::new());
                sources.retain(|source| (source.choice, source.field) != (choice, field));
            }
        }
        let mut json: BTreeMap<(u64, u64), Json> = BTreeMap::new();
        for (index, (choice, value, ascii, cuts)) in (0u64..).zip(calls) {
            json.insert((choice, index), masked_json(&value));
            sources.push(Source { choice, field: Field::Call(index), fragments: cut(&spell(&value, ascii), &cuts) });
        }
        let choices: std::collections::BTreeSet<u64> = sources.iter().map(|source| source.choice).collect();
        let guards = vec![Guard::new(before), Guard::mask(SECRET, MASK), Guard::new(after)];
        let mut bench = Bench::stream(guards);
        for (choice, field, text) in interleave(sources, &order) {
            bench.event(&chunk(choice, &delta(field, &text)));
            prop_assert!(!bench.text().contains(SECRET));
        }
        for choice in &choices {
            let end = json!({"id": "c1", "object": "chat.completion.chunk", "choices": [{"index": choice, "delta": {}, "finish_reason": "stop"}]});
            bench.event(&end.to_string());
        }
        bench.event("[DONE]");
        let client = Client::read(&bench.out);
        prop_assert!(client.done && bench.release.summary().done);
        for choice in choices {
            prop_assert_eq!(client.choices[&choice].finish_reason.as_deref(), Some("stop"));
        }
        for ((choice, field), text) in wanted {
            let Some(choice) = client.choices.get(&choice) else { continue };
            let found = if field == Field::Content { &choice.content } else { &choice.reasoning };
            prop_assert_eq!(found, &text);
        }
        for ((choice, index), value) in json {
            let (_, arguments) = &client.choices[&choice].calls[&index];
            let found: Json = serde_json::from_str(arguments).expect("arguments stay JSON");
            prop_assert_eq!(found, value);
        }
        prop_assert!(bench.guards.iter().all(|guard| guard.finished == Some(true)));
        prop_assert!(bench.guards.iter().all(|guard| guard.held.is_empty()), "all channels were closed");
    }

    #[test]
    fn any_event_is_read_or_refused_but_never_panics(
        data in proptest::collection::vec("[\\[\\]{}\":,a0\\\\u]{0,20}", 1..4),
        value in arguments(),
        required in any::<bool>(),
    ) {
        let mut bench = Bench::new(vec![Guard::mask("a", "b")], required, Shape::Stream { client_wants_usage: false });
        bench.event(&chunk(0, &value));
        let arguments = data.concat();
        bench.event(&chunk(0, &delta(Field::Call(0), &arguments)));
        for data in &data {
            bench.event(data);
        }
        bench.release.abort(1);
        bench.drive();
        let mut bench = Bench::new(vec![Guard::mask("a", "b")], required, Shape::Whole);
        bench.body(&json!({"choices": [{"message": value}]}).to_string());
        let mut bench = Bench::new(vec![Guard::mask("a", "b")], required, Shape::Whole);
        bench.body(&data.concat());
    }
}

#[test]
fn a_secret_split_at_every_byte_never_leaves() {
    // Three choices in every chunk, text and four calls each; each field is split at its own place.
    let arguments = format!(
        "{{\"a\":\"x {} y\",\"b\":[\"{}\"]}}",
        spell(&json!(SECRET), true).trim_matches('"'),
        SECRET
            .chars()
            .map(|c| c
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|u| format!("\\u{u:04X}"))
                .collect::<String>())
            .collect::<String>()
    );
    let text = format!("before {SECRET} after");
    let borders = |text: &str| -> Vec<usize> {
        (0..=text.len())
            .filter(|at| text.is_char_boundary(*at))
            .collect()
    };
    let (text_borders, arguments_borders) = (borders(&text), borders(&arguments));
    for first in &arguments_borders {
        let split = |text: &str, at: usize| [text[..at].to_owned(), text[at..].to_owned()];
        let mut bench = Bench::stream(vec![Guard::mask(SECRET, MASK)]);
        for half in 0..2 {
            let choices: Vec<Json> = (0..3u64)
                .map(|choice| {
                    let text_at = text_borders[(first + choice as usize * 3) % text_borders.len()];
                    let calls: Vec<Json> = (0..4u64)
                        .map(|call| {
                            let at = (first + call as usize * 5) % arguments.len();
                            json!({"index": call, "function": {"arguments": split(&arguments, at)[half]}})
                        })
                        .collect();
                    json!({"index": choice, "delta": {"content": split(&text, text_at)[half], "tool_calls": calls}})
                })
                .collect();
            bench
                .event(&json!({"object": "chat.completion.chunk", "choices": choices}).to_string());
        }
        bench.event("[DONE]");
        assert_clean(&bench, &text, &arguments);
    }
    // One character a chunk.
    let mut bench = Bench::stream(vec![Guard::mask(SECRET, MASK), Guard::new(Manner::Pass)]);
    let steps = text.chars().count().max(arguments.chars().count());
    for step in 0..steps {
        let at = |text: &str| text.chars().nth(step).map(String::from).unwrap_or_default();
        let calls: Vec<Json> = (0..4)
            .map(|call| json!({"index": call, "function": {"arguments": at(&arguments)}}))
            .collect();
        for choice in 0..3 {
            bench.event(&chunk(
                choice,
                &json!({"content": at(&text), "tool_calls": calls}),
            ));
        }
    }
    bench.event("[DONE]");
    assert_clean(&bench, &text, &arguments);
}

fn assert_clean(bench: &Bench, text: &str, arguments: &str) {
    let client = Client::read(&bench.out);
    let wanted = masked_json(&serde_json::from_str(arguments).expect("JSON"));
    assert_eq!(client.choices.len(), 3);
    for choice in client.choices.values() {
        assert_eq!(choice.content, masked(text));
        assert_eq!(choice.calls.len(), 4);
        for (_, arguments) in choice.calls.values() {
            assert_eq!(
                serde_json::from_str::<Json>(arguments).expect("JSON"),
                wanted
            );
        }
    }
}

#[test]
fn a_number_whose_end_is_not_known_does_not_follow_the_cut_of_its_choice() {
    let cut = Manner::CutAt {
        word: "stop".to_owned(),
        all: false,
        refusal: false,
    };
    let mut bench = Bench::stream(vec![Guard::new(cut)]);
    bench.event(&chunk(0, &delta(Field::Call(0), "38")));
    bench.event(&chunk(0, &delta(Field::Content, "stop")));
    bench.event("[DONE]");
    let client = Client::read(&bench.out);
    let choice = &client.choices[&0];
    assert_eq!(choice.finish_reason.as_deref(), Some("content_filter"));
    assert!(!bench.text().contains("38"), "{}", bench.text());
}

const RECORDED: [(&str, &[u8]); 4] = [
    ("openai-text", include_bytes!("../data/openai-text.sse")),
    ("openai-tools", include_bytes!("../data/openai-tools.sse")),
    (
        "openrouter-reasoning",
        include_bytes!("../data/openrouter-reasoning.sse"),
    ),
    (
        "mistral-thinking",
        include_bytes!("../data/mistral-thinking.sse"),
    ),
];

#[test]
fn recorded_streams_without_guards_pass_byte_for_byte() {
    for (name, stream) in RECORDED {
        let mut bench = Bench::stream(Vec::new());
        bench.feed(stream);
        assert_eq!(bench.out, stream, "{name}");
        let summary = bench.release.summary();
        assert!(
            summary.done && summary.saw_content && !summary.meters.is_empty(),
            "{name}"
        );
        assert!(
            summary.provider_error.is_none() && summary.response_model.is_some(),
            "{name}"
        );
    }
}

#[test]
fn recorded_streams_that_guards_pass_are_byte_for_byte_but_for_comments() {
    for (name, stream) in RECORDED {
        let mut bench = Bench::stream(vec![
            Guard::new(Manner::Pass),
            Guard::mask("\u{0}never", "x"),
        ]);
        bench.feed(stream);
        let wanted = std::str::from_utf8(stream)
            .expect("UTF-8")
            .replace(": OPENROUTER PROCESSING", ":");
        assert_eq!(bench.text(), wanted, "{name}");
    }
}

#[test]
fn recorded_streams_that_guards_delay_say_the_same() {
    for (name, stream) in RECORDED {
        for manner in [Manner::Lag, Manner::HoldAll] {
            let mut bench = Bench::stream(vec![Guard::new(manner)]);
            bench.feed(stream);
            assert_eq!(Client::read(&bench.out), Client::read(stream), "{name}");
        }
    }
}

#[test]
fn a_stream_without_its_end_gets_one() {
    let stream = include_bytes!("../data/compatible-tools.sse");
    let mut bench = Bench::stream(Vec::new());
    bench.feed(stream);
    assert_eq!(
        bench.text(),
        format!("{}\n", std::str::from_utf8(stream).expect("UTF-8"))
    );
}

#[test]
fn events_that_wait_for_their_guards_keep_their_order() {
    // All events first, then the guards: as if the caller had not driven in between.
    let stream = RECORDED[1].1;
    let mut bench = Bench::stream(vec![Guard::new(Manner::Lag)]);
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(stream);
    while let Some(event) = decoder.next_event().expect("small") {
        bench.release.event(event, 0);
    }
    bench.drive();
    assert_eq!(Client::read(&bench.out), Client::read(stream));
    let mut release = Release::new(
        Vec::new(),
        Shape::Stream {
            client_wants_usage: true,
        },
        ReleaseLimits::default(),
    );
    release.event(Event::from_data("[DONE]"), 0);
    assert!(release.output().is_some());
}
