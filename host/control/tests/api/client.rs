//! A server with a fake plane, a client that writes its requests itself, and what the document says of answers.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pointsman_control::{
    Control, ControlPlane, Decision, DecisionSource, DecisionTail, Listing, Readiness, SourceError,
    Wanted, serve,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::fake::Fake;

pub(crate) const TOKEN: &str = "0123456789abcdef";
pub(crate) const JSON: &str = "content-type: application/json";

struct Always;

impl Readiness for Always {
    fn not_ready(&self) -> Option<String> {
        None
    }
}

struct NoDecisions;

impl DecisionSource for NoDecisions {
    fn list(&self, _: &Wanted) -> Result<Listing, SourceError> {
        Ok(Listing {
            decisions: vec![Decision::default()],
            complete: true,
        })
    }

    fn find(&self, _: &str) -> Result<Option<Decision>, SourceError> {
        Ok(Some(Decision::default()))
    }

    fn tail(&self, _: &Wanted) -> Result<Box<dyn DecisionTail>, SourceError> {
        Err(SourceError::Failed("nothing to follow".to_owned()))
    }
}

/// A control listener that runs with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) plane: Arc<Fake>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let plane = Arc::new(Fake::default());
        let served = Arc::clone(&plane) as Arc<dyn ControlPlane>;
        let address = listen(|control| control.with_plane(served)).await;
        Self { address, plane }
    }

    /// A node that keeps no control state.
    pub(crate) async fn without_plane() -> Self {
        let address = listen(|control| control).await;
        let plane = Arc::default();
        Self { address, plane }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[JSON], body.to_string().as_bytes())
            .await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, &[JSON], body.to_string().as_bytes())
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], b"").await
    }

    /// One request with the token, on a connection of its own; the answer agrees with the document.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Answer {
        let mut all = vec![
            format!("authorization: Bearer {TOKEN}"),
            format!("content-length: {}", body.len()),
        ];
        all.extend(headers.iter().map(|&header| header.to_owned()));
        let answer = self.raw(method, path, &all, body).await;
        agree(method, path, &answer);
        answer
    }

    /// One request, headers as they are given.
    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[String],
        body: &[u8],
    ) -> Answer {
        let mut stream = self.open(method, path, headers).await;
        stream.write_all(body).await.expect("takes the body");
        read(&mut stream).await
    }

    /// A request whose body is still to come.
    pub(crate) async fn open(&self, method: &str, path: &str, headers: &[String]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}\r\n\r\n",
            headers.join("\r\n")
        );
        stream.write_all(head.as_bytes()).await.expect("writes");
        stream
    }
}

async fn listen(with: impl FnOnce(Control) -> Control) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let control = with(Control::new(
        SecretString::from(TOKEN.to_owned()),
        Arc::new(Always),
        Arc::new(|| "# EOF\n".to_owned()),
        Arc::new(NoDecisions),
    ));
    tokio::spawn(serve(listener, control, std::future::pending()));
    address
}

/// The whole answer.
pub(crate) async fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let whole = stream.read_to_end(&mut bytes);
    tokio::time::timeout(Duration::from_secs(60), whole)
        .await
        .expect("in time")
        .expect("not reset");
    Answer::of(&bytes)
}

/// An answer, its body as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("a head");
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Self {
            status: status.expect("a status"),
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("json")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON of an answer with this status.
    pub(crate) fn told(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }

    /// Checks that this is a problem of a kind, whole, and says what to do.
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:pointsman:problem:{kind}"));
        assert_eq!(problem["status"], status);
        for member in ["title", "detail", "next"] {
            let text = problem[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{member} in {problem}");
        }
        problem
    }
}

/// The document that is served and checked in.
pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(pointsman_control::openapi)
}

/// The operation of a request.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let words: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let wanted: Vec<&str> = template.split('/').collect();
        wanted.len() == words.len()
            && wanted
                .iter()
                .zip(&words)
                .all(|(wanted, word)| wanted.starts_with('{') || wanted == word)
    };
    let paths = document()["paths"].as_object().expect("paths");
    // A path without variables goes before one with, as in the router.
    let mut fitting: Vec<_> = paths.iter().filter(|(path, _)| fits(path)).collect();
    fitting.sort_by_key(|(path, _)| path.matches('{').count());
    fitting.first()?.1.get(method.to_lowercase())
}

/// Checks an answer against the document.
fn agree(method: &str, path: &str, answer: &Answer) {
    let Some(operation) = operation(method, path) else {
        assert!(
            matches!(answer.status, 404 | 405),
            "{method} {path} is not documented and answers {}",
            answer.status
        );
        return;
    };
    let told = &operation["responses"][answer.status.to_string()];
    assert!(
        told.is_object(),
        "{method} {path}: {} is not documented: {}",
        answer.status,
        answer.text()
    );
    let told = match told["$ref"].as_str() {
        Some(at) => document().pointer(&at[1..]).expect("references resolve"),
        None => told,
    };
    let kind = answer.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    let Some(contents) = told["content"].as_object() else {
        assert!(answer.body.is_empty(), "{method} {path}: a body");
        return;
    };
    assert!(
        contents.contains_key(kind),
        "{method} {path}: {kind} is not documented"
    );
    let content = &contents[kind];
    if kind.ends_with("json") {
        let findings = violations(&content["schema"], &answer.json());
        assert!(findings.is_empty(), "{method} {path}: {findings:?}");
    }
}

/// Where a value does not have a schema of the document.
pub(crate) fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": document()["components"],
        "allOf": [schema],
    });
    let validator = jsonschema::validator_for(&whole).expect("a schema");
    validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}
