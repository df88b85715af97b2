//! `pointsman prices`, `usage`, `changes`, `backup`, `restore`: the rest of control state.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use pointsman_control::api::Balance;
use pointsman_domain::control::{Change, Entry};
use pointsman_domain::money::Picos;
use pointsman_store::Store;

use super::backend::Backend;
use super::{Place, say, say_json, utc};

#[derive(Subcommand)]
pub(crate) enum PricesCommand {
    /// The catalogue in force
    #[command(
        after_help = "Examples:\n  pointsman prices show\n  pointsman prices show > prices.jsonl"
    )]
    Show {
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Put another catalogue in force; live when it answers
    #[command(after_help = "Example:\n  pointsman prices put policies/prices.jsonl")]
    Put {
        /// A prices.jsonl
        file: PathBuf,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn prices(place: &Place, command: PricesCommand) -> anyhow::Result<ExitCode> {
    match command {
        PricesCommand::Show { json } => {
            let Some((prices, text)) = Backend::open(place)?.prices()? else {
                bail!(
                    "no price catalogue is in force, so that everything is unpriced; next: pointsman prices put policies/prices.jsonl"
                );
            };
            if json {
                let mut told = serde_json::to_value(&prices)?;
                told["text"] = text.into();
                say_json(&told)?;
            } else {
                say(text.trim_end());
            }
        }
        PricesCommand::Put { file, json } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let backend = Backend::open(place)?;
            let change = backend.put_prices(&text)?;
            if json {
                say_json(&change.value)?;
            } else {
                say(format!(
                    "{} prices are in force ({}){}",
                    change.value.rows,
                    change.value.digest,
                    backend.note()
                ));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn usage(place: &Place, tenant: Option<&str>, json: bool) -> anyhow::Result<ExitCode> {
    let balances = Backend::open(place)?.usage(tenant)?;
    if json {
        say_json(&balances)?;
        return Ok(ExitCode::SUCCESS);
    }
    if balances.is_empty() {
        say(
            "no budget window is open; limit what a tenant may spend: pointsman tenant set TENANT --budget month=12.50",
        );
    }
    balances
        .iter()
        .for_each(|balance| say(balance_line(balance)));
    Ok(ExitCode::SUCCESS)
}

fn balance_line(balance: &Balance) -> String {
    let limit = balance.limit_usd.as_deref();
    let left = limit
        .and_then(|limit| Picos::from_usd(limit).ok())
        .map(|limit| limit - balance.spent - balance.reserved)
        .map_or_else(String::new, |left| {
            format!("  ${} left", left.to_usd_string())
        });
    format!(
        "{}  ${} spent, ${} reserved of {}{left}",
        balance.window,
        balance.spent.to_usd_string(),
        balance.reserved.to_usd_string(),
        limit.map_or_else(|| "no limit".to_owned(), |limit| format!("${limit}")),
    )
}

pub(crate) fn changes(
    place: &Place,
    after: u64,
    limit: usize,
    json: bool,
) -> anyhow::Result<ExitCode> {
    for entry in Backend::open(place)?.changes(after, limit)? {
        if json {
            say_json(&entry)?;
        } else {
            say(change_line(&entry));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn change_line(entry: &Entry) -> String {
    let what = match &entry.change {
        Change::PluginPushed(plugin) => {
            format!(
                "plugin {}@{} pushed ({})",
                plugin.name, plugin.version, plugin.digest
            )
        }
        Change::VersionPushed(version) => {
            format!(
                "{} version {} pushed ({})",
                version.policy, version.number, version.digest
            )
        }
        Change::Activated {
            policy,
            version,
            previous,
            rollback,
        } => {
            let word = if *rollback {
                "rolled back to"
            } else {
                "serves"
            };
            let before =
                previous.map_or_else(String::new, |previous| format!(", before it {previous}"));
            format!("{policy} {word} version {version}{before}")
        }
        Change::TenantPut(tenant) => format!(
            "tenant {} uses policy {}, {}",
            tenant.id,
            tenant.policy,
            super::bounds::shown(&tenant.limits, &tenant.budgets)
        ),
        Change::TenantRemoved { id } => format!("tenant {id} removed"),
        Change::KeyCreated(key) => format!("{} of tenant {} made", key.id, key.tenant),
        Change::KeyRevoked { id } => format!("{id} revoked"),
        Change::KeyRotated {
            id,
            expires_ms,
            key,
        } => {
            format!(
                "{} takes over from {id}, which is taken until {}",
                key.id,
                utc(*expires_ms)
            )
        }
        Change::PricesPut(prices) => format!("{} prices in force ({})", prices.rows, prices.digest),
        Change::Seeded => "the folders of the configuration were imported".to_owned(),
    };
    format!(
        "{:>6}  {}  {:<6} {what}",
        entry.sequence,
        utc(entry.at_ms),
        entry.actor
    )
}

/// Written aside and moved, so that a file of that name is a whole backup.
pub(crate) fn backup(place: &Place, file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    use std::os::unix::fs::OpenOptionsExt as _;
    anyhow::ensure!(
        !file.exists(),
        "{} is there already; name a file that is not",
        file.display()
    );
    let backend = Backend::open(place)?;
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let aside = PathBuf::from(name);
    let mut out = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .with_context(|| format!("cannot write {}", aside.display()))?;
    let copied = backend.backup(&mut out).map_err(anyhow::Error::from);
    let written = copied.and_then(|()| {
        out.flush()?;
        out.sync_all()?;
        Ok(std::fs::rename(&aside, file)?)
    });
    if let Err(error) = written {
        let _gone_already = std::fs::remove_file(&aside);
        return Err(error.context(format!("{} was not written", file.display())));
    }
    let bytes = std::fs::metadata(file)?.len();
    if json {
        say_json(&serde_json::json!({ "file": file, "bytes": bytes }))?;
    } else {
        say(format!(
            "{} holds the control state ({bytes} bytes); restore it with: pointsman restore {} --state NEW-FOLDER\n(keep the pepper of the state folder with it: without that no key is known)",
            file.display(),
            file.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Into the place that a node looks at, `control` of the state folder.
pub(crate) fn restore(file: &Path, state: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let mut archive =
        std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let report = Store::restore(&mut archive, &state.join("control"))
        .with_context(|| format!("{} is not restored", file.display()))?;
    let missing: Vec<String> = report.missing.iter().map(ToString::to_string).collect();
    if json {
        say_json(&serde_json::json!({
            "state": state, "sequence": report.sequence, "blobs": report.blobs, "bytes": report.bytes, "missing": missing,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    say(format!(
        "{} is restored as of change {}: {} blobs, {} bytes",
        state.display(),
        report.sequence,
        report.blobs,
        report.bytes
    ));
    for digest in &missing {
        say(format!("missing in the backup, push it again: {digest}"));
    }
    if !state.join("pepper").exists() {
        say(format!(
            "next: put the pepper of the old state folder into {} (mode 600); without it no key is known",
            state.join("pepper").display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_is_neither_spent_nor_reserved() {
        let balance: Balance = serde_json::from_value(serde_json::json!({
            "window": "tenant/demo/month/2026-11", "tenant": "demo", "period": "month", "limit-usd": "12.5",
            "spent-usd": "2.25", "reserved-usd": "0.25",
        }))
        .expect("a balance");
        assert_eq!(
            balance_line(&balance),
            "tenant/demo/month/2026-11  $2.25 spent, $0.25 reserved of $12.5  $10 left"
        );
    }
}
