//! What a guard masks never reaches the client's socket, wherever the provider cuts its chunks.

use pointsman_e2e::{says, sent, serving, step, streams};
use pointsman_harness::{Raw, data_of, events};
use serde_json::{Value, json};

const EMAIL: &str = "ada.lovelace@example.org";
const CARD: &str = "4111 1111 1111 1111";

fn guarded() -> String {
    let config = "config = { email = \"mask\", card = \"mask\" }\nrequired = true";
    step("pii-out", "guard-response", "guard-pii@0.1", "deny", config)
}

/// Every border of a text, as two pieces.
fn splits(text: &str) -> Vec<[String; 2]> {
    let borders = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
    borders
        .map(|at| [text[..at].to_owned(), text[at..].to_owned()])
        .collect()
}

/// The bytes of the client's socket, from the first to the last.
async fn socket(url: &str, key: &str, body: &Value) -> anyhow::Result<String> {
    let mut raw = Raw::post(url, "/v1/chat/completions", key, &body.to_string()).await?;
    let (bytes, _) = raw.read_to_end().await;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn assert_absent(wire: &str, how: &str) {
    for part in [
        EMAIL,
        "lovelace@",
        "@example",
        CARD,
        "4111111111111111",
        "1111 1111",
    ] {
        assert!(
            !wire.contains(part),
            "{part} was on the wire ({how}): {wire}"
        );
    }
}

/// What a client puts together from the stream: text, and tool arguments.
fn released(wire: &str) -> (String, String) {
    let body = wire.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    // Chunk sizes of the transfer coding stand on lines of their own, between events.
    let lines = body
        .lines()
        .filter(|line| !line.bytes().all(|b| b.is_ascii_hexdigit()) || line.is_empty());
    let body = lines.collect::<Vec<_>>().join("\n");
    let (mut text, mut arguments) = (String::new(), String::new());
    for event in data_of(&events(body.as_bytes())) {
        let delta = &event["choices"][0]["delta"];
        text.push_str(delta["content"].as_str().unwrap_or_default());
        let call = &delta["tool_calls"][0]["function"]["arguments"];
        arguments.push_str(call.as_str().unwrap_or_default());
    }
    (text, arguments)
}

#[tokio::test]
async fn a_secret_split_at_every_byte_of_the_text_is_masked() -> anyhow::Result<()> {
    let (provider, gateway) = serving(&guarded()).await?;
    let text = format!("Write to {EMAIL} or pay with {CARD} today.");
    let splits = splits(&text);
    let answers: Vec<Value> = splits
        .iter()
        .map(|pieces| json!({"deltas": pieces}))
        .collect();
    provider.script(&json!({"answers": answers})).await?;
    for pieces in splits {
        let wire = socket(&gateway.data_url, gateway.key("demo")?, &streams("x")).await?;
        let how = format!("{pieces:?}");
        assert_absent(&wire, &how);
        assert_eq!(
            released(&wire).0,
            "Write to [EMAIL] or pay with [CARD] today.",
            "{how}"
        );
        assert!(wire.contains("data: [DONE]"), "{how}");
    }
    Ok(())
}

#[tokio::test]
async fn a_secret_a_byte_a_chunk_is_masked() -> anyhow::Result<()> {
    let (provider, gateway) = serving(&guarded()).await?;
    let text = format!("Write to {EMAIL} or pay with {CARD} today.");
    let bytes: Vec<String> = text.chars().map(String::from).collect();
    for split_bytes in [1, 3, 7, 64] {
        // The chunks' own bytes are cut too, wherever that is.
        provider
            .script(&json!({"default": {"deltas": bytes, "split-bytes": split_bytes}}))
            .await?;
        let wire = socket(&gateway.data_url, gateway.key("demo")?, &streams("x")).await?;
        assert_absent(&wire, "a byte a chunk");
        assert_eq!(
            released(&wire).0,
            "Write to [EMAIL] or pay with [CARD] today."
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_secret_split_at_every_byte_of_escaped_tool_arguments_is_masked() -> anyhow::Result<()> {
    let (provider, gateway) = serving(&guarded()).await?;
    // The address with an escaped @ and the card after an escaped quote and newline.
    let arguments = r#"{"to": "ada.lovelace\u0040example.org", "note": "\"pay\"\n4111 1111 1111 1111", "n": 4111111111111111}"#;
    let splits = splits(arguments);
    let answers: Vec<Value> = splits
        .iter()
        .map(|pieces| json!({"tools": [{"name": "send", "arguments": pieces}]}))
        .collect();
    provider.script(&json!({"answers": answers})).await?;
    for pieces in splits {
        let wire = socket(&gateway.data_url, gateway.key("demo")?, &streams("x")).await?;
        let how = format!("{pieces:?}");
        assert_absent(&wire, &how);
        assert!(!wire.contains(r"lovelace\\u0040"), "{how}: {wire}");
        let (_, arguments) = released(&wire);
        let told: Value = serde_json::from_str(&arguments)
            .unwrap_or_else(|error| panic!("arguments are no JSON ({error}, {how}): {arguments}"));
        assert_eq!(told["to"], "[EMAIL]", "{how}");
        assert_eq!(told["note"], "\"pay\"\n[CARD]", "{how}");
        assert_eq!(told["n"], "[CARD]", "{how}");
    }
    Ok(())
}

#[tokio::test]
async fn whole_answers_take_the_same_way() -> anyhow::Result<()> {
    let (provider, gateway) = serving(&guarded()).await?;
    let tools = json!([{"name": "send", "arguments": [format!("{{\"to\":\"{EMAIL}\"}}")]}]);
    let choices = json!([{"text": format!("to {EMAIL}")}, {"tools": tools}]);
    provider
        .script(&json!({"default": {"choices": choices}}))
        .await?;
    let mut body = says("x");
    body["n"] = json!(2);
    let reply = gateway.client("demo")?.chat(&body).await?;
    assert_absent(&reply.text(), "whole");
    let told = reply.json();
    assert_eq!(told["choices"][0]["message"]["content"], "to [EMAIL]");
    let arguments = &told["choices"][1]["message"]["tool_calls"][0]["function"]["arguments"];
    assert_eq!(arguments, "{\"to\":\"[EMAIL]\"}");
    Ok(())
}

#[tokio::test]
async fn a_denied_kind_ends_the_stream_in_dialect() -> anyhow::Result<()> {
    let config = "config = { card = \"deny\" }\nrequired = true";
    let steps = step("pii-out", "guard-response", "guard-pii@0.1", "deny", config);
    let (provider, gateway) = serving(&steps).await?;
    let script =
        json!({"default": {"deltas": ["The number is 4111 1111", " 1111 1111 and", " more."]}});
    provider.script(&script).await?;
    let reply = gateway.client("demo")?.chat(&streams("x")).await?;
    assert_absent(&reply.text(), "denied");
    assert!(!reply.text().contains("more."));
    let finish = data_of(&reply.events());
    let finish = finish
        .iter()
        .find_map(|event| event["choices"][0]["finish_reason"].as_str());
    assert_eq!(finish, Some("content_filter"), "{}", reply.text());
    assert!(reply.text().trim_end().ends_with("data: [DONE]"));
    let told = gateway
        .why(reply.header("x-pointsman-request-id").expect("an id"))
        .await?;
    assert_eq!(told["closed"]["outcome"], "cut");
    Ok(())
}

#[tokio::test]
async fn a_kind_that_a_required_guard_does_not_cover_is_not_passed() -> anyhow::Result<()> {
    let (provider, gateway) = serving(&guarded()).await?;
    let audio = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"audio":{"transcript":"ada.lovelace@example.org"}}}]}"#;
    let raw = json!([format!("data: {audio}\n\n"), "data: [DONE]\n\n"]);
    let script = json!({"default": {"raw": raw, "headers": {"content-type": "text/event-stream"}}});
    provider.script(&script).await?;
    let wire = socket(&gateway.data_url, gateway.key("demo")?, &streams("x")).await?;
    assert_absent(&wire, "audio transcript");
    Ok(())
}

#[tokio::test]
async fn requests_are_masked_before_they_leave() -> anyhow::Result<()> {
    let steps = step(
        "pii-in",
        "guard-request",
        "guard-pii@0.1",
        "deny",
        "config = { email = \"mask\", card = \"deny\" }\nrequired = true",
    );
    let (provider, gateway) = serving(&steps).await?;
    let client = gateway.client("demo")?;
    let reply = client.chat(&says(&format!("mail {EMAIL} please"))).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let arrived = sent(&provider, 0).await?;
    assert_eq!(arrived["messages"][0]["content"], "mail [EMAIL] please");
    let reply = client.chat(&says(&format!("pay with {CARD}"))).await?;
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert_eq!(reply.json()["error"]["code"], "policy_denied");
    assert_eq!(
        provider.total("requests").await?,
        1,
        "a denied request left"
    );
    Ok(())
}

#[tokio::test]
async fn a_clean_guarded_stream_is_what_the_provider_said() -> anyhow::Result<()> {
    let (provider, gateway) = serving(&guarded()).await?;
    let deltas = [
        "Nothing ",
        "to hide: ",
        "a@b, ",
        "12 of 34, ",
        "and ünïcödé ✓.",
    ];
    provider
        .script(&json!({"default": {"deltas": deltas}}))
        .await?;
    let reply = gateway.client("demo")?.chat(&streams("x")).await?;
    assert_eq!(reply.content(), deltas.concat());
    Ok(())
}
