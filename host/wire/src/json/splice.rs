//! Replacements at positions of a text; every byte outside them stays.

use std::ops::Range;

use super::{Kind, Node, escape};

/// Replacements, in any order, that do not overlap.
#[derive(Debug, Default)]
pub(crate) struct Splice {
    edits: Vec<(Range<usize>, String)>,
}

impl Splice {
    pub(crate) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    pub(crate) fn replace(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.edits.push((range, text.into()));
    }

    /// Sets a member of an object: replaced where it is, added at the end where it is not.
    pub(crate) fn set(&mut self, object: Node<'_>, key: &str, json: &str) {
        if let Some(value) = object.get(key) {
            return self.replace(value.range(), json);
        }
        let last = object.members().last();
        let (at, comma) = last.map_or_else(
            || (object.inner().start, ""),
            |(_, value)| (value.range().end, ","),
        );
        self.replace(at..at, format!("{comma}\"{}\":{json}", escape(key)));
    }

    /// Removes members of an object or items of an array, with the commas that go with them.
    pub(crate) fn remove(&mut self, container: Node<'_>, mut gone: impl FnMut(Node<'_>) -> bool) {
        let spans: Vec<(Range<usize>, bool)> = if container.kind() == Kind::Object {
            let span = |(key, value): (Node<'_>, Node<'_>)| {
                (key.range().start..value.range().end, gone(key))
            };
            container.members().map(span).collect()
        } else {
            container
                .items()
                .map(|item| (item.range(), gone(item)))
                .collect()
        };
        let mut index = 0;
        while index < spans.len() {
            if !spans[index].1 {
                index += 1;
                continue;
            }
            let first = index;
            while index < spans.len() && spans[index].1 {
                index += 1;
            }
            // A run goes with the comma after it, or, at the end, with the one before.
            let range = match (spans.get(index), first.checked_sub(1)) {
                (Some((next, _)), _) => spans[first].0.start..next.start,
                (None, Some(before)) => spans[before].0.end..spans[index - 1].0.end,
                (None, None) => spans[first].0.start..spans[index - 1].0.end,
            };
            self.replace(range, "");
        }
    }

    /// The part `within` of `text` with its replacements made; those outside are ignored.
    pub(crate) fn apply(&mut self, text: &str, within: Range<usize>) -> String {
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut out = String::with_capacity(within.len());
        let mut at = within.start;
        for (range, new) in &self.edits {
            if range.start < at || range.end > within.end {
                continue;
            }
            out.push_str(&text[at..range.start]);
            out.push_str(new);
            at = range.end;
        }
        out.push_str(&text[at..within.end]);
        out
    }
}
