//! Decisions: every request leaves two records that tell it whole, survive a kill, and cannot be changed unseen.

use pointsman_e2e::{says, serving, step, streams};
use serde_json::json;

#[tokio::test]
async fn why_tells_every_phase() -> anyhow::Result<()> {
    let steps = [
        step("task", "classify", "classify-task@0.1", "skip", ""),
        step("pii-in", "guard-request", "guard-pii@0.1", "deny", ""),
        step("cheapest", "route", "route-cheapest@0.1", "fallback", ""),
        step("pii-out", "guard-response", "guard-pii@0.1", "deny", ""),
        step(
            "cost",
            "account",
            "account-tokens@0.1",
            "fallback",
            "grants = [\"prices\"]",
        ),
    ];
    let (_provider, gateway) = serving(&steps.concat()).await?;
    let reply = gateway
        .client("demo")?
        .chat(&streams("Write a haiku about rails."))
        .await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let id = reply.header("x-pointsman-request-id").expect("an id");
    gateway.why(id).await?;
    let told = gateway.cli(&["why", &id[..13]])?;
    for word in [
        "key-",
        "gate",
        "parse",
        "select",
        "cache",
        "tenant demo",
        "test@1",
        "classify-task@0.1",
        "guard-pii@0.1",
        "route-cheapest@0.1",
        "account-tokens@0.1",
        "fuel",
        "fresh",
        "execute",
        "1 -> fake",
        "first content after",
        "input-tokens",
        "cost",
        "unpriced",
    ] {
        assert!(
            told.stdout.contains(word),
            "`{word}` is missing:\n{}",
            told.stdout
        );
    }
    let listed = gateway.cli(&["decisions", "list", "--json"])?;
    assert!(listed.stdout.contains(id), "{}", listed.stdout);
    let control = gateway
        .control()?
        .get(&format!("/admin/v1/decisions/{id}"))
        .await?;
    assert_eq!(control.json()["opened"]["id"], id, "{}", control.text());
    Ok(())
}

#[tokio::test]
async fn refusals_are_decisions_too() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let reply = gateway
        .client("demo")?
        .chat(&json!({"model": "none", "messages": [{"role": "user", "content": "x"}]}))
        .await?;
    let id = reply.header("x-pointsman-request-id").expect("an id");
    let told = gateway.why(id).await?;
    assert_eq!(told["closed"]["outcome"], "error");
    assert_eq!(told["closed"]["error"], "model_not_found");
    let story = gateway.cli(&["why", id])?.stdout;
    assert!(story.contains("model `none` is not offered"), "{story}");
    assert!(!story.contains("classify"), "it never came so far: {story}");
    Ok(())
}

#[tokio::test]
async fn a_kill_loses_no_record_and_a_flipped_byte_is_found() -> anyhow::Result<()> {
    let (_provider, mut gateway) = serving("").await?;
    let client = gateway.client("demo")?;
    let mut ids = Vec::new();
    for _ in 0..20 {
        let reply = client.chat(&says("x")).await?;
        ids.push(
            reply
                .header("x-pointsman-request-id")
                .expect("an id")
                .to_owned(),
        );
    }
    gateway.process.kill()?;
    gateway.restart().await?;
    for id in &ids {
        let told = gateway.cli(&["why", id, "--json"])?.json();
        assert_eq!(told["closed"]["outcome"], "ok", "{id} is gone");
    }
    let sound = gateway.cli(&["audit", "verify", "--json"])?;
    assert_eq!(
        (sound.code, sound.json()["ok"].as_bool()),
        (Some(0), Some(true)),
        "{}",
        sound.stdout
    );

    gateway.drain().await?;
    let folder = gateway.state().join("decisions");
    let holding = |path: &std::path::PathBuf| {
        std::fs::read(path).is_ok_and(|bytes| {
            bytes
                .windows(ids[0].len())
                .any(|window| window == ids[0].as_bytes())
        })
    };
    let files = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let file = files
        .filter(|path| path.is_file())
        .find(holding)
        .expect("a segment with the first decision");
    let mut bytes = std::fs::read(&file)?;
    let place = bytes
        .windows(ids[0].len())
        .position(|window| window == ids[0].as_bytes())
        .expect("there");
    bytes[place] ^= 1;
    std::fs::write(&file, bytes)?;
    let told = gateway.cli(&["audit", "verify"])?;
    assert_eq!(told.code, Some(3), "{}", told.stdout);
    assert!(told.stdout.contains("NOT SOUND"), "{}", told.stdout);
    Ok(())
}
