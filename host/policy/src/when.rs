//! `when`: the CEL condition that decides whether a step runs.
//!
//! Names: `request` (fields of the view), `labels`, `headers` (tables), `tenant`, `key`, `variant` (texts); `-` in a
//! name is written `_`, or the name in brackets: `labels['has-code']`. `has(labels.task)` asks whether a label is there.
//! `'x' in labels` too, which also takes names with dots. A whole table (`size(labels)`) has its names as they are.
//! `variant` is empty until the split phase.
//!
//! Promises: compiled once; unknown names and functions are refused then, not at run time; an evaluation visits each
//! node of the expression at most once, because loops (`all`, `exists`, `map`, …) are refused: `x in [..]` says what
//! they are wanted for. Errors never repeat a value of the request.
//! Refuses to know: what becomes of the answer.

mod error;
mod names;
#[cfg(test)]
mod tests;
mod variables;

use std::sync::{Arc, LazyLock};

use cel::common::ast::IdedExpr;
use cel::{Context, Env, Value};
use pointsman_domain::RequestView;

pub use error::WhenError;
use names::Names;

/// Bytes of a condition.
pub const SOURCE_BYTES_MAX: usize = 1024;
/// Brackets within brackets; checked before the parser, which recurses.
const BRACKETS_DEPTH_MAX: usize = 24;
/// Levels of the parsed expression; evaluation recurses over them.
const DEPTH_MAX: usize = 64;

static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled condition; shared by all threads.
#[derive(Debug)]
pub struct When {
    expression: IdedExpr,
    names: Names,
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<When>();
};

impl When {
    /// Compiles a condition.
    ///
    /// # Errors
    /// Syntax, names and functions that do not exist, loops, and what is too long or too deep.
    pub fn compile(source: &str) -> Result<Self, WhenError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(WhenError::TooLong {
                bytes: source.len(),
            });
        }
        if bracket_depth(source) > BRACKETS_DEPTH_MAX {
            return Err(WhenError::TooDeep);
        }
        let expression = STANDARD
            .parser()
            .parse(source)
            .map_err(|errors| WhenError::syntax(&errors))?;
        let names = Names::of(&expression, DEPTH_MAX)?;
        Ok(Self { expression, names })
    }

    /// Whether it holds for a request.
    ///
    /// # Errors
    /// A missing label or field without `has(..)`, types that do not fit, an answer that is neither true nor false.
    pub fn eval(&self, view: &RequestView, variant: Option<&str>) -> Result<bool, WhenError> {
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        variables::bind(&mut context, &self.names, view, variant);
        match Value::resolve(&self.expression, &context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(WhenError::NotFlag(
                format!("{:?}", other.type_of()).to_ascii_lowercase(),
            )),
            Err(error) => Err(WhenError::run(error, &self.names)),
        }
    }

    /// Whether it asks for the variant, which is known from the split phase on.
    #[must_use]
    pub const fn asks_variant(&self) -> bool {
        self.names.variant
    }
}

/// The deepest nesting of brackets outside string literals; a bracket in an odd literal only makes it stricter.
fn bracket_depth(source: &str) -> usize {
    let (mut depth, mut deepest, mut quote) = (0_usize, 0, None);
    for c in source.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    deepest
}
