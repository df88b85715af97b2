//! Keys of tenants. A key itself is told once, when it is made.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::tenants::TenantPath;
use super::{PathOf, name, path};
use crate::answer::{NO_TAG, untagged};
use crate::api::{KeyMade, KeyView, KeyWanted, Keys, RotateWanted};
use crate::body::{self, Sent, Tagged};
use crate::document::{Admin, Changed, Named, Once};
use crate::problem::Problem;
use crate::routes::App;

/// `/tenants/{id}/keys/{key}`.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct KeyPath {
    /// The tenant's id.
    #[param(pattern = "^[a-z0-9_-]{1,64}$", example = "demo")]
    id: String,
    /// The key's id.
    #[param(pattern = "^[a-z0-9_-]{1,64}$", example = "key-3097d9c4c3e9")]
    key: String,
}

impl KeyPath {
    fn ids(at: PathOf<Self>) -> Result<(String, String), Problem> {
        let at = path(at)?;
        Ok((name(at.id)?, name(at.key)?))
    }
}

/// Lists a tenant's keys.
#[utoipa::path(
    get, path = "/admin/v1/tenants/{id}/keys", operation_id = "list-keys", tag = "tenants",
    params(TenantPath),
    responses((status = 200, description = "Without the keys themselves.", body = Keys), Admin, Named)
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    at: PathOf<TenantPath>,
) -> Result<Response, Problem> {
    let id = TenantPath::id(at)?;
    app.ask(untagged, move |plane| {
        let keys = plane.keys(Some(&id))?;
        Ok(Keys { keys })
    })
    .await
}

/// Makes a key. Its `secret` is told in this answer and never again, not even to a repeated call.
#[utoipa::path(
    post, path = "/admin/v1/tenants/{id}/keys", operation_id = "create-key", tag = "tenants",
    params(TenantPath, Once),
    request_body(content = Option<KeyWanted>, description = "May be left out: all scopes, no end, no limits of its own."),
    responses(
        (status = 201, description = "The key.", body = KeyMade,
            headers(("idempotency-replayed" = String, description = "`true` where an earlier call did it"))),
        Admin, Named, crate::document::Sent, Changed,
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    at: PathOf<TenantPath>,
    request: Request,
) -> Result<Response, Problem> {
    let id = TenantPath::id(at)?;
    let sent: Sent<KeyWanted> = body::json(&app, request, &body::SMALL_OR_NONE, Tagged::No).await?;
    let Sent { by, body, .. } = sent;
    let what = format!("create a key of {id}");
    app.change_tenant(by, what, NO_TAG, move |plane, by| {
        plane.create_key(by, &id, body)
    })
    .await
}

/// Makes a key that takes over from another: both are taken for an overlap, then the new one alone.
#[utoipa::path(
    post, path = "/admin/v1/tenants/{id}/keys/{key}/rotate", operation_id = "rotate-key", tag = "tenants",
    params(KeyPath, Once),
    request_body(content = Option<RotateWanted>, description = "May be left out: an overlap of a day."),
    responses(
        (status = 201, description = "The new key.", body = KeyMade,
            headers(("idempotency-replayed" = String, description = "`true` where an earlier call did it"))),
        Admin, Named, crate::document::Sent, Changed,
    )
)]
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    at: PathOf<KeyPath>,
    request: Request,
) -> Result<Response, Problem> {
    let (id, key) = KeyPath::ids(at)?;
    let sent: Sent<RotateWanted> =
        body::json(&app, request, &body::SMALL_OR_NONE, Tagged::No).await?;
    let Sent { by, body, .. } = sent;
    let what = format!("rotate {key} of {id}");
    app.change_tenant(by, what, NO_TAG, move |plane, by| {
        plane.rotate_key(by, &id, &key, body)
    })
    .await
}

/// Revokes a key: it is refused from this answer on.
#[utoipa::path(
    delete, path = "/admin/v1/tenants/{id}/keys/{key}", operation_id = "revoke-key", tag = "tenants",
    params(KeyPath, Once),
    responses(
        (status = 200, description = "It is refused, now and later.", body = KeyView),
        Admin, Named, Changed,
    )
)]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    at: PathOf<KeyPath>,
    request: Request,
) -> Result<Response, Problem> {
    let (id, key) = KeyPath::ids(at)?;
    let by = body::none(&request, Tagged::No)?;
    let what = format!("revoke {key} of {id}");
    app.change_tenant(by, what, NO_TAG, move |plane, by| {
        plane.revoke_key(by, &id, &key)
    })
    .await
}
