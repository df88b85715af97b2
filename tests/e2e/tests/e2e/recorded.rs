//! Captured requests: a plugin is tried on them, they are told and erased; and what is never among them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pointsman_e2e::{policy, says, step, streams};
use pointsman_harness::{Bundle, Gateway, GatewayOptions, Provider, Told, plugins};
use serde_json::Value;

const CONTENT: &str = "CANARYcontent51d0";
const SECRET_HEADER: &str = "CANARYheader77aa";

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            // Compiled code is most of it, and there before any request.
            if !path.ends_with("compiled") {
                files.extend(self::files(&path));
            }
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            files.push((path, bytes));
        }
    }
    files
}

/// The files below a folder that hold any of these.
fn holders(folder: &Path, needles: &[&[u8]]) -> Vec<String> {
    let holds = |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).any(|is| is == needle);
    let files = files(folder).into_iter();
    let files = files.filter(|(_, bytes)| needles.iter().any(|needle| holds(bytes, needle)));
    files.map(|(path, _)| path.display().to_string()).collect()
}

/// A policy of every role that can be run again, which captures what is asked.
fn captured(endpoint: &str) -> anyhow::Result<Bundle> {
    let data = "grants = [\"prices\"]";
    let steps = [
        step("task", "classify", "classify-task@0.1", "skip", ""),
        step("pii-in", "guard-request", "guard-pii@0.1", "deny", ""),
        step("cheap", "route", "route-cheapest@0.1", "fallback", ""),
        step("pii-out", "guard-response", "guard-pii@0.1", "deny", ""),
        step("cost", "account", "account-tokens@0.1", "fallback", data),
    ];
    policy("test", &[("fake", endpoint)], &steps.concat()).replace(
        "[execute]",
        "[audit]\ncapture = \"full\"\ncapture-bytes-max = 4096\n\n[execute]",
    )
}

/// `plugin test --recorded` of a shipped plugin.
fn tried(gateway: &Gateway, plugin: &str, more: &[&str]) -> anyhow::Result<Told> {
    let file = plugins()?.join(plugin).with_extension("wasm");
    let file = file.to_str().context("a path in UTF-8")?;
    let arguments = ["plugin", "test", file, "--recorded"];
    gateway.cli(&[&arguments[..], more].concat())
}

fn counts(told: &Value) -> [&Value; 3] {
    [&told["same"], &told["differ"], &told["not-replayable"]]
}

/// The salt of a request's frame, whose place its record names.
fn salt(gateway: &Gateway, why: &Value) -> anyhow::Result<Vec<u8>> {
    let place = why["opened"]["content"]["place"].as_str();
    let (file, offset) = place
        .and_then(|place| place.rsplit_once(':'))
        .context("a place")?;
    let bytes = std::fs::read(gateway.state().join("content").join(file))?;
    let frame = &bytes[offset.parse()?..];
    let head = u32::from_le_bytes(frame[4..8].try_into()?) as usize;
    Ok(frame[16 + head..16 + head + 32].to_vec())
}

#[tokio::test]
async fn a_plugin_is_tried_on_what_was_captured_and_what_is_erased_is_gone() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let options = GatewayOptions::serving(captured(&provider.endpoint())?, &[provider.authority()]);
    let gateway = Gateway::start(options).await?;
    let client = gateway
        .client("demo")?
        .with_header("x-policy-team", "red")
        .with_header("x-api-key", SECRET_HEADER);
    let mail = format!("write to {CONTENT}@example.org");
    let bodies = [
        says(CONTENT),
        says(&mail),
        streams("what is 2 + 2?"),
        says(&"long ".repeat(1_000)),
    ];
    let mut ids = Vec::new();
    for body in &bodies {
        let reply = client.chat(body).await?;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let id = reply.header("x-pointsman-request-id").context("an id")?;
        gateway.why(id).await?;
        ids.push(id.to_owned());
    }

    // The same plugins on the same requests say the same.
    for plugin in ["classify-task", "route-cheapest"] {
        let told = tried(&gateway, plugin, &["--json"])?;
        assert_eq!(
            told.code,
            Some(0),
            "{plugin}: {}{}",
            told.stdout,
            told.stderr
        );
        assert_eq!(counts(&told.json()), [3, 0, 1], "{plugin}: {}", told.stdout);
    }
    // Once for the reservation, once for the account.
    let told = tried(&gateway, "account-tokens", &["--json"])?;
    assert_eq!(
        (told.code, counts(&told.json())),
        (Some(0), [&6.into(), &0.into(), &2.into()]),
        "{}",
        told.stdout
    );
    // Of the guard the request's side: answers are not kept.
    let told = tried(&gateway, "guard-pii", &["--json"])?;
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    assert_eq!(counts(&told.json()), [3, 0, 5], "{}", told.stdout);

    // Another configuration differs where it matters, and shows content where it is asked for alone.
    let config = gateway.state().with_file_name("strict.json");
    std::fs::write(&config, r#"{"email": "deny"}"#)?;
    let file = config.to_str().context("a path in UTF-8")?;
    let strict = ["--step", "pii-in", "--step-config", file];
    let told = tried(&gateway, "guard-pii", &strict)?;
    assert_eq!(told.code, Some(1), "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains(&ids[1]), "{}", told.stdout);
    assert!(told.stdout.contains("→ deny: pii.email"), "{}", told.stdout);
    assert!(
        told.stdout
            .contains("2 the same, 1 differ, 1 not replayable"),
        "{}",
        told.stdout
    );
    assert!(!told.stdout.contains(CONTENT), "{}", told.stdout);
    let told = tried(
        &gateway,
        "guard-pii",
        &[&strict[..], &["--show-content"]].concat(),
    )?;
    assert!(told.stdout.contains(CONTENT), "{}", told.stdout);

    // What is kept is told, and is nowhere else; neither key nor other headers are among it.
    let told = gateway
        .cli(&["decisions", "content", &ids[1], "--json"])?
        .json();
    assert_eq!(told["body"], bodies[1]);
    assert_eq!(
        told["headers"],
        serde_json::json!([["x-policy-team", "red"]])
    );
    let why = gateway.why(&ids[1]).await?;
    let salt = salt(&gateway, &why)?;
    let hex: String = salt.iter().map(|byte| format!("{byte:02x}")).collect();
    let chain = gateway.state().join("decisions");
    let needles = [CONTENT.as_bytes(), &salt, hex.as_bytes()];
    assert_eq!(holders(&chain, &needles), Vec::<String>::new());
    let key = gateway.key("demo")?;
    let never = [key.as_bytes(), SECRET_HEADER.as_bytes()];
    assert_eq!(holders(&gateway.state(), &never), Vec::<String>::new());

    // What is erased is gone, beside the running gateway, and the log holds.
    let erased = gateway.cli(&["audit", "erase", &ids[1]])?;
    assert_eq!(erased.code, Some(0), "{}", erased.stderr);
    let told = tried(&gateway, "guard-pii", &strict)?;
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    assert!(
        told.stdout.contains("its content was erased"),
        "{}",
        told.stdout
    );
    assert!(
        told.stdout
            .contains("2 the same, 0 differ, 2 not replayable"),
        "{}",
        told.stdout
    );
    let erased = gateway.cli(&["audit", "erase", "--tenant", "demo", "--json"])?;
    assert_eq!(erased.json()["requests"], 2, "{}", erased.stdout);
    assert_eq!(holders(&gateway.state(), &needles), Vec::<String>::new());
    assert_eq!(tried(&gateway, "guard-pii", &[])?.code, Some(2));
    let verified = gateway.cli(&["audit", "verify"])?;
    assert_eq!(verified.code, Some(0), "{}", verified.stdout);
    Ok(())
}

#[tokio::test]
async fn a_floor_forbids_capture_and_who_captures_nothing_is_told_what_to_do() -> anyhow::Result<()>
{
    let provider = Provider::start().await?;
    let floor = Bundle::new(
        "platform",
        "format = 1\nname = \"platform\"\nkind = \"floor\"\n\n[audit]\ncapture = \"none\"\n",
    );
    let mut options =
        GatewayOptions::serving(captured(&provider.endpoint())?, &[provider.authority()]);
    options.bundles.push(floor);
    options.settings = serde_json::json!({"floor": "platform"});
    let gateway = Gateway::start(options).await?;
    let reply = gateway.client("demo")?.chat(&says(CONTENT)).await?;
    let id = reply.header("x-pointsman-request-id").context("an id")?;
    let why = gateway.why(id).await?;
    for absent in ["content", "request-digest"] {
        assert_eq!(why["opened"][absent], Value::Null, "{why}");
    }
    assert_eq!(why["closed"]["response-digest"], Value::Null, "{why}");
    assert_eq!(why["opened"]["steps"][0]["imports-digest"], Value::Null);
    assert!(!gateway.state().join("content").exists());
    let told = tried(&gateway, "guard-pii", &[])?;
    assert_eq!(told.code, Some(2));
    assert!(
        told.stderr
            .contains("set audit.capture = \"full\" in the policy"),
        "{}",
        told.stderr
    );
    Ok(())
}

#[tokio::test]
async fn a_request_whose_content_cannot_be_kept_is_served_and_its_record_says_so()
-> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let options = GatewayOptions::serving(captured(&provider.endpoint())?, &[provider.authority()]);
    let gateway = Gateway::start(options).await?;
    let content = gateway.state().join("content");
    std::fs::write(&content, "in the folder's place")?;
    let client = gateway.client("demo")?;
    let reply = client.chat(&says(CONTENT)).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let id = reply.header("x-pointsman-request-id").context("an id")?;
    let why = gateway.why(id).await?;
    assert_eq!(why["opened"]["content"]["capture"], "failed", "{why}");
    // It is kept again as soon as it can be.
    std::fs::remove_file(&content)?;
    let reply = client.chat(&says(CONTENT)).await?;
    let id = reply.header("x-pointsman-request-id").context("an id")?;
    let why = gateway.why(id).await?;
    assert_eq!(why["opened"]["content"]["capture"], "full", "{why}");
    Ok(())
}
