//! What went wrong in a call, told apart by what wasmtime and the host functions say.

use std::collections::HashSet;

use pointsman_domain::{Fault, FaultKind};
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::limits;

/// An error that a plugin chose to return. Its text is cut to 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// It cannot work on this input.
    #[error("invalid input: {0}")]
    InvalidInput(String),
    /// It cannot work now.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// It found its own bug.
    #[error("internal: {0}")]
    Internal(String),
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepFailure {
    /// A limit, a trap or a broken contract.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// An error that the plugin returned on purpose.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

impl StepFailure {
    /// The kind of the fault, where it is one.
    #[must_use]
    pub const fn fault(&self) -> Option<FaultKind> {
        match self {
            Self::Fault(fault) => Some(fault.kind),
            Self::Plugin(_) => None,
        }
    }
}

/// A fault without the plugin's name; travels through wasmtime as an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Cause {
    pub(crate) kind: FaultKind,
    pub(crate) detail: String,
}

impl Cause {
    pub(crate) fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { kind, detail }
    }

    /// A result that is too large, malformed or out of range.
    pub(crate) fn output(detail: impl Into<String>) -> Self {
        Self::new(FaultKind::Output, detail)
    }

    /// A broken contract.
    pub(crate) fn contract(detail: impl Into<String>) -> Self {
        Self::new(FaultKind::Contract, detail)
    }

    /// As a fault of a plugin.
    pub(crate) fn of(self, plugin: &str) -> Fault {
        Fault {
            plugin: plugin.to_owned(),
            kind: self.kind,
            detail: self.detail,
        }
    }

    /// What an error of wasmtime in a call means. `returned_bytes` is the limit to name.
    pub(crate) fn from_wasm(error: &wasmtime::Error, returned_bytes: u32) -> Self {
        Self::known(error, returned_bytes).unwrap_or_else(|| Self::output("malformed result"))
    }

    /// The same off the request path, where there is no content that the error's own text could repeat.
    pub(crate) fn explained(error: &wasmtime::Error, returned_bytes: u32) -> Self {
        Self::known(error, returned_bytes).unwrap_or_else(|| Self::output(format!("{error:#}")))
    }

    fn known(error: &wasmtime::Error, returned_bytes: u32) -> Option<Self> {
        if let Some(cause) = error.downcast_ref::<Self>() {
            return Some(cause.clone());
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Some(Self::new(
                FaultKind::Capacity,
                "no instance slot is free; allow more live instances or fewer requests in flight",
            ));
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return Some(from_trap(*trap, error.downcast_ref::<WasmBacktrace>()));
        }
        if error.is::<std::io::Error>() || error.is::<wasmtime::OutOfMemory>() {
            return Some(Self::new(
                FaultKind::Capacity,
                "the host has no memory for an instance",
            ));
        }
        from_text(error, returned_bytes)
    }
}

/// These errors have no type of their own in wasmtime; the fault tests notice when their text changes.
fn from_text(error: &wasmtime::Error, returned_bytes: u32) -> Option<Cause> {
    let says = |text: &str| error.chain().any(|cause| cause.to_string().contains(text));
    if says("borrow handles still remain") {
        return Some(Cause::contract("a borrowed handle was kept past the call"));
    }
    if says("handle index") {
        return Some(Cause::contract("a handle was used that is not held"));
    }
    if says("fuel allocated for hostcalls has been exhausted") {
        let detail = format!("more than {returned_bytes} bytes handed over at once");
        return Some(Cause::output(detail));
    }
    if error.is::<std::str::Utf8Error>() || says("invalid utf-8") {
        return Some(Cause::output("a string is not UTF-8"));
    }
    None
}

fn from_trap(trap: Trap, backtrace: Option<&WasmBacktrace>) -> Cause {
    let kind = match trap {
        Trap::OutOfFuel => FaultKind::Fuel,
        Trap::Interrupt => FaultKind::Deadline,
        Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::InvalidChar
        | Trap::InvalidDiscriminant
        | Trap::UnalignedPointer => FaultKind::Output,
        Trap::CannotEnterComponent | Trap::CannotLeaveComponent => FaultKind::Contract,
        _ => FaultKind::Trap,
    };
    // A guest with its stack at the start of memory runs out of it as an access below zero.
    let exhausted = trap == Trap::StackOverflow
        || (trap == Trap::MemoryOutOfBounds && backtrace.is_some_and(recurses));
    let detail = match kind {
        FaultKind::Fuel => "out of fuel".to_owned(),
        _ if exhausted => "call stack exhausted".to_owned(),
        _ => {
            let text = trap.to_string();
            text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned()
        }
    };
    Cause { kind, detail }
}

/// Whether the innermost frames are a few functions over and over.
fn recurses(backtrace: &WasmBacktrace) -> bool {
    let frames = backtrace.frames();
    let functions: HashSet<u32> = frames.iter().map(wasmtime::FrameInfo::func_index).collect();
    frames.len() >= limits::BACKTRACE_FRAMES && functions.len() <= limits::BACKTRACE_FRAMES / 4
}

/// Why a call inside the crate has no result.
pub(crate) enum Failure {
    Wasm(wasmtime::Error),
    Cause(Cause),
    Plugin(PluginError),
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        Self::Wasm(error)
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self::Cause(cause)
    }
}

impl From<PluginError> for Failure {
    fn from(error: PluginError) -> Self {
        Self::Plugin(error)
    }
}

impl Failure {
    /// As the caller sees it.
    pub(crate) fn of(self, plugin: &str, returned_bytes: u32) -> StepFailure {
        match self {
            Self::Wasm(error) => {
                StepFailure::Fault(Cause::from_wasm(&error, returned_bytes).of(plugin))
            }
            Self::Cause(cause) => StepFailure::Fault(cause.of(plugin)),
            Self::Plugin(error) => StepFailure::Plugin(error),
        }
    }
}
