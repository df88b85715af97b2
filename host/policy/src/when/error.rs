//! What can be wrong with a condition. Run-time errors name what the condition says, never what the request holds.

use cel::{ExecutionError, ParseErrors};

use super::names::Names;
use super::{DEPTH_MAX, SOURCE_BYTES_MAX};

/// A condition that cannot be compiled, or has no answer for a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    /// Longer than `SOURCE_BYTES_MAX`.
    #[error("{bytes} bytes are more than a condition may have ({SOURCE_BYTES_MAX})")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Nested deeper than is evaluated.
    #[error("nested too deeply: at most {DEPTH_MAX} levels; split it over several steps")]
    TooDeep,
    /// No CEL expression.
    #[error("column {column}: {message}")]
    Syntax {
        /// Column from 1.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// A name that no request has.
    #[error("unknown name `{name}`: {help}")]
    UnknownName {
        /// The name.
        name: String,
        /// What to write.
        help: String,
    },
    /// A function that is not offered.
    #[error("unknown function `{name}`: {help}")]
    UnknownFunction {
        /// The function.
        name: String,
        /// What to write.
        help: String,
    },
    /// `all`, `exists`, `exists_one`, `map`, `filter`.
    #[error(
        "loops are not offered: write `x in [..]` instead of `all`, `exists`, `map` or `filter`"
    )]
    Loop,
    /// The answer is no flag.
    #[error("the answer is a {0}, not true or false")]
    NotFlag(String),
    /// A label, field or header that the request does not have.
    #[error("`{0}` is not there: ask with `has(..)` first")]
    Missing(String),
    /// Operands of types that do not go together.
    #[error("values of these types cannot be used this way")]
    Types,
    /// A division by zero, an overflow, an index out of bounds.
    #[error("the values are out of range")]
    Range,
}

impl WhenError {
    pub(super) fn syntax(errors: &ParseErrors) -> Self {
        let first = errors.errors.first();
        let column = first
            .and_then(|error| usize::try_from(error.pos.1).ok())
            .unwrap_or_default();
        let message = first.map_or("not an expression", |error| error.msg.as_str());
        let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
        Self::Syntax {
            column,
            message: message[..message.floor_char_boundary(200)].to_owned(),
        }
    }

    pub(super) fn run(error: ExecutionError, names: &Names) -> Self {
        match error {
            // A key can also come from the request (`labels[request.model]`): only written ones are repeated.
            ExecutionError::NoSuchKey(key) if names.writes(&key) => Self::Missing(key.to_string()),
            ExecutionError::NoSuchKey(_) => Self::Missing("a key".to_owned()),
            ExecutionError::DivisionByZero(_)
            | ExecutionError::RemainderByZero(_)
            | ExecutionError::Overflow(..)
            | ExecutionError::IndexOutOfBounds(_) => Self::Range,
            _ => Self::Types,
        }
    }
}
