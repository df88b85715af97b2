//! From outside: cases, the classifier role, what is read of a request, hostile conditions.

use std::cell::RefCell;

use pointsman_sdk::testing::{FakePool, FakeView, Suite, configured, try_configured};
use pointsman_sdk::{
    Classifier as _, Label, PluginError, RequestGuard as _, Router as _, Segment, Value, Verdict,
    View,
};
use proptest::prelude::*;
use serde_json::json;

use super::Rules;

#[test]
fn cases_hold() {
    Suite::<Rules>::new()
        .request_guard()
        .run(include_str!("../cases.jsonl"));
}

#[test]
fn labels_of_a_classifier() {
    let rules = configured::<Rules>(&json!({"rules": [
        {"when": "text.contains('fn ')", "then": {"label": {"task": "code"}, "allow": true}},
        {"when": "true", "then": {"label": {"task": "chat"}}},
    ]}));
    let labels = rules.classify(&FakeView::user("fn main() {}"));
    assert_eq!(labels, Ok(vec![Label::new("task", "code")]));
    let labels = rules.classify(&FakeView::user("hello"));
    assert_eq!(labels, Ok(vec![Label::new("task", "chat")]));
}

#[test]
fn a_classifier_cannot_lose_a_refusal() {
    for config in [
        json!({"rules": [{"when": "false", "then": {"deny": {"code": "no", "message": "no"}}}]}),
        json!({"rules": [{"when": "false", "then": {"set": {"temperature": 0}}}]}),
        json!({"rules": [{"when": "true", "then": {"allow": true}}], "default": "deny"}),
        json!({"rules": [{"when": "true", "then": {"label": {"a": 1}}, "on-error": "deny"}]}),
    ] {
        let rules = configured::<Rules>(&config);
        let answer = rules.classify(&FakeView::user("x"));
        assert!(matches!(answer, Err(PluginError::Internal(_))), "{config}");
    }
}

#[test]
fn a_router_takes_the_first_rule_whose_targets_can_do_it() {
    let rules = configured::<Rules>(&json!({"rules": [
        {"when": "request.budget_left_pico_usd < 1000000", "then": {"route": ["cheap"]}},
        {"when": "labels.task == 'code'", "then": {"route": ["gone"]}},
        {"name": "code", "when": "labels.task == 'code'", "then": {"route": ["ill", "coder"]}},
        {"when": "tenant == 'guest'", "then": {"allow": true}},
        {"when": "true", "then": {"route": ["cheap", "coder"]}},
    ]}));
    let ill = [("healthy".to_owned(), Value::Flag(false))];
    let pool = FakePool::default()
        .with("cheap", [])
        .with("coder", [])
        .with("ill", ill);
    let route = |request: FakeView| {
        let plan = rules.route(&request, &pool).expect("a plan");
        let targets: Vec<String> = plan.attempts.into_iter().map(|a| a.target).collect();
        (targets.join(" "), plan.reason.code, plan.reason.detail)
    };
    let plan = |targets: &str, code: &str, detail: &str| {
        (targets.to_owned(), code.to_owned(), detail.to_owned())
    };
    let request = || FakeView::user("x").with_label("task", "code");
    assert_eq!(
        route(request().with_field("budget-left-pico-usd", 999_999_i64)),
        plan("cheap", "rule.1", "rule 1")
    );
    assert_eq!(route(request()), plan("coder ill", "rule.3", "code"));
    assert_eq!(
        route(FakeView::user("x")),
        plan("cheap coder", "rule.5", "rule 5")
    );
    assert_eq!(
        route(FakeView::user("x").with_field("tenant", "guest")),
        plan(
            "",
            "no-rule",
            "no rule names a target that can do it; 3 had no answer"
        )
    );
}

#[test]
fn a_rule_in_a_phase_that_cannot_do_it_fails_on_every_request() {
    let route = json!({"rules": [{"when": "false", "then": {"route": ["a"]}}]});
    let rules = configured::<Rules>(&route);
    assert!(matches!(
        rules.check(&FakeView::user("x")),
        Err(PluginError::Internal(_))
    ));
    assert!(matches!(
        rules.classify(&FakeView::user("x")),
        Err(PluginError::Internal(_))
    ));
    for config in [
        json!({"rules": [{"when": "false", "then": {"deny": {"code": "no", "message": "no"}}}]}),
        json!({"rules": [{"when": "false", "then": {"set": {"temperature": 0}}}]}),
        json!({"rules": [{"when": "false", "then": {"label": {"a": 1}}}]}),
        json!({"rules": [{"when": "true", "then": {"route": ["a"]}, "on-error": "deny"}]}),
    ] {
        let rules = configured::<Rules>(&config);
        let answer = rules.route(&FakeView::user("x"), &FakePool::default().with("a", []));
        assert!(matches!(answer, Err(PluginError::Internal(_))), "{config}");
    }
}

#[test]
fn the_caller_is_told_the_message_and_never_a_value() {
    let rules = configured::<Rules>(&json!({"rules": [
        {"when": "text + 1 == text", "then": {"deny": {"code": "no", "message": "not today"}}},
    ]}));
    let checked = rules
        .check(&FakeView::user("secret words"))
        .expect("a verdict");
    assert!(!format!("{checked:?}").contains("secret"), "{checked:?}");
}

/// Records what is read.
#[derive(Default)]
struct Watched {
    inner: FakeView,
    read: RefCell<Vec<String>>,
}

impl Watched {
    fn note(&self, what: &str) {
        self.read.borrow_mut().push(what.to_owned());
    }
}

impl View for Watched {
    fn field(&self, name: &str) -> Option<Value> {
        self.note(name);
        self.inner.field(name)
    }
    fn label(&self, key: &str) -> Option<Label> {
        self.note(key);
        self.inner.label(key)
    }
    fn header(&self, name: &str) -> Option<String> {
        self.note(name);
        self.inner.header(name)
    }
    fn message_count(&self) -> u32 {
        self.note("message-count");
        self.inner.message_count()
    }
    fn message_field(&self, message: u32, name: &str) -> Option<Value> {
        self.note(name);
        self.inner.message_field(message, name)
    }
    fn part_field(&self, message: u32, part: u32, name: &str) -> Option<Value> {
        self.note(name);
        self.inner.part_field(message, part, name)
    }
    fn segment_count(&self) -> u32 {
        self.note("segment-count");
        self.inner.segment_count()
    }
    fn segments(&self, first: u32, count: u32) -> Vec<Segment> {
        self.note("segments");
        self.inner.segments(first, count)
    }
    fn recent_text(&self, messages: u32, bytes_max: u32) -> String {
        self.note("text");
        self.inner.recent_text(messages, bytes_max)
    }
    fn tool_names(&self) -> Vec<String> {
        self.note("tools");
        self.inner.tool_names()
    }
    fn tool_schema(&self, name: &str) -> Option<String> {
        self.note(name);
        self.inner.tool_schema(name)
    }
    fn body_length(&self) -> u64 {
        self.note("body");
        self.inner.body_length()
    }
    fn body(&self, offset: u64, length: u32) -> Vec<u8> {
        self.note("body");
        self.inner.body(offset, length)
    }
}

#[test]
fn only_what_is_asked_is_read_and_once() {
    let rules = configured::<Rules>(&json!({"rules": [
        {"when": "request.model == 'a' || labels.task == 'b'", "then": {"label": {"x": 1}}},
        {"when": "labels.task == 'c' && request.model == 'auto'", "then": {"deny": {"code": "no", "message": "no"}}},
        {"when": "text.contains('never asked')", "then": {"allow": true}},
    ]}));
    let view = Watched {
        inner: FakeView::user("hello").with_label("task", "c"),
        ..Watched::default()
    };
    let checked = rules.check(&view).expect("a verdict");
    assert!(matches!(checked.verdict, Verdict::Deny(_)));
    let mut read = view.read.into_inner();
    read.sort();
    assert_eq!(read, ["model", "task"]);
}

#[test]
fn depth_and_length_are_bounded() {
    let compiles = |when: String| {
        try_configured::<Rules>(&json!({"rules": [{"when": when, "then": {"allow": true}}]}))
            .is_ok()
    };
    for (open, close) in [("(", ")"), ("[", "]"), ("!(", ")"), ("size([", "])")] {
        assert!(
            !compiles(format!("{}true{}", open.repeat(200), close.repeat(200))),
            "{open}"
        );
    }
    assert!(!compiles("1+".repeat(500) + "1 > 1"));
    assert!(!compiles(format!("tenant == '{}'", "x".repeat(5000))));
    for chain in [
        "!".repeat(2000) + "true",
        "-".repeat(2000) + "1",
        "true?".repeat(400) + "1",
        "a.".repeat(1000) + "a",
    ] {
        // Whether or not these are conditions, they may not exhaust the stack.
        let _ = compiles(chain);
    }
    let many: Vec<_> = (0..129)
        .map(|_| json!({"when": "true", "then": {"allow": true}}))
        .collect();
    assert!(try_configured::<Rules>(&json!({ "rules": many })).is_err());
}

#[test]
fn loops_see_their_variables_and_nothing_else() {
    let check = |when: &str, holds: bool| {
        let rules = configured::<Rules>(
            &json!({"rules": [{"when": when, "then": {"label": {"yes": true}}}]}),
        );
        let view = FakeView::user("x").with_label("team", "a");
        let checked = rules.check(&view).expect("a verdict");
        assert_eq!(
            checked.labels == [Label::new("yes", true)],
            holds,
            "{when}: {checked:?}"
        );
    };
    check("['a', 'b'].exists(t, t == labels.team)", true);
    check("['a', 'b'].all(labels, labels != '')", true);
    check("[1, 2].map(n, n * 2) == [2, 4]", true);
    check("[1, 2].filter(n, n > 1) == [1]", false);
    check("tools.exists_one(t, t == 'x')", false);
    let unknown = json!({"rules": [{"when": "['a'].exists(t, u == t)", "then": {"allow": true}}]});
    assert!(
        try_configured::<Rules>(&unknown)
            .is_err_and(|refusal| refusal.contains("unknown name `u`"))
    );
}

proptest! {
    #[test]
    fn no_source_panics(source in "\\PC{0,80}") {
        let config = json!({"rules": [{"when": source, "then": {"label": {"a": 1}}}]});
        if let Ok(rules) = try_configured::<Rules>(&config) {
            prop_assert!(rules.check(&FakeView::user("x")).is_ok());
        }
    }

    #[test]
    fn no_near_miss_panics(
        source in "(labels|request|headers|tools|text|\\.|model|has\\(|size\\(|exists\\(t,|\\[|\\]|\\(|\\)|'a'|==|&&|\\|\\||!|-| in |[0-9]|\\?|:|,|t| ){0,40}"
    ) {
        let config = json!({"rules": [{"when": source, "then": {"deny": {"code": "a", "message": "b"}}}]});
        if let Ok(rules) = try_configured::<Rules>(&config) {
            prop_assert!(rules.check(&FakeView::user("x")).is_ok());
        }
    }

    #[test]
    fn a_deny_rule_lets_through_only_what_it_knows_to_be_false(label in prop::option::of("[a-c]"), wanted in "[a-c]") {
        let config = json!({"rules": [
            {"when": format!("labels.x == '{wanted}'"), "then": {"deny": {"code": "no", "message": "no"}}},
        ]});
        let rules = configured::<Rules>(&config);
        let mut view = FakeView::user("x");
        if let Some(label) = &label {
            view = view.with_label("x", label.as_str());
        }
        let passes = rules.check(&view).expect("a verdict").verdict == Verdict::Pass;
        prop_assert_eq!(passes, label.is_some_and(|label| label != wanted));
    }
}
