//! Traces: the collector gets all of a request and nothing of its content, and a collector that is away hurts nobody.

use std::time::{Duration, Instant};

use pointsman_e2e::{policy, says, step, streams};
use pointsman_harness::{
    Bundle, Client, Collector, Credential, Gateway, GatewayOptions, Provider, Span, eventually,
};
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
/// The phases of a request that an attempt answers, in order.
const PHASES: [&str; 15] = [
    "authenticate",
    "pin",
    "gate",
    "parse",
    "select",
    "classify",
    "guard-request",
    "split",
    "cache",
    "route",
    "reserve",
    "execute",
    "guard-response",
    "account",
    "record",
];

fn word(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

/// A policy with steps in most phases, whose targets are tried in their order.
fn bundle(targets: &[(&str, &str)]) -> Bundle {
    let steps = [
        step("task", "classify", "classify-task@0.1", "skip", ""),
        step("pii-in", "guard-request", "guard-pii@0.1", "deny", ""),
        step("pii-out", "guard-response", "guard-pii@0.1", "deny", ""),
    ];
    policy("test", targets, &steps.concat())
}

async fn exporting(provider: &Provider, telemetry: Value) -> anyhow::Result<Gateway> {
    let bundle = bundle(&[("fake", &provider.endpoint())]);
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.settings = json!({"telemetry": telemetry});
    Gateway::start(options).await
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "spans named `{name}` of {spans:#?}");
    found[0]
}

/// Each span lies within its parent, and each parent is there.
fn check_tree(spans: &[Span]) {
    for span in spans {
        assert!(span.start_ns <= span.end_ns, "{span:#?}");
        if span.parent == CALLER || span.parent.is_empty() {
            continue;
        }
        let parent = spans.iter().find(|other| other.id == span.parent);
        let is_within = parent
            .is_some_and(|parent| parent.start_ns <= span.start_ns && span.end_ns <= parent.end_ns);
        assert!(is_within, "{span:#?} is not within {parent:#?}");
    }
}

#[tokio::test]
async fn the_trace_of_a_request_that_failed_over_is_complete() -> anyhow::Result<()> {
    let (first, second) = (Provider::start().await?, Provider::start().await?);
    let collector = Collector::start().await?;
    first.script(&json!({"default": {"status": 503}})).await?;
    second
        .script(&json!({"default": {"text": "from the second"}}))
        .await?;
    let bundle = bundle(&[("first", &first.endpoint()), ("second", &second.endpoint())]);
    let mut options = GatewayOptions::serving(bundle, &[first.authority(), second.authority()]);
    options.settings = json!({"telemetry": {
        "otlp": collector.url, "service": "edge-7", "sample-ratio": 0.0,
        "headers": {"x-collector-key": "secret://env/TEST_COLLECTOR_KEY"},
    }});
    options.environment.push((
        "TEST_COLLECTOR_KEY".to_owned(),
        "collector-secret".to_owned(),
    ));
    let gateway = Gateway::start(options).await?;
    let client = gateway
        .client("demo")?
        .with_header("traceparent", &word("01"));
    let reply = client.chat(&streams("say x to a@example.org")).await?;
    assert_eq!(reply.content(), "from the second", "{}", reply.text());
    let id = reply.header("x-pointsman-request-id").expect("an id");
    let spans = collector.trace_of(id).await?;
    check_tree(&spans);

    let root = named(&spans, "POST /v1/chat/completions");
    assert_eq!((root.trace.as_str(), root.parent.as_str()), (TRACE, CALLER));
    assert_eq!((root.kind, &root.error), ("SPAN_KIND_SERVER", &None));
    assert_eq!(root.resource["service.name"], "edge-7");
    for (name, value) in [
        ("http.response.status_code", json!(200)),
        ("pointsman.tenant", json!("demo")),
        ("pointsman.policy", json!("test")),
        ("pointsman.outcome", json!("ok")),
        ("pointsman.target", json!("second")),
    ] {
        assert_eq!(root.get(name), &value, "{name} of {root:#?}");
    }
    assert!(root.get("pointsman.generation").is_u64(), "{root:#?}");

    for phase in PHASES {
        assert_eq!(named(&spans, phase).parent, root.id, "{phase}");
    }
    for (id, phase) in [
        ("task", "classify"),
        ("pii-in", "guard-request"),
        ("pii-out", "guard-response"),
    ] {
        let step = named(&spans, &format!("step {id}"));
        assert_eq!(step.parent, named(&spans, phase).id, "{id}");
        assert!(
            step.get("pointsman.step.fuel").as_u64() > Some(0),
            "{step:#?}"
        );
        assert_eq!(step.get("pointsman.step.fresh"), true);
        let digest = step.get("pointsman.plugin.digest").as_str();
        assert!(digest.is_some_and(|digest| digest.starts_with("sha256:")));
        assert!(step.get("pointsman.step.verdict").is_string());
    }
    assert_eq!(
        named(&spans, "step pii-in").get("pointsman.plugin.name"),
        "guard-pii"
    );

    let mut attempts: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "chat fake")
        .collect();
    attempts.sort_by_key(|span| span.start_ns);
    let told: Vec<_> = attempts
        .iter()
        .map(|span| (span.get("pointsman.target"), span.get("error.type")))
        .collect();
    assert_eq!(
        told,
        [
            (&json!("first"), &json!("503")),
            (&json!("second"), &Value::Null)
        ]
    );
    let sent = collector.batches();
    assert_eq!(sent[0].1["x-collector-key"], "collector-secret");
    Ok(())
}

#[tokio::test]
async fn attempts_are_told_in_the_words_of_the_conventions() -> anyhow::Result<()> {
    let (first, second) = (Provider::start().await?, Provider::start().await?);
    let collector = Collector::start().await?;
    first
        .script(&json!({"default": {"fault": {"kind": "close"}}}))
        .await?;
    let bundle = bundle(&[("first", &first.endpoint()), ("second", &second.endpoint())]);
    let mut options = GatewayOptions::serving(bundle, &[first.authority(), second.authority()]);
    options.settings = json!({"telemetry": {"otlp": collector.url}});
    let gateway = Gateway::start(options).await?;
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    let id = reply.header("x-pointsman-request-id").expect("an id");
    let spans = collector.trace_of(id).await?;
    check_tree(&spans);
    let told = gateway.why(id).await?;
    let recorded = told["closed"]["attempts"].as_array().expect("attempts");
    let mut attempts: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "chat fake")
        .collect();
    attempts.sort_by_key(|span| span.get("pointsman.attempt.index").as_u64());
    assert_eq!(attempts.len(), recorded.len());
    let execute = named(&spans, "execute");
    for ((span, record), provider) in attempts.iter().zip(recorded).zip([&first, &second]) {
        let port = provider.authority().rsplit(':').next().expect("a port");
        assert_eq!((span.kind, &span.parent), ("SPAN_KIND_CLIENT", &execute.id));
        assert_eq!(span.get("gen_ai.operation.name"), "chat");
        assert_eq!(span.get("gen_ai.provider.name"), "openai");
        assert_eq!(span.get("gen_ai.request.model"), "fake");
        assert_eq!(span.get("server.address"), "127.0.0.1");
        assert_eq!(span.get("server.port").to_string(), port);
        assert_eq!(span.get("pointsman.attempt.outcome"), &record["outcome"]);
        let lasts_us = (span.end_ns - span.start_ns) / 1000;
        assert_eq!(Some(lasts_us), record["total-us"].as_u64());
    }
    let (failed, answered) = (attempts[0], attempts[1]);
    assert_eq!(failed.get("error.type"), "stream-error");
    assert_eq!(failed.error.as_deref(), Some("stream-error"));
    // It was sent, and what it came to is not known: the most that it may bill, said to be an estimate.
    assert_eq!(failed.get("gen_ai.usage.output_tokens"), &json!(64));
    assert_eq!(failed.get("pointsman.usage.estimated"), &json!(true));
    assert_eq!(answered.get("error.type"), &Value::Null);
    assert_eq!(
        answered.get("gen_ai.response.finish_reasons"),
        &json!(["stop"])
    );
    let usage = reply.json()["usage"].clone();
    assert_eq!(
        answered.get("gen_ai.usage.input_tokens"),
        &usage["prompt_tokens"]
    );
    assert_eq!(
        answered.get("gen_ai.usage.output_tokens"),
        &usage["completion_tokens"]
    );
    let model = answered.get("gen_ai.response.model");
    assert_eq!(model, &reply.json()["model"]);
    Ok(())
}

async fn traceparents(provider: &Provider) -> anyhow::Result<Vec<Value>> {
    let ledger = provider.ledger().await?;
    let requests = ledger["requests"].as_array().cloned().unwrap_or_default();
    let header = |request: &Value| request["headers"]["traceparent"].clone();
    Ok(requests.iter().map(header).collect())
}

#[tokio::test]
async fn targets_are_told_of_the_trace_only_where_that_is_wanted() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let collector = Collector::start().await?;
    let quiet = exporting(&provider, json!({"otlp": collector.url})).await?;
    let client = quiet
        .client("demo")?
        .with_header("traceparent", &word("01"));
    client.chat(&says("x")).await?;
    assert_eq!(traceparents(&provider).await?, [Value::Null]);

    provider.clear().await?;
    let telling = exporting(&provider, json!({"otlp": collector.url, "propagate": true})).await?;
    let client = telling
        .client("demo")?
        .with_header("traceparent", &word("01"));
    let reply = client.chat(&says("x")).await?;
    let id = reply.header("x-pointsman-request-id").expect("an id");
    eventually("the second trace", async || {
        collector
            .spans()
            .iter()
            .any(|span| span.get("pointsman.request.id") == id)
    })
    .await?;
    let spans = collector.spans();
    let told = traceparents(&provider).await?;
    let attempt = spans.iter().find(|span| {
        let word = format!("00-{TRACE}-{}-01", span.id);
        span.kind == "SPAN_KIND_CLIENT" && told == [json!(word)]
    });
    assert!(attempt.is_some(), "{told:?} names none of {spans:#?}");

    provider.clear().await?;
    let passing = exporting(&provider, json!({"propagate": true})).await?;
    let client = passing
        .client("demo")?
        .with_header("traceparent", &word("00"));
    client.chat(&says("x")).await?;
    assert_eq!(traceparents(&provider).await?, [json!(word("00"))]);
    Ok(())
}

#[tokio::test]
async fn only_sampled_requests_are_traced() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let collector = Collector::start().await?;
    let gateway = exporting(
        &provider,
        json!({"otlp": collector.url, "sample-ratio": 0.0}),
    )
    .await?;
    let client = gateway.client("demo")?;
    client.chat(&says("no parent")).await?;
    let unsampled = client.clone().with_header("traceparent", &word("00"));
    unsampled.chat(&says("an unsampled parent")).await?;
    let stranger = Client::new(&gateway.data_url).with_header("traceparent", &word("01"));
    assert_eq!(stranger.chat(&says("no key")).await?.status, 401);
    let sampled = client.with_header("traceparent", &word("01"));
    let last = sampled.chat(&says("a sampled parent")).await?;
    let id = last.header("x-pointsman-request-id").expect("an id");
    collector.trace_of(id).await?;
    let roots = collector.spans();
    let roots: Vec<_> = roots
        .iter()
        .filter(|span| span.kind == "SPAN_KIND_SERVER")
        .collect();
    assert_eq!(roots.len(), 1, "{roots:#?}");
    Ok(())
}

#[tokio::test]
async fn the_last_traces_leave_before_the_process_does() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let collector = Collector::start().await?;
    let mut gateway = exporting(&provider, json!({"otlp": collector.url})).await?;
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    let id = reply
        .header("x-pointsman-request-id")
        .expect("an id")
        .to_owned();
    gateway.drain().await?;
    let spans = collector.spans();
    let is_there = spans
        .iter()
        .any(|span| span.get("pointsman.request.id") == id.as_str());
    assert!(is_there, "{spans:#?}");
    let (path, _) = &collector.batches()[0];
    assert_eq!(path, "/v1/traces");
    Ok(())
}

/// A collector that takes connections and never answers, and one that is not there at all.
#[tokio::test]
async fn a_dead_collector_hurts_nobody() -> anyhow::Result<()> {
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let gone = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for address in [silent.local_addr()?, gone] {
        let provider = Provider::start().await?;
        let otlp = format!("http://{address}");
        let mut gateway = exporting(&provider, json!({"otlp": otlp})).await?;
        let client = gateway.client("demo")?;
        for _ in 0..50 {
            let reply = client.chat(&says("x")).await?;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        let began = Instant::now();
        assert!(gateway.drain().await?.success());
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{:?}",
            began.elapsed()
        );
        let log = gateway.process.log();
        let complaints = log.matches("traces cannot be exported").count();
        assert!(complaints <= 1, "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_collector_refused_is_sent_again() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let collector = Collector::start().await?;
    collector.answers(503);
    let gateway = exporting(&provider, json!({"otlp": collector.url})).await?;
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    let id = reply.header("x-pointsman-request-id").expect("an id");
    eventually("a batch that was refused", async || collector.refused() > 0).await?;
    collector.answers(200);
    let spans = collector.trace_of(id).await?;
    check_tree(&spans);
    eventually("the export is counted", async || {
        let exported = gateway.metric(r#"pointsman_traces_total{outcome="exported"}"#);
        matches!(exported.await, Ok(Some(count)) if count > 0.0)
    })
    .await?;
    let log = gateway.process.log();
    assert!(log.contains("traces are exported again"), "{log}");
    Ok(())
}

#[tokio::test]
async fn no_span_metric_or_log_line_holds_a_secret_or_content() -> anyhow::Result<()> {
    const CONTENT: &str = "CANARYcontent2b9d";
    const CREDENTIAL: &str = "CANARYcredential61ce";
    const COLLECTOR: &str = "CANARYcollector77aa";
    let provider = Provider::start().await?;
    let collector = Collector::start().await?;
    let bundle = bundle(&[("fake", &provider.endpoint())]).replace(
        "model = \"fake\"",
        "model = \"fake\"\ncredential = \"provider\"",
    )?;
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.credentials.push(Credential {
        name: "provider".to_owned(),
        value: CREDENTIAL.to_owned(),
        origins: vec![provider.url.clone()],
        tenants: vec!["demo".to_owned()],
    });
    options.settings = json!({"telemetry": {
        "otlp": collector.url, "log": "json", "level": "trace", "requests": true, "propagate": true,
        "headers": {"authorization": "secret://env/TEST_COLLECTOR_KEY"},
    }});
    options
        .environment
        .push(("TEST_COLLECTOR_KEY".to_owned(), COLLECTOR.to_owned()));
    let mut gateway = Gateway::start(options).await?;
    let error = json!({"error": {"message": format!("cannot say {CONTENT}"), "code": null}});
    let odd_end = json!({"choices": [{"index": 0, "finish_reason": CONTENT,
        "message": {"role": "assistant", "content": "x"}}]});
    provider
        .script(&json!({"answers": [
            {"echo": true}, {"echo": true},
            {"status": 400, "body": error}, {"status": 500, "body": error},
            {"status": 200, "body": odd_end},
        ]}))
        .await?;
    let client = gateway.client("demo")?;
    let said = format!("say {CONTENT} to {CONTENT}@example.org");
    client.chat(&says(&said)).await?;
    let told = client.chat(&streams(&said)).await?.text();
    assert!(told.contains(CONTENT), "the test's own premise: {told}");
    for _ in 0..3 {
        client.chat(&says(&said)).await?;
    }
    let metrics = gateway.control()?.get("/metrics").await?.text();
    gateway.drain().await?;
    let sent = collector.batches();
    assert!(
        sent.iter()
            .all(|(_, headers)| headers["authorization"] == COLLECTOR),
        "the test's own premise"
    );
    assert!(collector.spans().len() > 50, "the test's own premise");
    let spans = String::from_utf8_lossy(&collector.bytes()).into_owned();
    let key = gateway.key("demo")?.to_owned();
    for needle in [CONTENT, CREDENTIAL, COLLECTOR, &key] {
        for (place, text) in [
            ("spans", &spans),
            ("metrics", &metrics),
            ("log", &gateway.process.log()),
        ] {
            assert!(!text.contains(needle), "{needle} in {place}");
        }
    }
    Ok(())
}
