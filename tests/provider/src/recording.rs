//! Recorded exchanges, replayed as they were: status, headers, body. A stream's events leave one by one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderName, StatusCode};
use serde::Deserialize;

use crate::chat::{Reply, Write};

/// The exchanges of one folder.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    folder: PathBuf,
    by_id: HashMap<String, Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    /// Absent: a fixture without an exchange around it.
    status: Option<u16>,
    content_type: Option<String>,
    resp: String,
    #[serde(default)]
    resp_headers: HashMap<String, String>,
}

impl Recordings {
    /// Reads the index; bodies are read when they are asked for.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("index.jsonl");
        let index = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "cannot read {}; --recordings names a folder with index.jsonl",
                path.display()
            )
        })?;
        let mut by_id = HashMap::new();
        for (number, line) in index
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            let entry: Entry = serde_json::from_str(line)
                .with_context(|| format!("{}:{} is no row", path.display(), number + 1))?;
            by_id.insert(entry.id.clone(), entry);
        }
        Ok(Self {
            folder: folder.to_owned(),
            by_id,
        })
    }

    pub(crate) fn reply(&self, id: &str) -> Reply {
        let missing = |message: String| {
            Reply::error(
                StatusCode::NOT_FOUND,
                "no_recording",
                Some("x-recording"),
                &message,
            )
        };
        let Some(entry) = self.by_id.get(id) else {
            return missing(format!("no recording `{id}` among {}", self.by_id.len()));
        };
        let body = match std::fs::read(self.folder.join(&entry.resp)) {
            Ok(body) => Bytes::from(body),
            Err(error) => return missing(format!("cannot read {}: {error}", entry.resp)),
        };
        let event_stream = entry.resp.ends_with(".sse");
        let content_type = if event_stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        let writes = if event_stream {
            events(&body)
        } else {
            vec![Write::mute(body)]
        };
        let status = entry
            .status
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::OK);
        let reply = Reply::new(status, content_type, writes);
        // The framing is that of this connection, not of the recorded one.
        let framing = [
            "content-length",
            "transfer-encoding",
            "connection",
            "content-encoding",
        ];
        let headers = entry
            .resp_headers
            .iter()
            .filter(|(name, _)| !framing.contains(&name.to_lowercase().as_str()));
        let mut reply = reply.with_headers(headers);
        if let Some(value) = entry
            .content_type
            .as_ref()
            .and_then(|value| value.parse().ok())
        {
            reply
                .headers
                .insert(HeaderName::from_static("content-type"), value);
        }
        reply
    }
}

/// One write an event, its empty line included; the bytes are those of the file.
fn events(body: &Bytes) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut rest = body.clone();
    while !rest.is_empty() {
        let end = event_end(&rest).unwrap_or(rest.len());
        writes.push(Write::mute(rest.split_to(end)));
    }
    writes
}

fn event_end(bytes: &[u8]) -> Option<usize> {
    let ends: [&[u8]; 3] = [b"\r\n\r\n", b"\n\n", b"\r\r"];
    let find = |end: &[u8]| {
        bytes
            .windows(end.len())
            .position(|window| window == end)
            .map(|at| at + end.len())
    };
    ends.iter().filter_map(|end| find(end)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_keep_every_byte() {
        let body = Bytes::from_static(b"data: a\n\ndata: b\r\n\r\n: comment\n\ntail");
        let writes = events(&body);
        let joined: Vec<u8> = writes
            .iter()
            .flat_map(|write| write.bytes.to_vec())
            .collect();
        assert_eq!(joined, body);
        assert_eq!(writes.len(), 4);
    }
}
