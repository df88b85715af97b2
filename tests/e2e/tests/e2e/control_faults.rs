//! Control state under bad input and faults: two operators at once, versions that no longer build, stores that were
//! damaged, keys that are revoked while their requests run.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use pointsman_e2e::{policy, says, serving, step, streams};
use pointsman_harness::{
    Bundle, Client, Gateway, GatewayOptions, Provider, Raw, Reply, eventually,
};
use serde_json::{Value, json};

async fn put(control: &Client, path: &str, body: &Value) -> anyhow::Result<Reply> {
    control
        .send(Method::PUT, path, Bytes::from(body.to_string()))
        .await
}

/// Pushes versions of `test` that differ in their deadline; the first is 2.
async fn push(control: &Client, endpoint: &str, steps: &str, number: u64) -> anyhow::Result<u64> {
    let deadline = format!("[execute]\ndeadline-ms = {}", 50_000 + number);
    let bundle = policy("test", &[("fake", endpoint)], steps).replace("[execute]", &deadline)?;
    let reply = control
        .post("/admin/v1/policies/test/versions", &bundle.pushable())
        .await?;
    anyhow::ensure!(reply.status == 201, "{}", reply.text());
    reply.json()["version"]
        .as_u64()
        .ok_or_else(|| anyhow::anyhow!("no version: {}", reply.text()))
}

async fn activate(control: &Client, version: u64) -> anyhow::Result<Reply> {
    control
        .post(
            "/admin/v1/policies/test/activate",
            &json!({ "version": version }),
        )
        .await
}

async fn served_by(gateway: &Gateway) -> anyhow::Result<String> {
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    anyhow::ensure!(reply.status == 200, "{}", reply.text());
    Ok(reply
        .header("x-pointsman-policy")
        .unwrap_or_default()
        .to_owned())
}

/// The newest segment of the control journal.
fn journal(gateway: &Gateway) -> anyhow::Result<PathBuf> {
    let folder = gateway.state().join("control");
    let mut segments: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    segments.sort();
    segments.pop().ok_or_else(|| anyhow::anyhow!("no journal"))
}

#[tokio::test]
async fn of_two_operators_with_the_same_picture_one_is_told_to_look_again() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let control = gateway.control()?;
    let mut versions = Vec::new();
    for number in 0..8 {
        versions.push(push(&control, &provider.endpoint(), "", number).await?);
    }
    // All saw version 1; each activates another one, at once.
    let careful = control.with_header("if-match", "\"1\"");
    let replies = join_all(versions.iter().map(|&version| activate(&careful, version))).await;
    let mut won = Vec::new();
    for (version, reply) in versions.iter().zip(replies) {
        let reply = reply?;
        match reply.status {
            200 => won.push(*version),
            412 => assert!(reply.text().contains("entity tag"), "{}", reply.text()),
            other => anyhow::bail!("{other}: {}", reply.text()),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(served_by(&gateway).await?, format!("test@{}", won[0]));
    // Without a condition the last one wins, and every change is in the audit.
    let control = gateway.control()?;
    for reply in join_all(versions.iter().map(|&version| activate(&control, version))).await {
        assert_eq!(reply?.status, 200);
    }
    let changes = control
        .get("/admin/v1/changes?after=0&limit=1000")
        .await?
        .json();
    let changes = changes["changes"].as_array().cloned().unwrap_or_default();
    let sequences: Vec<u64> = changes
        .iter()
        .filter_map(|change| change["sequence"].as_u64())
        .collect();
    let expected: Vec<u64> = (1..=sequences.len() as u64).collect();
    assert_eq!(sequences, expected, "gaps");
    Ok(())
}

#[tokio::test]
async fn a_push_that_is_refused_changes_nothing() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let control = gateway.control()?;
    let before = control.get("/admin/v1/policies/test").await?.json();
    let unknown = policy(
        "test",
        &[("fake", &provider.endpoint())],
        &step("s", "classify", "nobody-made-this@1", "skip", ""),
    );
    let escapes = json!({"files": {"../policy.toml": "", "policy.toml": ""}});
    let path = "/admin/v1/policies/test/versions";
    for (body, word) in [
        (unknown.pushable(), "nobody-made-this"),
        (escapes, "../policy.toml"),
        (json!({"files": {"policy.toml": "!!"}}), "base64"),
        (json!({"files": {}}), "policy.toml"),
    ] {
        let reply = control.post(path, &body).await?;
        assert_eq!(reply.status, 422, "{}", reply.text());
        assert!(reply.text().contains(word), "{word}: {}", reply.text());
    }
    // 200 MiB are refused by their declaration, before they are sent.
    let token = fs::read_to_string(gateway.state().join("admin-token"))?;
    let mut raw = Raw::connect(&gateway.control_url).await?;
    let head = format!(
        "POST /admin/v1/plugins HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/wasm\r\ncontent-length: {}\r\n\r\n",
        token.trim(),
        200 << 20
    );
    raw.write(head.as_bytes()).await?;
    let answer = String::from_utf8_lossy(&raw.read().await?).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let after = control.get("/admin/v1/policies/test").await?.json();
    assert_eq!(before, after);
    assert_eq!(served_by(&gateway).await?, "test@1");
    Ok(())
}

#[tokio::test]
async fn a_version_that_no_longer_builds_is_refused_and_the_active_one_goes_on()
-> anyhow::Result<()> {
    let (provider, mut gateway) = serving("").await?;
    let control = gateway.control()?;
    let labels = step(
        "l",
        "classify",
        "rules@0.1",
        "skip",
        "config = { rules = [{ name = \"a\", when = \"true\", then = { label = { a = \"b\" } } }] }",
    );
    let version = push(&control, &provider.endpoint(), &labels, 1).await?;
    let plugins = control.get("/admin/v1/plugins").await?.json();
    let plugins = plugins["plugins"].as_array().cloned().unwrap_or_default();
    let rules = plugins.iter().find(|plugin| plugin["name"] == "rules");
    let digest = rules
        .and_then(|plugin| plugin["digest"].as_str())
        .and_then(|digest| digest.strip_prefix("sha256:"))
        .ok_or_else(|| anyhow::anyhow!("no digest"))?;
    let blob = find(&gateway.state().join("control"), digest)?;
    let bytes = fs::read(&blob)?;
    fs::write(&blob, &bytes[..bytes.len() / 2])?;
    // What was pushed is still ready; a new process must build it from the damaged bytes.
    gateway.restart().await?;
    let control = gateway.control()?;
    let reply = activate(&control, version).await?;
    assert!((400..=503).contains(&reply.status), "{}", reply.status);
    assert_eq!(served_by(&gateway).await?, "test@1");
    // Mended, it serves; damaged while it is active, its tenants are told, and the gateway starts all the same.
    fs::write(&blob, &bytes)?;
    assert_eq!(activate(&control, version).await?.status, 200);
    assert_eq!(served_by(&gateway).await?, format!("test@{version}"));
    fs::write(&blob, &bytes[..bytes.len() / 2])?;
    gateway.restart().await?;
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(
        reply.text().contains("no_active_policy"),
        "{}",
        reply.text()
    );
    let control = gateway.control()?;
    let view = control.get("/admin/v1/policies/test").await?.json();
    assert!(view["broken"].is_string(), "{view}");
    assert_eq!(activate(&control, 1).await?.status, 200);
    assert_eq!(served_by(&gateway).await?, "test@1");
    Ok(())
}

/// The file whose name holds `digits`.
fn find(folder: &Path, digits: &str) -> anyhow::Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Ok(found) = find(&path, digits) {
                return Ok(found);
            }
        } else if path.to_string_lossy().contains(digits) {
            return Ok(path);
        }
    }
    anyhow::bail!("no blob {digits}")
}

#[tokio::test]
async fn a_torn_journal_and_a_ruined_state_are_mended_at_the_start() -> anyhow::Result<()> {
    let (provider, mut gateway) = serving("").await?;
    let control = gateway.control()?;
    let version = push(&control, &provider.endpoint(), "", 1).await?;
    assert_eq!(activate(&control, version).await?.status, 200);
    gateway.process.kill()?;
    // Half a line, as a kill in the middle of an append leaves it, before the reserved space.
    let path = journal(&gateway)?;
    let mut bytes = fs::read(&path)?;
    let end = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |at| at + 1);
    bytes.truncate(end);
    bytes.extend_from_slice(b"{\"record\":\"control\",\"sequence\":99");
    fs::write(&path, &bytes)?;
    for entry in fs::read_dir(gateway.state().join("control/state"))? {
        let path = entry?.path();
        if path.is_file() {
            fs::write(path, "not sled")?;
        }
    }
    gateway.restart().await?;
    assert_eq!(served_by(&gateway).await?, format!("test@{version}"));
    let control = gateway.control()?;
    let tenant = json!({"policy": "test"});
    let reply = put(&control, "/admin/v1/tenants/other", &tenant).await?;
    assert_eq!(reply.status, 201, "{}", reply.text());
    Ok(())
}

#[tokio::test]
async fn a_second_process_on_the_same_state_is_refused() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let told = gateway.cli(&["serve", "--ready-file", "second-ready"])?;
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    assert!(told.stderr.contains("control"), "{}", told.stderr);
    assert_eq!(served_by(&gateway).await?, "test@1");
    Ok(())
}

#[tokio::test]
async fn a_revoked_key_ends_with_its_requests_under_way_and_a_rotated_one_overlaps()
-> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    provider
        .script(&json!({"default": {"text": "one two three four five six seven eight", "delays": {"chunk-ms": 60}}}))
        .await?;
    let control = gateway.control()?;
    let keys = "/admin/v1/tenants/demo/keys";
    let made = control.post(keys, &json!({})).await?.json();
    let (id, secret) = (&made["key"]["id"], &made["secret"]);
    let (id, secret) = (
        id.as_str().unwrap_or_default(),
        secret.as_str().unwrap_or_default(),
    );
    let client = Client::new(&gateway.data_url).with_key(secret);
    let stream = client.open_chat(&streams("count")).await?;
    assert_eq!(stream.status, 200);

    let rotated = control
        .post(&format!("{keys}/{id}/rotate"), &json!({"overlap-s": 1}))
        .await?;
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    let successor = rotated.json()["secret"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let successor = Client::new(&gateway.data_url).with_key(&successor);
    assert_eq!(client.get("/v1/models").await?.status, 200, "overlap");
    assert_eq!(successor.get("/v1/models").await?.status, 200);
    eventually("the overlap ends", async || {
        client
            .get("/v1/models")
            .await
            .is_ok_and(|reply| reply.status == 401)
    })
    .await?;

    let id = rotated.json()["key"]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let path = format!("{keys}/{id}");
    let revoked = control.send(Method::DELETE, &path, Bytes::new()).await?;
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    let reply = successor.get("/v1/models").await?;
    assert_eq!(reply.status, 401);
    assert!(reply.text().contains("revoked"), "{}", reply.text());
    // What had begun ends whole.
    let whole = stream.whole().await?;
    assert!(whole.text().contains("data: [DONE]"), "{}", whole.text());
    Ok(())
}

#[tokio::test]
async fn a_repeated_call_is_told_the_same_and_makes_nothing_twice() -> anyhow::Result<()> {
    let (_provider, mut gateway) = serving("").await?;
    let keys = "/admin/v1/tenants/demo/keys";
    let control = gateway.control()?.with_header("idempotency-key", "once");
    let first = control.post(keys, &json!({})).await?;
    assert_eq!(first.status, 201, "{}", first.text());
    let again = control.post(keys, &json!({})).await?;
    assert_eq!(again.status, 201);
    assert_eq!(again.json()["key"]["id"], first.json()["key"]["id"]);
    assert!(again.json()["secret"].is_null(), "the secret was kept");
    let other = control.post(keys, &json!({"scopes": ["models"]})).await?;
    assert_eq!(other.status, 409, "{}", other.text());
    gateway.restart().await?;
    let control = gateway.control()?.with_header("idempotency-key", "once");
    let later = control.post(keys, &json!({})).await?;
    assert_eq!(later.json()["key"]["id"], first.json()["key"]["id"]);
    let listed = gateway.control()?.get(keys).await?.json();
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(2));
    Ok(())
}

#[tokio::test]
async fn a_floor_that_a_policy_cannot_stand_on_is_refused_and_another_holds_at_once()
-> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let control = gateway.control()?;
    let floor = |deny: bool| {
        let then = if deny {
            "deny = { code = \"floor.closed\", message = \"closed\", status = 403 }"
        } else {
            "label = { floor = \"open\" }"
        };
        Bundle::new(
            "platform",
            &format!(
                "format = 1\nname = \"platform\"\nkind = \"floor\"\n\n[[step]]\nid = \"gate\"\nphase = \"guard-request\"\nplugin = \"rules@0.1\"\non-fault = \"deny\"\nconfig = {{ rules = [{{ name = \"g\", when = \"true\", then = {{ {then} }} }}] }}\n"
            ),
        )
    };
    for (number, deny, status) in [(1, true, 403), (2, false, 200)] {
        let reply = control
            .post(
                "/admin/v1/policies/platform/versions",
                &floor(deny).pushable(),
            )
            .await?;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let body = json!({ "version": number });
        let reply = control
            .post("/admin/v1/policies/platform/activate", &body)
            .await?;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let reply = gateway.client("demo")?.chat(&says("x")).await?;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    Ok(())
}

#[tokio::test]
async fn prices_change_for_the_next_request_and_are_named_by_it() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let account = step(
        "cost",
        "account",
        "account-tokens@0.1",
        "fallback",
        "grants = [\"prices\"]",
    );
    let bundle = policy("test", &[("fake", &provider.endpoint())], &account).replace(
        "model = \"fake\"",
        "model = \"fake\"\nprice = \"house/fake\"",
    )?;
    let row = |usd: f64| {
        json!({"provider": "house", "model": "fake", "mode": "chat", "usd_per_mtok": {"in": usd, "out": usd}, "source": "a test", "date": "2026-11-24"})
            .to_string()
    };
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("prices.jsonl");
    fs::write(&file, row(1.0))?;
    options.settings = json!({ "prices": file });
    let gateway = Gateway::start(options).await?;
    let mut costs = Vec::new();
    for usd in [None, Some(10.0)] {
        if let Some(usd) = usd {
            fs::write(&file, row(usd))?;
            let told = gateway.cli(&["prices", "put", &file.to_string_lossy()])?;
            assert_eq!(told.code, Some(0), "{}", told.stderr);
        }
        let reply = gateway.client("demo")?.chat(&says("x")).await?;
        let id = reply.header("x-pointsman-request-id").unwrap_or_default();
        let why = gateway.why(id).await?;
        let cost = why["closed"]["cost-pico-usd"].as_str().unwrap_or_default();
        costs.push((
            cost.parse::<i128>()?,
            why["opened"]["prices-digest"].to_string(),
        ));
    }
    assert_eq!(costs[0].0 * 10, costs[1].0, "{costs:?}");
    assert_ne!(costs[0].1, costs[1].1);
    fs::write(&file, "{\"provider\": 7}")?;
    let told = gateway.cli(&["prices", "put", &file.to_string_lossy()])?;
    assert_ne!(told.code, Some(0), "{}", told.stdout);
    assert!(told.stderr.contains("prices.jsonl"), "{}", told.stderr);
    assert!(served_by(&gateway).await?.starts_with("test@"));
    Ok(())
}
