//! `cargo xtask prove swap`: versions of a policy are activated and rolled back while clients stream and post at a fixed
//! rate. Nothing may fail, no answer may carry stamps of two versions, and the first request after an activation's
//! answer is served by what it activated. The last line is JSON.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pointsman_e2e::swap::{self, POLICY};
use pointsman_harness::{Client, Gateway, GatewayOptions, Provider};
use serde_json::{Value, json};

const VERSIONS: u64 = 8;
const SWITCHES: usize = 1_000;
/// Half of them stream.
const CLIENTS: usize = 60;
/// Of each client's requests.
const PERIOD: Duration = Duration::from_millis(1_200);
/// Between the provider's chunks: a stream lasts longer than several activations.
const CHUNK_MS: u64 = 8;
/// Between activations.
const PAUSE: Duration = Duration::from_millis(20);
/// Commit to live, median, milliseconds.
const LIVE_MS_MAX: f64 = 10.0;
/// A whole call, 99th percentile, milliseconds.
const CALL_MS_MAX: f64 = 100.0;

#[derive(Default)]
struct Seen {
    served: Cell<usize>,
    wrong: RefCell<Vec<String>>,
    done: Cell<bool>,
}

impl Seen {
    fn wrong(&self, what: String) {
        self.wrong.borrow_mut().push(what);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let provider = Provider::start().await?;
    let script = json!({"default": {"echo": true, "delays": {"chunk-ms": CHUNK_MS}}});
    provider.script(&script).await?;
    let options = GatewayOptions::serving(
        swap::version(1, &provider.endpoint()),
        &[provider.authority()],
    );
    let gateway = Gateway::start(options).await?;
    let control = gateway.control()?;
    for stamp in 2..=VERSIONS {
        let bundle = swap::version(stamp, &provider.endpoint()).pushable();
        let path = format!("/admin/v1/policies/{POLICY}/versions");
        let reply = control.post(&path, &bundle).await?;
        ensure!(reply.status == 201, "push {stamp}: {}", reply.text());
        ensure!(reply.json()["version"] == stamp, "{}", reply.text());
    }
    let seen = Rc::new(Seen::default());
    let local = tokio::task::LocalSet::new();
    let mut clients = Vec::new();
    for index in 0..CLIENTS {
        let client = gateway.client("demo")?;
        clients.push(local.spawn_local(serve(client, index, Rc::clone(&seen))));
    }
    let (live, call, fresh) = local
        .run_until(switch(&control, &gateway.client("demo")?, &seen))
        .await?;
    seen.done.set(true);
    local
        .run_until(async {
            for client in clients {
                client.await?;
            }
            anyhow::Ok(())
        })
        .await?;
    let verified = gateway.cli(&["audit", "verify"])?;
    report(&seen, &live, &call, fresh, verified.code == Some(0))
}

/// One client: a request each period, whatever the last one took.
async fn serve(client: Client, index: usize, seen: Rc<Seen>) {
    let streaming = index.is_multiple_of(2);
    let offset = PERIOD.mul_f64(index as f64 / CLIENTS as f64);
    tokio::time::sleep(offset).await;
    let mut tick = tokio::time::interval(PERIOD);
    while !seen.done.get() {
        tick.tick().await;
        match swap::ask(&client, streaming).await {
            Ok(_) => seen.served.set(seen.served.get() + 1),
            Err(error) => seen.wrong(format!("{error:#}")),
        }
    }
}

/// Activations and rollbacks, one after the other: milliseconds from commit to live, of whole calls, and how many were
/// obeyed by the first request after them.
async fn switch(
    control: &Client,
    client: &Client,
    seen: &Seen,
) -> anyhow::Result<(Vec<f64>, Vec<f64>, usize)> {
    let (mut live, mut call, mut fresh) = (Vec::new(), Vec::new(), 0);
    let (mut active, mut previous) = (1, 0);
    for turn in 0..SWITCHES {
        let back = turn % 5 == 4 && previous > 0;
        let (verb, body, wanted) = if back {
            ("rollback", json!({}), previous)
        } else {
            let next = active % VERSIONS + 1;
            ("activate", json!({ "version": next }), next)
        };
        let began = Instant::now();
        let path = format!("/admin/v1/policies/{POLICY}/{verb}");
        let reply = control.post(&path, &body).await?;
        call.push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(reply.status == 200, "{verb} {wanted}: {}", reply.text());
        let told: Value = reply.json();
        ensure!(told["version"] == wanted, "{verb} {wanted}: {told}");
        let us = told["commit-to-live-us"].as_f64();
        live.push(us.context("no commit-to-live-us")? / 1e3);
        (previous, active) = (active, wanted);
        if turn % 10 == 0 {
            match swap::ask(client, false).await {
                Ok(served) if served == wanted => fresh += 1,
                Ok(served) => seen.wrong(format!(
                    "the first request after {verb} {wanted} was served by {served}"
                )),
                Err(error) => seen.wrong(format!("{error:#}")),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok((live, call, fresh))
}

fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted[((last as f64) * share).round() as usize]
}

fn report(
    seen: &Seen,
    live: &[f64],
    call: &[f64],
    fresh: usize,
    sound: bool,
) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    let wrong = seen.wrong.borrow();
    for line in wrong.iter().take(20) {
        writeln!(out, "WRONG {line}")?;
    }
    let (live_p50, live_p99) = (percentile(live, 0.5), percentile(live, 0.99));
    let (call_p50, call_p99) = (percentile(call, 0.5), percentile(call, 0.99));
    writeln!(
        out,
        "commit to live: median {live_p50:.2} ms, p99 {live_p99:.2}; whole call: median {call_p50:.2} ms, p99 {call_p99:.2}"
    )?;
    let most =
        |value: usize, limit: usize| json!({"value": value, "limit": limit, "ok": value <= limit});
    let least =
        |value: usize, limit: usize| json!({"value": value, "limit": limit, "ok": value >= limit});
    let goal =
        |value: f64, limit: f64| json!({"value": value, "limit": limit, "ok": value <= limit});
    let ok = wrong.is_empty() && live.len() >= SWITCHES && seen.served.get() >= CLIENTS && sound;
    let result = json!({
        "name": "swap", "ok": ok,
        "promises": {
            "failed-or-mixed": most(wrong.len(), 0),
            "switches": least(live.len(), SWITCHES),
            "answers": least(seen.served.get(), CLIENTS),
            "obeyed-at-once": least(fresh, SWITCHES / 10),
            "chains-unsound": most(usize::from(!sound), 0),
        },
        "goals": {
            "commit-to-live-p50-ms": goal(live_p50, LIVE_MS_MAX),
            "whole-call-p99-ms": goal(call_p99, CALL_MS_MAX),
        },
        "conditions": {
            "clients": CLIENTS, "versions": VERSIONS, "period-ms": PERIOD.as_millis() as u64,
        },
    });
    writeln!(out, "{result}")?;
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
