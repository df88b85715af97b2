//! `cargo xtask prove crash`: the gateway is killed (SIGKILL) at random moments of activations and traffic, again and
//! again on the same state. Whatever it had acknowledged must be there after each restart: versions, keys, activations,
//! tenants, decisions, charges. The last line is JSON.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use pointsman_audit::records;
use pointsman_domain::decision::{Closed, Opened, Record};
use pointsman_domain::{Digest, Picos};
use pointsman_e2e::{policy, step};
use pointsman_harness::{Bundle, Client, Gateway, GatewayOptions, Provider, Reply};
use serde_json::{Value, json};
use sha2::Digest as _;

const KILLS: usize = 300;
/// Milliseconds of work before a kill, at most.
const WORK_MS_MAX: u64 = 200;
const CLIENTS: usize = 6;
const POLICY: &str = "crash";
/// Pico-dollars a token of the price `openai/gpt-4o-mini`: 0.15 and 0.60 dollars a million.
const IN_PICOS: i128 = 150_000;
const OUT_PICOS: i128 = 600_000;

/// What was acknowledged.
#[derive(Default)]
struct Told {
    versions: RefCell<BTreeMap<u64, String>>,
    active: Cell<u64>,
    /// Asked for since the last acknowledged activation, and not answered: it may have happened.
    asked: RefCell<HashSet<u64>>,
    /// Secret and whether a revocation was acknowledged, by id.
    keys: RefCell<BTreeMap<String, (String, bool)>>,
    /// Keys whose revocation was asked for and not answered.
    doubtful: RefCell<HashSet<String>>,
    tenants: RefCell<Vec<String>>,
    /// Ids of requests whose answer came whole.
    answered: RefCell<Vec<String>>,
    /// The digest of the body that was sent, by the mark in it.
    sent: RefCell<HashMap<String, Digest>>,
    marks: Cell<usize>,
    pushes: Cell<usize>,
    wrong: RefCell<Vec<String>>,
}

impl Told {
    fn wrong(&self, what: String) {
        self.wrong.borrow_mut().push(what);
    }
}

/// A small generator: which moment is random, not what is asked.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A version of its own that needs no compiling, so that many are pushed between two kills.
fn bundle(endpoint: &str, number: usize) -> Bundle {
    let rules = "config = { rules = [{ name = \"n\", when = \"true\", then = { label = { kind = \"crash\" } } }] }";
    let steps = [
        step("stamp", "classify", "rules@0.1", "skip", rules),
        step(
            "cost",
            "account",
            "account-tokens@0.1",
            "fallback",
            "grants = [\"prices\"]",
        ),
    ];
    let target = "model = \"fake\"";
    let deadline = format!("[execute]\ndeadline-ms = {}", 100_000 + number);
    policy(POLICY, &[("fake", endpoint)], &steps.concat())
        .replace(target, &format!("{target}\nprice = \"openai/gpt-4o-mini\""))
        .and_then(|bundle| bundle.replace("[execute]", &deadline))
        .unwrap_or_else(|_| policy(POLICY, &[("fake", endpoint)], ""))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let kills = std::env::args()
        .skip_while(|argument| argument != "--kills")
        .nth(1)
        .map_or(Ok(KILLS), |count| count.parse())?;
    let seed = u64::from(std::process::id()) << 20 | 0x5eed;
    let provider = Provider::start().await?;
    provider
        .script(&json!({"default": {"delays": {"chunk-ms": 6, "headers-ms": 3}}}))
        .await?;
    let mut options =
        GatewayOptions::serving(bundle(&provider.endpoint(), 1), &[provider.authority()]);
    let prices = pointsman_harness::shipped_policies().join("prices.jsonl");
    options.settings = json!({ "prices": prices });
    let mut gateway = Gateway::start(options).await?;
    let told = Rc::new(Told::default());
    told.active.set(1);
    told.pushes.set(1);
    told.keys
        .borrow_mut()
        .insert("demo".to_owned(), (gateway.key("demo")?.to_owned(), false));
    let mut dice = Dice(seed);
    let mut out = std::io::stdout();
    for kill in 1..=kills {
        let local = tokio::task::LocalSet::new();
        for _ in 0..CLIENTS {
            local.spawn_local(traffic(gateway.client("demo")?, Rc::clone(&told)));
        }
        let endpoint = provider.endpoint();
        local.spawn_local(operator(gateway.control()?, Rc::clone(&told), endpoint));
        let work = Duration::from_millis(5 + dice.below(WORK_MS_MAX));
        local
            .run_until(async {
                tokio::time::sleep(work).await;
                gateway.process.kill()
            })
            .await?;
        // Answers that are on their way still arrive.
        let rest = Duration::from_millis(20);
        let _clients_go_on = tokio::time::timeout(rest, local).await;
        gateway.restart().await?;
        if let Err(error) = check(&gateway, &told).await {
            told.wrong(format!("after kill {kill}: {error:#}"));
        }
        if kill % 25 == 0 {
            let wrong = told.wrong.borrow().len();
            writeln!(out, "{kill} kills, {wrong} wrong")?;
        }
    }
    let verified = gateway.cli(&["audit", "verify"])?;
    if verified.code != Some(0) {
        told.wrong(format!(
            "audit verify: {} {}",
            verified.stdout, verified.stderr
        ));
    }
    let usage = gateway
        .control()?
        .get("/admin/v1/usage?tenant=demo")
        .await?;
    let counts = books(&gateway, &told, &provider.ledger().await?, &usage.json())?;
    report(&told, kills, seed, &counts)
}

async fn traffic(client: Client, told: Rc<Told>) {
    loop {
        let mark = told.marks.get() + 1;
        told.marks.set(mark);
        let name = format!("mark-{mark:07}");
        let mut body = json!({
            "model": "auto", "max_tokens": 24,
            "messages": [{"role": "user", "content": format!("say something to {name}")}],
        });
        body["stream"] = Value::Bool(mark.is_multiple_of(2));
        let digest = sha2::Sha256::digest(body.to_string().as_bytes()).into();
        told.sent.borrow_mut().insert(name, Digest(digest));
        match client.chat(&body).await {
            Ok(reply) if reply.status == 200 => {
                let whole = !mark.is_multiple_of(2) || reply.text().contains("data: [DONE]");
                let id = reply.header("x-pointsman-request-id").map(str::to_owned);
                if let (true, Some(id)) = (whole, id) {
                    told.answered.borrow_mut().push(id);
                }
            }
            Ok(reply) => told.wrong(format!("{}: {}", reply.status, reply.text())),
            // Killed meanwhile.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Pushes, activations, keys, tenants, one after the other.
async fn operator(control: Client, told: Rc<Told>, endpoint: String) {
    // Any other error is the kill.
    if let Err(error) = changes(&control, &told, &endpoint).await
        && let Some(Refused(what)) = error.downcast_ref()
    {
        told.wrong(what.clone());
    }
}

/// An answer that is not what it should be.
#[derive(Debug)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

fn expect(what: &str, reply: Reply, status: u16) -> anyhow::Result<Value> {
    if reply.status == status {
        return Ok(reply.json());
    }
    let told = format!("{what} was answered {}: {}", reply.status, reply.text());
    Err(Refused(told).into())
}

async fn changes(control: &Client, told: &Told, endpoint: &str) -> anyhow::Result<()> {
    loop {
        let number = told.pushes.get() + 1;
        told.pushes.set(number);
        let path = format!("/admin/v1/policies/{POLICY}");
        let body = bundle(endpoint, number).pushable();
        let reply = control.post(&format!("{path}/versions"), &body).await?;
        let pushed = expect("a push", reply, 201)?;
        let version = pushed["version"].as_u64().context("no version")?;
        let digest = pushed["digest"].as_str().unwrap_or_default().to_owned();
        told.versions.borrow_mut().insert(version, digest);
        for wanted in [version, (version - 1).max(1), version] {
            told.asked.borrow_mut().insert(wanted);
            let body = json!({ "version": wanted });
            let reply = control.post(&format!("{path}/activate"), &body).await?;
            expect("an activation", reply, 200)?;
            told.active.set(wanted);
            told.asked.borrow_mut().clear();
        }
        let reply = control
            .post("/admin/v1/tenants/demo/keys", &json!({}))
            .await?;
        let made = expect("a key", reply, 201)?;
        let (id, secret) = (made["key"]["id"].as_str(), made["secret"].as_str());
        let (id, secret) = id.zip(secret).context("no key")?;
        told.keys
            .borrow_mut()
            .insert(id.to_owned(), (secret.to_owned(), false));
        if number.is_multiple_of(2) {
            told.doubtful.borrow_mut().insert(id.to_owned());
            let path = format!("/admin/v1/tenants/demo/keys/{id}");
            let reply = control.send(http::Method::DELETE, &path, bytes::Bytes::new());
            expect("a revocation", reply.await?, 200)?;
            told.doubtful.borrow_mut().remove(id);
            if let Some((_, revoked)) = told.keys.borrow_mut().get_mut(id) {
                *revoked = true;
            }
        }
        let tenant = format!("t-{number}");
        let body = json!({"policy": POLICY, "budget": [{"period": "day", "usd": "1.5"}]});
        let path = format!("/admin/v1/tenants/{tenant}");
        let reply = control.send(http::Method::PUT, &path, body.to_string().into());
        expect("a tenant", reply.await?, 201)?;
        told.tenants.borrow_mut().push(tenant);
    }
}

/// What operators were told, against what is there.
async fn check(gateway: &Gateway, told: &Told) -> anyhow::Result<()> {
    let control = gateway.control()?;
    let policy = control
        .get(&format!("/admin/v1/policies/{POLICY}"))
        .await?
        .json();
    let there: HashMap<u64, String> = policy["versions"]
        .as_array()
        .context("no versions")?
        .iter()
        .filter_map(|version| {
            let digest = version["digest"].as_str()?;
            Some((version["number"].as_u64()?, digest.to_owned()))
        })
        .collect();
    for (number, digest) in told.versions.borrow().iter() {
        ensure!(
            there.get(number) == Some(digest),
            "version {number} is gone"
        );
    }
    let active = policy["active"].as_u64().context("nothing is active")?;
    let asked = std::mem::take(&mut *told.asked.borrow_mut());
    ensure!(
        active == told.active.get() || asked.contains(&active),
        "version {} was activated, {active} is active",
        told.active.get()
    );
    told.active.set(active);
    let tenants = control.get("/admin/v1/tenants").await?.text();
    for tenant in told.tenants.borrow().iter() {
        ensure!(
            tenants.contains(&format!("\"{tenant}\"")),
            "{tenant} is gone"
        );
    }
    // All are in the list; the newest are tried.
    let listed = control.get("/admin/v1/tenants/demo/keys").await?.text();
    let keys = told.keys.borrow().clone();
    let doubtful = std::mem::take(&mut *told.doubtful.borrow_mut());
    for id in keys.keys().filter(|id| *id != "demo") {
        ensure!(listed.contains(&format!("\"{id}\"")), "{id} is gone");
    }
    for (id, (secret, revoked)) in keys.iter().rev().take(4) {
        let client = Client::new(&gateway.data_url).with_key(secret);
        let status = client.get("/v1/models").await?.status;
        let wanted = if *revoked { 401 } else { 200 };
        ensure!(
            status == wanted || doubtful.contains(id),
            "{id} is answered {status}, not {wanted}"
        );
    }
    told.keys
        .borrow_mut()
        .retain(|id, _| !doubtful.contains(id));
    Ok(())
}

/// Counts of the books.
struct Counts {
    records: usize,
    ledger: usize,
    estimated: usize,
    charged: Picos,
}

/// Records against what clients saw, what the provider counted, and the balance.
fn books(gateway: &Gateway, told: &Told, ledger: &Value, usage: &Value) -> anyhow::Result<Counts> {
    let mut opened: HashMap<String, Box<Opened>> = HashMap::new();
    let mut closed: HashMap<String, Box<Closed>> = HashMap::new();
    for record in records(&gateway.state().join("decisions"))? {
        match record?.1 {
            Record::Opened(record) => drop(opened.insert(record.id.0.clone(), record)),
            Record::Closed(record) => drop(closed.insert(record.id.0.clone(), record)),
            _ => {}
        }
    }
    for id in told.answered.borrow().iter() {
        if !closed.contains_key(id) {
            told.wrong(format!("{id} was answered, and has no record of its end"));
        }
    }
    for id in opened.keys().filter(|id| !closed.contains_key(*id)) {
        told.wrong(format!("{id} is open after the restart"));
    }
    let by_digest: HashMap<Digest, &Opened> = opened
        .values()
        .filter_map(|record| Some((record.request_digest?, &**record)))
        .collect();
    let rows = ledger["requests"].as_array().context("no ledger")?;
    for row in rows {
        let body = row["body"].as_str().unwrap_or_default();
        let mark = body.find("mark-").and_then(|at| body.get(at..at + 12));
        let Some(mark) = mark else { continue };
        let digest = told.sent.borrow().get(mark).copied().context("not ours")?;
        let Some(record) = by_digest.get(&digest) else {
            told.wrong(format!("{mark} reached the provider and has no record"));
            continue;
        };
        let tokens = |name: &str| i128::from(row[name].as_u64().unwrap_or_default());
        let cost = tokens("prompt_tokens") * IN_PICOS + tokens("completion_tokens") * OUT_PICOS;
        let charge = closed.get(&record.id.0).map(|end| end.charged_pico_usd);
        if charge.is_none_or(|charge| charge.0 < cost) {
            told.wrong(format!("{mark} cost {cost}, and was charged {charge:?}"));
        }
    }
    let charged: Picos = closed
        .values()
        .filter(|end| {
            end.budgets
                .iter()
                .any(|window| window.starts_with("tenant/demo/day"))
        })
        .map(|end| end.charged_pico_usd)
        .sum();
    let balances = usage["balances"].as_array().context("no balances")?;
    let spent: Picos = balances
        .iter()
        .filter(|balance| {
            let window = balance["window"].as_str().unwrap_or_default();
            window.starts_with("tenant/demo/day")
        })
        .filter_map(|balance| Picos::from_usd(balance["spent-usd"].as_str()?).ok())
        .sum();
    if charged != spent || charged == Picos(0) {
        told.wrong(format!(
            "records were charged {charged}, the balance says {spent}"
        ));
    }
    Ok(Counts {
        records: closed.len(),
        ledger: rows.len(),
        estimated: closed.values().filter(|end| end.estimated).count(),
        charged,
    })
}

fn report(told: &Told, kills: usize, seed: u64, counts: &Counts) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    let wrong = told.wrong.borrow();
    for line in wrong.iter().take(20) {
        writeln!(out, "WRONG {line}")?;
    }
    let least =
        |value: usize, limit: usize| json!({"value": value, "limit": limit, "ok": value >= limit});
    let ok = wrong.is_empty() && kills >= KILLS;
    let result = json!({
        "name": "crash", "ok": ok,
        "promises": {
            "wrong": {"value": wrong.len(), "limit": 0, "ok": wrong.is_empty()},
            "kills": least(kills, KILLS),
            "answers": least(told.answered.borrow().len(), 1),
            "versions": least(told.versions.borrow().len(), 1),
        },
        "goals": {},
        "conditions": {
            "seed": seed, "clients": CLIENTS, "records": counts.records, "provider-requests": counts.ledger,
            "estimated": counts.estimated, "keys": told.keys.borrow().len(), "tenants": told.tenants.borrow().len(),
            "charged-usd": counts.charged.to_usd_string(),
        },
    });
    writeln!(out, "{result}")?;
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
