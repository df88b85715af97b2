//! One text field of one choice on its way out.

use super::chunk::Field;
use super::leaf::Leaves;
use super::ledger::{Channel, Spelling};
use crate::json::escape_into;

/// A field's state; `out` is decoded text of the field (for arguments: JSON text).
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) choice: u32,
    pub(super) field: Field,
    /// Splits arguments into leaves; none where the text flows as one, or no guard reads it.
    pub(super) leaves: Option<Leaves>,
    /// The open channel.
    pub(super) channel: Option<u32>,
    /// Released, not yet sent.
    pub(super) out: String,
    /// A guard changed text since the last event.
    pub(super) is_changed: bool,
    /// Text was held when the current event began.
    pub(super) was_behind: bool,
}

impl Lane {
    pub(super) const fn new(choice: u32, field: Field, leaves: Option<Leaves>) -> Self {
        Self {
            choice,
            field,
            leaves,
            channel: None,
            out: String::new(),
            is_changed: false,
            was_behind: false,
        }
    }

    /// Adds a channel's released text.
    pub(super) fn release(&mut self, spelling: Spelling, text: &str) {
        match spelling {
            Spelling::Escaped => escape_into(&mut self.out, text),
            Spelling::Plain | Spelling::Number => self.out.push_str(text),
        }
    }

    /// Adds a number that is complete, as a string where a guard has changed it.
    pub(super) fn release_number(&mut self, channel: &Channel) {
        let (came, released) = &channel.number;
        if came == released {
            self.out.push_str(released);
            return;
        }
        self.out.push('"');
        escape_into(&mut self.out, released);
        self.out.push('"');
    }
}
