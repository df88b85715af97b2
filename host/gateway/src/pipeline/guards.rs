//! The response guards of one attempt: runs what the release engine commands and applies each step's on-fault.

use std::sync::Arc;

use pointsman_domain::decision::StepRecord;
use pointsman_domain::guard::Action;
use pointsman_domain::value::Attribute;
use pointsman_domain::{Fault, FaultKind, Reason};
use pointsman_plugin::{Call, CallStats, ResponseGuard, StepFailure};
use pointsman_policy::policy::OnFault;
use pointsman_wire::release::{LayerSpec, Op, Release};

use super::decide::{failed, ran};
use crate::aside::{self, Hand};
use crate::snapshot::{LiveStep, PolicyLive};

/// One guard of the chain with its running instance.
struct Layer {
    /// Index into the policy's response guards.
    step: usize,
    /// Away while it is called.
    guard: Option<ResponseGuard>,
    /// What its guard took so far.
    stats: CallStats,
    failure: Option<StepFailure>,
    edits: u32,
    cut: Option<String>,
}

/// All guards of one attempt, in order.
pub(super) struct Guards {
    policy: Arc<PolicyLive>,
    layers: Vec<Layer>,
    /// Where calls that take long go on; none in rehearsals.
    hand: Option<Hand>,
}

impl Guards {
    /// Starts the guards whose `when` holds. A guard that cannot start counts as faulted from the first byte.
    pub(super) async fn start(
        policy: &Arc<PolicyLive>,
        applying: &[usize],
        call: &Call,
        hand: Option<Hand>,
    ) -> Self {
        let mut layers = Vec::with_capacity(applying.len());
        for &index in applying {
            let step = &policy.response_guards()[index];
            let (on, call) = (Arc::clone(&step.step), call.clone());
            let started = aside::run(hand.as_ref(), async move { on.guard(&call).await }).await;
            let (guard, failure) = match started.result {
                Ok(guard) => (Some(guard), None),
                Err(failure) => (None, Some(failure)),
            };
            layers.push(Layer {
                step: index,
                guard,
                stats: started.stats,
                failure,
                edits: 0,
                cut: None,
            });
        }
        Self {
            policy: Arc::clone(policy),
            layers,
            hand,
        }
    }

    /// What the release engine needs to know of each layer.
    pub(super) fn specs(&self) -> Vec<LayerSpec> {
        let spec = |layer: &Layer| {
            let step = self.step(layer);
            LayerSpec {
                coverage: step.step.coverage().cloned().unwrap_or_default(),
                required: step.required,
            }
        };
        self.layers.iter().map(spec).collect()
    }

    fn step(&self, layer: &Layer) -> &LiveStep {
        &self.policy.response_guards()[layer.step]
    }

    /// Applies the on-fault of guards that never started.
    pub(super) fn settle_start(&self, release: &mut Release) {
        for (index, layer) in self.layers.iter().enumerate() {
            if layer.failure.is_some() {
                apply_on_fault(self.step(layer), index, release);
            }
        }
    }

    /// Runs the engine's commands until it has none.
    pub(super) async fn drive(&mut self, release: &mut Release) {
        while let Some(command) = release.command() {
            let layer = &mut self.layers[command.layer];
            let Some(mut guard) = layer.guard.take() else {
                // The engine never commands a layer that was bypassed or cut; if it did, the answer must not flow.
                release.cut(None, fault_reason("guard not running"));
                continue;
            };
            let op = command.op;
            let done = async move {
                let result = match op {
                    Op::Open { id, channel } => guard.open(id, &channel).await.map(|()| Vec::new()),
                    Op::Push(deltas) => guard.push(&deltas).await,
                    Op::Close(channel) => guard.close(channel).await,
                    Op::Expire(channels) => guard.expire(&channels).await,
                    Op::Finish(outcome) => guard.finish(outcome).await,
                };
                (guard, result)
            };
            let (guard, result) = aside::run(self.hand.as_ref(), done).await;
            layer.stats = guard.stats();
            let guard = layer.guard.insert(guard);
            let failure = match result {
                Ok(actions) => {
                    for action in &actions {
                        match action {
                            Action::Replace { .. } => layer.edits += 1,
                            Action::Cut { reason, .. } => layer.cut = Some(reason.code.clone()),
                            Action::Pass { .. } | Action::Note(_) => {}
                        }
                    }
                    let step = &self.policy.response_guards()[layer.step];
                    release.answer(actions).err().map(|error| {
                        guard.blame();
                        StepFailure::Fault(Fault {
                            plugin: step.plugin.clone(),
                            kind: FaultKind::Contract,
                            detail: error.to_string(),
                        })
                    })
                }
                Err(failure) => Some(failure),
            };
            if let Some(failure) = failure {
                layer.failure = Some(failure);
                let step = &self.policy.response_guards()[layer.step];
                apply_on_fault(step, command.layer, release);
            }
        }
    }

    /// The reason of a cut as it may be recorded: a guard's own words may repeat content, so of them only the code stays.
    pub(super) fn recordable(&self, reason: &Reason) -> Reason {
        let is_theirs = |layer: &Layer| layer.cut.as_ref() == Some(&reason.code);
        let mut reason = reason.clone();
        if self.layers.iter().any(is_theirs) {
            "a guard ended the answer; its own words are not recorded"
                .clone_into(&mut reason.detail);
            reason.attributes.clear();
        }
        reason
    }

    /// The records of all layers.
    pub(super) fn records(self) -> Vec<StepRecord> {
        let policy = self.policy;
        let record = |layer: Layer| {
            let step = &policy.response_guards()[layer.step];
            let stats = layer.stats;
            match (layer.failure, layer.cut) {
                (Some(failure), _) => {
                    let mut record = failed(step, &stats, failure).0;
                    if step.on_fault == OnFault::Deny {
                        record.detail = format!("{}; the answer was cut", record.detail);
                    }
                    record
                }
                (None, Some(code)) => ran(step, &stats, "cut", code),
                (None, None) if layer.edits > 0 => ran(
                    step,
                    &stats,
                    "edit",
                    format!("{} replacements", layer.edits),
                ),
                (None, None) => ran(step, &stats, "pass", String::new()),
            }
        };
        self.layers.into_iter().map(record).collect()
    }
}

fn apply_on_fault(step: &LiveStep, layer: usize, release: &mut Release) {
    match step.on_fault {
        OnFault::Skip if !step.required => release.bypass(layer),
        OnFault::Skip | OnFault::Fallback | OnFault::Deny => {
            release.cut(None, fault_reason(&step.id));
        }
    }
}

fn fault_reason(step: &str) -> Reason {
    Reason {
        code: "step-failed".to_owned(),
        detail: format!("response guard `{step}` failed"),
        attributes: Vec::<Attribute>::new(),
    }
}
