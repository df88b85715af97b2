//! The body that goes to one target.

use bytes::Bytes;

use super::request::ChatRequest;
use crate::json::{Kind, Splice, escape};

/// What differs from target to target.
#[derive(Clone, Copy, Debug)]
pub struct TargetBody<'a> {
    /// The provider's name of the model.
    pub model: &'a str,
    /// Whether the target can tell usage at the end of a stream; asked for, so that the bill is exact.
    pub include_usage: bool,
}

impl ChatRequest {
    /// The body for a target: the model's name and, in streams, the wish for usage; all else as it stands.
    #[must_use]
    pub fn for_target(&self, target: &TargetBody<'_>) -> Bytes {
        let text = self.text();
        let root = self.root(text);
        let mut splice = Splice::default();
        if self.model() != target.model {
            splice.set(root, "model", &format!("\"{}\"", escape(target.model)));
        }
        if self.streaming() && target.include_usage && !self.include_usage() {
            match root
                .get("stream_options")
                .filter(|options| options.kind() == Kind::Object)
            {
                Some(options) => splice.set(options, "include_usage", "true"),
                None => splice.set(root, "stream_options", r#"{"include_usage":true}"#),
            }
        }
        if splice.is_empty() {
            return self.body().clone();
        }
        Bytes::from(splice.apply(text, 0..text.len()))
    }
}
