//! The configuration.

use serde::Deserialize;

/// What happens to an answer that reaches its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// The choice is cut, with a reason.
    #[default]
    Cut,
    /// The rest of the text is left out.
    Shorten,
}

/// What the operator writes; what is left out is not bounded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Bytes of text in all messages together, least and most.
    pub(crate) request_bytes_min: Option<u64>,
    pub(crate) request_bytes_max: Option<u64>,
    /// Bytes of text in one message.
    pub(crate) message_bytes_max: Option<u64>,
    pub(crate) messages_max: Option<u32>,
    pub(crate) input_tokens_max: Option<u32>,
    /// What `max-output-tokens` is set to where it is more or not said.
    pub(crate) output_tokens_max: Option<u32>,
    /// Bytes of text of one choice, reasoning and tool calls not counted.
    pub(crate) answer_bytes_max: Option<u64>,
    #[serde(default)]
    pub(crate) answer_over: Over,
}

impl Config {
    /// Checks that there is a bound, and that none contradicts another.
    ///
    /// # Errors
    /// What to write instead.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wide = [
            self.request_bytes_min,
            self.request_bytes_max,
            self.message_bytes_max,
            self.answer_bytes_max,
        ];
        let narrow = [
            self.messages_max,
            self.input_tokens_max,
            self.output_tokens_max,
        ];
        if wide.iter().all(Option::is_none) && narrow.iter().all(Option::is_none) {
            return Err("no bound is set: write one, such as request-bytes-max".to_owned());
        }
        if wide.contains(&Some(0)) || narrow.contains(&Some(0)) {
            return Err(
                "a bound of 0 lets nothing through; leave the step out, or write 1 or more"
                    .to_owned(),
            );
        }
        match (self.request_bytes_min, self.request_bytes_max) {
            (Some(min), Some(max)) if min > max => {
                Err("request-bytes-min is above request-bytes-max".to_owned())
            }
            _ => Ok(()),
        }
    }
}
