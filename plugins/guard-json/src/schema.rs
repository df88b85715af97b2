//! A JSON Schema, read once, and what a value breaks of it.
//!
//! The keywords of draft 2020-12 that structured answers use; a schema with another one is refused, because a guard
//! that overlooks a condition is none.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// How deep a schema and its references may go.
const DEPTH_MAX: usize = 64;

/// Keywords that say nothing of validity.
const REMARKS: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "$defs",
    "definitions",
];

/// One schema.
#[derive(Debug, Default)]
struct Node {
    /// `false`: nothing is valid.
    never: bool,
    reference: Option<String>,
    types: Vec<String>,
    one_of_values: Option<Vec<Value>>,
    properties: BTreeMap<String, Self>,
    required: Vec<String>,
    additional: Option<Box<Self>>,
    first_items: Vec<Self>,
    items: Option<Box<Self>>,
    unique_items: bool,
    /// Keyword → bound.
    bounds: BTreeMap<&'static str, f64>,
    all_of: Vec<Self>,
    any_of: Vec<Self>,
    one_of: Vec<Self>,
    not: Option<Box<Self>>,
}

/// Keywords whose value is a number.
const BOUNDS: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
];
const TYPES: &[&str] = &[
    "null", "boolean", "object", "array", "number", "integer", "string",
];

/// A whole schema with what it refers to.
#[derive(Debug)]
pub(crate) struct Schema {
    root: Node,
    named: BTreeMap<String, Node>,
}

/// What is broken, and where: names that the schema knows and numbers of items, never content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) path: String,
    pub(crate) keyword: &'static str,
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// Where it is none, or says more than this guard understands.
    pub(crate) fn new(json: &Value) -> Result<Self, String> {
        let mut named = BTreeMap::new();
        for key in ["$defs", "definitions"] {
            for (name, schema) in json
                .get(key)
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                let path = format!("#/{key}/{name}");
                named.insert(path.clone(), Node::new(schema, &path, 0)?);
            }
        }
        let schema = Self {
            root: Node::new(json, "#", 0)?,
            named,
        };
        for node in schema.named.values().chain([&schema.root]) {
            node.each(&mut |node| match &node.reference {
                Some(reference) if reference != "#" && !schema.named.contains_key(reference) => {
                    Err(format!(
                        "$ref `{reference}`: no such schema; write #/$defs/NAME"
                    ))
                }
                _ => Ok(()),
            })?;
        }
        Ok(schema)
    }

    /// What a value breaks first.
    pub(crate) fn broken(&self, value: &Value) -> Option<Broken> {
        self.check(&self.root, value, "", 0).err()
    }

    fn check(&self, node: &Node, value: &Value, path: &str, depth: usize) -> Result<(), Broken> {
        let broken = |keyword| {
            Err(Broken {
                path: path.to_owned(),
                keyword,
            })
        };
        if node.never {
            return broken("false");
        }
        if depth > DEPTH_MAX {
            return broken("$ref");
        }
        if let Some(reference) = &node.reference {
            let named = self.named.get(reference).unwrap_or(&self.root);
            self.check(named, value, path, depth + 1)?;
        }
        if !node.types.is_empty() && !node.types.iter().any(|name| is_of(name, value)) {
            return broken("type");
        }
        if let Some(values) = &node.one_of_values
            && !values.iter().any(|known| is_equal(known, value))
        {
            return broken("enum");
        }
        if let Some(keyword) = node
            .bounds
            .iter()
            .find_map(|(keyword, bound)| beyond(keyword, *bound, value))
        {
            return broken(keyword);
        }
        self.check_parts(node, value, path, depth)?;
        let holds = |other: &Node| self.check(other, value, path, depth + 1).is_ok();
        for other in &node.all_of {
            self.check(other, value, path, depth + 1)?;
        }
        if !node.any_of.is_empty() && !node.any_of.iter().any(holds) {
            return broken("anyOf");
        }
        if !node.one_of.is_empty() && node.one_of.iter().filter(|other| holds(other)).count() != 1 {
            return broken("oneOf");
        }
        if node.not.as_ref().is_some_and(|other| holds(other)) {
            return broken("not");
        }
        Ok(())
    }

    fn check_parts(
        &self,
        node: &Node,
        value: &Value,
        path: &str,
        depth: usize,
    ) -> Result<(), Broken> {
        let at = |path: String, keyword| Broken { path, keyword };
        if let Value::Object(object) = value {
            if let Some(name) = node
                .required
                .iter()
                .find(|name| !object.contains_key(*name))
            {
                return Err(at(format!("{path}/{name}"), "required"));
            }
            for (name, value) in object {
                if let Some(property) = node.properties.get(name) {
                    self.check(property, value, &format!("{path}/{name}"), depth + 1)?;
                } else if let Some(additional) = &node.additional {
                    // Its name is content.
                    self.check(additional, value, &format!("{path}/*"), depth + 1)
                        .map_err(|broken| {
                            if additional.never {
                                at(path.to_owned(), "additionalProperties")
                            } else {
                                broken
                            }
                        })?;
                }
            }
        }
        if let Value::Array(items) = value {
            for (index, item) in items.iter().enumerate() {
                if let Some(schema) = node.first_items.get(index).or(node.items.as_deref()) {
                    self.check(schema, item, &format!("{path}/{index}"), depth + 1)?;
                }
            }
            let twice = |index: usize| {
                items[..index]
                    .iter()
                    .any(|other| is_equal(other, &items[index]))
            };
            if node.unique_items && (0..items.len()).any(twice) {
                return Err(at(path.to_owned(), "uniqueItems"));
            }
        }
        Ok(())
    }
}

impl Node {
    fn new(json: &Value, path: &str, depth: usize) -> Result<Self, String> {
        let object = match json {
            Value::Bool(anything) => {
                return Ok(Self {
                    never: !anything,
                    ..Self::default()
                });
            }
            Value::Object(object) if depth <= DEPTH_MAX => object,
            Value::Object(_) => return Err(format!("{path}: nested deeper than {DEPTH_MAX}")),
            _ => return Err(format!("{path}: a schema is an object, true or false")),
        };
        let mut node = Self::default();
        for (keyword, value) in object {
            let place = format!("{path}/{keyword}");
            node.keyword(keyword, value, &place, depth + 1)?;
        }
        Ok(node)
    }

    fn keyword(
        &mut self,
        keyword: &str,
        value: &Value,
        place: &str,
        depth: usize,
    ) -> Result<(), String> {
        let one = |value: &Value| Self::new(value, place, depth);
        let boxed = |value: &Value| Ok::<_, String>(Some(Box::new(one(value)?)));
        if let Some(bound) = BOUNDS.iter().find(|bound| **bound == keyword) {
            let number = value
                .as_f64()
                .filter(|number| *number > 0.0 || keyword != "multipleOf");
            self.bounds.insert(
                bound,
                number.ok_or_else(|| format!("{place}: write a number"))?,
            );
            return Ok(());
        }
        match keyword {
            "$ref" => self.reference = Some(text(value, place)?.to_owned()),
            "type" => self.types = types(value, place)?,
            "enum" => self.one_of_values = Some(list(value, place)?.clone()),
            "const" => self.one_of_values = Some(vec![value.clone()]),
            "properties" => {
                for (name, schema) in object(value, place)? {
                    let schema = Self::new(schema, &format!("{place}/{name}"), depth)?;
                    self.properties.insert(name.clone(), schema);
                }
            }
            "required" => {
                for name in list(value, place)? {
                    self.required.push(text(name, place)?.to_owned());
                }
            }
            "additionalProperties" => self.additional = boxed(value)?,
            "prefixItems" => self.first_items = many(value, place, depth)?,
            "items" => self.items = boxed(value)?,
            "uniqueItems" => self.unique_items = value == true,
            "allOf" => self.all_of = many(value, place, depth)?,
            "anyOf" => self.any_of = many(value, place, depth)?,
            "oneOf" => self.one_of = many(value, place, depth)?,
            "not" => self.not = boxed(value)?,
            _ if REMARKS.contains(&keyword) => {}
            _ => {
                return Err(format!(
                    "{place}: this guard does not know `{keyword}`; leave it out"
                ));
            }
        }
        Ok(())
    }

    fn each(&self, visit: &mut impl FnMut(&Self) -> Result<(), String>) -> Result<(), String> {
        visit(self)?;
        let lists = [&self.first_items, &self.all_of, &self.any_of, &self.one_of];
        let boxes = [&self.additional, &self.items, &self.not];
        let inner = lists.into_iter().flatten().chain(self.properties.values());
        let inner = inner.chain(boxes.into_iter().flatten().map(AsRef::as_ref));
        for node in inner {
            node.each(visit)?;
        }
        Ok(())
    }
}

fn many(value: &Value, place: &str, depth: usize) -> Result<Vec<Node>, String> {
    let nodes = list(value, place)?.iter().enumerate();
    nodes
        .map(|(index, schema)| Node::new(schema, &format!("{place}/{index}"), depth))
        .collect()
}

fn types(value: &Value, place: &str) -> Result<Vec<String>, String> {
    let names = match value {
        Value::Array(names) => names.as_slice(),
        name => std::slice::from_ref(name),
    };
    let known = |name: &Value| match name.as_str() {
        Some(name) if TYPES.contains(&name) => Ok(name.to_owned()),
        _ => Err(format!("{place}: write {}", TYPES.join(", "))),
    };
    names.iter().map(known).collect()
}

fn text<'a>(value: &'a Value, place: &str) -> Result<&'a str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("{place}: write a string"))
}

fn list<'a>(value: &'a Value, place: &str) -> Result<&'a Vec<Value>, String> {
    value
        .as_array()
        .filter(|list| !list.is_empty())
        .ok_or_else(|| format!("{place}: write a list"))
}

fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| format!("{place}: write an object"))
}

fn is_of(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Object(_) => name == "object",
        Value::Array(_) => name == "array",
        Value::String(_) => name == "string",
        Value::Number(number) => {
            let whole = || number.as_f64().is_some_and(|number| number.fract() == 0.0);
            name == "number" || (name == "integer" && whole())
        }
    }
}

/// Numbers are equal by value, whatever they are written like.
fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, value): (&String, &Value)| {
                other.get(key).is_some_and(|other| is_equal(value, other))
            };
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other,
    }
}

/// The keyword, if the value is beyond its bound.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of an answer are far below 2^53"
)]
fn beyond(keyword: &'static str, bound: f64, value: &Value) -> Option<&'static str> {
    let measure = match (value, keyword) {
        (
            Value::Number(number),
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf",
        ) => number.as_f64()?,
        (Value::String(text), "minLength" | "maxLength") => text.chars().count() as f64,
        (Value::Array(items), "minItems" | "maxItems") => items.len() as f64,
        (Value::Object(object), "minProperties" | "maxProperties") => object.len() as f64,
        _ => return None,
    };
    let holds = match keyword {
        "exclusiveMinimum" => measure > bound,
        "exclusiveMaximum" => measure < bound,
        "multipleOf" => {
            let times = measure / bound;
            (times - times.round()).abs() <= 1e-9 * times.abs().max(1.0)
        }
        _ if keyword.starts_with("min") => measure >= bound,
        _ => measure <= bound,
    };
    (!holds).then_some(keyword)
}
