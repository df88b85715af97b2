//! The floor: the platform's own steps apply under every tenant's policy, whatever that says.

use pointsman_e2e::{policy, says, sent, step, streams};
use pointsman_harness::{Bundle, Gateway, GatewayOptions, Provider};
use serde_json::json;

fn floor(steps: &str) -> Bundle {
    let text = format!("format = 1\nname = \"platform\"\nkind = \"floor\"\n\n{steps}");
    Bundle::new("platform", &text)
}

#[tokio::test]
async fn a_tenant_that_guards_nothing_is_guarded_by_the_floor() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    provider
        .script(&json!({"default": {"deltas": ["mail ada@exam", "ple.org"]}}))
        .await?;
    let guards = [
        step(
            "pii",
            "guard-request",
            "guard-pii@0.1",
            "deny",
            "required = true",
        ),
        step(
            "pii-out",
            "guard-response",
            "guard-pii@0.1",
            "deny",
            "required = true",
        ),
    ];
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.bundles.push(floor(&guards.concat()));
    options.settings = json!({"floor": "platform"});
    let gateway = Gateway::start(options).await?;
    let client = gateway.client("demo")?;
    let reply = client.chat(&streams("from bob@example.org")).await?;
    assert_eq!(reply.content(), "mail [EMAIL]");
    assert_eq!(
        sent(&provider, 0).await?["messages"][0]["content"],
        "from [EMAIL]"
    );
    let id = reply.header("x-pointsman-request-id").expect("an id");
    let told = gateway.why(id).await?;
    assert_eq!(told["opened"]["steps"][0]["id"], "floor/pii");
    Ok(())
}

#[tokio::test]
async fn the_floors_guard_sees_what_the_tenants_made_of_the_request() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    // The tenant's own rule adds a system prompt with an address in it.
    let adds = "config = { rules = [{ when = \"true\", then = { set = { prepend-system = \"Write to ada@example.org.\" } } }] }";
    let steps = step("adds", "guard-request", "rules@0.1", "deny", adds);
    let bundle = policy("test", &[("fake", &provider.endpoint())], &steps);
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.bundles.push(floor(&step(
        "pii",
        "guard-request",
        "guard-pii@0.1",
        "deny",
        "required = true",
    )));
    options.settings = json!({"floor": "platform"});
    let gateway = Gateway::start(options).await?;
    let reply = gateway.client("demo")?.chat(&says("hello")).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let arrived = sent(&provider, 0).await?;
    assert_eq!(arrived["messages"][0]["role"], "system", "{arrived}");
    assert_eq!(arrived["messages"][0]["content"], "Write to [EMAIL].");
    Ok(())
}
