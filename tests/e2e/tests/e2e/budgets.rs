//! Budgets: money is set aside before and settled after, refusals say which budget, and no balance is forgotten.

use pointsman_domain::Picos;
use pointsman_e2e::budgets::{
    OUT_PICOS, Priced, a_day, balances, closed, differences, put, settled, sums,
};
use pointsman_e2e::{policy, says, serving, streams};
use pointsman_harness::{Client, Gateway, GatewayOptions, Provider, Raw, Reply, eventually};
use serde_json::{Value, json};

fn refused(reply: &Reply, code: &str) -> Value {
    let body = reply.json();
    assert_eq!(
        (reply.status, &body["error"]["code"]),
        (429, &json!(code)),
        "{body}"
    );
    body["error"].clone()
}

fn window<'a>(named: &'a Value, about: &str) -> Vec<&'a str> {
    let all = named.as_array().into_iter().flatten();
    all.filter_map(Value::as_str)
        .filter(|name| name.contains(about))
        .collect()
}

#[tokio::test]
async fn a_budget_that_is_spent_refuses_says_which_and_takes_another_at_once() -> anyhow::Result<()>
{
    let Priced {
        provider, gateway, ..
    } = &Priced::start("").await?;
    let client = gateway.client("demo")?;
    // Room for one request's worst case, 64 tokens at $200 a million and its prompt, and not for a second.
    put(gateway, a_day("0.014")).await?;
    let script = json!({"default": {"text": "word ".repeat(60)}});
    provider.script(&script).await?;
    let first = client.chat(&says("hello")).await?;
    assert_eq!(first.status, 200, "{}", first.text());
    let told = gateway
        .why(first.header("x-pointsman-request-id").expect("an id"))
        .await?;
    let (opened, end) = (&told["opened"], &told["closed"]);
    assert_eq!(opened["budgets"], end["budgets"]);
    assert_eq!(
        window(&opened["budgets"], "tenant/demo/").len(),
        2,
        "{opened}"
    );
    assert_eq!(window(&opened["budgets"], "key/").len(), 2, "{opened}");
    assert_eq!(end["charged-pico-usd"], end["cost-pico-usd"]);
    assert_eq!(end["key"], opened["key"]);

    let second = client.chat(&says("hello")).await?;
    let error = refused(&second, "budget_exceeded");
    let message = error["message"].as_str().unwrap_or_default();
    for piece in ["day", "tenant `demo`", "$0.014", "/admin/v1/tenants/demo"] {
        assert!(message.contains(piece), "{piece}: {message}");
    }
    let wait: u64 = second.header("retry-after").unwrap_or_default().parse()?;
    assert!((1..=86_400).contains(&wait));
    provider.reaches("requests", 1).await?;
    let told = gateway
        .why(second.header("x-pointsman-request-id").expect("an id"))
        .await?;
    assert_eq!(told["closed"]["outcome"], "denied", "{told}");
    assert_eq!(told["closed"]["charged-pico-usd"], "0");
    let sample =
        "pointsman_limit_hits_total{tenant=\"demo\",scope=\"tenant\",limit=\"budget-day\"}";
    assert_eq!(gateway.metric(sample).await?, Some(1.0));

    put(gateway, a_day("1")).await?;
    assert_eq!(client.chat(&says("hello")).await?.status, 200);
    put(gateway, a_day("0.002")).await?;
    refused(&client.chat(&says("hello")).await?, "budget_exceeded");
    assert_eq!(
        differences(&settled(gateway).await?, &sums(&closed(gateway)?)),
        [""; 0]
    );
    Ok(())
}

#[tokio::test]
async fn a_budget_of_zero_lets_only_what_is_free_through() -> anyhow::Result<()> {
    let priced = Priced::start("").await?;
    put(&priced.gateway, a_day("0")).await?;
    let client = priced.gateway.client("demo")?;
    refused(&client.chat(&says("x")).await?, "budget_exceeded");
    refused(&client.chat(&streams("x")).await?, "budget_exceeded");
    assert_eq!(priced.provider.total("requests").await?, 0);
    // Nothing prices it: it is served, and said to be unpriced.
    let (_provider, gateway) = serving("").await?;
    put(&gateway, a_day("0")).await?;
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    assert_eq!(reply.status, 200);
    let told = gateway
        .why(reply.header("x-pointsman-request-id").expect("an id"))
        .await?;
    assert_eq!(told["closed"]["unpriced"], true);
    assert_eq!(told["opened"].get("budgets"), None, "{told}");
    Ok(())
}

#[tokio::test]
async fn what_has_no_price_is_refused_where_the_policy_says_so_and_a_budget_would_pay()
-> anyhow::Result<()> {
    let (_provider, gateway) = serving("[budget]\non-unpriced = \"deny\"\n").await?;
    let client = gateway.client("demo")?;
    assert_eq!(client.chat(&says("x")).await?.status, 200, "no budget");
    put(&gateway, a_day("5")).await?;
    let error = refused(&client.chat(&says("x")).await?, "budget_exceeded");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("budget.on-unpriced"), "{message}");
    Ok(())
}

/// A key of `demo` with what it may do.
async fn key(gateway: &Gateway, wanted: Value) -> anyhow::Result<Client> {
    let path = "/admin/v1/tenants/demo/keys";
    let made = gateway.control()?.post(path, &wanted).await?;
    assert_eq!(made.status, 201, "{}", made.text());
    let secret = made.json()["secret"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    Ok(Client::new(&gateway.data_url).with_key(&secret))
}

#[tokio::test]
async fn a_keys_budget_lies_beneath_its_tenants_and_costs_no_other_key() -> anyhow::Result<()> {
    let priced = Priced::start("").await?;
    let gateway = &priced.gateway;
    put(gateway, a_day("1")).await?;
    let poor = key(gateway, a_day("0.001")).await?;
    let error = refused(&poor.chat(&says("x")).await?, "budget_exceeded");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("of key `key-"), "{message}");
    let small = json!({"model": "auto", "messages": [], "max_tokens": 2});
    let mut small = small;
    small["messages"] = says("x")["messages"].clone();
    assert_eq!(poor.chat(&small).await?.status, 200);
    assert_eq!(gateway.client("demo")?.chat(&says("x")).await?.status, 200);
    let told = settled(gateway).await?;
    let spent = |about: &str| -> Vec<Picos> {
        let of = told
            .iter()
            .filter(|(name, _)| name.starts_with(about) && name.contains("/day/"));
        of.map(|(_, told)| told.spent).collect()
    };
    assert_eq!(spent("key/").len(), 2);
    assert_eq!(
        spent("tenant/demo"),
        [spent("key/").into_iter().sum::<Picos>()]
    );
    Ok(())
}

#[tokio::test]
async fn a_policy_draws_on_the_scopes_that_it_names() -> anyhow::Result<()> {
    let priced =
        Priced::start("[limits]\nscopes = [\"key\"]\n\n[budget]\nscope = \"key\"\n").await?;
    let gateway = &priced.gateway;
    put(
        gateway,
        json!({
            "limits": {"requests-per-minute": 1},
            "budget": [{"period": "month", "usd": "0"}],
        }),
    )
    .await?;
    let client = gateway.client("demo")?;
    for _ in 0..3 {
        assert_eq!(client.chat(&says("x")).await?.status, 200);
    }
    let told = settled(gateway).await?;
    let tenants = told
        .iter()
        .find(|(name, _)| name.starts_with("tenant/"))
        .expect("limited");
    assert_eq!(tenants.1.spent, Picos(0));
    assert!(
        told.iter()
            .any(|(name, told)| name.starts_with("key/") && told.spent > Picos(0))
    );
    Ok(())
}

#[tokio::test]
async fn balances_outlive_restarts_and_kills_and_open_requests_are_charged_whole()
-> anyhow::Result<()> {
    let mut priced = Priced::start("").await?;
    put(&priced.gateway, a_day("1")).await?;
    let client = priced.gateway.client("demo")?;
    assert_eq!(client.chat(&says("x")).await?.status, 200);
    let before = settled(&priced.gateway).await?;
    priced.gateway.drain().await?;
    priced.gateway.restart().await?;
    assert_eq!(settled(&priced.gateway).await?, before);

    let stall = json!({"default": {"fault": {"kind": "stall"}}});
    priced.provider.script(&stall).await?;
    let key = priced.gateway.key("demo")?;
    let body = says("x").to_string();
    let _waiting = Raw::post(&priced.gateway.data_url, "/v1/chat/completions", key, &body).await?;
    priced.provider.reaches("requests", 2).await?;
    let under_way = balances(&priced.gateway).await?;
    let reserved = under_way.values().map(|told| told.reserved).max();
    assert!(reserved >= Some(Picos(64 * OUT_PICOS)), "{under_way:?}");
    priced.gateway.process.kill()?;
    priced.gateway.restart().await?;
    let after = settled(&priced.gateway).await?;
    for (name, told) in &after {
        let was = before[name].spent;
        assert_eq!(told.spent - was, reserved.expect("set aside"), "{name}");
    }
    let records = closed(&priced.gateway)?;
    assert_eq!(differences(&after, &sums(&records)), [""; 0]);
    let last = records
        .iter()
        .find(|closed| closed.status == 0)
        .expect("abandoned");
    assert!(last.estimated && last.key.starts_with("key-"), "{last:?}");
    Ok(())
}

#[tokio::test]
async fn plans_see_what_is_left() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let config = "config = { rules = [{ name = \"poor\", when = \"request.budget_left_pico_usd < 1000\", then = { deny = { code = \"poor\", message = \"too poor\", status = 402 } } }] }";
    let rule = pointsman_e2e::step("left", "guard-request", "rules@0.1", "deny", config);
    let bundle = policy("test", &[("fake", &provider.endpoint())], &rule);
    let gateway = Gateway::start(GatewayOptions::serving(bundle, &[provider.authority()])).await?;
    put(&gateway, a_day("1")).await?;
    let client = gateway.client("demo")?;
    assert_eq!(client.chat(&says("x")).await?.status, 200);
    put(&gateway, a_day("0.0000000009")).await?;
    let reply = client.chat(&says("x")).await?;
    assert_eq!(reply.status, 402, "{}", reply.text());
    Ok(())
}

#[tokio::test]
async fn who_takes_over_counts_what_the_old_process_still_charges() -> anyhow::Result<()> {
    let mut priced = Priced::start("").await?;
    put(&priced.gateway, a_day("1")).await?;
    let client = priced.gateway.client("demo")?;
    let stall = json!({"match": {"contains": "wait"}, "always": true, "fault": {"kind": "stall"}});
    let script = json!({"answers": [stall]});
    priced.provider.script(&script).await?;
    assert_eq!(client.chat(&says("x")).await?.status, 200);
    let key = priced.gateway.key("demo")?;
    let body = says("wait").to_string();
    let url = priced.gateway.data_url.clone();
    let waiting = Raw::post(&url, "/v1/chat/completions", key, &body).await?;
    priced.provider.reaches("requests", 2).await?;
    let second = priced.gateway.upgrade().await?;
    let whole = Picos(64 * OUT_PICOS);
    for (name, told) in settled(&priced.gateway).await? {
        assert!(told.spent >= whole, "{name}: {told:?}");
    }
    assert_eq!(client.chat(&says("x")).await?.status, 200);
    drop(waiting);
    priced.gateway.process.ended().await?;
    let mut apart = Vec::new();
    eventually("balances are what the records of both say", async || {
        let (Ok(told), Ok(records)) = (balances(&priced.gateway).await, closed(&priced.gateway))
        else {
            return false;
        };
        apart = differences(&told, &sums(&records));
        records.len() == 3 && apart.is_empty()
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {apart:?}"));
    let left = closed(&priced.gateway)?;
    let left = left.iter().find(|closed| closed.status == 499);
    assert!(left.expect("it left").charged_pico_usd < whole);
    second.terminate()?;
    second.ended().await
}
