//! The exact cache: equal requests are one call, nobody is told what was made for another, and nothing half is kept.

use std::collections::BTreeSet;

use pointsman_e2e::{policy, says, serving, step, streams};
use pointsman_harness::{Client, Gateway, GatewayOptions, Provider, Reply, eventually};
use serde_json::{Value, json};

const EXACT: &str = "[cache]\nmode = \"exact\"\n";

fn cache_use(reply: &Reply) -> &str {
    reply.header("x-pointsman-cache").unwrap_or("none")
}

fn id(reply: &Reply) -> &str {
    reply.header("x-pointsman-request-id").expect("an id")
}

/// The same request, so many times at once.
async fn at_once(client: &Client, body: &Value, times: usize) -> anyhow::Result<Vec<Reply>> {
    let ask = |_| {
        let (client, body) = (client.clone(), body.clone());
        tokio::spawn(async move { client.chat(&body).await })
    };
    let mut replies = Vec::new();
    for task in (0..times).map(ask).collect::<Vec<_>>() {
        replies.push(task.await??);
    }
    Ok(replies)
}

#[tokio::test]
async fn equal_requests_at_once_are_one_call() -> anyhow::Result<()> {
    let (provider, gateway) = serving(EXACT).await?;
    let slow = json!({"default": {"delays": {"headers-ms": 2000}}});
    for (nth, body) in [says("the same"), streams("the same")].iter().enumerate() {
        provider.script(&slow).await?;
        let replies = at_once(&gateway.client("demo")?, body, 50).await?;
        provider.reaches("requests", nth as u64 + 1).await?;
        let uses: Vec<_> = replies.iter().map(cache_use).collect();
        let count = |wanted| uses.iter().filter(|told| **told == wanted).count();
        assert_eq!(count("miss"), 1, "{uses:?}");
        assert!(count("coalesced") > 0, "{uses:?}");
        assert_eq!(count("coalesced") + count("hit"), 49, "{uses:?}");
        let ids: BTreeSet<_> = replies.iter().map(id).collect();
        assert_eq!(ids.len(), 50);
        for reply in &replies {
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!(reply.body, replies[0].body);
        }
        let coalesced = replies
            .iter()
            .find(|reply| cache_use(reply) == "coalesced")
            .expect("counted above");
        let told = gateway.why(id(coalesced)).await?;
        assert_eq!(told["closed"]["cache"], "coalesced", "{told}");
        assert_eq!(told["closed"]["attempts"], json!([]), "{told}");
        assert_eq!(told["closed"]["cost"], json!([]), "{told}");
        assert_eq!(told["closed"]["target"], "fake", "{told}");
        assert!(told["opened"]["plan"].is_null(), "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn a_kept_answer_is_told_byte_for_byte_and_costs_nothing() -> anyhow::Result<()> {
    let (provider, gateway) = serving(EXACT).await?;
    let client = gateway.client("demo")?;
    let mut with_usage = streams("hello");
    with_usage["stream_options"] = json!({"include_usage": true});
    let bodies = [says("hello"), streams("hello"), with_usage];
    for (nth, body) in bodies.iter().enumerate() {
        let first = client.chat(body).await?;
        assert_eq!(first.status, 200, "{}", first.text());
        let mut spaced = serde_json::to_string_pretty(body)?;
        spaced.push('\n');
        let path = "/v1/chat/completions";
        let second = client.send(http::Method::POST, path, spaced.into()).await?;
        assert_eq!((cache_use(&first), cache_use(&second)), ("miss", "hit"));
        assert_eq!(second.body, first.body);
        for name in ["content-type", "x-pointsman-target", "x-pointsman-policy"] {
            assert_eq!(second.header(name), first.header(name), "{name}");
        }
        assert_ne!(id(&second), id(&first));
        assert_eq!(provider.total("requests").await?, nth as u64 + 1);

        // Once, and at once: who has the last byte finds the record.
        let told = gateway.cli(&["why", id(&second), "--json"])?.json();
        let made = gateway.cli(&["why", id(&first), "--json"])?.json();
        assert_eq!(made["closed"]["cache"], "miss", "{made}");
        assert_eq!(told["closed"]["cache"], "hit", "{told}");
        assert_eq!(told["closed"]["outcome"], "ok", "{told}");
        assert_eq!(told["closed"]["attempts"], json!([]), "{told}");
        assert_eq!(told["closed"]["cost-pico-usd"], "0", "{told}");
        assert!(told["opened"]["reserved-pico-usd"].is_null(), "{told}");
        for same in ["response-digest", "response-bytes"] {
            assert_eq!(told["closed"][same], made["closed"][same], "{told}");
        }
        let story = gateway.cli(&["why", id(&second)])?.stdout;
        assert!(story.contains("hit: the kept answer"), "{story}");
        assert!(!story.contains("execute"), "{story}");
    }
    Ok(())
}

#[tokio::test]
async fn nobody_is_told_what_was_made_for_another() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], EXACT);
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options
        .tenants
        .push(("other".to_owned(), "test".to_owned()));
    let gateway = Gateway::start(options).await?;
    let demo = gateway.client("demo")?;
    let second_key = gateway.new_key("demo", &[]).await?;
    let second_key = Client::new(&gateway.data_url).with_key(&second_key);
    let callers = [
        demo.clone(),
        gateway.client("other")?,
        second_key,
        demo.clone().with_header("x-policy-team", "red"),
        demo.clone().with_header("accept-language", "de"),
        demo.clone().with_header("x-pointsman-conversation", "c"),
    ];
    for caller in &callers {
        for wanted in ["miss", "hit"] {
            let reply = caller.chat(&says("secret")).await?;
            assert_eq!(cache_use(&reply), wanted, "{caller:?}");
        }
    }
    let mut warmer = says("secret");
    warmer["temperature"] = json!(0.5);
    for body in [streams("secret"), says("secret "), warmer] {
        assert_eq!(cache_use(&demo.chat(&body).await?), "miss", "{body}");
    }
    assert_eq!(provider.total("requests").await?, callers.len() as u64 + 3);
    // What callers number their requests by makes no other request of it.
    let numbered = demo.with_header("x-request-id", "r-1");
    assert_eq!(cache_use(&numbered.chat(&says("secret")).await?), "hit");
    Ok(())
}

#[tokio::test]
async fn what_the_caller_does_not_want_kept_is_not() -> anyhow::Result<()> {
    let (provider, gateway) = serving(EXACT).await?;
    let client = gateway.client("demo")?;
    let answers: Vec<_> = (1..=5)
        .map(|nth| json!({"text": format!("answer {nth}")}))
        .collect();
    provider.script(&json!({"answers": answers})).await?;
    let wishes = [
        ("no-store", "bypass", "answer 1"),
        ("max-age=60", "miss", "answer 2"),
        ("", "hit", "answer 2"),
        ("no-store", "bypass", "answer 3"),
        ("", "hit", "answer 2"),
        ("no-cache", "bypass", "answer 4"),
        ("", "hit", "answer 4"),
    ];
    for (wish, wanted, text) in wishes {
        let caller = client.clone().with_header("cache-control", wish);
        let reply = caller.chat(&says("x")).await?;
        assert_eq!(
            (cache_use(&reply), reply.content().as_str()),
            (wanted, text),
            "{wish}"
        );
        let told = gateway.why(id(&reply)).await?;
        assert_eq!(told["closed"]["cache"], wanted, "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_cache_nothing_is_said_of_one() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let client = gateway.client("demo")?;
    for _ in 0..2 {
        let reply = client.chat(&says("x")).await?;
        assert_eq!(cache_use(&reply), "none");
        assert!(gateway.why(id(&reply)).await?["closed"]["cache"].is_null());
    }
    assert_eq!(provider.total("requests").await?, 2);
    Ok(())
}

#[tokio::test]
async fn what_a_guard_cuts_is_not_kept_and_what_it_masks_is_kept_masked() -> anyhow::Result<()> {
    let config = "config = { email = \"mask\", card = \"deny\" }\nrequired = true";
    let guard = step("pii-out", "guard-response", "guard-pii@0.1", "deny", config);
    let (provider, gateway) = serving(&format!("{guard}{EXACT}")).await?;
    let client = gateway.client("demo")?;
    for body in [says("x"), streams("x")] {
        provider.clear().await?;
        let card = json!({"default": {"text": "pay with 4111 1111 1111 1111 today"}});
        provider.script(&card).await?;
        for calls in 1..=2 {
            let reply = client.chat(&body).await?;
            assert_eq!(cache_use(&reply), "miss");
            assert_eq!(gateway.why(id(&reply)).await?["closed"]["outcome"], "cut");
            assert_eq!(provider.total("requests").await?, calls);
        }
        let email = json!({"default": {"text": "write to ada@example.org today"}});
        provider.script(&email).await?;
        let made = client.chat(&body).await?;
        let told = client.chat(&body).await?;
        assert_eq!((cache_use(&made), cache_use(&told)), ("miss", "hit"));
        assert_eq!(told.content(), "write to [EMAIL] today");
        assert_eq!(told.body, made.body);
        assert_eq!(gateway.why(id(&told)).await?["closed"]["steps"], json!([]));
    }
    Ok(())
}

#[tokio::test]
async fn when_the_first_fails_one_of_those_who_wait_takes_over() -> anyhow::Result<()> {
    let (provider, gateway) = serving(EXACT).await?;
    let slow = json!({"headers-ms": 1000});
    let script = json!({"answers": [{"status": 500, "delays": slow}], "default": {"delays": slow}});
    provider.script(&script).await?;
    let replies = at_once(&gateway.client("demo")?, &says("x"), 20).await?;
    let served: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert_eq!(served.len(), 19);
    assert!(served.iter().all(|reply| reply.body == served[0].body));
    assert_eq!(provider.total("requests").await?, 2);
    Ok(())
}

#[tokio::test]
async fn who_followed_four_failures_goes_on_alone() -> anyhow::Result<()> {
    let (provider, gateway) = serving(EXACT).await?;
    let slow = json!({"headers-ms": 800});
    let failures = json!({"status": 500, "times": 4, "delays": slow});
    let script = json!({"answers": [failures], "default": {"delays": slow}});
    provider.script(&script).await?;
    let replies = at_once(&gateway.client("demo")?, &says("x"), 12).await?;
    let count = |status| {
        replies
            .iter()
            .filter(|reply| reply.status == status)
            .count()
    };
    assert_eq!((count(502), count(200)), (4, 8));
    assert!(replies.iter().all(|reply| cache_use(reply) == "miss"));
    assert_eq!(provider.total("requests").await?, 12);
    Ok(())
}

#[tokio::test]
async fn who_follows_a_slow_one_for_half_of_its_deadline_goes_on_alone() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], EXACT).replace(
        "first-token-timeout-ms = 10000",
        "first-token-timeout-ms = 4000\ndeadline-ms = 4000",
    )?;
    let gateway = Gateway::start(GatewayOptions::serving(bundle, &[provider.authority()])).await?;
    let hangs = json!({"delays": {"headers-ms": 20_000}});
    provider.script(&json!({"answers": [hangs]})).await?;
    let client = gateway.client("demo")?;
    let leader = {
        let client = client.clone();
        tokio::spawn(async move { client.chat(&says("x")).await })
    };
    provider.reaches("requests", 1).await?;
    let began = std::time::Instant::now();
    let reply = client.chat(&says("x")).await?;
    let waited_ms = began.elapsed().as_millis();
    assert_eq!(
        (reply.status, cache_use(&reply)),
        (200, "miss"),
        "{}",
        reply.text()
    );
    assert!((1_900..3_900).contains(&waited_ms), "{waited_ms} ms");
    assert_eq!(leader.await??.status, 504);
    Ok(())
}

#[tokio::test]
async fn when_the_first_leaves_its_call_ends_and_who_waits_is_served() -> anyhow::Result<()> {
    let (provider, gateway) = serving(EXACT).await?;
    let hangs = json!({"fault": {"kind": "stall", "after-chunks": 2}, "text": "never told whole"});
    provider.script(&json!({"answers": [hangs]})).await?;
    let client = gateway.client("demo")?;
    let mut first = client.open_chat(&streams("x")).await?;
    assert!(first.event().await?.is_some());
    let follower = tokio::spawn(async move { client.chat(&streams("x")).await });
    // The follower is there before the leader leaves: both are under way, one call is.
    eventually("the follower waits", async || {
        let under_way = gateway.metric("pointsman_in_flight_requests").await;
        under_way.is_ok_and(|value| value.is_some_and(|value| value >= 2.0))
    })
    .await?;
    assert_eq!(provider.total("requests").await?, 1);
    drop(first);
    let reply = follower.await??;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.text().trim_end().ends_with("data: [DONE]"));
    provider.reaches("requests", 2).await?;
    provider.reaches("client_gone", 1).await?;
    Ok(())
}

#[tokio::test]
async fn answers_are_kept_within_size_and_time() -> anyhow::Result<()> {
    let bounds = format!("{EXACT}ttl-s = 1\nentry-bytes-max = 2048\n");
    let (provider, gateway) = serving(&bounds).await?;
    let client = gateway.client("demo")?;
    let long = json!({"default": {"deltas": ["word ".repeat(1000)]}});
    provider.script(&long).await?;
    for body in [says("x"), says("x"), streams("x"), streams("x")] {
        assert_eq!(cache_use(&client.chat(&body).await?), "miss");
    }
    // Followers of an answer that turns out too large are served all the same.
    let slow =
        json!({"default": {"deltas": ["word ".repeat(1000)], "delays": {"headers-ms": 500}}});
    provider.script(&slow).await?;
    for reply in at_once(&client, &says("x"), 8).await? {
        assert_eq!((reply.status, cache_use(&reply)), (200, "miss"));
    }
    provider.script(&json!({})).await?;
    assert_eq!(cache_use(&client.chat(&says("y")).await?), "miss");
    let before = provider.total("requests").await?;
    eventually("the answer is made anew", async || {
        let reply = client.chat(&says("y")).await;
        reply.is_ok_and(|reply| cache_use(&reply) == "miss")
    })
    .await?;
    assert_eq!(provider.total("requests").await?, before + 1);
    Ok(())
}

#[tokio::test]
async fn another_version_of_the_policy_makes_its_own_answers() -> anyhow::Result<()> {
    let (provider, gateway) = serving(EXACT).await?;
    let client = gateway.client("demo")?;
    let control = gateway.control_url.clone();
    let operate = |arguments: &[&str]| {
        let mut all = vec!["--control", control.as_str()];
        all.extend(arguments);
        let told = gateway.cli(&all)?;
        anyhow::ensure!(told.code == Some(0), "{arguments:?}: {}", told.stderr);
        anyhow::Ok(())
    };
    for wanted in ["miss", "hit"] {
        assert_eq!(cache_use(&client.chat(&says("x")).await?), wanted);
    }
    let file = gateway.policies().join("test/policy.toml");
    let policy = std::fs::read_to_string(&file)?;
    std::fs::write(
        &file,
        policy.replace(EXACT, &format!("{EXACT}ttl-s = 299\n")),
    )?;
    let folder = gateway.policies().join("test");
    operate(&["policy", "push", &folder.to_string_lossy()])?;
    operate(&["policy", "activate", "test"])?;
    for wanted in ["miss", "hit"] {
        let reply = client.chat(&says("x")).await?;
        assert_eq!(reply.header("x-pointsman-policy"), Some("test@2"));
        assert_eq!(cache_use(&reply), wanted);
    }
    operate(&["policy", "rollback", "test"])?;
    let reply = client.chat(&says("x")).await?;
    assert_eq!(reply.header("x-pointsman-policy"), Some("test@1"));
    assert_eq!(cache_use(&reply), "hit", "kept within its time");
    assert_eq!(provider.total("requests").await?, 2);
    Ok(())
}
