//! Which names a condition uses: refused where they do not exist, and the only ones that are built for a request.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::error::WhenError;
use crate::nearest::did_you_mean;

/// What stands at the root of a name.
const ROOTS: [&str; 6] = ["request", "labels", "headers", "tenant", "key", "variant"];

/// The view's fields, as `RequestView::fields` lists them.
const REQUEST_FIELDS: [&str; 19] = [
    "tenant",
    "key",
    "model",
    "dialect",
    "endpoint",
    "conversation",
    "policy",
    "version",
    "phase",
    "time-ms",
    "streaming",
    "service-tier",
    "max-output-tokens",
    "temperature",
    "n",
    "response-format",
    "input-tokens-estimate",
    "budget-left-pico-usd",
    "variant",
];
/// Those of the response phases.
const RESPONSE_FIELDS: [&str; 4] = ["target", "attempt", "status", "response-model"];

/// Functions of the standard library that are offered. `type` is not: type names would be unknown names.
const FUNCTIONS: [&str; 10] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "dyn",
];

const OPERATORS: [&str; 17] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
];

/// What of a table is used.
#[derive(Debug, Default)]
pub(super) struct Used {
    /// The table as a whole: `size(labels)`, `'x' in labels`.
    pub(super) whole: bool,
    /// Single entries, as they are written.
    pub(super) entries: BTreeSet<String>,
}

impl Used {
    pub(super) fn any(&self) -> bool {
        self.whole || !self.entries.is_empty()
    }
}

/// All names that a condition uses.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) request: Used,
    pub(super) labels: Used,
    pub(super) headers: Used,
    pub(super) tenant: bool,
    pub(super) key: bool,
    pub(super) variant: bool,
}

impl Names {
    /// Of an expression of at most `depth` levels.
    pub(super) fn of(expression: &IdedExpr, depth: usize) -> Result<Self, WhenError> {
        let mut names = Self::default();
        names.visit(expression, depth)?;
        Ok(names)
    }

    /// Whether the condition itself writes this entry.
    pub(super) fn writes(&self, entry: &str) -> bool {
        [&self.request, &self.labels, &self.headers]
            .iter()
            .any(|used| used.entries.contains(entry))
    }

    fn visit(&mut self, expression: &IdedExpr, depth: usize) -> Result<(), WhenError> {
        let depth = depth.checked_sub(1).ok_or(WhenError::TooDeep)?;
        match &expression.expr {
            Expr::Ident(name) => self.root(name),
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(root) => self.entry(root, &select.field),
                _ => self.visit(&select.operand, depth),
            },
            Expr::Call(call) => self.call(call, depth),
            Expr::List(list) => list
                .elements
                .iter()
                .try_for_each(|element| self.visit(element, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, depth)?;
                    self.visit(&entry.value, depth)
                }
                EntryExpr::StructField(field) => self.visit(&field.value, depth),
            }),
            Expr::Comprehension(_) => Err(WhenError::Loop),
            Expr::Struct(object) => Err(unknown_name(&object.type_name)),
            Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn call(&mut self, call: &CallExpr, depth: usize) -> Result<(), WhenError> {
        let function = call.func_name.as_str();
        if function == operators::INDEX
            && let [table, key] = call.args.as_slice()
            && let (Expr::Ident(root), Expr::Literal(LiteralValue::String(key))) =
                (&table.expr, &key.expr)
        {
            return self.entry(root, key.inner());
        }
        // `'x' in labels` asks for one entry, under either spelling of its name.
        if function == operators::IN
            && let [key, table] = call.args.as_slice()
            && let (Expr::Literal(LiteralValue::String(key)), Expr::Ident(root)) =
                (&key.expr, &table.expr)
        {
            return self.entry(root, key.inner());
        }
        if matches!(
            function,
            operators::ALL
                | operators::EXISTS
                | operators::EXISTS_ONE
                | operators::MAP
                | operators::FILTER
        ) {
            return Err(WhenError::Loop);
        }
        if function != operators::IN
            && !OPERATORS.contains(&function)
            && !FUNCTIONS.contains(&function)
        {
            let help = did_you_mean(function, FUNCTIONS)
                .unwrap_or_else(|| format!("write one of {}", FUNCTIONS.join(", ")));
            return Err(WhenError::UnknownFunction {
                name: function.to_owned(),
                help,
            });
        }
        let operands = call.target.iter().map(|target| &**target).chain(&call.args);
        for operand in operands {
            self.visit(operand, depth)?;
        }
        Ok(())
    }

    fn root(&mut self, name: &str) -> Result<(), WhenError> {
        match name {
            "request" => self.request.whole = true,
            "labels" => self.labels.whole = true,
            "headers" => self.headers.whole = true,
            "tenant" => self.tenant = true,
            "key" => self.key = true,
            "variant" => self.variant = true,
            _ => return Err(unknown_name(name)),
        }
        Ok(())
    }

    fn entry(&mut self, root: &str, entry: &str) -> Result<(), WhenError> {
        let used = match root {
            "request" => {
                check_field(entry)?;
                if entry == "variant" {
                    self.variant = true;
                }
                &mut self.request
            }
            "labels" => &mut self.labels,
            "headers" => &mut self.headers,
            // `tenant.x`: the text is there, what is selected of it is not; evaluation says so.
            _ => return self.root(root),
        };
        used.entries.insert(entry.to_owned());
        Ok(())
    }
}

fn unknown_name(name: &str) -> WhenError {
    let help =
        did_you_mean(name, ROOTS).unwrap_or_else(|| format!("write one of {}", ROOTS.join(", ")));
    WhenError::UnknownName {
        name: name.to_owned(),
        help,
    }
}

fn check_field(field: &str) -> Result<(), WhenError> {
    let known = || REQUEST_FIELDS.into_iter().chain(RESPONSE_FIELDS);
    if known().any(|name| same(name, field)) {
        return Ok(());
    }
    let written: Vec<String> = known()
        .map(|name| format!("request.{}", name.replace('-', "_")))
        .collect();
    let name = format!("request.{field}");
    let help = did_you_mean(&name, written.iter().map(String::as_str))
        .unwrap_or_else(|| format!("write one of {}", written.join(", ")));
    Err(WhenError::UnknownName { name, help })
}

/// Whether a name of the request is meant by a name of the condition: `has-code` by `has_code`, or as it is.
pub(super) fn same(name: &str, written: &str) -> bool {
    let fold = |byte: u8| if byte == b'-' { b'_' } else { byte };
    name == written || (name.len() == written.len() && name.bytes().map(fold).eq(written.bytes()))
}
