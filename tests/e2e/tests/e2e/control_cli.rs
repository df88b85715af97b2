//! The command line as a client of the control API: what it says has happened has happened, and what it refuses has not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pointsman_e2e::{policy, says, serving, step};
use pointsman_harness::{Bundle, Gateway, GatewayOptions, Provider, Told, workspace};
use serde_json::{Value, json};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Runs a command that must do what it is told.
fn done(gateway: &Gateway, arguments: &[&str]) -> anyhow::Result<Told> {
    let told = gateway.cli(arguments)?;
    anyhow::ensure!(
        told.code == Some(0),
        "{arguments:?} ended with {:?}: {}{}",
        told.code,
        told.stdout,
        told.stderr
    );
    Ok(told)
}

/// Runs a command that must end with a code, and say these words on standard error.
fn refused(gateway: &Gateway, arguments: &[&str], code: i32, words: &[&str]) -> anyhow::Result<()> {
    let told = gateway.cli(arguments)?;
    assert_eq!(
        told.code,
        Some(code),
        "{arguments:?}: {}{}",
        told.stdout,
        told.stderr
    );
    for word in words {
        assert!(
            told.stderr.contains(word),
            "{arguments:?}: `{word}` is missing:\n{}",
            told.stderr
        );
    }
    Ok(())
}

/// Target and policy version of the next request.
async fn asked(gateway: &Gateway) -> anyhow::Result<(String, String)> {
    let reply = gateway.client("demo")?.chat(&says("hello")).await?;
    anyhow::ensure!(reply.status == 200, "{}", reply.text());
    let header = |name: &str| reply.header(name).unwrap_or_default().to_owned();
    Ok((header("x-pointsman-target"), header("x-pointsman-policy")))
}

/// The default plan tries `z` first; a router that decides names them in order.
fn two_targets(endpoint: &str, steps: &str) -> Bundle {
    policy("test", &[("z", endpoint), ("a", endpoint)], steps)
}

#[tokio::test]
async fn a_changed_line_of_a_router_is_obeyed_by_the_next_request_and_undone_by_rollback()
-> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let mut options = GatewayOptions::serving(
        two_targets(&provider.endpoint(), ""),
        &[provider.authority()],
    );
    let target = workspace().join("target");
    options.environment = vec![("CARGO_TARGET_DIR".to_owned(), text(&target).to_owned())];
    let gateway = Gateway::start(options).await?;
    let place = gateway.state().with_file_name("swap-router");
    let out = gateway.state().with_file_name("out");
    let sdk = workspace().join("sdk/rust");
    done(
        &gateway,
        &["plugin", "new", "swap-router", "--sdk", text(&sdk)],
    )?;
    // Offline: the versions that the workspace has.
    std::fs::copy(workspace().join("Cargo.lock"), place.join("Cargo.lock"))?;
    let built = out.join("swap-router.wasm");
    let build = || {
        done(
            &gateway,
            &["plugin", "build", text(&place), "--out", text(&out)],
        )
    };
    build()?;
    done(&gateway, &["plugin", "push", text(&built)])?;
    let routed = step(
        "router",
        "route",
        "swap-router@0.1",
        "fallback",
        "config = { long-tokens = 100000 }",
    );
    let folder = two_targets(&provider.endpoint(), &routed).write(&gateway.policies())?;
    done(&gateway, &["policy", "push", text(&folder)])?;
    assert_eq!(asked(&gateway).await?.1, "test@1", "a push changes nothing");
    done(&gateway, &["policy", "activate", "test"])?;
    assert_eq!(
        asked(&gateway).await?,
        ("z".to_owned(), "test@2".to_owned())
    );

    let source = place.join("src/lib.rs");
    let code = std::fs::read_to_string(&source)?;
    let line = "if tokens < self.long_tokens {";
    assert!(code.contains(line), "the template is another one");
    let changed = code.replace(line, "if tokens >= self.long_tokens {");
    std::fs::write(&source, changed)?;
    build()?;
    done(&gateway, &["plugin", "push", text(&built)])?;
    let told = done(&gateway, &["policy", "push", text(&folder)])?.stdout;
    for word in [
        "version 3 pushed",
        "against version 2",
        "plugin swap-router@0.1",
        "tenant demo",
        "next: pointsman policy activate test 3",
    ] {
        assert!(told.contains(word), "`{word}` is missing:\n{told}");
    }
    assert_eq!(
        asked(&gateway).await?,
        ("z".to_owned(), "test@2".to_owned())
    );
    done(&gateway, &["policy", "activate", "test", "3"])?;
    assert_eq!(
        asked(&gateway).await?,
        ("a".to_owned(), "test@3".to_owned())
    );
    done(&gateway, &["policy", "rollback", "test"])?;
    assert_eq!(
        asked(&gateway).await?,
        ("z".to_owned(), "test@2".to_owned())
    );
    Ok(())
}

#[tokio::test]
async fn two_operators_do_not_undo_each_other() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let steps = step("a", "classify", "classify-task@0.1", "skip", "");
    let folder =
        policy("test", &[("fake", &provider.endpoint())], &steps).write(&gateway.policies())?;
    done(&gateway, &["policy", "push", text(&folder)])?;
    done(
        &gateway,
        &["policy", "activate", "test", "2", "--expect", "1"],
    )?;
    let late = ["policy", "activate", "test", "1", "--expect", "1"];
    refused(
        &gateway,
        &late,
        4,
        &["version 2 serves", "nothing was done"],
    )?;
    let late = ["policy", "rollback", "test", "--expect", "1"];
    refused(&gateway, &late, 4, &["version 2 serves"])?;
    assert_eq!(asked(&gateway).await?.1, "test@2");
    let late = [
        "tenant",
        "set",
        "demo",
        "--concurrent",
        "1",
        "--expect",
        "no-tag",
    ];
    refused(&gateway, &late, 4, &["demo", "nothing was done"])?;
    let told = done(&gateway, &["tenant", "show", "demo"])?.stdout;
    assert!(told.contains("no limits"), "{told}");
    Ok(())
}

#[tokio::test]
async fn operators_side_by_side_lose_nothing() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    std::thread::scope(|scope| {
        for (flag, value) in [
            ("--requests-per-minute", "600"),
            ("--tokens-per-minute", "9000"),
            ("--concurrent", "7"),
            ("--budget", "day=2"),
        ] {
            let gateway = &gateway;
            scope.spawn(move || done(gateway, &["tenant", "set", "demo", flag, value]));
        }
    });
    let tenant = done(&gateway, &["tenant", "show", "demo", "--json"])?.json();
    let limits = json!({"requests-per-minute": 600, "tokens-per-minute": 9000, "concurrent": 7});
    assert_eq!(tenant["limits"], limits, "{tenant}");
    assert_eq!(
        tenant["budget"],
        json!([{"period": "day", "usd": "2"}]),
        "{tenant}"
    );
    Ok(())
}

#[tokio::test]
async fn a_bundle_that_does_not_hold_is_refused_with_its_place() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let endpoint = provider.endpoint();
    let steps = step("a", "classify", "classify-taks@0.1", "skip", "");
    let bundle = policy("test", &[("fake", &endpoint)], &steps);
    let folder = bundle.write(&gateway.policies())?;
    let push = ["policy", "push", text(&folder)];
    refused(
        &gateway,
        &push,
        3,
        &["policy.toml:", "classify-taks", "classify-task"],
    )?;
    let view = done(&gateway, &["policy", "status", "test", "--json"])?.json();
    assert_eq!(view["versions"].as_array().map(Vec::len), Some(1), "{view}");
    Ok(())
}

#[tokio::test]
async fn a_rotated_key_overlaps_and_a_revoked_one_is_refused_at_once() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let made = done(&gateway, &["key", "create", "--tenant", "demo", "--json"])?.json();
    let (id, old) = (word(&made["id"])?, word(&made["key"])?);
    let rotated = done(
        &gateway,
        &["key", "rotate", &id, "--overlap-s", "3600", "--json"],
    )?;
    let new = word(&rotated.json()["key"])?;
    let status = async |key: &str| -> anyhow::Result<u16> {
        let client = pointsman_harness::Client::new(&gateway.data_url).with_key(key);
        Ok(client.chat(&says("hello")).await?.status)
    };
    assert_eq!((status(&old).await?, status(&new).await?), (200, 200));
    done(&gateway, &["key", "revoke", &id])?;
    assert_eq!((status(&old).await?, status(&new).await?), (401, 200));
    let keys = done(&gateway, &["key", "list", "--tenant", "demo", "--json"])?.json();
    let mut keys = keys.as_array().into_iter().flatten();
    assert!(keys.any(|key| key["id"] == *id && key["state"] == "revoked"));
    assert!(
        !keys.any(|key| key.to_string().contains("hash")),
        "no hash is told"
    );
    Ok(())
}

fn word(value: &Value) -> anyhow::Result<String> {
    let word = value.as_str().map(str::to_owned);
    word.ok_or_else(|| anyhow::anyhow!("no text: {value}"))
}

#[tokio::test]
async fn without_a_server_the_state_folder_is_worked_on() -> anyhow::Result<()> {
    let (_provider, mut gateway) = serving("").await?;
    gateway.drain().await?;
    let told = done(&gateway, &["tenant", "set", "demo", "--concurrent", "9"])?;
    assert!(told.stdout.contains("no server runs"), "{}", told.stdout);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| done(&gateway, &["key", "create", "--tenant", "demo"]));
        }
    });
    let made = done(&gateway, &["key", "create", "--tenant", "demo", "--json"])?.json();
    gateway.restart().await?;
    let client = pointsman_harness::Client::new(&gateway.data_url).with_key(&word(&made["key"])?);
    assert_eq!(client.chat(&says("hello")).await?.status, 200);
    let keys = done(&gateway, &["key", "list", "--json"])?.json();
    assert_eq!(keys.as_array().map(Vec::len), Some(6), "{keys}");
    let tenant = done(&gateway, &["tenant", "show", "demo", "--json"])?.json();
    assert_eq!(tenant["limits"]["concurrent"], 9, "{tenant}");
    Ok(())
}

#[tokio::test]
async fn who_is_not_reached_and_who_is_not_let_in_are_told_what_to_do() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", nobody.local_addr()?);
    drop(nobody);
    let words = ["nobody answers", "cargo xtask up", "--control"];
    refused(&gateway, &["policy", "list", "--control", &url], 1, &words)?;
    let wrong = ["policy", "list", "--token", "wrong"];
    refused(&gateway, &wrong, 1, &["admin token", "--token"])?;
    let data = ["policy", "list", "--control", &gateway.data_url];
    refused(&gateway, &data, 1, &["no control listener"])?;
    let unknown = ["policy", "status", "nope"];
    refused(&gateway, &unknown, 1, &["nope", "test", "next:"])?;
    Ok(())
}

#[tokio::test]
async fn a_backup_restores_every_version_and_key() -> anyhow::Result<()> {
    let (_provider, mut gateway) = serving("").await?;
    let made = done(&gateway, &["key", "create", "--tenant", "demo", "--json"])?.json();
    let file = gateway.state().with_file_name("control.tar");
    done(&gateway, &["backup", text(&file)])?;
    let mode = std::fs::metadata(&file)?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    refused(&gateway, &["backup", text(&file)], 1, &["is there already"])?;
    let late = done(&gateway, &["key", "create", "--tenant", "demo", "--json"])?.json();
    gateway.drain().await?;
    let control = gateway.state().join("control");
    std::fs::rename(&control, control.with_file_name("control.old"))?;
    done(
        &gateway,
        &["restore", text(&file), "--state", text(&gateway.state())],
    )?;
    gateway.restart().await?;
    let status = async |made: &Value| -> anyhow::Result<u16> {
        let client =
            pointsman_harness::Client::new(&gateway.data_url).with_key(&word(&made["key"])?);
        Ok(client.chat(&says("hello")).await?.status)
    };
    assert_eq!(
        (status(&made).await?, status(&late).await?),
        (200, 401),
        "what came after the backup is gone"
    );
    Ok(())
}

#[tokio::test]
async fn the_doctor_names_what_is_wrong_and_no_secret() -> anyhow::Result<()> {
    let (_provider, mut gateway) = serving("").await?;
    let told = done(&gateway, &["doctor", "--json"])?;
    assert_eq!(told.json()["ok"], true, "{}", told.stdout);
    for check in [
        "config", "state", "journal", "server", "version", "policy", "target",
    ] {
        let checks = told.json()["checks"].clone();
        let mut checks = checks.as_array().into_iter().flatten();
        assert!(
            checks.any(|seen| seen["check"] == check && seen["level"] == "ok"),
            "{check}: {}",
            told.stdout
        );
    }
    let token = std::fs::read_to_string(gateway.state().join("admin-token"))?;
    assert!(!told.stdout.contains(token.trim()));

    gateway.drain().await?;
    let journal = gateway.state().join("control/journal.000001.log");
    let mut bytes = std::fs::read(&journal)?;
    bytes[100] ^= 1;
    std::fs::write(&journal, bytes)?;
    let verified = gateway.cli(&["audit", "verify"])?;
    assert_eq!(verified.code, Some(3), "{}", verified.stdout);
    assert!(
        verified.stdout.contains("journal.000001.log"),
        "{}",
        verified.stdout
    );
    let pepper = gateway.state().join("pepper");
    std::fs::set_permissions(&pepper, std::fs::Permissions::from_mode(0o644))?;
    let told = gateway.cli(&["doctor"])?;
    assert_eq!(told.code, Some(3), "{}", told.stdout);
    let wanted = [
        "others may read",
        "chmod 600",
        "nobody answers",
        "journal.000001.log",
        "restore the newest backup",
    ];
    for words in wanted {
        assert!(
            told.stdout.contains(words),
            "`{words}` is missing:\n{}",
            told.stdout
        );
    }
    Ok(())
}

#[tokio::test]
async fn completions_know_the_commands() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let told = done(&gateway, &["completions", shell])?;
        assert!(told.stdout.contains("rollback"), "{shell}");
    }
    Ok(())
}
