//! Decisions as server-sent events, as requests end.
//!
//! Events: `decision` with both records; `problem` where the log could not be read, after which following goes on. The
//! source is looked at only while the client reads, so that a stuck reader fills no queue.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::spawn_blocking;

use crate::document::{Admin, Asked};
use crate::problem::Problem;
use crate::query::Parameters;
use crate::routes::App;
use crate::source::DecisionTail;

/// How often the source is looked at.
const POLL: Duration = Duration::from_millis(250);
/// How often a quiet stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Follows decisions as requests end: server-sent events `decision` with both records, and `problem` where the log
/// could not be read, after which following goes on. `since` and `limit` do not count.
#[utoipa::path(
    get, path = "/admin/v1/decisions/tail", operation_id = "tail-decisions", tag = "decisions",
    params(Parameters),
    responses(
        (status = 200, description = "Events, until one side leaves.", body = String, content_type = "text/event-stream"),
        Admin, Asked,
    )
)]
pub(crate) async fn tail(
    State(app): State<Arc<App>>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let wanted = Parameters::wanted(query)?;
    let place = Arc::clone(&app.followers)
        .try_acquire_owned()
        .map_err(|_| {
            Problem::busy(
                "as many clients follow the decisions as may",
                "close another follower, or list decisions with `since` instead",
            )
        })?;
    let source = Arc::clone(&app.decisions);
    let tail = spawn_blocking(move || source.tail(&wanted))
        .await
        .map_err(|_| Problem::internal())??;
    let follower = Follower {
        tail,
        // Says at once that following has begun.
        ready: VecDeque::from([Event::default().comment("following")]),
        closing: app.closing.clone(),
        _place: place,
    };
    let events = unfold(follower, |follower| async move { follower.next().await });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

struct Follower {
    tail: Box<dyn DecisionTail>,
    ready: VecDeque<Event>,
    closing: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((Ok(event), self));
            }
            tokio::select! {
                _ = self.closing.wait_for(|closing| *closing) => return None,
                () = tokio::time::sleep(POLL) => {}
            }
            self = self.look().await?;
        }
    }

    /// Looks once; none where the source panicked.
    async fn look(self) -> Option<Self> {
        let Self {
            mut tail,
            mut ready,
            closing,
            _place,
        } = self;
        let looked = spawn_blocking(move || {
            let result = tail.poll();
            (tail, result)
        });
        let (tail, result) = match looked.await {
            Ok(looked) => looked,
            Err(panic) => {
                tracing::error!(error = %panic, "following the decision log failed");
                return None;
            }
        };
        match result {
            Ok(decisions) => {
                ready.extend(decisions.iter().map(|decision| event("decision", decision)));
            }
            Err(error) => ready.push_back(event("problem", &Problem::from(error))),
        }
        Some(Self {
            tail,
            ready,
            closing,
            _place,
        })
    }
}

fn event(name: &str, value: &impl serde::Serialize) -> Event {
    let data = serde_json::to_string(value).expect("records and problems are JSON");
    Event::default().event(name).data(data)
}
