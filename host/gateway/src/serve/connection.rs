//! Connections: accepted, told apart (TLS, HTTP/2 or HTTP/1), bounded, and ended in order.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutWriter;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::http2;
use super::route::route;
use super::tls::Keeper;
use crate::limits;
use crate::worker::Worker;

/// What the process is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Not every thread could serve yet.
    Starting,
    Serving,
    /// Another process has the sockets: who is connected here finishes here.
    HandedOver,
    /// No new connections at all.
    Draining,
}

impl Life {
    pub(super) fn ends(self) -> bool {
        matches!(self, Self::HandedOver | Self::Draining)
    }
}

/// What every connection of one worker needs.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) worker: Rc<Worker>,
    pub(super) keeper: Option<Arc<Keeper>>,
    pub(super) life: watch::Receiver<Life>,
    pub(super) streams: http2::Room,
}

impl Door {
    fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.worker.config.data.header_timeout_ms)
    }
}

/// Accepts until told to stop, then waits for the connections, at most `data.drain-ms`.
pub(super) async fn accept(door: Door, listeners: Vec<TcpListener>) {
    let tracker = TaskTracker::new();
    let worker = Rc::clone(&door.worker);
    spawn_local(Rc::clone(&worker).follow_cuts());
    let accepting = listeners.into_iter().map(|listener| {
        let (door, tracker) = (door.clone(), tracker.clone());
        spawn_local(accept_from(listener, door, tracker))
    });
    for task in accepting.collect::<Vec<_>>() {
        // A panic there is told by the hook; the other sockets are accepted from all the same.
        let _ended = task.await;
    }
    tracker.close();
    let drain = Duration::from_millis(worker.config.data.drain_ms);
    let requests = worker.tasks.clone();
    requests.close();
    let all = async {
        tracker.wait().await;
        requests.wait().await;
    };
    let mut all = pin!(all);
    if timeout(drain, all.as_mut()).await.is_err() {
        tracing::warn!(
            left = tracker.len(),
            "drain bound reached; connections are cut"
        );
        worker.cut.send_modify(|cut| cut.all = true);
        let last_words = Duration::from_millis(limits::LAST_WORDS_MS);
        let _whoever_does_not_read_is_left = timeout(last_words, all).await;
    }
    worker.seal();
}

async fn accept_from(listener: TcpListener, mut door: Door, tracker: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = door.life.wait_for(|life| life.ends()) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if tracker.len() < limits::CONNECTIONS_MAX => {
                tracker.spawn_local(connection(door.clone(), stream));
            }
            // Over the bound: closing at once is the cheapest refusal.
            Ok((stream, _)) => drop(stream),
            Err(error) => {
                tracing::warn!(error = %error, "accept failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn connection(door: Door, stream: TcpStream) {
    // Chunks of a stream are small and must leave at once (measured: coalescing costs 23 ms of jitter).
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let turn = Turn::new(&door);
    let leave = pin!(turn.is_over());
    let ended = match &door.keeper {
        Some(keeper) => secure(&door, &turn, leave, keeper, stream).await,
        None => plain(&door, &turn, leave, stream).await,
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "connection ended");
    }
}

pub(super) type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Resolves when a connection is to be closed: at once where it is idle, else after the requests under way.
pub(super) type Leave<'a, F> = Pin<&'a mut F>;

async fn secure(
    door: &Door,
    turn: &Rc<Turn>,
    mut leave: Leave<'_, impl Future<Output = ()>>,
    keeper: &Keeper,
    stream: TcpStream,
) -> Ended {
    let within = Duration::from_millis(keeper.handshake_timeout_ms());
    let handshake = TlsAcceptor::from(keeper.config()).accept(stream);
    // Its state is large and short-lived: not a part of every connection.
    let stream = tokio::select! {
        biased;
        stream = timeout(within, Box::pin(handshake)) => stream??,
        () = leave.as_mut() => return Ok(()),
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = bounded(door, Prefixed::new(stream));
    if is_http2 {
        Box::pin(http2::serve(door, turn, leave, io)).await
    } else {
        Box::pin(serve_http1(door, turn, leave, io)).await
    }
}

async fn plain(
    door: &Door,
    turn: &Rc<Turn>,
    mut leave: Leave<'_, impl Future<Output = ()>>,
    stream: TcpStream,
) -> Ended {
    if !door.worker.config.data.http2.enabled {
        let io = bounded(door, Prefixed::new(stream));
        return Box::pin(serve_http1(door, turn, leave, io)).await;
    }
    let told = told_apart(stream);
    let (is_http2, stream) = tokio::select! {
        biased;
        told = timeout(door.header_timeout(), told) => told??,
        () = leave.as_mut() => return Ok(()),
    };
    let io = bounded(door, stream);
    if is_http2 {
        Box::pin(http2::serve(door, turn, leave, io)).await
    } else {
        Box::pin(serve_http1(door, turn, leave, io)).await
    }
}

/// What hyper reads from and writes to.
pub(super) type Io<T> = TokioIo<Pin<Box<TimeoutWriter<Prefixed<T>>>>>;

/// The reply's bound holds back the pipeline; this one frees what hyper has taken for a reader that stopped.
fn bounded<T: AsyncRead + AsyncWrite + Unpin>(door: &Door, stream: Prefixed<T>) -> Io<T> {
    let mut stream = TimeoutWriter::new(stream);
    let idle = Duration::from_millis(door.worker.config.data.client_idle_ms);
    stream.set_timeout(Some(idle));
    TokioIo::new(Box::pin(stream))
}

async fn serve_http1<T: AsyncRead + AsyncWrite + Unpin + 'static>(
    door: &Door,
    turn: &Rc<Turn>,
    mut leave: Leave<'_, impl Future<Output = ()>>,
    io: Io<T>,
) -> Ended {
    let service = service_fn(|request| {
        let (worker, turn) = (Rc::clone(&door.worker), Rc::clone(turn));
        let is_ours = turn.takes();
        async move {
            if !is_ours {
                return Err(NotOurs);
            }
            let mut response = route(worker, request).await;
            if turn.leaves() {
                // The next request is the other process's.
                let close = http::HeaderValue::from_static("close");
                response
                    .headers_mut()
                    .insert(http::header::CONNECTION, close);
            }
            Ok(response)
        }
    });
    let mut builder = http1::Builder::new();
    // Without a timer hyper's header timeout is silently off.
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(door.header_timeout());
    // Twice our own bounds, so that what is over ours is still refused in the caller's dialect.
    builder
        .max_buf_size(2 * limits::HEADER_BYTES_MAX)
        .max_headers(2 * limits::HEADERS_MAX)
        .keep_alive(true);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut asked = false;
    loop {
        tokio::select! {
            biased;
            () = leave.as_mut(), if !asked => {
                asked = true;
                connection.as_mut().graceful_shutdown();
            }
            ended = connection.as_mut() => return Ok(ended?),
        }
    }
}

/// Closes a connection without an answer: its client sees one that was idle, and sends again on another.
#[derive(Debug, thiserror::Error)]
#[error("another process serves now; the client sends again")]
struct NotOurs;

/// What one connection may still ask of this process.
///
/// After a handover this process's keys and policies are those of the past: it serves no further request. One request
/// is excepted, the first of a connection that it had accepted by then: its client cannot know better, and has no
/// connection that it would expect to be closed.
pub(super) struct Turn {
    life: watch::Receiver<Life>,
    asked: Cell<bool>,
    asks: Notify,
    is_over: Cell<bool>,
}

impl Turn {
    fn new(door: &Door) -> Rc<Self> {
        Rc::new(Self {
            life: door.life.clone(),
            asked: Cell::new(false),
            asks: Notify::new(),
            is_over: Cell::new(false),
        })
    }

    /// Takes a request, where it is this process's.
    pub(super) fn takes(&self) -> bool {
        let is_first = !self.asked.replace(true);
        if is_first {
            self.asks.notify_one();
        }
        *self.life.borrow() != Life::HandedOver || (is_first && !self.is_over.get())
    }

    fn leaves(&self) -> bool {
        self.life.borrow().ends()
    }

    /// Resolves when the process leaves and the connection has asked, or has had the time to.
    async fn is_over(&self) {
        let mut life = self.life.clone();
        // An error: whoever told is gone, which is an end as well.
        let _ends = life.wait_for(|life| life.ends()).await;
        let first = Duration::from_millis(limits::FIRST_REQUEST_MS);
        let _asked_or_not = timeout(first, self.asks.notified()).await;
        self.is_over.set(true);
    }
}

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose first bytes were read already.
#[derive(Debug)]
pub(super) struct Prefixed<T> {
    prefix: [u8; PREFACE.len()],
    given: usize,
    len: usize,
    inner: T,
}

impl<T> Prefixed<T> {
    fn new(inner: T) -> Self {
        Self {
            prefix: [0; PREFACE.len()],
            given: 0,
            len: 0,
            inner,
        }
    }
}

/// Reads as far as it takes to tell HTTP/2 by prior knowledge from HTTP/1.
async fn told_apart<T: AsyncRead + Unpin>(inner: T) -> io::Result<(bool, Prefixed<T>)> {
    let mut stream = Prefixed::new(inner);
    loop {
        let read = stream.inner.read(&mut stream.prefix[stream.len..]).await?;
        stream.len += read;
        let is_http1 = stream.prefix[..stream.len] != PREFACE[..stream.len];
        if read == 0 || is_http1 || stream.len == PREFACE.len() {
            // At the end of what was sent it is HTTP/1 that says what was wrong.
            return Ok((!is_http1 && stream.len == PREFACE.len(), stream));
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Prefixed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        if me.given < me.len {
            let count = buffer.remaining().min(me.len - me.given);
            buffer.put_slice(&me.prefix[me.given..me.given + count]);
            me.given += count;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut me.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Prefixed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(future)
    }

    async fn told(pieces: &[&[u8]]) -> (bool, Vec<u8>) {
        let (ours, mut theirs) = tokio::io::duplex(1);
        let sent = pieces.concat();
        let send = async move {
            use tokio::io::AsyncWriteExt as _;
            theirs.write_all(&sent).await.expect("read to the end");
        };
        let read = async {
            let (is_http2, mut stream) = told_apart(ours).await.expect("no error");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.expect("no error");
            (is_http2, all)
        };
        tokio::join!(send, read).1
    }

    fn turn(life: &watch::Sender<Life>) -> Turn {
        Turn {
            life: life.subscribe(),
            asked: Cell::new(false),
            asks: Notify::new(),
            is_over: Cell::new(false),
        }
    }

    #[test]
    fn after_a_handover_only_who_never_asked_is_served_once() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (life, _living) = watch::channel(Life::Serving);
            let (idle, fresh, silent) = (turn(&life), turn(&life), turn(&life));
            assert!(idle.takes() && idle.takes());
            life.send_replace(Life::HandedOver);
            assert!(!idle.takes());
            assert!(fresh.takes() && !fresh.takes());
            let began = tokio::time::Instant::now();
            idle.is_over().await;
            fresh.is_over().await;
            assert_eq!(began.elapsed(), Duration::ZERO);
            silent.is_over().await;
            let first = Duration::from_millis(limits::FIRST_REQUEST_MS);
            assert_eq!(began.elapsed(), first);
            assert!(!silent.takes());
            // A process that ends alone has nobody to leave requests to.
            life.send_replace(Life::Draining);
            assert!(idle.takes());
        });
    }

    #[test]
    fn the_preface_alone_is_http2_and_no_byte_is_lost() {
        run(async {
            for (bytes, http2) in [
                (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest"[..], true),
                (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true),
                (b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", false),
                (b"POST / HTTP/1.1\r\n\r\n", false),
                (b"PRI", false),
                (b"", false),
            ] {
                assert_eq!(told(&[bytes]).await, (http2, bytes.to_vec()));
            }
        });
    }
}
