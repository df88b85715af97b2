//! What a case came to, by the keys of `expect`, and how it differs from what was expected.

use serde_json::{Map, Value as Json};

use crate::answer::Guarded;
use crate::case::Case;

/// What `expect` may hold: `refused` (a piece of the configuration's refusal), `labels` (those named), `verdict`
/// (`pass`, `edit`, `deny`), `deny` (code), `status`, `edited` (all text segments after edits, joined by newlines),
/// `set`, `variant`, `plan` (targets), `attempts` (targets with attributes), `reason` (code), `attributes` (of the
/// plan), `released`, `cut` (code), `lines` (attempt/unit → amount), `cost-pico-usd` (their sum, none where one is
/// unpriced), `error` (kind).
pub(crate) const KEYS: [&str; 17] = [
    "refused",
    "labels",
    "verdict",
    "deny",
    "status",
    "edited",
    "set",
    "variant",
    "plan",
    "attempts",
    "reason",
    "attributes",
    "released",
    "cut",
    "lines",
    "cost-pico-usd",
    "error",
];

/// What a case came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome(Map<String, Json>);

/// A text edit of a request.
#[derive(Clone, Debug)]
pub struct Edited<'a> {
    /// Index of the segment.
    pub segment: u32,
    /// Its first byte.
    pub start: u32,
    /// The byte after its last.
    pub end: u32,
    /// What comes in its place.
    pub text: &'a str,
}

/// What a cost line amounts to, in pico-dollars.
#[derive(Clone, Copy, Debug)]
pub enum Priced {
    /// From a told count and a known price.
    Exact(i128),
    /// From a reckoned one.
    Estimated(i128),
    /// No price is known.
    Unpriced,
}

impl Outcome {
    /// Of a configuration that is refused.
    #[must_use]
    pub fn refused(why: &str) -> Self {
        let mut outcome = Self::default();
        outcome.put("refused", why);
        outcome
    }

    fn put(&mut self, key: &str, value: impl Into<Json>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// What was said; a later label replaces an earlier one.
    pub fn labels(&mut self, labels: impl IntoIterator<Item = (String, Json)>) {
        let known = self
            .0
            .entry("labels")
            .or_insert_with(|| Json::Object(Map::new()));
        if let Some(known) = known.as_object_mut() {
            known.extend(labels);
        }
    }

    /// An error that was returned on purpose, by its kind.
    pub fn error(&mut self, kind: &str) {
        self.put("error", kind);
    }

    /// The request passes as it is.
    pub fn passed(&mut self) {
        self.put("verdict", "pass");
    }

    /// The request is refused: the reason's code, and the status where one is set.
    pub fn denied(&mut self, code: &str, status: Option<Json>) {
        self.put("verdict", "deny");
        self.put("deny", code);
        if let Some(status) = status {
            self.put("status", status);
        }
    }

    /// The request passes with changes. `segments`: kind and text of each, in document order.
    ///
    /// # Errors
    /// When edits overlap, are out of order, or name no text.
    pub fn edited<'a>(
        &mut self,
        segments: impl IntoIterator<Item = (&'a str, &'a str)>,
        edits: &[Edited<'_>],
        set: Map<String, Json>,
    ) -> Result<(), String> {
        let mut segments: Vec<(&str, String)> = segments
            .into_iter()
            .map(|(kind, text)| (kind, text.to_owned()))
            .collect();
        let place = |edit: &Edited<'_>| (edit.segment, edit.start);
        let overlap = |pair: &[Edited<'_>]| (pair[0].segment, pair[0].end) > place(&pair[1]);
        if edits.windows(2).any(overlap) {
            return Err(format!("edits overlap or are out of order: {edits:?}"));
        }
        for edit in edits.iter().rev() {
            let (start, end) = (edit.start as usize, edit.end as usize);
            let text = segments
                .get_mut(edit.segment as usize)
                .map(|(_, text)| text)
                .filter(|text| text.get(start..end).is_some())
                .ok_or_else(|| format!("an edit names no text: {edit:?}"))?;
            text.replace_range(start..end, edit.text);
        }
        let shown: Vec<String> = segments
            .into_iter()
            .filter_map(|(kind, text)| (kind == "text").then_some(text))
            .collect();
        self.put("verdict", "edit");
        self.put("edited", shown.join("\n"));
        self.put("set", set);
        Ok(())
    }

    /// A splitter's choice.
    pub fn variant(&mut self, variant: &str) {
        self.put("variant", variant);
    }

    /// A router's plan: targets with the attributes of each, the reason's code, the plan's own attributes.
    pub fn plan(
        &mut self,
        attempts: impl IntoIterator<Item = (String, Map<String, Json>)>,
        reason: &str,
        attributes: Map<String, Json>,
    ) {
        let (mut names, mut rows) = (Vec::new(), Vec::new());
        for (target, mut row) in attempts {
            row.insert("target".to_owned(), target.as_str().into());
            rows.push(Json::Object(row));
            names.push(Json::String(target));
        }
        self.put("plan", names);
        self.put("attempts", rows);
        self.put("reason", reason);
        self.put("attributes", attributes);
    }

    /// What came of an answer.
    pub fn guarded(&mut self, guarded: Guarded) {
        self.put("released", guarded.released);
        if let Some(code) = guarded.cut {
            self.put("cut", code);
        }
        self.labels(guarded.notes);
    }

    /// Cost lines: attempt, unit, amount.
    pub fn lines<'a>(&mut self, lines: impl IntoIterator<Item = (u32, &'a str, Priced)>) {
        let mut amounts = Map::new();
        let mut sum = Some(0_i128);
        for (attempt, unit, priced) in lines {
            let (text, picos) = match priced {
                Priced::Exact(picos) => (format!("exact {picos}"), Some(picos)),
                Priced::Estimated(picos) => (format!("estimated {picos}"), Some(picos)),
                Priced::Unpriced => ("unpriced".to_owned(), None),
            };
            sum = sum.zip(picos).map(|(sum, picos)| sum + picos);
            amounts.insert(format!("{attempt}/{unit}"), text.into());
        }
        self.put("lines", amounts);
        self.put("cost-pico-usd", sum.map(|sum| sum.to_string()));
    }
}

impl Case {
    /// A line for each key that came out otherwise.
    #[must_use]
    pub fn differing(&self, outcome: &Outcome) -> Vec<String> {
        let mut differing = Vec::new();
        for (key, wanted) in &self.expect {
            let found = outcome.0.get(key).unwrap_or(&Json::Null);
            let agrees = match (key.as_str(), wanted) {
                // Labels: those named. A refusal: a piece of its text. All else: exactly.
                ("labels", Json::Object(wanted)) => wanted
                    .iter()
                    .all(|(key, label)| found.get(key) == Some(label)),
                ("refused", Json::String(piece)) => found
                    .as_str()
                    .is_some_and(|text| text.contains(piece.as_str())),
                _ => found == wanted,
            };
            if !agrees {
                let found = match outcome.0.get("refused") {
                    Some(refusal) if key != "refused" => {
                        format!("the config is refused: {refusal}")
                    }
                    _ => format!("it is {found}"),
                };
                differing.push(format!("{key}: expected {wanted}, {found}"));
            }
        }
        differing
    }
}
