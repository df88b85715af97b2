//! The policy that newcomers start with, on the real engine: answered, explained, priced.

use pointsman_e2e::{says, streams};
use pointsman_harness::{
    Bundle, Engine, EngineOptions, Gateway, GatewayOptions, shipped_policies, workspace,
};
use serde_json::{Value, json};

const FRANCE: &str = "What is the capital of France? Answer in one word.";

async fn quickstart() -> anyhow::Result<(Engine, Gateway)> {
    let engine = Engine::start(EngineOptions::default()).await?;
    let bundle = Bundle::read(&shipped_policies().join("quickstart"))?
        .replace("http://127.0.0.1:8090/v1", &engine.endpoint())?;
    let mut options = GatewayOptions::serving(bundle, &[engine.authority()]);
    options.settings = json!({"prices": workspace().join("policies/prices.jsonl")});
    let gateway = Gateway::start(options).await?;
    Ok((engine, gateway))
}

fn asking(mut body: Value) -> Value {
    body["temperature"] = json!(0);
    body
}

#[tokio::test]
async fn the_first_request_is_answered_and_explained() -> anyhow::Result<()> {
    let (_engine, gateway) = quickstart().await?;
    let client = gateway.client("demo")?;
    let whole = client.chat(&asking(says(FRANCE))).await?;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let text = whole.json()["choices"][0]["message"]["content"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(text.contains("Paris"), "{text}");
    let stream = client.chat(&asking(streams(FRANCE))).await?;
    assert_eq!(stream.content(), text, "streamed and whole differ");

    let id = stream.header("x-pointsman-request-id").expect("an id");
    let told = gateway.why(id).await?;
    let closed = &told["closed"];
    assert_eq!(closed["target"], "local");
    assert_eq!(
        (closed["unpriced"].as_bool(), closed["estimated"].as_bool()),
        (Some(false), Some(false)),
        "{closed}"
    );
    let story = gateway.cli(&["why", id])?.stdout;
    for word in [
        "classify",
        "guard-request",
        "split",
        "route",
        "reserve",
        "execute",
        "guard-response",
        "account",
        "record",
    ] {
        assert!(story.contains(word), "`{word}` is missing:\n{story}");
    }
    assert_eq!(gateway.cli(&["audit", "verify"])?.code, Some(0));
    Ok(())
}

#[tokio::test]
async fn what_the_engine_cannot_do_is_said() -> anyhow::Result<()> {
    let (_engine, gateway) = quickstart().await?;
    let mut body = says("x");
    body["logprobs"] = json!(true);
    let reply = gateway.client("demo")?.chat(&body).await?;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(
        reply.json()["error"]["param"],
        "logprobs",
        "{}",
        reply.text()
    );
    Ok(())
}
