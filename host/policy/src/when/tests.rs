//! Conditions as policies write them.

use pointsman_domain::{Label, RequestView, Value};
use proptest::prelude::*;

use super::{SOURCE_BYTES_MAX, When, WhenError};

fn view() -> RequestView {
    let label = |key: &str, value: Value| Label {
        key: key.to_owned(),
        value,
        score: 1.0,
    };
    let mut view = RequestView {
        labels: vec![
            label("task", "code".into()),
            label("has-code", true.into()),
            label("complexity", 0.7.into()),
            label(
                "languages",
                Value::Texts(vec!["de".to_owned(), "en".to_owned()]),
            ),
        ],
        headers: vec![("x-team".to_owned(), "red".to_owned())],
        ..RequestView::default()
    };
    view.set_field("tenant", "demo");
    view.set_field("key", "key-1");
    view.set_field("model", "auto");
    view.set_field("streaming", true);
    view.set_field("input-tokens-estimate", 1200_i64);
    view
}

#[track_caller]
fn check(source: &str, wanted: Result<bool, &str>) {
    let when = When::compile(source).expect(source);
    let found = when
        .eval(&view(), Some("control"))
        .map_err(|error| error.to_string());
    assert_eq!(found, wanted.map_err(str::to_owned), "{source}");
}

#[test]
fn every_name_can_be_asked() {
    check("labels.task == 'code'", Ok(true));
    check("has(labels.task) && labels.task == 'code'", Ok(true));
    check("has(labels.absent)", Ok(false));
    check("has(labels.absent) && labels.absent == 'x'", Ok(false));
    check("labels.has_code", Ok(true));
    check("labels['has-code']", Ok(true));
    check("labels.complexity > 0.5", Ok(true));
    check("'de' in labels.languages", Ok(true));
    check("'task' in labels && size(labels) == 4", Ok(true));
    check("'has-code' in labels && 'has_code' in labels", Ok(true));
    check("'x-team' in headers && !('x-other' in headers)", Ok(true));
    check("request.model in labels", Ok(false));
    check(
        "headers.x_team == 'red' && headers['x-team'].startsWith('r')",
        Ok(true),
    );
    check(
        "request.input_tokens_estimate > 1000 && request.streaming",
        Ok(true),
    );
    check("request.model in ['auto', 'fast']", Ok(true));
    check("has(request.temperature)", Ok(false));
    check("tenant == 'demo' && key != 'key-2'", Ok(true));
    check("variant == 'control' ? true : false", Ok(true));
}

#[test]
fn without_a_variant_it_is_empty() {
    let when = When::compile("variant == ''").expect("a condition");
    assert!(when.asks_variant());
    assert_eq!(when.eval(&view(), None), Ok(true));
}

#[test]
fn what_has_no_answer_says_why_and_repeats_no_value() {
    check(
        "labels.absent == 'x'",
        Err("`absent` is not there: ask with `has(..)` first"),
    );
    check(
        "labels.task",
        Err("the answer is a string, not true or false"),
    );
    check(
        "labels[request.model] == 'x'",
        Err("`a key` is not there: ask with `has(..)` first"),
    );
    check(
        "labels.task > 3",
        Err("values of these types cannot be used this way"),
    );
    check(
        "tenant.name == 'x'",
        Err("values of these types cannot be used this way"),
    );
    check("1 / 0 == 1", Err("the values are out of range"));
}

#[track_caller]
fn refused(source: &str, wanted: &str) {
    let error = When::compile(source).expect_err(source).to_string();
    assert!(error.contains(wanted), "{source}: {error}");
}

#[test]
fn what_does_not_exist_is_refused_when_compiled() {
    refused(
        "label.task == 'x'",
        "unknown name `label`: did you mean `labels`?",
    );
    refused(
        "foo",
        "write one of request, labels, headers, tenant, key, variant",
    );
    refused("request.modl == 'x'", "did you mean `request.model`?");
    refused(
        "request['input-token-estimate'] > 1",
        "request.input_tokens_estimate",
    );
    refused("lower(tenant) == 'x'", "unknown function `lower`");
    refused("tenant.startWith('x')", "did you mean `startsWith`?");
    refused("tenant.matches('a*')", "unknown function `matches`");
    refused("type(tenant) == string", "unknown function `type`");
    refused("labels.task ==", "column");
    refused("", "column");
    refused("true true", "column");
}

#[test]
fn loops_are_refused() {
    for source in [
        "['a'].exists(x, x == tenant)",
        "labels.all(k, k != '')",
        "size([1].map(x, [x, x])) > 1",
    ] {
        assert_eq!(
            When::compile(source).expect_err(source),
            WhenError::Loop,
            "{source}"
        );
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let long = format!("tenant == '{}'", "x".repeat(SOURCE_BYTES_MAX));
    assert!(matches!(
        When::compile(&long),
        Err(WhenError::TooLong { .. })
    ));
    for (open, close) in [("(", ")"), ("[", "]"), ("!(", ")"), ("size([", "])")] {
        let deep = format!("{}true{}", open.repeat(150), close.repeat(150));
        assert!(When::compile(&deep).is_err(), "{open}");
    }
    assert_eq!(
        When::compile(&("1+".repeat(500) + "1 > 1")).err(),
        Some(WhenError::TooDeep)
    );
    for chain in [
        "!".repeat(1000) + "true",
        "-".repeat(1000) + "1",
        "true?".repeat(200) + "1",
        "a.".repeat(500) + "a",
        "tenant + ".repeat(60) + "tenant == ''",
    ] {
        let _ = When::compile(&chain).map(|when| when.eval(&view(), None));
    }
}

proptest! {
    #[test]
    fn no_source_panics(source in "\\PC{0,80}") {
        let _ = When::compile(&source).map(|when| when.eval(&view(), None));
    }

    #[test]
    fn no_near_miss_panics(
        source in "(labels|request|headers|variant|\\.|task|has\\(|size\\(|\\[|\\]|\\(|\\)|'a'|==|&&|\\|\\||!|-| in |[0-9]|\\?|:|,| ){0,40}"
    ) {
        let _ = When::compile(&source).map(|when| when.eval(&view(), Some("a")));
    }

    #[test]
    fn a_label_equals_itself_whatever_it_says(text in "\\PC{0,40}") {
        let mut view = view();
        view.add_labels([Label { key: "task".to_owned(), value: text.into(), score: 1.0 }]);
        let when = When::compile("labels.task == labels['task']").expect("a condition");
        prop_assert_eq!(when.eval(&view, None), Ok(true));
    }
}
