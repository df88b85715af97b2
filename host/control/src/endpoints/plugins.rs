//! Plugins.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use pointsman_domain::Digest;
use pointsman_domain::control::Plugin;
use serde::Deserialize;

use super::{PathOf, path};
use crate::answer::{NO_TAG, untagged};
use crate::api::Plugins;
use crate::body::{self, Sent, Tagged};
use crate::document::{Admin, Asked, Changed, Named, Once};
use crate::problem::Problem;
use crate::routes::App;

/// `/plugins/{digest}`.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct PluginPath {
    /// The plugin's digest.
    #[param(
        pattern = "^sha256:[0-9a-f]{64}$",
        example = "sha256:1f0c4a3f5f2c9d4cb3f3a1c8d4a9f6ae0c31cf5d0c4ab0d47c8f5b1f3b7d2e90"
    )]
    digest: String,
}

/// Pushes a plugin: the bytes of a component. The same bytes again are the same plugin.
#[utoipa::path(
    post, path = "/admin/v1/plugins", operation_id = "push-plugin", tag = "plugins",
    params(Once),
    request_body(
        description = "A component, up to 100 MiB, as `pointsman plugin build` makes it.",
        content(("application/wasm"), ("application/octet-stream"))
    ),
    responses(
        (status = 201, description = "It is kept from here on.", body = Plugin,
            headers(("idempotency-replayed" = String, description = "`true` where an earlier call did it"))),
        (status = 200, description = "It was there already.", body = Plugin),
        Admin, crate::document::Sent, Changed,
    )
)]
pub(crate) async fn push(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let Sent { by, body, place } = body::bytes(&app, request, &body::PLUGIN, Tagged::No).await?;
    let what = format!("push plugin of {} bytes", body.len());
    app.change(by, what, NO_TAG, move |plane, by| {
        let _place = place;
        plane.push_plugin(by, body)
    })
    .await
}

/// Lists all plugins.
#[utoipa::path(
    get, path = "/admin/v1/plugins", operation_id = "list-plugins", tag = "plugins",
    responses((status = 200, description = "All of them.", body = Plugins), Admin)
)]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.ask(untagged, |plane| {
        Ok(Plugins {
            plugins: plane.plugins(),
        })
    })
    .await
}

/// Tells one plugin.
#[utoipa::path(
    get, path = "/admin/v1/plugins/{digest}", operation_id = "get-plugin", tag = "plugins",
    params(PluginPath),
    responses((status = 200, description = "What it says of itself.", body = Plugin), Admin, Asked, Named)
)]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    at: PathOf<PluginPath>,
) -> Result<Response, Problem> {
    let digest: Digest = path(at)?.digest.parse().map_err(|_| {
        Problem::bad_path(
            "the path does not end with a digest",
            "digests are `sha256:` and 64 lower-case hex digits",
        )
    })?;
    app.ask(untagged, move |plane| plane.plugin(&digest)).await
}
