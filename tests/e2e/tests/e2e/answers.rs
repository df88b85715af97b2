//! Answers: what the provider said arrives as it was said, and what the caller asked arrives as it was asked.

use pointsman_e2e::{says, sent, serving, streams};
use pointsman_harness::{Client, data_of};
use serde_json::{Value, json};

#[tokio::test]
async fn a_whole_answer_arrives_byte_for_byte() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let body = r#"{ "id":"x", "object":"chat.completion","created":1,"model":"m", "unknown": [1.50, "\u00e9"],
        "choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;
    provider.script(&json!({"default": {"body": body}})).await?;
    let reply = gateway.client("demo")?.chat(&says("hello")).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.text(), body);
    assert_eq!(reply.header("x-pointsman-target"), Some("fake"));
    assert_eq!(reply.header("x-pointsman-policy"), Some("test@1"));
    assert!(reply.header("x-pointsman-request-id").is_some());
    Ok(())
}

#[tokio::test]
async fn a_stream_without_guards_arrives_byte_for_byte() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let script = json!({"default": {"deltas": ["Hel", "lo ", "wörld"], "fields": {"x_unknown": {"a": 1.0}}}});
    provider.script(&script).await?;
    let mut body = streams("hello");
    body["stream_options"] = json!({"include_usage": true});
    let through = gateway.client("demo")?.chat(&body).await?;
    body["model"] = json!("fake");
    let direct = Client::new(&provider.url).chat(&body).await?;
    let steady = |reply: &pointsman_harness::Reply| -> Vec<Value> {
        let mut events = data_of(&reply.events());
        for event in &mut events {
            // Made anew for every answer.
            event["id"] = Value::Null;
            event["created"] = Value::Null;
        }
        events
    };
    assert_eq!(through.status, 200);
    assert_eq!(through.header("content-type"), Some("text/event-stream"));
    assert_eq!(steady(&through), steady(&direct));
    assert!(through.text().trim_end().ends_with("data: [DONE]"));
    Ok(())
}

#[tokio::test]
async fn usage_is_asked_of_the_provider_and_kept_from_those_who_did_not_ask() -> anyhow::Result<()>
{
    let (provider, gateway) = serving("").await?;
    let reply = gateway.client("demo")?.chat(&streams("hello")).await?;
    let events = data_of(&reply.events());
    assert!(events.iter().all(|event| event["usage"].is_null()));
    assert!(events.iter().all(|event| event["choices"] != json!([])));
    let asked = sent(&provider, 0).await?;
    assert_eq!(asked["stream_options"]["include_usage"], true, "{asked}");
    let id = reply.header("x-pointsman-request-id").expect("an id");
    let told = gateway.why(id).await?;
    let meters = &told["closed"]["attempts"][0]["meters"];
    assert_eq!(meters[0]["estimated"], false, "{meters}");
    Ok(())
}

#[tokio::test]
async fn unknown_fields_reach_the_provider_untouched() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let mut body = says("hello");
    body["x_new_feature"] = json!({"nested": [1, 2.50, null, "ü"]});
    body["temperature"] = json!(0.25);
    gateway.client("demo")?.chat(&body).await?;
    let arrived = sent(&provider, 0).await?;
    body["model"] = json!("fake");
    assert_eq!(arrived, body);
    Ok(())
}

#[tokio::test]
async fn several_choices_and_tools_arrive() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let script = json!({"default": {"choices": [{"text": "one"}, {"tools": [{"name": "weather", "arguments": ["{\"city\":", "\"Paris\"}"]}]}]}});
    provider.script(&script).await?;
    let mut body = streams("hello");
    body["n"] = json!(2);
    let reply = gateway.client("demo")?.chat(&body).await?;
    let (mut text, mut arguments) = (String::new(), String::new());
    for event in data_of(&reply.events()) {
        for choice in event["choices"].as_array().into_iter().flatten() {
            let delta = &choice["delta"];
            if choice["index"] == 0 {
                text.push_str(delta["content"].as_str().unwrap_or_default());
            }
            let call = &delta["tool_calls"][0]["function"]["arguments"];
            arguments.push_str(call.as_str().unwrap_or_default());
        }
    }
    assert_eq!(
        (text.as_str(), arguments.as_str()),
        ("one", "{\"city\":\"Paris\"}")
    );
    Ok(())
}

#[tokio::test]
async fn models_are_the_policys() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let client = gateway.client("demo")?;
    let list = client.get("/v1/models").await?.json();
    assert_eq!(list["data"][0]["id"], "auto");
    assert_eq!(client.get("/v1/models/auto").await?.json()["id"], "auto");
    assert_eq!(client.get("/v1/models/none").await?.status, 404);
    Ok(())
}
