//! The provider as its clients meet it: a real socket, byte for byte.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use pointsman_fake_provider::{Options, Provider};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// A provider on a thread of its own; it ends with the test's process.
struct Served {
    address: String,
}

impl Served {
    fn start() -> Self {
        let (told, url) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/recorded");
                let listen = "127.0.0.1:0".parse().expect("an address");
                let provider = Provider::bind(Options {
                    listen,
                    recordings: Some(recordings),
                })
                .await
                .expect("bound");
                told.send(provider.url()).expect("the test waits");
                provider.serve().await;
            });
        });
        let url = url.recv().expect("started");
        Self {
            address: url.trim_start_matches("http://").to_owned(),
        }
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: fake\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
        .expect("sent");
        stream
    }

    fn script(&self, script: &Value) {
        let (status, body) = answer(self.send("PUT", "/_script", "", &script.to_string()));
        assert_eq!(status, 200, "{body}");
    }

    fn chat(&self, fields: Value) -> (u16, String) {
        answer(self.send("POST", "/v1/chat/completions", "", &request(fields)))
    }

    /// The data of every event.
    fn stream(&self, mut fields: Value) -> Vec<String> {
        fields["stream"] = json!(true);
        let (status, body) = self.chat(fields);
        assert_eq!(status, 200, "{body}");
        events(&body)
    }

    fn ledger(&self, query: &str) -> Value {
        let (_, body) = answer(self.send("GET", &format!("/_ledger{query}"), "", ""));
        serde_json::from_str(&body).expect("JSON")
    }

    fn row(&self, index: usize) -> Value {
        self.ledger("?bodies=true")["requests"][index].clone()
    }
}

fn request(fields: Value) -> String {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi there"}]});
    for (name, value) in fields.as_object().expect("fields") {
        body[name] = value.clone();
    }
    body.to_string()
}

/// Everything until the connection ends, however it ends.
fn bytes(mut stream: TcpStream) -> (Vec<u8>, Option<std::io::ErrorKind>) {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (all, None),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) => return (all, Some(error.kind())),
        }
    }
}

fn answer(stream: TcpStream) -> (u16, String) {
    let (bytes, broken) = bytes(stream);
    assert_eq!(broken, None);
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    (
        status,
        if chunked {
            unchunk(body)
        } else {
            body.to_owned()
        },
    )
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

fn events(body: &str) -> Vec<String> {
    body.split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .map(str::to_owned)
        .collect()
}

fn contents(events: &[String]) -> Vec<String> {
    let chunks = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok());
    chunks
        .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn deltas_leave_exactly_and_the_usage_is_counted() {
    let provider = Served::start();
    provider.script(&json!({"answers": [{"deltas": ["a@", "b", ".io"]}]}));
    let events = provider.stream(json!({"stream_options": {"include_usage": true}}));
    assert_eq!(contents(&events), ["", "a@", "b", ".io"]);
    assert_eq!(events.last().expect("an end"), "[DONE]");
    let last: Value = serde_json::from_str(&events[events.len() - 2]).expect("JSON");
    assert_eq!(last["choices"], json!([]));
    let row = provider.row(0);
    assert_eq!(last["usage"], row["reported_usage"]);
    assert_eq!(last["usage"]["completion_tokens"], row["completion_tokens"]);
    // Three and three, one for the role, two for the text.
    assert_eq!(row["prompt_tokens"], 9);
    assert_eq!(row["outcome"], "complete");
}

#[test]
fn a_whole_answer_says_the_same_and_ends_at_max_tokens() {
    let provider = Served::start();
    let (_, body) = provider.chat(json!({"max_tokens": 3, "n": 2}));
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["choices"][1]["finish_reason"], "length");
    assert_eq!(body["choices"][1]["message"]["content"], "The capital of");
    assert_eq!(body["usage"]["completion_tokens"], 6);
    assert_eq!(provider.row(0)["completion_tokens"], 6);
    assert_eq!(provider.row(0)["tokens_max"], 3);
}

#[test]
fn a_required_tool_call_has_arguments_that_its_schema_allows() {
    let provider = Served::start();
    let parameters = json!({"type": "object", "required": ["days"], "properties": {"days": {"type": "integer", "minimum": 2}}});
    let tools =
        json!([{"type": "function", "function": {"name": "weather", "parameters": parameters}}]);
    let fields = json!({"tools": tools, "tool_choice": "required"});
    let (_, body) = provider.chat(fields.clone());
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let call = &body["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(
        call["function"],
        json!({"name": "weather", "arguments": "{\"days\":2}"})
    );
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");

    let events = provider.stream(fields);
    let fragments = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .filter_map(|chunk| {
            let call = &chunk["choices"][0]["delta"]["tool_calls"][0];
            Some(call["function"]["arguments"].as_str()?.to_owned())
        });
    assert_eq!(fragments.collect::<String>(), "{\"days\":2}");
}

#[test]
fn answers_go_in_order_by_match_and_count() {
    let provider = Served::start();
    provider.script(&json!({
        "answers": [
            {"match": {"script": "named"}, "text": "named", "always": true},
            {"match": {"body": {"/model": "other"}}, "text": "other"},
            {"times": 2, "text": "twice"},
        ],
        "default": {"status": 503, "headers": {"retry-after": "7"}},
    }));
    let said = |fields| {
        let (status, body) = provider.chat(fields);
        let body: Value = serde_json::from_str(&body).expect("JSON");
        (
            status,
            body["choices"][0]["message"]["content"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    assert_eq!(said(json!({})), (200, "twice".to_owned()));
    assert_eq!(
        said(json!({"metadata": {"x-script": "named"}})),
        (200, "named".to_owned())
    );
    assert_eq!(said(json!({"model": "other"})), (200, "other".to_owned()));
    assert_eq!(said(json!({"model": "other"})), (200, "twice".to_owned()));
    assert_eq!(said(json!({})), (503, String::new()));
    assert_eq!(
        said(json!({"metadata": {"x-script": "named"}})),
        (200, "named".to_owned())
    );
}

#[test]
fn a_misspelt_script_is_refused() {
    let provider = Served::start();
    let (status, body) = answer(provider.send(
        "PUT",
        "/_script",
        "",
        r#"{"answers": [{"falt": {"kind": "close"}}]}"#,
    ));
    assert_eq!(status, 400);
    assert!(body.contains("falt"), "{body}");
    let (status, body) = answer(provider.send(
        "PUT",
        "/_script",
        "",
        r#"{"answers": [{"raw": [{"base64": "?"}]}]}"#,
    ));
    assert_eq!(status, 400);
    assert!(body.contains("base64"), "{body}");
}

#[test]
fn faults_break_the_connection_where_the_script_says() {
    let provider = Served::start();
    let broken = |fault: Value| {
        provider.script(&json!({"answers": [{"deltas": ["one", "two", "three"], "fault": fault}]}));
        let body = request(json!({"stream": true}));
        let (bytes, error) = bytes(provider.send("POST", "/v1/chat/completions", "", &body));
        (String::from_utf8_lossy(&bytes).into_owned(), error)
    };
    assert_eq!(broken(json!({"kind": "close"})), (String::new(), None));
    let (text, error) = broken(json!({"kind": "close", "after-chunks": 2}));
    assert!(
        text.contains("one") && !text.contains("two") && !text.ends_with("0\r\n\r\n"),
        "{text}"
    );
    assert_eq!(error, None);
    let (text, error) = broken(json!({"kind": "reset", "after-chunks": 3}));
    assert!(text.contains("two") && !text.contains("three"), "{text}");
    assert_eq!(error, Some(std::io::ErrorKind::ConnectionReset));
    assert_eq!(
        broken(json!({"kind": "reset"})),
        (String::new(), Some(std::io::ErrorKind::ConnectionReset))
    );
    let (text, _) = broken(json!({"kind": "bad-framing", "after-chunks": 2}));
    assert!(
        text.contains("one") && text.ends_with("not a chunk size\r\nnor data\r\n"),
        "{text}"
    );
    let (text, error) = broken(json!({"kind": "error-event", "after-chunks": 2}));
    assert!(
        text.contains("one") && text.contains("overloaded") && !text.contains("[DONE]"),
        "{text}"
    );
    assert_eq!(error, None);
    let (text, _) = broken(json!({"kind": "malformed-event", "after-chunks": 2}));
    assert!(
        text.contains("conte\n\n") && text.contains("three") && text.contains("[DONE]"),
        "{text}"
    );
    let ledger = provider.ledger("");
    assert_eq!(ledger["totals"]["faulted"], 6, "{ledger}");
    assert_eq!(ledger["requests"][2]["fault"], "reset");
    assert_eq!(ledger["totals"]["complete"], 1);
}

#[test]
fn a_client_that_leaves_is_seen_and_only_what_was_sent_is_counted() {
    let provider = Served::start();
    provider.script(&json!({"answers": [
        {"deltas": ["one", " two", " three"], "fault": {"kind": "stall", "after-chunks": 3}},
        {"deltas": ["again"], "fault": {"kind": "endless"}},
        {"fault": {"kind": "stall"}},
    ]}));
    let streaming = request(json!({"stream": true, "max_tokens": 50}));
    let headers = "x-request-id: abc\r\n";
    let mut stalled = provider.send("POST", "/v1/chat/completions", headers, &streaming);
    let mut endless = provider.send("POST", "/v1/chat/completions", "", &streaming);
    let silent = provider.send("POST", "/v1/chat/completions", "", &streaming);
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(" two") {
        let mut buffer = [0; 1024];
        let count = stalled.read(&mut buffer).expect("bytes");
        seen.extend_from_slice(&buffer[..count]);
    }
    endless.read_exact(&mut [0; 20_000]).expect("many chunks");
    eventually("three in flight", || {
        provider.ledger("")["totals"]["in_flight"] == 3
    });
    drop((stalled, endless, silent));
    eventually("all gone", || {
        provider.ledger("")["totals"]["client_gone"] == 3
    });
    let row = provider.row(0);
    assert_eq!(row["outcome"], "client-gone");
    assert_eq!(row["completion_tokens"], 2);
    assert_eq!(row["request_id"], "abc");
    assert_eq!(row["tokens_max"], 50);
    assert!(
        row["ended_ms"].as_u64() >= row["headers_ms"].as_u64(),
        "{row}"
    );
    assert_eq!(provider.row(2)["status"], Value::Null);
    answer(provider.send("DELETE", "/_ledger", "", ""));
    assert_eq!(provider.ledger("")["totals"]["requests"], 0);
}

#[test]
fn a_recording_is_replayed_byte_for_byte() {
    let provider = Served::start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/recorded");
    let index = std::fs::read_to_string(folder.join("index.jsonl")).expect("the index");
    let rows = index
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut checked = 0;
    for row in rows.filter(|row| row["endpoint"] == "chat" && row["provider"] == "openai") {
        let id = row["id"].as_str().expect("an id");
        let (status, body) =
            answer(provider.send("POST", "/any", &format!("x-recording: {id}\r\n"), "{}"));
        let recorded = std::fs::read_to_string(folder.join(row["resp"].as_str().expect("a file")))
            .expect("text");
        assert_eq!(
            (u64::from(status), body),
            (row["status"].as_u64().expect("a status"), recorded),
            "{id}"
        );
        checked += 1;
    }
    assert!(checked >= 10, "only {checked} recordings");
    let (status, _) = answer(provider.send("POST", "/any", "x-recording: unknown\r\n", "{}"));
    assert_eq!(status, 404);
}

#[test]
fn raw_bytes_and_small_writes_reach_the_client_as_they_are() {
    let provider = Served::start();
    provider.script(&json!({"answers": [
        {"raw": ["data: a\n", {"base64": "/w=="}, "\n\n"]},
        {"body": {"x": 1}, "split-bytes": 2, "status": 418},
        {"text": "same text", "split-bytes": 1},
        {"text": "same text"},
    ]}));
    let (bytes, _) = bytes(provider.send("POST", "/v1/other", "", "{}"));
    let body = &bytes[bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head")
        + 4..];
    assert_eq!(
        body,
        b"8\r\ndata: a\n\r\n1\r\n\xff\r\n2\r\n\n\n\r\n0\r\n\r\n"
    );
    assert_eq!(provider.chat(json!({})), (418, "{\"x\":1}".to_owned()));
    assert_eq!(provider.row(1)["writes"], 4);
    let events = provider.stream(json!({}));
    assert_eq!(contents(&events).concat(), "same text");
    assert_eq!(
        provider.row(2)["completion_tokens"],
        provider.row(2)["reported_usage"]["completion_tokens"]
    );
    assert_eq!(contents(&provider.stream(json!({}))).concat(), "same text");
}

#[test]
fn unknown_paths_and_broken_bodies_are_refused() {
    let provider = Served::start();
    let (status, body) = answer(provider.send("POST", "/v1/unknown", "", "{}"));
    assert_eq!(status, 404);
    assert!(body.contains("unknown_url"), "{body}");
    assert_eq!(
        answer(provider.send("POST", "/v1/chat/completions", "", "{")).0,
        400
    );
    assert_eq!(
        answer(provider.send("POST", "/v1/chat/completions", "", "{}")).0,
        400
    );
    let (status, body) = answer(provider.send("GET", "/v1/models", "", ""));
    assert_eq!(status, 200);
    assert!(body.contains("gpt-4o-mini"), "{body}");
}
