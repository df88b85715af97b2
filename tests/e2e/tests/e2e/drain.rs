//! SIGTERM: no new connections, what is under way ends.

use pointsman_e2e::{serving, streams};
use pointsman_harness::Client;
use serde_json::json;

#[tokio::test]
async fn a_stream_under_way_ends_whole() -> anyhow::Result<()> {
    let (provider, mut gateway) = serving("").await?;
    let deltas: Vec<String> = (0..20).map(|n| format!("{n} ")).collect();
    provider
        .script(&json!({"default": {"deltas": deltas, "delays": {"chunk-ms": 30}}}))
        .await?;
    let mut streaming = gateway.client("demo")?.open_chat(&streams("x")).await?;
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
    assert!(
        Client::new(&gateway.data_url)
            .get("/v1/models")
            .await
            .is_err(),
        "it still listens"
    );
    let sound = gateway.cli(&["audit", "verify"])?;
    assert_eq!(sound.code, Some(0), "{}", sound.stdout);
    Ok(())
}
