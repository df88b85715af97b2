//! Logs: lines for machines that say whose request they concern, and no line for what went well unless one is wanted.

use pointsman_e2e::{policy, says, step, streams};
use pointsman_harness::{Gateway, GatewayOptions, Provider};
use serde_json::{Value, json};

async fn logging(steps: &str, telemetry: Value) -> anyhow::Result<(Provider, Gateway)> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], steps);
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.guests = true;
    options.settings = json!({"telemetry": telemetry});
    let gateway = Gateway::start(options).await?;
    Ok((provider, gateway))
}

fn lines(gateway: &Gateway) -> Vec<Value> {
    let log = gateway.process.log();
    let read = |line| serde_json::from_str(line).unwrap_or(Value::Null);
    let lines: Vec<Value> = log.lines().map(read).collect();
    assert!(lines.iter().all(Value::is_object), "not all JSON:\n{log}");
    lines
}

fn said<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    let is_said = |line: &&Value| {
        let text = line["message"].as_str();
        text.is_some_and(|text| text.starts_with(message))
    };
    lines.iter().filter(is_said).collect()
}

#[tokio::test]
async fn each_request_has_its_line_where_that_is_wanted() -> anyhow::Result<()> {
    let telemetry = json!({"log": "json", "requests": true});
    let (_provider, mut gateway) = logging("", telemetry).await?;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let client = gateway
        .client("demo")?
        .with_header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    let reply = client.chat(&streams("x")).await?;
    let mut unknown = says("x");
    unknown["model"] = json!("nothing");
    assert_eq!(client.chat(&unknown).await?.status, 404);
    gateway.drain().await?;
    let lines = lines(&gateway);
    assert_eq!(said(&lines, "serving").len(), 1);
    let requests = said(&lines, "request");
    assert_eq!(requests.len(), 2, "{requests:#?}");
    let (first, second) = (requests[0], requests[1]);
    let id = reply.header("x-pointsman-request-id").expect("an id");
    assert_eq!(first["request_id"], id);
    assert_eq!(
        (&first["status"], &first["to"]),
        (&json!(200), &json!("fake"))
    );
    assert!(first["total_us"].as_u64() >= first["ttft_us"].as_u64());
    assert!(first["output_tokens"].as_u64() > Some(0), "{first}");
    assert_eq!(second["code"], "model_not_found");
    for line in requests {
        assert_eq!(
            (
                &line["level"],
                &line["tenant"],
                &line["policy"],
                &line["trace_id"]
            ),
            (
                &json!("INFO"),
                &json!("demo"),
                &json!("test@1"),
                &json!(trace)
            ),
        );
    }
    Ok(())
}

#[tokio::test]
async fn requests_that_went_well_are_not_in_the_log_by_default() -> anyhow::Result<()> {
    let (_provider, mut gateway) = logging("", json!({"log": "json"})).await?;
    let client = gateway.client("demo")?;
    for _ in 0..3 {
        assert_eq!(client.chat(&says("x")).await?.status, 200);
    }
    gateway.drain().await?;
    let lines = lines(&gateway);
    let of_requests: Vec<_> = lines
        .iter()
        .filter(|line| !line["request_id"].is_null())
        .collect();
    assert!(of_requests.is_empty(), "{of_requests:#?}");
    Ok(())
}

#[tokio::test]
async fn faults_of_plugins_are_warned_of_and_do_not_flood() -> anyhow::Result<()> {
    let guest = "config = { behaviour = \"trap\" }\nlimits = { faults-max = 0 }";
    let steps = step("guest", "classify", "pointsman-guests@0.1", "skip", guest);
    let (_provider, mut gateway) = logging(&steps, json!({"log": "json"})).await?;
    let client = gateway.client("demo")?;
    let mut ids = Vec::new();
    for _ in 0..30 {
        let reply = client.chat(&says("x")).await?;
        ids.push(json!(
            reply.header("x-pointsman-request-id").expect("an id")
        ));
    }
    gateway.drain().await?;
    let lines = lines(&gateway);
    let warned = said(&lines, "a request met trouble");
    assert!(!warned.is_empty());
    let held_back: u64 = warned
        .iter()
        .filter_map(|line| line["held_back"].as_u64())
        .sum();
    assert!(warned.len() as u64 + held_back <= 30, "{warned:#?}");
    for line in warned {
        assert_eq!(
            (&line["level"], &line["fault"]),
            (&json!("WARN"), &json!("trap"))
        );
        assert!(ids.contains(&line["request_id"]), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn the_level_is_that_of_the_file_and_the_variable_overrides_it() -> anyhow::Result<()> {
    let (_provider, gateway) = logging("", json!({"level": "warn"})).await?;
    assert!(!gateway.process.log().contains("serving"));

    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.settings = json!({"telemetry": {"level": "error"}});
    options
        .environment
        .push(("POINTSMAN_LOG".to_owned(), "info".to_owned()));
    let gateway = Gateway::start(options).await?;
    assert!(gateway.process.log().contains("serving"));
    Ok(())
}
