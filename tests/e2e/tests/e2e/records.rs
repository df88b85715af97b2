//! When records are written: `opened` before the provider hears anything, `closed` before the caller hears the end.

use std::time::Duration;

use pointsman_e2e::{policy, says, serving, step, streams};
use pointsman_harness::{Ended, Gateway, GatewayOptions, Provider, Raw};
use serde_json::json;

#[tokio::test]
async fn what_the_provider_has_heard_of_is_opened() -> anyhow::Result<()> {
    let (provider, mut gateway) = serving("").await?;
    provider
        .script(&json!({"default": {"fault": {"kind": "stall"}}}))
        .await?;
    let key = gateway.key("demo")?;
    let body = says("x").to_string();
    let _waiting = Raw::post(&gateway.data_url, "/v1/chat/completions", key, &body).await?;
    provider.reaches("requests", 1).await?;
    gateway.process.kill()?;
    let ledger = provider.ledger().await?;
    let id = ledger["requests"][0]["headers"]["x-pointsman-request-id"].clone();
    let id = id.as_str().expect("the provider is told the id").to_owned();
    let told = gateway.cli(&["why", &id, "--json"])?.json();
    assert_eq!(told["opened"]["id"], id.as_str(), "{told}");
    assert!(told["closed"].is_null(), "{told}");
    gateway.restart().await?;
    let told = gateway.why(&id).await?;
    assert_eq!(told["closed"]["outcome"], "error", "{told}");
    Ok(())
}

#[tokio::test]
async fn who_has_the_last_byte_finds_the_record() -> anyhow::Result<()> {
    let config = "config = { email = \"deny\" }";
    let guard = step("pii", "guard-response", "guard-pii@0.1", "deny", config);
    let (provider, gateway) = serving(&guard).await?;
    let client = gateway.client("demo")?;
    let broken = json!({"deltas": ["a ", "b "], "fault": {"kind": "reset", "after-chunks": 3}});
    let answers = [
        (json!({}), "ok"),
        (json!({"text": "to ada@example.org now"}), "cut"),
        (json!({"status": 500}), "error"),
        (broken, "error"),
    ];
    for (answer, outcome) in answers {
        for body in [says("x"), streams("x")] {
            provider.script(&json!({"default": answer})).await?;
            let reply = client.chat(&body).await?;
            let id = reply.header("x-pointsman-request-id").expect("an id");
            // Once, and at once.
            let told = gateway.cli(&["why", id, "--json"])?.json();
            assert_eq!(told["closed"]["outcome"], outcome, "{answer}: {told}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn who_says_nothing_is_not_listened_to_for_ever() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.settings = json!({"data": {"header-timeout-ms": 300}});
    let gateway = Gateway::start(options).await?;
    let mut silent = Raw::connect(&gateway.data_url).await?;
    let (_, ended) = silent.read_until_silent(Duration::from_secs(10)).await;
    assert_ne!(ended, Ended::Silent, "a connection without a byte is kept");
    let mut idle = Raw::connect(&gateway.data_url).await?;
    idle.write(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        .await?;
    let (told, ended) = idle.read_until_silent(Duration::from_secs(10)).await;
    assert!(told.starts_with(b"HTTP/1.1 401"));
    assert_ne!(ended, Ended::Silent, "an idle connection is kept");
    Ok(())
}
