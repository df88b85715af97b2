//! `pointsman why`: one request told as a story, from its two records.

use std::fmt::Write as _;

use pointsman_domain::decision::{
    AttemptRecord, CacheUse, Capture, Closed, EmbeddingRecord, Opened, StepRecord,
};
use pointsman_domain::usage::{Amount, CostLine};
use pointsman_domain::{ErrorKind, Picos};

/// The phases up to the attempts, in order; every one is told, also where nothing ran.
const PHASES: [&str; 11] = [
    "authenticate",
    "pin",
    "gate",
    "parse",
    "select",
    "classify",
    "guard-request",
    "split",
    "cache",
    "route",
    "reserve",
];

/// Tells what is known; `closed` is absent while the request runs, or after a crash.
pub(crate) fn tell(opened: &Opened, closed: Option<&Closed>) -> String {
    let mut out = String::new();
    head(&mut out, opened, closed);
    let last = last_phase(opened, closed);
    for phase in PHASES {
        let steps: Vec<_> = opened
            .steps
            .iter()
            .filter(|step| step.phase == phase)
            .collect();
        for told in &steps {
            step(&mut out, told);
        }
        let more = of_phase(phase, opened, closed, steps.is_empty());
        if let Some(text) = more {
            line(&mut out, if steps.is_empty() { phase } else { "" }, &text);
        }
        if phase == last {
            line(&mut out, "", "the request ended here");
            break;
        }
        if Some(phase) == told_again(closed) {
            break;
        }
    }
    let Some(closed) = closed else {
        line(
            &mut out,
            "open",
            "no `closed` record: it is still running, or the gateway died; its reservation counts",
        );
        return out;
    };
    if told_again(Some(closed)).is_none() {
        executed(&mut out, closed);
    }
    for told in &closed.embeddings {
        line(&mut out, "embedding", &embedding(told));
    }
    for cost in &closed.cost {
        line(&mut out, "", &cost_line(cost));
    }
    let mut total = format!("${}", closed.cost_pico_usd.to_usd_string());
    if closed.estimated {
        total.push_str(" (estimated)");
    }
    if closed.unpriced {
        total.push_str(" and lines without a price: the sum is not the whole");
    }
    line(&mut out, "cost", &total);
    let digest = closed.response_digest.map_or_else(
        || "no bytes released".to_owned(),
        |digest| digest.to_string(),
    );
    line(
        &mut out,
        "record",
        &format!("response {digest} ({} bytes)", closed.response_bytes),
    );
    out
}

/// The phase that an earlier answer was told again in, where one was.
fn told_again(closed: Option<&Closed>) -> Option<&'static str> {
    match closed?.cache? {
        CacheUse::Replay => Some("parse"),
        CacheUse::Hit | CacheUse::Coalesced => Some("cache"),
        CacheUse::Miss | CacheUse::Bypass => None,
    }
}

/// Attempts, and the steps after them.
fn executed(out: &mut String, closed: &Closed) {
    if closed.attempts.is_empty() {
        line(out, "execute", "nothing was tried");
    }
    for told in &closed.attempts {
        attempt(out, told);
    }
    for phase in ["guard-response", "account"] {
        let steps: Vec<_> = closed
            .steps
            .iter()
            .filter(|step| step.phase == phase)
            .collect();
        if steps.is_empty() {
            line(out, phase, "no step ran");
        }
        for told in steps {
            step(out, told);
        }
    }
}

fn head(out: &mut String, opened: &Opened, closed: Option<&Closed>) {
    let _infallible = writeln!(
        out,
        "{}  {} `{}`{}",
        opened.id,
        opened.dialect,
        opened.model,
        if opened.streaming { " (stream)" } else { "" }
    );
    let Some(closed) = closed else { return };
    let outcome = serde_json::to_value(closed.outcome)
        .ok()
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default();
    let by = closed
        .target
        .as_deref()
        .map_or_else(String::new, |target| format!(" by {target}"));
    let first = closed.ttft_us.map_or_else(String::new, |us| {
        format!(", first content after {}", time(us * 1000))
    });
    let _infallible = writeln!(
        out,
        "{outcome} {}{by} in {}{first}, ${}",
        closed.status,
        time(closed.total_us * 1000),
        closed.cost_pico_usd.to_usd_string()
    );
    if let (Some(code), Some(message)) = (&closed.error, &closed.error_message) {
        let _infallible = writeln!(out, "{code}: {message}");
    }
    out.push('\n');
}

/// The phase in which a request without a plan ended; none where it went on to its attempts.
fn last_phase(opened: &Opened, closed: Option<&Closed>) -> &'static str {
    let Some(error) = closed.and_then(|closed| closed.error.as_deref()) else {
        return "";
    };
    if opened.plan.is_some() && opened.reserved_pico_usd.is_some() {
        return "";
    }
    let is = |kinds: &[ErrorKind]| kinds.iter().any(|kind| kind.code() == error);
    if is(&[ErrorKind::Unavailable, ErrorKind::AuditUnavailable]) {
        return "gate";
    }
    if is(&[ErrorKind::UnknownModel]) {
        return "select";
    }
    let stopped = opened
        .steps
        .last()
        .filter(|_| is(&[ErrorKind::PolicyDenied, ErrorKind::StepFailed]));
    let stopped = stopped.and_then(|step| PHASES.into_iter().find(|phase| *phase == step.phase));
    match stopped {
        Some(phase) => phase,
        None if opened.conversation.is_empty() => "parse",
        // Waited for an equal request until its deadline.
        None if opened.plan.is_none() && is(&[ErrorKind::UpstreamTimeout]) => "cache",
        None => "",
    }
}

/// What the host itself has to say of a phase; `alone` where no plugin spoke in it.
fn of_phase(phase: &str, opened: &Opened, closed: Option<&Closed>, alone: bool) -> Option<String> {
    let told = match phase {
        "authenticate" => format!("key {} of tenant {}", opened.key, opened.tenant),
        "pin" => format!(
            "policy {}@{} ({})",
            opened.policy, opened.version, opened.policy_digest
        ),
        "gate" => match closed.and_then(|closed| closed.error.as_deref()) {
            Some(error) if error == ErrorKind::Unavailable.code() => {
                "refused: the node is full".to_owned()
            }
            _ => "let through".to_owned(),
        },
        "parse" => {
            let again = match closed.and_then(|closed| closed.cache) {
                Some(CacheUse::Replay) => {
                    "; its `Idempotency-Key` was answered before: that answer was told again, nothing was tried or charged"
                }
                _ => "",
            };
            let digest = opened.request_digest;
            let digest = digest.map_or_else(|| "not digested".to_owned(), |is| is.to_string());
            format!(
                "{} {}, request {digest}{}{again}",
                opened.dialect,
                opened.endpoint,
                captured(opened)
            )
        }
        "select" if opened.conversation.is_empty() => {
            format!("model `{}` is not offered", opened.model)
        }
        "select" => format!(
            "model `{}`, conversation {}",
            opened.model, opened.conversation
        ),
        "split" if let Some(variant) = &opened.variant => format!("variant {variant}"),
        "cache" => cache_use(closed),
        "route" if let Some(plan) = &opened.plan => {
            let targets: Vec<_> = plan
                .attempts
                .iter()
                .map(|attempt| attempt.target.as_str())
                .collect();
            format!("plan {} because {}", targets.join(" > "), plan.reason.code)
        }
        "reserve" if alone => "no accountant: unpriced".to_owned(),
        _ if alone => "no step ran".to_owned(),
        _ => return None,
    };
    Some(told)
}

/// What became of its content, where the policy captures that.
fn captured(opened: &Opened) -> String {
    let Some(content) = &opened.content else {
        return String::new();
    };
    match content.capture {
        Capture::Full => format!(
            ", content kept ({} bytes): pointsman decisions content {}",
            content.bytes, opened.id
        ),
        Capture::TooLarge => format!(
            ", content not kept: {} bytes are more than audit.capture-bytes-max",
            content.bytes
        ),
        Capture::Failed => ", content not kept: it could not be written".to_owned(),
    }
}

fn cache_use(closed: Option<&Closed>) -> String {
    let Some(told) = closed.and_then(|closed| closed.cache) else {
        return "off".to_owned();
    };
    match told {
        CacheUse::Miss => "miss: no answer to an equal request was there",
        CacheUse::Bypass => "bypassed, as the caller asked",
        CacheUse::Hit => {
            "hit: the kept answer to an equal request was told again, nothing was tried or charged"
        }
        CacheUse::Coalesced => {
            "coalesced: an equal request was under way and its answer served both, nothing was tried or charged"
        }
        CacheUse::Replay => "not asked",
    }
    .to_owned()
}

fn line(out: &mut String, phase: &str, text: &str) {
    let _infallible = writeln!(out, "  {phase:<15} {text}");
}

fn step(out: &mut String, step: &StepRecord) {
    let mut text = format!("{} [{}] {}", step.id, step.plugin, step.verdict);
    if !step.detail.is_empty() {
        let _infallible = write!(text, ": {}", step.detail);
    }
    if step.digest.is_some() {
        let _infallible = write!(text, "  ({}, {} fuel", time(step.time_ns), step.fuel);
        if step.pushes > 0 {
            let _infallible = write!(text, ", {} pushes", step.pushes);
        }
        text.push_str(if step.fresh { ", fresh)" } else { ", pooled)" });
    }
    if let Some(fault) = &step.fault {
        let _infallible = write!(text, "  fault {}", fault.kind.as_str());
    }
    if let Some(on_fault) = &step.on_fault {
        let _infallible = write!(text, ", so the policy says {on_fault}");
    }
    line(out, &step.phase, &text);
}

fn attempt(out: &mut String, attempt: &AttemptRecord) {
    let mut text = format!(
        "{} -> {} ({}) {}",
        attempt.index + 1,
        attempt.target,
        attempt.model,
        attempt.outcome
    );
    if let Some(status) = attempt.status {
        let _infallible = write!(text, " {status}");
    }
    let _infallible = write!(text, " in {}", time(attempt.total_us * 1000));
    if let Some(us) = attempt.ttft_us {
        let _infallible = write!(text, ", first content after {}", time(us * 1000));
    }
    if !attempt.detail.is_empty() {
        let _infallible = write!(text, ": {}", attempt.detail);
    }
    line(out, "execute", &text);
    if !attempt.meters.is_empty() {
        let meters = attempt.meters.iter().map(|meter| {
            format!(
                "{} {}{}",
                meter.quantity,
                meter.unit,
                if meter.estimated { " (estimated)" } else { "" }
            )
        });
        line(out, "", &meters.collect::<Vec<_>>().join(", "));
    }
}

fn cost_line(cost: &CostLine) -> String {
    format!(
        "attempt {}: {} {} = {}",
        cost.attempt + 1,
        cost.quantity,
        cost.unit,
        amount(cost.amount)
    )
}

fn amount(amount: Amount) -> String {
    match amount {
        Amount::Exact(picos) => money(picos),
        Amount::Estimated(picos) => format!("{} (estimated)", money(picos)),
        Amount::Unpriced => "unpriced".to_owned(),
    }
}

/// What a step's vectors were, took and cost.
fn embedding(told: &EmbeddingRecord) -> String {
    let mut text = format!(
        "{}: {} texts, {} of them known, by {} (`{}`) in {}",
        told.step,
        told.texts,
        told.cached,
        told.target,
        told.model,
        time(told.us * 1000)
    );
    if let Some(cost) = told.amount {
        let _infallible = write!(text, ", {} tokens = {}", told.tokens, amount(cost));
    }
    if let Some(failure) = &told.failure {
        let _infallible = write!(text, "; {failure}: {}", told.detail);
    }
    text.trim_end_matches([':', ' ']).to_owned()
}

fn money(picos: Picos) -> String {
    format!("${}", picos.to_usd_string())
}

/// Nanoseconds for people.
fn time(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{} µs", ns / 1000),
        _ => format!("{} ms", ns / 1_000_000),
    }
}
