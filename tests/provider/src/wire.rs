//! The socket, with two ways to break it that HTTP libraries rightly do not offer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

// Zero is intact.
const RESET: u8 = 1;
const GARBLE: u8 = 2;

/// Breaks a connection from within its service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Breaker(Arc<AtomicU8>);

impl Breaker {
    /// When the connection closes, it closes by a reset.
    pub(crate) fn reset(&self) {
        self.0.store(RESET, Ordering::Release);
    }

    /// The next write becomes bytes that are no HTTP, and is the last.
    pub(crate) fn garble(&self) {
        self.0.store(GARBLE, Ordering::Release);
    }
}

/// A TCP stream under a breaker.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    breaker: Breaker,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, breaker: Breaker) -> Self {
        Self { stream, breaker }
    }

    fn garbled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, b"not a chunk size\r\nnor data\r\n") {
            Poll::Ready(Ok(_)) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            other => other,
        }
    }

    fn is(&self, state: u8) -> bool {
        self.breaker.0.load(Ordering::Acquire) == state
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.is(RESET) {
            // A socket that the peer closed already cannot be reset any more; there is nothing to do then.
            let _closed_already = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is(GARBLE) {
            return self.garbled(cx);
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is(GARBLE) {
            return self.garbled(cx);
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
