//! What a node knows: balances, targets, the control audit, and a copy of its control state.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header;
use pointsman_domain::control::{Change, Entry};
use serde::Deserialize;

use super::{QueryOf, query};
use crate::answer::untagged;
use crate::api::{Changes, Targets, Usage};
use crate::archive;
use crate::document::{Admin, Asked};
use crate::limits::{CHANGES, CHANGES_MAX};
use crate::problem::Problem;
use crate::routes::App;

/// `?tenant=`.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    /// Whose budgets; all, where it is left out.
    #[param(example = "demo")]
    tenant: Option<String>,
}

/// `?after=&limit=`.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangesQuery {
    /// The sequence of the last change that is known.
    #[param(example = 0)]
    #[serde(default)]
    after: u64,
    /// At most this many; 100 where it is left out.
    #[param(minimum = 1, maximum = 1000, example = 100)]
    limit: Option<usize>,
}

/// Tells how budgets stand, by window.
#[utoipa::path(
    get, path = "/admin/v1/usage", operation_id = "get-usage", tag = "node",
    params(UsageQuery),
    responses((status = 200, description = "Spent and reserved.", body = Usage), Admin, Asked)
)]
pub(crate) async fn usage(
    State(app): State<Arc<App>>,
    wanted: QueryOf<UsageQuery>,
) -> Result<Response, Problem> {
    let UsageQuery { tenant } = query(wanted, "use tenant, at most once")?;
    app.ask(untagged, move |plane| {
        let balances = plane.usage(tenant.as_deref());
        Ok(Usage { balances })
    })
    .await
}

/// Lists the targets of all active policies, with their health.
#[utoipa::path(
    get, path = "/admin/v1/targets", operation_id = "list-targets", tag = "node",
    responses((status = 200, description = "Of all active policies.", body = Targets), Admin)
)]
pub(crate) async fn targets(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.ask(untagged, |plane| {
        Ok(Targets {
            targets: plane.targets(),
        })
    })
    .await
}

/// Lists the control audit: who changed what, and when.
#[utoipa::path(
    get, path = "/admin/v1/changes", operation_id = "list-changes", tag = "node",
    params(ChangesQuery),
    responses((status = 200, description = "Oldest first.", body = Changes), Admin, Asked)
)]
pub(crate) async fn changes(
    State(app): State<Arc<App>>,
    wanted: QueryOf<ChangesQuery>,
) -> Result<Response, Problem> {
    let next =
        format!("use after, a sequence, and limit, from 1 to {CHANGES_MAX}, each at most once");
    let ChangesQuery { after, limit } = query(wanted, &next)?;
    let limit = limit.unwrap_or(CHANGES);
    if !(1..=CHANGES_MAX).contains(&limit) {
        return Err(Problem::bad_query("`limit` is out of range", next));
    }
    app.ask(untagged, move |plane| {
        let changes = plane.changes(after, limit)?;
        let changes = changes.into_iter().map(without_hash).collect();
        Ok(Changes { changes })
    })
    .await
}

/// Operators see keys without their hashes, here as everywhere.
fn without_hash(mut entry: Entry) -> Entry {
    if let Change::KeyCreated(key) | Change::KeyRotated { key, .. } = &mut entry.change {
        key.hash.clear();
    }
    entry
}

/// Copies the control state as it is now, as a tar archive. An archive that is cut short has no end: check that the
/// answer came whole.
#[utoipa::path(
    get, path = "/admin/v1/backup", operation_id = "back-up", tag = "node",
    responses((status = 200, description = "The archive.", content(("application/x-tar"))), Admin)
)]
pub(crate) async fn backup(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let pieces = archive::begin(&app).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"pointsman-backup.tar\"",
        ),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Tells this API.
#[utoipa::path(
    get, path = "/admin/v1/openapi.json", operation_id = "get-openapi", tag = "node",
    responses(
        (status = 200, description = "This document.", body = Object, content_type = "application/json"),
        Admin,
    )
)]
pub(crate) async fn openapi(State(app): State<Arc<App>>) -> Response {
    let document: Bytes = app.document.clone();
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}
