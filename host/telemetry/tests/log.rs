//! Log lines, read from the standard error of a process.

use std::process::Command;
use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue};
use pointsman_telemetry::{LogFormat, Sampler, Tag, TraceContext, init, tagged};

const FORMAT: &str = "POINTSMAN_TELEMETRY_TEST_FORMAT";

/// Runs this test again as a process that logs, and returns what it wrote to standard error.
fn log_of(test: &str, format: &str, filter: Option<&str>) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command
        .args([test, "--exact", "--nocapture"])
        .env(FORMAT, format)
        .env_remove("POINTSMAN_LOG");
    if let Some(filter) = filter {
        command.env("POINTSMAN_LOG", filter);
    }
    let output = command.output().expect("runs");
    let text = String::from_utf8(output.stderr).expect("utf-8");
    text.lines()
        .filter(|line| line.contains("tale"))
        .map(str::to_owned)
        .collect()
}

/// Whether this is the process that logs.
fn logs() -> bool {
    let Some(format) = std::env::var_os(FORMAT) else {
        return false;
    };
    let format = if format == "json" {
        LogFormat::Json
    } else {
        LogFormat::Text
    };
    init(format, Some("info")).expect("a good filter");
    init(LogFormat::Text, None).expect("a second call changes nothing");
    tracing::info!(request = "abc", status = 200, "tale told");
    tracing::debug!("tale whispered");
    let headers = HeaderMap::from_iter([(
        HeaderName::from_static("traceparent"),
        HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    )]);
    let trace = TraceContext::begin(&headers, Sampler::NONE);
    let tag = Tag::new("req-1".to_owned(), trace);
    let mut request = std::pin::pin!(tagged(Rc::clone(&tag), async move {
        tracing::warn!("tale of a stranger");
        tag.of_tenant("demo");
        tag.of_policy("quick\"start", 3);
        tracing::warn!(cause = "a \"quote\"\n", ratio = 0.5, "tale of a tenant");
    }));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(request.as_mut().poll(&mut context).is_ready());
    tracing::warn!("tale of nobody");
    true
}

#[test]
fn json_lines_are_objects_with_level_message_and_fields() {
    if logs() {
        return;
    }
    let lines = log_of(
        "json_lines_are_objects_with_level_message_and_fields",
        "json",
        None,
    );
    assert_eq!(lines.len(), 4, "debug is off by default: {lines:?}");
    let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("json");
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"INFO".into(), &"tale told".into())
    );
    assert_eq!(
        (&line["request"], &line["status"]),
        (&"abc".into(), &200.into())
    );
    assert!(line["timestamp"].is_string() && line["target"] == "log");
    let lines: Vec<serde_json::Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).expect("json"))
        .collect();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let of = |line: &serde_json::Value, name: &str| line[name].as_str().map(str::to_owned);
    assert_eq!(of(&lines[1], "request_id").as_deref(), Some("req-1"));
    assert_eq!(of(&lines[1], "tenant"), None);
    assert_eq!(of(&lines[2], "request_id").as_deref(), Some("req-1"));
    assert_eq!(of(&lines[2], "tenant").as_deref(), Some("demo"));
    assert_eq!(of(&lines[2], "policy").as_deref(), Some("quick\"start@3"));
    assert_eq!(of(&lines[2], "trace_id").as_deref(), Some(trace));
    assert_eq!(of(&lines[2], "cause").as_deref(), Some("a \"quote\"\n"));
    assert_eq!(lines[2]["ratio"], 0.5);
    assert_eq!(of(&lines[3], "request_id"), None);
}

#[test]
fn text_lines_are_for_people_and_the_variable_sets_the_filter() {
    if logs() {
        return;
    }
    let name = "text_lines_are_for_people_and_the_variable_sets_the_filter";
    let lines = log_of(name, "text", Some("debug"));
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(
        lines[3].ends_with("request_id=req-1 tenant=demo policy=quick\"start@3 trace_id=4bf92f3577b34da6a3ce929d0e0e4736"),
        "{lines:?}"
    );
    assert!(lines[4].ends_with("tale of nobody"), "{lines:?}");
    assert!(
        lines[0].contains("INFO")
            && lines[0].contains("tale told")
            && lines[0].contains("status=200"),
        "{lines:?}"
    );
    assert!(log_of(name, "text", Some("error")).is_empty());
}

#[test]
fn a_bad_filter_is_refused_with_an_example() {
    let error = init(LogFormat::Text, Some("info,=what=")).expect_err("no filter");
    assert!(
        error.to_string().contains("info,pointsman_upstream=debug"),
        "{error}"
    );
}
