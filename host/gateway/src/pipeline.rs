//! The life of a request, a line a phase. The names are those of the WIT, the metrics and the decision records.
//!
//! Promises: one snapshot from the first phase to the last byte; an `opened` record before an attempt's first byte and
//! a `closed` one before the last client byte; failover only before the first released content byte.

mod account;
mod admit;
mod answer;
mod body;
mod cache;
mod capture;
mod decide;
mod deliberation;
mod embedding;
mod exchange;
mod execute;
mod guards;
mod idempotency;
mod metering;
mod observe;
mod rehearse;
mod rerun;
mod scopes;
mod stream;
mod timeline;

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use http::request::Parts;
use hyper::body::Incoming;
use pointsman_domain::decision::Outcome;
use pointsman_domain::{ErrorKind, GatewayError};
use pointsman_telemetry::tagged;

use self::timeline::Phase;
use crate::limits;
use crate::reply::Reply;
use crate::worker::Worker;

pub(crate) use capture::Inputs;
pub(crate) use exchange::{Exchange, epoch_ms};
pub(crate) use rehearse::rehearse;
pub(crate) use rerun::{Recorded, Rerun, rerun};

/// Why a request ended without a whole answer.
#[derive(Debug)]
pub(crate) enum Stop {
    /// An error for the caller.
    Error(Box<GatewayError>),
    /// The caller went away.
    Gone,
}

impl From<GatewayError> for Stop {
    fn from(error: GatewayError) -> Self {
        Self::Error(Box::new(error))
    }
}

impl From<crate::reply::Gone> for Stop {
    fn from(_: crate::reply::Gone) -> Self {
        Self::Gone
    }
}

/// Serves one chat completion from its first byte to its records; log lines meanwhile say whose they are.
///
/// Boxed where it is made, and what runs inside it is pinned in place: a function that takes a future by value keeps
/// it twice, and each move of a request's state would be a copy of kilobytes.
pub(crate) fn chat(
    worker: Rc<Worker>,
    parts: Parts,
    body: Incoming,
    reply: Reply,
) -> LocalBoxFuture<'static, ()> {
    Box::pin(async move {
        let mut exchange = Exchange::new(Rc::clone(&worker), reply, &parts.headers);
        let tag = exchange.tag();
        tagged(tag, pin!(serve(&worker, &mut exchange, &parts, body))).await;
    })
}

async fn serve(worker: &Worker, exchange: &mut Exchange, parts: &Parts, body: Incoming) {
    let generation = exchange.generation();
    let ended = {
        let phases = pin!(phases(exchange, parts, body));
        tokio::select! {
            biased;
            ended = whatever_happens(phases) => ended,
            why = worker.cut(generation) => {
                Err(GatewayError::new(ErrorKind::Unavailable, why).into())
            }
        }
    };
    exchange.settle();
    let outcome = match &ended {
        Ok(outcome) => *outcome,
        Err(Stop::Gone) => Outcome::Cancelled,
        Err(Stop::Error(error)) if is_denial(error.kind) => Outcome::Denied,
        Err(Stop::Error(_)) => Outcome::Error,
    };
    let error = match ended {
        Err(Stop::Error(error)) => Some(*error),
        Ok(_) | Err(Stop::Gone) => None,
    };
    exchange.account().await;
    let is_recorded = exchange.record(outcome, error.as_ref());
    exchange.keep(outcome, is_recorded);
    let deadline_ms = exchange.policy.as_ref();
    let deadline_ms = deadline_ms.map_or(0, |policy| policy.execute.deadline_ms);
    let is_read = {
        let finish = pin!(exchange.finish(error));
        let within = Duration::from_millis(deadline_ms.max(limits::FINISH_MS_MAX));
        bounded(finish, pin!(worker.cut(generation)), within).await
    };
    if !is_read {
        exchange.reply.break_off();
    }
}

/// Whether the answer was read before its time was over, or that of requests that are cut.
async fn bounded<T>(
    finish: Pin<&mut impl Future<Output = ()>>,
    cut: Pin<&mut impl Future<Output = T>>,
    within: Duration,
) -> bool {
    let cut = async {
        cut.await;
        tokio::time::sleep(Duration::from_millis(limits::CUT_FINISH_MS)).await;
    };
    tokio::select! {
        biased;
        () = finish => true,
        () = cut => false,
        () = tokio::time::sleep(within) => false,
    }
}

/// Whether a guard, a limit or a budget refused.
const fn is_denial(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::PolicyDenied | ErrorKind::RateLimited | ErrorKind::BudgetExceeded
    )
}

/// A bug of ours ends one request, with an answer and a record.
async fn whatever_happens<T>(
    phases: Pin<&mut impl Future<Output = Result<T, Stop>>>,
) -> Result<T, Stop> {
    let ended = AssertUnwindSafe(phases).catch_unwind().await;
    ended.unwrap_or_else(|_told_by_the_hook| {
        let message =
            "the gateway failed on this request; it is recorded, tell the operator its id";
        Err(GatewayError::new(ErrorKind::Internal, message).into())
    })
}

async fn phases(exchange: &mut Exchange, parts: &Parts, body: Incoming) -> Result<Outcome, Stop> {
    exchange.at(Phase::Authenticate).authenticate(parts)?;
    exchange.at(Phase::Pin).pin()?;
    exchange.at(Phase::Gate).gate()?;
    exchange.at(Phase::Parse).parse(parts, body).await?;
    if let Some(told) = exchange.replay(&parts.headers)? {
        return Ok(told);
    }
    exchange.at(Phase::Select).select(parts).await?;
    exchange.capture();
    let (decided, asking) = exchange.at(Phase::Classify).deciding();
    decided.classify(asking).await?;
    let (decided, asking) = exchange.at(Phase::GuardRequest).deciding();
    decided.guard_request(asking).await?;
    let (decided, asking) = exchange.at(Phase::Split).deciding();
    decided.split(asking).await?;
    if let Some(told) = exchange.at(Phase::Cache).cache(&parts.headers).await? {
        return Ok(told);
    }
    exchange.at(Phase::Route).route().await?;
    exchange.at(Phase::Reserve).reserve().await?;
    exchange.at(Phase::Execute).execute().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_slowly_is_given_up_in_the_end_and_soon_after_a_cut() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (never, within) = (std::future::pending::<()>, Duration::from_secs(600));
            let read = async |finish: Duration, cut: Option<Duration>| {
                let began = tokio::time::Instant::now();
                let finish = pin!(tokio::time::sleep(finish));
                let is_read = match cut {
                    Some(cut) => bounded(finish, pin!(tokio::time::sleep(cut)), within).await,
                    None => bounded(finish, pin!(never()), within).await,
                };
                (is_read, began.elapsed().as_millis())
            };
            let (soon, years) = (Duration::from_secs(599), Duration::from_secs(1 << 30));
            assert_eq!(read(soon, None).await, (true, 599_000));
            assert_eq!(read(years, None).await, (false, 600_000));
            let cut_ms = u128::from(limits::CUT_FINISH_MS);
            let cut = Some(Duration::from_secs(3));
            assert_eq!(read(years, cut).await, (false, 3_000 + cut_ms));
            // What is there to be sent at once is sent, though it is cut already.
            assert!(read(Duration::ZERO, Some(Duration::ZERO)).await.0);
        });
    }

    #[test]
    fn a_panic_is_an_error_of_ours() {
        let phases = async {
            tokio::task::yield_now().await;
            if tokio::task::try_id().is_none() {
                panic!("a bug");
            }
            Ok(())
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        match runtime.block_on(whatever_happens(pin!(phases))) {
            Err(Stop::Error(error)) => assert_eq!(error.http_status(), 500),
            other => panic!("{other:?}"),
        }
    }
}
