//! HTTP/2: many requests on one connection, none of which can harm another, and clients that abuse it.

use std::time::{Duration, Instant};

use pointsman_e2e::{policy, says, serving, streams};
use pointsman_harness::frames::{self, Frames, encoded, head};
use pointsman_harness::{Gateway, GatewayOptions, Provider, eventually};
use serde_json::{Value, json};

/// A gateway with further keys of `data`.
async fn with(data: Value) -> anyhow::Result<(Provider, Gateway)> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.settings = json!({"data": data});
    Ok((provider, Gateway::start(options).await?))
}

/// A request's head with these fields besides the usual ones.
fn post<'a>(key: &'a str, more: &[(&'a str, &'a str)]) -> Vec<u8> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/v1/chat/completions"),
        (":authority", "x"),
        ("authorization", key),
        ("content-type", "application/json"),
    ];
    head(&[&usual[..], more].concat())
}

#[tokio::test]
async fn two_hundred_streams_share_a_connection_and_keep_apart() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    provider
        .script(&json!({"default": {"echo": true, "delays": {"headers-ms": 300}}}))
        .await?;
    let shared = gateway.client("demo")?.multiplexed().await?;
    let began = Instant::now();
    let bodies: Vec<Value> = (0..200)
        .map(|n| {
            if n % 2 == 0 {
                says(&format!("number {n}"))
            } else {
                streams(&format!("number {n}"))
            }
        })
        .collect();
    let replies = futures_util::future::join_all(bodies.iter().map(|body| shared.chat(body))).await;
    for (n, reply) in replies.into_iter().enumerate() {
        let reply = reply?;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.content(), format!("number {n}"));
    }
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "one after the other"
    );
    assert!(!shared.closed());
    let sound = gateway.cli(&["audit", "verify"])?;
    assert_eq!(sound.code, Some(0), "{}", sound.stdout);
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_reset_cancels_its_provider_and_no_other() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let stall = json!({"deltas": ["a ", "b "], "fault": {"kind": "stall", "after-chunks": 2}});
    for answer in [json!({"fault": {"kind": "stall"}}), stall] {
        provider.clear().await?;
        provider.script(&json!({"answers": [answer]})).await?;
        let shared = gateway.client("demo")?.multiplexed().await?;
        let body = streams("x");
        let opened = shared.open_chat(&body);
        if answer["deltas"].is_null() {
            let waited = tokio::time::timeout(Duration::from_millis(500), opened).await;
            assert!(waited.is_err(), "its provider says nothing");
        } else {
            let mut streaming = opened.await?;
            streaming.chunk().await?;
            drop(streaming);
        }
        provider.reaches("client_gone", 1).await?;
        assert_eq!(shared.chat(&says("y")).await?.status, 200);
        eventually("a record of who left", async || {
            let listed = gateway.cli(&["decisions", "list", "--outcome", "cancelled", "--json"]);
            listed.is_ok_and(|listed| listed.stdout.contains("\"cancelled\""))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_not_read_is_cut_and_the_others_go_on() -> anyhow::Result<()> {
    let (provider, gateway) = with(json!({"client-idle-ms": 1000})).await?;
    let endless = json!({"deltas": ["word ".repeat(400)], "fault": {"kind": "endless"}});
    provider.script(&json!({"answers": [endless]})).await?;
    let client = gateway.client("demo")?.with_window(32 << 10);
    let shared = client.multiplexed().await?;
    let stuck = shared.open_chat(&streams("x")).await?;
    let memory = gateway.process.resident_bytes()?;
    let began = Instant::now();
    while provider.total("client_gone").await? == 0 {
        assert_eq!(shared.chat(&says("y")).await?.status, 200);
        assert!(began.elapsed() < Duration::from_secs(30), "it is never cut");
    }
    let grown = gateway.process.resident_bytes()?.saturating_sub(memory);
    assert!(grown < 16 << 20, "{grown} bytes");
    // What it gets is less than everything, and then the reset.
    assert!(stuck.whole().await.is_err(), "it ended whole");

    // A whole answer that is not read does not lie there either.
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": "y".repeat(1 << 20)}, "finish_reason": "stop"});
    provider
        .script(&json!({"answers": [{"body": {"model": "m", "choices": [choice]}}]}))
        .await?;
    let mut stuck = shared.open_chat(&says("x")).await?;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    while let Ok(Some(_)) = stuck.chunk().await {}
    assert!(stuck.chunk().await.is_err(), "it ended whole");
    assert_eq!(shared.chat(&says("y")).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_slow_reader_who_goes_on_is_served_to_the_end() -> anyhow::Result<()> {
    let (provider, gateway) = with(json!({"client-idle-ms": 2000})).await?;
    let deltas: Vec<String> = (0..60).map(|_| "word ".repeat(400)).collect();
    provider
        .script(&json!({"default": {"deltas": deltas}}))
        .await?;
    let client = gateway.client("demo")?.with_window(16 << 10);
    let shared = client.multiplexed().await?;
    let mut streaming = shared.open_chat(&streams("x")).await?;
    let mut all = Vec::new();
    while let Some(chunk) = streaming.chunk().await? {
        all.extend(chunk);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let all = String::from_utf8_lossy(&all);
    assert!(all.len() > 60 * 2000, "{}", all.len());
    assert!(all.trim_end().ends_with("data: [DONE]"), "{all}");
    Ok(())
}

#[tokio::test]
async fn rapid_resets_end_their_connection_and_stop_nobody_else() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let key = format!("Bearer {}", gateway.key("demo")?);
    let client = gateway.client("demo")?;
    let honest = async {
        for _ in 0..50 {
            assert_eq!(client.chat(&says("y")).await?.status, 200);
        }
        anyhow::Ok(())
    };
    let attack = async {
        for _ in 0..10 {
            let mut attacker = Frames::connect(&gateway.data_url).await?;
            let mut burst = Vec::new();
            for n in 0..2000 {
                let stream = 2 * n + 1;
                burst.extend(encoded(
                    frames::HEADERS,
                    frames::END_HEADERS,
                    stream,
                    &post(&key, &[]),
                ));
                burst.extend(encoded(frames::RST_STREAM, 0, stream, &[0, 0, 0, 8]));
            }
            // Closed while it is written to, it is as well.
            let _may_be_cut = attacker.write(&burst).await;
            if let Some(last) = attacker.next_of(&[frames::GOAWAY]).await? {
                assert_eq!(last.reason(), Some(frames::ENHANCE_YOUR_CALM), "{last:?}");
            }
            while attacker.next().await?.is_some() {}
        }
        anyhow::Ok(())
    };
    let (honest, attack) = tokio::join!(honest, attack);
    honest?;
    attack?;
    assert_eq!(provider.total("requests").await?, 50);
    Ok(())
}

#[tokio::test]
async fn floods_of_heads_end_their_connection() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    // A head that never ends, in frames that say nothing.
    let mut flood = Frames::connect(&gateway.data_url).await?;
    let mut burst = encoded(frames::HEADERS, 0, 1, &post("x", &[]));
    for _ in 0..1000 {
        burst.extend(encoded(frames::CONTINUATION, 0, 1, &[]));
    }
    let _may_be_cut = flood.write(&burst).await;
    let last = flood.next_of(&[frames::GOAWAY]).await?;
    assert_eq!(
        last.and_then(|last| last.reason()),
        Some(frames::ENHANCE_YOUR_CALM)
    );

    // A head of megabytes.
    let mut flood = Frames::connect(&gateway.data_url).await?;
    let value = "v".repeat(16_000);
    let mut burst = encoded(frames::HEADERS, 0, 1, &post("x", &[]));
    for _ in 0..200 {
        burst.extend(encoded(
            frames::CONTINUATION,
            0,
            1,
            &head(&[("x-more", &value)]),
        ));
    }
    let _may_be_cut = flood.write(&burst).await;
    while flood.next().await?.is_some() {}

    // One that is only a little too large is refused in the caller's dialect.
    let mut client = gateway.client("demo")?.with_http2();
    for n in 0..90 {
        client = client.with_header(&format!("x-{n}"), &"v".repeat(800));
    }
    let reply = client.chat(&says("x")).await?;
    assert_eq!(
        (reply.status, reply.json()["error"]["code"].as_str()),
        (431, Some("headers_too_large"))
    );
    assert_eq!(gateway.client("demo")?.chat(&says("x")).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn what_is_no_request_is_reset_and_never_served() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let key = format!("Bearer {}", gateway.key("demo")?);
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/v1/chat/completions"),
        (":authority", "x"),
    ];
    let also = |more: &[(&'static str, &'static str)]| [&usual[..], more].concat();
    let without = |name: &str| {
        usual
            .iter()
            .copied()
            .filter(|(known, _)| *known != name)
            .collect::<Vec<_>>()
    };
    let odd: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        (
            "an empty path",
            [&without(":path")[..], &[(":path", "")]].concat(),
        ),
        ("two paths", also(&[(":path", "/v1/models")])),
        ("two methods", also(&[(":method", "GET")])),
        ("an unknown pseudo-header", also(&[(":foo", "x")])),
        ("a status", also(&[(":status", "200")])),
        ("a protocol", also(&[(":protocol", "websocket")])),
        (
            "a pseudo-header late",
            [
                &without(":path")[..],
                &[("x-a", "b"), (":path", "/v1/models")],
            ]
            .concat(),
        ),
        ("capitals", also(&[("X-Upper", "x")])),
        ("a line break", also(&[("x-a", "b\r\nx-c: d")])),
        ("a zero", also(&[("x-a", "b\0c")])),
        ("a space in a name", also(&[("x a", "b")])),
        ("connection", also(&[("connection", "close")])),
        (
            "transfer-encoding",
            also(&[("transfer-encoding", "chunked")]),
        ),
        ("upgrade", also(&[("upgrade", "h2c")])),
        ("te", also(&[("te", "gzip")])),
        ("a wrong length", also(&[("content-length", "1")])),
        (
            "two lengths",
            also(&[("content-length", "58"), ("content-length", "59")]),
        ),
        (
            "a host with a name of somebody",
            [&without(":authority")[..], &[(":authority", "me@x")]].concat(),
        ),
        ("no host", without(":authority")),
        ("another host", also(&[("host", "y")])),
        ("two hosts", also(&[("host", "x"), ("host", "x")])),
    ];
    let body = says("x").to_string();
    for (what, mut fields) in odd {
        fields.push(("authorization", &key));
        let mut client = Frames::connect(&gateway.data_url).await?;
        client
            .send(frames::HEADERS, frames::END_HEADERS, 1, &head(&fields))
            .await?;
        let _may_be_reset = client
            .send(frames::DATA, frames::END_STREAM, 1, body.as_bytes())
            .await;
        let told = client
            .next_of(&[frames::HEADERS, frames::RST_STREAM, frames::GOAWAY])
            .await?;
        let told = told.unwrap_or_else(|| panic!("{what}: closed without a word"));
        if told.kind == frames::HEADERS {
            // 400 is in HPACK's static table.
            assert_eq!(told.payload.first(), Some(&(0x80 | 12)), "{what}: {told:?}");
        } else {
            assert_eq!(
                told.reason(),
                Some(frames::PROTOCOL_ERROR),
                "{what}: {told:?}"
            );
        }
    }
    assert_eq!(provider.total("requests").await?, 0);
    assert_eq!(
        gateway
            .client("demo")?
            .with_http2()
            .chat(&says("x"))
            .await?
            .status,
        200
    );
    Ok(())
}

#[tokio::test]
async fn who_is_gone_without_a_word_is_found_out() -> anyhow::Result<()> {
    let (provider, gateway) =
        with(json!({"http2": {"ping-ms": 200, "ping-timeout-ms": 200}})).await?;
    provider
        .script(&json!({"default": {"fault": {"kind": "stall"}}}))
        .await?;
    let key = format!("Bearer {}", gateway.key("demo")?);
    // It never answers a ping.
    let mut dead = Frames::connect(&gateway.data_url).await?;
    dead.send(frames::HEADERS, frames::END_HEADERS, 1, &post(&key, &[]))
        .await?;
    dead.send(
        frames::DATA,
        frames::END_STREAM,
        1,
        streams("x").to_string().as_bytes(),
    )
    .await?;
    provider.reaches("requests", 1).await?;
    assert!(dead.next_of(&[frames::PING]).await?.is_some());
    while dead.next().await?.is_some() {}
    provider.reaches("client_gone", 1).await?;
    // Who answers waits as long as it takes.
    let answer = json!({"text": "late", "delays": {"headers-ms": 1500}});
    provider.script(&json!({"default": answer})).await?;
    let reply = gateway
        .client("demo")?
        .with_http2()
        .chat(&says("x"))
        .await?;
    assert_eq!(reply.content(), "late");
    Ok(())
}

#[tokio::test]
async fn a_connection_on_which_nothing_happens_is_ended() -> anyhow::Result<()> {
    let (_provider, gateway) = with(json!({"header-timeout-ms": 300})).await?;
    // Nothing, a preface alone, the half of a head: GOAWAY, and an end even if nobody answers.
    for sent in [None, Some(encoded(frames::HEADERS, 0, 1, &post("x", &[])))] {
        let mut quiet = Frames::connect(&gateway.data_url).await?;
        if let Some(bytes) = sent {
            quiet.write(&bytes).await?;
        }
        let goaway = quiet.next_of(&[frames::GOAWAY]).await?;
        assert_eq!(goaway.and_then(|goaway| goaway.reason()), Some(0));
        while quiet.next().await?.is_some() {}
    }
    let mut half = pointsman_harness::Raw::connect(&gateway.data_url).await?;
    half.write(b"PRI * HTTP/2.0\r\n").await?;
    half.read_to_end().await;
    let shared = gateway.client("demo")?.multiplexed().await?;
    assert_eq!(shared.chat(&says("x")).await?.status, 200);
    eventually("the idle connection is closed", async || shared.closed()).await
}

#[tokio::test]
async fn a_drain_says_goaway_and_lets_streams_end() -> anyhow::Result<()> {
    let (provider, mut gateway) = serving("").await?;
    let deltas: Vec<String> = (0..20).map(|n| format!("{n} ")).collect();
    provider
        .script(&json!({"default": {"deltas": deltas, "delays": {"chunk-ms": 30}}}))
        .await?;
    let shared = gateway.client("demo")?.multiplexed().await?;
    let mut streaming = shared.open_chat(&streams("x")).await?;
    streaming.chunk().await?;
    gateway.process.terminate()?;
    let reply = streaming.whole().await?;
    assert!(
        reply.text().trim_end().ends_with("data: [DONE]"),
        "{}",
        reply.text()
    );
    let status = gateway.process.ended().await?;
    assert!(status.success(), "{status}\n{}", gateway.process.log());
    assert!(shared.chat(&says("x")).await.is_err());
    Ok(())
}

#[tokio::test]
async fn it_can_be_turned_off() -> anyhow::Result<()> {
    let (_provider, gateway) = with(json!({"http2": {"enabled": false}})).await?;
    let client = gateway.client("demo")?;
    assert_eq!(client.chat(&says("x")).await?.status, 200);
    assert!(client.with_http2().chat(&says("x")).await.is_err());
    Ok(())
}
