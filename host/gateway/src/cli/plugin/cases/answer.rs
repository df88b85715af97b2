//! A case's answer through a response guard: as given, then whole, character by character, and split in two at every
//! character. What is released must not depend on it, unless the answer is cut.

use anyhow::{Context as _, ensure};
use pointsman_domain::guard::{Action, Channel, Delta};
use pointsman_domain::{Attribute, Label};
use pointsman_plugin::{Call, Step};

use super::{Outcome, put, put_labels, told};

const CHANNEL: u32 = 0;

#[derive(Default)]
struct Flow {
    held: String,
    released: String,
    cut: Option<String>,
    notes: Vec<Label>,
}

/// Runs the answer; a plugin that has no answer to guard says nothing.
pub(super) async fn guard(
    step: &Step,
    call: &Call,
    deltas: &[String],
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    if deltas.is_empty() {
        return Ok(());
    }
    let given: Vec<&str> = deltas.iter().map(String::as_str).collect();
    let Some(first) = flow(step, call, &given, outcome).await? else {
        return Ok(());
    };
    let whole = deltas.concat();
    let mut ways = vec![vec![whole.as_str()]];
    ways.push(whole.split("").filter(|piece| !piece.is_empty()).collect());
    let borders = whole.char_indices().skip(1);
    ways.extend(borders.map(|(at, _)| vec![&whole[..at], &whole[at..]]));
    for way in ways {
        let again = flow(step, call, &way, outcome)
            .await?
            .context("it fails only for some ways of splitting the answer")?;
        ensure!(
            again.cut == first.cut && (first.cut.is_some() || again.released == first.released),
            "what is released depends on how the answer was split: {way:?}"
        );
    }
    put(outcome, "released", first.released);
    if let Some(code) = first.cut {
        put(outcome, "cut", code);
    }
    put_labels(outcome, &first.notes);
    Ok(())
}

async fn flow(
    step: &Step,
    call: &Call,
    deltas: &[&str],
    outcome: &mut Outcome,
) -> anyhow::Result<Option<Flow>> {
    let Some(mut guard) = told(step.guard(call).await, outcome)? else {
        return Ok(None);
    };
    let about = Channel {
        kind: "text".to_owned(),
        ..Channel::default()
    };
    let hold_back = step.coverage().map_or(0, |covers| covers.hold_back_bytes);
    let mut flow = Flow::default();
    guard.open(CHANNEL, &about).await?;
    for delta in deltas {
        if flow.cut.is_some() {
            break;
        }
        flow.held.push_str(delta);
        let delta = Delta {
            channel: CHANNEL,
            text: (*delta).to_owned(),
        };
        flow.apply(guard.push(&[delta]).await?)?;
        ensure!(
            flow.cut.is_some() || flow.held.len() <= hold_back as usize,
            "it holds {} bytes, and `covers` declared {hold_back}",
            flow.held.len()
        );
    }
    if flow.cut.is_none() {
        flow.apply(guard.close(CHANNEL).await?)?;
        ensure!(
            flow.cut.is_some() || flow.held.is_empty(),
            "it still holds {:?} after `close`",
            flow.held
        );
    }
    if flow.cut.is_none() {
        let attribute = |key: &str, value| Attribute {
            key: key.to_owned(),
            value,
        };
        let ended = vec![
            attribute("finish-reason", "stop".into()),
            attribute("complete", true.into()),
        ];
        flow.apply(guard.finish(ended).await?)?;
    }
    Ok(Some(flow))
}

impl Flow {
    fn apply(&mut self, actions: Vec<Action>) -> anyhow::Result<()> {
        for action in actions {
            match action {
                Action::Pass { bytes, .. } => {
                    let text = self.take(bytes)?;
                    self.release(&text);
                }
                Action::Replace { bytes, text, .. } => {
                    self.take(bytes)?;
                    self.release(&text);
                }
                Action::Cut { reason, .. } => self.cut = Some(reason.code),
                Action::Note(label) => self.notes.push(label),
            }
        }
        Ok(())
    }

    fn release(&mut self, text: &str) {
        if self.cut.is_none() {
            self.released.push_str(text);
        }
    }

    fn take(&mut self, bytes: u32) -> anyhow::Result<String> {
        let bytes = bytes as usize;
        ensure!(
            self.held.is_char_boundary(bytes),
            "{bytes} bytes are taken of {:?}: more than is held, or inside a character",
            self.held
        );
        Ok(self.held.drain(..bytes).collect())
    }
}
