//! When the writes leave, and what goes wrong on the way.
//!
//! Promises: every write is flushed before the next is begun, so that a client can see each as a read of its own; a
//! fault happens after what was to leave before it has left.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::json;

use crate::chat::{Reply, Write, event};
use crate::ledger::Open;
use crate::limits::ENDLESS_PAUSE_MIN;
use crate::script::{Delays, Fault, FaultKind};
use crate::wire::Breaker;

/// A response body.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Sends the reply; an error means that the connection closes without any answer.
pub(crate) async fn perform(
    mut reply: Reply,
    delays: Delays,
    fault: Option<Fault>,
    mut row: Open,
    breaker: Breaker,
) -> io::Result<Response<Body>> {
    pause(Duration::from_millis(delays.headers_ms)).await;
    let end = match fault {
        None => End::Complete,
        Some(fault) => {
            let after = fault.after_chunks;
            let early = matches!(
                fault.kind,
                FaultKind::Close | FaultKind::Reset | FaultKind::Stall
            );
            if early && after.is_none() {
                return Err(never_begun(fault.kind, &mut row, &breaker).await);
            }
            spoil(&mut reply, fault)
        }
    };
    let mut response = Response::new(());
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    if matches!(end, End::Complete) && !is_stream(&response) {
        let bytes: usize = reply.writes.iter().map(|write| write.bytes.len()).sum();
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    row.headers(reply.status.as_u16(), reply.usage);
    let play = Play {
        writes: reply.writes.into(),
        last: None,
        begun: false,
        delays,
        end,
        row,
        breaker,
    };
    let frames = stream::unfold(play, |mut play| async move {
        let frame = play.next().await?;
        Some((frame, play))
    });
    Ok(response.map(|()| StreamBody::new(frames).boxed_unsync()))
}

fn is_stream<T>(response: &Response<T>) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

async fn never_begun(kind: FaultKind, row: &mut Open, breaker: &Breaker) -> io::Error {
    match kind {
        FaultKind::Stall => std::future::pending::<()>().await,
        FaultKind::Reset => breaker.reset(),
        _ => {}
    }
    row.fault(name(kind));
    broken()
}

fn name(kind: FaultKind) -> String {
    let name = serde_json::to_value(kind).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

fn broken() -> io::Error {
    io::Error::other("the script breaks the connection here")
}

/// What happens after the last write.
#[derive(Clone, Copy, Debug)]
enum End {
    Complete,
    /// The error was a write, and the last.
    Said(FaultKind),
    Broken(FaultKind),
    Endless,
}

/// Changes the writes as the fault wants them.
fn spoil(reply: &mut Reply, fault: Fault) -> End {
    let after = fault
        .after_chunks
        .unwrap_or(reply.spoken_writes)
        .min(reply.writes.len());
    match fault.kind {
        FaultKind::MalformedEvent => {
            reply.writes.insert(
                after,
                Write::mute("data: {\"choices\": [{\"index\": 0, \"delta\": {\"conte\n\n"),
            );
            End::Complete
        }
        FaultKind::ErrorEvent => {
            let error = fault.error.unwrap_or_else(|| {
                json!({"error": {"message": "the server is overloaded", "type": "server_error", "code": "overloaded"}})
            });
            reply.writes.truncate(after);
            reply.writes.push(Write::mute(event(&error)));
            End::Said(fault.kind)
        }
        FaultKind::Endless => {
            reply.writes.truncate(after.max(1));
            End::Endless
        }
        FaultKind::Close | FaultKind::Reset | FaultKind::Stall | FaultKind::BadFraming => {
            reply.writes.truncate(after);
            End::Broken(fault.kind)
        }
    }
}

struct Play {
    writes: VecDeque<Write>,
    last: Option<Write>,
    begun: bool,
    delays: Delays,
    end: End,
    row: Open,
    breaker: Breaker,
}

impl Play {
    async fn next(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        self.wait().await;
        if let Some(write) = self.writes.pop_front() {
            let frame = self.send(&write);
            if self.writes.is_empty() {
                match self.end {
                    End::Complete => self.row.complete(),
                    End::Said(kind) => self.row.fault(name(kind)),
                    End::Broken(_) | End::Endless => {}
                }
            }
            self.last = Some(write);
            return Some(Ok(frame));
        }
        match self.end {
            End::Complete | End::Said(_) => {
                self.row.complete();
                None
            }
            End::Endless => {
                pause(ENDLESS_PAUSE_MIN).await;
                let last = self.last.take()?;
                let frame = self.send(&last);
                self.last = Some(last);
                Some(Ok(frame))
            }
            End::Broken(kind) => self.broken(kind).await,
        }
    }

    async fn broken(&mut self, kind: FaultKind) -> Option<io::Result<Frame<Bytes>>> {
        match kind {
            FaultKind::Stall => std::future::pending::<()>().await,
            FaultKind::Reset => self.breaker.reset(),
            FaultKind::BadFraming => {
                self.breaker.garble();
                self.row.fault(name(kind));
                return Some(Ok(Frame::data(Bytes::from_static(b"replaced on the wire"))));
            }
            _ => {}
        }
        self.row.fault(name(kind));
        Some(Err(broken()))
    }

    fn send(&self, write: &Write) -> Frame<Bytes> {
        self.row.sent(write.bytes.len(), &write.said);
        Frame::data(write.bytes.clone())
    }

    async fn wait(&mut self) {
        let first = !std::mem::replace(&mut self.begun, true);
        let wait_ms = if first {
            self.delays.first_ms
        } else {
            self.delays.chunk_ms
        };
        pause(Duration::from_millis(wait_ms)).await;
    }
}

/// Even a pause of nothing yields, which is what makes the connection flush.
async fn pause(length: Duration) {
    if length.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(length).await;
    }
}
