//! Bad input gets a clear refusal in the caller's dialect, naming the field, and harms nobody else.

use std::time::{Duration, Instant};

use http::Method;
use pointsman_e2e::{policy, says, serving};
use pointsman_harness::{Client, Ended, Gateway, GatewayOptions, Provider, Raw, Reply, eventually};
use serde_json::{Value, json};

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) -> Value {
    let error = reply.json()["error"].clone();
    assert_eq!(
        (reply.status, error["code"].as_str()),
        (status, Some(code)),
        "{}",
        reply.text()
    );
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty())
    );
    assert!(error["type"].is_string());
    error
}

#[tokio::test]
async fn keys_are_told_apart() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let url = &gateway.data_url;
    refused(
        &Client::new(url).chat(&says("x")).await?,
        401,
        "invalid_api_key",
    );
    refused(
        &Client::new(url)
            .with_key("pm-unknown")
            .chat(&says("x"))
            .await?,
        401,
        "invalid_api_key",
    );
    let narrow = gateway.new_key("demo", &["--scope", "models"]).await?;
    refused(
        &Client::new(url).with_key(&narrow).chat(&says("x")).await?,
        403,
        "insufficient_scope",
    );
    assert_eq!(
        Client::new(url)
            .with_key(&narrow)
            .get("/v1/models")
            .await?
            .status,
        200
    );

    assert_eq!(
        provider.total("requests").await?,
        0,
        "a refused request left"
    );

    let key = gateway.new_key("demo", &[]).await?;
    let client = Client::new(url).with_key(&key);
    assert_eq!(client.chat(&says("x")).await?.status, 200);
    let keys = gateway.cli(&["key", "list", "--json"])?.json();
    let id = keys.as_array().and_then(|keys| keys.last()).expect("keys")["id"].clone();
    let revoked_at = Instant::now();
    gateway.cli(&["key", "revoke", id.as_str().expect("an id")])?;
    eventually("the key is refused", async || {
        client
            .chat(&says("x"))
            .await
            .is_ok_and(|reply| reply.status == 401)
    })
    .await?;
    assert!(
        revoked_at.elapsed() < Duration::from_secs(2),
        "revocation took {:?}",
        revoked_at.elapsed()
    );
    refused(&client.chat(&says("x")).await?, 401, "revoked_api_key");
    Ok(())
}

#[tokio::test]
async fn bodies_are_checked_and_the_field_is_named() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let client = gateway.client("demo")?;
    let error = refused(
        &client
            .send(Method::POST, "/v1/chat/completions", "{\"model\": ".into())
            .await?,
        400,
        "invalid_json",
    );
    assert!(
        error["message"].as_str().expect("text").contains("line 1"),
        "{error}"
    );
    let fields = [
        (
            json!({"messages": [{"role": "user", "content": "x"}]}),
            "model",
        ),
        (
            json!({"model": 7, "messages": [{"role": "user", "content": "x"}]}),
            "model",
        ),
        (json!({"model": "auto"}), "messages"),
        (json!({"model": "auto", "messages": []}), "messages"),
        (
            json!({"model": "auto", "messages": [{"content": "x"}]}),
            "messages[0].role",
        ),
        (
            json!({"model": "auto", "messages": [{"role": "user", "content": 7}]}),
            "messages[0].content",
        ),
        (
            json!({"model": "auto", "messages": [{"role": "user", "content": "x"}], "stream": "yes"}),
            "stream",
        ),
        (
            json!({"model": "auto", "messages": [{"role": "user", "content": "x"}], "max_tokens": -1}),
            "max_tokens",
        ),
        (
            json!({"model": "auto", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9, "max_completion_tokens": 4}),
            "max_tokens",
        ),
        (
            json!({"model": "auto", "messages": [{"role": "user", "content": "x"}], "n": 0}),
            "n",
        ),
    ];
    for (body, param) in fields {
        let error = refused(&client.chat(&body).await?, 400, "invalid_value");
        assert_eq!(error["param"], param, "{error}");
    }
    let error = refused(
        &client
            .chat(&json!({"model": "none", "messages": [{"role": "user", "content": "x"}]}))
            .await?,
        404,
        "model_not_found",
    );
    assert_eq!(error["param"], "model");
    assert_eq!(provider.total("requests").await?, 0);
    Ok(())
}

#[tokio::test]
async fn endpoints_and_methods_are_told_apart() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let client = gateway.client("demo")?;
    refused(
        &client.post("/v1/responses", &says("x")).await?,
        404,
        "unknown_url",
    );
    refused(&client.get("/").await?, 404, "unknown_url");
    let reply = client.get("/v1/chat/completions").await?;
    refused(&reply, 405, "method_not_allowed");
    assert_eq!(reply.header("allow"), Some("POST"));
    Ok(())
}

#[tokio::test]
async fn what_is_too_large_is_refused() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.settings = json!({"data": {"body-bytes-max": 4096}});
    let gateway = Gateway::start(options).await?;
    let client = gateway.client("demo")?;
    refused(
        &client.chat(&says(&"x".repeat(5000))).await?,
        413,
        "request_too_large",
    );
    let long = client
        .clone()
        .with_header("x-policy-note", &"h".repeat(66_000));
    refused(&long.chat(&says("x")).await?, 431, "headers_too_large");
    let mut many = client.clone();
    for index in 0..120 {
        many = many.with_header(&format!("x-many-{index}"), "1");
    }
    refused(&many.chat(&says("x")).await?, 431, "headers_too_large");
    assert_eq!(client.chat(&says("x")).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn slow_senders_and_stuck_readers_are_cut() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.settings =
        json!({"data": {"header-timeout-ms": 300, "body-timeout-ms": 300, "client-idle-ms": 500}});
    let gateway = Gateway::start(options).await?;

    let mut slow = Raw::connect(&gateway.data_url).await?;
    slow.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n")
        .await?;
    let (_, ended) = slow.read_until_silent(Duration::from_secs(20)).await;
    assert_ne!(
        ended,
        Ended::Silent,
        "a client that never ends its headers was kept"
    );

    let mut slow = Raw::connect(&gateway.data_url).await?;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 100\r\n\r\n{{",
        gateway.key("demo")?
    );
    slow.write(head.as_bytes()).await?;
    let (answer, _) = slow.read_until_silent(Duration::from_secs(5)).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");

    // The reader never reads: once the sockets' buffers are full, it is cut and the provider is released.
    let big = "y".repeat(64 << 10);
    let script = json!({"default": {"deltas": [big], "fault": {"kind": "endless"}}});
    provider.script(&script).await?;
    let body = pointsman_e2e::streams("x").to_string();
    let _stuck = Raw::post(
        &gateway.data_url,
        "/v1/chat/completions",
        gateway.key("demo")?,
        &body,
    )
    .await?;
    provider.reaches("client_gone", 1).await?;
    Ok(())
}
