//! A case's answer through a response guard.

use std::time::Instant;

use anyhow::{Context as _, Error, Result};
use pointsman_cases::{Flow, Guarded, Outcome, ways};
use pointsman_domain::Attribute;
use pointsman_domain::guard::{Action, Channel, Delta};
use pointsman_plugin::{Call, CallStats, Step};

use super::{labels, told};
use crate::cli::plugin::measure::nanoseconds;

const CHANNEL: u32 = 0;

#[derive(Default)]
struct Answer {
    flow: Flow,
    guarded: Guarded,
}

/// Runs the answer in every way; a case that has none says nothing.
pub(super) async fn guard(
    step: &Step,
    call: &Call,
    deltas: &[String],
    outcome: &mut Outcome,
) -> Result<()> {
    if deltas.is_empty() {
        return Ok(());
    }
    let mut pushes_ns = Vec::new();
    let Some((first, _)) = answer(step, call, &pieces(deltas), &mut pushes_ns, outcome).await?
    else {
        return Ok(());
    };
    for way in ways(&deltas.concat()) {
        let (again, _) = answer(step, call, &way, &mut pushes_ns, outcome)
            .await?
            .context("it fails only for some ways of splitting the answer")?;
        first.agree(&again, &way).map_err(Error::msg)?;
    }
    outcome.guarded(first);
    Ok(())
}

/// What the answer as given takes, and each push of it.
pub(super) async fn once(
    step: &Step,
    call: &Call,
    deltas: &[String],
    pushes_ns: &mut Vec<u64>,
) -> Result<Option<CallStats>> {
    if deltas.is_empty() {
        return Ok(None);
    }
    let ran = answer(
        step,
        call,
        &pieces(deltas),
        pushes_ns,
        &mut Outcome::default(),
    )
    .await?;
    Ok(ran.map(|(_, stats)| stats))
}

fn pieces(deltas: &[String]) -> Vec<&str> {
    deltas.iter().map(String::as_str).collect()
}

async fn answer(
    step: &Step,
    call: &Call,
    deltas: &[&str],
    pushes_ns: &mut Vec<u64>,
    outcome: &mut Outcome,
) -> Result<Option<(Guarded, CallStats)>> {
    let Some(mut guard) = told(step.guard(call).await, outcome)? else {
        return Ok(None);
    };
    let about = Channel {
        kind: "text".to_owned(),
        ..Channel::default()
    };
    let hold_back = step.coverage().map_or(0, |covers| covers.hold_back_bytes);
    let mut answer = Answer::default();
    guard.open(CHANNEL, &about).await?;
    for delta in deltas {
        if answer.is_cut() {
            break;
        }
        answer.flow.give(delta);
        let delta = Delta {
            channel: CHANNEL,
            text: (*delta).to_owned(),
        };
        let started = Instant::now();
        let actions = guard.push(&[delta]).await?;
        pushes_ns.push(nanoseconds(started));
        answer.apply(actions)?;
        if !answer.is_cut() {
            answer.flow.within(hold_back).map_err(Error::msg)?;
        }
    }
    if !answer.is_cut() {
        answer.apply(guard.close(CHANNEL).await?)?;
    }
    if !answer.is_cut() {
        answer.flow.resolved().map_err(Error::msg)?;
        let attribute = |key: &str, value| Attribute {
            key: key.to_owned(),
            value,
        };
        let ended = vec![
            attribute("finish-reason", "stop".into()),
            attribute("complete", true.into()),
        ];
        answer.apply(guard.finish(ended).await?)?;
    }
    let mut guarded = answer.guarded;
    answer.flow.released().clone_into(&mut guarded.released);
    Ok(Some((guarded, guard.stats())))
}

impl Answer {
    const fn is_cut(&self) -> bool {
        self.guarded.cut.is_some()
    }

    fn apply(&mut self, actions: Vec<Action>) -> Result<()> {
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
                Action::Cut { reason, .. } => self.guarded.cut = Some(reason.code),
                Action::Note(label) => self.guarded.notes.extend(labels(&[label])),
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: u32) -> Result<String> {
        self.flow.take(bytes).map_err(Error::msg)
    }

    fn release(&mut self, text: &str) {
        if !self.is_cut() {
            self.flow.release(text);
        }
    }
}
