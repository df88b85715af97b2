//! The life of a request, a line a phase. The names are those of the WIT, the metrics and the decision records.
//!
//! Promises: one snapshot from the first phase to the last byte; an `opened` record before the first upstream byte and
//! a `closed` one before the last client byte; failover only before the first released content byte.

mod account;
mod admit;
mod answer;
mod decide;
mod deliberation;
mod exchange;
mod execute;
mod guards;
mod rehearse;
mod stream;

use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures_util::FutureExt as _;
use http::request::Parts;
use hyper::body::Incoming;
use pointsman_domain::decision::Outcome;
use pointsman_domain::{ErrorKind, GatewayError};

use crate::reply::Reply;
use crate::worker::Worker;

pub(crate) use exchange::{Exchange, epoch_ms};
pub(crate) use rehearse::rehearse;

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

/// Serves one chat completion from its first byte to its records.
pub(crate) async fn chat(worker: Rc<Worker>, parts: Parts, body: Incoming, reply: Reply) {
    let cut = worker.cut.clone();
    let mut exchange = Exchange::new(worker, reply);
    let ended = tokio::select! {
        biased;
        ended = whatever_happens(phases(&mut exchange, &parts, body)) => ended,
        () = cut.cancelled() => Err(shutting_down()),
    };
    exchange.settle();
    let outcome = match &ended {
        Ok(outcome) => *outcome,
        Err(Stop::Gone) => Outcome::Cancelled,
        Err(Stop::Error(error)) if error.kind == ErrorKind::PolicyDenied => Outcome::Denied,
        Err(Stop::Error(_)) => Outcome::Error,
    };
    let error = match ended {
        Err(Stop::Error(error)) => Some(*error),
        Ok(_) | Err(Stop::Gone) => None,
    };
    exchange.account().await;
    exchange.record(outcome, error.as_ref());
    exchange.finish(error).await;
}

/// A bug of ours ends one request, with an answer and a record.
async fn whatever_happens<T>(phases: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    let ended = AssertUnwindSafe(phases).catch_unwind().await;
    ended.unwrap_or_else(|_told_by_the_hook| {
        let message =
            "the gateway failed on this request; it is recorded, tell the operator its id";
        Err(GatewayError::new(ErrorKind::Internal, message).into())
    })
}

fn shutting_down() -> Stop {
    let message = "the gateway is shutting down and could not wait any longer; try again";
    GatewayError::new(ErrorKind::Unavailable, message).into()
}

async fn phases(exchange: &mut Exchange, parts: &Parts, body: Incoming) -> Result<Outcome, Stop> {
    exchange.authenticate(parts)?;
    exchange.pin()?;
    exchange.gate()?;
    exchange.parse(parts, body).await?;
    exchange.select(parts)?;
    exchange.decided().classify().await?;
    exchange.decided().guard_request().await?;
    exchange.decided().split().await?;
    exchange.route().await?;
    exchange.reserve().await?;
    exchange.execute().await
}

#[cfg(test)]
mod tests {
    use super::*;

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
        match runtime.block_on(whatever_happens(phases)) {
            Err(Stop::Error(error)) => assert_eq!(error.http_status(), 500),
            other => panic!("{other:?}"),
        }
    }
}
