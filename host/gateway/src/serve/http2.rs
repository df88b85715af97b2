//! HTTP/2: many requests on one connection, each with the bounds that an HTTP/1 connection has.
//!
//! The `h2` crate bounds what it holds by the settings below; of floods it answers, by itself, too many CONTINUATION
//! frames of one head, too many resets before we looked, and headers far over the bound with GOAWAY
//! (`ENHANCE_YOUR_CALM`). What it does not know is a client that stops reading one stream while the connection goes
//! on, and a connection on which nothing happens: those are ended here.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::{Door, Ended, Io, Leave, Turn};
use super::route::{self, route};
use crate::limits;
use crate::reply::Unread;

tokio::task_local! {
    /// The answer of the stream whose task this is, once there is one.
    static ANSWER: Rc<RefCell<Option<Unread>>>;
}

/// Streams that a worker still has room for.
#[derive(Clone)]
pub(super) struct Room(Rc<Cell<usize>>);

impl Default for Room {
    fn default() -> Self {
        Self(Rc::new(Cell::new(limits::STREAMS_MAX)))
    }
}

/// The streams of one connection: where their tasks run.
#[derive(Clone)]
struct Streams {
    room: Room,
    idle: Duration,
    state: Rc<State>,
}

struct State {
    open: Cell<usize>,
    /// When the last one ended, or the connection began.
    quiet_since: Cell<Instant>,
}

/// One stream; dropping it gives its place back.
struct Place(Streams);

impl Drop for Place {
    fn drop(&mut self) {
        let (room, state) = (&self.0.room.0, &self.0.state);
        room.set(room.get() + 1);
        state.open.set(state.open.get() - 1);
        state.quiet_since.set(Instant::now());
    }
}

impl Streams {
    fn new(room: Room, idle: Duration) -> Self {
        let state = Rc::new(State {
            open: Cell::new(0),
            quiet_since: Cell::new(Instant::now()),
        });
        Self { room, idle, state }
    }

    fn open(&self) -> Option<Place> {
        let left = self.room.0.get().checked_sub(1)?;
        self.room.0.set(left);
        self.state.open.set(self.state.open.get() + 1);
        Some(Place(self.clone()))
    }

    /// Resolves when there has been no stream for so long.
    async fn quiet(&self, long: Duration) {
        loop {
            let until = self.state.quiet_since.get() + long;
            if self.state.open.get() > 0 {
                sleep(long).await;
            } else if until <= Instant::now() {
                return;
            } else {
                sleep_until(until).await;
            }
        }
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        // Dropped, it is reset.
        let Some(place) = self.open() else { return };
        let idle = self.idle;
        spawn_local(async move {
            let _place = place;
            let answer = Rc::new(RefCell::new(None));
            tokio::select! {
                biased;
                () = ANSWER.scope(Rc::clone(&answer), stream) => {}
                () = stuck(&answer, idle) => tracing::debug!("a client stopped reading a stream; it is reset"),
            }
        });
    }
}

/// Resolves when bytes of the answer have waited for the client for `idle` (and at most half as long again) without
/// one being read.
async fn stuck(answer: &RefCell<Option<Unread>>, idle: Duration) {
    let (mut before, mut still) = (None, 0);
    while still < 2 {
        sleep(idle / 2).await;
        let now = answer.borrow().as_ref().and_then(Unread::waits_at);
        still = if now.is_some() && now == before {
            still + 1
        } else {
            0
        };
        before = now;
    }
}

pub(super) async fn serve<T: AsyncRead + AsyncWrite + Unpin + 'static>(
    door: &Door,
    turn: &Turn,
    mut leave: Leave<'_, impl Future<Output = ()>>,
    io: Io<T>,
) -> Ended {
    let data = &door.worker.config.data;
    let idle = Duration::from_millis(data.client_idle_ms);
    let quiet = Duration::from_millis(data.header_timeout_ms);
    let streams = Streams::new(door.streams.clone(), idle);
    let worker = &door.worker;
    let service = service_fn(|request| {
        let worker = Rc::clone(worker);
        let is_ours = turn.takes();
        async move {
            if !is_ours {
                return Ok(route::not_ours());
            }
            let response = route(worker, request).await;
            // Elsewhere than in a stream's task nobody watches.
            let _watched = ANSWER.try_with(|answer| {
                *answer.borrow_mut() = Some(response.body().watched());
            });
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http2::Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_millis(data.http2.ping_ms))
        .keep_alive_timeout(Duration::from_millis(data.http2.ping_timeout_ms));
    builder
        .max_concurrent_streams(data.http2.streams_max)
        .max_frame_size(limits::HTTP2_FRAME_BYTES_MAX)
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(limits::FRAME_BYTES_MAX)
        .max_pending_accept_reset_streams(limits::PENDING_RESETS_MAX)
        .max_local_error_reset_streams(limits::ERROR_RESETS_MAX);
    // Twice our own bound, so that what is over ours is still refused in the caller's dialect.
    builder.max_header_list_size(HEADER_LIST_BYTES_MAX);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut asked = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return Ok(ended?),
            () = leave.as_mut(), if !asked => {}
            () = streams.quiet(quiet) => {
                if asked {
                    // GOAWAY was not enough.
                    return Ok(());
                }
            }
        }
        // GOAWAY: streams that the client has begun by then are still served.
        asked = true;
        streams.state.quiet_since.set(Instant::now());
        connection.as_mut().graceful_shutdown();
    }
}

/// Bytes of a request's head, as HTTP/2 counts them.
const HEADER_LIST_BYTES_MAX: u32 = {
    assert!(limits::HEADER_BYTES_MAX < u32::MAX as usize / 2);
    2 * limits::HEADER_BYTES_MAX as u32
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::ReplyBody;
    use http_body_util::BodyExt as _;

    fn run<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime.expect("a runtime").block_on(future)
    }

    #[test]
    fn who_reads_a_little_is_not_stuck_and_who_stops_is() {
        run(async {
            let mut body = ReplyBody::whole(vec![b'x'; 3 * limits::FRAME_BYTES_MAX].into());
            let answer = RefCell::new(Some(body.watched()));
            let idle = Duration::from_secs(30);
            let read = async {
                for _ in 0..3 {
                    sleep(Duration::from_secs(29)).await;
                    body.frame().await.expect("a frame").expect("no error");
                }
                sleep(Duration::from_secs(100)).await;
            };
            tokio::select! {
                () = stuck(&answer, idle) => panic!("it read all"),
                () = read => {}
            }
            let unread = ReplyBody::whole("x".into());
            let answer = RefCell::new(Some(unread.watched()));
            let began = Instant::now();
            stuck(&answer, idle).await;
            let waited = began.elapsed();
            assert!((idle..=2 * idle).contains(&waited), "{waited:?}");
        });
    }

    #[test]
    fn places_are_given_back_and_quiet_counts_from_the_last() {
        run(async {
            let room = Room(Rc::new(Cell::new(1)));
            let streams = Streams::new(room, Duration::from_secs(30));
            let place = streams.open().expect("room");
            assert!(streams.open().is_none(), "over the bound");
            let long = Duration::from_secs(10);
            let quiet = tokio::time::timeout(5 * long, streams.quiet(long));
            assert!(quiet.await.is_err(), "a stream is open");
            drop(place);
            let began = Instant::now();
            streams.quiet(long).await;
            assert_eq!(began.elapsed(), long);
            assert!(streams.open().is_some());
        });
    }
}
