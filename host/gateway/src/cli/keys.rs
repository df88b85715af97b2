//! `pointsman tenant` and `pointsman key`: the tenants file of this node.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;

use super::{Place, say};
use crate::node::Settings;
use crate::tenants::{self, KeyEntry, TenantEntry};

#[derive(Subcommand)]
pub(crate) enum TenantCommand {
    /// Add a tenant, or change its policy
    #[command(after_help = "Example:\n  pointsman tenant add demo --policy quickstart")]
    Add {
        /// The tenant's id
        id: String,
        /// The policy that applies to its requests
        #[arg(long)]
        policy: String,
    },
    /// List tenants
    List {
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key; it is shown once, only its keyed hash is stored
    #[command(
        after_help = "Examples:\n  pointsman key create --tenant demo\n  pointsman key create --tenant demo --scope models --expires-in-s 3600 --json"
    )]
    Create {
        /// Who pays, and whose policy applies
        #[arg(long)]
        tenant: String,
        /// What the key may do; may be given several times
        #[arg(long = "scope", value_name = "SCOPE", value_parser = tenants::SCOPES, default_values_t = tenants::default_scopes())]
        scopes: Vec<String>,
        /// Seconds until it expires
        #[arg(long)]
        expires_in_s: Option<u64>,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key; live within a second
    Revoke {
        /// The key's id (not the key)
        id: String,
    },
    /// List keys; the keys themselves cannot be shown again
    List {
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn tenant(place: &Place, command: TenantCommand) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(place.file().as_deref())?;
    let path = settings.tenants_file();
    let _others_wait = tenants::lock(&path)?;
    let mut file = tenants::read(&path)?;
    match command {
        TenantCommand::Add { id, policy } => {
            require_policy(&settings, &policy)?;
            match file.tenants.iter_mut().find(|tenant| tenant.id == id) {
                Some(known) => known.policy.clone_from(&policy),
                None => file.tenants.push(TenantEntry {
                    id: id.clone(),
                    policy: policy.clone(),
                }),
            }
            tenants::write(&path, &file)?;
            say(format!(
                "tenant {id} uses policy {policy}; next: pointsman key create --tenant {id}\n(a gateway that runs and has not served this policy yet needs a restart)"
            ));
        }
        TenantCommand::List { json } if json => say(serde_json::to_string(&file.tenants)?),
        TenantCommand::List { .. } => {
            for tenant in &file.tenants {
                say(format!("{}  {}", tenant.id, tenant.policy));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A policy that is not there would be found out by the first request; here its name can still be mended.
fn require_policy(settings: &Settings, policy: &str) -> anyhow::Result<()> {
    let folder = settings.policies();
    if folder.join(policy).join("policy.toml").is_file() {
        return Ok(());
    }
    let bundles = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = bundles
        .filter(|bundle| bundle.path().join("policy.toml").is_file())
        .filter_map(|bundle| bundle.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    bail!(
        "there is no policy `{policy}` in {}; there are: {}",
        folder.display(),
        names.join(", ")
    );
}

pub(crate) fn key(place: &Place, command: KeyCommand) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(place.file().as_deref())?;
    let path = settings.tenants_file();
    let _others_wait = tenants::lock(&path)?;
    let mut file = tenants::read(&path)?;
    match command {
        KeyCommand::Create {
            tenant,
            scopes,
            expires_in_s,
            json,
        } => {
            if !file.tenants.iter().any(|known| known.id == tenant) {
                bail!(
                    "no tenant `{tenant}`; add it first: pointsman tenant add {tenant} --policy quickstart"
                );
            }
            let mut secret = [0u8; 32];
            getrandom::fill(&mut secret).context("the operating system gives no random bytes")?;
            let key = format!("pm-{}", hex::encode(secret));
            let id = format!("key-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
            let pepper = settings.pepper()?;
            let expires_ms = expires_in_s.map(|seconds| {
                crate::pipeline::epoch_ms().saturating_add(seconds.saturating_mul(1000))
            });
            let hash = tenants::hash_key(&pepper, &key);
            file.keys.push(KeyEntry {
                id: id.clone(),
                tenant: tenant.clone(),
                hash,
                scopes,
                revoked: false,
                expires_ms,
            });
            tenants::write(&path, &file)?;
            if json {
                say(serde_json::json!({ "id": id, "tenant": tenant, "key": key }));
            } else {
                say(format!(
                    "{key}\n\n{id} for tenant {tenant}; shown once, so keep it now"
                ));
            }
        }
        KeyCommand::Revoke { id } => {
            let Some(entry) = file.keys.iter_mut().find(|key| key.id == id) else {
                bail!("no key with id `{id}`; see: pointsman key list");
            };
            entry.revoked = true;
            tenants::write(&path, &file)?;
            say(format!(
                "{id} is revoked; a running gateway refuses it within a second"
            ));
        }
        KeyCommand::List { json } if json => {
            let shown = file.keys.iter().map(|key| {
                serde_json::json!({ "id": key.id, "tenant": key.tenant, "scopes": key.scopes, "revoked": key.revoked, "expires_ms": key.expires_ms })
            });
            say(serde_json::Value::Array(shown.collect()));
        }
        KeyCommand::List { .. } => {
            for key in &file.keys {
                let state = if key.revoked { "revoked" } else { "live" };
                say(format!(
                    "{}  {}  {}  {state}",
                    key.id,
                    key.tenant,
                    key.scopes.join(",")
                ));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
