//! Server-sent events, as any client reads them.

use bytes::BytesMut;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its `event:` field.
    pub name: Option<String>,
    /// Its `data:` lines, joined.
    pub data: String,
}

/// Collects bytes as they come and gives the events that are complete.
#[derive(Debug, Default)]
pub struct Events {
    buffer: BytesMut,
}

impl Events {
    /// Takes bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether bytes of an unfinished event are left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next complete event; comments are none.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            let end = event_end(&self.buffer)?;
            let bytes = self.buffer.split_to(end);
            let text = String::from_utf8_lossy(&bytes);
            if let Some(event) = parse(&text) {
                return Some(event);
            }
        }
    }
}

fn event_end(bytes: &[u8]) -> Option<usize> {
    let ends: [&[u8]; 2] = [b"\n\n", b"\r\n\r\n"];
    let find = |end: &[u8]| {
        bytes
            .windows(end.len())
            .position(|window| window == end)
            .map(|at| at + end.len())
    };
    ends.iter().filter_map(|end| find(end)).min()
}

fn parse(text: &str) -> Option<Event> {
    let mut event = Event::default();
    let mut lines = Vec::new();
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => lines.push(value),
            "event" => event.name = Some(value.to_owned()),
            _ => {}
        }
    }
    if lines.is_empty() {
        return None;
    }
    event.data = lines.join("\n");
    Some(event)
}

/// All complete events of a body.
#[must_use]
pub fn events(body: &[u8]) -> Vec<Event> {
    let mut events = Events::default();
    events.push(body);
    std::iter::from_fn(|| events.next_event()).collect()
}

/// The JSON of a chat stream's events; `[DONE]` is left out.
#[must_use]
pub fn data_of(events: &[Event]) -> Vec<serde_json::Value> {
    events
        .iter()
        .filter_map(|event| serde_json::from_str(&event.data).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_complete_wherever_the_bytes_are_cut() {
        let body = b": hello\n\nevent: a\ndata: 1\ndata: 2\n\ndata: [DONE]\r\n\r\ndata: tail";
        let whole = events(body);
        let expected = [
            Event {
                name: Some("a".to_owned()),
                data: "1\n2".to_owned(),
            },
            Event {
                name: None,
                data: "[DONE]".to_owned(),
            },
        ];
        assert_eq!(whole, expected);
        for cut in 0..body.len() {
            let mut reader = Events::default();
            let mut found = Vec::new();
            for half in [&body[..cut], &body[cut..]] {
                reader.push(half);
                found.extend(std::iter::from_fn(|| reader.next_event()));
            }
            assert_eq!(found, expected, "cut at {cut}");
            assert!(!reader.is_empty());
        }
    }
}
