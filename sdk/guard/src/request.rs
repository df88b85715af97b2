//! A request, segment by segment.

use pointsman_sdk::{Checked, Edit, TextEdit, View, border_above, offset};

use crate::{Act, Counts, Scan, Step};

/// Segments that are fetched at once, so that a long conversation is never in memory twice as a whole.
const SEGMENTS_AT_ONCE: u32 = 64;

/// Edits of a request; more are joined, one for a segment, because the host bounds them.
const EDITS_MAX: usize = 2048;

/// Something that was found in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Find {
    /// What.
    pub kind: usize,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

/// All finds of a whole text.
#[must_use]
pub fn finds<S: Scan>(scan: &S, text: &str) -> Vec<Find> {
    let mut finds = Vec::new();
    let mut memo = S::Memo::default();
    let mut place = 0;
    while place < text.len() {
        match scan.step(text, place, true, &mut memo) {
            Step::Clean(bytes) => place += bytes,
            Step::Found {
                kind,
                bytes,
                goes_on,
            } => {
                let start = place;
                place += bytes;
                if goes_on {
                    place += scan.tail(kind, text, place, true).bytes;
                }
                finds.push(Find {
                    kind,
                    start,
                    end: place,
                });
            }
            // A complete text leaves nothing undecided; were it otherwise, nothing may be skipped over.
            Step::Undecided { .. } => place = border_above(text, place + 1),
        }
    }
    finds
}

/// What a request guard says of a request.
#[must_use]
pub fn check(scan: &impl Scan, request: &dyn View) -> Checked {
    let mut edits = Vec::new();
    let mut counts = Counts::new(scan);
    let mut denied = None;
    for first in (0..request.segment_count()).step_by(SEGMENTS_AT_ONCE as usize) {
        let segments = request.segments(first, SEGMENTS_AT_ONCE);
        for (segment, index) in segments.iter().zip(first..) {
            for find in finds(scan, &segment.text) {
                let found = counts.add(find.kind);
                match scan.act_on(find.kind, found) {
                    Act::Deny => denied = denied.or(Some(find.kind)),
                    Act::Mask => edits.push(TextEdit {
                        segment: index,
                        start: offset(find.start),
                        end: offset(find.end),
                        text: scan.placeholder(find.kind).to_owned(),
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
        Some(kind) => Checked::deny(scan.reason(kind, "request")),
        None => Checked::edit(edits.into_iter().map(Edit::Text).collect()),
    };
    checked.labels = counts.labels(scan);
    checked
}

/// One edit for each segment in place of many, where the host's bound on edits is near.
fn joined(edits: Vec<TextEdit>, request: &dyn View) -> Vec<TextEdit> {
    let of_segment = edits.chunk_by(|a, b| a.segment == b.segment);
    let one = |edits: &[TextEdit]| {
        let (first, last) = (edits.first()?, edits.last()?);
        let segment = request.segments(first.segment, 1).pop()?;
        let mut text = String::new();
        let mut place = first.start;
        for edit in edits {
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
    };
    of_segment.filter_map(one).collect()
}
