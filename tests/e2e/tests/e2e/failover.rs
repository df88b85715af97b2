//! Attempts: what fails before the first released byte is tried elsewhere; what fails after it is said.

use std::time::Duration;

use pointsman_e2e::{policy, says, serving, streams};
use pointsman_harness::{Engine, EngineOptions, Gateway, GatewayOptions, Provider, data_of};
use serde_json::json;

async fn two() -> anyhow::Result<(Provider, Provider, Gateway)> {
    let (first, second) = (Provider::start().await?, Provider::start().await?);
    let targets = [("first", first.endpoint()), ("second", second.endpoint())];
    let targets: Vec<_> = targets
        .iter()
        .map(|(name, url)| (*name, url.as_str()))
        .collect();
    let bundle = policy("test", &targets, "");
    let options = GatewayOptions::serving(bundle, &[first.authority(), second.authority()]);
    let gateway = Gateway::start(options).await?;
    second
        .script(&json!({"default": {"text": "from the second"}}))
        .await?;
    Ok((first, second, gateway))
}

#[tokio::test]
async fn every_failure_before_the_first_byte_fails_over() -> anyhow::Result<()> {
    let faults = [
        (json!({"status": 503}), "status"),
        (json!({"status": 429}), "status"),
        (json!({"fault": {"kind": "close"}}), "stream-error"),
        (json!({"fault": {"kind": "reset"}}), "stream-error"),
        (
            json!({"text": "x", "fault": {"kind": "error-event", "after-chunks": 1}}),
            "stream-error",
        ),
        (
            json!({"text": "x", "fault": {"kind": "malformed-event", "after-chunks": 0}}),
            "stream-error",
        ),
    ];
    for (answer, outcome) in faults {
        // Anew each time: enough failures in a row and the first would be passed over.
        let (first, _second, gateway) = two().await?;
        let client = gateway.client("demo")?;
        first.script(&json!({"default": answer})).await?;
        let reply = client.chat(&streams("x")).await?;
        assert_eq!(
            reply.content(),
            "from the second",
            "{answer}: {}",
            reply.text()
        );
        assert_eq!(reply.header("x-pointsman-target"), Some("second"));
        let told = gateway
            .why(reply.header("x-pointsman-request-id").expect("an id"))
            .await?;
        let attempts = &told["closed"]["attempts"];
        assert_eq!(attempts[0]["target"], "first", "{answer}");
        assert_eq!(attempts[0]["outcome"], outcome, "{answer}: {attempts}");
        assert_eq!(attempts[1]["outcome"], "ok", "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn an_error_inside_a_whole_200_fails_over() -> anyhow::Result<()> {
    let (first, _second, gateway) = two().await?;
    let body = json!({"error": {"message": "overloaded", "code": "overloaded"}});
    first
        .script(&json!({"default": {"status": 200, "body": body}}))
        .await?;
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    assert_eq!(
        reply.json()["choices"][0]["message"]["content"],
        "from the second"
    );
    Ok(())
}

#[tokio::test]
async fn the_callers_own_mistake_is_not_tried_elsewhere() -> anyhow::Result<()> {
    let (first, second, gateway) = two().await?;
    let body = json!({"error": {"message": "bad top_k", "type": "invalid_request_error", "param": "top_k", "code": null}});
    first
        .script(&json!({"default": {"status": 400, "body": body}}))
        .await?;
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["error"]["param"], "top_k");
    assert_eq!(second.total("requests").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_stream_that_breaks_after_content_says_so() -> anyhow::Result<()> {
    let (first, second, gateway) = two().await?;
    let script = json!({"default": {"deltas": ["begun ", "and"], "fault": {"kind": "reset", "after-chunks": 3}}});
    first.script(&script).await?;
    let reply = gateway.client("demo")?.chat(&streams("x")).await?;
    assert_eq!(reply.status, 200);
    assert!(reply.content().starts_with("begun"), "{}", reply.text());
    let last = data_of(&reply.events());
    let error = last
        .iter()
        .find_map(|event| event["error"]["code"].as_str());
    assert_eq!(error, Some("upstream_failed"), "{}", reply.text());
    assert_eq!(
        second.total("requests").await?,
        0,
        "it failed over after content"
    );
    Ok(())
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_provider_and_is_recorded() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let script = json!({"default": {"deltas": ["a ", "b "], "fault": {"kind": "endless"}, "delays": {"chunk-ms": 20}}});
    provider.script(&script).await?;
    let mut streaming = gateway.client("demo")?.open_chat(&streams("x")).await?;
    let id = streaming
        .header("x-pointsman-request-id")
        .expect("an id")
        .to_owned();
    streaming.chunk().await?;
    drop(streaming);
    provider.reaches("client_gone", 1).await?;
    let told = gateway.why(&id).await?;
    assert_eq!(told["closed"]["outcome"], "cancelled");
    let meters = &told["closed"]["attempts"][0]["meters"];
    assert_eq!(meters[0]["estimated"], true, "{meters}");
    Ok(())
}

#[tokio::test]
async fn when_all_fail_the_attempts_are_listed() -> anyhow::Result<()> {
    let (first, second, gateway) = two().await?;
    first.script(&json!({"default": {"status": 503}})).await?;
    second
        .script(&json!({"default": {"fault": {"kind": "reset"}}}))
        .await?;
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    assert_eq!(reply.status, 502);
    let message = reply.json()["error"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(
        message.contains("first") && message.contains("second"),
        "{message}"
    );
    Ok(())
}

#[tokio::test]
async fn a_killed_engine_is_gone_round_and_taken_back() -> anyhow::Result<()> {
    let mut engine = Engine::start(EngineOptions::default()).await?;
    let spare = Provider::start().await?;
    spare
        .script(&json!({"default": {"text": "from the spare"}}))
        .await?;
    let targets = [("local", engine.endpoint()), ("spare", spare.endpoint())];
    let targets: Vec<_> = targets
        .iter()
        .map(|(name, url)| (*name, url.as_str()))
        .collect();
    let bundle = policy("test", &targets, "")
        .replace("model = \"fake\"", "model = \"smollm2-135m-instruct\"")?;
    let allowed = [engine.authority().to_owned(), spare.authority().to_owned()];
    let options = GatewayOptions::serving(bundle, &[&allowed[0], &allowed[1]]);
    let gateway = Gateway::start(options).await?;
    let client = gateway.client("demo")?;
    let served_by = async || -> anyhow::Result<Option<String>> {
        let mut body = says("Say hi.");
        body["max_tokens"] = json!(4);
        Ok(client
            .chat(&body)
            .await?
            .header("x-pointsman-target")
            .map(str::to_owned))
    };
    assert_eq!(served_by().await?.as_deref(), Some("local"));
    let place = engine.authority().to_owned();
    engine.process.kill()?;
    for _ in 0..8 {
        assert_eq!(served_by().await?.as_deref(), Some("spare"));
    }
    let back = EngineOptions {
        listen: Some(place),
        ..EngineOptions::default()
    };
    let _engine = Engine::start(back).await?;
    let mut by = None;
    for _ in 0..200 {
        by = served_by().await?;
        if by.as_deref() == Some("local") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        by.as_deref(),
        Some("local"),
        "the engine is back, but not used"
    );
    Ok(())
}
