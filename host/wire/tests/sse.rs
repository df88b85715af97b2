//! Streams are read alike however their bytes arrive.

use bytes::Bytes;
use pointsman_wire::sse::{Decoder, Event, SseError, frame};
use proptest::prelude::*;

const RECORDED: [&[u8]; 4] = [
    include_bytes!("data/openai-text.sse"),
    include_bytes!("data/openai-tools.sse"),
    include_bytes!("data/openrouter-reasoning.sse"),
    include_bytes!("data/mistral-thinking.sse"),
];

fn decode(pieces: &[&[u8]]) -> Vec<Event> {
    let mut decoder = Decoder::new(1 << 20);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(event) = decoder.next_event().expect("within the bound") {
            events.push(event);
        }
    }
    events
}

#[track_caller]
fn check(stream: &str, wanted: &[(Option<&str>, Option<&str>)]) {
    let said = |events: Vec<Event>| -> Vec<(Option<String>, Option<Bytes>)> {
        events
            .into_iter()
            .map(|event| (event.name, event.data))
            .collect()
    };
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(name, data)| {
            (
                name.map(str::to_owned),
                data.map(|data| Bytes::from(data.to_owned())),
            )
        })
        .collect();
    assert_eq!(said(decode(&[stream.as_bytes()])), wanted);
    let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    assert_eq!(said(decode(&bytes)), wanted, "byte by byte");
}

#[test]
fn all_line_endings_end_lines() {
    check(
        "data: a\n\ndata: b\n\n",
        &[(None, Some("a")), (None, Some("b"))],
    );
    check(
        "data: a\r\n\r\ndata: b\r\n\r\n",
        &[(None, Some("a")), (None, Some("b"))],
    );
    check(
        "data: a\r\rdata: b\r\r",
        &[(None, Some("a")), (None, Some("b"))],
    );
    check(
        "data: a\r\n\rdata: b\n\r\n",
        &[(None, Some("a")), (None, Some("b"))],
    );
}

#[test]
fn fields_follow_the_standard() {
    check("\u{feff}data:a\n\n", &[(None, Some("a"))]);
    check("data: a\ndata:  b\ndata\n\n", &[(None, Some("a\n b\n"))]);
    check("event: error\ndata: x\n\n", &[(Some("error"), Some("x"))]);
    check(": hello\n\n", &[(None, None)]);
    check(
        "id: 1\nretry: 5\ndata: x\nnonsense\n\n",
        &[(None, Some("x"))],
    );
    check("data: unfinished\n", &[]);
}

#[test]
fn memory_is_bounded_by_one_event() {
    let mut decoder = Decoder::new(16);
    decoder.push(b"data: 0123456789abcdef");
    assert_eq!(decoder.next_event(), Err(SseError::EventTooLarge(16)));
    let mut decoder = Decoder::new(16);
    decoder.push(b"data: 0123\n\ndata: 0123\n\n");
    assert!(decoder.next_event().expect("small").is_some());
    assert!(decoder.next_event().expect("small").is_some());
    let mut decoder = Decoder::new(16);
    decoder.push(b"data: 0123456789abcdef\n\n");
    assert_eq!(decoder.next_event(), Err(SseError::EventTooLarge(16)));
}

#[test]
fn recorded_streams_split_at_every_byte_give_the_same_events() {
    for stream in RECORDED {
        let whole = decode(&[stream]);
        let raw: Vec<u8> = whole.iter().flat_map(|event| event.raw.to_vec()).collect();
        assert_eq!(raw, stream, "raw events are the stream");
        for at in 0..stream.len() {
            assert_eq!(
                decode(&[&stream[..at], &stream[at..]]),
                whole,
                "split at {at}"
            );
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(decode(&bytes), whole);
    }
}

proptest! {
    #[test]
    fn framed_data_comes_back(data in "[ -~\\n\u{e9}\u{1f600}]*", name in proptest::option::of("[a-z.]{1,8}")) {
        let framed = frame(name.as_deref(), data.as_bytes());
        let events = decode(&[&framed]);
        prop_assert_eq!(events.len(), 1);
        prop_assert_eq!(events[0].name.as_deref(), name.as_deref());
        prop_assert_eq!(events[0].data.as_deref(), Some(data.as_bytes()));
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same_events(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'd'), any::<u8>()], 0..200),
        cuts in proptest::collection::vec(0usize..200, 0..8),
    ) {
        let said = |events: Vec<Event>| -> Vec<_> { events.into_iter().map(|e| (e.name, e.data)).collect() };
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut at = 0;
        for cut in cuts {
            pieces.push(&bytes[at..cut]);
            at = cut;
        }
        pieces.push(&bytes[at..]);
        prop_assert_eq!(said(decode(&pieces)), said(decode(&[&bytes])));
    }
}
