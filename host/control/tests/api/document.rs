//! The document and the router agree, both ways.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::client::{Server, TOKEN, document, violations};

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// A path that is served, with any name for each variable.
fn filled(template: &str) -> String {
    template.replace(['{', '}'], "")
}

#[tokio::test]
async fn every_documented_operation_is_served_and_no_other() {
    let server = Server::start().await;
    let paths = document()["paths"].as_object().expect("paths");
    assert!(paths.len() >= 27);
    for (path, item) in paths {
        let item = item.as_object().expect("an item");
        let documented: BTreeSet<&str> = item.keys().map(String::as_str).collect();
        let token = [
            format!("authorization: Bearer {TOKEN}"),
            "content-length: 0".to_owned(),
        ];
        for method in METHODS {
            // A stream would not end.
            if path.ends_with("/tail") && method == "get" {
                continue;
            }
            let upper = method.to_uppercase();
            let answer = server.raw(&upper, &filled(path), &token, b"").await;
            let served = answer.status != 405 && !answer.text().contains("problem:not-found\"");
            assert_eq!(served, documented.contains(method), "{method} {path}");
            if answer.status == 405 {
                let allow = answer.header("allow").unwrap_or_default();
                let allowed: BTreeSet<&str> = allow
                    .split(',')
                    .filter(|&method| method != "head")
                    .collect();
                assert_eq!(allowed, documented, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn the_served_document_is_the_generated_one() {
    let server = Server::start().await;
    let served = server.get("/admin/v1/openapi.json").await.told(200);
    assert_eq!(&served, document());
    assert_eq!(served["openapi"], "3.1.0");
}

/// Every value of a member, wherever it is, by the name of the member.
fn every<'a>(value: &'a Value, member: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(member));
            for value in members.values() {
                every(value, member, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| every(item, member, found)),
        _ => {}
    }
}

#[test]
fn every_reference_resolves_and_every_operation_has_a_name_of_its_own() {
    let mut references = Vec::new();
    every(document(), "$ref", &mut references);
    assert!(references.len() > 100);
    for reference in references {
        let at = reference.as_str().expect("text").trim_start_matches('#');
        assert!(document().pointer(at).is_some(), "{at}");
    }
    let mut names = Vec::new();
    every(&document()["paths"], "operationId", &mut names);
    let distinct: BTreeSet<&str> = names.iter().filter_map(|name| name.as_str()).collect();
    assert_eq!(distinct.len(), names.len());
}

#[test]
fn every_operation_says_what_it_is_and_who_may_call_it() {
    let paths = document()["paths"].as_object().expect("paths");
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("an item") {
            assert!(operation["summary"].is_string(), "{method} {path}");
            let open = operation["security"] == serde_json::json!([{}]);
            assert_eq!(open, !path.starts_with("/admin"), "{method} {path}");
            let responses = operation["responses"].as_object().expect("responses");
            assert_eq!(responses.contains_key("401"), !open, "{method} {path}");
            for name in path
                .split('{')
                .skip(1)
                .filter_map(|rest| rest.split('}').next())
            {
                let parameters = operation["parameters"].as_array().expect("parameters");
                let told = parameters
                    .iter()
                    .any(|told| told["in"] == "path" && told["name"] == name);
                assert!(told, "{method} {path}: {name}");
            }
        }
    }
}

#[test]
fn every_example_has_the_schema_that_it_stands_for() {
    let schemas = document()["components"]["schemas"]
        .as_object()
        .expect("schemas");
    let mut seen = 0;
    for (name, schema) in schemas {
        for example in schema["examples"].as_array().into_iter().flatten() {
            let findings = violations(schema, example);
            assert!(findings.is_empty(), "{name}: {findings:?}");
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen} examples");
}

#[test]
fn bodies_that_are_sent_are_closed_and_answers_may_grow() {
    let schemas = &document()["components"]["schemas"];
    for (name, closed) in [
        ("TenantWanted", true),
        ("Limits", true),
        ("Budget", true),
        ("Bundle", true),
        ("RollbackWanted", true),
        ("Tenant", false),
        ("Version", false),
        ("PolicyView", false),
    ] {
        let is_closed = schemas[name]["additionalProperties"] == Value::Bool(false);
        assert_eq!(is_closed, closed, "{name}");
    }
}

#[test]
fn the_guide_tells_every_endpoint_and_every_problem() {
    let guide = include_str!("../../../../docs/api.md");
    let paths = document()["paths"].as_object().expect("paths");
    let mut told = 0;
    for (path, item) in paths {
        let Some(short) = path.strip_prefix("/admin/v1") else {
            assert!(guide.contains(&format!("`{path}`")) || guide.contains(path.as_str()));
            continue;
        };
        for method in item.as_object().expect("an item").keys() {
            let row = format!("| `{} {short}", method.to_uppercase());
            let rows = guide.lines().filter(|line| {
                let rest = line.strip_prefix(row.as_str());
                rest.is_some_and(|rest| rest.starts_with(['`', '?']))
            });
            assert_eq!(rows.count(), 1, "{row}");
            told += 1;
        }
    }
    let rows = guide
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains(" /"));
    assert_eq!(
        rows.count(),
        told + 1,
        "a row for each, and one for the probes"
    );

    let source = include_str!("../../src/problem.rs");
    let codes = source.split("Self::new(").skip(1).filter_map(|rest| {
        let code = rest.trim_start().strip_prefix('"')?.split('"').next()?;
        Some(code)
    });
    let codes: BTreeSet<&str> = codes.collect();
    assert!(codes.len() > 20, "{codes:?}");
    for code in codes {
        assert!(guide.contains(&format!("`{code}`")), "{code} is not told");
    }
}
