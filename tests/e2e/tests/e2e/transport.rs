//! HTTP as clients really send it: pipelined, chunked, old, ambiguous, abandoned.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use pointsman_e2e::{policy, says, serving, streams};
use pointsman_harness::{Ended, Gateway, GatewayOptions, Provider, Raw, eventually};
use serde_json::json;

const BODY: &str = r#"{"model":"auto","messages":[{"role":"user","content":"x"}]}"#;

/// Sends bytes and reads until the server closes or is silent.
async fn exchange(gateway: &Gateway, bytes: &str) -> anyhow::Result<(String, Ended)> {
    let mut raw = Raw::connect(&gateway.data_url).await?;
    raw.write(bytes.as_bytes()).await?;
    let (told, ended) = raw.read_until_silent(Duration::from_secs(2)).await;
    Ok((String::from_utf8_lossy(&told).into_owned(), ended))
}

fn head(gateway: &Gateway, target: &str, version: &str, more: &str) -> anyhow::Result<String> {
    let key = gateway.key("demo")?;
    Ok(format!(
        "POST {target} HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n{more}\r\n"
    ))
}

#[tokio::test]
async fn requests_of_every_form_are_served() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let length = format!("Content-Length: {}\r\n", BODY.len());
    let path = "/v1/chat/completions";
    let absolute = format!("http://x{path}");
    let chunked = format!(
        "{:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        10,
        &BODY[..10],
        BODY.len() - 10,
        &BODY[10..]
    );
    let forms = [
        ("plain", head(&gateway, path, "1.1", &length)? + BODY),
        (
            "query",
            head(&gateway, &format!("{path}?api-version=1"), "1.1", &length)? + BODY,
        ),
        (
            "absolute form",
            head(&gateway, &absolute, "1.1", &length)? + BODY,
        ),
        ("HTTP/1.0", head(&gateway, path, "1.0", &length)? + BODY),
        (
            "chunked",
            head(&gateway, path, "1.1", "Transfer-Encoding: chunked\r\n")? + &chunked,
        ),
        (
            "expect",
            head(
                &gateway,
                path,
                "1.1",
                &format!("Expect: 100-continue\r\n{length}"),
            )? + BODY,
        ),
    ];
    for (form, bytes) in forms {
        let (told, _) = exchange(&gateway, &bytes).await?;
        assert!(
            told.contains("200 OK") && told.contains("Paris"),
            "{form}: {told}"
        );
        assert_eq!(
            told.contains("100 Continue"),
            form == "expect",
            "{form}: {told}"
        );
    }
    let one = head(&gateway, path, "1.1", &length)? + BODY;
    let (told, _) = exchange(&gateway, &one.repeat(3)).await?;
    assert_eq!(told.matches("200 OK").count(), 3, "pipelined: {told}");
    Ok(())
}

#[tokio::test]
async fn what_is_ambiguous_is_refused() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let path = "/v1/chat/completions";
    let length = format!("Content-Length: {}\r\n", BODY.len());
    let twice = format!("Authorization: Bearer other\r\n{length}");
    let (told, _) = exchange(&gateway, &(head(&gateway, path, "1.1", &twice)? + BODY)).await?;
    assert!(told.starts_with("HTTP/1.1 401"), "two keys: {told}");
    for (what, more) in [
        ("two lengths", format!("{length}Content-Length: 3\r\n")),
        ("no length", "Content-Length: seven\r\n".to_owned()),
        ("unknown coding", "Transfer-Encoding: gzip\r\n".to_owned()),
    ] {
        let (told, ended) =
            exchange(&gateway, &(head(&gateway, path, "1.1", &more)? + BODY)).await?;
        assert!(told.starts_with("HTTP/1.1 400"), "{what}: {told}");
        assert_ne!(ended, Ended::Silent, "{what}: {told}");
    }
    // With both, whichever counts, what follows the body must not become a request.
    let both = head(
        &gateway,
        path,
        "1.1",
        &format!("{length}Transfer-Encoding: chunked\r\n"),
    )? + "0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n";
    let (told, _) = exchange(&gateway, &both).await?;
    assert!(!told.contains("200 OK"), "both: {told}");
    assert_eq!(provider.total("requests").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_refused_upload_is_not_asked_for() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let bytes = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n";
    let (told, _) = exchange(&gateway, bytes).await?;
    assert!(told.starts_with("HTTP/1.1 401"), "{told}");
    Ok(())
}

#[tokio::test]
async fn models_with_slashes_are_found_and_methods_told() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "")
        .replace("name = \"auto\"", "name = \"meta/llama:3\"")?;
    let gateway = Gateway::start(GatewayOptions::serving(bundle, &[provider.authority()])).await?;
    let client = gateway.client("demo")?;
    for path in [
        "/v1/models/meta/llama:3",
        "/v1/models/meta%2Fllama%3A3",
        "/v1/models/meta%2fllama:3?x=1",
    ] {
        let reply = client.get(path).await?;
        assert_eq!(
            reply.json()["id"],
            "meta/llama:3",
            "{path}: {}",
            reply.text()
        );
    }
    assert_eq!(client.get("/v1/models/meta%2Fnone").await?.status, 404);
    for (method, path, allow) in [
        (Method::DELETE, "/v1/models/meta%2Fllama%3A3", "GET"),
        (Method::HEAD, "/v1/models", "GET"),
        (Method::OPTIONS, "/v1/chat/completions", "POST"),
    ] {
        let reply = client.send(method.clone(), path, Bytes::new()).await?;
        assert_eq!(
            (reply.status, reply.header("allow")),
            (405, Some(allow)),
            "{method} {path}"
        );
    }
    assert_eq!(
        client
            .post("/v1/chat/completions/", &says("x"))
            .await?
            .status,
        404
    );
    Ok(())
}

#[tokio::test]
async fn a_models_name_is_bounded() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let mut body = says("x");
    body["model"] = json!("m".repeat(2_000_000));
    let reply = gateway.client("demo")?.chat(&body).await?;
    assert_eq!(
        (reply.status, reply.json()["error"]["param"].as_str()),
        (400, Some("model"))
    );
    assert!(reply.body.len() < 1000);
    let id = reply.header("x-pointsman-request-id").expect("an id");
    assert_eq!(gateway.why(id).await?["closed"]["error"], "invalid_value");
    Ok(())
}

/// With one place only, a place that leaked is a gateway that serves nobody.
async fn one_place() -> anyhow::Result<(Provider, Gateway)> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.settings = json!({"data": {"requests-max": 1, "client-idle-ms": 2000}});
    Ok((provider, Gateway::start(options).await?))
}

async fn is_free(gateway: &Gateway) -> anyhow::Result<()> {
    let client = gateway.client("demo")?;
    eventually("the place is free again", async || {
        client
            .get("/v1/models")
            .await
            .is_ok_and(|reply| reply.status == 200)
            && client
                .chat(&says("x"))
                .await
                .is_ok_and(|reply| reply.status == 200)
    })
    .await
}

#[tokio::test]
async fn who_leaves_at_any_phase_frees_the_place_and_is_recorded() -> anyhow::Result<()> {
    let (provider, gateway) = one_place().await?;
    let cancelled = async || -> anyhow::Result<usize> {
        let listed = gateway.cli(&["decisions", "list", "--outcome", "cancelled", "--json"])?;
        Ok(listed.stdout.matches("\"cancelled\"").count())
    };
    let mut before = cancelled().await?;
    let answers = [
        ("while the body is read", json!({})),
        (
            "while the headers are awaited",
            json!({"fault": {"kind": "stall"}}),
        ),
        (
            "before the first token",
            json!({"fault": {"kind": "stall", "after-chunks": 0}}),
        ),
        (
            "in the stream",
            json!({"deltas": ["a", "b"], "fault": {"kind": "stall", "after-chunks": 2}}),
        ),
    ];
    for (when, answer) in answers {
        provider.clear().await?;
        provider.script(&json!({"default": answer})).await?;
        let mut body = streams("x").to_string();
        if when == "while the body is read" {
            body = format!("{body}{}", " ".repeat(100));
        }
        let head = head(
            &gateway,
            "/v1/chat/completions",
            "1.1",
            &format!("Content-Length: {}\r\n", body.len()),
        )?;
        let mut raw = Raw::connect(&gateway.data_url).await?;
        raw.write(head.as_bytes()).await?;
        if when == "while the body is read" {
            raw.write(&body.as_bytes()[..10]).await?;
            let client = gateway.client("demo")?;
            eventually("the place is taken", async || {
                let probe = client.chat(&says("y")).await;
                if probe.is_ok_and(|reply| reply.status == 503) {
                    return true;
                }
                // Where the probe had the place first, the other was refused and begins again.
                let (refusal, _) = raw.read_until_silent(Duration::from_millis(50)).await;
                if !refusal.is_empty()
                    && let Ok(again) = Raw::connect(&gateway.data_url).await
                {
                    raw = again;
                    let begun = [head.as_bytes(), &body.as_bytes()[..10]].concat();
                    // Refused again, it is seen in the next round.
                    raw.write(&begun).await.ok();
                }
                false
            })
            .await?;
        } else {
            raw.write(body.as_bytes()).await?;
            provider.reaches("requests", 1).await?;
            if when == "in the stream" {
                raw.read().await?;
            }
        }
        drop(raw);
        if when != "while the body is read" {
            provider.reaches("client_gone", 1).await?;
        }
        provider.script(&json!({})).await?;
        is_free(&gateway).await?;
        eventually(&format!("a record of who left {when}"), async || {
            cancelled().await.is_ok_and(|count| count > before)
        })
        .await?;
        before = cancelled().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_reader_of_a_whole_answer_keeps_its_place() -> anyhow::Result<()> {
    let (provider, gateway) = one_place().await?;
    let big = "y".repeat(16 << 20);
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": big}, "finish_reason": "stop"});
    provider
        .script(&json!({"answers": [{"body": {"model": "m", "choices": [choice]}}]}))
        .await?;
    let key = gateway.key("demo")?;
    let stuck = Raw::post(&gateway.data_url, "/v1/chat/completions", key, BODY).await?;
    let client = gateway.client("demo")?;
    eventually("the answer is made and recorded", async || {
        let listed = gateway.cli(&["decisions", "list", "--outcome", "ok", "--json"]);
        listed.is_ok_and(|listed| listed.stdout.contains("\"ok\""))
    })
    .await?;
    let mut refused = 0;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        refused += u32::from(client.chat(&says("x")).await?.status == 503);
    }
    assert_eq!(
        refused, 5,
        "its answer lies in memory, but its place is free"
    );
    is_free(&gateway).await?;
    drop(stuck);
    Ok(())
}

#[tokio::test]
async fn at_the_drain_bound_requests_end_with_a_word_and_a_record() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.settings = json!({"data": {"drain-ms": 300}});
    let mut gateway = Gateway::start(options).await?;
    let script =
        json!({"default": {"deltas": ["a "], "fault": {"kind": "stall", "after-chunks": 2}}});
    provider.script(&script).await?;
    let mut streaming = gateway.client("demo")?.open_chat(&streams("x")).await?;
    let id = streaming
        .header("x-pointsman-request-id")
        .expect("an id")
        .to_owned();
    streaming.chunk().await?;
    gateway.process.terminate()?;
    let reply = streaming.whole().await?;
    assert!(reply.text().contains("\"unavailable\""), "{}", reply.text());
    let status = gateway.process.ended().await?;
    assert!(status.success(), "{status}\n{}", gateway.process.log());
    let told = gateway.cli(&["why", &id, "--json"])?.json();
    assert_eq!(told["closed"]["outcome"], "error", "{told}");
    assert_eq!(told["closed"]["error"], "unavailable");
    assert_eq!(
        told["closed"]["attempts"][0]["outcome"], "cancelled",
        "{told}"
    );
    assert_eq!(
        told["closed"]["attempts"][0]["meters"][0]["estimated"], true,
        "{told}"
    );
    assert_eq!(gateway.cli(&["audit", "verify"])?.code, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_policy_that_nobody_pushed_is_refused_with_what_to_do() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    // In the folder, but the gateway has read that at its first start alone.
    policy("nowhere", &[("fake", &provider.endpoint())], "").write(&gateway.policies())?;
    let added = gateway.cli(&["tenant", "add", "late", "--policy", "nowhere"])?;
    assert_eq!(added.code, Some(1), "{}", added.stdout);
    for word in ["nowhere", "pointsman policy push"] {
        assert!(added.stderr.contains(word), "{}", added.stderr);
    }
    Ok(())
}
