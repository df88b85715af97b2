//! Tenants.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::{PathOf, name, path};
use crate::answer::{ETAG, NO_TAG, untagged};
use crate::api::{TenantView, TenantWanted, Tenants};
use crate::body::{self, Sent, Tagged};
use crate::document::{Admin, Changed, Conditional, If, Named, Once};
use crate::problem::Problem;
use crate::routes::App;

/// `/tenants/{id}`.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TenantPath {
    /// The tenant's id.
    #[param(pattern = "^[a-z0-9_-]{1,64}$", example = "demo")]
    id: String,
}

impl TenantPath {
    pub(super) fn id(at: PathOf<Self>) -> Result<String, Problem> {
        name(path(at)?.id)
    }
}

/// Lists all tenants.
#[utoipa::path(
    get, path = "/admin/v1/tenants", operation_id = "list-tenants", tag = "tenants",
    responses((status = 200, description = "All of them.", body = Tenants), Admin)
)]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.ask(untagged, |plane| {
        Ok(Tenants {
            tenants: plane.tenants(),
        })
    })
    .await
}

/// Tells one tenant.
#[utoipa::path(
    get, path = "/admin/v1/tenants/{id}", operation_id = "get-tenant", tag = "tenants",
    params(TenantPath),
    responses(
        (status = 200, description = "The tenant.", body = TenantView,
            headers(("etag" = String, description = "changes with each change of the tenant"))),
        Admin, Named,
    )
)]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    at: PathOf<TenantPath>,
) -> Result<Response, Problem> {
    let id = TenantPath::id(at)?;
    app.ask(tag, move |plane| plane.tenant(&id)).await
}

fn tag(tenant: &TenantView) -> Option<&str> {
    Some(&tenant.etag)
}

/// Makes a tenant, or changes it as a whole: what the body leaves out is unlimited.
#[utoipa::path(
    put, path = "/admin/v1/tenants/{id}", operation_id = "put-tenant", tag = "tenants",
    params(TenantPath, If, Once),
    request_body = TenantWanted,
    responses(
        (status = 201, description = "It was made.", body = TenantView,
            headers(
                ("etag" = String, description = "the tenant's"),
                ("idempotency-replayed" = String, description = "`true` where an earlier call did it"),
            )),
        (status = 200, description = "It was changed.", body = TenantView,
            headers(("etag" = String, description = "the tenant's new one"))),
        Admin, Named, crate::document::Sent, Changed, Conditional,
    )
)]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    at: PathOf<TenantPath>,
    request: Request,
) -> Result<Response, Problem> {
    let id = TenantPath::id(at)?;
    let sent: Sent<TenantWanted> = body::json(&app, request, &body::SMALL, Tagged::Yes).await?;
    let Sent { by, body, .. } = sent;
    let what = format!("put tenant {id}");
    app.change_tenant(by, what, ETAG, move |plane, by| {
        plane.put_tenant(by, &id, body)
    })
    .await
}

/// Removes a tenant and its keys.
#[utoipa::path(
    delete, path = "/admin/v1/tenants/{id}", operation_id = "remove-tenant", tag = "tenants",
    params(TenantPath, If, Once),
    responses((status = 204, description = "It is gone."), Admin, Named, Changed, Conditional)
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    at: PathOf<TenantPath>,
    request: Request,
) -> Result<Response, Problem> {
    let id = TenantPath::id(at)?;
    let by = body::none(&request, Tagged::Yes)?;
    let what = format!("remove tenant {id}");
    app.change_tenant(by, what, NO_TAG, move |plane, by| {
        plane.remove_tenant(by, &id)
    })
    .await
}
