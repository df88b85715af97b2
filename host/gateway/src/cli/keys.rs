//! `pointsman key`: virtual keys, shown once when they are made.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use pointsman_control::api::{KeyMade, KeyView, KeyWanted, RotateWanted};

use super::backend::Backend;
use super::bounds::{Bounds, shown};
use super::{Place, say, say_json, utc};
use crate::tenants;

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key; it is shown once, only its keyed hash is stored
    #[command(
        after_help = "Examples:\n  pointsman key create --tenant demo\n  pointsman key create --tenant demo --scope models --expires-in-s 3600 --json\n  pointsman key create --tenant demo --concurrent 2 --budget day=0.50"
    )]
    Create {
        /// Who pays, and whose policy applies
        #[arg(long)]
        tenant: String,
        /// What the key may do; may be given several times
        #[arg(long = "scope", value_name = "SCOPE", value_parser = tenants::SCOPES, default_values_t = tenants::default_scopes())]
        scopes: Vec<String>,
        /// Seconds until it expires
        #[arg(long, value_name = "SECONDS")]
        expires_in_s: Option<u64>,
        #[command(flatten)]
        bounds: Bounds,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Make a key that takes over from another, which is taken for some time yet
    #[command(
        after_help = "Examples:\n  pointsman key rotate key-3097d9c4c3e9\n  pointsman key rotate key-3097d9c4c3e9 --overlap-s 3600 --json"
    )]
    Rotate {
        /// The id of the key that is replaced (not the key)
        id: String,
        /// Seconds for which both are taken [default: a day]
        #[arg(long, value_name = "SECONDS")]
        overlap_s: Option<u64>,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key; live within a second
    Revoke {
        /// The key's id (not the key)
        id: String,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// List keys; the keys themselves cannot be shown again
    List {
        /// Of this tenant alone
        #[arg(long)]
        tenant: Option<String>,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(place: &Place, command: KeyCommand) -> anyhow::Result<ExitCode> {
    let backend = Backend::open(place)?;
    match command {
        KeyCommand::Create {
            tenant,
            scopes,
            expires_in_s,
            bounds,
            json,
        } => {
            let mut wanted = KeyWanted {
                scopes,
                expires_in_s,
                ..KeyWanted::default()
            };
            bounds.apply(&mut wanted.limits, &mut wanted.budgets);
            let made = backend.create_key(&tenant, wanted)?;
            told(&made, json, "")?;
        }
        KeyCommand::Rotate {
            id,
            overlap_s,
            json,
        } => {
            let key = named(&backend, &id)?;
            let wanted = RotateWanted { overlap_s };
            let made = backend.rotate_key(&key.tenant, &id, wanted)?;
            let old = named(&backend, &id)?;
            let until = old.expires_ms.map_or_else(String::new, |at| {
                format!("; {id} is taken until {}", utc(at))
            });
            told(&made, json, &until)?;
        }
        KeyCommand::Revoke { id, json } => {
            let key = named(&backend, &id)?;
            backend.revoke_key(&key.tenant, &id)?;
            if json {
                say_json(
                    &serde_json::json!({ "id": id, "tenant": key.tenant, "state": "revoked" }),
                )?;
            } else {
                say(format!(
                    "{id} of tenant {} is revoked; no request with it begins any more{}",
                    key.tenant,
                    backend.note()
                ));
            }
        }
        KeyCommand::List { tenant, json } => {
            let keys = backend.keys(tenant.as_deref())?;
            if json {
                say_json(&keys)?;
            } else {
                keys.iter().for_each(|key| say(line(key)));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn named(backend: &Backend, id: &str) -> anyhow::Result<KeyView> {
    match backend.keys(None)?.into_iter().find(|key| key.id == id) {
        Some(key) => Ok(key),
        None => bail!("no key with id `{id}`; see: pointsman key list"),
    }
}

/// The secret, this once.
fn told(made: &KeyMade, json: bool, more: &str) -> anyhow::Result<()> {
    let (key, Some(secret)) = (&made.key, &made.secret) else {
        bail!(
            "{id} was made, but the connection was cut before it was shown; revoke it (pointsman key revoke {id}) and make another",
            id = made.key.id
        );
    };
    if json {
        return say_json(&serde_json::json!({
            "id": key.id, "tenant": key.tenant, "key": secret, "scopes": key.scopes, "expires-ms": key.expires_ms,
        }));
    }
    say(format!(
        "{secret}\n\n{} for tenant {}; shown once, so keep it now{more}",
        key.id, key.tenant
    ));
    Ok(())
}

fn line(key: &KeyView) -> String {
    let expires = match (key.state.as_str(), key.expires_ms) {
        ("live", Some(at)) => format!("  until {}", utc(at)),
        _ => String::new(),
    };
    format!(
        "{}  {}  {}  {}  {}{expires}",
        key.id,
        key.tenant,
        key.scopes.join(","),
        key.state,
        shown(&key.limits, &key.budgets)
    )
}
