//! One HTTP/1.1 connection to a target. Dropping it closes it at once, whatever it was doing.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use crate::error::UpstreamError;
use crate::limits;
use crate::origin::Origin;
use crate::pool::Reusable;

pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Bytes that the target ever sent.
    received: Rc<Cell<u64>>,
    born: Instant,
    _driver: Driver,
}

/// The task that moves bytes. It owns the socket, so ending it closes the socket.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request that got no answer.
pub(crate) struct Unanswered {
    pub(crate) error: hyper::Error,
    /// Not one byte came back.
    pub(crate) silent: bool,
}

impl Unanswered {
    /// In the caller's terms. What hyper cancels it never wrote.
    pub(crate) fn told(&self, origin: &Origin) -> UpstreamError {
        let error = UpstreamError::from_hyper(&origin.authority(), &self.error);
        error.sent(!self.error.is_canceled())
    }
}

impl Connection {
    /// Starts HTTP on a socket. Inside a `LocalSet`.
    pub(crate) async fn open(socket: Socket) -> Result<Self, hyper::Error> {
        let received = Rc::default();
        let io = TokioIo::new(Counted {
            socket,
            received: Rc::clone(&received),
        });
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(limits::HEAD_BYTES_MAX)
            .handshake(io)
            .await?;
        // Its error reaches whoever waits for an answer; nobody else needs it.
        let driver = tokio::task::spawn_local(async move {
            let _told_elsewhere = connection.await;
        });
        Ok(Self {
            sender,
            received,
            born: Instant::now(),
            _driver: Driver(driver),
        })
    }

    /// Whether it takes a request now.
    pub(crate) async fn ready(&mut self) -> bool {
        let ready = tokio::time::timeout(limits::READY_WITHIN, self.sender.ready());
        matches!(ready.await, Ok(Ok(())))
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let before = self.received.get();
        self.sender
            .send_request(request)
            .await
            .map_err(|error| Unanswered {
                error,
                silent: self.received.get() == before,
            })
    }
}

impl Reusable for Connection {
    fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    fn born(&self) -> Instant {
        self.born
    }
}

/// Plain or TLS.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A socket that counts what comes in, above TLS: a session ticket is no answer.
struct Counted {
    socket: Socket,
    received: Rc<Cell<u64>>,
}

macro_rules! socket {
    ($counted:ident, $stream:ident => $call:expr) => {
        match &mut $counted.get_mut().socket {
            Socket::Plain(plain) => {
                let $stream = Pin::new(plain);
                $call
            }
            Socket::Tls(tls) => {
                let $stream = Pin::new(tls.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = self.as_mut();
        let polled = socket!(this, stream => stream.poll_read(cx, buffer));
        let read = buffer.filled().len() - before;
        self.received.set(self.received.get() + read as u64);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        socket!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        socket!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(plain) => plain.is_write_vectored(),
            Socket::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        socket!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        socket!(self, stream => stream.poll_shutdown(cx))
    }
}
