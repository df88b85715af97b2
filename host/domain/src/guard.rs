//! What passes between the host and a response guard (WIT interface `response-guard`).

use serde::{Deserialize, Serialize};

use crate::value::{Attribute, Label, Reason};

/// What a guard covers and how much it may hold; asked once at activation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Channel kinds that it reads.
    pub kinds: Vec<String>,
    /// Most bytes of one channel that it holds; `u32::MAX` needs the whole answer.
    pub hold_back_bytes: u32,
    /// Longest time that it holds a byte, in milliseconds.
    pub hold_back_ms: u32,
    /// Room to grow.
    pub attributes: Vec<Attribute>,
}

/// One text stream within an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// Index of the choice.
    pub choice: u32,
    /// Index of the item within the choice: tool call index, 0 for text.
    pub item: u32,
    /// `text`, `reasoning`, `refusal`, `tool-name`, `tool-argument`, …
    pub kind: String,
    /// Where inside tool arguments (JSON pointer; keys end in `#key`); empty otherwise.
    pub path: String,
    /// Room to grow: `tool-name`, `call-id`.
    pub attributes: Vec<Attribute>,
}

/// New text of one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// The channel's id, given at `open`.
    pub channel: u32,
    /// The text, never empty.
    pub text: String,
}

/// What a guard decides about text that it was given. Each channel is consumed front to back in input bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Release the next `bytes` of the channel as they are.
    Pass {
        /// The channel's id.
        channel: u32,
        /// Input bytes consumed.
        bytes: u32,
    },
    /// Release `text` in place of the next `bytes`.
    Replace {
        /// The channel's id.
        channel: u32,
        /// Input bytes consumed.
        bytes: u32,
        /// What is released.
        text: String,
    },
    /// End one choice, or the whole answer.
    Cut {
        /// The choice; none means all.
        choice: Option<u32>,
        /// Why.
        reason: Reason,
    },
    /// Say something about the answer.
    Note(Label),
}
