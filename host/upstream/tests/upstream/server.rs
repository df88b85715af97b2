//! A target that follows a script, and a client that knows it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use pointsman_upstream::{
    Answer, Credential, EgressRules, Outgoing, Resolve, Resolving, Upstream, UpstreamConfig,
    UpstreamError,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Runs a test on one thread, as a data-plane thread runs.
pub(crate) fn local(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let limited = async { tokio::time::timeout(Duration::from_secs(20), test).await };
    tokio::task::LocalSet::new()
        .block_on(&runtime, limited)
        .expect("the test ends");
}

pub(crate) enum Step {
    Send(&'static str),
    Sleep(u64),
    Close,
    /// Reads until the client is gone.
    AwaitClose,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: Cell<usize>,
    /// Connections that the client ended.
    pub(crate) closed: Cell<usize>,
    /// Heads and bodies.
    pub(crate) requests: RefCell<Vec<String>>,
    changed: Notify,
}

impl Seen {
    pub(crate) async fn until(&self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            self.changed.notified().await;
        }
    }

    pub(crate) async fn until_closed(&self, closed: usize) {
        self.until(|seen| seen.closed.get() >= closed).await;
    }
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Rc<Seen>,
}

impl Server {
    /// The script says what follows a request, by the numbers of connection and request.
    pub(crate) async fn start(script: impl Fn(usize, usize) -> Vec<Step> + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let seen = Rc::<Seen>::default();
        let shared = Rc::clone(&seen);
        let script = Rc::new(script);
        tokio::task::spawn_local(async move {
            while let Ok((socket, _peer)) = listener.accept().await {
                let connection = shared.connections.replace(shared.connections.get() + 1);
                let (seen, script) = (Rc::clone(&shared), Rc::clone(&script));
                tokio::task::spawn_local(async move {
                    converse(socket, &seen, |request| script(connection, request)).await;
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) async fn always(reply: &'static str) -> Self {
        Self::start(move |_, _| vec![Step::Send(reply)]).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn client(&self) -> Upstream {
        self.client_with(UpstreamConfig::default())
    }

    /// A client that may connect to this server alone.
    pub(crate) fn client_with(&self, config: UpstreamConfig) -> Upstream {
        let egress = EgressRules::new([self.address.to_string().as_str()]).expect("a rule");
        Upstream::new(UpstreamConfig { egress, ..config })
    }
}

/// Reads requests and follows the script after each.
pub(crate) async fn converse(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Seen,
    script: impl Fn(usize) -> Vec<Step>,
) {
    let mut number = 0;
    while let Some(request) = read_request(&mut socket).await {
        seen.requests.borrow_mut().push(request);
        seen.changed.notify_waiters();
        for step in script(number) {
            match step {
                Step::Send(text) => {
                    let _client_may_be_gone = socket.write_all(text.as_bytes()).await;
                }
                Step::Sleep(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                Step::Close => return,
                Step::AwaitClose => while matches!(socket.read(&mut [0; 1024]).await, Ok(1..)) {},
            }
        }
        number += 1;
    }
    seen.closed.set(seen.closed.get() + 1);
    seen.changed.notify_waiters();
}

async fn read_request(socket: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
            if bytes.len() >= end + 4 + length {
                return Some(text.into_owned());
            }
        }
        match socket.read_buf(&mut bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return None,
        }
    }
}

pub(crate) struct Call<'a> {
    pub(crate) credential: Option<&'a Credential>,
    pub(crate) tenant: &'a str,
    pub(crate) body: Bytes,
    pub(crate) connect_timeout_ms: u64,
    pub(crate) headers_timeout_ms: u64,
}

impl Default for Call<'_> {
    fn default() -> Self {
        Self {
            credential: None,
            tenant: "acme",
            body: Bytes::from_static(b"{\"n\":1}"),
            connect_timeout_ms: 5_000,
            headers_timeout_ms: 5_000,
        }
    }
}

impl Call<'_> {
    pub(crate) async fn send(&self, client: &Upstream, url: &str) -> Result<Answer, UpstreamError> {
        let endpoint: Uri = url.parse().expect("a URL");
        client
            .send(Outgoing {
                endpoint: &endpoint,
                path: "/chat/completions",
                headers: vec![("x-pointsman-request-id".to_owned(), "r1".to_owned())],
                body: self.body.clone(),
                credential: self.credential,
                tenant: self.tenant,
                connect_timeout_ms: self.connect_timeout_ms,
                headers_timeout_ms: self.headers_timeout_ms,
            })
            .await
    }
}

pub(crate) async fn send(client: &Upstream, url: &str) -> Result<Answer, UpstreamError> {
    Call::default().send(client, url).await
}

pub(crate) async fn read(mut answer: Answer) -> Result<String, UpstreamError> {
    let mut text = String::new();
    while let Some(chunk) = answer.chunk().await? {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    Ok(text)
}

/// Addresses by name: each lookup takes the next list, the last stays.
#[derive(Default)]
pub(crate) struct Hosts(RefCell<HashMap<String, Vec<Vec<IpAddr>>>>);

impl Hosts {
    pub(crate) fn with(self, name: &str, answers: &[&[&str]]) -> Self {
        let parse = |text: &&str| text.parse().expect("an address");
        let answers = answers
            .iter()
            .map(|ips| ips.iter().map(parse).collect())
            .collect();
        self.0.borrow_mut().insert(name.to_owned(), answers);
        self
    }

    pub(crate) fn config(self) -> UpstreamConfig {
        UpstreamConfig {
            resolver: Rc::new(self),
            resolved_ms_max: 0,
            ..UpstreamConfig::default()
        }
    }
}

impl Resolve for Hosts {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let mut hosts = self.0.borrow_mut();
            let answers = hosts
                .get_mut(name)
                .ok_or_else(|| std::io::Error::other("unknown name"))?;
            if answers.len() > 1 {
                return Ok(answers.remove(0));
            }
            Ok(answers[0].clone())
        })
    }
}
