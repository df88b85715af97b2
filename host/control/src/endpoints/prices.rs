//! The price catalogue.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use pointsman_domain::control::Prices;

use crate::answer::DIGEST;
use crate::api::PricesView;
use crate::body::{self, Sent, Tagged};
use crate::document::{Absent, Admin, Changed, Conditional, If, Once};
use crate::plane::PlaneError;
use crate::problem::Problem;
use crate::routes::App;

/// Tells the price catalogue in force, and its text.
#[utoipa::path(
    get, path = "/admin/v1/prices", operation_id = "get-prices", tag = "node",
    responses(
        (status = 200, description = "The catalogue.", body = PricesView,
            headers(("etag" = String, description = "its digest"))),
        Admin, Absent,
    )
)]
pub(crate) async fn get(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.ask(
        |view: &Told| Some(&view.etag),
        |plane| {
            let (prices, text) = plane.prices()?.ok_or_else(|| PlaneError::NotFound {
                what: "no price catalogue is in force".to_owned(),
                next: "PUT the text of a prices.jsonl here".to_owned(),
            })?;
            Ok(Told {
                etag: prices.digest.to_string(),
                view: PricesView { prices, text },
            })
        },
    )
    .await
}

/// The catalogue with its entity tag as text.
#[derive(serde::Serialize)]
struct Told {
    #[serde(skip)]
    etag: String,
    #[serde(flatten)]
    view: PricesView,
}

/// Puts another catalogue in force: the text of a `prices.jsonl`.
#[utoipa::path(
    put, path = "/admin/v1/prices", operation_id = "put-prices", tag = "node",
    params(If, Once),
    request_body(
        description = "One price a line, up to 1 MiB.",
        content((String = "application/jsonl"), (String = "application/x-ndjson"), (String = "text/plain"))
    ),
    responses(
        (status = 201, description = "It is in force.", body = Prices,
            headers(
                ("etag" = String, description = "its digest"),
                ("idempotency-replayed" = String, description = "`true` where an earlier call did it"),
            )),
        (status = 200, description = "It was in force already, or is in force again.", body = Prices,
            headers(("etag" = String, description = "its digest"))),
        Admin, crate::document::Sent, Changed, Conditional,
    )
)]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let Sent { by, body, .. } = body::text(&app, request, &body::PRICES, Tagged::Yes).await?;
    let what = format!("put prices of {} bytes", body.len());
    app.change(by, what, DIGEST, move |plane, by| {
        plane.put_prices(by, &body)
    })
    .await
}
