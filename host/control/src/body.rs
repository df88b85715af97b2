//! Bodies: bounded before and while they are read, in time, of the right kind, and told where they are wrong.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::request::Parts;
use http::{HeaderMap, header};
use pointsman_domain::Digest;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use crate::api::Finding;
use crate::caller;
use crate::limits::{
    BODY_BYTES_MAX, BODY_TIMEOUT, BUNDLE_BYTES_MAX, INLINE_BYTES_MAX, PLUGIN_BYTES_MAX,
    UPLOAD_TIMEOUT,
};
use crate::plane::By;
use crate::problem::Problem;
use crate::routes::App;
use crate::strict::Objects;

/// Who changes something: there is one token.
const ACTOR: &str = "admin";
/// Kinds of JSON.
const JSON: &[&str] = &["application/json"];

/// What an endpoint takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Content types, the usual one first.
    types: &'static [&'static str],
    bytes_max: usize,
    within: Duration,
    /// Whether it counts among the uploads.
    upload: bool,
    /// Whether nothing at all stands for an empty object.
    optional: bool,
    /// What to do where it is too large.
    if_large: &'static str,
}

/// A component.
pub(crate) const PLUGIN: Kind = Kind {
    types: &["application/wasm", "application/octet-stream"],
    bytes_max: PLUGIN_BYTES_MAX,
    within: UPLOAD_TIMEOUT,
    upload: true,
    optional: false,
    if_large: "strip debug information and data from the component; big data belongs in a bundle",
};
/// A bundle.
pub(crate) const BUNDLE: Kind = Kind {
    types: JSON,
    bytes_max: BUNDLE_BYTES_MAX,
    within: UPLOAD_TIMEOUT,
    upload: true,
    optional: false,
    if_large: "leave out files that no step reads",
};
/// Any other JSON.
pub(crate) const SMALL: Kind = Kind {
    types: JSON,
    bytes_max: BODY_BYTES_MAX,
    within: BODY_TIMEOUT,
    upload: false,
    optional: false,
    if_large: "no body of this endpoint needs as much",
};
/// JSON that may be left out.
pub(crate) const SMALL_OR_NONE: Kind = Kind {
    optional: true,
    ..SMALL
};
/// A price catalogue.
pub(crate) const PRICES: Kind = Kind {
    types: &["application/jsonl", "application/x-ndjson", "text/plain"],
    if_large: "leave out models that no target serves",
    ..SMALL
};

/// Whether what is changed has an entity tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tagged {
    Yes,
    No,
}

/// What a caller sent.
pub(crate) struct Sent<T> {
    /// Who sent it, under which conditions.
    pub(crate) by: By,
    /// The body.
    pub(crate) body: T,
    /// Its place among the uploads, to be kept while the body is.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// A change without a body.
pub(crate) fn none(request: &Request, tagged: Tagged) -> Result<By, Problem> {
    let mut by = by(request.headers(), tagged)?;
    identify(&mut by, request.method().as_str(), request.uri(), b"");
    Ok(by)
}

/// A body as it is.
pub(crate) async fn bytes(
    app: &App,
    request: Request,
    kind: &Kind,
    tagged: Tagged,
) -> Result<Sent<Bytes>, Problem> {
    read(app, request, kind, tagged, Ok).await
}

/// A body as text.
pub(crate) async fn text(
    app: &App,
    request: Request,
    kind: &Kind,
    tagged: Tagged,
) -> Result<Sent<String>, Problem> {
    read(app, request, kind, tagged, |bytes| {
        String::from_utf8(bytes.into()).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Problem::bad_body(format!("the body is not UTF-8 at byte {at}"))
        })
    })
    .await
}

/// A body as JSON.
pub(crate) async fn json<T: DeserializeOwned + Send + 'static>(
    app: &App,
    request: Request,
    kind: &Kind,
    tagged: Tagged,
) -> Result<Sent<T>, Problem> {
    let optional = kind.optional;
    read(app, request, kind, tagged, move |bytes| {
        let left_out = optional && bytes.is_empty();
        parse(if left_out { b"{}" } else { &bytes })
    })
    .await
}

async fn read<T: Send + 'static>(
    app: &App,
    request: Request,
    kind: &Kind,
    tagged: Tagged,
    understand: impl FnOnce(Bytes) -> Result<T, Problem> + Send + 'static,
) -> Result<Sent<T>, Problem> {
    let (head, body) = request.into_parts();
    let mut by = by(&head.headers, tagged)?;
    let is_empty = kind.optional && body.is_end_stream();
    if !is_empty {
        check_type(&head.headers, kind)?;
    }
    if body.size_hint().lower() > kind.bytes_max as u64 {
        return Err(Problem::too_large(kind.bytes_max, kind.if_large));
    }
    let place = match kind.upload {
        true => Some(app.uploads.place().await?),
        false => None,
    };
    let bytes = tokio::time::timeout(kind.within, collect(body, kind))
        .await
        .unwrap_or_else(|_| Err(Problem::slow_body(kind.within)))?;
    let work = move |head: &Parts| {
        identify(&mut by, head.method.as_str(), &head.uri, &bytes);
        understand(bytes).map(|body| (by, body))
    };
    let (by, body) = if kind.upload || !fits_inline(&head, kind) {
        let task = tokio::task::spawn_blocking(move || work(&head));
        task.await.map_err(|_| Problem::internal())??
    } else {
        work(&head)?
    };
    Ok(Sent { by, body, place })
}

/// Whether a body is surely small.
fn fits_inline(head: &Parts, kind: &Kind) -> bool {
    let declared = head.headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    declared.unwrap_or(kind.bytes_max) <= INLINE_BYTES_MAX
}

fn by(headers: &HeaderMap, tagged: Tagged) -> Result<By, Problem> {
    let condition = match tagged {
        Tagged::Yes => caller::condition(headers)?,
        Tagged::No => {
            caller::no_condition(headers)?;
            None
        }
    };
    let key = caller::idempotency_key(headers)?;
    Ok(By {
        actor: ACTOR.to_owned(),
        condition,
        // The digest is known once the body is.
        idempotency: key.map(|key| (key, Digest([0; 32]))),
    })
}

/// Says which request the idempotency key stands for.
fn identify(by: &mut By, method: &str, uri: &http::Uri, body: &[u8]) {
    let Some((_, digest)) = &mut by.idempotency else {
        return;
    };
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let mut hash = Sha256::new();
    // Neither holds a line break.
    for part in [method.as_bytes(), b"\n", path.as_bytes(), b"\n", body] {
        hash.update(part);
    }
    *digest = Digest(hash.finalize().into());
}

fn check_type(headers: &HeaderMap, kind: &Kind) -> Result<(), Problem> {
    let coded = headers.get(header::CONTENT_ENCODING);
    if coded.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::wrong_type(
            "bodies with a content encoding are not taken",
            "send the bytes as they are, without Content-Encoding",
        ));
    }
    let mut given = headers.get_all(header::CONTENT_TYPE).iter();
    let (first, more) = (given.next(), given.next());
    let given = first.and_then(|value| value.to_str().ok());
    let given = given.filter(|_| more.is_none());
    let essence = given.map(|given| given.split(';').next().unwrap_or_default().trim());
    let known = |given: &str| {
        kind.types
            .iter()
            .any(|known| given.eq_ignore_ascii_case(known))
    };
    if essence.is_some_and(known) {
        return Ok(());
    }
    let detail = match essence {
        Some(essence) => format!("the content type `{}` is not taken here", clip(essence)),
        None => "the body has no content type, or more than one".to_owned(),
    };
    let next = format!("send `Content-Type: {}`", kind.types.join("` or `"));
    Err(Problem::wrong_type(detail, next))
}

/// All bytes, but never more than may be.
async fn collect(body: Body, kind: &Kind) -> Result<Bytes, Problem> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut whole = BytesMut::with_capacity(expected.min(kind.bytes_max));
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Problem::bad_body("the body broke off"))?;
        if whole.len() + piece.len() > kind.bytes_max {
            return Err(Problem::too_large(kind.bytes_max, kind.if_large));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(Objects(&mut reader));
    parsed
        .map_err(|error| {
            let path = error.path().to_string();
            wrong(error.inner(), &path)
        })
        .and_then(|body| match reader.end() {
            Ok(()) => Ok(body),
            Err(error) => Err(wrong(&error, "")),
        })
}

fn wrong(error: &serde_json::Error, path: &str) -> Problem {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = clip(text.strip_suffix(&place).unwrap_or(&text)).to_owned();
    let finding = Finding {
        error: true,
        // `.` is the whole; `?` is what was being read when the text ended.
        path: path.trim_end_matches(['.', '?']).to_owned(),
        place: Some(format!("body:{}:{}", error.line(), error.column())),
        message,
        help: None,
    };
    match error.classify() {
        Category::Data => Problem::wrong_body(finding),
        Category::Syntax | Category::Eof | Category::Io => Problem::bad_json(finding),
    }
}

/// At most 256 bytes of what a caller sent, on a UTF-8 border.
fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(256)]
}
