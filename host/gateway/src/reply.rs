//! The way back to the client: a head once, then bytes with a bound on what may lie unread.
//!
//! The pipeline holds a [`Reply`]; the connection holds the other end. When the client goes away the connection
//! drops its end and [`Reply::gone`] resolves; when the client stops reading, [`Reply::send`] waits at most the
//! configured time and then reports it gone.

mod gather;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

use crate::limits;

use gather::Gather;

/// Status and headers of an answer.
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: ReplyBody,
}

/// The client no longer reads, or never will.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gone;

/// Why a body breaks off: its connection or stream does, too, so that nobody takes it for whole.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the client does not read")]
pub(crate) struct Stuck;

#[derive(Default)]
struct Pipe {
    chunks: RefCell<VecDeque<Bytes>>,
    /// Bytes in `chunks`.
    queued_bytes: Cell<usize>,
    /// Those, and what the connection has taken and not yet written.
    unread_bytes: Cell<usize>,
    /// Bytes that were written, ever.
    written_bytes: Cell<u64>,
    /// The end is told only when all before it is written.
    end_waits: Cell<bool>,
    ended: Cell<bool>,
    /// It was given up before its end, which must not look like one.
    broken: Cell<bool>,
    dropped: Cell<bool>,
    /// All of the answer was there when it began: its length is known.
    is_whole: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    /// Waits for room.
    writer: RefCell<Option<Waker>>,
    /// Waits for the client to go away, and for nothing else: each write would wake it.
    watcher: RefCell<Option<Waker>>,
}

impl Pipe {
    fn push(&self, chunk: Bytes) {
        self.queued_bytes.set(self.queued_bytes.get() + chunk.len());
        self.unread_bytes.set(self.unread_bytes.get() + chunk.len());
        self.chunks.borrow_mut().push_back(chunk);
    }

    /// At most a frame.
    fn pop(&self) -> Option<Bytes> {
        let mut chunks = self.chunks.borrow_mut();
        let mut chunk = chunks.pop_front()?;
        if chunk.len() > limits::FRAME_BYTES_MAX {
            chunks.push_front(chunk.split_off(limits::FRAME_BYTES_MAX));
        }
        self.queued_bytes.set(self.queued_bytes.get() - chunk.len());
        Some(chunk)
    }

    fn written(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.unread_bytes.set(self.unread_bytes.get() - bytes);
        self.written_bytes
            .set(self.written_bytes.get() + bytes as u64);
        self.wake_writer();
        if self.end_waits.get() && self.unread_bytes.get() == 0 {
            self.wake_reader();
        }
    }

    /// Gives up on a client that does not read; what waits for it is freed.
    fn break_off(&self) {
        self.broken.set(true);
        self.chunks.borrow_mut().clear();
        let waited = self.queued_bytes.replace(0);
        self.unread_bytes.set(self.unread_bytes.get() - waited);
        self.wake_reader();
    }

    fn is_at_end(&self) -> bool {
        if self.broken.get() {
            return false;
        }
        let held = self.end_waits.get() && self.unread_bytes.get() > 0;
        self.ended.get() && self.chunks.borrow().is_empty() && !held
    }

    fn wake_reader(&self) {
        if let Some(waker) = self.reader.borrow_mut().take() {
            waker.wake();
        }
    }

    fn wake_writer(&self) {
        if let Some(waker) = self.writer.borrow_mut().take() {
            waker.wake();
        }
    }

    fn wake_watcher(&self) {
        if let Some(waker) = self.watcher.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// The pipeline's end. Dropping it ends the body.
pub(crate) struct Reply {
    head: Option<oneshot::Sender<Head>>,
    pipe: Rc<Pipe>,
    unread_bytes_max: usize,
    idle: Duration,
}

/// The connection's end, a hyper body.
pub(crate) struct ReplyBody {
    pipe: Rc<Pipe>,
    gather: Gather,
}

impl ReplyBody {
    /// A body that is there already.
    pub(crate) fn whole(body: Bytes) -> Self {
        let pipe = Pipe::default();
        pipe.is_whole.set(true);
        pipe.push(body);
        pipe.ended.set(true);
        Self {
            pipe: Rc::new(pipe),
            gather: Gather::default(),
        }
    }

    /// Makes the end wait until all before it is written, so that whoever sends the body can still take it back;
    /// the handle tells how it goes.
    pub(crate) fn watched(&self) -> Unread {
        self.pipe.end_waits.set(true);
        Unread {
            pipe: Rc::clone(&self.pipe),
        }
    }
}

/// How a client reads.
pub(crate) struct Unread {
    pipe: Rc<Pipe>,
}

impl Unread {
    /// While bytes wait for the client: how many it has read before.
    pub(crate) fn waits_at(&self) -> Option<u64> {
        (self.pipe.unread_bytes.get() > 0).then(|| self.pipe.written_bytes.get())
    }
}

/// A piece of an answer on its way to the socket; what is not written stays counted as unread.
pub(crate) struct Piece {
    bytes: Bytes,
    pipe: Rc<Pipe>,
}

/// Content is never shown.
impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.pipe.written(count);
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        let copied = self.bytes.copy_to_bytes(count);
        self.pipe.written(count);
        copied
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.pipe.written(self.bytes.remaining());
    }
}

/// A reply and the receiver of its head.
pub(crate) fn channel(unread_bytes_max: usize, idle: Duration) -> (Reply, oneshot::Receiver<Head>) {
    let (sender, receiver) = oneshot::channel();
    let reply = Reply {
        head: Some(sender),
        pipe: Rc::default(),
        unread_bytes_max,
        idle,
    };
    (reply, receiver)
}

impl Reply {
    /// Sends status and headers; later calls are ignored.
    pub(crate) fn start(&mut self, status: StatusCode, headers: HeaderMap) -> Result<(), Gone> {
        let Some(sender) = self.head.take() else {
            return Ok(());
        };
        let body = ReplyBody {
            pipe: Rc::clone(&self.pipe),
            gather: Gather::default(),
        };
        sender
            .send(Head {
                status,
                headers,
                body,
            })
            .map_err(|_| Gone)
    }

    /// Whether the head has been sent: the commit point of HTTP.
    pub(crate) fn started(&self) -> bool {
        self.head.is_none()
    }

    /// Sends a whole answer. The connection then knows its length.
    pub(crate) fn whole(
        &mut self,
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(), Gone> {
        self.pipe.is_whole.set(true);
        self.pipe.push(body);
        self.pipe.ended.set(true);
        self.start(status, headers)
    }

    /// Queues bytes; waits while more than the bound lies unread, at most the idle time without progress.
    pub(crate) async fn send(&self, chunk: Bytes) -> Result<(), Gone> {
        loop {
            if self.pipe.dropped.get() {
                return Err(Gone);
            }
            let unread = self.pipe.unread_bytes.get();
            if unread == 0 || unread + chunk.len() <= self.unread_bytes_max {
                self.pipe.push(chunk);
                self.pipe.wake_reader();
                return Ok(());
            }
            self.progress(unread).await?;
        }
    }

    /// Waits until every byte is written, so that what a slow reader leaves unread stays counted as a request under
    /// way.
    pub(crate) async fn taken(&self) -> Result<(), Gone> {
        loop {
            let unread = self.pipe.unread_bytes.get();
            if unread == 0 {
                return Ok(());
            }
            if self.pipe.dropped.get() {
                return Err(Gone);
            }
            self.progress(unread).await?;
        }
    }

    /// Waits until less than `unread` bytes lie unread, at most the idle time.
    async fn progress(&self, unread: usize) -> Result<(), Gone> {
        let pipe = Rc::clone(&self.pipe);
        let progress = std::future::poll_fn(move |context| {
            if pipe.dropped.get() || pipe.unread_bytes.get() < unread {
                return Poll::Ready(());
            }
            *pipe.writer.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        });
        let progress = tokio::time::timeout(self.idle, progress).await;
        progress.map_err(|_elapsed| {
            self.pipe.break_off();
            Gone
        })
    }

    /// Gives up on who reads too slowly: what waits is freed, and the answer breaks off.
    pub(crate) fn break_off(&self) {
        self.pipe.break_off();
    }

    /// Resolves when the client has gone away.
    pub(crate) async fn gone(&mut self) {
        match &mut self.head {
            Some(head) => head.closed().await,
            None => {
                let pipe = Rc::clone(&self.pipe);
                std::future::poll_fn(move |context| {
                    if pipe.dropped.get() {
                        return Poll::Ready(());
                    }
                    *pipe.watcher.borrow_mut() = Some(context.waker().clone());
                    Poll::Pending
                })
                .await;
            }
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.pipe.ended.set(true);
        self.pipe.wake_reader();
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        self.pipe.dropped.set(true);
        self.pipe.wake_writer();
        self.pipe.wake_watcher();
    }
}

impl Body for ReplyBody {
    type Data = Piece;
    type Error = Stuck;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Stuck>>> {
        let queued = self.pipe.queued_bytes.get();
        if queued > 0 && !self.pipe.ended.get() && self.gather.waits(queued) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(bytes) = self.pipe.pop() {
            let pipe = Rc::clone(&self.pipe);
            return Poll::Ready(Some(Ok(Frame::data(Piece { bytes, pipe }))));
        }
        self.gather.emptied();
        if self.pipe.broken.get() {
            return Poll::Ready(Some(Err(Stuck)));
        }
        if self.pipe.is_at_end() {
            return Poll::Ready(None);
        }
        *self.pipe.reader.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.pipe.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        if self.pipe.is_whole.get() {
            SizeHint::with_exact(self.pipe.queued_bytes.get() as u64)
        } else {
            SizeHint::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    #[test]
    fn bytes_arrive_in_order_and_end() {
        run(async {
            let (mut reply, head) = channel(1024, Duration::from_secs(1));
            reply
                .start(StatusCode::OK, HeaderMap::new())
                .expect("client is there");
            reply
                .send(Bytes::from_static(b"a"))
                .await
                .expect("client reads");
            reply
                .send(Bytes::from_static(b"b"))
                .await
                .expect("client reads");
            drop(reply);
            let body = head
                .await
                .expect("a head")
                .body
                .collect()
                .await
                .expect("no error")
                .to_bytes();
            assert_eq!(&body[..], b"ab");
        });
    }

    #[test]
    fn a_stuck_reader_is_cut_after_the_idle_time() {
        run(async {
            let (mut reply, head) = channel(4, Duration::from_secs(30));
            reply
                .start(StatusCode::OK, HeaderMap::new())
                .expect("client is there");
            let mut kept = head.await.expect("a head").body;
            reply.send(Bytes::from_static(b"1234")).await.expect("room");
            assert!(reply.send(Bytes::from_static(b"5")).await.is_err());
            drop(reply);
            assert!(!kept.is_end_stream(), "it looks whole");
            assert!(kept.frame().await.is_some_and(|frame| frame.is_err()));
        });
    }

    #[test]
    fn a_whole_answer_is_taken_piece_by_piece() {
        run(async {
            let (mut reply, head) = channel(4, Duration::from_secs(30));
            let answer = Bytes::from(vec![b'x'; 2 * limits::FRAME_BYTES_MAX + 1]);
            reply
                .whole(StatusCode::OK, HeaderMap::new(), answer.clone())
                .expect("client is there");
            let mut body = head.await.expect("a head").body;
            assert_eq!(body.size_hint().exact(), Some(answer.len() as u64));
            let first = body.frame().await.expect("a frame").expect("no error");
            let first = first.into_data().expect("data");
            assert_eq!(first.remaining(), limits::FRAME_BYTES_MAX);
            let first_bytes = first.remaining();
            drop(first);
            let rest = body.collect().await.expect("no error").to_bytes();
            assert_eq!(first_bytes + rest.len(), answer.len());
            assert!(reply.taken().await.is_ok());
        });
    }

    #[test]
    fn what_is_not_written_counts_as_unread_and_holds_back_a_watched_end() {
        run(async {
            let (mut reply, head) = channel(1024, Duration::from_secs(30));
            let answer = Bytes::from_static(b"1234");
            reply
                .whole(StatusCode::OK, HeaderMap::new(), answer)
                .expect("client is there");
            let mut body = head.await.expect("a head").body;
            let unread = body.watched();
            assert_eq!(unread.waits_at(), Some(0));
            let piece = body.frame().await.expect("a frame").expect("no error");
            let mut piece = piece.into_data().expect("data");
            assert!(!body.is_end_stream(), "it could still be taken back");
            piece.advance(3);
            assert_eq!(unread.waits_at(), Some(3));
            drop(piece);
            assert_eq!(unread.waits_at(), None);
            assert!(body.is_end_stream() && body.frame().await.is_none());
        });
    }

    #[test]
    fn a_client_that_leaves_is_noticed() {
        run(async {
            let (mut reply, head) = channel(4, Duration::from_secs(30));
            reply
                .start(StatusCode::OK, HeaderMap::new())
                .expect("client is there");
            drop(head.await.expect("a head"));
            reply.gone().await;
            assert!(reply.send(Bytes::from_static(b"5")).await.is_err());
        });
    }
}
