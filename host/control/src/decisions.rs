//! Lists and single decisions. The log is read on threads that may block, a few at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use crate::document::{Admin, Asked, Conflicting, Named};
use crate::problem::Problem;
use crate::query::Parameters;
use crate::routes::App;
use crate::source::{Decision, DecisionSource, Listing, SourceError};

/// Characters of a request id.
const ID_CHARS: usize = 36;

/// Lists the newest decisions.
#[utoipa::path(
    get, path = "/admin/v1/decisions", operation_id = "list-decisions", tag = "decisions",
    params(Parameters),
    responses((status = 200, description = "Newest first.", body = Listing), Admin, Asked)
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Listing>, Problem> {
    let wanted = Parameters::wanted(query)?;
    read(&app, move |source| source.list(&wanted))
        .await
        .map(Json)
}

/// `/decisions/{id}`.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DecisionPath {
    /// The request's id, or a unique beginning of it.
    #[param(pattern = "^[0-9a-f-]{1,36}$", example = "019f0000")]
    id: String,
}

/// Tells one decision: both records of a request, as far as they are there.
#[utoipa::path(
    get, path = "/admin/v1/decisions/{id}", operation_id = "get-decision", tag = "decisions",
    params(DecisionPath),
    responses((status = 200, description = "Both records.", body = Decision), Admin, Named, Conflicting)
)]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    path: Result<Path<DecisionPath>, PathRejection>,
) -> Result<Json<Decision>, Problem> {
    let Path(DecisionPath { id }) = path.map_err(|_| Problem::bad_id())?;
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

async fn read<T: Send + 'static>(
    app: &App,
    reading: impl FnOnce(&dyn DecisionSource) -> Result<T, SourceError> + Send + 'static,
) -> Result<T, Problem> {
    let source = Arc::clone(&app.decisions);
    let told = app.log_reads.run(move || reading(source.as_ref())).await?;
    Ok(told?)
}
