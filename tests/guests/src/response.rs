//! The response guard: passes everything at once, or misbehaves at `push`.

use pointsman_sdk::generated::response_guard::exports::pointsman::plugin::response_guard;
use pointsman_sdk::glue::ViewHandle;
use pointsman_sdk::{Action, Attribute, Channel, Coverage, Delta, PluginError, offset};

use crate::behaviour::{self, At, Behaviour};
use crate::{Guest, config};

/// One attempt.
#[derive(Debug)]
pub struct Stream;

impl response_guard::Guest for Guest {
    type Guard = Stream;

    fn covers() -> Coverage {
        let kinds = ["text", "reasoning", "refusal", "tool-name", "tool-argument"];
        Coverage {
            kinds: kinds.map(str::to_owned).to_vec(),
            hold_back_bytes: 0,
            hold_back_ms: 0,
            attributes: Vec::new(),
        }
    }
}

impl response_guard::GuestGuard for Stream {
    fn new(request: &ViewHandle) -> Self {
        let config = config();
        let here = config.at == At::Call && behaviour::needs_request(config.behaviour);
        if here {
            // The misdeeds that need the request do not fail on purpose, so there is no error to keep.
            let _ = behaviour::misbehave(config.behaviour, Some(request));
        }
        Self
    }

    fn open(&self, _id: u32, _about: Channel) -> Result<(), PluginError> {
        Ok(())
    }

    fn push(&self, deltas: Vec<Delta>) -> Result<Vec<Action>, PluginError> {
        let config = config();
        let mut odd = if config.at == At::Call && !behaviour::needs_request(config.behaviour) {
            behaviour::misbehave(config.behaviour, None)?
        } else {
            None
        };
        let actions = deltas.into_iter().map(|delta| {
            let bytes = offset(delta.text.len());
            if config.behaviour == Behaviour::Contract {
                return Action::pass(delta.channel, bytes + 1);
            }
            // Moved, not copied: two copies of the largest would be a memory fault instead.
            match odd.take() {
                Some(odd) => Action::replace(delta.channel, bytes, odd),
                None => Action::pass(delta.channel, bytes),
            }
        });
        Ok(actions.collect())
    }

    fn close(&self, _channel: u32) -> Result<Vec<Action>, PluginError> {
        Ok(Vec::new())
    }

    fn expire(&self, _channels: Vec<u32>) -> Result<Vec<Action>, PluginError> {
        Ok(Vec::new())
    }

    fn finish(&self, _outcome: Vec<Attribute>) -> Result<Vec<Action>, PluginError> {
        Ok(Vec::new())
    }
}
