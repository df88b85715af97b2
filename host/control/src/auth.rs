//! The admin token, compared in constant time.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::problem::Problem;
use crate::routes::App;

/// Lets requests under `/admin` through that carry the token, known path or not.
pub(crate) async fn admin(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if !is_admin(request.uri().path()) {
        return next.run(request).await;
    }
    if let Err(detail) = check(request.headers(), &app.token) {
        return Problem::unauthorized(detail).into_response();
    }
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn is_admin(path: &str) -> bool {
    path == "/admin" || path.starts_with("/admin/")
}

fn check(headers: &HeaderMap, token: &SecretString) -> Result<(), &'static str> {
    let value = headers
        .get(header::AUTHORIZATION)
        .ok_or("the request carries no Authorization header")?;
    let (scheme, given) = value
        .as_bytes()
        .split_at_checked("Bearer ".len())
        .ok_or("the Authorization header is not `Bearer <token>`")?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err("the Authorization header is not `Bearer <token>`");
    }
    // The length of a random token is no secret; its bytes are.
    if bool::from(given.trim_ascii().ct_eq(token.expose_secret().as_bytes())) {
        Ok(())
    } else {
        Err("the token is not this node's")
    }
}
