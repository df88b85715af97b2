//! The digest over what a call was told and what it answered: a replay must come to the same.
//!
//! Strings and lists are prefixed by their length, variants by a number, so that no two sequences share an encoding.
//! It is hashed while the call runs; nothing is kept.

use pointsman_domain::guard::Action;
use pointsman_domain::plan::{Plan, PlannedAttempt};
use pointsman_domain::request::{Checked, Edit, Segment, TextEdit, Verdict};
use pointsman_domain::usage::{Amount, CostLine, Rate};
use pointsman_domain::{Attribute, Digest, FaultKind, Label, Reason, Value};
use sha2::{Digest as _, Sha256};

use crate::fault::{Cause, Failure, PluginError};
use crate::limits;

/// Hashes a call as it happens.
pub(crate) struct Recorder {
    hash: Sha256,
    read_bytes: u64,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            hash: Sha256::new(),
            read_bytes: 0,
        }
    }

    /// A host call begins.
    pub(crate) fn call(&mut self, name: &str) {
        self.fold(name);
    }

    /// An argument or the call's result.
    pub(crate) fn fold<T: Fold + ?Sized>(&mut self, value: &T) {
        value.fold(&mut self.hash);
    }

    /// What a host call answers, counted against what a call may read.
    pub(crate) fn answer<T: Fold + ?Sized>(&mut self, value: &T) -> Result<(), Cause> {
        self.fold(value);
        self.read_bytes = self.read_bytes.saturating_add(value.size());
        if self.read_bytes > limits::READ_BYTES_MAX {
            let detail = format!(
                "more than {} bytes read through host calls",
                limits::READ_BYTES_MAX
            );
            return Err(Cause::new(FaultKind::Import, detail));
        }
        Ok(())
    }

    /// How the call ended. A fault ends the record where it struck.
    pub(crate) fn end<T: Fold>(&mut self, result: &Result<T, Failure>) {
        match result {
            Ok(value) => {
                self.fold(&true);
                self.fold(value);
            }
            Err(Failure::Plugin(error)) => {
                self.fold(&false);
                self.fold(error);
            }
            Err(Failure::Wasm(_) | Failure::Cause(_)) => {}
        }
    }

    /// The digest of what has been so far.
    pub(crate) fn digest(&self) -> Digest {
        Digest(self.hash.clone().finalize().into())
    }
}

/// A value with one encoding.
pub(crate) trait Fold {
    fn fold(&self, hash: &mut Sha256);

    /// Rough size, for the cap on what is read.
    fn size(&self) -> u64 {
        8
    }
}

fn length(hash: &mut Sha256, length: usize) {
    hash.update((length as u64).to_le_bytes());
}

macro_rules! fold_number {
    ($($number:ty),+) => {
        $(impl Fold for $number {
            fn fold(&self, hash: &mut Sha256) {
                hash.update(self.to_le_bytes());
            }
        })+
    };
}
fold_number!(u8, u32, u64, i64, i128);

impl Fold for f32 {
    fn fold(&self, hash: &mut Sha256) {
        self.to_bits().fold(hash);
    }
}

impl Fold for f64 {
    fn fold(&self, hash: &mut Sha256) {
        self.to_bits().fold(hash);
    }
}

impl Fold for bool {
    fn fold(&self, hash: &mut Sha256) {
        u8::from(*self).fold(hash);
    }
}

impl Fold for () {
    fn fold(&self, _hash: &mut Sha256) {}
}

impl Fold for str {
    fn fold(&self, hash: &mut Sha256) {
        length(hash, self.len());
        hash.update(self.as_bytes());
    }

    fn size(&self) -> u64 {
        8 + self.len() as u64
    }
}

impl Fold for String {
    fn fold(&self, hash: &mut Sha256) {
        self.as_str().fold(hash);
    }

    fn size(&self) -> u64 {
        self.as_str().size()
    }
}

/// Raw bytes; a list of numbers would be hashed one by one.
pub(crate) struct Raw<'a>(pub(crate) &'a [u8]);

impl Fold for Raw<'_> {
    fn fold(&self, hash: &mut Sha256) {
        length(hash, self.0.len());
        hash.update(self.0);
    }

    fn size(&self) -> u64 {
        8 + self.0.len() as u64
    }
}

impl<T: Fold + ?Sized> Fold for &T {
    fn fold(&self, hash: &mut Sha256) {
        (**self).fold(hash);
    }

    fn size(&self) -> u64 {
        (**self).size()
    }
}

impl<T: Fold> Fold for Option<T> {
    fn fold(&self, hash: &mut Sha256) {
        self.is_some().fold(hash);
        if let Some(value) = self {
            value.fold(hash);
        }
    }

    fn size(&self) -> u64 {
        8 + self.as_ref().map_or(0, Fold::size)
    }
}

impl<T: Fold> Fold for [T] {
    fn fold(&self, hash: &mut Sha256) {
        length(hash, self.len());
        for value in self {
            value.fold(hash);
        }
    }

    fn size(&self) -> u64 {
        8 + self.iter().map(Fold::size).sum::<u64>()
    }
}

impl<T: Fold> Fold for Vec<T> {
    fn fold(&self, hash: &mut Sha256) {
        self.as_slice().fold(hash);
    }

    fn size(&self) -> u64 {
        self.as_slice().size()
    }
}

impl Fold for Value {
    fn fold(&self, hash: &mut Sha256) {
        match self {
            Self::Text(text) => {
                0_u8.fold(hash);
                text.fold(hash);
            }
            Self::Texts(texts) => {
                1_u8.fold(hash);
                texts.fold(hash);
            }
            Self::Integer(integer) => {
                2_u8.fold(hash);
                integer.fold(hash);
            }
            Self::Number(number) => {
                3_u8.fold(hash);
                number.fold(hash);
            }
            Self::Flag(flag) => {
                4_u8.fold(hash);
                flag.fold(hash);
            }
        }
    }

    fn size(&self) -> u64 {
        8 + self.byte_len() as u64
    }
}

/// Structs are their fields in order.
macro_rules! fold_fields {
    ($($kind:ty { $($field:ident),+ })+) => {
        $(impl Fold for $kind {
            fn fold(&self, hash: &mut Sha256) {
                $(self.$field.fold(hash);)+
            }

            fn size(&self) -> u64 {
                0 $(+ self.$field.size())+
            }
        })+
    };
}
fold_fields! {
    Attribute { key, value }
    Label { key, value, score }
    Reason { code, detail, attributes }
    TextEdit { segment, start, end, text }
    Checked { verdict, labels }
    PlannedAttempt { target, attributes }
    Plan { attempts, reason, attributes }
    Rate { unit, pico_usd, above_input_tokens, attributes }
    CostLine { attempt, unit, quantity, amount, attributes }
}

impl Fold for Segment {
    fn fold(&self, hash: &mut Sha256) {
        self.message.fold(hash);
        self.part.fold(hash);
        (*self.role).fold(hash);
        (*self.kind).fold(hash);
        self.path.fold(hash);
        self.text.fold(hash);
    }

    fn size(&self) -> u64 {
        64 + (self.path.len() + self.text.len()) as u64
    }
}

impl Fold for Edit {
    fn fold(&self, hash: &mut Sha256) {
        match self {
            Self::Text(edit) => {
                0_u8.fold(hash);
                edit.fold(hash);
            }
            Self::Set(attribute) => {
                1_u8.fold(hash);
                attribute.fold(hash);
            }
        }
    }
}

impl Fold for Verdict {
    fn fold(&self, hash: &mut Sha256) {
        match self {
            Self::Pass => 0_u8.fold(hash),
            Self::Edit(edits) => {
                1_u8.fold(hash);
                edits.fold(hash);
            }
            Self::Deny(reason) => {
                2_u8.fold(hash);
                reason.fold(hash);
            }
        }
    }
}

impl Fold for Amount {
    fn fold(&self, hash: &mut Sha256) {
        match self {
            Self::Exact(picos) => {
                0_u8.fold(hash);
                picos.0.fold(hash);
            }
            Self::Estimated(picos) => {
                1_u8.fold(hash);
                picos.0.fold(hash);
            }
            Self::Unpriced => 2_u8.fold(hash),
        }
    }
}

impl Fold for Action {
    fn fold(&self, hash: &mut Sha256) {
        match self {
            Self::Pass { channel, bytes } => {
                0_u8.fold(hash);
                channel.fold(hash);
                bytes.fold(hash);
            }
            Self::Replace {
                channel,
                bytes,
                text,
            } => {
                1_u8.fold(hash);
                channel.fold(hash);
                bytes.fold(hash);
                text.fold(hash);
            }
            Self::Cut { choice, reason } => {
                2_u8.fold(hash);
                choice.fold(hash);
                reason.fold(hash);
            }
            Self::Note(label) => {
                3_u8.fold(hash);
                label.fold(hash);
            }
        }
    }
}

impl Fold for PluginError {
    fn fold(&self, hash: &mut Sha256) {
        let (number, text) = match self {
            Self::InvalidInput(text) => (0_u8, text),
            Self::Unavailable(text) => (1, text),
            Self::Internal(text) => (2, text),
        };
        number.fold(hash);
        text.fold(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::{Fold, Recorder};

    fn digest(values: &[&dyn Fold]) -> [u8; 32] {
        let mut recorder = Recorder::new();
        for value in values {
            recorder.fold(*value);
        }
        recorder.digest().0
    }

    #[test]
    fn neighbours_cannot_trade_bytes() {
        let ab_c = digest(&[&"ab".to_owned(), &"c".to_owned()]);
        let a_bc = digest(&[&"a".to_owned(), &"bc".to_owned()]);
        assert_ne!(ab_c, a_bc);
        assert_ne!(digest(&[&Some(0_u32)]), digest(&[&None::<u32>]));
    }

    #[test]
    fn what_is_read_is_capped() {
        let mut recorder = Recorder::new();
        let megabyte = "x".repeat(1 << 20);
        let reads = (0..100)
            .take_while(|_| recorder.answer(megabyte.as_str()).is_ok())
            .count();
        assert_eq!(reads, 63);
    }
}
