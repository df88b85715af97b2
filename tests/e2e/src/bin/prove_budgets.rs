//! `cargo xtask prove budgets`: a tenant with one dollar, five hundred parallel requests, half of them leaving at random
//! moments; then kills under load. What is settled stays within the budget, and the records sum to the balance exactly.
//! The last line is JSON.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use pointsman_domain::Picos;
use pointsman_domain::decision::{Closed, Outcome};
use pointsman_e2e::budgets::{
    IN_PICOS, OUT_PICOS, Priced, Told, a_day, balances, closed, differences, put, settled, sums,
};
use pointsman_e2e::{says, streams};
use pointsman_harness::{Client, Gateway, Raw, eventually};
use serde_json::{Value, json};

const DOLLAR: i128 = 1_000_000_000_000;
const CLIENTS: usize = 500;
const KILLS: usize = 10;
/// Requests under way when the gateway is killed.
const UNDER_KILL: usize = 40;
/// A request that leaves does so within this.
const LEAVES_MS_MAX: u64 = 1_500;

/// How often who is refused asks, and how long it waits in between.
const ASKS: usize = 20;
const ASKS_AGAIN: Duration = Duration::from_millis(200);

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

/// What the clients saw.
#[derive(Clone, Copy, Default)]
struct Seen {
    served: usize,
    refused: usize,
    left: usize,
    other: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    let mut dice = Dice(u64::from(std::process::id()) << 20 | 0x5eed);
    let mut priced = Priced::start("").await?;
    // Slow enough that all are under way at once, and that who leaves does so at any moment.
    let script = json!({"default": {
        "text": "word ".repeat(40),
        "delays": {"headers-ms": 150, "chunk-ms": 15},
    }});
    priced.provider.script(&script).await?;
    put(&priced.gateway, a_day("1")).await?;

    let local = tokio::task::LocalSet::new();
    let seen = local.run_until(storm(&priced.gateway, &mut dice)).await?;
    let told = settled(&priced.gateway).await?;
    let records = all_closed(&priced.gateway).await?;
    let first = Findings::of(&told, &records);
    writeln!(
        out,
        "{} served, {} refused, {} left, {} else; settled ${}",
        seen.served,
        seen.refused,
        seen.left,
        seen.other,
        first.spent.to_usd_string()
    )?;
    let ledger = priced.provider.ledger().await?;
    let (under, unrecorded) = against(&ledger, &records);

    let mut after_kills = Vec::new();
    put(&priced.gateway, a_day("1000")).await?;
    for kill in 1..=KILLS {
        local
            .run_until(killed(&mut priced.gateway, &mut dice))
            .await?;
        let told = settled(&priced.gateway).await?;
        let findings = Findings::of(&told, &closed(&priced.gateway)?);
        writeln!(
            out,
            "kill {kill}: ${} settled, {} differences",
            findings.spent.to_usd_string(),
            findings.differences.len()
        )?;
        after_kills.extend(findings.differences);
    }
    for line in first.differences.iter().chain(&after_kills).take(20) {
        writeln!(out, "WRONG {line}")?;
    }

    let most = Picos(DOLLAR) + first.largest;
    let zero = |value: usize| json!({"value": value, "limit": 0, "ok": value == 0});
    let promises = json!({
        "settled-pico-usd": {"value": first.spent, "limit": most, "ok": first.spent <= most},
        "sums-apart": zero(first.differences.len()),
        "sums-apart-after-kills": zero(after_kills.len()),
        "answered-otherwise": zero(seen.other),
        "provider-requests-unrecorded": zero(unrecorded),
        "whole-answers-charged-below-provider": zero(under.whole),
        "refused": {"value": seen.refused, "limit": 1, "ok": seen.refused > 0},
    });
    let ok = promises
        .as_object()
        .is_some_and(|all| all.values().all(|promise| promise["ok"] == true));
    let goals = json!({"left-answers-charged-below-provider": zero(under.left)});
    let conditions = json!({
        "clients": CLIENTS, "served": seen.served, "left": seen.left, "refused": seen.refused,
        "largest-reservation-pico-usd": first.largest, "kills": KILLS,
        "budget-pico-usd": DOLLAR.to_string(), "most-below-provider-pico-usd": under.most,
    });
    writeln!(
        out,
        "{}",
        json!({"name": "budgets", "ok": ok, "promises": promises, "goals": goals, "conditions": conditions})
    )?;
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All clients at once: every other one streams, every other two leave.
async fn storm(gateway: &Gateway, dice: &mut Dice) -> anyhow::Result<Seen> {
    let client = Rc::new(gateway.client("demo")?);
    let mut tasks = Vec::with_capacity(CLIENTS);
    for index in 0..CLIENTS {
        let body = body(index);
        let leaves = (index % 4 < 2).then(|| Duration::from_millis(dice.below(LEAVES_MS_MAX)));
        let (client, url) = (Rc::clone(&client), gateway.data_url.clone());
        let key = gateway.key("demo")?.to_owned();
        tasks.push(tokio::task::spawn_local(async move {
            match leaves {
                Some(after) => leave(&url, &key, &body, after).await,
                None => stay(&client, &body).await,
            }
        }));
    }
    let mut seen = Seen::default();
    for task in tasks {
        let one = task.await?;
        seen.served += one.served;
        seen.refused += one.refused;
        seen.left += one.left;
        seen.other += one.other;
    }
    Ok(seen)
}

fn body(index: usize) -> Value {
    let text = format!("request {index}, say something of some length");
    if index.is_multiple_of(2) {
        says(&text)
    } else {
        streams(&text)
    }
}

/// Who stays asks again while there is no room: reservations come back, until the dollar is really spent.
async fn stay(client: &Client, body: &Value) -> Seen {
    let mut seen = Seen::default();
    for _ in 0..ASKS {
        match client.chat(body).await {
            Ok(reply) if reply.status == 200 => {
                seen.served = 1;
                return seen;
            }
            Ok(reply) if reply.json()["error"]["code"] == "budget_exceeded" => seen.refused += 1,
            Ok(_) | Err(_) => seen.other += 1,
        }
        tokio::time::sleep(ASKS_AGAIN).await;
    }
    seen
}

async fn leave(url: &str, key: &str, body: &Value, after: Duration) -> Seen {
    let asked = Raw::post(url, "/v1/chat/completions", key, &body.to_string()).await;
    let seen = Seen {
        left: 1,
        ..Seen::default()
    };
    if let Ok(mut raw) = asked {
        let _whatever_came = tokio::time::timeout(after, raw.read_to_end()).await;
    }
    seen
}

/// Kills the gateway with requests under way, and starts it again.
async fn killed(gateway: &mut Gateway, dice: &mut Dice) -> anyhow::Result<()> {
    let key = gateway.key("demo")?.to_owned();
    let mut waiting = Vec::new();
    for index in 0..UNDER_KILL {
        let url = gateway.data_url.clone();
        let (key, body) = (key.clone(), body(index));
        waiting.push(tokio::task::spawn_local(async move {
            leave(&url, &key, &body, Duration::from_secs(5)).await
        }));
    }
    tokio::time::sleep(Duration::from_millis(dice.below(LEAVES_MS_MAX))).await;
    gateway.process.kill()?;
    for task in waiting {
        task.await?;
    }
    gateway.restart().await?;
    let told = balances(gateway).await?;
    ensure!(
        told.keys().any(|name| name.starts_with("tenant/demo/day/")),
        "no balance after the restart"
    );
    Ok(())
}

/// The records, once every request that was opened is closed.
async fn all_closed(gateway: &Gateway) -> anyhow::Result<Vec<Closed>> {
    let mut records = Vec::new();
    let mut before = usize::MAX;
    eventually("the records stand still", async || {
        let Ok(now) = closed(gateway) else {
            return false;
        };
        let still = now.len() == before;
        before = now.len();
        records = now;
        still
    })
    .await?;
    Ok(records)
}

struct Findings {
    spent: Picos,
    /// The largest that any request may have set aside.
    largest: Picos,
    differences: Vec<String>,
}

impl Findings {
    fn of(told: &BTreeMap<String, Told>, records: &[Closed]) -> Self {
        let day = told
            .iter()
            .find(|(name, _)| name.starts_with("tenant/demo/day/"));
        Self {
            spent: day.map_or(Picos(0), |(_, told)| told.spent),
            // 64 tokens of answer, and a prompt of at most as many.
            largest: Picos(64 * (OUT_PICOS + IN_PICOS)),
            differences: differences(told, &sums(records)),
        }
    }
}

/// Answers that were charged less than the provider gave.
#[derive(Default)]
struct Under {
    whole: usize,
    left: usize,
    /// The most that one fell short.
    most: Picos,
}

/// The provider's own count against the records; and the requests that it saw and nobody recorded.
fn against(ledger: &Value, records: &[Closed]) -> (Under, usize) {
    let by_id: BTreeMap<&str, &Closed> = records
        .iter()
        .map(|record| (record.id.0.as_str(), record))
        .collect();
    let (mut under, mut unrecorded) = (Under::default(), 0);
    for row in ledger["requests"].as_array().into_iter().flatten() {
        let id = row["request-id"]
            .as_str()
            .or_else(|| row["headers"]["x-pointsman-request-id"].as_str())
            .or_else(|| row["request_id"].as_str());
        let Some(record) = id.and_then(|id| by_id.get(id)) else {
            unrecorded += 1;
            continue;
        };
        let tokens = |name: &str| i128::from(row[name].as_u64().unwrap_or(0));
        let gave = tokens("prompt_tokens") * IN_PICOS + tokens("completion_tokens") * OUT_PICOS;
        if record.charged_pico_usd < Picos(gave) {
            under.most = under.most.max(Picos(gave) - record.charged_pico_usd);
            if record.outcome == Outcome::Ok {
                under.whole += 1;
            } else {
                under.left += 1;
            }
        }
    }
    (under, unrecorded)
}
