//! Limits: rates, concurrency, plugin instances and body memory refuse cheaply, say which limit, and change at once.

use std::time::Duration;

use pointsman_e2e::budgets::{Priced, put};
use pointsman_e2e::{policy, says, serving, step, streams};
use pointsman_harness::{Gateway, GatewayOptions, Provider, Raw, Reply, eventually};
use serde_json::json;

fn refused(reply: &Reply, limit: &str) -> String {
    let error = &reply.json()["error"];
    assert_eq!(
        (reply.status, &error["code"]),
        (429, &json!("rate_limit_exceeded")),
        "{error}"
    );
    let message = error["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains(limit), "{message}");
    message
}

fn number(reply: &Reply, name: &str) -> Option<u64> {
    reply.header(name)?.parse().ok()
}

#[tokio::test]
async fn requests_a_minute_are_counted_told_and_refused() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let client = gateway.client("demo")?;
    let free = client.chat(&says("x")).await?;
    assert_eq!(free.header("x-ratelimit-limit-requests"), None);
    put(&gateway, json!({"limits": {"requests-per-minute": 2}})).await?;
    for left in [1, 0] {
        let reply = client.chat(&streams("x")).await?;
        assert_eq!(reply.status, 200);
        assert_eq!(number(&reply, "x-ratelimit-limit-requests"), Some(2));
        assert_eq!(number(&reply, "x-ratelimit-remaining-requests"), Some(left));
        assert!(reply.header("x-ratelimit-reset-requests").is_some());
    }
    let reply = client.chat(&says("x")).await?;
    let message = refused(&reply, "limits.requests-per-minute");
    assert!(
        message.contains("tenant `demo`") && message.contains("may begin 2 requests"),
        "{message}"
    );
    let wait = number(&reply, "retry-after").expect("a real wait");
    assert!((25..=30).contains(&wait), "half a minute, not {wait} s");
    let told = gateway
        .why(reply.header("x-pointsman-request-id").expect("an id"))
        .await?;
    assert_eq!(told["closed"]["outcome"], "denied");
    assert_eq!(told["closed"]["error"], "rate_limit_exceeded");
    let sample = "pointsman_limit_hits_total{tenant=\"demo\",scope=\"tenant\",limit=\"requests-per-minute\"}";
    assert_eq!(gateway.metric(sample).await?, Some(1.0));
    assert_eq!(provider.total("requests").await?, 3);
    put(&gateway, json!({"limits": {"requests-per-minute": 100}})).await?;
    assert_eq!(client.chat(&says("x")).await?.status, 200, "at once");
    Ok(())
}

#[tokio::test]
async fn requests_at_once_are_bounded_and_places_come_back() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    put(&gateway, json!({"limits": {"concurrent": 1}})).await?;
    let stall = json!({"default": {"fault": {"kind": "stall"}}});
    provider.script(&stall).await?;
    let (key, body) = (gateway.key("demo")?, says("x").to_string());
    let waiting = Raw::post(&gateway.data_url, "/v1/chat/completions", key, &body).await?;
    provider.reaches("requests", 1).await?;
    let client = gateway.client("demo")?;
    refused(&client.chat(&says("x")).await?, "limits.concurrent");
    provider.script(&json!({})).await?;
    drop(waiting);
    eventually("the place is free", async || {
        client
            .chat(&says("x"))
            .await
            .is_ok_and(|reply| reply.status == 200)
    })
    .await
}

#[tokio::test]
async fn tokens_are_reserved_at_worst_and_given_back() -> anyhow::Result<()> {
    let priced = Priced::start("").await?;
    let gateway = &priced.gateway;
    put(gateway, json!({"limits": {"tokens-per-minute": 100}})).await?;
    let client = gateway.client("demo")?;
    priced
        .provider
        .script(&json!({"default": {"text": "yes"}}))
        .await?;
    // 64 and the prompt are set aside each time; a few are used.
    for _ in 0..3 {
        let reply = client.chat(&says("x")).await?;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(number(&reply, "x-ratelimit-limit-tokens"), Some(100));
    }
    let mut large = says("x");
    large["max_tokens"] = json!(5_000);
    let reply = client.chat(&large).await?;
    let message = refused(&reply, "limits.tokens-per-minute");
    assert!(message.contains("max_tokens"), "{message}");
    assert_eq!(reply.header("retry-after"), None, "no wait helps");
    priced
        .provider
        .script(&json!({"default": {"text": "word ".repeat(60)}}))
        .await?;
    let mut last = client.chat(&says("x")).await?;
    // Two answers are more than a minute's tokens; a few more come back meanwhile.
    for _ in 0..5 {
        if last.status != 200 {
            break;
        }
        last = client.chat(&says("x")).await?;
    }
    refused(&last, "limits.tokens-per-minute");
    assert!(number(&last, "retry-after").is_some_and(|wait| wait <= 60));
    Ok(())
}

#[tokio::test]
async fn a_tenant_holds_a_tenth_of_the_plugin_instances_at_most() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let guards: String = (0..5)
        .map(|n| {
            step(
                &format!("g{n}"),
                "guard-response",
                "guard-pii@0.1",
                "deny",
                "config = { email = \"mask\" }",
            )
        })
        .collect();
    let bundle = policy("test", &[("fake", &provider.endpoint())], &guards);
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options
        .tenants
        .push(("other".to_owned(), "test".to_owned()));
    let gateway = Gateway::start(options).await?;
    provider
        .script(&json!({"default": {"delays": {"headers-ms": 3000}}}))
        .await?;
    let client = gateway.client("demo")?;
    // A thousand instances, a tenth of them for one tenant, five a request: twenty requests.
    let ask = |_| {
        let client = client.clone();
        tokio::spawn(async move { client.chat(&streams("x")).await })
    };
    let tasks: Vec<_> = (0..30).map(ask).collect();
    provider.reaches("requests", 20).await?;
    let other = gateway.client("other")?;
    let served = tokio::spawn(async move { other.chat(&says("x")).await });
    let (mut answered, mut denied) = (0, 0);
    for task in tasks {
        let reply = task.await??;
        if reply.status == 200 {
            answered += 1;
        } else {
            refused(&reply, "plugin instances");
            denied += 1;
        }
    }
    assert_eq!((answered, denied), (20, 10));
    assert_eq!(
        served.await??.status,
        200,
        "another tenant has its own share"
    );
    Ok(())
}

#[tokio::test]
async fn bodies_under_way_share_one_bound() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.settings = json!({"data": {"body-bytes-max": 65_536, "bodies-bytes-max": 65_536}});
    let gateway = Gateway::start(options).await?;
    let key = gateway.key("demo")?;
    let filler = "x".repeat(60_000);
    let body = says(&filler).to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut held = Raw::connect(&gateway.data_url).await?;
    held.write(head.as_bytes()).await?;
    held.write(&body.as_bytes()[..58_000]).await?;
    eventually("the first body is counted", async || {
        let counted = gateway.metric("pointsman_body_bytes").await;
        counted.is_ok_and(|bytes| bytes == Some(58_000.0))
    })
    .await?;
    // Small enough to have arrived when it is refused.
    let small = says(&filler[..8_000]);
    let reply = gateway.client("demo")?.chat(&small).await?;
    assert_eq!(reply.status, 503);
    assert!(
        reply.text().contains("data.bodies-bytes-max"),
        "{}",
        reply.text()
    );
    held.write(&body.as_bytes()[58_000..]).await?;
    let (answer, _) = held.read_until_silent(Duration::from_millis(500)).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    Ok(())
}

#[tokio::test]
async fn a_tenant_that_takes_what_it_can_leaves_room_for_another() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options
        .tenants
        .push(("other".to_owned(), "test".to_owned()));
    options.settings = json!({"data": {"requests-max": 8}});
    let gateway = Gateway::start(options).await?;
    let held = json!({"match": {"stream": true}, "always": true, "text": "a b", "fault": {"kind": "stall", "after-chunks": 2}});
    provider.script(&json!({ "answers": [held] })).await?;
    let greedy = gateway.client("demo")?;
    let mut streams_held = Vec::new();
    for _ in 0..6 {
        let stream = greedy.open_chat(&streams("x")).await?;
        assert_eq!(stream.status, 200);
        streams_held.push(stream);
    }
    let message = refused(&greedy.chat(&says("x")).await?, "data.tenant-percent-max");
    assert!(message.contains("tenant `demo`"), "{message}");
    let sample =
        "pointsman_limit_hits_total{tenant=\"demo\",scope=\"tenant\",limit=\"requests-share\"}";
    assert_eq!(gateway.metric(sample).await?, Some(1.0));
    let other = gateway.client("other")?.chat(&says("x")).await?;
    assert_eq!(other.status, 200, "{}", other.text());
    drop(streams_held);
    eventually("what was held is given back", async || {
        greedy
            .chat(&says("x"))
            .await
            .is_ok_and(|reply| reply.status == 200)
    })
    .await
}
