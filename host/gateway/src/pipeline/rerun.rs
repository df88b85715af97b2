//! A recorded request through the deciding phases again: the code that serves, on what was kept of it, without a
//! client, a provider or a record.
//!
//! Promises: steps are told what they were told then, as far as it is kept; what is not kept (counts of a tenant, answers)
//! is not made up, and a step that read it says otherwise, which its record's digest shows.

use std::borrow::Cow;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use pointsman_domain::decision::{AttemptRecord, Closed, Opened, StepRecord};
use pointsman_domain::plan::Plan;
use pointsman_domain::usage::{CostLine, Usage};
use pointsman_domain::{GatewayError, Label};
use pointsman_wire::openai::{ChatRequest, ParseLimits};

use super::Stop;
use super::capture::Inputs;
use super::deliberation::{Caller, Deliberation};
use super::metering;
use crate::limits;
use crate::snapshot::PolicyLive;

/// A request as it was recorded and kept.
pub(crate) struct Recorded<'a> {
    pub(crate) opened: &'a Opened,
    pub(crate) closed: Option<&'a Closed>,
    pub(crate) inputs: &'a Inputs,
    pub(crate) body: Bytes,
}

/// What it comes to.
#[derive(Debug)]
pub(crate) struct Rerun {
    /// Up to the reservation.
    pub(crate) steps: Vec<StepRecord>,
    /// Accountants.
    pub(crate) later_steps: Vec<StepRecord>,
    pub(crate) labels: Vec<Label>,
    /// The guardable text after all edits.
    pub(crate) texts: Vec<String>,
    /// The body after all edits.
    pub(crate) body: Bytes,
    pub(crate) variant: Option<String>,
    pub(crate) plan: Option<Plan>,
    pub(crate) cost: Vec<CostLine>,
}

/// Runs it under a policy, as far as it came then.
pub(crate) async fn rerun(
    policy: &Arc<PolicyLive>,
    recorded: &Recorded<'_>,
) -> anyhow::Result<Rerun> {
    let mut decided = begin(policy, recorded)?;
    match phases(&mut decided, recorded).await {
        // A refusal is what a step says too.
        Ok(()) | Err(Stop::Error(_)) => {}
        Err(Stop::Gone) => anyhow::bail!("a record has no client that could leave"),
    }
    decided.usages = used(recorded.closed);
    decided.account().await;
    let segments = decided.view.segments.iter();
    Ok(Rerun {
        texts: segments.map(|segment| segment.text.clone()).collect(),
        labels: decided.view.labels.clone(),
        body: decided.chat.body().clone(),
        steps: decided.steps,
        later_steps: decided.later_steps,
        variant: decided.variant,
        plan: decided.plan,
        cost: decided.cost,
    })
}

fn begin(policy: &Arc<PolicyLive>, recorded: &Recorded<'_>) -> anyhow::Result<Deliberation> {
    let parse_limits = ParseLimits {
        messages_max: limits::MESSAGES_MAX,
        ..ParseLimits::default()
    };
    let refused = |error: GatewayError| anyhow::anyhow!("{}", error.message);
    let chat = ChatRequest::parse(recorded.body.clone(), &parse_limits)
        .map_err(refused)
        .context("what was kept is no request that this version reads")?;
    let mut headers = HeaderMap::new();
    for (name, value) in &recorded.inputs.headers {
        let name: HeaderName = name.parse().context("a header's name")?;
        let value: HeaderValue = value.parse().context("a header's value")?;
        headers.append(name, value);
    }
    let opened = recorded.opened;
    let caller = Caller {
        tenant: &opened.tenant,
        key: &opened.key,
        endpoint: &opened.endpoint,
        headers: &headers,
        // What it keys, the record has.
        pepper: &[],
        counts: None,
    };
    let (id, at_ms) = (opened.id.clone(), opened.at_ms);
    let mut decided = Deliberation::select(id, at_ms, Arc::clone(policy), chat, &caller)
        .map_err(refused)
        .context("it would be refused before any step")?;
    decided.conversation.clone_from(&opened.conversation);
    let view = Arc::make_mut(&mut decided.view);
    view.headers.clone_from(&recorded.inputs.headers);
    view.fields = recorded
        .inputs
        .fields()
        .map(|(name, value)| (Cow::Owned(name.to_owned()), value))
        .collect();
    Ok(decided)
}

async fn phases(decided: &mut Deliberation, recorded: &Recorded<'_>) -> Result<(), Stop> {
    decided.classify(None).await?;
    decided.guard_request(None).await?;
    decided.split(None).await?;
    decided.narrow();
    // Without a pool it never came to a route: refused, or answered from the cache.
    let Some(pool) = recorded.inputs.pool() else {
        return Ok(());
    };
    decided.route(Arc::new(pool), None).await?;
    decided.reserve(None).await
}

/// What its attempts used, as accountants were told it.
fn used(closed: Option<&Closed>) -> Vec<Usage> {
    let attempts = closed.map_or(&[][..], |closed| &closed.attempts);
    let usage = |attempt: &AttemptRecord| Usage {
        attempt: attempt.index,
        target: attempt.target.clone(),
        outcome: match attempt.outcome.as_str() {
            "ok" => "ok",
            "cancelled" => "cancelled",
            _ => "error",
        }
        .to_owned(),
        meters: attempt.meters.clone(),
        attributes: metering::told(attempt.service_tier.as_deref()),
    };
    let metered = attempts.iter().filter(|attempt| !attempt.meters.is_empty());
    metered.map(usage).collect()
}
