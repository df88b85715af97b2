//! One component with every role that misbehaves as its configuration says: the host's limits and faults are tested
//! against it. `{"behaviour": "echo"}` is the well-behaved one.
//!
//! It implements the bindings' traits itself instead of `export_plugin!`, because some misdeeds need the raw handles.

mod behaviour;
mod response;

use std::sync::OnceLock;

use behaviour::{At, Behaviour, Config};
use pointsman_sdk::generated::accountant::exports::pointsman::plugin::accountant;
use pointsman_sdk::generated::classifier::exports::pointsman::plugin::classifier;
use pointsman_sdk::generated::meta::exports::pointsman::plugin::meta;
use pointsman_sdk::generated::request_guard::exports::pointsman::plugin::request_guard;
use pointsman_sdk::generated::router::exports::pointsman::plugin::router;
use pointsman_sdk::generated::splitter::exports::pointsman::plugin::splitter;
use pointsman_sdk::glue::{PoolHandle, ViewHandle};
use pointsman_sdk::{
    Amount, Attempt, Attribute, Checked, CostLine, Edit, Label, Plan, PluginError, Reason, Usage,
};

static CONFIG: OnceLock<Config> = OnceLock::new();

/// The configuration; before `configure` the well-behaved one.
fn config() -> Config {
    CONFIG.get().copied().unwrap_or_default()
}

/// The component.
#[derive(Debug)]
pub struct Guest;

impl meta::Guest for Guest {
    fn describe() -> meta::Info {
        meta::Info {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_schema: include_str!("../config.schema.json").to_owned(),
            // A lie on purpose: `import` calls `secrets` all the same.
            imports: Vec::new(),
            attributes: Vec::new(),
        }
    }

    fn configure(config: String) -> Result<(), String> {
        let config: Config = serde_json::from_str(&config).map_err(|error| error.to_string())?;
        if config.at == At::Configure {
            behaviour::misbehave(config.behaviour, None).map_err(|error| error.to_string())?;
        }
        CONFIG
            .set(config)
            .map_err(|_| "configured twice".to_owned())
    }
}

/// Misbehaves as a role's call, unless the configuration says elsewhere; what comes back is odd text for the result.
fn call(request: &ViewHandle) -> Result<Option<String>, PluginError> {
    match config() {
        Config {
            behaviour,
            at: At::Call,
        } => behaviour::misbehave(behaviour, Some(request)),
        Config {
            at: At::Configure, ..
        } => Ok(None),
    }
}

fn breaks_contract() -> bool {
    config().behaviour == Behaviour::Contract
}

impl classifier::Guest for Guest {
    fn classify(request: &ViewHandle) -> Result<Vec<Label>, PluginError> {
        let odd = call(request)?;
        if breaks_contract() {
            return Ok(vec![Label::new("score", "out-of-range").scored(f32::NAN)]);
        }
        if config().behaviour == Behaviour::Remember {
            return Ok(behaviour::remember(request));
        }
        let echo = odd.unwrap_or_else(|| "classified".to_owned());
        Ok(vec![Label::new("echo", echo)])
    }
}

impl request_guard::Guest for Guest {
    fn check(request: &ViewHandle) -> Result<Checked, PluginError> {
        let odd = call(request)?;
        if breaks_contract() {
            return Ok(Checked::edit(vec![Edit::text(
                0,
                1,
                u32::MAX,
                "past the end",
            )]));
        }
        let Some(odd) = odd else {
            return Ok(Checked::pass());
        };
        Ok(Checked::edit(vec![Edit::text(0, 0, 0, odd)]))
    }
}

impl splitter::Guest for Guest {
    fn split(request: &ViewHandle, _bucket: u32) -> Result<String, PluginError> {
        let odd = call(request)?;
        if breaks_contract() {
            return Ok("no-such-variant".to_owned());
        }
        Ok(odd.unwrap_or_else(|| "control".to_owned()))
    }
}

impl router::Guest for Guest {
    fn route(request: &ViewHandle, candidates: &PoolHandle) -> Result<Plan, PluginError> {
        let odd = match config().behaviour {
            Behaviour::AtOnce => Some(behaviour::read(true, request, candidates)),
            Behaviour::OneByOne => Some(behaviour::read(false, request, candidates)),
            _ => call(request)?,
        };
        let mut attempts: Vec<Attempt> = candidates.names().into_iter().map(Attempt::new).collect();
        if breaks_contract() {
            attempts = vec![Attempt::new("no-such-target").with("no-such-attribute", true)];
        }
        let detail = odd.unwrap_or_else(|| "every candidate in its order".to_owned());
        Ok(Plan {
            attempts,
            reason: Reason::new("echo", detail),
            attributes: Vec::new(),
        })
    }
}

impl accountant::Guest for Guest {
    fn account(request: &ViewHandle, usages: Vec<Usage>) -> Result<Vec<CostLine>, PluginError> {
        let mut odd = call(request)?;
        if breaks_contract() {
            return Ok(vec![line(u32::MAX, "input-tokens", 1, None)]);
        }
        let mut lines = Vec::new();
        for usage in usages {
            for meter in &usage.meters {
                lines.push(line(
                    usage.attempt,
                    &meter.unit,
                    meter.quantity,
                    // Moved, not copied: two copies of the largest would be a memory fault instead.
                    odd.take(),
                ));
            }
        }
        Ok(lines)
    }
}

/// One pico-dollar a unit, so that a test can tell that it was this plugin.
fn line(attempt: u32, unit: &str, quantity: u64, odd: Option<String>) -> CostLine {
    CostLine {
        attempt,
        unit: unit.to_owned(),
        quantity,
        amount: i64::try_from(quantity).map_or(Amount::Unpriced, Amount::Exact),
        attributes: odd
            .map(|odd| Attribute::new("echo", odd))
            .into_iter()
            .collect(),
    }
}

#[cfg(target_arch = "wasm32")]
mod exports {
    use super::Guest;
    use pointsman_sdk::generated as g;

    g::meta::export!(Guest with_types_in g::meta);
    g::classifier::export!(Guest with_types_in g::classifier);
    g::request_guard::export!(Guest with_types_in g::request_guard);
    g::splitter::export!(Guest with_types_in g::splitter);
    g::router::export!(Guest with_types_in g::router);
    g::response_guard::export!(Guest with_types_in g::response_guard);
    g::accountant::export!(Guest with_types_in g::accountant);
}
