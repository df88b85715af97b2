//! Which names a condition uses: refused where they do not exist, and the only ones that are read of a request.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};

/// Fields of the view that a request has in the phases where this plugin runs.
const FIELDS: [&str; 19] = [
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

/// Functions that are offered.
const FUNCTIONS: [&str; 11] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "lowerAscii",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "dyn",
];

const OPERATORS: [&str; 19] = [
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
    operators::IN,
    // What `all` and `exists` become.
    operators::NOT_STRICTLY_FALSE,
];

const ROOTS: &str = "request, labels, headers, tenant, key, variant, text, tools";

/// A table of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Request,
    Labels,
    Headers,
}

impl Table {
    pub(crate) const ALL: [Self; 3] = [Self::Request, Self::Labels, Self::Headers];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Labels => "labels",
            Self::Headers => "headers",
        }
    }

    fn of(root: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == root)
    }
}

/// One thing of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// `request.model`, `labels.task`, `headers['x-team']`, as written.
    Entry(Table, String),
    Tenant,
    Key,
    Variant,
    Text,
    Tools,
}

impl Name {
    fn single(root: &str) -> Option<Self> {
        match root {
            "tenant" => Some(Self::Tenant),
            "key" => Some(Self::Key),
            "variant" => Some(Self::Variant),
            "text" => Some(Self::Text),
            "tools" => Some(Self::Tools),
            _ => None,
        }
    }
}

/// The view's name of a request field as it is written in a condition.
pub(crate) fn field(written: &str) -> Option<&'static str> {
    let dashed = written.replace('_', "-");
    FIELDS.into_iter().find(|field| *field == dashed)
}

/// The names of an expression, sorted.
///
/// # Errors
/// What does not exist or is nested too deeply.
pub(crate) fn of(expression: &IdedExpr, depth: usize) -> Result<Vec<Name>, String> {
    let mut visitor = Visitor::default();
    visitor.visit(expression, depth)?;
    visitor.names.sort();
    visitor.names.dedup();
    Ok(visitor.names)
}

#[derive(Default)]
struct Visitor<'a> {
    names: Vec<Name>,
    /// Variables of the loops around.
    variables: Vec<&'a str>,
}

impl<'a> Visitor<'a> {
    fn visit(&mut self, expression: &'a IdedExpr, depth: usize) -> Result<(), String> {
        let depth = depth
            .checked_sub(1)
            .ok_or("nested too deeply: split it over several rules")?;
        match &expression.expr {
            Expr::Ident(name) => self.root(name),
            Expr::Select(select) => match self.table(&select.operand) {
                Some(table) => self.entry(table, &select.field),
                None => self.visit(&select.operand, depth),
            },
            Expr::Call(call) => self.call(call, depth),
            Expr::Comprehension(looped) => self.comprehension(looped, depth),
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
            Expr::Struct(object) => Err(unknown(&object.type_name)),
            Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn comprehension(&mut self, looped: &'a ComprehensionExpr, depth: usize) -> Result<(), String> {
        self.visit(&looped.iter_range, depth)?;
        self.visit(&looped.accu_init, depth)?;
        let outside = self.variables.len();
        self.variables.push(&looped.accu_var);
        self.variables.push(&looped.iter_var);
        self.variables.extend(looped.iter_var2.as_deref());
        self.visit(&looped.loop_cond, depth)?;
        self.visit(&looped.loop_step, depth)?;
        self.visit(&looped.result, depth)?;
        self.variables.truncate(outside);
        Ok(())
    }

    fn call(&mut self, call: &'a CallExpr, depth: usize) -> Result<(), String> {
        let function = call.func_name.as_str();
        let entry = match (function, call.args.as_slice()) {
            (operators::INDEX, [table, key]) | (operators::IN, [key, table]) => {
                self.table(table).zip(literal(key))
            }
            _ => None,
        };
        if let Some((table, key)) = entry {
            return self.entry(table, key);
        }
        if !OPERATORS.contains(&function) && !FUNCTIONS.contains(&function) {
            return Err(format!(
                "unknown function `{function}`: write one of {}",
                FUNCTIONS.join(", ")
            ));
        }
        let operands = call.target.iter().map(|target| &**target).chain(&call.args);
        for operand in operands {
            self.visit(operand, depth)?;
        }
        Ok(())
    }

    /// The table that an expression names, unless a loop's variable hides it.
    fn table(&self, expression: &IdedExpr) -> Option<Table> {
        match &expression.expr {
            Expr::Ident(root) if !self.variables.contains(&root.as_str()) => Table::of(root),
            _ => None,
        }
    }

    fn root(&mut self, name: &str) -> Result<(), String> {
        if self.variables.contains(&name) {
            return Ok(());
        }
        if let Some(table) = Table::of(name) {
            let name = table.name();
            return Err(format!(
                "`{name}` has no answer as a whole: name an entry, as in `{name}.x` or `'x' in {name}`"
            ));
        }
        self.names
            .push(Name::single(name).ok_or_else(|| unknown(name))?);
        Ok(())
    }

    fn entry(&mut self, table: Table, entry: &str) -> Result<(), String> {
        if table == Table::Request && field(entry).is_none() {
            let fields: Vec<String> = FIELDS.iter().map(|field| field.replace('-', "_")).collect();
            return Err(format!(
                "unknown name `request.{entry}`: request has {}",
                fields.join(", ")
            ));
        }
        self.names.push(Name::Entry(table, entry.to_owned()));
        Ok(())
    }
}

fn literal(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn unknown(name: &str) -> String {
    format!("unknown name `{name}`: write one of {ROOTS}")
}
