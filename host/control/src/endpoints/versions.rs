//! Versions of policies: pushed, checked, told, compared.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::policies::PolicyPath;
use super::{PathOf, QueryOf, name, path, query};
use crate::answer::{ETAG, untagged};
use crate::api::{Bundle, Checked, Diff, PushedVersion, VersionView, Versions};
use crate::body::{self, Sent, Tagged};
use crate::document::{Admin, Changed, Conditional, If, Named, Once};
use crate::problem::Problem;
use crate::routes::App;

/// `/policies/{name}/versions/{version}`.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct VersionPath {
    /// The policy's name.
    #[param(pattern = "^[a-z0-9_-]{1,64}$", example = "quickstart")]
    name: String,
    /// The version's number.
    #[param(minimum = 1, example = 1)]
    version: u64,
}

/// `?from=&to=`.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiffQuery {
    /// The older version.
    #[param(minimum = 1, example = 1)]
    from: u64,
    /// The newer one.
    #[param(minimum = 1, example = 1)]
    to: u64,
}

/// Pushes a bundle: keeps it as the policy's next version, which serves once it is activated. The same content again is
/// the same version.
#[utoipa::path(
    post, path = "/admin/v1/policies/{name}/versions", operation_id = "push-version", tag = "policies",
    params(PolicyPath, If, Once),
    request_body(content = Bundle, description = "A bundle's files; up to 96 MiB."),
    responses(
        (status = 201, description = "A new version.", body = PushedVersion,
            headers(
                ("etag" = String, description = "the policy's"),
                ("idempotency-replayed" = String, description = "`true` where an earlier call did it"),
            )),
        (status = 200, description = "A version that was there already.", body = PushedVersion),
        Admin, Named, crate::document::Sent, Changed, Conditional,
    )
)]
pub(crate) async fn push(
    State(app): State<Arc<App>>,
    at: PathOf<PolicyPath>,
    request: Request,
) -> Result<Response, Problem> {
    let name = PolicyPath::name(at)?;
    let Sent { by, body, place } = body::json(&app, request, &body::BUNDLE, Tagged::Yes).await?;
    let what = format!("push a version of {name}");
    app.change(by, what, ETAG, move |plane, by| {
        let _place = place;
        plane.push_version(by, &name, body)
    })
    .await
}

/// Checks a bundle as a push would, runs its cases, and changes nothing.
#[utoipa::path(
    post, path = "/admin/v1/policies/{name}/validate", operation_id = "validate-bundle", tag = "policies",
    params(PolicyPath),
    request_body(content = Bundle, description = "A bundle's files; up to 96 MiB."),
    responses(
        (status = 200, description = "What the check came to, sound or not.", body = Checked),
        Admin, Named, crate::document::Sent,
    )
)]
pub(crate) async fn validate(
    State(app): State<Arc<App>>,
    at: PathOf<PolicyPath>,
    request: Request,
) -> Result<Response, Problem> {
    let name = PolicyPath::name(at)?;
    let sent: Sent<Bundle> = body::json(&app, request, &body::BUNDLE, Tagged::No).await?;
    let Sent { body, place, .. } = sent;
    app.check(move |plane| {
        let _place = place;
        plane.validate(&name, body)
    })
    .await
}

/// Lists a policy's versions.
#[utoipa::path(
    get, path = "/admin/v1/policies/{name}/versions", operation_id = "list-versions", tag = "policies",
    params(PolicyPath),
    responses((status = 200, description = "Oldest first.", body = Versions), Admin, Named)
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    at: PathOf<PolicyPath>,
) -> Result<Response, Problem> {
    let name = PolicyPath::name(at)?;
    app.ask(untagged, move |plane| {
        let versions = plane.policy(&name)?.versions;
        Ok(Versions { versions })
    })
    .await
}

/// Tells one version and its bundle.
#[utoipa::path(
    get, path = "/admin/v1/policies/{name}/versions/{version}", operation_id = "get-version", tag = "policies",
    params(VersionPath),
    responses((status = 200, description = "As it was pushed.", body = VersionView), Admin, Named)
)]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    at: PathOf<VersionPath>,
) -> Result<Response, Problem> {
    let at = path(at)?;
    let name = name(at.name)?;
    app.ask(untagged, move |plane| plane.version(&name, at.version))
        .await
}

/// Tells what differs between two versions.
#[utoipa::path(
    get, path = "/admin/v1/policies/{name}/diff", operation_id = "diff-versions", tag = "policies",
    params(PolicyPath, DiffQuery),
    responses((status = 200, description = "All of it.", body = Diff), Admin, Named)
)]
pub(crate) async fn diff(
    State(app): State<Arc<App>>,
    at: PathOf<PolicyPath>,
    wanted: QueryOf<DiffQuery>,
) -> Result<Response, Problem> {
    let name = PolicyPath::name(at)?;
    let DiffQuery { from, to } = query(wanted, "give the numbers of two versions: ?from=1&to=2")?;
    app.ask(untagged, move |plane| plane.diff(&name, from, to))
        .await
}
