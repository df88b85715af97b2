//! The official Python SDK, unmodified. `cargo xtask test` installs it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use pointsman_e2e::{policy, serving};
use pointsman_harness::{
    Authority, Engine, EngineOptions, Gateway, GatewayOptions, Provider, workspace,
};
use serde_json::{Value, json};

fn python() -> PathBuf {
    std::env::var_os("POINTSMAN_TEST_PYTHON").map_or_else(
        || workspace().join(".pointsman/venv/bin/python3"),
        PathBuf::from,
    )
}

async fn check(gateway: &Gateway, name: &str) -> anyhow::Result<Value> {
    check_trusting(gateway, name, None).await
}

/// `authority`: a PEM file of who certifies the gateway.
async fn check_trusting(
    gateway: &Gateway,
    name: &str,
    authority: Option<&Path>,
) -> anyhow::Result<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/openai_sdk.py");
    let output = tokio::process::Command::new(python())
        .arg(script)
        .args([
            &format!("{}/v1", gateway.data_url),
            gateway.key("demo")?,
            name,
        ])
        .envs(authority.map(|file| ("SSL_CERT_FILE", file)))
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot run python; `cargo xtask test` sets it up")?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "check {name} failed:\n{stdout}{stderr}"
    );
    serde_json::from_str(stdout.lines().last().unwrap_or_default()).context("no JSON line")
}

#[tokio::test]
async fn it_works_over_tls() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new()?;
    let (certificate, key) = authority.identity("gateway")?.write(folder.path())?;
    let trusted = folder.path().join("authority.pem");
    authority.write(&trusted)?;
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.settings = json!({"data": {"tls": {"certificate": certificate, "key": key}}});
    let gateway = Gateway::start(options).await?;
    for name in ["models", "plain", "stream"] {
        check_trusting(&gateway, name, Some(&trusted)).await?;
    }
    assert!(
        check(&gateway, "models").await.is_err(),
        "a stranger is trusted"
    );
    Ok(())
}

#[tokio::test]
async fn tools_models_and_errors_work_against_a_provider() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    for name in [
        "models",
        "errors",
        "plain",
        "stream",
        "stream_without_usage",
    ] {
        check(&gateway, name).await?;
    }
    let told = check(&gateway, "tools").await?;
    assert_eq!(told["name"], "weather");
    assert!(told["arguments"]["city"].is_string(), "{told}");
    let told = check(&gateway, "tools_stream").await?;
    assert!(told["calls"][0]["arguments"]["city"].is_string(), "{told}");
    Ok(())
}

#[tokio::test]
async fn the_engine_answers_it_whole_and_streamed() -> anyhow::Result<()> {
    let engine = Engine::start(EngineOptions::default()).await?;
    let bundle = policy("test", &[("local", &engine.endpoint())], "")
        .replace("model = \"fake\"", "model = \"smollm2-135m-instruct\"")?;
    let gateway = Gateway::start(GatewayOptions::serving(bundle, &[engine.authority()])).await?;
    for name in ["plain", "stream", "stream_without_usage"] {
        let told = check(&gateway, name).await?;
        if let Some(text) = told["text"].as_str() {
            assert!(text.contains("Paris"), "{told}");
        }
    }
    Ok(())
}
