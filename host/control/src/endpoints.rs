//! The endpoints of control state: each reads its request, asks the plane, and answers.

pub(crate) mod keys;
pub(crate) mod node;
pub(crate) mod plugins;
pub(crate) mod policies;
pub(crate) mod prices;
pub(crate) mod probes;
pub(crate) mod tenants;
pub(crate) mod versions;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};

use crate::limits::NAME_BYTES_MAX;
use crate::problem::Problem;

/// What a path says, or why it cannot be read.
type PathOf<T> = Result<Path<T>, PathRejection>;
/// What a query says, or why it cannot be read.
type QueryOf<T> = Result<Query<T>, QueryRejection>;

/// A path's variables, each of which is checked for itself.
fn path<T>(path: PathOf<T>) -> Result<T, Problem> {
    path.map(|Path(path)| path).map_err(|rejection| {
        Problem::bad_path(
            rejection.body_text(),
            "percent-encode UTF-8; versions are whole numbers from 1",
        )
    })
}

fn query<T>(query: QueryOf<T>, next: &str) -> Result<T, Problem> {
    query
        .map(|Query(query)| query)
        .map_err(|rejection| Problem::bad_query(rejection.body_text(), next))
}

/// Checks a name of a policy, a tenant or a key. The plane may ask for more; this keeps paths and control characters out.
fn name(name: String) -> Result<String, Problem> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(name);
    }
    Err(Problem::bad_path(
        "the path holds what is no name",
        format!("names have 1 to {NAME_BYTES_MAX} lower-case letters, digits, `-` and `_`"),
    ))
}
