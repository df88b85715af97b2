//! The harness against the one server that is its own: the fake provider.

use pointsman_harness::{Client, Ended, Provider, Raw, data_of};
use serde_json::json;

#[tokio::test]
async fn a_provider_is_started_scripted_read_and_gone() {
    let provider = Provider::start().await.expect("a provider");
    provider
        .script(&json!({"answers": [{"deltas": ["a@", "b.io"]}, {"text": "whole"}]}))
        .await
        .expect("a script");
    let client = Client::new(&provider.url).with_key("k");
    let request = json!({"model": "m", "messages": [], "stream": true});
    let mut streaming = client.open_chat(&request).await.expect("headers");
    let mut events = Vec::new();
    while let Some(event) = streaming.event().await.expect("an event") {
        events.push(event);
    }
    assert_eq!(events.last().expect("an end").data, "[DONE]");
    let texts: Vec<_> = data_of(&events)
        .iter()
        .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect();
    assert_eq!(texts.concat(), "a@b.io");
    let reply = client
        .chat(&json!({"messages": []}))
        .await
        .expect("an answer");
    assert_eq!((reply.status, reply.content().as_str()), (200, "whole"));
    let ledger = provider.ledger().await.expect("a ledger");
    assert_eq!(
        ledger["requests"][0]["headers"]["authorization"],
        "Bearer k"
    );
    assert!(provider.process.resident_bytes().expect("running") > 0);

    let url = provider.url.clone();
    drop(provider);
    assert!(
        client.get("/v1/models").await.is_err(),
        "{url} still answers"
    );
}

#[tokio::test]
async fn a_dropped_stream_is_a_client_that_left() {
    let provider = Provider::start().await.expect("a provider");
    provider
        .script(&json!({"default": {"fault": {"kind": "stall", "after-chunks": 2}}}))
        .await
        .expect("a script");
    let client = Client::new(&provider.url);
    let request = json!({"messages": [], "stream": true});
    let mut streaming = client.open_chat(&request).await.expect("headers");
    assert!(streaming.event().await.expect("alive").is_some());
    drop(streaming);
    provider.reaches("client_gone", 1).await.expect("noticed");
}

#[tokio::test]
async fn a_raw_connection_shows_how_it_ended() {
    let provider = Provider::start().await.expect("a provider");
    let faults = json!({"answers": [{"fault": {"kind": "reset"}}, {"status": 503}]});
    provider.script(&faults).await.expect("a script");
    let post = || Raw::post(&provider.url, "/v1/chat/completions", "k", "{}");
    let (bytes, ended) = post().await.expect("sent").read_to_end().await;
    assert_eq!(
        (bytes.len(), ended),
        (0, Ended::Broken(std::io::ErrorKind::ConnectionReset))
    );
    let (bytes, ended) = post().await.expect("sent").read_to_end().await;
    assert!(
        bytes.starts_with(b"HTTP/1.1 503"),
        "{}",
        String::from_utf8_lossy(&bytes)
    );
    assert_eq!(ended, Ended::Closed);
}

#[tokio::test]
async fn a_server_that_does_not_start_shows_its_log() {
    let engine = pointsman_harness::Engine::start(pointsman_harness::EngineOptions {
        arguments: vec!["--no-such-option".to_owned()],
        ..Default::default()
    });
    let error = format!("{:#}", engine.await.expect_err("refused"));
    assert!(error.contains("--no-such-option"), "{error}");
}
