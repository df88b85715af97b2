//! Log lines, read from the standard error of a process.

use std::process::Command;

use pointsman_telemetry::{LogFormat, init};

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
    init(format, None).expect("a good filter");
    init(LogFormat::Text, None).expect("a second call changes nothing");
    tracing::info!(request = "abc", status = 200, "tale told");
    tracing::debug!("tale whispered");
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
    assert_eq!(lines.len(), 1, "debug is off by default: {lines:?}");
    let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("json");
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"INFO".into(), &"tale told".into())
    );
    assert_eq!(
        (&line["request"], &line["status"]),
        (&"abc".into(), &200.into())
    );
}

#[test]
fn text_lines_are_for_people_and_the_variable_sets_the_filter() {
    if logs() {
        return;
    }
    let name = "text_lines_are_for_people_and_the_variable_sets_the_filter";
    let lines = log_of(name, "text", Some("debug"));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("INFO")
            && lines[0].contains("tale told")
            && lines[0].contains("status=200"),
        "{lines:?}"
    );
    assert!(log_of(name, "text", Some("warn")).is_empty());
}

#[test]
fn a_bad_filter_is_refused_with_an_example() {
    let error = init(LogFormat::Text, Some("info,=what=")).expect_err("no filter");
    assert!(
        error.to_string().contains("info,pointsman_upstream=debug"),
        "{error}"
    );
}
