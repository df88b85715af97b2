//! From events and bodies to work: which text belongs to which lane and channel, and when channels open and close.

use bytes::Bytes;
use pointsman_domain::Value;
use pointsman_domain::guard::Channel;
use pointsman_domain::value::Attribute;

use super::chunk::{self, Chunk, Field, Piece};
use super::engine::Work;
use super::lane::Lane;
use super::leaf::{LeafKind, LeafLimits, Leaves, Token};
use super::ledger::Spelling;
use super::outlet::{Plan, PlannedPart, Span};
use super::{Release, Shape, emit};
use crate::sse::{self, Event};

const DONE: &[u8] = b"[DONE]";
/// A block without text, in place of a provider's comments.
const KEEP_ALIVE: &[u8] = b":\n\n";

impl Release {
    pub(super) fn take_event(&mut self, event: Event) {
        if self.is_closing || self.summary.done || self.summary.provider_error.is_some() {
            return;
        }
        let Some(data) = event.data.clone() else {
            let is_guarded = self.ledger.has_active_layer();
            let block = if is_guarded {
                Bytes::from_static(KEEP_ALIVE)
            } else {
                event.raw
            };
            self.queue.push_back(Work::Forward(block));
            return;
        };
        if data.trim_ascii() == DONE {
            return self.close_stream(Some(&event));
        }
        match chunk::read(&data, self.json_limits(), self.limits.choices_max) {
            Err(chunk::Malformed) => {
                self.summary.provider_error = Some("malformed chunk".to_owned());
            }
            Ok(_) if event.name.as_deref() == Some("error") => {
                self.summary.provider_error = Some("an error event".to_owned());
            }
            Ok(chunk) => self.take_chunk(chunk, data, Some(event)),
        }
    }

    pub(super) fn take_body(&mut self, body: Bytes) {
        if std::mem::replace(&mut self.is_closing, true) {
            return;
        }
        match chunk::read(&body, self.json_limits(), self.limits.choices_max) {
            Err(chunk::Malformed) => {
                self.summary.provider_error = Some("malformed answer".to_owned());
            }
            Ok(chunk) => self.take_chunk(chunk, body, None),
        }
    }

    /// An event, or without one a whole answer.
    fn take_chunk(&mut self, chunk: Chunk, data: Bytes, event: Option<Event>) {
        self.learn(&chunk);
        if self.summary.provider_error.is_some() {
            return;
        }
        let strangers = chunk
            .choices
            .iter()
            .filter(|part| !self.choices.contains_key(&part.index))
            .count();
        if self.choices.len() + strangers > self.limits.choices_max {
            self.summary.provider_error = Some("malformed chunk".to_owned());
            return;
        }
        if !chunk.choices.is_empty() {
            self.template = Some(data.clone());
            if let (Some(reason), true) = (&self.early_cut, event.is_some()) {
                let reason = reason.clone();
                self.know_choices(&chunk);
                return self.end_cut(reason);
            }
        }
        self.know_choices(&chunk);
        let mut work = Vec::new();
        let mut parts = Vec::with_capacity(chunk.choices.len());
        for mut choice in chunk.choices {
            let pieces = std::mem::take(&mut choice.pieces);
            let spans = self.take_pieces(choice.index, pieces, &mut work);
            if choice.is_opaque && self.ledger.is_strict() {
                let detail = "text in a field that no guard reads".to_owned();
                work.push(Work::Cut {
                    choice: Some(choice.index),
                    reason: emit::reason("uncovered-kind", detail),
                });
            }
            if self.provider_reasons.len() < self.limits.choices_max {
                self.provider_reasons.extend(choice.finish_reason.clone());
            }
            if choice.finish_reason.is_some() || event.is_none() {
                self.close_choice(choice.index, &mut work);
            }
            parts.push(PlannedPart {
                part: choice,
                spans,
            });
        }
        if event.is_none() {
            work.push(Work::Finish {
                layer: 0,
                is_complete: true,
            });
        }
        work.push(Work::EndEvent(Box::new(Plan {
            data,
            event,
            parts,
            list: chunk.list,
            has_usage: chunk.has_usage,
        })));
        self.queue.extend(work);
    }

    /// What holds for the answer as a whole, whatever becomes of its text.
    fn learn(&mut self, chunk: &Chunk) {
        self.summary.provider_error.clone_from(&chunk.error);
        if let Some(meters) = &chunk.meters {
            self.summary.meters.clone_from(meters);
        }
        if let Some(model) = &chunk.model {
            self.summary.response_model = Some(model.clone());
        }
        if let Some(tier) = &chunk.service_tier {
            self.summary.service_tier = Some(tier.clone());
        }
    }

    fn know_choices(&mut self, chunk: &Chunk) {
        for part in &chunk.choices {
            let known = self.choices.entry(part.index).or_default();
            if let Some(reason) = &self.early_cut {
                known.cut.get_or_insert_with(|| reason.clone());
            }
        }
    }

    fn take_pieces(&mut self, choice: u32, pieces: Vec<Piece>, work: &mut Vec<Work>) -> Vec<Span> {
        let mut spans = Vec::with_capacity(pieces.len());
        for piece in pieces {
            self.summary.saw_content |= !piece.text.is_empty();
            self.summary.received_text_bytes += piece.text.len() as u64;
            if self.is_cut(choice) {
                continue;
            }
            let Some(lane) = self.lane(choice, &piece, work) else {
                continue;
            };
            let started_behind = self.lanes[lane]
                .leaves
                .as_ref()
                .is_some_and(Leaves::is_behind);
            if !piece.text.is_empty() {
                self.take_text(lane, piece.text, work);
            }
            let is_behind = self.lanes[lane]
                .leaves
                .as_ref()
                .is_some_and(Leaves::is_behind);
            spans.push(Span {
                lane,
                range: piece.range,
                is_split: started_behind || is_behind,
            });
        }
        spans
    }

    /// The lane of a piece.
    fn lane(&mut self, choice: u32, piece: &Piece, work: &mut Vec<Work>) -> Option<usize> {
        if let Some(id) = &piece.call_id {
            self.know_call(choice, piece.field.item(), id, work);
        }
        if let Some(lane) = self.fields.get(&(choice, piece.field)) {
            return Some(*lane);
        }
        if self.lanes.len() >= self.limits.fields_max || self.calls.len() > self.limits.fields_max {
            work.push(self.channel_limit(choice));
            return None;
        }
        let leaves =
            (piece.field.is_json() && self.ledger.covered(piece.field.kind())).then(|| {
                Leaves::new(LeafLimits {
                    depth_max: self.limits.arguments_depth_max,
                    path_bytes_max: self.limits.path_bytes_max,
                    number_bytes_max: self.limits.number_bytes_max,
                })
            });
        let lane = self.lanes.len();
        self.lanes.push(Lane::new(choice, piece.field, leaves));
        self.fields.insert((choice, piece.field), lane);
        Some(lane)
    }

    /// A new id under a known index begins a new call, unless the old call's arguments are still under way: some
    /// engines name every fragment anew.
    fn know_call(&mut self, choice: u32, index: u32, id: &str, work: &mut Vec<Work>) {
        let known = self.calls.insert((choice, index), id.to_owned());
        if known.is_none_or(|known| known == id) {
            return;
        }
        let arguments = self.fields.get(&(choice, Field::ToolArguments(index)));
        let leaves = arguments.and_then(|lane| self.lanes[*lane].leaves.as_ref());
        if leaves.is_some_and(Leaves::is_under_way) {
            return;
        }
        for field in [
            Field::ToolName(index),
            Field::ToolArguments(index),
            Field::CustomInput(index),
        ] {
            self.close_field(choice, field, work);
            self.fields.remove(&(choice, field));
        }
    }

    fn channel_limit(&self, choice: u32) -> Work {
        let detail = format!(
            "more than {} channels or {} fields",
            self.limits.channels_max, self.limits.fields_max
        );
        Work::Cut {
            choice: Some(choice),
            reason: emit::reason("channel-limit", detail),
        }
    }

    fn take_text(&mut self, lane: usize, text: String, work: &mut Vec<Work>) {
        let Lane { choice, field, .. } = self.lanes[lane];
        let kind = field.kind();
        if self.ledger.denies(kind) {
            let reason = emit::reason(
                "uncovered-kind",
                format!("a required guard does not read `{kind}`"),
            );
            work.push(Work::Cut {
                choice: Some(choice),
                reason,
            });
            return;
        }
        // A name is over once its arguments begin.
        match field {
            Field::ToolArguments(index) | Field::CustomInput(index) => {
                self.close_field(choice, Field::ToolName(index), work);
            }
            Field::FunctionArguments => self.close_field(choice, Field::FunctionName, work),
            _ => {}
        }
        if let Some(leaves) = &mut self.lanes[lane].leaves {
            let tokens = leaves.push(&text);
            self.take_tokens(lane, tokens, work);
        } else if self.ledger.covered(kind) {
            if self.lanes[lane].channel.is_none() {
                self.open_channel(lane, String::new(), Spelling::Plain, work);
            }
            self.push_text(lane, text, work);
        } else {
            work.push(Work::Structure { lane, text });
        }
    }

    fn take_tokens(&mut self, lane: usize, tokens: Vec<Token>, work: &mut Vec<Work>) {
        for token in tokens {
            match token {
                Token::Structure(text) => work.push(Work::Structure { lane, text }),
                Token::Open { path, kind } => {
                    let spelling = match kind {
                        LeafKind::String => Spelling::Escaped,
                        LeafKind::Number => Spelling::Number,
                        LeafKind::Raw => Spelling::Plain,
                    };
                    self.open_channel(lane, path, spelling, work);
                }
                Token::Text(text) => self.push_text(lane, text, work),
                Token::Close => self.close_channel(lane, work),
                Token::Malformed if self.ledger.is_strict() => {
                    let detail = "tool arguments are not JSON, or too large to be read".to_owned();
                    let reason = emit::reason("malformed-arguments", detail);
                    work.push(Work::Cut {
                        choice: Some(self.lanes[lane].choice),
                        reason,
                    });
                }
                Token::Malformed => {}
            }
        }
    }

    fn open_channel(
        &mut self,
        lane: usize,
        path: String,
        spelling: Spelling,
        work: &mut Vec<Work>,
    ) {
        let Lane { choice, field, .. } = self.lanes[lane];
        if self.ledger.opened() >= self.limits.channels_max {
            return work.push(self.channel_limit(choice));
        }
        let id = self.ledger.open(lane, choice, field.kind(), spelling);
        self.lanes[lane].channel = Some(id);
        let mut attributes = Vec::new();
        if let Some(call) = self
            .calls
            .get(&(choice, field.item()))
            .filter(|_| field.kind().starts_with("tool-"))
        {
            attributes.push(Attribute {
                key: "call-id".to_owned(),
                value: Value::Text(call.clone()),
            });
        }
        let channel = Channel {
            choice,
            item: field.item(),
            kind: field.kind().to_owned(),
            path,
            attributes,
        };
        let open = Work::Open {
            layer: 0,
            id,
            channel,
        };
        // Before the text of other channels, so that all text of one event can be one push.
        match work.last() {
            Some(Work::Push { layer: 0, .. }) => work.insert(work.len() - 1, open),
            _ => work.push(open),
        }
    }

    fn push_text(&mut self, lane: usize, text: String, work: &mut Vec<Work>) {
        let Some(id) = self.lanes[lane].channel else {
            return;
        };
        if let Some(channel) = self.ledger.channels.get_mut(&id)
            && channel.spelling == Spelling::Number
        {
            channel.number.0.push_str(&text);
        }
        let mut rest = text;
        while rest.len() > self.limits.push_bytes_max {
            // At least one character, whatever the bound.
            let end = rest.floor_char_boundary(self.limits.push_bytes_max);
            let end = if end == 0 {
                rest.ceil_char_boundary(1)
            } else {
                end
            };
            let tail = rest.split_off(end);
            let deltas = vec![(id, std::mem::replace(&mut rest, tail))];
            work.push(Work::Push { layer: 0, deltas });
        }
        match work.last_mut() {
            Some(Work::Push { layer: 0, deltas }) => {
                match deltas.iter_mut().find(|(known, _)| *known == id) {
                    None => deltas.push((id, rest)),
                    Some((_, before))
                        if before.len() + rest.len() <= self.limits.push_bytes_max =>
                    {
                        before.push_str(&rest);
                    }
                    Some(_) => work.push(Work::Push {
                        layer: 0,
                        deltas: vec![(id, rest)],
                    }),
                }
            }
            _ => work.push(Work::Push {
                layer: 0,
                deltas: vec![(id, rest)],
            }),
        }
    }

    fn close_channel(&mut self, lane: usize, work: &mut Vec<Work>) {
        if let Some(id) = self.lanes[lane].channel.take() {
            work.push(Work::Close { layer: 0, id });
        }
    }

    fn close_field(&mut self, choice: u32, field: Field, work: &mut Vec<Work>) {
        if let Some(lane) = self.fields.get(&(choice, field)).copied() {
            self.close_lane(lane, work);
        }
    }

    fn close_lane(&mut self, lane: usize, work: &mut Vec<Work>) {
        let is_cut = self.is_cut(self.lanes[lane].choice);
        // What a cut choice still owes, such as a number whose end was not known, is nobody's.
        if let Some(leaves) = self.lanes[lane].leaves.as_mut().filter(|_| !is_cut) {
            let tokens = leaves.finish();
            self.take_tokens(lane, tokens, work);
        }
        self.close_channel(lane, work);
    }

    fn close_choice(&mut self, choice: u32, work: &mut Vec<Work>) {
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].choice == choice {
                self.close_lane(lane, work);
            }
        }
    }

    pub(super) fn close_all(&mut self, work: &mut Vec<Work>) {
        for lane in 0..self.lanes.len() {
            self.close_lane(lane, work);
        }
    }

    /// Closes what is open and ends the stream, with the provider's own end where it sent one.
    pub(super) fn close_stream(&mut self, done: Option<&Event>) {
        if std::mem::replace(&mut self.is_closing, true) || self.summary.done {
            return;
        }
        if let Some(reason) = self.early_cut.clone() {
            return self.end_cut(reason);
        }
        let mut work = Vec::new();
        self.close_all(&mut work);
        work.push(Work::Finish {
            layer: 0,
            is_complete: true,
        });
        let is_guarded = self.ledger.has_active_layer();
        let end = match done {
            Some(event) if !(is_guarded && event.has_extras) => event.raw.clone(),
            _ => sse::frame(None, DONE),
        };
        work.push(Work::Done(end));
        self.queue.extend(work);
    }

    /// Whether the client is to see a chunk that only counts.
    pub(super) fn wants_usage(&self) -> bool {
        !matches!(
            self.shape,
            Shape::Stream {
                client_wants_usage: false
            }
        )
    }
}
