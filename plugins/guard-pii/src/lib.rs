//! Masks, denies or labels personal data in requests and in answers, streamed ones across delta borders.
//!
//! Requests are scanned segment by segment; answers channel by channel, with at most `scan::HOLD_BYTES` held back.
//! Both find the same in the same text. Nothing that was found is ever repeated: labels and reasons hold kinds and
//! counts.
#![forbid(unsafe_code)]

pub mod kind;
mod report;
pub mod scan;
mod settings;
mod stream;

use pointsman_sdk::{
    Checked, Coverage, Edit, Plugin, PluginError, RequestGuard, ResponseGuard, TextEdit, View,
    offset,
};

use kind::{Act, Kind};
use report::Counts;
pub use settings::{Config, Settings};
pub use stream::Stream;

/// Longest time that a byte of an answer is held, in milliseconds.
const HOLD_BACK_MS: u32 = 2_000;

/// Kinds of channel whose text is scanned: all that the contract names.
const CHANNEL_KINDS: &[&str] = &[
    "text",
    "reasoning",
    "refusal",
    "tool-name",
    "tool-argument",
    "citation",
    "transcript",
];

/// Segments that are fetched at once, so that a long conversation is never in memory twice as a whole.
const SEGMENTS_AT_ONCE: u32 = 64;

/// Edits of a request; more are joined, one for a segment, because the host bounds them.
const EDITS_MAX: usize = 2048;

/// The configured guard.
#[derive(Debug)]
pub struct GuardPii {
    settings: Settings,
}

impl Plugin for GuardPii {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        let settings = Settings::new(&config)?;
        Ok(Self { settings })
    }
}

impl RequestGuard for GuardPii {
    fn check(&self, request: &dyn View) -> Result<Checked, PluginError> {
        let mut edits = Vec::new();
        let mut counts = Counts::new();
        let mut denied = None::<Kind>;
        let count = request.segment_count();
        for first in (0..count).step_by(SEGMENTS_AT_ONCE as usize) {
            for (segment, index) in request
                .segments(first, SEGMENTS_AT_ONCE)
                .iter()
                .zip(first..)
            {
                for (kind, start, end) in self.settings.scanner().finds(&segment.text) {
                    counts.add(kind);
                    match self.settings.act(kind) {
                        Act::Deny => denied = denied.or(Some(kind)),
                        Act::Mask => edits.push(TextEdit {
                            segment: index,
                            start: offset(start),
                            end: offset(end),
                            text: self.settings.placeholder(kind).to_owned(),
                        }),
                        Act::Label | Act::Off => {}
                    }
                }
            }
        }
        if edits.len() > EDITS_MAX {
            edits = joined(edits, request);
        }
        let mut checked = match denied {
            Some(kind) => Checked::deny(kind.reason("request")),
            None => Checked::edit(edits.into_iter().map(Edit::Text).collect()),
        };
        checked.labels = counts.labels();
        Ok(checked)
    }
}

/// One edit for each segment in place of many, where the host's bound on edits is near.
fn joined(edits: Vec<TextEdit>, request: &dyn View) -> Vec<TextEdit> {
    edits
        .chunk_by(|a, b| a.segment == b.segment)
        .filter_map(|of_segment| {
            let (first, last) = (of_segment.first()?, of_segment.last()?);
            let segment = request.segments(first.segment, 1).pop()?;
            let mut text = String::new();
            let mut place = first.start;
            for edit in of_segment {
                text.push_str(segment.text.get(place as usize..edit.start as usize)?);
                text.push_str(&edit.text);
                place = edit.end;
            }
            Some(TextEdit {
                segment: first.segment,
                start: first.start,
                end: last.end,
                text,
            })
        })
        .collect()
}

impl ResponseGuard for GuardPii {
    type Stream = Stream;

    fn covers(&self) -> Coverage {
        Coverage {
            kinds: CHANNEL_KINDS.iter().map(|&kind| kind.to_owned()).collect(),
            hold_back_bytes: offset(scan::HOLD_BYTES),
            hold_back_ms: HOLD_BACK_MS,
            attributes: Vec::new(),
        }
    }

    fn start(&'static self, _request: &dyn View) -> Stream {
        Stream::new(&self.settings)
    }
}

pointsman_sdk::export_plugin!(GuardPii: request_guard, response_guard);

#[cfg(test)]
mod tests;
