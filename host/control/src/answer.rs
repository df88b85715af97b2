//! Questions to the control plane and changes of it, from the handler to the answer.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;

use crate::plane::{By, ControlPlane, Done, PlaneError};
use crate::problem::Problem;
use crate::routes::App;
use crate::work::Queue;

/// Says that an earlier call with the same idempotency key did it.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The member of answers that is their thing's entity tag.
pub(crate) const ETAG: &str = "etag";
/// The same of the price catalogue.
pub(crate) const DIGEST: &str = "digest";
/// No member: what is answered has no entity tag.
pub(crate) const NO_TAG: &str = "";

/// An answer before it is one: made on the thread that asked the plane.
struct Told {
    status: u16,
    body: Vec<u8>,
    etag: Option<String>,
    replayed: bool,
}

impl App {
    fn plane(&self) -> Result<Arc<dyn ControlPlane>, Problem> {
        self.plane.clone().ok_or_else(Problem::no_plane)
    }

    /// Answers a question; `etag` finds the entity tag of what is told.
    pub(crate) async fn ask<T: Serialize + 'static>(
        &self,
        etag: fn(&T) -> Option<&str>,
        question: impl FnOnce(&dyn ControlPlane) -> Result<T, PlaneError> + Send + 'static,
    ) -> Result<Response, Problem> {
        let plane = self.plane()?;
        let told = self
            .reads
            .run(move || question(plane.as_ref()).and_then(|told| tell(&told, etag)));
        Ok(respond(told.await??))
    }

    /// Answers a question that works for its answer, in places of its own.
    pub(crate) async fn check<T: Serialize + 'static>(
        &self,
        question: impl FnOnce(&dyn ControlPlane) -> Result<T, PlaneError> + Send + 'static,
    ) -> Result<Response, Problem> {
        let plane = self.plane()?;
        let told = self
            .checks
            .run(move || question(plane.as_ref()).and_then(|told| tell(&told, untagged)));
        Ok(respond(told.await??))
    }

    /// Makes a change, says in the log what became of `what`, and answers. The change goes on when the caller leaves.
    /// `etag` is the member of the answer that is its entity tag, replays included.
    pub(crate) async fn change<T: Serialize + 'static>(
        &self,
        by: By,
        what: String,
        etag: &'static str,
        change: impl FnOnce(&dyn ControlPlane, &By) -> Result<Done<T>, PlaneError> + Send + 'static,
    ) -> Result<Response, Problem> {
        self.change_in(&self.writes, by, what, etag, change).await
    }

    /// The same for tenants and their keys, in places of their own.
    pub(crate) async fn change_tenant<T: Serialize + 'static>(
        &self,
        by: By,
        what: String,
        etag: &'static str,
        change: impl FnOnce(&dyn ControlPlane, &By) -> Result<Done<T>, PlaneError> + Send + 'static,
    ) -> Result<Response, Problem> {
        self.change_in(&self.tenant_writes, by, what, etag, change)
            .await
    }

    async fn change_in<T: Serialize + 'static>(
        &self,
        queue: &Queue,
        by: By,
        what: String,
        etag: &'static str,
        change: impl FnOnce(&dyn ControlPlane, &By) -> Result<Done<T>, PlaneError> + Send + 'static,
    ) -> Result<Response, Problem> {
        let plane = self.plane()?;
        let told = queue.run(move || {
            let done = change(plane.as_ref(), &by);
            log(&by, &what, &done);
            finish(done?, etag)
        });
        Ok(respond(told.await??))
    }
}

/// Of what has no entity tag.
pub(crate) fn untagged<T>(_: &T) -> Option<&str> {
    None
}

fn log<T>(by: &By, what: &str, done: &Result<Done<T>, PlaneError>) {
    let actor = &by.actor;
    match done {
        Ok(Done::Created(_) | Done::Ok(_)) => {
            tracing::info!(actor, change = what, "control state changed");
        }
        Ok(Done::Replayed(_)) => {
            tracing::info!(actor, change = what, "an earlier change was told again");
        }
        Err(error @ (PlaneError::Internal(_) | PlaneError::Unavailable(_))) => {
            tracing::error!(actor, change = what, error = %error, "a change of control state failed");
        }
        Err(error) => {
            tracing::info!(actor, change = what, reason = %error, "a change of control state was refused");
        }
    }
}

fn tell<T: Serialize + 'static>(
    told: &T,
    etag: fn(&T) -> Option<&str>,
) -> Result<Told, PlaneError> {
    Ok(Told {
        status: 200,
        body: json(told)?,
        etag: etag(told).map(str::to_owned),
        replayed: false,
    })
}

fn finish<T: Serialize + 'static>(done: Done<T>, etag: &str) -> Result<Told, PlaneError> {
    let (status, answer, replayed) = match done {
        Done::Created(made) => (201, value(&made)?, false),
        Done::Ok(made) => (200, value(&made)?, false),
        Done::Replayed(earlier) => (earlier.status, earlier.answer, true),
    };
    let nothing = answer.is_null();
    Ok(Told {
        status: if nothing { 204 } else { status },
        etag: answer[etag].as_str().map(str::to_owned),
        body: if nothing { Vec::new() } else { json(&answer)? },
        replayed,
    })
}

fn value<T: Serialize + 'static>(told: &T) -> Result<Value, PlaneError> {
    serde_json::to_value(told).map_err(|error| PlaneError::Internal(error.to_string()))
}

fn json<T: Serialize + 'static>(told: &T) -> Result<Vec<u8>, PlaneError> {
    serde_json::to_vec(told).map_err(|error| PlaneError::Internal(error.to_string()))
}

fn respond(told: Told) -> Response {
    let status = StatusCode::from_u16(told.status).unwrap_or(StatusCode::OK);
    let mut response = (status, told.body).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_TYPE);
    } else {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
    }
    let etag = told
        .etag
        .map(|tag| HeaderValue::from_str(&format!("\"{tag}\"")));
    if let Some(Ok(etag)) = etag {
        headers.insert(header::ETAG, etag);
    }
    if told.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
