//! The control listener over a real socket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pointsman_control::{
    Control, ControlError, Decision, DecisionSource, DecisionTail, Listing, Readiness, SourceError,
    Wanted, serve,
};
use pointsman_domain::Picos;
use pointsman_domain::RequestId;
use pointsman_domain::decision::{Closed, Outcome};
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const TOKEN: &str = "0123456789abcdef";
const DECISIONS: &str = "/admin/v1/decisions";

/// What a follower's next looks give.
type Looks = Arc<Mutex<VecDeque<Result<Vec<Decision>, SourceError>>>>;

/// A source that remembers what it was asked, and says what it is told to.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<Wanted>>,
    fails: bool,
    ended: Looks,
}

fn decision(id: &str) -> Decision {
    let closed = Closed {
        id: RequestId(id.to_owned()),
        at_ms: 5,
        tenant: "demo".to_owned(),
        outcome: Outcome::Ok,
        status: 200,
        error: None,
        error_message: None,
        target: Some("local".to_owned()),
        attempts: Vec::new(),
        steps: Vec::new(),
        embeddings: Vec::new(),
        cost: Vec::new(),
        cost_pico_usd: Picos(7),
        unpriced: false,
        estimated: false,
        ttft_us: None,
        total_us: 1,
        response_digest: None,
        response_bytes: 0,
        key: String::new(),
        charged_pico_usd: Picos(0),
        budgets: Vec::new(),
        cache: None,
        phases: Vec::new(),
    };
    Decision {
        opened: None,
        closed: Some(Box::new(closed)),
    }
}

impl DecisionSource for Fake {
    fn list(&self, wanted: &Wanted) -> Result<Listing, SourceError> {
        if self.fails {
            return Err(SourceError::Failed("cannot read the folder".to_owned()));
        }
        self.asked
            .lock()
            .expect("not poisoned")
            .push(wanted.clone());
        Ok(Listing {
            decisions: vec![decision("abc")],
            complete: true,
        })
    }

    fn find(&self, id: &str) -> Result<Option<Decision>, SourceError> {
        match id {
            "abc" => Ok(Some(decision("abc"))),
            "a" => Err(SourceError::Ambiguous("a".to_owned())),
            _ => Ok(None),
        }
    }

    fn tail(&self, wanted: &Wanted) -> Result<Box<dyn DecisionTail>, SourceError> {
        self.asked
            .lock()
            .expect("not poisoned")
            .push(wanted.clone());
        Ok(Box::new(FakeTail(Arc::clone(&self.ended))))
    }
}

struct FakeTail(Looks);

impl DecisionTail for FakeTail {
    fn poll(&mut self) -> Result<Vec<Decision>, SourceError> {
        self.0
            .lock()
            .expect("not poisoned")
            .pop_front()
            .unwrap_or_else(|| Ok(Vec::new()))
    }
}

struct Ready(Option<&'static str>);

impl Readiness for Ready {
    fn not_ready(&self) -> Option<String> {
        self.0.map(str::to_owned)
    }
}

struct Running {
    address: SocketAddr,
    source: Arc<Fake>,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Result<(), ControlError>>,
}

async fn start(source: Fake, ready: Ready) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let source = Arc::new(source);
    let control = Control::new(
        SecretString::from(TOKEN.to_owned()),
        Arc::new(ready),
        Arc::new(|| "pointsman_generation 1\n# EOF\n".to_owned()),
        Arc::clone(&source) as Arc<dyn DecisionSource>,
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(serve(listener, control, async {
        let _stopped_or_dropped = stopped.await;
    }));
    Running {
        address,
        source,
        stop,
        ended,
    }
}

async fn up() -> Running {
    start(Fake::default(), Ready(None)).await
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("json")
    }

    /// Checks that this is a problem of a kind, whole, and says what to do.
    fn problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(
            self.head.contains("content-type: application/problem+json"),
            "{}",
            self.head
        );
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:pointsman:problem:{kind}"));
        assert_eq!(problem["status"], status);
        for member in ["title", "detail", "next"] {
            assert!(
                problem[member]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{member} in {problem}"
            );
        }
        assert!(!self.body.contains(TOKEN));
    }
}

async fn send(running: &Running, request: String) -> Answer {
    let mut stream = TcpStream::connect(running.address).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("reads");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    Answer {
        status,
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

async fn call(running: &Running, method: &str, path: &str, headers: &str) -> Answer {
    send(
        running,
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n"),
    )
    .await
}

async fn plain(running: &Running, path: &str) -> Answer {
    call(running, "GET", path, "").await
}

async fn admin(running: &Running, path: &str) -> Answer {
    call(
        running,
        "GET",
        path,
        &format!("authorization: Bearer {TOKEN}\r\n"),
    )
    .await
}

#[tokio::test]
async fn health_readiness_and_metrics_need_no_token() {
    let running = up().await;
    assert_eq!(plain(&running, "/healthz").await.status, 200);
    assert_eq!(plain(&running, "/readyz").await.status, 200);
    let metrics = plain(&running, "/metrics").await;
    assert_eq!(metrics.body, "pointsman_generation 1\n# EOF\n");
    assert!(
        metrics
            .head
            .contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{}",
        metrics.head
    );
}

#[tokio::test]
async fn a_node_that_is_not_ready_says_why_and_is_healthy() {
    let running = start(Fake::default(), Ready(Some("draining"))).await;
    let answer = plain(&running, "/readyz").await;
    answer.problem(503, "not-ready");
    assert_eq!(answer.json()["detail"], "draining");
    assert_eq!(plain(&running, "/healthz").await.status, 200);
}

#[tokio::test]
async fn the_admin_paths_want_the_token_whatever_is_behind_them() {
    let running = up().await;
    let wrong = [
        String::new(),
        "authorization: Bearer\r\n".to_owned(),
        "authorization: Bearer \r\n".to_owned(),
        "authorization: Bearer wrong\r\n".to_owned(),
        format!("authorization: Basic {TOKEN}\r\n"),
        format!("authorization: Bearer {TOKEN}x\r\n"),
        format!("authorization: Bearer {}\r\n", &TOKEN[..TOKEN.len() - 1]),
    ];
    for headers in &wrong {
        for path in [
            DECISIONS,
            "/admin/v1/decisions/abc",
            "/admin/v1/decisions/tail",
            "/admin/nothing",
            "/admin",
        ] {
            let answer = call(&running, "GET", path, headers).await;
            answer.problem(401, "unauthorized");
            assert!(
                answer.head.contains("www-authenticate: bearer"),
                "{}",
                answer.head
            );
        }
    }
    let lower_case = call(
        &running,
        "GET",
        DECISIONS,
        &format!("authorization: bearer {TOKEN}\r\n"),
    )
    .await;
    assert_eq!(lower_case.status, 200, "schemes have no case");
}

#[tokio::test]
async fn decisions_are_listed_by_what_the_query_wants() {
    let running = up().await;
    let answer = admin(
        &running,
        &format!("{DECISIONS}?tenant=de%20mo&target=local&outcome=cut&since=1000&limit=3"),
    )
    .await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("cache-control: no-store"));
    let json = answer.json();
    assert_eq!(
        (&json["complete"], &json["decisions"][0]["closed"]["id"]),
        (&Value::Bool(true), &Value::from("abc"))
    );
    let wanted = Wanted {
        tenant: Some("de mo".to_owned()),
        target: Some("local".to_owned()),
        outcome: Some(Outcome::Cut),
        since_ms: Some(1000),
        limit: 3,
    };
    assert_eq!(
        running
            .source
            .asked
            .lock()
            .expect("not poisoned")
            .as_slice(),
        [wanted]
    );
}

#[tokio::test]
async fn a_query_that_cannot_be_read_is_refused_and_says_what_can() {
    let running = up().await;
    for (query, says) in [
        ("outcome=fine", "cancelled"),
        ("since=yesterday", "15m"),
        ("limit=0", "1000"),
        ("limit=1001", "1000"),
        ("limit=many", "1000"),
        ("tenannt=x", "tenant"),
        ("limit=1&limit=2", "once"),
    ] {
        let answer = admin(&running, &format!("{DECISIONS}?{query}")).await;
        answer.problem(400, "bad-query");
        assert!(answer.body.contains(says), "{query}: {}", answer.body);
    }
}

#[tokio::test]
async fn one_decision_is_told_by_its_id() {
    let running = up().await;
    let found = admin(&running, "/admin/v1/decisions/abc").await;
    assert_eq!(found.status, 200);
    assert_eq!(
        (&found.json()["closed"]["tenant"], &found.json()["opened"]),
        (&Value::from("demo"), &Value::Null)
    );
    admin(&running, "/admin/v1/decisions/ffff")
        .await
        .problem(404, "unknown-decision");
    admin(&running, "/admin/v1/decisions/a")
        .await
        .problem(409, "ambiguous");
    for bad in ["UPPER", "a%2fb", "%ff", "..%2f..%2fetc", &"a".repeat(37)] {
        admin(&running, &format!("/admin/v1/decisions/{bad}"))
            .await
            .problem(400, "bad-id");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let running = up().await;
    plain(&running, "/").await.problem(404, "not-found");
    plain(&running, "/v1/chat/completions")
        .await
        .problem(404, "not-found");
    admin(&running, "/admin/v1/nothing")
        .await
        .problem(404, "not-found");
    call(&running, "POST", "/healthz", "content-length: 0\r\n")
        .await
        .problem(405, "method-not-allowed");
    let delete = call(
        &running,
        "DELETE",
        DECISIONS,
        &format!("authorization: Bearer {TOKEN}\r\n"),
    )
    .await;
    delete.problem(405, "method-not-allowed");
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_a_problem() {
    let running = start(
        Fake {
            fails: true,
            ..Fake::default()
        },
        Ready(None),
    )
    .await;
    let answer = admin(&running, DECISIONS).await;
    answer.problem(500, "log-unreadable");
    assert_eq!(answer.json()["detail"], "cannot read the folder");
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let running = up().await;
    let answer = call(
        &running,
        "GET",
        "/healthz",
        &format!("x-long: {}\r\n", "x".repeat(32 * 1024)),
    )
    .await;
    assert_eq!(answer.status, 431);
    let answer = call(&running, "GET", "/healthz", &"x-many: 1\r\n".repeat(100)).await;
    assert_eq!(answer.status, 431);
}

/// Reads from a stream until its text holds `until`.
async fn read_until(stream: &mut TcpStream, text: &mut String, until: &str) {
    let mut buffer = [0; 4096];
    while !text.contains(until) {
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut buffer))
            .await
            .expect("in time")
            .expect("reads");
        assert!(read > 0, "ended without {until}:\n{text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).expect("utf-8"));
    }
}

async fn follow(running: &Running) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(running.address).await.expect("connects");
    let request = format!(
        "GET {DECISIONS}/tail?tenant=demo HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut text = String::new();
    read_until(&mut stream, &mut text, "\r\n\r\n").await;
    (stream, text)
}

#[tokio::test]
async fn a_follower_gets_each_decision_as_an_event_and_survives_trouble() {
    let running = up().await;
    let (mut stream, mut text) = follow(&running).await;
    assert!(
        text.starts_with("HTTP/1.1 200") && text.contains("text/event-stream"),
        "{text}"
    );
    read_until(&mut stream, &mut text, ": following").await;
    running.source.ended.lock().expect("not poisoned").extend([
        Ok(vec![decision("one"), decision("two")]),
        Err(SourceError::Failed("a line does not hold".to_owned())),
        Ok(vec![decision("three")]),
    ]);
    read_until(&mut stream, &mut text, "three").await;
    let events: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(events, ["decision", "decision", "problem", "decision"]);
    let first = text
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .expect("data");
    let first: Value = serde_json::from_str(first).expect("json");
    assert_eq!(first["closed"]["id"], "one");
    assert_eq!(
        running.source.asked.lock().expect("not poisoned")[0]
            .tenant
            .as_deref(),
        Some("demo")
    );
}

#[tokio::test]
async fn followers_are_bounded_and_a_place_is_free_again_when_one_leaves() {
    let running = up().await;
    let mut followers = Vec::new();
    loop {
        let (stream, text) = follow(&running).await;
        if text.starts_with("HTTP/1.1 503") {
            break;
        }
        followers.push(stream);
        assert!(followers.len() <= 16, "unbounded");
    }
    assert_eq!(followers.len(), 16);
    followers.clear();
    let mut admitted = false;
    for _ in 0..100 {
        let (_stream, text) = follow(&running).await;
        admitted = text.starts_with("HTTP/1.1 200");
        if admitted {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(admitted);
}

#[tokio::test]
async fn shutdown_ends_followers_and_the_listener() {
    let running = up().await;
    let (mut stream, mut text) = follow(&running).await;
    running.stop.send(()).expect("serving");
    let mut rest = String::new();
    stream
        .read_to_string(&mut rest)
        .await
        .expect("ends in order");
    text.push_str(&rest);
    assert!(text.ends_with("0\r\n\r\n"), "the last chunk: {text}");
    running.ended.await.expect("no panic").expect("ends well");
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn an_empty_token_is_refused_at_the_start() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let control = Control::new(
        SecretString::from(" ".to_owned()),
        Arc::new(Ready(None)),
        Arc::new(String::new),
        Arc::new(Fake::default()),
    );
    let ended = serve(listener, control, std::future::pending()).await;
    assert_eq!(ended, Err(ControlError::EmptyToken));
}
