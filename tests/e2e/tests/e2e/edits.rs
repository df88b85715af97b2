//! What a policy edits is what the provider gets, and later steps see it edited.

use pointsman_e2e::{says, sent, serving, step};
use serde_json::json;

#[tokio::test]
async fn every_setting_reaches_the_provider() -> anyhow::Result<()> {
    let set = r#"config = { rules = [
        { when = "true", then = { set = { max-output-tokens = 7, temperature = 0.25, prepend-system = "Be brief.", remove-tool = "drop" }, label = { first = "seen" } } },
    ] }"#
    .replace('\n', " ");
    let after = r#"config = { rules = [
        { when = "request.max_output_tokens != 7 || request.temperature != 0.25 || tools.exists(t, t == 'drop') || !has(labels.first)", then = { deny = { code = "stale", message = "The view is stale." } } },
    ] }"#
    .replace('\n', " ");
    let steps = [
        step("task", "classify", "classify-task@0.1", "deny", ""),
        step(
            "set",
            "guard-request",
            "rules@0.1",
            "deny",
            &set.replace(",  ] }", " ] }"),
        ),
        step(
            "after",
            "guard-request",
            "rules@0.1",
            "deny",
            &after.replace(",  ] }", " ] }"),
        ),
        step(
            "task-kept",
            "guard-request",
            "rules@0.1",
            "deny",
            "config = { rules = [ { when = \"!has(labels.task)\", then = { deny = { code = \"lost\", message = \"A label is lost.\" } } } ] }",
        ),
    ];
    let (provider, gateway) = serving(&steps.concat()).await?;
    let mut body = says("hello");
    let tool =
        |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {}}});
    body["tools"] = json!([tool("keep"), tool("drop")]);
    body["x_unknown"] = json!([1.50]);
    let reply = gateway.client("demo")?.chat(&body).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let arrived = sent(&provider, 0).await?;
    assert_eq!(arrived["max_tokens"], 7, "{arrived}");
    assert_eq!(arrived["temperature"], 0.25);
    assert_eq!(
        arrived["messages"][0],
        json!({"role": "system", "content": "Be brief."})
    );
    assert_eq!(arrived["messages"][1]["content"], "hello");
    assert_eq!(arrived["tools"], json!([tool("keep")]));
    assert_eq!(arrived["x_unknown"], json!([1.50]));
    Ok(())
}

#[tokio::test]
async fn a_guards_words_go_to_the_caller_and_stay_out_of_the_record() -> anyhow::Result<()> {
    let deny = "config = { rules = [ { when = \"true\", then = { deny = { code = \"house.no\", message = \"CANARYwords\", status = 451 } } } ] }";
    let (provider, gateway) =
        serving(&step("no", "guard-request", "rules@0.1", "deny", deny)).await?;
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    assert_eq!(reply.status, 451, "{}", reply.text());
    assert!(reply.text().contains("CANARYwords"));
    let told = gateway
        .why(reply.header("x-pointsman-request-id").expect("an id"))
        .await?;
    assert_eq!(
        (
            told["closed"]["status"].as_u64(),
            told["closed"]["outcome"].as_str()
        ),
        (Some(451), Some("denied"))
    );
    assert!(!told.to_string().contains("CANARY"), "{told}");
    assert!(told["opened"].to_string().contains("house.no"), "{told}");
    assert_eq!(provider.total("requests").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_response_guards_when_sees_the_attempt() -> anyhow::Result<()> {
    let config = |when: &str| format!("config = {{ email = \"mask\" }}\nwhen = \"{when}\"");
    let steps = [
        step(
            "elsewhere",
            "guard-response",
            "guard-pii@0.1",
            "deny",
            &config("request.target == 'other'"),
        ),
        step(
            "here",
            "guard-response",
            "guard-pii@0.1",
            "deny",
            &config("request.target == 'fake' && request.status == 200"),
        ),
    ];
    let (provider, gateway) = serving(&steps.concat()).await?;
    provider
        .script(&json!({"default": {"text": "to ada@example.org"}}))
        .await?;
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    assert_eq!(reply.content(), "to [EMAIL]", "{}", reply.text());
    let told = gateway
        .why(reply.header("x-pointsman-request-id").expect("an id"))
        .await?;
    let steps = &told["closed"]["steps"];
    assert_eq!(steps[0]["verdict"], "skipped", "{steps}");
    assert_eq!(steps[1]["verdict"], "edit", "{steps}");
    Ok(())
}

#[tokio::test]
async fn a_variant_sticks_to_its_conversation() -> anyhow::Result<()> {
    let steps = format!(
        "[[variant]]\nname = \"control\"\n\n[[variant]]\nname = \"new\"\n\n{}",
        step(
            "ab",
            "split",
            "split-ab@0.1",
            "fallback",
            "config = { weights = { control = 50, new = 50 } }"
        )
    );
    let (_provider, gateway) = serving(&steps).await?;
    let client = gateway.client("demo")?;
    let mut seen = std::collections::BTreeSet::new();
    for conversation in 0..8 {
        let client = client
            .clone()
            .with_header("x-pointsman-conversation", &format!("CANARY{conversation}"));
        let mut of_one = std::collections::BTreeSet::new();
        for text in ["one", "two"] {
            let reply = client.chat(&says(text)).await?;
            let told = gateway
                .why(reply.header("x-pointsman-request-id").expect("an id"))
                .await?;
            assert!(!told.to_string().contains("CANARY"), "{told}");
            let variant = told["opened"]["variant"]
                .as_str()
                .expect("a variant")
                .to_owned();
            of_one.insert((variant.clone(), told["opened"]["conversation"].to_string()));
            seen.insert(variant);
        }
        assert_eq!(of_one.len(), 1, "{of_one:?}");
    }
    assert_eq!(seen.len(), 2, "eight conversations, one variant");
    Ok(())
}
