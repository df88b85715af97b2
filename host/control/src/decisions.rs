//! Lists and single decisions. The log is read on threads that may block, a few at once.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};

use crate::problem::Problem;
use crate::query::Parameters;
use crate::routes::App;
use crate::source::{Decision, DecisionSource, Listing, SourceError};

/// How long a caller waits for its turn and its answer together.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Characters of a request id.
const ID_CHARS: usize = 36;

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Listing>, Problem> {
    let wanted = Parameters::wanted(query)?;
    read(&app, move |source| source.list(&wanted))
        .await
        .map(Json)
}

pub(crate) async fn one(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Decision>, Problem> {
    let Path(id) = path.map_err(|_| Problem::bad_id())?;
    let fits = (1..=ID_CHARS).contains(&id.len())
        && id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if !fits {
        return Err(Problem::bad_id());
    }
    let wanted = id.clone();
    let found = read(&app, move |source| source.find(&wanted)).await?;
    found
        .map(Json)
        .ok_or_else(|| Problem::unknown_decision(&id))
}

/// Runs `reading` on a blocking thread. A caller that stops waiting does not free the place before the read ends.
async fn read<T: Send + 'static>(
    app: &Arc<App>,
    reading: impl FnOnce(&dyn DecisionSource) -> Result<T, SourceError> + Send + 'static,
) -> Result<T, Problem> {
    let source = Arc::clone(&app.decisions);
    let reads = Arc::clone(&app.reads);
    let work = async move {
        let place = reads
            .acquire_owned()
            .await
            .map_err(|_| Problem::internal())?;
        let task = tokio::task::spawn_blocking(move || {
            let result = reading(source.as_ref());
            drop(place);
            result
        });
        match task.await {
            Ok(result) => Ok(result?),
            Err(panic) => {
                tracing::error!(error = %panic, "reading the decision log failed");
                Err(Problem::internal())
            }
        }
    };
    tokio::time::timeout(READ_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(Problem::slow()))
}
