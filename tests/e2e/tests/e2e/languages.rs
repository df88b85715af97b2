//! The same plugin in four languages: made, built, tested by the same cases, pushed to a running gateway, and obeyed.

use std::path::{Path, PathBuf};
use std::process::Command;

use pointsman_e2e::{policy, says, step};
use pointsman_harness::{Bundle, Gateway, GatewayOptions, Provider, binary, workspace};
use serde_json::json;

const LANGUAGES: [&str; 4] = ["rust", "python", "javascript", "c"];

/// `pointsman` below a folder; what it prints where it succeeds.
fn pointsman(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(binary("pointsman")?);
    command
        .current_dir(folder)
        .args(arguments)
        .env("CARGO_TARGET_DIR", workspace().join("target"))
        .env("POINTSMAN_TOOLS", workspace().join(".pointsman/tools"));
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    anyhow::ensure!(
        output.status.success(),
        "{arguments:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    Ok(text(&output.stdout))
}

/// Makes a plugin from its template and tests it; its component.
fn made(folder: &Path, language: &str) -> anyhow::Result<PathBuf> {
    let name = format!("long-{language}");
    let mut arguments = vec!["plugin", "new", &name, "--lang", language];
    let sdk = workspace().join("sdk/rust").display().to_string();
    if language == "rust" {
        arguments.extend(["--sdk", &sdk]);
    }
    pointsman(folder, &arguments)?;
    let place = folder.join(&name);
    if language == "rust" {
        // Offline: the versions that the workspace has.
        std::fs::copy(workspace().join("Cargo.lock"), place.join("Cargo.lock"))?;
    }
    let told = pointsman(&place, &["plugin", "test"])?;
    anyhow::ensure!(told.contains("10 cases hold"), "{told}");
    let built = if language == "rust" {
        workspace().join("target")
    } else {
        place.join("build")
    };
    Ok(built.join("plugins").join(&name).with_extension("wasm"))
}

/// A policy in which the plugin guards and routes. The first target of the default plan is the smaller one.
fn guarded(endpoint: &str, language: &str) -> anyhow::Result<Bundle> {
    let plugin = format!("long-{language}@0.1");
    let config = "config = { long-tokens = 100, max-tokens = 1000 }";
    let steps = [
        step("length", "guard-request", &plugin, "deny", config),
        step("long", "route", &plugin, "fallback", config),
    ]
    .join("\n");
    policy("test", &[("small", endpoint), ("large", endpoint)], &steps)
        .replace(
            "name = \"small\"",
            "name = \"small\"\ncontext-tokens = 4096",
        )?
        .replace(
            "name = \"large\"",
            "name = \"large\"\ncontext-tokens = 128000",
        )
}

#[tokio::test(flavor = "multi_thread")]
async fn one_plugin_in_four_languages_passes_the_same_cases_and_is_obeyed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let components = std::thread::scope(|scope| {
        let place = folder.path();
        let begun = LANGUAGES.map(|language| scope.spawn(move || made(place, language)));
        let ended = begun.map(|thread| thread.join().expect("no panic"));
        ended.into_iter().collect::<anyhow::Result<Vec<_>>>()
    })?;

    let provider = Provider::start().await?;
    let endpoint = provider.endpoint();
    let bundle = policy("test", &[("small", &endpoint)], "");
    let gateway = Gateway::start(GatewayOptions::serving(bundle, &[provider.authority()])).await?;
    for (language, component) in LANGUAGES.into_iter().zip(&components) {
        let file = component.to_str().expect("UTF-8");
        let inspected = gateway.cli(&["plugin", "inspect", file, "--json"])?.json();
        let pooled = matches!(language, "python" | "javascript");
        let expected = if pooled {
            json!(["pooled", 128])
        } else {
            json!(["fresh", 32])
        };
        assert_eq!(
            json!([inspected["instances"], inspected["memory-mib"]]),
            expected,
            "{language}: {inspected}"
        );
        let pushed = gateway.cli(&["plugin", "push", file])?;
        assert_eq!(pushed.code, Some(0), "{language}: {}", pushed.stderr);
        obeyed(&gateway, &guarded(&endpoint, language)?, language).await?;
    }
    Ok(())
}

/// Activates the policy, and asks what is short, long and too long.
async fn obeyed(gateway: &Gateway, bundle: &Bundle, language: &str) -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let written = bundle.write(place.path())?;
    let pushed = gateway.cli(&["policy", "push", written.to_str().expect("UTF-8")])?;
    assert_eq!(pushed.code, Some(0), "{language}: {}", pushed.stderr);
    let activated = gateway.cli(&["policy", "activate", "test"])?;
    assert_eq!(activated.code, Some(0), "{language}: {}", activated.stderr);

    let client = gateway.client("demo")?;
    let target = async |bytes: usize| {
        let reply = client.chat(&says(&"word ".repeat(bytes / 5))).await?;
        let target = reply
            .header("x-pointsman-target")
            .unwrap_or_default()
            .to_owned();
        anyhow::Ok((reply.status, target, reply.json()))
    };
    let (status, chosen, _) = target(40).await?;
    assert_eq!(
        (status, chosen.as_str()),
        (200, "small"),
        "{language}: short"
    );
    let (status, chosen, _) = target(2_000).await?;
    assert_eq!(
        (status, chosen.as_str()),
        (200, "large"),
        "{language}: long"
    );
    let (status, _, body) = target(8_000).await?;
    assert_eq!(status, 413, "{language}: too long: {body}");
    let message = body["error"]["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("This conversation is too long; start a new one."),
        "{language}: {message}"
    );
    Ok(())
}
