//! The load generator.

mod exchange;
mod figures;
mod response;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};

use exchange::Connection;
use figures::{Figures, distribution};

/// How long requests under way may take after the end.
const GRACE: Duration = Duration::from_secs(15);
/// Before a failed connection is tried again.
const RECONNECT: Duration = Duration::from_millis(50);
/// Between the looks of [`Mode::Once`].
const LOOK: Duration = Duration::from_millis(2);

/// What to do.
#[derive(Clone, Debug)]
pub struct Load {
    /// How.
    pub mode: Mode,
    /// Whom to.
    pub address: SocketAddr,
    /// The request's path.
    pub path: String,
    /// Further request headers.
    pub headers: Vec<(String, String)>,
    /// The request's body.
    pub body: Bytes,
    /// Connections, each with one request in flight.
    pub connections: u32,
    /// The time that counts.
    pub measured: Duration,
    /// The time before it.
    pub warm_up: Duration,
}

/// Kinds of load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Each connection asks as fast as it is answered.
    Closed,
    /// Open loop: requests are due at fixed times, and waiting for a connection counts.
    Rate {
        /// Requests a second, of all connections.
        per_s: f64,
    },
    /// Streams: time to the first event, gaps between events.
    Stream {
        /// The pause that the upstream keeps between events, in microseconds; adds the jitter against it.
        gap_us: Option<f64>,
    },
    /// Until the first answer with status 200.
    Once {
        /// How long to wait for it.
        wait: Duration,
    },
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Rate { .. } => "rate",
            Self::Stream { .. } => "stream",
            Self::Once { .. } => "once",
        }
    }
}

/// Runs the load on the current `LocalSet` and returns the figures.
///
/// # Errors
/// Where the request cannot be made at all.
pub async fn run(load: Load) -> anyhow::Result<Value> {
    let request: Rc<[u8]> = exchange::request(&load)?.into();
    if let Mode::Once { wait } = load.mode {
        return Ok(once(&load, &request, wait).await);
    }
    let load = Rc::new(load);
    let figures = Rc::new(RefCell::new(Figures::default()));
    let began = Instant::now();
    let times = Times {
        began,
        counts: began + load.warm_up,
        end: began + load.warm_up + load.measured,
    };
    let workers: Vec<_> = (0..load.connections)
        .map(|index| {
            let (load, request) = (Rc::clone(&load), Rc::clone(&request));
            tokio::task::spawn_local(worker(load, request, Rc::clone(&figures), times, index))
        })
        .collect();
    for worker in workers {
        let left = (times.end + GRACE).saturating_duration_since(Instant::now());
        // One that hangs has counted what it had; the rest is missing from the figures, as it should be.
        drop(tokio::time::timeout(left, worker).await);
    }
    let seconds = times.counts.elapsed().as_secs_f64();
    let told = told(&load, &mut figures.borrow_mut(), seconds);
    Ok(told)
}

#[derive(Clone, Copy)]
struct Times {
    began: Instant,
    /// From here on it counts.
    counts: Instant,
    end: Instant,
}

async fn once(load: &Load, request: &[u8], wait: Duration) -> Value {
    let end = Instant::now() + wait;
    let mut tries = 0_u64;
    while Instant::now() < end {
        tries += 1;
        if let Some(mut connection) = Connection::open(load.address).await {
            let began = Instant::now();
            if connection
                .whole(request)
                .await
                .is_some_and(|whole| whole.ok)
            {
                let latency_us = began.elapsed().as_micros();
                let now_ns = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default()
                    .as_nanos();
                // Nanoseconds since 1970 do not fit a JSON number's 53 bits.
                return json!({"ok": true, "unix_ns": now_ns.to_string(), "tries": tries, "lat_us": latency_us as u64});
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    json!({"ok": false, "tries": tries})
}

/// One connection's requests, one after the other.
async fn worker(
    load: Rc<Load>,
    request: Rc<[u8]>,
    figures: Rc<RefCell<Figures>>,
    times: Times,
    index: u32,
) {
    let mut connection = None;
    let share = f64::from(index) / f64::from(load.connections);
    // In the open loop a worker owns every n-th arrival; else starts are spread over the warm-up.
    let (mut due, step) = match load.mode {
        Mode::Rate { per_s } => {
            let round = f64::from(load.connections) / per_s;
            (
                times.began + Duration::from_secs_f64(round * share),
                Some(Duration::from_secs_f64(round)),
            )
        }
        _ => (times.began + load.warm_up.mul_f64(0.8 * share), None),
    };
    let mut first = true;
    loop {
        let mut from = Instant::now();
        if from >= times.end || due >= times.end {
            return;
        }
        if step.is_some() || first {
            if from < due {
                tokio::time::sleep_until(due.into()).await;
                // Idle when it was due: the timer's own lateness is not the gateway's.
                from = Instant::now();
            } else if step.is_some() {
                // Busy when it was due: the wait counts.
                from = due;
            }
            due += step.unwrap_or_default();
            first = false;
        }
        let Some(mut open) = connection.take() else {
            connection = Connection::open(load.address).await;
            if connection.is_none() {
                figures.borrow_mut().errors += 1;
                tokio::time::sleep(RECONNECT).await;
            }
            // The arrival that found no connection is asked now, from when it was due.
            due -= step.unwrap_or_default();
            continue;
        };
        let counts = from >= times.counts;
        match load.mode {
            Mode::Stream { .. } => {
                let stream = open.stream(&request).await;
                if counts {
                    figures.borrow_mut().stream(stream);
                }
            }
            _ => {
                let whole = open.whole(&request).await;
                if counts {
                    figures.borrow_mut().whole(whole, from.elapsed());
                }
            }
        }
        if open.open {
            connection = Some(open);
        }
    }
}

fn told(load: &Load, figures: &mut Figures, seconds: f64) -> Value {
    let ok = figures.latencies_ns.len();
    let mut told = json!({
        "mode": load.mode.name(),
        "conns": load.connections,
        "secs": round(seconds, 1000.0),
        "ok": ok,
        "per_s": round(ok as f64 / seconds, 10.0),
        "non200": figures.not_ok,
        "errors": figures.errors,
        "incomplete": figures.incomplete,
        "bytes": figures.bytes,
        "events": figures.events,
        "events_per_s": round(figures.events as f64 / seconds, 10.0),
    });
    if let Mode::Stream {
        gap_us: Some(gap_us),
    } = load.mode
    {
        let gap_ns = gap_us * 1000.0;
        let mut jitter: Vec<u64> = figures
            .gaps_ns
            .iter()
            .map(|gap| (*gap as f64 - gap_ns).abs() as u64)
            .collect();
        told["jitter_us"] = distribution(&mut jitter);
    }
    told["lat_us"] = distribution(&mut figures.latencies_ns);
    told["stream_us"] = distribution(&mut figures.streams_ns);
    told["gap_us"] = distribution(&mut figures.gaps_ns);
    told
}

/// To the given fraction.
fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
