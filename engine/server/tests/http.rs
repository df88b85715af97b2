//! The engine as its clients meet it: the real binary, the real model, a real socket.
//!
//! Needs the model: `cargo xtask model` fetches it, or `POINTSMAN_MODEL` names it.

#![expect(clippy::panic, reason = "a test's helpers fail by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const MODEL: &str = "smollm2-135m-instruct";
const PATIENCE: Duration = Duration::from_secs(60);

struct Engine {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Engine {
    /// Its own process on its own port, ready.
    fn start(options: &[&str]) -> Self {
        let path = std::env::var_os("POINTSMAN_MODEL").map_or_else(
            || {
                Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("../../.pointsman/models")
                    .join(FILE)
            },
            PathBuf::from,
        );
        assert!(
            path.is_file(),
            "the model file {} is missing: run `cargo xtask model`, or set POINTSMAN_MODEL to a copy of {FILE}",
            path.display()
        );
        let folder = tempfile::tempdir().expect("a folder");
        let ready_file = folder.path().join("ready.json");
        let mut process = Command::new(env!("CARGO_BIN_EXE_pointsman-engine"))
            .args(["--listen", "127.0.0.1:0", "--name", MODEL, "--ready-file"])
            .arg(&ready_file)
            .arg("--model")
            .arg(path)
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the engine starts");
        let mut line = String::new();
        let out = process.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        assert!(
            line.starts_with("pointsman-engine is ready at http://127.0.0.1:"),
            "{line:?}"
        );
        wait_for("the ready file", || ready_file.is_file());
        let ready: Value =
            serde_json::from_slice(&std::fs::read(&ready_file).expect("read")).expect("JSON");
        let url = ready["url"].as_str().expect("a url");
        assert!(
            line.contains(url),
            "{line:?} names another address than {url}"
        );
        Self {
            process,
            address: url.trim_start_matches("http://").to_owned(),
            _folder: folder,
        }
    }

    /// Sends a request; the connection closes after its answer.
    fn send(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("sent");
        stream
    }

    fn get(&self, path: &str) -> (u16, String) {
        answer(self.send("GET", path, ""))
    }

    fn chat(&self, fields: Value) -> (u16, Value) {
        let (status, body) = answer(self.send("POST", "/v1/chat/completions", &request(fields)));
        (
            status,
            serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")),
        )
    }

    fn text(&self, fields: Value) -> String {
        let (status, body) = self.chat(fields);
        assert_eq!(status, 200, "{body}");
        body["choices"][0]["message"]["content"]
            .as_str()
            .expect("content")
            .to_owned()
    }

    fn start_stream(&self, fields: Value) -> TcpStream {
        self.send("POST", "/v1/chat/completions", &request(fields))
    }

    fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no metric {name} in {text}"))
    }

    fn terminate(&self) {
        let sent = Command::new("kill")
            .args(["-TERM", &self.process.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// A request for "tell a long story", with `fields` over it.
fn request(fields: Value) -> String {
    let mut body = json!({
        "model": MODEL,
        "messages": [{ "role": "user", "content": "Write a very long story about the sea." }],
    });
    for (field, value) in fields.as_object().expect("an object") {
        body[field] = value.clone();
    }
    body.to_string()
}

fn question(text: &str) -> Value {
    json!([{ "role": "user", "content": text }])
}

fn france() -> Value {
    question("What is the capital of France? Answer in one word.")
}

/// Status and body, chunked encoding undone.
fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return (status, body.to_owned());
    }
    let (mut whole, mut rest) = (String::new(), body);
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a chunk length");
        if length == 0 {
            break;
        }
        whole.push_str(&after[..length]);
        rest = &after[length + 2..];
    }
    (status, whole)
}

/// The events of a stream; the last one must be [DONE].
fn events(body: &str) -> Vec<Value> {
    let mut data: Vec<&str> = body
        .split("\n\n")
        .filter(|event| !event.is_empty())
        .map(|event| event.strip_prefix("data: ").expect("an event"))
        .collect();
    assert_eq!(data.pop(), Some("[DONE]"));
    data.into_iter()
        .map(|event| serde_json::from_str(event).expect("JSON"))
        .collect()
}

fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let started = Instant::now();
    while !ready() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn answers_whole_and_streamed_are_the_same() {
    let engine = Engine::start(&[]);
    let fields = json!({ "messages": france(), "temperature": 0 });
    let (status, whole) = engine.chat(fields.clone());
    assert_eq!(status, 200);
    let text = whole["choices"][0]["message"]["content"]
        .as_str()
        .expect("content");
    assert!(text.contains("Paris"), "{text:?}");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");

    let mut fields = fields;
    fields["stream"] = json!(true);
    fields["stream_options"] = json!({ "include_usage": true });
    let (_, body) = answer(engine.start_stream(fields));
    let events = events(&body);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let streamed: String = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(streamed, text);
    let [.., last, usage] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"], whole["usage"]);
    assert!(usage["usage"]["completion_tokens"].as_u64() > Some(3));
    assert_eq!(
        engine.metric("pointsman_engine_first_token_seconds_count"),
        2.0
    );
}

#[test]
fn stop_length_seed_and_temperature_hold() {
    let engine = Engine::start(&[]);
    let stopped = json!({ "messages": france(), "temperature": 0, "stop": "al of Fr" });
    assert_eq!(engine.text(stopped), "The capit");

    let (_, short) = engine.chat(json!({ "temperature": 0, "max_tokens": 5 }));
    assert_eq!(short["choices"][0]["finish_reason"], "length");
    assert_eq!(short["usage"]["completion_tokens"], 5);

    let sampled = |seed| {
        engine.text(json!({ "seed": seed, "max_tokens": 24, "temperature": 1.2, "top_p": 0.95 }))
    };
    assert_eq!(sampled(1), sampled(1));
    assert_ne!(sampled(1), sampled(2));
}

#[test]
fn what_is_wrong_or_unsupported_is_refused_by_name() {
    let engine = Engine::start(&["--context", "64"]);
    let check = |fields: Value, status: u16, code: &str, param: &str| {
        let (found, body) = engine.chat(fields);
        assert_eq!(
            (found, &body["error"]["code"], &body["error"]["param"]),
            (status, &json!(code), &json!(param))
        );
    };
    check(json!({ "n": 2 }), 400, "unsupported", "n");
    check(
        json!({ "tools": [{ "type": "function" }] }),
        400,
        "unsupported",
        "tools",
    );
    check(
        json!({ "temperature": "hot" }),
        400,
        "invalid_value",
        "temperature",
    );
    check(json!({ "model": "gpt-5" }), 404, "model_not_found", "model");
    let long = question(&"word ".repeat(100));
    check(
        json!({ "messages": long }),
        400,
        "context_length_exceeded",
        "messages",
    );
    // An answer that reaches the end of the context ends there.
    let (_, full) = engine.chat(json!({ "temperature": 0 }));
    assert_eq!(
        (
            &full["choices"][0]["finish_reason"],
            &full["usage"]["total_tokens"]
        ),
        (&json!("length"), &json!(64))
    );

    assert_eq!(
        answer(engine.send("POST", "/v1/chat/completions", "{")).0,
        400
    );
    assert_eq!(answer(engine.send("POST", "/v1/embeddings", "{}")).0, 404);
    assert_eq!(engine.get("/v1/chat/completions").0, 405);
    assert_eq!(
        engine.get("/health"),
        (200, r#"{"status":"ok"}"#.to_owned())
    );
    let models: Value = serde_json::from_str(&engine.get("/v1/models").1).expect("JSON");
    assert_eq!(models["data"][0]["id"], MODEL);
    assert!(engine.metric(r#"pointsman_engine_requests_total{outcome="refused"}"#) >= 6.0);
}

#[test]
fn answers_together_equal_answers_alone() {
    let engine = Engine::start(&["--sequences-max", "3"]);
    let questions = [
        "Name three colours.",
        "What is 7 plus 5?",
        "What do bees make?",
        "Who wrote Hamlet?",
        "Say hi.",
    ];
    let ask = |text: &str| {
        engine.text(json!({ "messages": question(text), "temperature": 0, "max_tokens": 24 }))
    };
    let alone: Vec<String> = questions.iter().map(|text| ask(text)).collect();
    let together: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = questions
            .iter()
            .map(|text| scope.spawn(|| ask(text)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("answered"))
            .collect()
    });
    assert_eq!(together, alone);
}

#[test]
fn a_client_that_leaves_cancels_at_once() {
    let engine = Engine::start(&["--sequences-max", "1"]);
    // Streamed, after the first event; whole, while generating; and while waiting in the queue.
    let mut streamed = engine.start_stream(json!({ "stream": true, "seed": 5 }));
    let mut first = [0; 1];
    streamed.read_exact(&mut first).expect("a byte");
    wait_for("the sequence", || {
        engine.metric("pointsman_engine_sequences_running") == 1.0
    });
    let whole = engine.start_stream(json!({ "seed": 5 }));
    wait_for("the queue", || {
        engine.metric("pointsman_engine_requests_waiting") == 1.0
    });
    drop(whole);
    drop(streamed);
    let cancelled = r#"pointsman_engine_requests_total{outcome="cancelled"}"#;
    wait_for("the cancellations", || engine.metric(cancelled) == 2.0);
    wait_for("the end of work", || {
        engine.metric("pointsman_engine_sequences_running") == 0.0
    });
    assert_eq!(engine.metric("pointsman_engine_kv_cache_bytes"), 0.0);
    // Nothing generates on: the count of tokens stands still, and the engine answers others.
    let tokens = engine.metric("pointsman_engine_answer_tokens_total");
    assert!(tokens < 300.0, "{tokens} tokens were generated for nobody");
    assert!(
        engine
            .text(json!({ "messages": france(), "temperature": 0 }))
            .contains("Paris")
    );
}

#[test]
fn beyond_the_queue_is_429() {
    let engine = Engine::start(&["--sequences-max", "1", "--queue-requests-max", "1"]);
    let _running = engine.start_stream(json!({ "stream": true, "seed": 5 }));
    wait_for("the sequence", || {
        engine.metric("pointsman_engine_sequences_running") == 1.0
    });
    let _waiting = engine.start_stream(json!({ "stream": true, "seed": 5 }));
    wait_for("the queue", || {
        engine.metric("pointsman_engine_requests_waiting") == 1.0
    });
    let (status, body) = engine.chat(json!({}));
    assert_eq!(
        (status, &body["error"]["code"]),
        (429, &json!("queue_full"))
    );
    assert_eq!(
        engine.metric(r#"pointsman_engine_requests_total{outcome="rejected_busy"}"#),
        1.0
    );
}

#[test]
fn sigterm_lets_answers_in_flight_end() {
    let mut engine = Engine::start(&[]);
    let fields = json!({ "stream": true, "temperature": 0, "max_tokens": 60 });
    let mut stream = engine.start_stream(fields);
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("the head begins");
    engine.terminate();
    wait_for("the listener to close", || {
        TcpStream::connect(&engine.address).is_err()
    });
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the rest");
    assert!(
        rest.contains(r#""finish_reason":"length""#) && rest.contains("data: [DONE]"),
        "{rest}"
    );
    assert!(engine.process.wait().expect("ended").success());
}

#[test]
fn a_file_that_is_no_model_is_refused_with_the_reason() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"GGUF\x03\0\0\0").expect("written");
    let ended = Command::new(env!("CARGO_BIN_EXE_pointsman-engine"))
        .args(["--listen", "127.0.0.1:0", "--model"])
        .arg(file.path())
        .output()
        .expect("ran");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        !ended.status.success() && said.contains("truncated at byte 8"),
        "{said}"
    );
}
