//! The metrics as Prometheus sees them.

use pointsman_domain::decision::{AttemptRecord, Closed, Opened, Outcome, StepRecord};
use pointsman_domain::usage::{Amount, CostLine, Meter};
use pointsman_domain::{Digest, Fault, FaultKind, Picos, RequestId};
use pointsman_telemetry::Metrics;

fn closed() -> Closed {
    let meter = |unit: &str, quantity| Meter {
        unit: unit.to_owned(),
        quantity,
        estimated: false,
    };
    let attempt = |index, target: &str, meters| AttemptRecord {
        index,
        target: target.to_owned(),
        meters,
        ..AttemptRecord::default()
    };
    let line = |attempt, amount| CostLine {
        attempt,
        unit: "input-tokens".to_owned(),
        quantity: 1,
        amount,
        attributes: Vec::new(),
    };
    Closed {
        id: RequestId("x".to_owned()),
        at_ms: 0,
        tenant: "demo".to_owned(),
        outcome: Outcome::Ok,
        status: 200,
        error: None,
        error_message: None,
        target: Some("big".to_owned()),
        attempts: vec![
            attempt(0, "local", vec![meter("input-tokens", 7)]),
            attempt(
                1,
                "big",
                vec![meter("input-tokens", 7), meter("output-tokens", 30)],
            ),
        ],
        steps: Vec::new(),
        cost: vec![
            line(0, Amount::Unpriced),
            line(1, Amount::Exact(Picos(2_500_000_000_000))),
            line(1, Amount::Estimated(Picos(500_000_000_000))),
        ],
        cost_pico_usd: Picos(3_000_000_000_000),
        unpriced: true,
        estimated: true,
        ttft_us: Some(60_000),
        total_us: 1_500_000,
        response_digest: None,
        response_bytes: 1,
        key: String::new(),
        charged_pico_usd: Picos(0),
        budgets: Vec::new(),
        cache: None,
        phases: Vec::new(),
    }
}

fn has(text: &str, line: &str) {
    assert!(
        text.lines().any(|known| known == line),
        "no line `{line}` in:\n{text}"
    );
}

#[test]
fn requests_are_counted_by_tenant_outcome_and_status() {
    let metrics = Metrics::new();
    metrics.request(Outcome::Ok, 200, Some("demo"));
    metrics.request(Outcome::Ok, 200, Some("demo"));
    metrics.request(Outcome::Error, 401, None);
    let text = metrics.encode();
    has(
        &text,
        r#"pointsman_requests_total{tenant="demo",outcome="ok",status="200"} 2"#,
    );
    has(
        &text,
        r#"pointsman_requests_total{tenant="-",outcome="error",status="401"} 1"#,
    );
}

fn opened(steps: Vec<StepRecord>) -> Opened {
    Opened {
        id: RequestId("x".to_owned()),
        at_ms: 0,
        tenant: "demo".to_owned(),
        key: "key".to_owned(),
        dialect: "openai-chat".to_owned(),
        endpoint: "/v1/chat/completions".to_owned(),
        model: "small".to_owned(),
        streaming: false,
        policy: "quickstart".to_owned(),
        version: 1,
        policy_digest: Digest([0; 32]),
        prices_digest: None,
        request_digest: Digest([0; 32]),
        conversation: String::new(),
        steps,
        labels: Vec::new(),
        variant: None,
        plan: None,
        reserved_pico_usd: None,
        budgets: Vec::new(),
        phases: Vec::new(),
    }
}

/// A step that ran for a time, and faulted where a kind is given.
fn step(phase: &str, time_ns: u64, fault: Option<FaultKind>) -> StepRecord {
    let plugin = "guard-pii@0.1.0".to_owned();
    StepRecord {
        phase: phase.to_owned(),
        digest: Some(Digest([1; 32])),
        time_ns,
        fault: fault.map(|kind| Fault {
            plugin: plugin.clone(),
            kind,
            detail: String::new(),
        }),
        plugin,
        ..StepRecord::default()
    }
}

#[test]
fn steps_of_both_records_are_timed_and_their_faults_counted_by_kind() {
    let metrics = Metrics::new();
    let skipped = StepRecord {
        digest: None,
        ..step("guard-request", 0, None)
    };
    metrics.opened(&opened(vec![
        step("guard-request", 30_000, None),
        step("guard-request", 50_000_000_000, Some(FaultKind::Fuel)),
        skipped,
    ]));
    metrics.closed(&Closed {
        steps: vec![step("guard-response", 1, None)],
        ..closed()
    });
    let text = metrics.encode();
    let labels = r#"phase="guard-request",plugin="guard-pii@0.1.0""#;
    has(
        &text,
        &format!("pointsman_step_seconds_count{{{labels}}} 2"),
    );
    has(
        &text,
        &format!(r#"pointsman_step_seconds_bucket{{le="0.00002",{labels}}} 0"#),
    );
    has(
        &text,
        &format!(r#"pointsman_step_seconds_bucket{{le="0.00005",{labels}}} 1"#),
    );
    has(
        &text,
        &format!(r#"pointsman_step_seconds_bucket{{le="+Inf",{labels}}} 2"#),
    );
    has(
        &text,
        &format!(r#"pointsman_step_faults_total{{{labels},kind="fuel"}} 1"#),
    );
    has(
        &text,
        r#"pointsman_step_seconds_count{phase="guard-response",plugin="guard-pii@0.1.0"} 1"#,
    );
}

#[test]
fn a_record_gives_tokens_cost_and_times_by_target() {
    let metrics = Metrics::new();
    metrics.attempt("local", "connect");
    metrics.closed(&closed());
    let text = metrics.encode();
    has(
        &text,
        r#"pointsman_attempts_total{target="local",outcome="connect"} 1"#,
    );
    has(
        &text,
        r#"pointsman_usage_total{tenant="demo",target="local",unit="input-tokens"} 7"#,
    );
    has(
        &text,
        r#"pointsman_usage_total{tenant="demo",target="big",unit="output-tokens"} 30"#,
    );
    has(
        &text,
        r#"pointsman_cost_usd_total{tenant="demo",target="big"} 3.0"#,
    );
    assert!(
        !text.contains(r#"pointsman_cost_usd_total{tenant="demo",target="local"}"#),
        "unpriced is not zero:\n{text}"
    );
    has(&text, r#"pointsman_unpriced_total{tenant="demo"} 1"#);
    has(
        &text,
        r#"pointsman_first_content_seconds_bucket{le="0.05",target="big"} 0"#,
    );
    has(
        &text,
        r#"pointsman_first_content_seconds_bucket{le="0.1",target="big"} 1"#,
    );
    has(&text, r#"pointsman_request_seconds_sum{outcome="ok"} 1.5"#);
}

#[test]
fn the_text_says_types_generation_and_version_and_ends_in_order() {
    let metrics = Metrics::new();
    metrics.generation(3);
    let text = metrics.encode();
    has(&text, "# TYPE pointsman_generation gauge");
    has(&text, "pointsman_generation 3");
    has(
        &text,
        &format!(
            r#"pointsman_build_info{{version="{}"}} 1"#,
            env!("CARGO_PKG_VERSION")
        ),
    );
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn labels_cannot_break_out_of_their_quotes() {
    let metrics = Metrics::new();
    metrics.attempt("a\"} 1\nevil{x=\"", "ok");
    let text = metrics.encode();
    assert!(!text.lines().any(|line| line.starts_with("evil")), "{text}");
}

#[test]
fn threads_that_count_at_once_lose_nothing() {
    let metrics = Metrics::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for index in 0..1_000 {
                    metrics.request(Outcome::Ok, 200, Some(&format!("tenant-{}", index % 7)));
                    metrics.opened(&opened(vec![step("route", 1, None)]));
                }
            });
        }
    });
    let text = metrics.encode();
    let sum: u64 = text
        .lines()
        .filter(|line| line.starts_with("pointsman_requests_total"))
        .map(|line| {
            line.rsplit(' ')
                .next()
                .and_then(|count| count.parse::<u64>().ok())
                .expect("a count")
        })
        .sum();
    assert_eq!(sum, 4_000);
    has(
        &text,
        r#"pointsman_step_seconds_count{phase="route",plugin="guard-pii@0.1.0"} 4000"#,
    );
}
