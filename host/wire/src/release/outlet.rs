//! From released text to bytes: an event as it came where nothing changed, spliced where something did, and chunks of
//! our own for text that has no event.

use std::ops::Range;

use bytes::Bytes;
use pointsman_domain::Reason;

use super::chunk::{ChoicePart, Field};
use super::{Release, Shape, emit};
use crate::json::{Splice, escape};
use crate::sse::{self, Event};

/// An event whose text is on its way through the guards; without `event` a whole answer.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) data: Bytes,
    pub(super) event: Option<Event>,
    pub(super) parts: Vec<PlannedPart>,
    pub(super) list: Option<Range<usize>>,
    pub(super) has_usage: bool,
}

/// A choice of the event.
#[derive(Debug)]
pub(super) struct PlannedPart {
    pub(super) part: ChoicePart,
    pub(super) spans: Vec<Span>,
}

/// A string of the event into which a lane's text goes.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) lane: usize,
    /// With its quotes.
    pub(super) range: Range<usize>,
    /// It begins or ends inside an escape or a number.
    pub(super) is_split: bool,
}

/// What becomes of an event.
#[derive(Debug, Default)]
struct Rewrite {
    splice: Splice,
    /// The client learns something from it.
    says_something: bool,
}

impl Release {
    pub(super) fn end_event(&mut self, plan: &Plan) {
        let Some(event) = &plan.event else {
            return self.end_answer(plan);
        };
        let live: Vec<&PlannedPart> = plan
            .parts
            .iter()
            .filter(|planned| !self.is_cut(planned.part.index))
            .collect();
        let spanned: Vec<usize> = live
            .iter()
            .flat_map(|planned| &planned.spans)
            .map(|span| span.lane)
            .collect();
        self.flush(|lane| !spanned.contains(&lane));
        let counts = plan.has_usage && self.wants_usage();
        let mut rewrite = Rewrite {
            says_something: counts || (plan.parts.is_empty() && !plan.has_usage),
            ..Rewrite::default()
        };
        for planned in &live {
            self.rewrite(planned, &mut rewrite);
            if let Some(reason) = &planned.part.finish_reason {
                self.finish_choice(planned.part.index, reason);
            }
        }
        self.note_held();
        let is_whole = live.len() == plan.parts.len();
        let is_unchanged = is_whole && rewrite.splice.is_empty();
        let is_only_usage = plan.parts.is_empty() && plan.has_usage;
        if is_unchanged && !is_only_usage {
            return self.forward(event, &plan.data);
        }
        if !rewrite.says_something {
            return;
        }
        if is_unchanged {
            return self.forward(event, &plan.data);
        }
        let text = std::str::from_utf8(&plan.data).unwrap_or_default();
        let data = match plan.list.clone().filter(|_| !is_whole) {
            None => rewrite.splice.apply(text, 0..text.len()),
            Some(list) => {
                let kept: Vec<String> = live
                    .iter()
                    .map(|planned| rewrite.splice.apply(text, planned.part.element.clone()))
                    .collect();
                format!(
                    "{}[{}]{}",
                    &text[..list.start],
                    kept.join(","),
                    &text[list.end..]
                )
            }
        };
        self.out
            .push_back(sse::frame(event.name.as_deref(), data.as_bytes()));
    }

    fn forward(&mut self, event: &Event, data: &[u8]) {
        // Comments and unknown fields of the framing are text that no guard has read.
        let is_plain = !(event.has_extras && self.ledger.has_active_layer());
        let bytes = if is_plain {
            event.raw.clone()
        } else {
            sse::frame(event.name.as_deref(), data)
        };
        self.out.push_back(bytes);
    }

    fn finish_choice(&mut self, choice: u32, reason: &str) {
        let known = self.choices.entry(choice).or_default();
        if !std::mem::replace(&mut known.is_finished, true) {
            self.summary.finish_reasons.push(reason.to_owned());
        }
    }

    /// Puts what was released in place of what came.
    fn rewrite(&mut self, planned: &PlannedPart, rewrite: &mut Rewrite) {
        let PlannedPart { part, spans } = planned;
        rewrite.says_something |= part.carries_more || part.finish_reason.is_some();
        let mut is_reasoning_clean = true;
        for (index, span) in spans.iter().enumerate() {
            if spans[..index].iter().any(|before| before.lane == span.lane) {
                continue;
            }
            let same = || {
                spans[index..]
                    .iter()
                    .filter(|other| other.lane == span.lane)
            };
            let text = self.take_out(span.lane);
            rewrite.says_something |= !text.is_empty();
            if self.is_clean(span.lane) && !same().any(|span| span.is_split) {
                continue;
            }
            is_reasoning_clean &= self.lanes[span.lane].field != Field::Reasoning;
            for (nth, other) in same().enumerate() {
                let new = if nth == 0 {
                    escape(&text)
                } else {
                    String::new()
                };
                rewrite
                    .splice
                    .replace(other.range.clone(), format!("\"{new}\""));
            }
        }
        if !self.ledger.has_active_layer() {
            return;
        }
        // They name tokens that were not chosen, which no guard has read.
        if let Some(logprobs) = &part.logprobs {
            rewrite.splice.replace(logprobs.clone(), "null");
        }
        if let Some(details) = &part.details
            && !(details.is_repeat && is_reasoning_clean)
        {
            rewrite.splice.replace(details.range.clone(), "[]");
        }
    }

    fn take_out(&mut self, lane: usize) -> String {
        let text = std::mem::take(&mut self.lanes[lane].out);
        self.unsent_bytes -= text.len();
        text
    }

    /// Whether what came with this event is just what was released by it.
    fn is_clean(&self, lane: usize) -> bool {
        let known = &self.lanes[lane];
        !known.is_changed && !known.was_behind && !self.ledger.held_lanes().any(|held| held == lane)
    }

    /// Remembers what each lane owes when the next event begins.
    pub(super) fn note_held(&mut self) {
        for lane in &mut self.lanes {
            lane.is_changed = false;
            lane.was_behind = false;
        }
        for lane in self.ledger.held_lanes() {
            self.lanes[lane].was_behind = true;
        }
    }

    /// Sends text that has no event to go with, of these lanes, and tells cuts.
    pub(super) fn flush(&mut self, of: impl Fn(usize) -> bool) {
        if self.shape == Shape::Whole {
            return;
        }
        for lane in 0..self.lanes.len() {
            if !self.lanes[lane].out.is_empty() && of(lane) {
                let text = self.take_out(lane);
                let delta = emit::delta(self.lanes[lane].field, &text);
                self.chunk(self.lanes[lane].choice, &delta, "null");
            }
        }
        self.tell_cuts();
    }

    fn tell_cuts(&mut self) {
        let mut untold: Vec<(u32, Reason)> = Vec::new();
        for (index, choice) in &mut self.choices {
            if let Some(reason) = choice.cut.clone().filter(|_| !choice.is_told) {
                choice.is_told = true;
                if !choice.is_finished {
                    untold.push((*index, reason));
                }
            }
        }
        for (choice, reason) in untold {
            self.chunk(choice, &emit::cut_delta(&reason), r#""content_filter""#);
            self.finish_choice(choice, "content_filter");
        }
    }

    fn chunk(&mut self, choice: u32, delta: &str, finish_reason: &str) {
        let template = self.template.as_deref();
        let chunk = emit::chunk(template, self.json_limits(), choice, delta, finish_reason);
        self.out.push_back(sse::frame(None, chunk.as_bytes()));
    }

    /// Ends a stream that was cut as a whole.
    pub(super) fn end_cut(&mut self, reason: Reason) {
        if self.choices.is_empty() {
            self.choices.entry(0).or_default().cut = Some(reason.clone());
        }
        for choice in self.choices.values_mut() {
            choice.cut.get_or_insert_with(|| reason.clone());
        }
        self.is_closing = true;
        self.queue.clear();
        self.flush(|_| true);
        self.out.push_back(sse::frame(None, b"[DONE]"));
        self.summary.done = true;
    }

    /// Sends a whole answer.
    fn end_answer(&mut self, plan: &Plan) {
        let mut rewrite = Rewrite::default();
        for planned in &plan.parts {
            let index = planned.part.index;
            let cut = self
                .choices
                .get(&index)
                .and_then(|choice| choice.cut.clone());
            match cut {
                Some(reason) => self.rewrite_cut(planned, &reason, &mut rewrite.splice),
                None => {
                    self.rewrite(planned, &mut rewrite);
                    if let Some(reason) = &planned.part.finish_reason {
                        self.finish_choice(index, reason);
                    }
                }
            }
        }
        let body = if rewrite.splice.is_empty() {
            plan.data.clone()
        } else {
            let text = std::str::from_utf8(&plan.data).unwrap_or_default();
            Bytes::from(rewrite.splice.apply(text, 0..text.len()))
        };
        self.out.push_back(body);
        self.summary.done = true;
    }

    /// A cut choice keeps nothing but what was released before the cut.
    fn rewrite_cut(&mut self, planned: &PlannedPart, reason: &Reason, splice: &mut Splice) {
        let PlannedPart { part, spans } = planned;
        let mut released: Vec<(Field, String)> = Vec::new();
        for span in spans {
            let text = self.take_out(span.lane);
            released.push((self.lanes[span.lane].field, text));
        }
        let released: Vec<(Field, &str)> = released
            .iter()
            .map(|(field, text)| (*field, text.as_str()))
            .collect();
        let message = emit::cut_message(&released, reason);
        let choice = format!(
            r#"{{"index":{},"message":{message},"logprobs":null,"finish_reason":"content_filter"}}"#,
            part.index
        );
        splice.replace(part.element.clone(), choice);
        self.finish_choice(part.index, "content_filter");
    }
}
