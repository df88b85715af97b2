//! The command line: what is wrong in a bundle is refused with its place, what is sound says so.

use pointsman_e2e::{policy, serving, step};
use pointsman_harness::{Bundle, Credential, Gateway, GatewayOptions, shipped_policies, workspace};
use serde_json::Value;

fn check(gateway: &Gateway, bundle: &Bundle) -> anyhow::Result<(Option<i32>, String)> {
    let folder = tempfile::tempdir()?;
    let path = bundle.write(folder.path())?;
    let told = gateway.cli(&["policy", "check", path.to_str().expect("UTF-8")])?;
    Ok((told.code, format!("{}{}", told.stdout, told.stderr)))
}

#[tokio::test]
async fn bundles_are_refused_with_place_and_reason() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let endpoint = provider.endpoint();
    let good = |steps: &str| policy("test", &[("fake", &endpoint)], steps);
    let broken = [
        (
            good("").replace("endpoint =", "endpiont =")?,
            vec!["policy.toml:", "endpiont", "endpoint"],
        ),
        (
            good("").replace("targets = [\"fake\"]", "targets = [\"faek\"]")?,
            vec!["faek", "fake"],
        ),
        (
            good(&step("a", "classify", "classify-taks@0.1", "skip", "")),
            vec!["classify-taks", "classify-task"],
        ),
        (
            good(&step("a", "classify", "classify-task@9.9", "skip", "")),
            vec!["classify-task", "9.9"],
        ),
        (
            good(&step("a", "route", "classify-task@0.1", "fallback", "")),
            vec!["classify-task", "router"],
        ),
        (
            good(&step(
                "a",
                "guard-request",
                "guard-pii@0.1",
                "deny",
                "config = { email = \"hide\" }",
            )),
            vec!["email", "hide"],
        ),
        (
            good(&step("a", "classify", "classify-task@0.1", "fallback", "")),
            vec!["on-fault"],
        ),
        (
            good(&step(
                "a",
                "classify",
                "classify-task@0.1",
                "skip",
                "when = \"lables.x == 1\"",
            )),
            vec!["when", "lables", "labels"],
        ),
        (
            good(&step("a", "account", "account-tokens@0.1", "fallback", "")),
            vec!["grants", "prices"],
        ),
        (
            good("[cache]\nmode = \"semantic\"\n"),
            vec!["semantic", "not offered yet"],
        ),
    ];
    for (bundle, words) in broken {
        let (code, text) = check(&gateway, &bundle)?;
        assert_eq!(code, Some(3), "{words:?}: {text}");
        for word in words {
            assert!(text.contains(word), "`{word}` is missing:\n{text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_target_that_egress_refuses_is_said_before_the_first_request() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let bundle = policy("test", &[("local", "http://localhost:9/v1")], "");
    let (code, text) = check(&gateway, &bundle)?;
    assert_eq!(code, Some(0), "{text}");
    for word in ["target[0].endpoint", "127.0.0.1:9", "egress.allow-private"] {
        assert!(text.contains(word), "`{word}` is missing:\n{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_failing_case_refuses_and_shows_what_differs() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let steps = step(
        "pii-in",
        "guard-request",
        "guard-pii@0.1",
        "deny",
        "config = { email = \"mask\" }",
    );
    let bundle = policy("test", &[("fake", &provider.endpoint())], &steps);
    let case = |expected: &str| {
        format!(
            "{{\"name\":\"mail\",\"request\":{{\"body\":{{\"model\":\"auto\",\"messages\":[{{\"role\":\"user\",\"content\":\"mail a@b.io\"}}]}}}},\"expect\":{{\"edited\":\"{expected}\"}}}}\n"
        )
    };
    let (code, text) = check(
        &gateway,
        &bundle.clone().with("cases.jsonl", case("mail [EMAIL]")),
    )?;
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = check(&gateway, &bundle.with("cases.jsonl", case("mail nobody")))?;
    assert_eq!(code, Some(3), "{text}");
    assert!(
        text.contains("mail nobody") && text.contains("mail [EMAIL]"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn shipped_policies_are_sound() -> anyhow::Result<()> {
    let credential = |name: &str, origin: &str| Credential {
        name: name.to_owned(),
        value: "unused".to_owned(),
        origins: vec![origin.to_owned()],
        tenants: vec!["*".to_owned()],
    };
    let gateway = Gateway::start(GatewayOptions {
        credentials: vec![
            credential("openai", "https://api.openai.com"),
            credential("anthropic", "https://api.anthropic.com"),
        ],
        settings: serde_json::json!({"prices": workspace().join("policies/prices.jsonl")}),
        ..GatewayOptions::default()
    })
    .await?;
    for entry in std::fs::read_dir(shipped_policies())? {
        let folder = entry?.path();
        if !folder.join("policy.toml").is_file() {
            continue;
        }
        let told = gateway.cli(&["policy", "check", folder.to_str().expect("UTF-8")])?;
        assert_eq!(
            told.code,
            Some(0),
            "{}: {}{}",
            folder.display(),
            told.stdout,
            told.stderr
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_new_plugin_builds_and_passes_unchanged() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("my-router");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(pointsman_harness::binary("pointsman")?);
        command
            .current_dir(folder.path())
            .args(arguments)
            .env("CARGO_TARGET_DIR", workspace().join("target"));
        anyhow::Ok(command.output()?)
    };
    let sdk = workspace().join("sdk/rust");
    let made = run(&[
        "plugin",
        "new",
        "my-router",
        "--lang",
        "rust",
        "--sdk",
        sdk.to_str().expect("UTF-8"),
    ])?;
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    // Offline: the versions that the workspace has.
    std::fs::copy(workspace().join("Cargo.lock"), place.join("Cargo.lock"))?;
    let tested = run(&["plugin", "test", place.to_str().expect("UTF-8")])?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&tested.stdout),
        String::from_utf8_lossy(&tested.stderr)
    );
    assert!(tested.status.success(), "{text}");
    let built = workspace().join("target/plugins/my-router.wasm");
    let built = built.to_str().expect("UTF-8");
    let told = gateway.cli(&["plugin", "inspect", built, "--json"])?.json();
    assert_eq!(told["name"], "my-router", "{told}");
    assert_eq!(told["cases"], Value::Null, "there is no file beside it");

    let cases = place.join("cases.jsonl");
    let cases = cases.to_str().expect("UTF-8");
    let told = gateway.cli(&[
        "plugin",
        "bench",
        built,
        "--cases",
        cases,
        "--seconds",
        "1",
        "--json",
    ])?;
    let told = told.json();
    for figure in ["calls", "calls-per-s", "p50-us", "p99-us"] {
        for instances in ["fresh", "pooled"] {
            let figures = [&told["all"][instances], &told["cases"][0][instances]];
            assert!(
                figures.iter().all(|figures| figures[figure].is_number()),
                "{figure} {instances}: {told}"
            );
        }
    }
    assert!(told["cases"][0]["fuel"].as_u64() > Some(0), "{told}");
    assert!(told["load"]["first-call-us"].is_number(), "{told}");
    Ok(())
}

#[tokio::test]
async fn cases_answer_the_imports_of_a_component() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let component = pointsman_harness::guests()?.join("pointsman-guest-imports.wasm");
    let cases = workspace().join("tests/guests/imports/cases.jsonl");
    let [component, cases] = [&component, &cases].map(|path| path.to_str().expect("UTF-8"));
    let inspect = |more: &[&str]| {
        let words = ["plugin", "inspect", component, "--cases", cases];
        gateway.cli(&[&words, more].concat())
    };
    let told = inspect(&["--json"])?;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let told = told.json();
    let rows = told["cases"].as_array().expect("cases");
    assert_eq!(rows.len(), 3, "{told}");
    assert!(rows.iter().all(|row| row["holds"] == true), "{told}");
    assert_eq!(rows[2]["refused"], true, "{told}");
    assert!(rows[0]["host-calls"].as_u64() > Some(5), "{told}");
    // Fuel is what it is, again and again.
    let fuel = |told: &Value| told["cases"][0]["fuel"].clone();
    assert_eq!(fuel(&inspect(&["--json"])?.json()), fuel(&told));
    let shown = inspect(&[])?.stdout;
    for words in [
        "counters",
        "config refused",
        "host calls",
        "additionalProperties",
    ] {
        assert!(shown.contains(words), "`{words}` is missing:\n{shown}");
    }
    Ok(())
}

#[tokio::test]
async fn slips_of_the_operator_are_caught() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    let told = gateway.cli(&["tenant", "add", "other", "--policy", "tset"])?;
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    assert!(told.stderr.contains("there are: test"), "{}", told.stderr);
    let told = gateway.cli(&["key", "create", "--tenant", "demo", "--scope", "chta"])?;
    assert_eq!(told.code, Some(2), "{}", told.stdout);
    assert!(told.stderr.contains("chat, models"), "{}", told.stderr);
    Ok(())
}

#[tokio::test]
async fn commands_side_by_side_lose_nothing() -> anyhow::Result<()> {
    let (_provider, gateway) = serving("").await?;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| gateway.cli(&["key", "create", "--tenant", "demo"]));
        }
    });
    let keys = gateway.cli(&["key", "list", "--json"])?.json();
    assert_eq!(keys.as_array().map(Vec::len), Some(9), "{keys}");
    Ok(())
}
