//! A target's answer, chunk by chunk. Read to its end it gives its connection back; dropped before, it closes it.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use http::{Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::limits;
use crate::origin::Origin;
use crate::pool::Pool;
use crate::request::remove_hop_by_hop;

/// Connections are shared by requests to one origin with one credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) origin: Origin,
    pub(crate) credential: Option<Arc<str>>,
}

pub(crate) type Connections = Pool<Key, Connection>;

/// The answer to one request. Dropping it before its end closes its connection at once, which cancels the target.
pub struct Answer {
    /// As the target said; redirects are not followed.
    pub status: StatusCode,
    /// As the target said, without hop-by-hop headers.
    pub headers: HeaderMap,
    /// `None` once its end was read, or it broke.
    body: Option<Open>,
}

struct Open {
    incoming: Incoming,
    connection: Connection,
    home: Rc<Connections>,
    key: Key,
}

impl Answer {
    pub(crate) fn new(
        response: Response<Incoming>,
        connection: Connection,
        home: Rc<Connections>,
        key: Key,
    ) -> Result<Self, UpstreamError> {
        let (parts, incoming) = response.into_parts();
        let mut headers = parts.headers;
        remove_hop_by_hop(&mut headers);
        let mut answer = Self {
            status: parts.status,
            headers,
            body: None,
        };
        if answer.is_encoded() {
            // Guards would read compressed text as noise and pass it. Of a refusal the status still counts.
            if answer.status.is_success() {
                let host = key.origin.authority();
                let detail = "the answer is compressed, though identity was asked for";
                let error = UpstreamError::new(UpstreamErrorKind::Protocol, host, detail);
                return Err(error.sent(true));
            }
            return Ok(answer);
        }
        answer.body = Some(Open {
            incoming,
            connection,
            home,
            key,
        });
        answer.keep_if_ended();
        Ok(answer)
    }

    /// The next bytes; `None` at the end. Has no timeout of its own; may be dropped and called again.
    ///
    /// # Errors
    /// If the answer breaks off; it has ended then.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        while let Some(open) = &mut self.body {
            match open.incoming.frame().await {
                None => self.keep(),
                Some(Ok(frame)) => {
                    self.keep_if_ended();
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    let host = open.key.origin.authority();
                    self.body = None;
                    return Err(UpstreamError::from_hyper(&host, &error).sent(true));
                }
            }
        }
        Ok(None)
    }

    /// The caller has all it needs, such as a stream's `[DONE]`: what little may follow is read aside, so that the
    /// connection can serve again. Where the end does not come within a moment the connection is closed.
    pub fn finish(mut self) {
        if matches!(self.chunk().now_or_never(), Some(Ok(None) | Err(_))) {
            return;
        }
        tokio::task::spawn_local(async move {
            let to_the_end = async {
                let mut read = 0;
                while let Ok(Some(chunk)) = self.chunk().await {
                    read += chunk.len();
                    if read > limits::FINISH_BYTES_MAX {
                        return;
                    }
                }
            };
            let _in_time = timeout(limits::FINISH_WITHIN, to_the_end).await;
        });
    }

    /// Whether the target says that it streams server-sent events.
    #[must_use]
    pub fn is_event_stream(&self) -> bool {
        let value = self
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let essence = value.and_then(|value| value.split(';').next());
        essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/event-stream"))
    }

    fn is_encoded(&self) -> bool {
        let mut values = self.headers.get_all(CONTENT_ENCODING).iter();
        values.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
    }

    fn keep_if_ended(&mut self) {
        if self
            .body
            .as_ref()
            .is_some_and(|open| open.incoming.is_end_stream())
        {
            self.keep();
        }
    }

    fn keep(&mut self) {
        if let Some(open) = self.body.take() {
            open.home.keep(open.key, open.connection);
        }
    }
}
