//! `pointsman tenant`: who pays, whose policy applies, how much they may send and spend.

use std::process::ExitCode;

use clap::Subcommand;
use pointsman_control::PlaneError;
use pointsman_control::api::{TenantView, TenantWanted};

use super::backend::Backend;
use super::bounds::{Bounds, shown};
use super::{Place, say, say_json};

/// How often a change is tried anew where another operator changed the same tenant in between.
const TRIES_MAX: usize = 4;

#[derive(Subcommand)]
pub(crate) enum TenantCommand {
    /// Add a tenant, or change one that is there
    #[command(
        after_help = "Examples:\n  pointsman tenant add demo --policy quickstart\n  pointsman tenant add team-a --policy quickstart --requests-per-minute 600 --concurrent 20 --budget month=12.50"
    )]
    Add {
        /// The tenant's id: lower-case letters, digits, `-` and `_`
        id: String,
        /// The policy that applies to its requests
        #[arg(long)]
        policy: String,
        #[command(flatten)]
        bounds: Bounds,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Change a tenant: what is not given stays as it is
    #[command(
        after_help = "Examples:\n  pointsman tenant set demo --budget day=2 --budget month=12.50\n  pointsman tenant set demo --concurrent none\n  pointsman tenant set demo --policy cost-saver"
    )]
    Set {
        /// The tenant's id
        id: String,
        /// The policy that applies to its requests
        #[arg(long)]
        policy: Option<String>,
        #[command(flatten)]
        bounds: Bounds,
        /// The entity tag that the tenant must still have; exit code 4 where it has another
        #[arg(long, value_name = "TAG")]
        expect: Option<String>,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// List tenants
    List {
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Show one tenant
    #[command(after_help = "Example:\n  pointsman tenant show demo --json")]
    Show {
        /// The tenant's id
        id: String,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Remove a tenant and its keys
    Remove {
        /// The tenant's id
        id: String,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(place: &Place, command: TenantCommand) -> anyhow::Result<ExitCode> {
    let backend = match &command {
        // Who comes first says what the first start imports.
        TenantCommand::Add { .. } => Backend::open_or_make(place)?,
        _ => Backend::open(place)?,
    };
    match command {
        TenantCommand::Add {
            id,
            policy,
            bounds,
            json,
        } => {
            let put = put(&backend, &id, Some(policy), &bounds, None, true)?;
            let next = format!("; next: pointsman key create --tenant {id}");
            told(&backend, &put, json, &next)?;
        }
        TenantCommand::Set {
            id,
            policy,
            bounds,
            expect,
            json,
        } => {
            let put = put(&backend, &id, policy, &bounds, expect.as_deref(), false)?;
            told(&backend, &put, json, "")?;
        }
        TenantCommand::List { json: true } => say_json(&backend.tenants()?)?,
        TenantCommand::List { json: false } => {
            for tenant in backend.tenants()? {
                say(line(&tenant));
            }
        }
        TenantCommand::Show { id, json } => {
            let tenant = backend.tenant(&id)?;
            if json {
                say_json(&tenant)?;
            } else {
                let keys = backend.keys(Some(&id))?;
                let live = keys.iter().filter(|key| key.state == "live").count();
                say(format!(
                    "{}\n{live} of {} keys live; entity tag \"{}\"",
                    line(&tenant),
                    keys.len(),
                    tenant.etag
                ));
            }
        }
        TenantCommand::Remove { id, json } => {
            backend.remove_tenant(&id)?;
            if json {
                say_json(&serde_json::json!({ "removed": id }))?;
            } else {
                say(format!(
                    "tenant {id} and its keys are removed{}",
                    backend.note()
                ));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn told(backend: &Backend, tenant: &TenantView, json: bool, next: &str) -> anyhow::Result<()> {
    if json {
        return say_json(tenant);
    }
    say(format!("tenant {}{}{next}", line(tenant), backend.note()));
    Ok(())
}

fn line(view: &TenantView) -> String {
    let tenant = &view.tenant;
    format!(
        "{}  policy {}  {}",
        tenant.id,
        tenant.policy,
        shown(&tenant.limits, &tenant.budgets)
    )
}

/// Reads, changes what was given, and writes under the tag that was read, so that two operators lose nothing.
fn put(
    backend: &Backend,
    id: &str,
    policy: Option<String>,
    bounds: &Bounds,
    expect: Option<&str>,
    make: bool,
) -> Result<TenantView, PlaneError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let (mut wanted, tag) = match backend.tenant(id) {
            Ok(known) => (
                TenantWanted {
                    policy: known.tenant.policy,
                    limits: known.tenant.limits,
                    budgets: known.tenant.budgets,
                },
                Some(known.etag),
            ),
            Err(PlaneError::NotFound { .. }) if make => {
                let wanted = TenantWanted {
                    policy: String::new(),
                    limits: Default::default(),
                    budgets: Vec::new(),
                };
                (wanted, None)
            }
            Err(error) => return Err(error),
        };
        if let Some(policy) = &policy {
            wanted.policy.clone_from(policy);
        }
        bounds.apply(&mut wanted.limits, &mut wanted.budgets);
        match backend.put_tenant(id, wanted, expect.or(tag.as_deref())) {
            Err(PlaneError::Precondition { .. }) if expect.is_none() && tries < TRIES_MAX => {}
            put => return put.map(|change| change.value),
        }
    }
}
