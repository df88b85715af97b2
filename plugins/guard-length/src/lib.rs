//! Bounds on the size of requests and answers: bytes, messages, tokens.
//!
//! Promises: nothing is held back; an answer is cut or ended exactly at its bound, on a character's border.
//! Refuses to know: what the text says.
#![forbid(unsafe_code)]

mod answer;
mod settings;

use pointsman_sdk::{
    Checked, Coverage, Edit, Plugin, PluginError, Reason, RequestGuard, ResponseGuard, View,
};

pub use answer::Stream;
pub use settings::{Config, Over};

/// Segments that are fetched at once, so that a long conversation is never in memory twice as a whole.
const SEGMENTS_AT_ONCE: u32 = 64;
/// Status of a request that is too large.
const STATUS_TOO_LARGE: i64 = 413;

/// The configured guard.
#[derive(Debug)]
pub struct GuardLength {
    config: Config,
}

impl Plugin for GuardLength {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        config.check()?;
        Ok(Self { config })
    }
}

fn too_large(what: &str, detail: String) -> Checked {
    Checked::deny(Reason::new(format!("length.{what}"), detail).with("status", STATUS_TOO_LARGE))
}

impl GuardLength {
    /// The bound that the sizes of texts break, if one does.
    fn breaks(&self, request: &dyn View) -> Option<Checked> {
        let (each, all) = (self.config.message_bytes_max, self.config.request_bytes_max);
        let least = self.config.request_bytes_min;
        if each.is_none() && all.is_none() && least.is_none() {
            return None;
        }
        let (mut total, mut message, mut of_message) = (0_u64, None, 0_u64);
        for first in (0..request.segment_count()).step_by(SEGMENTS_AT_ONCE as usize) {
            for segment in request.segments(first, SEGMENTS_AT_ONCE) {
                if message.replace(segment.message) != Some(segment.message) {
                    of_message = 0;
                }
                of_message += segment.text.len() as u64;
                total += segment.text.len() as u64;
                if let Some(max) = each.filter(|max| of_message > *max) {
                    return Some(too_large(
                        "message",
                        format!("a message has more than {max} bytes of text"),
                    ));
                }
                if let Some(max) = all.filter(|max| total > *max) {
                    return Some(too_large(
                        "request",
                        format!("the request has more than {max} bytes of text"),
                    ));
                }
            }
        }
        let min = least.filter(|min| total < *min)?;
        let detail = format!("the request has fewer than {min} bytes of text");
        Some(Checked::deny(
            Reason::new("length.short", detail).with("status", 400_i64),
        ))
    }
}

impl RequestGuard for GuardLength {
    fn check(&self, request: &dyn View) -> Result<Checked, PluginError> {
        let config = &self.config;
        if let Some(max) = config.messages_max
            && request.message_count() > max
        {
            return Ok(too_large(
                "messages",
                format!("the request has more than {max} messages"),
            ));
        }
        let tokens = || request.integer("input-tokens-estimate").unwrap_or(0);
        if let Some(max) = config.input_tokens_max
            && tokens() > i64::from(max)
        {
            return Ok(too_large(
                "input-tokens",
                format!("the request has more than about {max} tokens"),
            ));
        }
        if let Some(denied) = self.breaks(request) {
            return Ok(denied);
        }
        let Some(max) = config.output_tokens_max else {
            return Ok(Checked::pass());
        };
        let asked = request.integer("max-output-tokens");
        Ok(if asked.is_some_and(|asked| asked <= i64::from(max)) {
            Checked::pass()
        } else {
            Checked::edit(vec![Edit::set("max-output-tokens", i64::from(max))])
        })
    }
}

impl ResponseGuard for GuardLength {
    type Stream = Stream;

    fn covers(&self) -> Coverage {
        Coverage {
            kinds: answer::CHANNEL_KINDS
                .iter()
                .map(|&kind| kind.to_owned())
                .collect(),
            hold_back_bytes: 0,
            hold_back_ms: 0,
            attributes: Vec::new(),
        }
    }

    fn start(&'static self, _request: &dyn View) -> Stream {
        Stream::new(self.config.answer_bytes_max, self.config.answer_over)
    }
}

pointsman_sdk::export_plugin!(GuardLength: request_guard, response_guard);

#[cfg(test)]
mod tests;
