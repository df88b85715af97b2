//! The metrics as Prometheus sees them.

use std::collections::{BTreeMap, BTreeSet};

use pointsman_domain::decision::{AttemptRecord, CacheUse, Closed, Opened, Outcome, StepRecord};
use pointsman_domain::usage::{Amount, CostLine, Meter};
use pointsman_domain::{Digest, Fault, FaultKind, Picos, RequestId};
use pointsman_telemetry::{Ended, Metrics};

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
        embeddings: Vec::new(),
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

fn ended(outcome: Outcome, status: u16, code: Option<&'static str>) -> Ended<'static> {
    Ended {
        tenant: Some("demo"),
        policy: Some("quickstart"),
        outcome,
        status,
        code,
    }
}

#[test]
fn requests_are_counted_by_whose_they_are_and_how_they_ended() {
    let metrics = Metrics::new();
    metrics.request(&ended(Outcome::Ok, 200, None));
    metrics.request(&ended(Outcome::Ok, 200, None));
    metrics.request(&Ended {
        tenant: None,
        policy: None,
        ..ended(Outcome::Error, 401, Some("invalid_api_key"))
    });
    let text = metrics.encode();
    has(
        &text,
        r#"pointsman_requests_total{tenant="demo",policy="quickstart",outcome="ok",status="200",code="-"} 2"#,
    );
    has(
        &text,
        r#"pointsman_requests_total{tenant="-",policy="-",outcome="error",status="401",code="invalid_api_key"} 1"#,
    );
    assert!(!text.contains("pointsman_limit_hits"), "{text}");
}

#[test]
fn refusals_by_limits_are_counted_by_the_limit() {
    let metrics = Metrics::new();
    for (status, code) in [(413, "request_too_large"), (404, "model_not_found")] {
        metrics.request(&ended(Outcome::Error, status, Some(code)));
    }
    metrics.limited("key", "requests-per-minute", Some("demo"));
    metrics.limited("key", "requests-per-minute", Some("demo"));
    let text = metrics.encode();
    has(
        &text,
        r#"pointsman_limit_hits_total{tenant="demo",scope="key",limit="requests-per-minute"} 2"#,
    );
    has(
        &text,
        r#"pointsman_limit_hits_total{tenant="demo",scope="node",limit="request_too_large"} 1"#,
    );
    assert!(!text.contains(r#"limit="model_not_found""#), "{text}");
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
        request_digest: None,
        content: None,
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
        fuel: 7,
        memory_kib: 2,
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
    has(&text, &format!("pointsman_step_fuel_total{{{labels}}} 14"));
    let tenant = r#"tenant="demo""#;
    has(
        &text,
        &format!("pointsman_tenant_step_fuel_total{{{tenant}}} 21"),
    );
    has(
        &text,
        &format!("pointsman_tenant_step_memory_bytes_total{{{tenant}}} 6144"),
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
                    let tenant = format!("tenant-{}", index % 7);
                    metrics.request(&Ended {
                        tenant: Some(&tenant),
                        ..ended(Outcome::Ok, 200, None)
                    });
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

#[test]
fn time_per_token_is_that_of_the_gaps_between_them() {
    let metrics = Metrics::new();
    let mut closed = closed();
    let attempt = &mut closed.attempts[1];
    "ok".clone_into(&mut attempt.outcome);
    (attempt.ttft_us, attempt.total_us) = (Some(100_000), 390_000);
    metrics.closed(&closed);
    let text = metrics.encode();
    // 30 tokens, 29 gaps of 10 ms.
    has(
        &text,
        r#"pointsman_output_token_seconds_bucket{le="0.005",target="big"} 0"#,
    );
    has(
        &text,
        r#"pointsman_output_token_seconds_bucket{le="0.01",target="big"} 1"#,
    );
    assert!(!text.contains(r#"output_token_seconds_count{target="local"}"#));
}

#[test]
fn the_node_is_seen_as_it_is_when_it_is_looked_at() {
    let metrics = Metrics::new();
    metrics.watch(|metrics| metrics.under_way(3, 4096));
    metrics.activated("quickstart", 4, 12_000);
    metrics.activated("quickstart", 5, 12_000);
    metrics.retired(2, 1 << 20);
    metrics.traces("dropped", 9);
    let text = metrics.encode();
    for line in [
        "pointsman_in_flight_requests 3",
        "pointsman_body_bytes 4096",
        r#"pointsman_policy_version{policy="quickstart"} 5"#,
        r#"pointsman_activation_seconds_count{policy="quickstart"} 2"#,
        r#"pointsman_activation_seconds_bucket{le="0.02",policy="quickstart"} 2"#,
        "pointsman_retired_snapshots 2",
        "pointsman_retired_snapshot_bytes 1048576",
        r#"pointsman_traces_total{outcome="dropped"} 9"#,
    ] {
        has(&text, line);
    }
    let gauge = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok())
            .unwrap_or_default()
    };
    assert!(gauge("process_resident_memory_bytes ") > 1 << 20, "{text}");
    assert!(gauge("process_threads ") > 0 && gauge("process_open_fds ") > 2);
    assert!(gauge("process_start_time_seconds ") > 1_700_000_000);
}

/// Of each metric of the text: name, type, labels.
fn told(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut all = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (base, kind) = rest.split_once(' ').expect("a name and a type");
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            name = format!("{base}{suffix}");
            all.insert(name.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((_, rest)) = line.split_once('{')
            && !line.starts_with('#')
        {
            let labels = rest
                .split("\",")
                .filter_map(|label| label.split('=').next());
            let labels = labels.filter(|label| *label != "le").map(str::to_owned);
            all.get_mut(&name).expect("its type").1.extend(labels);
        }
    }
    all
}

#[test]
fn the_table_of_the_documents_is_what_is_there() {
    let metrics = Metrics::new();
    metrics.request(&ended(Outcome::Error, 413, Some("request_too_large")));
    metrics.opened(&opened(vec![step("route", 1, Some(FaultKind::Trap))]));
    metrics.attempt("big", "ok");
    metrics.embedding("vectors", "cached");
    metrics.activated("quickstart", 1, 1);
    metrics.traces("exported", 1);
    let mut closed = Closed {
        cache: Some(CacheUse::Hit),
        ..closed()
    };
    "ok".clone_into(&mut closed.attempts[1].outcome);
    closed.attempts[1].ttft_us = Some(1);
    metrics.closed(&closed);
    let there = told(&metrics.encode());

    let text = include_str!("../../../docs/telemetry.md");
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
        let is_metric = name.starts_with("pointsman_") || name.starts_with("process_");
        let labels = cells.get(3)?.split(", ").filter(|label| !label.is_empty());
        let labels: BTreeSet<String> = labels.map(str::to_owned).collect();
        is_metric.then(|| (name.to_owned(), ((*cells[2]).to_owned(), labels)))
    });
    let documented: BTreeMap<_, _> = rows.collect();
    assert_eq!(documented, there);
}
