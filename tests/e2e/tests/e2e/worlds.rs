//! What the host gives plugins in a running gateway, and what it takes from them: counts, signatures, prices with dates
//! and tiers, trained weights; rest after faults, fuel and memory by tenant.

use std::collections::BTreeMap;
use std::time::SystemTime;

use http::Method;
use pointsman_e2e::{policy, says, step, streams};
use pointsman_harness::{
    Bundle, Client, Gateway, GatewayOptions, Provider, Reply, data_of, eventually,
};
use serde_json::{Value, json};

use super::secrets::search;

const SECRET: &str = "CANARYhook5e7d";
/// HMAC-SHA256 of `sign me!` under it.
const SIGNED: &str = "09cef19ca7291ae5cf9fd5c7f5dfddadf00e1f97c62f53809edf9d9b3c5956db";
const LIST: &str = "# words\n";

/// A gateway with tenants of these policies, which all lead to one provider.
async fn serve(
    provider: &Provider,
    tenants: &[(&str, &str)],
    bundles: Vec<Bundle>,
    more: impl FnOnce(&mut GatewayOptions),
) -> anyhow::Result<Gateway> {
    let mut options = GatewayOptions {
        bundles,
        tenants: tenants
            .iter()
            .map(|(tenant, policy)| ((*tenant).to_owned(), (*policy).to_owned()))
            .collect(),
        allow_private: vec![provider.authority().to_owned()],
        ..GatewayOptions::default()
    };
    more(&mut options);
    Gateway::start(options).await
}

async fn why(gateway: &Gateway, reply: &Reply) -> anyhow::Result<Value> {
    let id = reply.header("x-pointsman-request-id").unwrap_or_default();
    gateway.why(id).await
}

/// A label of a decision, as text or number.
fn label<'a>(told: &'a Value, key: &str) -> &'a Value {
    let labels = told["opened"]["labels"].as_array().into_iter().flatten();
    let label = labels.into_iter().find(|label| label["key"] == key);
    let value = label.and_then(|label| label["value"].as_object());
    value
        .and_then(|value| value.values().next())
        .unwrap_or(&Value::Null)
}

fn fault(told: &Value) -> (&Value, &Value) {
    let steps = told["opened"]["steps"].as_array().into_iter().flatten();
    let failed = steps.into_iter().find(|step| step["fault"].is_object());
    failed.map_or((&Value::Null, &Value::Null), |step| {
        (&step["fault"]["kind"], &step["on-fault"])
    })
}

/// Tells a count and a signature; the header asks for denials, and for a name that is no secret.
fn seeing() -> String {
    let see = |id: &str, when: &str, count: &str, sign: &str| {
        let grants = "grants = [\"log\", \"clock\", \"random\", \"data\", \"counters\", \"secrets\", \"prices\"]";
        let more = format!(
            "when = \"{when}\"\n{grants}\ndata = [\"list.txt\"]\nconfig = {{ file = \"list.txt\", count = \"{count}\", window-s = 60, sign = \"{sign}\" }}"
        );
        step(id, "classify", "pointsman-guest-imports@0.1", "deny", &more)
    };
    let words = "config = { lists = [{ name = \"no\", words = [\"forbidden\"], act = \"deny\" }] }";
    [
        see(
            "requests",
            "!('x-policy-ask' in headers)",
            "requests",
            "secret://hook",
        ),
        see("denials", "'x-policy-ask' in headers", "denials", "hook"),
        step("words", "guard-request", "guard-words@0.1", "deny", words),
    ]
    .concat()
}

async fn seen(gateway: &Gateway, tenant: &str, text: &str) -> anyhow::Result<(Value, Value)> {
    let reply = gateway.client(tenant)?.chat(&says(text)).await?;
    let told = why(gateway, &reply).await?;
    Ok((
        label(&told, "count").clone(),
        label(&told, "signed").clone(),
    ))
}

#[tokio::test]
async fn a_plugin_knows_its_own_tenants_counts_and_signs_with_what_it_never_reads()
-> anyhow::Result<()> {
    let began = SystemTime::now();
    let provider = Provider::start().await?;
    let bundle =
        policy("test", &[("fake", &provider.endpoint())], &seeing()).with("list.txt", LIST);
    let tenants = [("demo", "test"), ("other", "test")];
    let mut gateway = serve(&provider, &tenants, vec![bundle], |options| {
        options.guests = true;
        options.settings = json!({"secret": [
            {"name": "hook", "value": "secret://env/HOOK_KEY", "tenants": ["demo"]}
        ]});
        options.environment = vec![
            ("HOOK_KEY".to_owned(), SECRET.to_owned()),
            ("POINTSMAN_LOG".to_owned(), "trace".to_owned()),
        ];
    })
    .await?;

    for asked in 1..4 {
        let (count, signed) = seen(&gateway, "demo", "please sign me!").await?;
        assert_eq!((count, signed), (json!(asked), json!(SIGNED)));
    }
    // Another tenant's count is its own, and the secret is not for it.
    let (count, signed) = seen(&gateway, "other", "please sign me!").await?;
    assert_eq!((count, signed), (json!(1), json!("")));

    let demo = gateway
        .client("demo")?
        .with_header("x-policy-ask", "denials");
    let other = gateway
        .client("other")?
        .with_header("x-policy-ask", "denials");
    for _ in 0..2 {
        assert_eq!(demo.chat(&says("forbidden")).await?.status, 403);
    }
    eventually("both denials are counted", async || {
        let Ok(reply) = demo.chat(&says("x")).await else {
            return false;
        };
        let told = why(&gateway, &reply).await.unwrap_or_default();
        // A name that the configuration does not say as a secret's signs nothing.
        assert_eq!(label(&told, "signed"), "");
        label(&told, "count") == &json!(2)
    })
    .await?;
    let told = why(&gateway, &other.chat(&says("x")).await?).await?;
    assert_eq!(label(&told, "count"), &json!(0));

    let mut told = told_everywhere(&gateway).await?;
    gateway.drain().await?;
    told.push(("the log".to_owned(), gateway.process.log()));
    let mut found: Vec<String> = told
        .into_iter()
        .filter(|(_, text)| text.contains(SECRET))
        .map(|(place, _)| place)
        .collect();
    search(&gateway.state(), began, &[SECRET], &mut found);
    assert!(found.is_empty(), "the secret is in {found:#?}");
    Ok(())
}

/// What the control API and the command line answer.
async fn told_everywhere(gateway: &Gateway) -> anyhow::Result<Vec<(String, String)>> {
    let control = gateway.control()?;
    let mut told = Vec::new();
    let policies = ["", "/test", "/test/versions", "/test/versions/1"];
    let policies = policies.map(|path| format!("/admin/v1/policies{path}"));
    let others = [
        "plugins",
        "tenants",
        "tenants/demo",
        "targets",
        "changes",
        "decisions",
        "backup",
    ];
    let others = others.map(|path| format!("/admin/v1/{path}"));
    for path in policies
        .into_iter()
        .chain(others)
        .chain(["/metrics".to_owned()])
    {
        let reply = control.get(&path).await?;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        told.push((path, reply.text()));
    }
    let metrics = told
        .last()
        .map(|(_, text)| text.clone())
        .unwrap_or_default();
    by_tenant(&metrics);
    Ok(told)
}

/// Fuel and memory are told by tenant, and more of it for the one that asked more.
fn by_tenant(metrics: &str) {
    for name in ["fuel", "memory_bytes"] {
        let value = |tenant: &str| {
            let sample = format!("pointsman_tenant_step_{name}_total{{tenant=\"{tenant}\"}} ");
            let value = metrics.lines().find_map(|line| line.strip_prefix(&sample));
            value.and_then(|value| value.parse::<f64>().ok())
        };
        let (demo, other) = (value("demo"), value("other"));
        assert!(
            demo > other && other > Some(0.0),
            "{name}: {demo:?} {other:?}"
        );
    }
}

/// A guard that a long text costs more fuel than it has.
fn tired(trip_ms: u64) -> String {
    let more = format!(
        "limits = {{ fuel = 3000000, faults-max = 2, trip-ms = {trip_ms} }}\nrequired = true"
    );
    step("pii", "guard-request", "guard-pii@0.1", "deny", &more)
}

async fn activate(control: &Client, bundle: &Bundle) -> anyhow::Result<()> {
    let path = format!("/admin/v1/policies/{}", bundle.name());
    let pushed = control
        .post(&format!("{path}/versions"), &bundle.pushable())
        .await?;
    anyhow::ensure!(pushed.status == 201, "{}", pushed.text());
    let version = json!({"version": pushed.json()["version"]});
    let active = control.post(&format!("{path}/activate"), &version).await?;
    anyhow::ensure!(active.status == 200, "{}", active.text());
    Ok(())
}

#[tokio::test]
async fn a_guard_that_faults_rests_for_that_tenant_and_version_and_denies_meanwhile()
-> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let endpoint = provider.endpoint();
    let version = |trip_ms| policy("test", &[("fake", &endpoint)], &tired(trip_ms));
    let tenants = [("demo", "test"), ("other", "test")];
    let gateway = serve(&provider, &tenants, vec![version(600_000)], |_| {}).await?;
    let (demo, other) = (gateway.client("demo")?, gateway.client("other")?);
    let long = says(&"a word ".repeat(60_000));
    let denied = async |client: &Client, body: &Value, kind: &str| {
        let reply = client.chat(body).await?;
        assert_eq!(reply.status, 502, "{}", reply.text());
        assert_eq!(reply.json()["error"]["code"], "policy_step_failed");
        let told = why(&gateway, &reply).await?;
        assert_eq!(fault(&told), (&json!(kind), &json!("deny")), "{told}");
        anyhow::Ok(())
    };
    assert_eq!(demo.chat(&says("short")).await?.status, 200);
    for _ in 0..2 {
        denied(&demo, &long, "fuel").await?;
    }
    // What it would have passed is denied while it rests; a guard is never left out.
    denied(&demo, &says("short"), "tripped").await?;
    denied(&demo, &streams("short"), "tripped").await?;
    assert_eq!(other.chat(&says("short")).await?.status, 200);
    denied(&other, &long, "fuel").await?;
    assert_eq!(other.chat(&says("short")).await?.status, 200);
    assert_eq!(
        provider.total("requests").await?,
        3,
        "a denied request left"
    );

    // Another version has faults of its own, and after its rest one request tries it.
    activate(&gateway.control()?, &version(3_000)).await?;
    assert_eq!(demo.chat(&says("short")).await?.status, 200);
    for _ in 0..2 {
        denied(&demo, &long, "fuel").await?;
    }
    denied(&demo, &says("short"), "tripped").await?;
    eventually("it runs again after its rest", async || {
        let reply = demo.chat(&says("short")).await;
        reply.is_ok_and(|reply| reply.status == 200)
    })
    .await?;
    let sample = r#"pointsman_step_faults_total{phase="guard-request",plugin="guard-pii@0.1.0",kind="tripped"}"#;
    assert!(gateway.metric(sample).await? >= Some(3.0));
    Ok(())
}

fn finish(reply: &Reply) -> Option<String> {
    let whole = reply.json()["choices"][0]["finish_reason"]
        .as_str()
        .map(str::to_owned);
    let told = data_of(&reply.events());
    let streamed = told
        .iter()
        .find_map(|event| event["choices"][0]["finish_reason"].as_str());
    whole.or_else(|| streamed.map(str::to_owned))
}

fn content(reply: &Reply) -> String {
    let whole = reply.json()["choices"][0]["message"]["content"].clone();
    whole
        .as_str()
        .map_or_else(|| reply.content(), str::to_owned)
}

/// What two callers get of an answer, one whole and one as a stream.
async fn both(
    provider: &Provider,
    client: &Client,
    deltas: &[&str],
) -> anyhow::Result<[(String, Option<String>); 2]> {
    provider
        .script(&json!({"default": {"deltas": deltas}}))
        .await?;
    let mut told = Vec::new();
    for body in [says("x"), streams("x")] {
        let reply = client.chat(&body).await?;
        assert_eq!(reply.status, 200, "{}", reply.text());
        told.push((content(&reply), finish(&reply)));
    }
    let mut told = told.into_iter();
    Ok([told.next(), told.next()].map(Option::unwrap_or_default))
}

const WORDS: &str = r#"required = true

[[step.config.lists]]
name = "codenames"
words = ["Project Bluebird", "Falcon"]
act = "mask"
placeholder = "[internal]"

[[step.config.lists]]
name = "betting"
words = ["bookmaker", "wager"]
act = "deny"
at-least = 2"#;

const SHAPE: &str = r#"required = true

[step.config.schema]
type = "object"
required = ["city", "population"]
additionalProperties = false
properties = { city = { type = "string" }, population = { type = "integer", minimum = 0 } }"#;

#[tokio::test]
async fn words_and_shapes_are_held_to_in_whole_answers_and_in_streams() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let endpoint = provider.endpoint();
    let targets = [("fake", endpoint.as_str())];
    let words = [
        step(
            "words-in",
            "guard-request",
            "guard-words@0.1",
            "deny",
            WORDS,
        ),
        step(
            "words-out",
            "guard-response",
            "guard-words@0.1",
            "deny",
            WORDS,
        ),
    ];
    let shape = step("shape", "guard-response", "guard-json@0.1", "deny", SHAPE);
    let bundles = vec![
        policy("words", &targets, &words.concat()),
        policy("shape", &targets, &shape),
    ];
    let tenants = [("words", "words"), ("shape", "shape")];
    let gateway = serve(&provider, &tenants, bundles, |_| {}).await?;
    let (words, shape) = (gateway.client("words")?, gateway.client("shape")?);

    let clean = ["Nothing of the", " kind, a bookmaker apart."];
    for (text, end) in both(&provider, &words, &clean).await? {
        assert_eq!((text, end.as_deref()), (clean.concat(), Some("stop")));
    }
    let named = ["The Pro", "ject  Blue", "bird and the fal", "con fly."];
    for (text, _) in both(&provider, &words, &named).await? {
        assert_eq!(text, "The [internal] and the [internal] fly.");
    }
    let betting = ["A book", "maker takes the wa", "ger now."];
    for (text, end) in both(&provider, &words, &betting).await? {
        assert!(!text.contains("wager") && !text.contains("now"), "{text}");
        assert_eq!(end.as_deref(), Some("content_filter"));
    }
    let asked = words.chat(&says("a bookmaker's wager")).await?;
    assert_eq!(asked.status, 403, "{}", asked.text());
    assert!(asked.text().contains("words.betting"), "{}", asked.text());

    let fenced = [
        "Here:\n``",
        "`json\n{\"city\": \"Oslo\", \"popu",
        "lation\": 7,}\n``",
        "`",
    ];
    let good = ["{\"city\": \"Oslo\", ", "\"population\": 7}"];
    for deltas in [&fenced[..], &good] {
        for (text, end) in both(&provider, &shape, deltas).await? {
            let told: Value = serde_json::from_str(&text)?;
            assert_eq!(told, json!({"city": "Oslo", "population": 7}));
            assert_eq!(end.as_deref(), Some("stop"));
        }
    }
    for broken in [
        ["{\"city\": \"Oslo\", ", "\"population\": -7}"],
        ["No JSON ", "at all."],
    ] {
        for (text, end) in both(&provider, &shape, &broken).await? {
            assert_eq!(
                (text.as_str(), end.as_deref()),
                ("", Some("content_filter"))
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_was_trained_on_labelled_rows_routes() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let endpoint = provider.endpoint();
    let targets = [("strong", endpoint.as_str()), ("weak", endpoint.as_str())];
    let untrained = policy("test", &targets, "");
    let gateway = serve(&provider, &[("demo", "test")], vec![untrained], |_| {}).await?;
    let rows = (0..80).map(|number| {
        let (prompt, weak) = if number % 2 == 0 {
            (format!("Prove the theorem about groups of order {number}."), 0)
        } else {
            (format!("Say hello to friend number {number}."), 1)
        };
        json!({"prompt": prompt, "strong_correct": 1, "weak_correct": weak, "subject": format!("s{}", number % 4 / 2)})
            .to_string()
    });
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(path("rows.jsonl"), rows.collect::<Vec<_>>().join("\n"))?;
    let train = |out: &str| {
        gateway.cli(&[
            "train",
            "routing",
            "--rows",
            &path("rows.jsonl"),
            "--out",
            &path(out),
            "--json",
        ])
    };
    let told = train("router.bin")?;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert_eq!(told.json()["rows"], 80, "{}", told.stdout);
    train("again.bin")?;
    let trained = std::fs::read(path("router.bin"))?;
    assert_eq!(
        trained,
        std::fs::read(path("again.bin"))?,
        "same rows, same file"
    );

    let more = "grants = [\"data\"]\ndata = [\"router.bin\"]\nconfig = { strong = [\"strong\"], weak = [\"weak\"], model = \"router.bin\", threshold = 0.5 }";
    let steps = step("needed", "route", "route-learned@0.1", "deny", more);
    let bundle = policy("test", &targets, &steps).with("router.bin", trained);
    activate(&gateway.control()?, &bundle).await?;
    for (text, target) in [
        ("Prove the theorem about rings.", "strong"),
        ("Say hello to Ada.", "weak"),
    ] {
        let reply = gateway.client("demo")?.chat(&says(text)).await?;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("x-pointsman-target"), Some(target), "{text}");
    }
    Ok(())
}

/// Unit → kind and pico-dollars of a decision's lines, with the tier of those that say one.
fn lines(told: &Value) -> BTreeMap<String, String> {
    let cost = told["closed"]["cost"].as_array().into_iter().flatten();
    let line = |line: &Value| {
        let attributes = line["attributes"].as_array().into_iter().flatten();
        let tier = attributes
            .into_iter()
            .find(|attribute| attribute["key"] == "service-tier");
        let tier = tier
            .and_then(|tier| tier["value"]["text"].as_str())
            .unwrap_or("-");
        let picos = line["amount"]["pico-usd"].to_string();
        let kind = line["amount"]["kind"].as_str().unwrap_or_default();
        let unit = line["unit"].as_str().unwrap_or_default().to_owned();
        (unit, format!("{kind} {} {tier}", picos.trim_matches('"')))
    };
    cost.into_iter().map(line).collect()
}

#[tokio::test]
async fn answers_cost_what_their_tier_costs_at_the_time_of_their_decision() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let config = r#"grants = ["prices"]

[[step.config.fees.fake]]
usd = "0.5"
until = "2020-01-01"

[[step.config.fees.fake]]
usd = "0.000000000007"
from = "2020-01-01""#;
    let account = step("cost", "account", "account-tokens@0.1", "fallback", config);
    let bundle = policy("test", &[("fake", &provider.endpoint())], &account).replace(
        "model = \"fake\"",
        "model = \"fake\"\nprice = \"house/fake\"",
    )?;
    let row = json!({"provider": "house", "model": "fake", "mode": "chat",
        "usd_per_mtok": {"in": 2.0, "out": 8.0, "batch_in": 1.0, "batch_out": 4.0, "priority_in": 3.0, "priority_out": 9.0}});
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("prices.jsonl");
    std::fs::write(&file, row.to_string())?;
    let gateway = serve(&provider, &[("demo", "test")], vec![bundle], |options| {
        options.settings = json!({ "prices": file });
    })
    .await?;
    let client = gateway.client("demo")?;
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15});
    let answer = |tier: Option<&str>| {
        let mut answer = json!({"text": "ok", "usage": usage});
        if let Some(tier) = tier {
            answer["fields"] = json!({"service_tier": tier});
        }
        json!({ "default": answer })
    };
    let lines_of = |input: &str, output: &str| {
        [
            ("input-tokens", input),
            ("output-tokens", output),
            ("requests", "exact 7 -"),
        ]
        .map(|(unit, line)| (unit.to_owned(), line.to_owned()))
        .into()
    };
    let batch = lines_of("exact 10000000 batch", "exact 20000000 batch");
    let standard = lines_of("exact 20000000 -", "exact 40000000 -");
    let asked = lines_of("estimated 30000000 priority", "estimated 45000000 priority");
    let unknown = lines_of("estimated 20000000 scale", "estimated 40000000 scale");
    for (asks, says_so, wanted) in [
        (None, Some("batch"), &batch),
        (Some("priority"), Some("default"), &standard),
        (Some("priority"), None, &asked),
        (None, Some("scale"), &unknown),
        (None, None, &standard),
    ] {
        provider.script(&answer(says_so)).await?;
        for mut body in [says("x"), streams("x")] {
            if let Some(tier) = asks {
                body["service_tier"] = json!(tier);
            }
            let body = body.to_string();
            let reply = client
                .send(Method::POST, "/v1/chat/completions", body.into())
                .await?;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let told = why(&gateway, &reply).await?;
            assert_eq!(&lines(&told), wanted, "{asks:?} {says_so:?}: {told}");
        }
    }
    Ok(())
}
