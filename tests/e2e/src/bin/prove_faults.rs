//! `cargo xtask prove faults`: every guest × role × on-fault through HTTP, the gateway serving throughout, and its
//! memory over ten thousand faults. The last line is JSON.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pointsman_e2e::faults::{Combination, Field};
use pointsman_e2e::says;
use serde_json::json;

/// Memory is looked at after each so many; at the first, pools and caches are filled.
const FAULTS_A_ROUND: usize = 2_000;
const FAULTS: usize = 10_000;
/// Memory at the last look over memory at the first.
const GROWTH_MAX: f64 = 1.05;
/// Requests at once.
const CLIENTS: usize = 8;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    let field = Arc::new(Field::start().await?);
    let (mut checked, mut wrong) = (0, Vec::new());
    for combination in Combination::all() {
        checked += 1;
        if let Err(error) = field.check(&combination).await {
            wrong.push(format!("{error:#}"));
        }
        if field.clean()?.chat(&says("x")).await?.status != 200 {
            wrong.push(format!(
                "the gateway did not serve another tenant after {combination}"
            ));
        }
    }
    for line in &wrong {
        writeln!(out, "WRONG {line}")?;
    }
    writeln!(out, "{checked} combinations, {} wrong", wrong.len())?;

    let local = tokio::task::LocalSet::new();
    let unserved = Arc::new(AtomicUsize::new(0));
    let mut resident = Vec::new();
    for round in 1..=FAULTS / FAULTS_A_ROUND {
        flood(&local, &field, &unserved, FAULTS_A_ROUND).await?;
        resident.push(field.gateway.process.resident_bytes()?);
        let mib = resident[round - 1] as f64 / f64::from(1 << 20);
        writeln!(
            out,
            "resident at fault {}: {mib:.1} MiB",
            round * FAULTS_A_ROUND
        )?;
    }
    let (before, after) = (resident[0], resident[resident.len() - 1]);
    let growth = after as f64 / before as f64;
    let unserved = unserved.load(Ordering::Relaxed);

    let promise =
        |value: f64, limit: f64| json!({"value": value, "limit": limit, "ok": value <= limit});
    let promises = json!({
        "combinations-wrong": promise(wrong.len() as f64, 0.0),
        "clean-requests-unserved": promise(unserved as f64, 0.0),
        "memory-growth": promise(growth, GROWTH_MAX),
    });
    let ok = wrong.is_empty() && unserved == 0 && growth <= GROWTH_MAX;
    let conditions = json!({"combinations": checked, "faults": FAULTS, "clients": CLIENTS});
    writeln!(
        out,
        "{}",
        json!({"name": "faults", "ok": ok, "promises": promises, "goals": {}, "conditions": conditions})
    )?;
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// So many faults, all combinations in turn, and a request of the clean tenant after every sixteenth.
async fn flood(
    local: &tokio::task::LocalSet,
    field: &Arc<Field>,
    unserved: &Arc<AtomicUsize>,
    count: usize,
) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let combinations: Arc<[Combination]> = Combination::all().collect();
    let clients = (0..CLIENTS).map(|_| {
        let (field, unserved, next, combinations) = (
            Arc::clone(field),
            Arc::clone(unserved),
            Arc::clone(&next),
            Arc::clone(&combinations),
        );
        local.spawn_local(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return anyhow::Ok(());
                }
                let combination = &combinations[index % combinations.len()];
                field.client(combination)?.chat(&says("hello")).await?;
                if index.is_multiple_of(16) && field.clean()?.chat(&says("x")).await?.status != 200
                {
                    unserved.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    local
        .run_until(async {
            for client in clients {
                client.await??;
            }
            Ok(())
        })
        .await
}
