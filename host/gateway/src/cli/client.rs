//! The control API from the caller's side: finds a server, speaks JSON with it, tells what it answers.
//!
//! Promises: the token goes to the server that it was made for alone; redirects are not followed; every wait is bounded;
//! a change that a cut connection repeats is made once. Refuses to know what the commands want.

mod find;

use std::io;
use std::time::Duration;

use pointsman_control::PlaneError;
use pointsman_control::api::Finding;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(crate) use find::{ClientFile, candidates, server};

/// To be connected.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// For a whole call: a push compiles plugins, and a version runs its cases.
const CALL_MAX: Duration = Duration::from_secs(300);
/// For a question that is answered from memory, such as whether the server is there.
const QUESTION_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer; a backup is not one, it is streamed.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// Bytes of what a control listener says of its health.
const HEALTH_BYTES_MAX: u64 = 4_096;
/// Repeats the answer of an earlier call with the same key.
const IDEMPOTENCY: &str = "idempotency-key";
pub(crate) const JSON: &str = "application/json";

/// Where a server is and with which token it is called.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    url: String,
    token: Option<SecretString>,
    agent: ureq::Agent,
}

/// One call.
struct Call<'a> {
    method: http::Method,
    path: &'a str,
    content: &'static str,
    body: Option<&'a [u8]>,
    if_match: Option<&'a str>,
    idempotency: Option<String>,
}

impl<'a> Call<'a> {
    /// One that changes nothing.
    fn asking(path: &'a str) -> Self {
        Self {
            method: http::Method::GET,
            path,
            content: JSON,
            body: None,
            if_match: None,
            idempotency: None,
        }
    }
}

/// What a call was answered with.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// RFC 9457, as the control API writes it; tolerant, since a proxy between may answer too.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    next: String,
    findings: Vec<Finding>,
    etag: Option<String>,
}

/// Why a server cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    #[error(
        "nobody answers at {url}; start a server with `cargo xtask up` or `pointsman serve`, or name another one with --control or POINTSMAN_CONTROL_URL"
    )]
    Refused { url: String },
    #[error(
        "what answers at {url} is no control listener of Pointsman; the data plane has its own address, and another program may have this one: name the server with --control or POINTSMAN_CONTROL_URL"
    )]
    Stranger { url: String },
    #[error(
        "the server at {url} did not answer in time ({which}); the change may have been made: look before you repeat it, and see the server's log"
    )]
    Timeout { url: String, which: String },
    #[error("the connection to {url} was cut: {why}; look at the server's log")]
    Cut { url: String, why: String },
    #[error("cannot speak with {url}: {why}")]
    Other { url: String, why: String },
}

impl Client {
    /// A client of one server.
    pub(crate) fn new(url: &str, token: Option<SecretString>) -> anyhow::Result<Self> {
        let url = url.trim_end_matches('/').to_owned();
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        anyhow::ensure!(
            matches!(scheme, Some("http" | "https")),
            "`{url}` is no URL of a control API; write http://127.0.0.1:8081"
        );
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_global(Some(CALL_MAX));
        if scheme == Some("https") {
            let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
            let tls = ureq::tls::TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
            config = config.tls_config(tls.build());
        }
        Ok(Self {
            url,
            token,
            agent: config.build().new_agent(),
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether somebody answers there at all.
    pub(crate) fn is_there(&self) -> Result<(), Unreachable> {
        let request = http::Request::get(format!("{}/healthz", self.url)).body(());
        let request = request.map_err(|error| self.other(&error))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(QUESTION_MAX))
            .build();
        let told = self.agent.run(request);
        let mut told = told.map_err(|error| self.unreachable(error))?;
        let body = told.body_mut().with_config().limit(HEALTH_BYTES_MAX);
        match body.read_to_string() {
            Ok(text) if told.status() == http::StatusCode::OK && text.trim() == "ok" => Ok(()),
            _ => Err(Unreachable::Stranger {
                url: self.url.clone(),
            }),
        }
    }

    /// Asks for JSON.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, PlaneError> {
        read(&self.asked(path)?)
    }

    /// Asks; the answer is one of success.
    pub(crate) fn asked(&self, path: &str) -> Result<Answer, PlaneError> {
        self.call(&Call::asking(path))
    }

    /// Copies an answer to `out` as it comes.
    pub(crate) fn stream(&self, path: &str, out: &mut dyn io::Write) -> Result<(), PlaneError> {
        let cut = |error: &dyn std::fmt::Display| {
            PlaneError::Unavailable(format!("the copy is not complete: {error}"))
        };
        let call = Call::asking(path);
        let sent = self.send(&call);
        let mut response = sent.map_err(|error| PlaneError::Unavailable(error.to_string()))?;
        let status = response.status().as_u16();
        if status != 200 {
            let body = response.body_mut().read_to_vec().unwrap_or_default();
            return Err(self.refusal(status, &body));
        }
        let expected = response.body().content_length();
        let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
        let copied = io::copy(&mut reader, out).map_err(|error| cut(&error))?;
        match expected {
            Some(expected) if expected != copied => {
                Err(cut(&format!("{copied} of {expected} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Changes something, once, also where the connection is cut and the call repeated.
    pub(crate) fn change(
        &self,
        method: http::Method,
        path: &str,
        content: &'static str,
        body: Option<&[u8]>,
        if_match: Option<&str>,
    ) -> Result<Answer, PlaneError> {
        self.call(&Call {
            method,
            path,
            content,
            body,
            if_match,
            idempotency: Some(uuid::Uuid::new_v4().to_string()),
        })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, PlaneError> {
        let answered = match self.send(call) {
            Err(Unreachable::Cut { .. }) => self.send(call),
            answered => answered,
        };
        let mut response = answered.map_err(|error| PlaneError::Unavailable(error.to_string()))?;
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(|error| PlaneError::Unavailable(self.unreachable(error).to_string()))?;
        if (200..300).contains(&status) {
            return Ok(Answer { status, body });
        }
        Err(self.refusal(status, &body))
    }

    fn send(&self, call: &Call<'_>) -> Result<http::Response<ureq::Body>, Unreachable> {
        let mut request = http::Request::builder()
            .method(&call.method)
            .uri(format!("{}{}", self.url, call.path))
            .header(http::header::ACCEPT, JSON);
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {}", token.expose_secret());
            request = request.header(http::header::AUTHORIZATION, bearer);
        }
        if let Some(etag) = call.if_match {
            request = request.header(http::header::IF_MATCH, format!("\"{etag}\""));
        }
        if let Some(key) = &call.idempotency {
            request = request.header(IDEMPOTENCY, key);
        }
        let sent = match call.body {
            Some(body) => {
                let request = request.header(http::header::CONTENT_TYPE, call.content);
                let request = request.body(body).map_err(|error| self.other(&error))?;
                self.agent.run(request)
            }
            None => {
                let request = request.body(()).map_err(|error| self.other(&error))?;
                self.agent.run(request)
            }
        };
        sent.map_err(|error| self.unreachable(error))
    }

    fn other(&self, error: &dyn std::fmt::Display) -> Unreachable {
        Unreachable::Other {
            url: self.url.clone(),
            why: error.to_string(),
        }
    }

    fn unreachable(&self, error: ureq::Error) -> Unreachable {
        let url = self.url.clone();
        match error {
            ureq::Error::Timeout(which) => Unreachable::Timeout {
                url,
                which: which.to_string(),
            },
            ureq::Error::ConnectionFailed => Unreachable::Refused { url },
            ureq::Error::HostNotFound => Unreachable::Other {
                url,
                why: "its name is not known; see --control".to_owned(),
            },
            ureq::Error::Io(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => Unreachable::Refused { url },
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => Unreachable::Cut {
                    url,
                    why: error.to_string(),
                },
                _ => self.other(&error),
            },
            error => self.other(&error),
        }
    }

    /// What a status of failure and its body say.
    fn refusal(&self, status: u16, body: &[u8]) -> PlaneError {
        let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
        let what = match (problem.detail.is_empty(), problem.title.is_empty()) {
            (false, _) => problem.detail,
            (true, false) => problem.title,
            (true, true) => format!("{} answers {status}", self.url),
        };
        let next = problem.next;
        let with_next = |what: String, next: &str| match next {
            "" => what,
            next => format!("{what}\nnext: {next}"),
        };
        match status {
            401 | 403 => PlaneError::Internal(format!(
                "{} does not take the admin token: {what}\nnext: the token comes from --token, POINTSMAN_ADMIN_TOKEN, client.json or admin-token in the state folder of the server; is it another server's?",
                self.url
            )),
            404 => PlaneError::NotFound { what, next },
            409 => PlaneError::Conflict { what, next },
            412 => PlaneError::Precondition {
                // The words that follow are those of this very error.
                what: what.split(" is not ").next().unwrap_or_default().to_owned(),
                current: problem.etag,
            },
            413 => PlaneError::TooLarge(with_next(what, &next)),
            422 => PlaneError::Invalid {
                what: with_next(what, &next),
                findings: problem.findings,
            },
            503 => PlaneError::Unavailable(with_next(what, &next)),
            _ => PlaneError::Internal(with_next(what, &next)),
        }
    }
}

/// A body of success.
pub(crate) fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, PlaneError> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        PlaneError::Internal(format!(
            "the server's answer is not understood ({error}); is it of another version? `pointsman doctor` compares them"
        ))
    })
}
