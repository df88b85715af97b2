//! Work that may block, off the runtime: a bounded number at once, each kind with its own places.
//!
//! A caller that stops waiting does not stop the work, and frees its place only when it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::PLACE_TIMEOUT;
use crate::problem::Problem;

/// Places for one kind of work.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    places: Arc<Semaphore>,
    /// The kind, as problems name it: `reads`.
    kind: &'static str,
    /// How long a caller waits for its answer.
    answer_within: Duration,
    /// What to do where it takes longer.
    if_slow: &'static str,
}

impl Queue {
    pub(crate) fn new(
        kind: &'static str,
        places: usize,
        answer_within: Duration,
        if_slow: &'static str,
    ) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            kind,
            answer_within,
            if_slow,
        }
    }

    /// Waits for a place.
    pub(crate) async fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(PLACE_TIMEOUT, place).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Problem::busy(
                format!("as many {} are under way as may", self.kind),
                "repeat it in a moment",
            )),
        }
    }

    /// Runs `work` in a place, on a thread that may block.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.place().await?;
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(place);
            result
        });
        match tokio::time::timeout(self.answer_within, task).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(panic)) => {
                tracing::error!(error = %panic, work = self.kind, "control: work failed");
                Err(Problem::internal())
            }
            Err(_) => Err(Problem::slow(self.answer_within, self.if_slow)),
        }
    }
}
