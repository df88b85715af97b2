//! Providers that break every promise: the gateway's bounds hold, and what they may have billed is counted.

use std::time::{Duration, Instant};

use pointsman_e2e::{policy, says, serving, step, streams};
use pointsman_harness::{Gateway, GatewayOptions, Provider, Reply, data_of};
use serde_json::{Value, json};

const SSE: &str = "text/event-stream";

/// Two targets; `execute` is further keys of the policy's `[execute]`.
async fn two(steps: &str, execute: &str) -> anyhow::Result<(Provider, Provider, Gateway)> {
    let (first, second) = (Provider::start().await?, Provider::start().await?);
    let (one, other) = (first.endpoint(), second.endpoint());
    let bundle = policy(
        "test",
        &[("first", one.as_str()), ("second", other.as_str())],
        steps,
    );
    let bundle = bundle.replace("first-token-timeout-ms = 10000", execute)?;
    let options = GatewayOptions::serving(bundle, &[first.authority(), second.authority()]);
    let gateway = Gateway::start(options).await?;
    second
        .script(&json!({"default": {"text": "from the second"}}))
        .await?;
    Ok((first, second, gateway))
}

async fn told(gateway: &Gateway, reply: &Reply) -> anyhow::Result<Value> {
    let id = reply.header("x-pointsman-request-id").expect("an id");
    gateway.why(id).await
}

fn guarded(email: &str) -> String {
    let config = format!("config = {{ email = \"{email}\" }}\nrequired = true");
    step(
        "pii-out",
        "guard-response",
        "guard-pii@0.1",
        "deny",
        &config,
    )
}

#[tokio::test]
async fn keep_alives_without_content_are_not_waited_for() -> anyhow::Result<()> {
    for chunk_ms in [0, 50] {
        let (first, _second, gateway) = two("", "first-token-timeout-ms = 1000").await?;
        let answer = json!({"raw": [": still here\n\n"], "headers": {"content-type": SSE},
            "fault": {"kind": "endless"}, "delays": {"chunk-ms": chunk_ms}});
        first.script(&json!({"default": answer})).await?;
        let began = Instant::now();
        let reply = gateway.client("demo")?.chat(&streams("x")).await?;
        assert_eq!(reply.content(), "from the second", "{chunk_ms}");
        assert!(began.elapsed() < Duration::from_secs(8), "{chunk_ms}");
        let told = told(&gateway, &reply).await?;
        let attempt = &told["closed"]["attempts"][0];
        // A flood is over its bound of bytes before its time.
        let detail = attempt["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("content"), "{attempt}");
        first.reaches("client_gone", 1).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_endless_stream_ends_at_the_deadline_however_fast_it_is() -> anyhow::Result<()> {
    let (first, _second, gateway) = two("", "deadline-ms = 1500").await?;
    let answer = json!({"deltas": ["on and on "], "fault": {"kind": "endless"}});
    first.script(&json!({"default": answer})).await?;
    let began = Instant::now();
    let reply = gateway.client("demo")?.chat(&streams("x")).await?;
    assert!(began.elapsed() < Duration::from_secs(10));
    let events = data_of(&reply.events());
    let last = events.last().expect("events");
    assert_eq!(last["error"]["code"], "upstream_timeout", "{last}");
    let told = told(&gateway, &reply).await?;
    // The caller saw a 200 and whose answer it was.
    assert_eq!(told["closed"]["status"], 200);
    assert_eq!(told["closed"]["target"], "first");
    assert_eq!(told["closed"]["outcome"], "error");
    first.reaches("client_gone", 1).await
}

#[tokio::test]
async fn nothing_of_an_answer_that_broke_before_its_release_is_told() -> anyhow::Result<()> {
    let (first, _second, gateway) = two(&guarded("mask"), "first-token-timeout-ms = 5000").await?;
    // The guard holds the whole text: it may become an address.
    let answer =
        json!({"deltas": ["heldword", "goeson"], "fault": {"kind": "reset", "after-chunks": 3}});
    first.script(&json!({"default": answer})).await?;
    let reply = gateway.client("demo")?.chat(&streams("x")).await?;
    assert_eq!(reply.content(), "from the second", "{}", reply.text());
    assert!(!reply.text().contains("held"), "{}", reply.text());
    let told = told(&gateway, &reply).await?;
    let closed = &told["closed"];
    let tried = &closed["attempts"];
    // The first said something, so it may be billed: estimated, never nothing.
    assert_eq!(tried[0]["meters"][1]["estimated"], true, "{tried}");
    assert!(
        tried[0]["meters"][1]["quantity"].as_u64() > Some(0),
        "{tried}"
    );
    assert_eq!(tried[1]["meters"][0]["estimated"], false, "{tried}");
    let guards: Vec<&Value> = closed["steps"].as_array().expect("steps").iter().collect();
    assert_eq!(guards.len(), 2, "{guards:?}");
    assert!(
        guards[0]["detail"]
            .as_str()
            .is_some_and(|detail| detail.starts_with("attempt 1 at first"))
    );
    assert!(guards[1]["detail"].is_null(), "{}", guards[1]);
    Ok(())
}

#[tokio::test]
async fn held_text_is_resolved_when_the_provider_stalls() -> anyhow::Result<()> {
    let (provider, gateway) = serving(&guarded("mask")).await?;
    let answer = json!({"deltas": ["maybe"], "fault": {"kind": "stall", "after-chunks": 2}});
    provider.script(&json!({"default": answer})).await?;
    let mut streaming = gateway.client("demo")?.open_chat(&streams("x")).await?;
    let mut text = String::new();
    while !text.contains("maybe") {
        let event = streaming.event().await?.expect("an event");
        text.push_str(&event.data);
    }
    drop(streaming);
    provider.reaches("client_gone", 1).await
}

#[tokio::test]
async fn a_denied_choice_ends_the_stream_and_cancels_its_provider() -> anyhow::Result<()> {
    let (provider, gateway) = serving(&guarded("deny")).await?;
    let answer = json!({"deltas": ["mail ada@example.org now ", "and on "], "fault": {"kind": "endless"}, "delays": {"chunk-ms": 20}});
    provider.script(&json!({"default": answer})).await?;
    let reply = gateway.client("demo")?.chat(&streams("x")).await?;
    assert!(
        reply.text().trim_end().ends_with("data: [DONE]"),
        "{}",
        reply.text()
    );
    assert!(reply.text().contains("content_filter") && !reply.text().contains("ada@"));
    provider.reaches("client_gone", 1).await?;
    let told = told(&gateway, &reply).await?;
    assert_eq!(told["closed"]["outcome"], "cut");
    assert_eq!(told["closed"]["error"], "pii.email");
    Ok(())
}

#[tokio::test]
async fn of_two_choices_the_other_goes_on() -> anyhow::Result<()> {
    let (provider, gateway) = serving(&guarded("deny")).await?;
    let choices =
        json!([{"deltas": ["mail ada@example.org now"]}, {"deltas": ["this ", "is ", "fine"]}]);
    provider
        .script(&json!({"default": {"choices": choices}}))
        .await?;
    for body in [streams("x"), says("x")] {
        let mut body = body;
        body["n"] = json!(2);
        let reply = gateway.client("demo")?.chat(&body).await?;
        let whole = reply.json();
        let mut text = whole["choices"][1]["message"]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let mut ends = vec![
            whole["choices"][0]["finish_reason"].clone(),
            whole["choices"][1]["finish_reason"].clone(),
        ];
        for event in data_of(&reply.events()) {
            for choice in event["choices"].as_array().into_iter().flatten() {
                let index = usize::from(choice["index"] == 1);
                if index == 1 {
                    text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
                }
                if choice["finish_reason"].is_string() {
                    assert!(ends[index].is_null(), "a second end: {}", reply.text());
                    ends[index] = choice["finish_reason"].clone();
                }
            }
        }
        assert_eq!(text, "this is fine", "{}", reply.text());
        assert_eq!(
            ends,
            [json!("content_filter"), json!("stop")],
            "{}",
            reply.text()
        );
        assert!(!reply.text().contains("ada@"));
    }
    Ok(())
}

#[tokio::test]
async fn answers_that_are_none_fail_over() -> anyhow::Result<()> {
    let chunk = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"x"}}]}"#;
    let answers = [
        (
            json!({"body": "", "headers": {"content-type": "application/json"}}),
            false,
        ),
        (json!({"status": 204, "body": ""}), false),
        (json!({"status": 204, "body": ""}), true),
        (
            json!({"status": 302, "body": "", "headers": {"location": "http://127.0.0.1:1/"}}),
            false,
        ),
        (
            json!({"body": "<html>busy</html>", "headers": {"content-type": "text/html"}}),
            false,
        ),
        (
            json!({"body": "<html>busy</html>", "headers": {"content-type": "text/html"}}),
            true,
        ),
        (
            json!({"body": {"error": {"message": "no", "code": "busy"}}}),
            true,
        ),
        (
            json!({"raw": [{"base64": "eyJjaG9pY2VzIjpbeyJpbmRleCI6MCwibWVzc2FnZSI6eyJjb250ZW50Ijoi//4ifX1dfQ=="}]}),
            false,
        ),
        (
            json!({"raw": [format!("{chunk}\n\n"), "data: [DONE]\n\n"], "headers": {"content-type": SSE}}),
            false,
        ),
        (
            json!({"raw": [": only this\n\n"], "headers": {"content-type": SSE}}),
            true,
        ),
    ];
    let (first, _second, gateway) = two(
        "",
        "retry-on = [\"connect\", \"timeout\", \"stream\", \"429\", \"5xx\"]",
    )
    .await?;
    let client = gateway.client("demo")?;
    for (answer, streaming) in answers {
        first.script(&json!({"default": answer})).await?;
        let body = if streaming { streams("x") } else { says("x") };
        let reply = client.chat(&body).await?;
        // A redirect is not followed, nor is it among what this policy retries.
        if answer["status"] == 302 {
            assert_eq!(reply.status, 502, "{answer}: {}", reply.text());
            assert!(reply.text().contains("status 302"), "{}", reply.text());
        } else {
            assert_eq!(
                reply.content(),
                "from the second",
                "{answer}: {}",
                reply.text()
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn statuses_of_credentials_and_paths_are_the_operators() -> anyhow::Result<()> {
    let (first, second, gateway) = two("", "first-token-timeout-ms = 5000").await?;
    for status in [401, 403, 404] {
        first.script(&json!({"default": {"status": status, "body": {"error": {"message": "no", "code": "nope"}}}})).await?;
        let reply = gateway.client("demo")?.chat(&says("x")).await?;
        assert_eq!(reply.status, 502, "{}", reply.text());
        assert!(
            reply
                .text()
                .contains(&format!("status {status}, code nope")),
            "{}",
            reply.text()
        );
    }
    assert_eq!(second.total("requests").await?, 0, "not in `retry-on`");
    Ok(())
}

#[tokio::test]
async fn when_all_are_limited_the_caller_learns_until_when() -> anyhow::Result<()> {
    let (first, second, gateway) = two("", "first-token-timeout-ms = 5000").await?;
    for (provider, seconds) in [(&first, "40"), (&second, "7")] {
        let answer = json!({"status": 429, "headers": {"retry-after": seconds}});
        provider.script(&json!({"default": answer})).await?;
    }
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    assert_eq!(reply.status, 429, "{}", reply.text());
    assert_eq!(reply.header("retry-after"), Some("7"));
    Ok(())
}

#[tokio::test]
async fn a_refusal_whose_body_never_ends_is_a_refusal() -> anyhow::Result<()> {
    let (first, _second, gateway) = two("", "first-token-timeout-ms = 5000").await?;
    let answer = json!({"status": 503, "raw": ["x"], "fault": {"kind": "endless"}, "delays": {"chunk-ms": 200}});
    first.script(&json!({"default": answer})).await?;
    let began = Instant::now();
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    assert_eq!(reply.content(), "from the second");
    assert!(began.elapsed() < Duration::from_secs(12));
    Ok(())
}

#[tokio::test]
async fn a_whole_answer_has_longer_than_a_first_token() -> anyhow::Result<()> {
    let (first, _second, gateway) = two("", "first-token-timeout-ms = 300").await?;
    first
        .script(&json!({"default": {"text": "slow", "delays": {"headers-ms": 1000}}}))
        .await?;
    let client = gateway.client("demo")?;
    assert_eq!(client.chat(&says("x")).await?.content(), "slow");
    assert_eq!(
        client.chat(&streams("x")).await?.content(),
        "from the second"
    );
    Ok(())
}
