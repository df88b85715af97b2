//! A compiled condition: CEL over the names of `names`.
//!
//! Promises: bounded in length and depth, so that neither parser nor evaluation can exhaust the stack; errors never
//! repeat a value of the request.

use std::collections::HashMap;
use std::sync::Arc;

use cel::common::ast::IdedExpr;
use cel::common::types::CelString;
use cel::objects::Key;
use cel::{Context, Env, ExecutionError, Value};

use crate::facts::Facts;
use crate::names::{self, Name, Table};

/// Bytes of a condition.
pub(crate) const SOURCE_BYTES_MAX: usize = 4096;
/// Brackets within brackets; checked before the parser, which recurses.
const BRACKETS_DEPTH_MAX: usize = 24;
/// Levels of the parsed expression.
const DEPTH_MAX: usize = 64;

/// The functions, built once.
pub(crate) fn environment() -> Result<Arc<Env>, String> {
    let mut env = Env::stdlib().with_optional_support(false);
    cel::add_member_overload!(env, fn lower_ascii: (CelString<'_>) -> CelString<'_>)
        .map_err(|error| format!("the standard functions cannot be built: {error}"))?;
    Ok(Arc::new(env))
}

fn lower_ascii(this: &CelString<'_>) -> CelString<'static> {
    CelString::from(this.inner().to_ascii_lowercase())
}

/// Why a condition has no answer for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// What it names is not there; as the condition writes it.
    Missing(String),
    /// The answer is neither true nor false.
    NotFlag,
    /// Operands that do not go together.
    Types,
    /// A division by zero, an overflow, an index out of bounds.
    Range,
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(name) => {
                write!(f, "`{name}` is not there; ask with `has(..)` first")
            }
            Self::NotFlag => f.write_str("the answer is neither true nor false"),
            Self::Types => f.write_str("values of these types cannot be used this way"),
            Self::Range => f.write_str("the values are out of range"),
        }
    }
}

/// A condition and where its names stand among the facts.
#[derive(Debug)]
pub(crate) struct Condition {
    expression: IdedExpr,
    names: Vec<(Name, usize)>,
}

impl Condition {
    /// Compiles a condition; `slot` gives each name its place among the facts.
    pub(crate) fn compile(
        env: &Env,
        source: &str,
        mut slot: impl FnMut(&Name) -> usize,
    ) -> Result<Self, String> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(format!(
                "{} bytes are more than a condition may have ({SOURCE_BYTES_MAX})",
                source.len()
            ));
        }
        if bracket_depth(source) > BRACKETS_DEPTH_MAX {
            return Err("nested too deeply: split it over several rules".to_owned());
        }
        let expression = env.parser().parse(source).map_err(|errors| {
            let first = errors.errors.first();
            let column = first.map_or(0, |error| error.pos.1);
            let message = first.map_or("not an expression", |error| error.msg.as_str());
            let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
            format!("column {column}: {}", clip(message))
        })?;
        let names = names::of(&expression, DEPTH_MAX)?;
        let names = names
            .into_iter()
            .map(|name| {
                let slot = slot(&name);
                (name, slot)
            })
            .collect();
        Ok(Self { expression, names })
    }

    /// Whether it holds.
    pub(crate) fn holds(&self, env: &Arc<Env>, facts: &Facts<'_>) -> Result<bool, NoAnswer> {
        let mut context = Context::with_env(Arc::clone(env));
        for table in Table::ALL {
            let mut entries: HashMap<Key, Value> = HashMap::new();
            let mut named = false;
            for (name, slot) in &self.names {
                let Name::Entry(of, written) = name else {
                    continue;
                };
                if *of == table {
                    named = true;
                    if let Some(value) = facts.get(*slot) {
                        entries.insert(Key::from(written.as_str()), value);
                    }
                }
            }
            if named {
                context.add_variable_from_value(table.name(), entries);
            }
        }
        for (name, slot) in &self.names {
            let root = match name {
                Name::Entry(..) => continue,
                Name::Tenant => "tenant",
                Name::Key => "key",
                Name::Variant => "variant",
                Name::Text => "text",
                Name::Tools => "tools",
            };
            let value = facts.get(*slot).unwrap_or_else(|| Value::from(""));
            context.add_variable_from_value(root, value);
        }
        match Value::resolve(&self.expression, &context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err(NoAnswer::NotFlag),
            Err(error) => Err(self.no_answer(&error)),
        }
    }

    fn no_answer(&self, error: &ExecutionError) -> NoAnswer {
        let written = |key: &str| {
            self.names.iter().find_map(|(name, _)| match name {
                Name::Entry(table, entry) if entry == key => {
                    Some(format!("{}.{entry}", table.name()))
                }
                _ => None,
            })
        };
        match error {
            // A key can also be computed from the request: only written ones are repeated.
            ExecutionError::NoSuchKey(key) => {
                NoAnswer::Missing(written(key).unwrap_or_else(|| "a key".to_owned()))
            }
            ExecutionError::DivisionByZero(_)
            | ExecutionError::RemainderByZero(_)
            | ExecutionError::Overflow(..)
            | ExecutionError::IndexOutOfBounds(_) => NoAnswer::Range,
            _ => NoAnswer::Types,
        }
    }
}

fn clip(message: &str) -> &str {
    &message[..message.floor_char_boundary(200)]
}

/// The deepest nesting of brackets outside string literals; a bracket in an odd literal only makes it stricter.
fn bracket_depth(source: &str) -> usize {
    let (mut depth, mut deepest, mut quote) = (0_usize, 0, None);
    for character in source.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
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
