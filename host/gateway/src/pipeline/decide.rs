//! The deciding phases: classify, guard-request, split, route, reserve.

use std::sync::Arc;

use pointsman_domain::decision::StepRecord;
use pointsman_domain::plan::{CandidatePool, Plan, PlannedAttempt};
use pointsman_domain::request::{Edit, Verdict};
use pointsman_domain::usage::{Amount, CostLine, INPUT_TOKENS, OUTPUT_TOKENS, Usage};
use pointsman_domain::{ErrorKind, Fault, FaultKind, GatewayError, Picos, Reason, Value};
use pointsman_plugin::{CallStats, PluginError, StepFailure};
use pointsman_policy::policy::{OnFault, Phase};
use pointsman_traffic::attempts;

use super::Stop;
use super::deliberation::Deliberation;
use super::embedding::Asking;
use super::metering;
use crate::limits;
use crate::snapshot::LiveStep;

/// What a failed step means for the request.
pub(super) enum AfterFault {
    /// On without it: `skip` and `fallback`.
    Go,
    /// The request ends.
    Deny(GatewayError),
}

/// The record of a step that ran.
pub(super) fn ran(step: &LiveStep, stats: &CallStats, verdict: &str, detail: String) -> StepRecord {
    StepRecord {
        id: step.id.clone(),
        phase: step.phase.as_str().to_owned(),
        plugin: step.plugin.clone(),
        digest: Some(step.digest),
        verdict: verdict.to_owned(),
        detail,
        time_ns: stats.time_ns,
        fuel: stats.fuel,
        host_calls: stats.host_calls,
        memory_kib: stats.memory_kib,
        pushes: stats.pushes,
        fresh: stats.fresh,
        fault: None,
        on_fault: None,
        imports_digest: Some(stats.imports_digest),
    }
}

/// The record of a step that failed, and what its `on-fault` makes of it.
pub(super) fn failed(
    step: &LiveStep,
    stats: &CallStats,
    failure: StepFailure,
) -> (StepRecord, AfterFault) {
    let (verdict, detail, fault) = match failure {
        StepFailure::Fault(fault) => ("fault", fault.detail.clone(), Some(fault)),
        StepFailure::Plugin(error) => ("error", named(&error).to_owned(), None),
    };
    let mut record = ran(step, stats, verdict, detail);
    record.on_fault = Some(step.on_fault.as_str().to_owned());
    record.fault.clone_from(&fault);
    let after = match step.on_fault {
        OnFault::Skip | OnFault::Fallback => AfterFault::Go,
        OnFault::Deny => {
            let why = fault
                .as_ref()
                .map_or("an error of its own", |fault| fault.kind.as_str());
            let message = format!(
                "step `{}` of the policy failed ({why}) and is set to deny; ask the operator",
                step.id
            );
            let mut error = GatewayError::new(ErrorKind::StepFailed, message);
            error.fault = fault;
            AfterFault::Deny(error)
        }
    };
    (record, after)
}

/// Which of its errors a plugin gave. Its own words may repeat content, so they stay out of the record.
const fn named(error: &PluginError) -> &'static str {
    match error {
        PluginError::InvalidInput(_) => "invalid-input",
        PluginError::Unavailable(_) => "unavailable",
        PluginError::Internal(_) => "internal",
    }
}

impl Deliberation {
    /// Whether a step's `when` holds. An error runs guards and skips others.
    pub(super) fn applies(&mut self, step: &LiveStep) -> bool {
        let Some(when) = &step.when else { return true };
        let (holds, detail) = match when.eval(&self.view, self.variant.as_deref()) {
            Ok(holds) => (holds, "when is false".to_owned()),
            Err(error) => (step.phase.is_guard(), format!("when failed: {error}")),
        };
        if !holds {
            let record = StepRecord {
                id: step.id.clone(),
                phase: step.phase.as_str().to_owned(),
                plugin: step.plugin.clone(),
                verdict: "skipped".to_owned(),
                detail,
                ..StepRecord::default()
            };
            let steps = if step.phase.is_late() {
                &mut self.later_steps
            } else {
                &mut self.steps
            };
            steps.push(record);
        }
        holds
    }

    /// A fault that the host finds in a result.
    fn contract(&self, step: &LiveStep, detail: String) -> StepFailure {
        if let Some(tenant) = &self.tenant {
            step.step.blame(&**tenant);
        }
        StepFailure::Fault(Fault {
            plugin: step.plugin.clone(),
            kind: FaultKind::Contract,
            detail,
        })
    }

    fn note(&mut self, step: &LiveStep, stats: &CallStats, verdict: &str, detail: String) {
        self.steps.push(ran(step, stats, verdict, detail));
    }

    fn note_failure(
        &mut self,
        step: &LiveStep,
        stats: &CallStats,
        failure: StepFailure,
    ) -> Result<(), GatewayError> {
        let (record, after) = failed(step, stats, failure);
        self.steps.push(record);
        match after {
            AfterFault::Go => Ok(()),
            AfterFault::Deny(error) => Err(error),
        }
    }

    /// Labels: task, language, complexity, …
    pub(super) async fn classify(&mut self, mut asking: Option<Asking<'_>>) -> Result<(), Stop> {
        let policy = Arc::clone(&self.policy);
        for step in policy.steps(Phase::Classify) {
            if !self.applies(step) {
                continue;
            }
            self.embed(asking.as_mut(), step).await?;
            let call = self.call("classify");
            let on = Arc::clone(&step.step);
            let ran = self.run(async move { on.classify(&call).await }).await;
            match ran.result {
                Ok(labels) => {
                    let detail = labels
                        .iter()
                        .map(|label| format!("{}={}", label.key, plain(&label.value)));
                    let detail = detail.collect::<Vec<_>>().join(" ");
                    self.note(step, &ran.stats, "labels", detail);
                    Arc::make_mut(&mut self.view).add_labels(labels);
                }
                Err(failure) => self.note_failure(step, &ran.stats, failure)?,
            }
        }
        Ok(())
    }

    /// Pass, edit, deny; each guard sees its predecessor's output.
    pub(super) async fn guard_request(
        &mut self,
        mut asking: Option<Asking<'_>>,
    ) -> Result<(), Stop> {
        let policy = Arc::clone(&self.policy);
        for step in policy.steps(Phase::GuardRequest) {
            if !self.applies(step) {
                continue;
            }
            self.embed(asking.as_mut(), step).await?;
            let call = self.call("guard-request");
            let on = Arc::clone(&step.step);
            let ran = self.run(async move { on.check_request(&call).await });
            let ran = ran.await;
            let checked = match ran.result {
                Ok(checked) => checked,
                Err(failure) => {
                    self.note_failure(step, &ran.stats, failure)?;
                    continue;
                }
            };
            let labels = checked
                .labels
                .iter()
                .map(|label| format!("{}={}", label.key, plain(&label.value)));
            let labels = labels.collect::<Vec<_>>().join(" ");
            Arc::make_mut(&mut self.view).add_labels(checked.labels);
            match checked.verdict {
                Verdict::Pass => self.note(step, &ran.stats, "pass", labels),
                Verdict::Deny(reason) => {
                    self.note(step, &ran.stats, "deny", reason.code.clone());
                    return Err(denied(&reason).into());
                }
                Verdict::Edit(edits) => match self.chat.edit(&edits) {
                    Ok(edited) => {
                        let texts = edits
                            .iter()
                            .filter(|edit| matches!(edit, Edit::Text(_)))
                            .count();
                        let detail = format!(
                            "{texts} text edits, {} settings {labels}",
                            edits.len() - texts
                        );
                        self.note(step, &ran.stats, "edit", detail.trim_end().to_owned());
                        self.edited(edited);
                    }
                    Err(error) => {
                        let failure = self.contract(step, error.to_string());
                        self.note_failure(step, &ran.stats, failure)?;
                    }
                },
            }
        }
        Ok(())
    }

    /// A/B variant, sticky by conversation.
    pub(super) async fn split(&mut self, mut asking: Option<Asking<'_>>) -> Result<(), Stop> {
        let policy = Arc::clone(&self.policy);
        self.variant = policy.variants.first().cloned();
        for step in policy.steps(Phase::Split) {
            if !self.applies(step) {
                continue;
            }
            let bucket = self.bucket(&step.id);
            self.embed(asking.as_mut(), step).await?;
            let call = self.call("split");
            let on = Arc::clone(&step.step);
            let ran = self.run(async move { on.split(&call, bucket).await });
            let ran = ran.await;
            let known = |variant: &String| policy.variants.contains(variant);
            match ran.result {
                Ok(variant) if known(&variant) => {
                    self.note(step, &ran.stats, "variant", variant.clone());
                    self.variant = Some(variant);
                }
                Ok(_) => {
                    let detail = format!("variant is none of: {}", policy.variants.join(", "));
                    let failure = self.contract(step, detail);
                    self.note_failure(step, &ran.stats, failure)?;
                }
                Err(failure) => self.note_failure(step, &ran.stats, failure)?,
            }
        }
        if let Some(variant) = self.variant.clone() {
            Arc::make_mut(&mut self.view).set_field("variant", variant);
        }
        Ok(())
    }

    /// Routers are asked in order until one returns attempts; at last the default plan.
    pub(super) async fn route(
        &mut self,
        pool: Arc<CandidatePool>,
        mut asking: Option<Asking<'_>>,
    ) -> Result<(), Stop> {
        let policy = Arc::clone(&self.policy);
        for step in policy.steps(Phase::Route) {
            if !self.applies(step) {
                continue;
            }
            self.embed(asking.as_mut(), step).await?;
            let call = self.call("route");
            let (on, candidates) = (Arc::clone(&step.step), Arc::clone(&pool));
            let ran = self.run(async move { on.route(&call, candidates).await });
            let ran = ran.await;
            match ran.result {
                Ok(plan) if plan.attempts.is_empty() => {
                    self.note(step, &ran.stats, "abstain", plan.reason.code);
                }
                Ok(plan) => {
                    if let Some(stranger) = plan
                        .attempts
                        .iter()
                        .find(|attempt| !pool.names.contains(&attempt.target))
                    {
                        let detail = format!("target `{}` is no candidate", clip(&stranger.target));
                        let failure = self.contract(step, detail);
                        self.note_failure(step, &ran.stats, failure)?;
                        continue;
                    }
                    if let Err(detail) = attempts::check(&plan) {
                        let failure = self.contract(step, detail);
                        self.note_failure(step, &ran.stats, failure)?;
                        continue;
                    }
                    let targets = plan
                        .attempts
                        .iter()
                        .map(|attempt| attempt.target.as_str())
                        .collect::<Vec<_>>();
                    let detail = format!("{} ({})", targets.join(" > "), plan.reason.code);
                    self.note(step, &ran.stats, "plan", detail);
                    self.plan = Some(plan);
                    return Ok(());
                }
                Err(failure) => self.note_failure(step, &ran.stats, failure)?,
            }
        }
        let preferred = policy
            .default_plan
            .iter()
            .filter(|name| pool.names.contains(name));
        let mut targets: Vec<String> = preferred.cloned().collect();
        if targets.is_empty() {
            targets.clone_from(&pool.names);
        }
        // What is known to be down comes last, but is not given up: all may be down, or none.
        let healthy = pool.column("healthy");
        let down = |target: &String| {
            let row = pool.names.iter().position(|name| name == target);
            row.is_some_and(|row| healthy[row] == Some(Value::Flag(false)))
        };
        targets.sort_by_key(down);
        let attempts = targets
            .into_iter()
            .map(|target| PlannedAttempt {
                target,
                attributes: Vec::new(),
            })
            .collect();
        let reason = Reason {
            code: "default-plan".to_owned(),
            detail: "no router returned attempts".to_owned(),
            attributes: Vec::new(),
        };
        self.plan = Some(Plan {
            attempts,
            reason,
            attributes: Vec::new(),
        });
        Ok(())
    }

    /// The candidates of the requested model, by column; `now` is the health records' clock in milliseconds.
    pub(super) fn pool(&self, now: u64) -> CandidatePool {
        let policy = &self.policy;
        let targets: Vec<_> = self
            .candidates
            .iter()
            .map(|&index| &policy.targets[index])
            .collect();
        let column = |key: &str, value: &dyn Fn(&crate::snapshot::TargetLive) -> Option<Value>| {
            (
                key.to_owned(),
                targets.iter().map(|target| value(target)).collect(),
            )
        };
        let rate = |target: &crate::snapshot::TargetLive, unit: &str| {
            let rates = policy.price_book.get(&target.name)?;
            let base = rates
                .iter()
                .find(|rate| rate.unit == unit && rate.above_input_tokens == 0)?;
            Some(Value::Integer(base.pico_usd))
        };
        let names = targets.iter().map(|target| target.name.clone()).collect();
        let healthy = column("healthy", &|target| {
            Some(Value::Flag(target.health.healthy(now)))
        });
        if policy.steps(Phase::Route).is_empty() {
            // Only the default plan asks, and it asks no more.
            return CandidatePool {
                names,
                columns: vec![healthy],
            };
        }
        CandidatePool {
            names,
            columns: vec![
                column("price-input-pico-usd", &|target| rate(target, INPUT_TOKENS)),
                column("price-output-pico-usd", &|target| {
                    rate(target, OUTPUT_TOKENS)
                }),
                column("context-tokens", &|target| {
                    target.context_tokens.map(|n| Value::Integer(i64::from(n)))
                }),
                column("max-output-tokens", &|target| {
                    target
                        .max_output_tokens
                        .map(|n| Value::Integer(i64::from(n)))
                }),
                column("capabilities", &|target| {
                    Some(Value::Texts(target.capabilities.clone()))
                }),
                column("quality", &|target| target.quality.map(Value::Number)),
                column("region", &|target| target.region.clone().map(Value::Text)),
                healthy,
                column("ttft-p50-ms", &|target| {
                    target.health.ttft_p50_ms(now).map(Value::Number)
                }),
                column("ttft-p95-ms", &|target| {
                    target.health.ttft_p95_ms(now).map(Value::Number)
                }),
                column("error-rate", &|target| {
                    target.health.error_rate(now).map(Value::Number)
                }),
                column("in-flight", &|target| {
                    Some(Value::Integer(i64::from(target.health.in_flight())))
                }),
            ],
        }
    }

    /// Worst-case cost of the plan, asked of the accountants.
    pub(super) async fn reserve(&mut self, mut asking: Option<Asking<'_>>) -> Result<(), Stop> {
        let policy = Arc::clone(&self.policy);
        // What is read of vectors later is asked for now, before `opened`.
        for step in policy.response_guards() {
            self.embed(asking.as_mut(), step).await?;
        }
        let usages: Arc<[Usage]> = self.planned_usages().into();
        // The caller's numbers: added up they may be more than there is.
        let tokens = |usage: &Usage| {
            let quantities = usage.meters.iter().map(|meter| meter.quantity);
            quantities.fold(0, u64::saturating_add)
        };
        self.worst.tokens = usages.iter().map(tokens).max().unwrap_or(0);
        for step in policy.steps(Phase::Account) {
            if !self.applies(step) {
                continue;
            }
            self.embed(asking.as_mut(), step).await?;
            let call = self.call("reserve");
            let (on, given) = (Arc::clone(&step.step), Arc::clone(&usages));
            let ran = self.run(async move { on.account(&call, &given).await });
            let ran = ran.await;
            match ran.result {
                Ok(lines) => {
                    let reserved = self.worst_of(&usages, &lines);
                    let mut record = super::decide::ran(
                        step,
                        &ran.stats,
                        "cost",
                        format!("at most ${}", reserved.to_usd_string()),
                    );
                    "reserve".clone_into(&mut record.phase);
                    self.steps.push(record);
                    self.reserved = Some(reserved);
                    break;
                }
                Err(failure) => {
                    let (mut record, after) = failed(step, &ran.stats, failure);
                    "reserve".clone_into(&mut record.phase);
                    self.steps.push(record);
                    if let AfterFault::Deny(error) = after {
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(())
    }

    /// What all tries that there may be can cost, and whether that is the whole.
    fn worst_of(&mut self, usages: &[Usage], lines: &[CostLine]) -> Picos {
        let mut costs = vec![Picos(0); usages.len()];
        let mut spoken_of = vec![false; usages.len()];
        self.worst.unpriced = false;
        for line in lines {
            let Some(cost) = costs.get_mut(line.attempt as usize) else {
                continue;
            };
            spoken_of[line.attempt as usize] = true;
            match line.amount {
                Amount::Exact(picos) | Amount::Estimated(picos) => *cost += picos,
                Amount::Unpriced => self.worst.unpriced = true,
            }
        }
        self.worst.unpriced |= spoken_of.contains(&false);
        let plan = self.plan.as_ref().expect("`route` ran before");
        attempts::Bounds::of(plan, &self.policy.execute).dearest(&costs)
    }

    pub(super) fn input_tokens_estimate(&self) -> u64 {
        let estimate = self
            .view
            .field("input-tokens-estimate")
            .and_then(Value::as_integer);
        estimate
            .and_then(|tokens| u64::try_from(tokens).ok())
            .unwrap_or(0)
    }

    /// The most tokens that a target may answer with, all choices together, as the reservation assumes it.
    pub(super) fn output_tokens_max(&self, target: &str) -> u64 {
        let target = self.policy.target(target);
        let cap = target
            .and_then(|target| target.max_output_tokens)
            .map(u64::from);
        let output = match (self.chat.max_output_tokens(), cap) {
            (Some(asked), Some(cap)) => asked.min(cap),
            (Some(asked), None) => asked,
            (None, Some(cap)) => cap,
            (None, None) => limits::OUTPUT_TOKENS_ASSUMED,
        };
        output.saturating_mul(u64::from(self.chat.n().max(1)))
    }

    fn planned_usages(&self) -> Vec<Usage> {
        let plan = self.plan.as_ref().expect("`route` ran before");
        let input = self.input_tokens_estimate();
        let usage = |(index, attempt): (usize, &PlannedAttempt)| {
            let output = self.output_tokens_max(&attempt.target);
            Usage {
                attempt: u32::try_from(index).unwrap_or(u32::MAX),
                target: attempt.target.clone(),
                outcome: "planned".to_owned(),
                meters: metering::estimates(input, output),
                attributes: Vec::new(),
            }
        };
        plan.attempts.iter().enumerate().map(usage).collect()
    }
}

/// A guard's refusal in the caller's terms.
fn denied(reason: &Reason) -> GatewayError {
    let attribute = |key: &str| {
        reason
            .attributes
            .iter()
            .find(|attribute| attribute.key == key)
            .map(|a| &a.value)
    };
    let message = attribute("user-message")
        .and_then(Value::as_text)
        .unwrap_or(&reason.detail);
    let mut error = GatewayError::new(
        ErrorKind::PolicyDenied,
        format!("{message} ({})", reason.code),
    );
    error.status = attribute("status")
        .and_then(Value::as_integer)
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (400..500).contains(status));
    error
}

/// A value as it stands in a record's detail.
fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => clip(text).to_owned(),
        Value::Texts(texts) => format!("{} values", texts.len()),
        Value::Integer(integer) => integer.to_string(),
        Value::Number(number) => format!("{number:.2}"),
        Value::Flag(flag) => flag.to_string(),
    }
}

/// At most 64 bytes, on a UTF-8 border.
fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(64)]
}
