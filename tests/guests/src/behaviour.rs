//! The misdeeds themselves.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

use pointsman_sdk::glue::{PoolHandle, ViewHandle};
use pointsman_sdk::{Label, PluginError, Value, host};
use serde::Deserialize;

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) behaviour: Behaviour,
    #[serde(default)]
    pub(crate) at: At,
}

/// Where to do it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum At {
    /// In the role's call; a response guard's is `push`, or the constructor where the request is needed.
    #[default]
    Call,
    /// In `configure`.
    Configure,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Behaviour {
    /// Nothing wrong.
    #[default]
    Echo,
    /// Panics.
    Trap,
    /// Never returns.
    Loop,
    /// Allocates until it may not.
    Memory,
    /// Calls itself until the stack ends.
    Recursion,
    /// Returns 16 MiB.
    Big,
    /// Returns a string that is no UTF-8.
    BadUtf8,
    /// Calls the host a million times.
    HostCalls,
    /// Does not drop the request's handle.
    KeepBorrow,
    /// Returns what the contract forbids: consumes more than was held, names an unknown target, …
    Contract,
    /// Calls an import that it did not declare.
    Import,
    /// Fails on purpose, which is no fault.
    Error,
    /// A classifier that keeps what it sees and tells what it has seen before.
    Remember,
    /// A router that reads fields and columns in one call each.
    AtOnce,
    /// A router that reads the same one by one.
    OneByOne,
}

/// Does it. What comes back, if anything does, is text for the result.
pub(crate) fn misbehave(
    behaviour: Behaviour,
    request: Option<&ViewHandle>,
) -> Result<Option<String>, PluginError> {
    match behaviour {
        Behaviour::Echo
        | Behaviour::Contract
        | Behaviour::Remember
        | Behaviour::AtOnce
        | Behaviour::OneByOne => {}
        Behaviour::Trap => trap(),
        Behaviour::Loop => loop {
            black_box(0);
        },
        Behaviour::Memory => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        Behaviour::Recursion => {
            black_box(descend(0));
        }
        Behaviour::Big => return Ok(Some("x".repeat(16 << 20))),
        Behaviour::BadUtf8 => return Ok(Some(bad_utf8())),
        Behaviour::HostCalls => {
            for _ in 0..1_000_000 {
                black_box(request.and_then(|request| request.field("model")));
            }
        }
        Behaviour::KeepBorrow => {
            if let Some(request) = request {
                // The bindings drop the handle at the end of the call unless it was taken from them.
                black_box(request.take_handle());
            }
        }
        Behaviour::Import => {
            black_box(host::hmac("nobody-granted-this", b"message"));
        }
        Behaviour::Error => {
            return Err(PluginError::Unavailable("on purpose".to_owned()));
        }
    }
    Ok(None)
}

/// Requests that this instance has seen, the last one's text at the end.
static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps the request's text, and tells how many came before and what the last of them said.
pub(crate) fn remember(request: &ViewHandle) -> Vec<Label> {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let before = seen.last().cloned().unwrap_or_default();
    let count = i64::try_from(seen.len()).unwrap_or(i64::MAX);
    seen.push(request.recent_text(1, 64));
    vec![
        Label::new("seen", Value::Integer(count)),
        Label::new("before", before),
    ]
}

/// What a router knows of fields and columns, some of which are not there.
pub(crate) fn read(at_once: bool, request: &ViewHandle, pool: &PoolHandle) -> String {
    let (names, keys) = (["model", "odd"], ["quality", "odd", "capabilities"]);
    let (fields, columns) = if at_once {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (names, keys): (Vec<String>, Vec<String>) = (owned(&names), owned(&keys));
        (request.fields(&names), pool.columns(&keys))
    } else {
        (
            names.map(|name| request.field(name)).to_vec(),
            keys.map(|key| pool.column(key)).to_vec(),
        )
    };
    format!("{fields:?} {columns:?}")
}

/// Whether the misdeed needs the request's handle.
pub(crate) const fn needs_request(behaviour: Behaviour) -> bool {
    matches!(behaviour, Behaviour::HostCalls | Behaviour::KeepBorrow)
}

#[expect(clippy::panic, reason = "a trap is what the host is tested against")]
fn trap() {
    panic!("on purpose");
}

/// Deep enough to end any stack; the frame is kept real by the array.
fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == u64::MAX {
        return frame[0];
    }
    descend(depth + 1).wrapping_add(frame[63])
}

#[expect(
    unsafe_code,
    reason = "a guest in another language can return any bytes as a string; Rust needs unsafe code to"
)]
fn bad_utf8() -> String {
    // SAFETY: broken on purpose. The bytes are only moved to the host, never read as characters here.
    unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, 0xfe, b'z']) }
}
