//! `Idempotency-Key`: a retry is told the first answer, and never paid twice.

use pointsman_e2e::{policy, says, serving, step, streams};
use pointsman_harness::{Client, Gateway, GatewayOptions, Provider, Reply, eventually};
use serde_json::json;

fn keyed(gateway: &Gateway, key: &str) -> anyhow::Result<Client> {
    Ok(gateway.client("demo")?.with_header("idempotency-key", key))
}

fn is_replayed(reply: &Reply) -> bool {
    reply.header("idempotent-replayed") == Some("true")
}

fn id(reply: &Reply) -> &str {
    reply.header("x-pointsman-request-id").expect("an id")
}

#[tokio::test]
async fn a_retry_is_told_the_first_answer_byte_for_byte() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    for (nth, body) in [says("x"), streams("x")].iter().enumerate() {
        let client = keyed(&gateway, &format!("order-{nth}"))?;
        let first = client.chat(body).await?;
        assert_eq!((first.status, is_replayed(&first)), (200, false));
        let again = client.chat(body).await?;
        assert_eq!((again.status, is_replayed(&again)), (200, true));
        assert_eq!(again.body, first.body);
        for name in ["content-type", "x-pointsman-target", "x-pointsman-policy"] {
            assert_eq!(again.header(name), first.header(name), "{name}");
        }
        assert_ne!(id(&again), id(&first));
        assert_eq!(provider.total("requests").await?, nth as u64 + 1);
        let told = gateway.cli(&["why", id(&again), "--json"])?.json();
        assert_eq!(told["closed"]["cache"], "replay", "{told}");
        assert_eq!(told["closed"]["outcome"], "ok", "{told}");
        assert_eq!(told["closed"]["attempts"], json!([]), "{told}");
        assert_eq!(told["closed"]["cost-pico-usd"], "0", "{told}");
        let story = gateway.cli(&["why", id(&again)])?.stdout;
        assert!(story.contains("told again"), "{story}");
        assert!(!story.contains("is not offered"), "{story}");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_stands_for_one_request() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let client = keyed(&gateway, "k")?;
    assert_eq!(client.chat(&says("x")).await?.status, 200);
    for body in [says("y"), streams("x")] {
        let refused = client.chat(&body).await?;
        assert_eq!(refused.status, 409, "{}", refused.text());
        assert_eq!(refused.json()["error"]["code"], "idempotency_conflict");
        assert_eq!(refused.header("retry-after"), None);
        let told = gateway.why(id(&refused)).await?;
        assert_eq!(told["closed"]["error"], "idempotency_conflict", "{told}");
        assert_eq!(told["closed"]["status"], 409, "{told}");
    }
    assert_eq!(provider.total("requests").await?, 1);
    // Another virtual key has keys of its own.
    let other = gateway.new_key("demo", &[]).await?;
    let other = Client::new(&gateway.data_url).with_key(&other);
    let other = other.with_header("idempotency-key", "k");
    let reply = other.chat(&says("y")).await?;
    assert_eq!((reply.status, is_replayed(&reply)), (200, false));
    assert_eq!(provider.total("requests").await?, 2);
    Ok(())
}

#[tokio::test]
async fn what_is_no_key_is_refused() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let longest = "k".repeat(255);
    assert_eq!(
        keyed(&gateway, &longest)?.chat(&says("x")).await?.status,
        200
    );
    for bad in ["", "a b", "\u{e9}", &format!("{longest}k")] {
        let refused = keyed(&gateway, bad)?.chat(&says("x")).await?;
        assert_eq!(refused.status, 400, "{bad}: {}", refused.text());
        assert_eq!(refused.json()["error"]["param"], "Idempotency-Key");
    }
    let twice = keyed(&gateway, "a")?.with_header("idempotency-key", "b");
    assert_eq!(twice.chat(&says("x")).await?.status, 400);
    assert_eq!(provider.total("requests").await?, 1);
    Ok(())
}

#[tokio::test]
async fn while_the_first_is_in_flight_a_second_is_refused() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let slow = json!({"default": {"delays": {"headers-ms": 2000}}});
    provider.script(&slow).await?;
    let client = keyed(&gateway, "k")?;
    let first = {
        let client = client.clone();
        tokio::spawn(async move { client.chat(&says("x")).await })
    };
    provider.reaches("requests", 1).await?;
    let refused = client.chat(&says("x")).await?;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("in flight"), "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("1"));
    let first = first.await??;
    assert_eq!(first.status, 200);
    let again = client.chat(&says("x")).await?;
    assert_eq!((again.status, is_replayed(&again)), (200, true));
    assert_eq!(again.body, first.body);
    assert_eq!(provider.total("requests").await?, 1);
    Ok(())
}

#[tokio::test]
async fn what_failed_or_was_cut_is_served_anew() -> anyhow::Result<()> {
    let config = "config = { card = \"deny\" }";
    let guard = step("pii-out", "guard-response", "guard-pii@0.1", "deny", config);
    let (provider, gateway) = serving(&guard).await?;
    let broken = json!({"deltas": ["a ", "b "], "fault": {"kind": "reset", "after-chunks": 3}});
    let script = json!({"answers": [
        {"status": 500}, broken, {"text": "4111 1111 1111 1111"}, {"status": 400}, {"text": "well"},
    ]});
    provider.script(&script).await?;
    let client = keyed(&gateway, "k")?;
    for _ in 0..4 {
        let reply = client.chat(&streams("x")).await?;
        assert!(
            !is_replayed(&reply) && reply.status != 409,
            "{}",
            reply.text()
        );
    }
    let made = client.chat(&streams("x")).await?;
    assert_eq!(made.content(), "well");
    assert!(is_replayed(&client.chat(&streams("x")).await?));
    assert_eq!(provider.total("requests").await?, 5);
    Ok(())
}

#[tokio::test]
async fn who_lost_the_connection_may_try_again() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let hangs = json!({"fault": {"kind": "stall", "after-chunks": 2}, "text": "never told whole"});
    provider.script(&json!({"answers": [hangs]})).await?;
    let client = keyed(&gateway, "k")?;
    let mut first = client.open_chat(&streams("x")).await?;
    assert!(first.event().await?.is_some());
    drop(first);
    provider.reaches("client_gone", 1).await?;
    let mut served = None;
    eventually("the key is free", async || {
        served = client.chat(&streams("x")).await.ok();
        served.as_ref().is_some_and(|reply| reply.status != 409)
    })
    .await?;
    let served = served.expect("waited for");
    assert_eq!((served.status, is_replayed(&served)), (200, false));
    assert!(served.text().trim_end().ends_with("data: [DONE]"));
    assert!(is_replayed(&client.chat(&streams("x")).await?));
    assert_eq!(provider.total("requests").await?, 2);
    Ok(())
}

#[tokio::test]
async fn what_is_too_large_to_keep_is_not_made_twice() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.settings = json!({"idempotency": {"entry-bytes-max": 1024}});
    let gateway = Gateway::start(options).await?;
    provider
        .script(&json!({"default": {"deltas": ["word ".repeat(1000)]}}))
        .await?;
    let client = keyed(&gateway, "k")?;
    assert_eq!(client.chat(&says("x")).await?.status, 200);
    let refused = client.chat(&says("x")).await?;
    assert_eq!(refused.status, 409);
    assert!(
        refused.text().contains("its answer was too large to keep"),
        "{}",
        refused.text()
    );
    assert_eq!(provider.total("requests").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_restart_forgets_keys_and_not_what_was_answered() -> anyhow::Result<()> {
    let (provider, mut gateway) = serving("").await?;
    let first = keyed(&gateway, "k")?.chat(&says("x")).await?;
    let first_id = id(&first).to_owned();
    gateway.drain().await?;
    gateway.restart().await?;
    let again = keyed(&gateway, "k")?.chat(&says("x")).await?;
    assert_eq!((again.status, is_replayed(&again)), (200, false));
    assert_eq!(provider.total("requests").await?, 2);
    let told = gateway.why(&first_id).await?;
    assert_eq!(told["closed"]["outcome"], "ok", "{told}");
    Ok(())
}
