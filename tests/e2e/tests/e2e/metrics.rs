//! Metrics: what a server that has worked shows is what the documents say, under labels that operators chose.

use std::collections::{BTreeMap, BTreeSet};

use pointsman_e2e::{policy, says, step, streams};
use pointsman_harness::{Client, Gateway, GatewayOptions, Provider, workspace};
use serde_json::json;

/// Name → type and labels, of the rows of the table.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let path = workspace().join("docs/telemetry.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
        let labels = cells.get(3)?.split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(str::to_owned).collect();
        let is_metric = name.starts_with("pointsman_") || name.starts_with("process_");
        is_metric.then(|| (name.to_owned(), ((*cells[2]).to_owned(), labels)))
    };
    text.lines().filter_map(row).collect()
}

/// A sample's name, the names of its labels, and its value.
fn sample(line: &str) -> Option<(&str, BTreeSet<String>, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split("\",");
    let labels = labels.filter_map(|label| Some(label.split_once("=\"")?.0.to_owned()));
    let labels = labels.filter(|label| label != "le").collect();
    Some((name, labels, value.parse().ok()?))
}

#[tokio::test]
async fn what_is_there_is_what_the_document_says() -> anyhow::Result<()> {
    let (first, second) = (Provider::start().await?, Provider::start().await?);
    first.script(&json!({"default": {"status": 503}})).await?;
    let guest = "config = { behaviour = \"trap\" }";
    let steps = [
        step("guest", "classify", "pointsman-guests@0.1", "skip", guest),
        step("pii-out", "guard-response", "guard-pii@0.1", "deny", ""),
    ];
    let targets = [("first", first.endpoint()), ("second", second.endpoint())];
    let targets: Vec<_> = targets
        .iter()
        .map(|(name, url)| (*name, url.as_str()))
        .collect();
    let bundle = policy("test", &targets, &steps.concat());
    let mut options = GatewayOptions::serving(bundle, &[first.authority(), second.authority()]);
    options.guests = true;
    options.settings = json!({"data": {"body-bytes-max": 2048}});
    let gateway = Gateway::start(options).await?;
    let client = gateway.client("demo")?;
    assert_eq!(client.chat(&says("x")).await?.status, 200);
    assert_eq!(client.chat(&streams("x")).await?.status, 200);
    assert_eq!(client.chat(&says(&"x".repeat(4096))).await?.status, 413);
    let stranger = Client::new(&gateway.data_url).with_key("pm-nobody");
    assert_eq!(stranger.chat(&says("x")).await?.status, 401);
    let mut unknown = says("x");
    unknown["model"] = json!("whatever-a-caller-says");
    assert_eq!(client.chat(&unknown).await?.status, 404);

    let text = gateway.control()?.get("/metrics").await?.text();
    let documented = documented();
    let mut shown = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let sample = sample(line);
        assert!(sample.is_some(), "`{line}` is no sample");
        let Some((name, labels, value)) = sample else {
            continue;
        };
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .filter(|base| documented.contains_key(*base))
            .unwrap_or(name);
        assert!(
            documented.contains_key(base),
            "`{name}` is not in docs/telemetry.md"
        );
        let (kind, wanted) = &documented[base];
        assert!(text.contains(&format!(
            "# TYPE {} {kind}",
            base.trim_end_matches("_total").trim_end_matches("_info")
        )));
        assert_eq!(&labels, wanted, "{line}");
        assert!(value >= 0.0, "{line}");
        shown.insert(base.to_owned());
    }
    for name in [
        "pointsman_requests_total",
        "pointsman_request_seconds",
        "pointsman_first_content_seconds",
        "pointsman_attempts_total",
        "pointsman_usage_total",
        "pointsman_step_seconds",
        "pointsman_step_fuel_total",
        "pointsman_step_faults_total",
        "pointsman_limit_hits_total",
        "pointsman_unpriced_total",
        "pointsman_in_flight_requests",
        "pointsman_body_bytes",
        "pointsman_generation",
        "pointsman_build_info",
        "process_resident_memory_bytes",
    ] {
        assert!(shown.contains(name), "{name} is not shown:\n{text}");
    }
    for line in [
        r#"pointsman_requests_total{tenant="demo",policy="test",outcome="ok",status="200",code="-"} 2"#,
        r#"pointsman_limit_hits_total{tenant="demo",scope="node",limit="request_too_large"} 1"#,
        r#"pointsman_attempts_total{target="first",outcome="status"} 2"#,
        "pointsman_in_flight_requests 0",
        "pointsman_body_bytes 0",
    ] {
        assert!(
            text.lines().any(|known| known == line),
            "no `{line}` in\n{text}"
        );
    }
    assert!(text.contains(r#"phase="classify",plugin="pointsman-guests@0.1.0",kind="trap""#));
    let key = gateway.key("demo")?;
    for chosen_by_a_caller in [key, "pm-nobody", "whatever-a-caller-says"] {
        assert!(!text.contains(chosen_by_a_caller), "{chosen_by_a_caller}");
    }
    assert!(text.ends_with("# EOF\n"));
    Ok(())
}

#[tokio::test]
async fn an_idle_gateway_is_small_and_says_so() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let options = GatewayOptions::serving(bundle, &[provider.authority()]);
    let gateway = Gateway::start(options).await?;
    let told = gateway.metric("process_resident_memory_bytes").await?;
    let told = told.expect("the gauge");
    #[expect(
        clippy::cast_precision_loss,
        reason = "bytes of memory are far below 2^53"
    )]
    let kernels = gateway.process.resident_bytes()? as f64;
    assert!((told - kernels).abs() < 8e6, "{told} and {kernels}");
    assert!(told < 60.0 * 1024.0 * 1024.0, "{told} bytes");
    Ok(())
}

#[tokio::test]
async fn activations_are_counted_timed_and_logged() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle.clone(), &[provider.authority()]);
    options.settings = json!({"telemetry": {"log": "json"}});
    let gateway = Gateway::start(options).await?;
    let sample = r#"pointsman_policy_version{policy="test"}"#;
    assert_eq!(gateway.metric(sample).await?, Some(1.0));
    let folder = bundle
        .replace("connect-timeout-ms = 2000", "connect-timeout-ms = 2001")?
        .write(&gateway.policies())?;
    let folder = folder.to_string_lossy();
    for arguments in [
        &["policy", "push", &*folder][..],
        &["policy", "activate", "test", "2"],
        &["policy", "rollback", "test"],
    ] {
        let told = gateway.cli(arguments)?;
        assert_eq!(told.code, Some(0), "{arguments:?}: {}", told.stderr);
    }
    assert_eq!(gateway.metric(sample).await?, Some(1.0));
    let count = r#"pointsman_activation_seconds_count{policy="test"}"#;
    assert_eq!(gateway.metric(count).await?, Some(2.0));
    let log = gateway.process.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("a version serves"))
        .collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].contains(r#""version":2"#) && lines[0].contains(r#""rollback":false"#));
    assert!(lines[1].contains(r#""version":1"#) && lines[1].contains(r#""rollback":true"#));
    Ok(())
}
