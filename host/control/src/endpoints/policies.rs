//! Policies: which there are, and which version of each serves.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::{PathOf, name, path};
use crate::answer::{ETAG, untagged};
use crate::api::{ActivateWanted, Activated, Policies, PolicyView, RollbackWanted};
use crate::body::{self, Sent, Tagged};
use crate::document::{Admin, Changed, Conditional, If, Named, Once};
use crate::problem::Problem;
use crate::routes::App;

/// `/policies/{name}`.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct PolicyPath {
    /// The policy's name.
    #[param(pattern = "^[a-z0-9_-]{1,64}$", example = "quickstart")]
    name: String,
}

impl PolicyPath {
    pub(super) fn name(at: PathOf<Self>) -> Result<String, Problem> {
        name(path(at)?.name)
    }
}

/// Lists all policies.
#[utoipa::path(
    get, path = "/admin/v1/policies", operation_id = "list-policies", tag = "policies",
    responses((status = 200, description = "All of them.", body = Policies), Admin)
)]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.ask(untagged, |plane| {
        Ok(Policies {
            policies: plane.policies(),
        })
    })
    .await
}

/// Tells one policy: its versions, and which of them serves.
#[utoipa::path(
    get, path = "/admin/v1/policies/{name}", operation_id = "get-policy", tag = "policies",
    params(PolicyPath),
    responses(
        (status = 200, description = "The policy.", body = PolicyView,
            headers(("etag" = String, description = "changes with each activation"))),
        Admin, Named,
    )
)]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    at: PathOf<PolicyPath>,
) -> Result<Response, Problem> {
    let name = PolicyPath::name(at)?;
    app.ask(tag, move |plane| plane.policy(&name)).await
}

fn tag(policy: &PolicyView) -> Option<&str> {
    Some(&policy.etag)
}

/// Makes a version serve. When it is answered the change is durable, and the next request obeys it; requests under way
/// end with the version that they began with.
#[utoipa::path(
    post, path = "/admin/v1/policies/{name}/activate", operation_id = "activate-version", tag = "policies",
    params(PolicyPath, If, Once),
    request_body = ActivateWanted,
    responses(
        (status = 200, description = "It serves.", body = Activated,
            headers(
                ("etag" = String, description = "the policy's new one"),
                ("idempotency-replayed" = String, description = "`true` where an earlier call did it"),
            )),
        Admin, Named, crate::document::Sent, Changed, Conditional,
    )
)]
pub(crate) async fn activate(
    State(app): State<Arc<App>>,
    at: PathOf<PolicyPath>,
    request: Request,
) -> Result<Response, Problem> {
    let name = PolicyPath::name(at)?;
    let sent: Sent<ActivateWanted> = body::json(&app, request, &body::SMALL, Tagged::Yes).await?;
    let version = sent.body.version;
    let what = format!("activate {name}@{version}");
    app.change(sent.by, what, ETAG, move |plane, by| {
        plane.activate(by, &name, version)
    })
    .await
}

/// Makes the version that served before serve again, or a named one.
#[utoipa::path(
    post, path = "/admin/v1/policies/{name}/rollback", operation_id = "roll-back", tag = "policies",
    params(PolicyPath, If, Once),
    request_body(content = Option<RollbackWanted>, description = "May be left out."),
    responses(
        (status = 200, description = "It serves again.", body = Activated,
            headers(
                ("etag" = String, description = "the policy's new one"),
                ("idempotency-replayed" = String, description = "`true` where an earlier call did it"),
            )),
        Admin, Named, crate::document::Sent, Changed, Conditional,
    )
)]
pub(crate) async fn roll_back(
    State(app): State<Arc<App>>,
    at: PathOf<PolicyPath>,
    request: Request,
) -> Result<Response, Problem> {
    let name = PolicyPath::name(at)?;
    let sent: Sent<RollbackWanted> =
        body::json(&app, request, &body::SMALL_OR_NONE, Tagged::Yes).await?;
    let to = sent.body.to;
    let what = match to {
        Some(version) => format!("roll back to {name}@{version}"),
        None => format!("roll back {name}"),
    };
    app.change(sent.by, what, ETAG, move |plane, by| {
        plane.rollback(by, &name, to)
    })
    .await
}
