//! Secrets in cases: a test value where the case has one, else a key made from the name, so that a case holds alike on
//! every machine and tells nothing.

use hmac::{Hmac, Mac as _};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

/// What a configuration writes before a secret's name.
pub const PREFIX: &str = "secret://";

/// The names of secrets in a configuration, in order, each once.
pub(crate) fn names(config: &Json) -> Vec<&str> {
    let mut names = Vec::new();
    collect(config, &mut names);
    names.sort_unstable();
    names.dedup();
    names
}

fn collect<'a>(json: &'a Json, names: &mut Vec<&'a str>) {
    match json {
        Json::String(text) => names.extend(text.strip_prefix(PREFIX)),
        Json::Array(items) => items.iter().for_each(|item| collect(item, names)),
        Json::Object(members) => members.values().for_each(|member| collect(member, names)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// The key of a secret that has no test value.
pub(crate) fn stand_in(name: &str) -> Vec<u8> {
    Sha256::digest(format!("stand-in for {PREFIX}{name}")).to_vec()
}

/// HMAC-SHA256.
#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes keys of every length, so that the other arm is never taken.
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .unwrap_or_else(|_| Hmac::new(&hmac::digest::Key::<Hmac<Sha256>>::default()));
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}
