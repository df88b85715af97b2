//! What cannot serve does not start: a clear message, a bad exit, nothing half-started.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use pointsman_e2e::{policy, serving, step};
use pointsman_harness::{Client, binary, eventually, plugins};

/// Runs `serve` in a folder until it ends; one that serves instead is ended and told.
fn serve(folder: &Path, environment: &[(&str, &str)]) -> anyhow::Result<Output> {
    let mut command = Command::new(binary("pointsman")?);
    command.env_clear().current_dir(folder).arg("serve");
    command.args(["--ready-file", "ready"]);
    command.envs(environment.iter().copied());
    let free = [
        ("POINTSMAN_DATA_LISTEN", "127.0.0.1:0"),
        ("POINTSMAN_CONTROL_LISTEN", "127.0.0.1:0"),
    ];
    for (name, value) in free {
        if environment.iter().all(|(known, _)| *known != name) {
            command.env(name, value);
        }
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if began.elapsed() > Duration::from_secs(60) {
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(child.wait_with_output()?)
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(!told.contains("panicked"), "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is missing: {told}");
    }
}

/// A folder with one tenant and its policy.
fn folder(policy_text: &str) -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir_all(folder.path().join("policies/test"))?;
    std::fs::create_dir_all(folder.path().join(".pointsman"))?;
    std::fs::write(folder.path().join("policies/test/policy.toml"), policy_text)?;
    std::fs::write(
        folder.path().join(".pointsman/tenants.toml"),
        "[[tenant]]\nid = \"demo\"\npolicy = \"test\"\n",
    )?;
    Ok(folder)
}

fn plain(steps: &str) -> anyhow::Result<tempfile::TempDir> {
    let written = tempfile::tempdir()?;
    let bundle = policy("test", &[("fake", "https://api.example.org/v1")], steps);
    let path = bundle.write(written.path())?.join("policy.toml");
    folder(&std::fs::read_to_string(path)?)
}

#[tokio::test]
async fn an_empty_folder_is_enough() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(binary("pointsman")?);
    command.env_clear().current_dir(folder.path());
    command.args(["serve", "--ready-file", "ready"]);
    command
        .env("POINTSMAN_DATA_LISTEN", "127.0.0.1:0")
        .env("POINTSMAN_CONTROL_LISTEN", "127.0.0.1:0");
    let mut child = command.stderr(Stdio::null()).spawn()?;
    let ready = folder.path().join("ready");
    let mut url = String::new();
    let came = eventually("the ready file", async || {
        let line = std::fs::read_to_string(&ready).unwrap_or_default();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        url = line["data_url"].as_str().unwrap_or_default().to_owned();
        !url.is_empty()
    })
    .await;
    let status = Client::new(&url)
        .get("/v1/models")
        .await
        .map(|reply| reply.status);
    child.kill()?;
    child.wait()?;
    came?;
    assert_eq!(status?, 401);
    Ok(())
}

#[test]
fn broken_bundles_and_settings_are_refused() -> anyhow::Result<()> {
    let missing = plain(&step("gone", "classify", "nobody-made-this@1", "skip", ""))?;
    refused(
        &serve(missing.path(), &[])?,
        &["nobody-made-this", "policy.toml:19:1: step[0].plugin"],
    );

    let broken = folder("format = 1\nname = \"test\"\nkindd = \"tenant\"\n")?;
    refused(
        &serve(broken.path(), &[])?,
        &["policy.toml", "kindd", "kind"],
    );

    let fine = plain("")?;
    refused(
        &serve(fine.path(), &[("POINTSMAN_DATA_LISTENN", "x")])?,
        &["POINTSMAN_DATA_LISTENN", "POINTSMAN_DATA_LISTEN?"],
    );
    refused(
        &serve(fine.path(), &[("POINTSMAN_CONFIG", "none.toml")])?,
        &["none.toml"],
    );

    std::fs::write(
        fine.path().join("secret.toml"),
        "[[credential]]\nname = \"c\"\nvalue = \"secret://env/NOT_SET_HERE\"\norigins = [\"https://api.example.org\"]\ntenants = [\"*\"]\n",
    )?;
    refused(
        &serve(fine.path(), &[("POINTSMAN_CONFIG", "secret.toml")])?,
        &["`c`", "NOT_SET_HERE"],
    );

    std::fs::write(
        fine.path().join(".pointsman/tenants.toml"),
        "[[tenant]]\nid = 7\n",
    )?;
    refused(&serve(fine.path(), &[])?, &["tenants.toml"]);
    Ok(())
}

#[test]
fn a_broken_plugin_refuses_those_who_need_it() -> anyhow::Result<()> {
    let folder = plain(&step("task", "classify", "classify-task@0.1", "skip", ""))?;
    let installed = folder.path().join(".pointsman/plugins");
    std::fs::create_dir_all(&installed)?;
    let mut bytes = std::fs::read(plugins()?.join("classify-task.wasm"))?;
    bytes.truncate(bytes.len() / 2);
    std::fs::write(installed.join("classify-task.wasm"), bytes)?;
    refused(&serve(folder.path(), &[])?, &["classify-task", "task"]);
    Ok(())
}

#[test]
fn a_state_folder_that_cannot_be_used_is_refused() -> anyhow::Result<()> {
    let folder = plain("")?;
    // A file where the decision log's folder must be: found only when the threads start.
    std::fs::write(folder.path().join(".pointsman/decisions"), "x")?;
    refused(&serve(folder.path(), &[])?, &["decisions"]);
    assert!(
        !folder.path().join("ready").exists(),
        "it said that it is ready"
    );
    std::fs::write(folder.path().join("state"), "x")?;
    refused(
        &serve(folder.path(), &[("POINTSMAN_STATE", "state")])?,
        &["state"],
    );
    Ok(())
}

#[tokio::test]
async fn a_port_that_another_uses_is_refused() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let folder = plain("")?;
    for (variable, url) in [
        ("POINTSMAN_DATA_LISTEN", &gateway.data_url),
        ("POINTSMAN_CONTROL_LISTEN", &gateway.control_url),
    ] {
        let place = url.trim_start_matches("http://");
        refused(
            &serve(folder.path(), &[(variable, place)])?,
            &[place, variable],
        );
    }
    // One process owns a state folder.
    let state = gateway.state();
    let state = state.to_str().expect("a path");
    let policies = gateway.policies();
    let policies = policies.to_str().expect("a path");
    refused(
        &serve(
            folder.path(),
            &[
                ("POINTSMAN_STATE", state),
                ("POINTSMAN_POLICIES", policies),
                ("POINTSMAN_EGRESS_ALLOW_PRIVATE", "127.0.0.0/8"),
            ],
        )?,
        &["owned by another process"],
    );
    Ok(())
}
