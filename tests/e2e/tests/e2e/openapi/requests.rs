//! Requests from the document: valid ones from its schemas and examples, and broken ones made from those.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Api, Asked, Expected, Operation};

/// What stands in for any value of a body.
const INSTEAD: &str =
    r#"[null, true, -1, 1.5, 1e300, 18446744073709551615, "", "x", [], {}, [null], {"x": 1}]"#;
/// Names that no path takes.
const NO_NAMES: [&str; 6] = [
    "UPPER",
    "a%20b",
    "%ff",
    "..%2f..%2fetc",
    "%00",
    "%F0%9F%98%80",
];

impl Api {
    /// The path of an operation with the value of each variable, `instead` of one of them.
    fn path(&self, operation: &Operation, instead: Option<(&str, &str)>) -> String {
        let mut path = operation.template.clone();
        for told in operation.parameters("path") {
            let name = told["name"].as_str().unwrap_or_default();
            let own = format!("{}/{name}", operation.id());
            let known = self.names.get(&own).or_else(|| self.names.get(name));
            let example = match &told["example"] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let value = match instead {
                Some((other, value)) if other == name => value,
                _ => known.unwrap_or(&example),
            };
            path = path.replace(&format!("{{{name}}}"), value);
        }
        path
    }

    /// A query of the examples of all parameters but `without`.
    fn query(operation: &Operation, without: Option<&str>) -> String {
        let pairs: Vec<String> = operation
            .parameters("query")
            .iter()
            .filter(|told| told["name"].as_str() != without)
            .map(|told| {
                let example = told["example"].as_str().map(str::to_owned);
                let example = example.unwrap_or_else(|| told["example"].to_string());
                format!("{}={example}", told["name"].as_str().unwrap_or_default())
            })
            .collect();
        pairs.join("&")
    }

    /// A request that the document promises to take.
    pub(super) fn valid(&self, operation: &Operation) -> anyhow::Result<Asked> {
        let query = Self::query(operation, None);
        let path = self.path(operation, None);
        let (mut headers, mut body) = (Vec::new(), Vec::new());
        if let Some((kind, schema)) = operation.body() {
            headers.push(format!("content-type: {kind}"));
            body = match self.bodies.get(operation.id()) {
                Some((_, bytes)) => bytes.clone(),
                None => self.example(schema)?.to_string().into_bytes(),
            };
        }
        Ok(Asked {
            path: if query.is_empty() {
                path
            } else {
                format!("{path}?{query}")
            },
            headers,
            body,
            expected: Expected::Taken,
        })
    }

    fn example(&self, schema: &Value) -> anyhow::Result<Value> {
        let at = schema["$ref"]
            .as_str()
            .context("bodies are named schemas")?;
        let schema = self.document.pointer(&at[1..]).context("a reference")?;
        let example = schema["examples"].get(0);
        Ok(example
            .with_context(|| format!("{at} has no example"))?
            .clone())
    }

    /// Requests that are wrong in their path, query or headers.
    pub(super) fn broken_heads(&self, operation: &Operation, valid: &Asked) -> Vec<Asked> {
        let refused = |path: String, headers: Vec<String>| Asked {
            path,
            headers,
            body: valid.body.clone(),
            expected: Expected::Refused,
        };
        let mut found = Vec::new();
        let query = valid.path.split_once('?').map_or("", |(_, query)| query);
        for told in operation.parameters("path") {
            let name = told["name"].as_str().unwrap_or_default();
            for wrong in NO_NAMES.iter().copied().chain([&*"x".repeat(65)]) {
                let path = self.path(operation, Some((name, wrong)));
                found.push(refused(format!("{path}?{query}"), valid.headers.clone()));
            }
        }
        let path = valid.path.split('?').next().unwrap_or_default();
        for told in operation.parameters("query") {
            let name = told["name"].as_str().unwrap_or_default();
            let rest = Self::query(operation, Some(name));
            let is_free =
                told["schema"].get("pattern").is_none() && told["schema"]["type"] != "integer";
            let wrongs: &[&str] = match is_free {
                true => &[],
                false => &["x!", "-1", "1.5", "", "99999999999999999999999", "%ff"],
            };
            for wrong in wrongs {
                let path = format!("{path}?{rest}&{name}={wrong}");
                found.push(refused(path, valid.headers.clone()));
            }
            let twice = format!("{path}?{query}&{name}=1");
            found.push(refused(twice, valid.headers.clone()));
            let unknown = format!("{path}?{query}&nope=1");
            found.push(refused(unknown, valid.headers.clone()));
        }
        let long = format!("Idempotency-Key: {}", "k".repeat(256));
        let headers = [
            ("If-Match", "If-Match: 1"),
            ("If-Match", "If-Match: \"1"),
            ("If-Match", "If-Match: W/\"1\""),
            ("If-Match", "If-Match: \"nope\""),
            ("If-None-Match", "If-None-Match: \"1\""),
            ("Idempotency-Key", "Idempotency-Key: "),
            ("Idempotency-Key", "Idempotency-Key: a b"),
            ("Idempotency-Key", &long),
        ];
        for (name, header) in headers {
            if operation.takes(name) {
                let headers = [valid.headers.clone(), vec![header.to_owned()]].concat();
                found.push(refused(valid.path.clone(), headers));
            }
        }
        found
    }

    /// Requests whose bodies are wrong: not JSON, of another type, too large, or unlike their schema.
    pub(super) fn broken_bodies(
        &mut self,
        operation: &Operation,
        valid: &Asked,
    ) -> anyhow::Result<Vec<Asked>> {
        let Some((kind, schema)) = operation.body() else {
            return Ok(Vec::new());
        };
        let with = |headers: &[&str], body: &[u8], expected| Asked {
            path: valid.path.clone(),
            headers: headers.iter().map(|&header| header.to_owned()).collect(),
            body: body.to_vec(),
            expected,
        };
        let usual = format!("content-type: {kind}");
        let mut found = vec![
            with(&["content-type: text/html"], &valid.body, Expected::Refused),
            with(
                &[&usual, "content-encoding: gzip"],
                &valid.body,
                Expected::Refused,
            ),
            with(
                &[&usual, "content-length: 1099511627776"],
                b"",
                Expected::Refused,
            ),
        ];
        if kind != "application/json" {
            found.push(with(&[&usual], b"\xff\x00 nonsense", Expected::Refused));
            return Ok(found);
        }
        let text = String::from_utf8_lossy(&valid.body).into_owned();
        let cut = text.len() / 2 + 1;
        for wrong in [
            &text[..text.floor_char_boundary(cut.min(text.len() - 1))],
            &format!("{text} x"),
            "{\"a\": 1e999}",
            "{'a': 1}",
            "\u{feff}{}",
        ] {
            found.push(with(&[&usual], wrong.as_bytes(), Expected::Refused));
        }
        let whole: Value = serde_json::from_slice(&valid.body)?;
        for changed in mutations(&whole)? {
            let expected = match self.violations(schema, &changed)?.is_empty() {
                true => Expected::Either,
                false => Expected::Refused,
            };
            found.push(with(&[&usual], changed.to_string().as_bytes(), expected));
        }
        Ok(found)
    }
}

/// A body with each of its values replaced, each of its members left out, and members that it does not have.
fn mutations(whole: &Value) -> anyhow::Result<Vec<Value>> {
    let instead: Vec<Value> = serde_json::from_str(INSTEAD)?;
    let mut found = Vec::new();
    let mut places = vec![String::new()];
    while let Some(place) = places.pop() {
        let value = whole.pointer(&place).context("a place")?;
        for other in &instead {
            let mut changed = whole.clone();
            *changed.pointer_mut(&place).context("a place")? = other.clone();
            found.push(changed);
        }
        match value {
            Value::Object(members) => {
                let mut more = whole.clone();
                more.pointer_mut(&place).context("a place")?["nope"] = json!(1);
                found.push(more);
                for name in members.keys() {
                    let mut less = whole.clone();
                    let within = less.pointer_mut(&place).and_then(Value::as_object_mut);
                    within.context("an object")?.remove(name);
                    found.push(less);
                    let name = name.replace('~', "~0").replace('/', "~1");
                    places.push(format!("{place}/{name}"));
                }
            }
            Value::Array(items) => {
                places.extend((0..items.len()).map(|index| format!("{place}/{index}")));
            }
            _ => {}
        }
    }
    Ok(found)
}
