//! Neither secrets nor content anywhere in state, logs or metrics (capture `hash`).

use std::path::Path;
use std::time::SystemTime;

use http::Method;
use pointsman_e2e::{policy, says, step, streams};
use pointsman_harness::{Credential, Gateway, GatewayOptions, Provider};
use serde_json::json;

const CONTENT: &str = "CANARYcontent7f3a";
const CREDENTIAL: &str = "CANARYcredential91bc";

/// Which of `needles` stand in files that were written since then.
pub(crate) fn search(folder: &Path, since: SystemTime, needles: &[&str], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            search(&path, since, needles, found);
            continue;
        }
        // A file of the shared cache may be gone by now.
        let written = path.metadata().and_then(|about| about.modified());
        if written.is_ok_and(|written| written < since) {
            continue;
        }
        let bytes = std::fs::read(&path).expect("a file");
        for needle in needles {
            if bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
            {
                found.push(format!("{needle} in {}", path.display()));
            }
        }
    }
}

#[tokio::test]
async fn nothing_secret_is_kept() -> anyhow::Result<()> {
    let began = SystemTime::now();
    let provider = Provider::start().await?;
    let steps = [
        step("task", "classify", "classify-task@0.1", "skip", ""),
        step("pii-in", "guard-request", "guard-pii@0.1", "deny", ""),
        step("pii-out", "guard-response", "guard-pii@0.1", "deny", ""),
    ];
    let bundle = policy("test", &[("fake", &provider.endpoint())], &steps.concat()).replace(
        "model = \"fake\"",
        "model = \"fake\"\ncredential = \"provider\"",
    )?;
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.credentials.push(Credential {
        name: "provider".to_owned(),
        value: CREDENTIAL.to_owned(),
        origins: vec![provider.url.clone()],
        tenants: vec!["demo".to_owned()],
    });
    options
        .environment
        .push(("POINTSMAN_LOG".to_owned(), "trace".to_owned()));
    let mut gateway = Gateway::start(options).await?;
    let client = gateway.client("demo")?;
    let error = json!({"error": {"message": format!("cannot say {CONTENT}"), "code": null}});
    let script = json!({"answers": [
        {"echo": true}, {"echo": true},
        {"status": 400, "body": error}, {"status": 500, "body": error},
        {"deltas": ["x"], "fault": {"kind": "error-event", "error": error}},
        {"deltas": ["x"], "fault": {"kind": "error-event", "after-chunks": 0, "error": error}},
        {"raw": [format!("data: {{\"{CONTENT}\n\n")], "headers": {"content-type": "text/event-stream"}},
    ]});
    provider.script(&script).await?;
    let said = format!("say {CONTENT} to {CONTENT}@example.org");
    assert_eq!(client.chat(&says(&said)).await?.status, 200);
    assert!(
        client.chat(&streams(&said)).await?.text().contains(CONTENT),
        "the test's own premise"
    );
    assert_eq!(client.chat(&says(&said)).await?.status, 400);
    client.chat(&says(&said)).await?;
    for _ in 0..3 {
        client.chat(&streams(&said)).await?;
    }
    let odd = [
        format!("{{\"model\": \"auto\", \"messages\": \"{CONTENT}\"}}"),
        format!(
            "{{\"model\": \"auto\", \"messages\": [{{\"role\": \"{CONTENT}\", \"content\": 1}}]}}"
        ),
        format!("{{\"model\": \"auto\", \"{CONTENT}"),
        format!(
            "{{\"model\": \"auto\", \"messages\": [{{\"role\": \"user\", \"content\": \"x\"}}], \"stream\": \"{CONTENT}\"}}"
        ),
    ];
    for body in odd {
        client
            .send(Method::POST, "/v1/chat/completions", body.into())
            .await?;
    }
    let sent = provider.ledger().await?;
    assert!(
        sent.to_string().contains(CREDENTIAL),
        "the test's own premise: {sent}"
    );
    let metrics = gateway.control()?.get("/metrics").await?.text();
    gateway.drain().await?;

    let key = gateway.key("demo")?.to_owned();
    let needles = [CONTENT, CREDENTIAL, key.as_str()];
    let mut found = Vec::new();
    search(&gateway.state(), began, &needles, &mut found);
    for (place, text) in [("log", gateway.process.log()), ("metrics", metrics)] {
        found.extend(
            needles
                .iter()
                .filter(|needle| text.contains(**needle))
                .map(|needle| format!("{needle} in {place}")),
        );
    }
    assert!(found.is_empty(), "{found:#?}");
    Ok(())
}
