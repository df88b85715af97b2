//! Counting: what ended, what it took, what it cost, and what the node did.

use pointsman_domain::Picos;
use pointsman_domain::decision::{AttemptRecord, CacheUse, Closed, Opened, Outcome, StepRecord};
use pointsman_domain::usage::{
    AUDIO_OUTPUT_TOKENS, Amount, INPUT_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS,
};
use prometheus_client::metrics::counter::Counter;

use super::{Metrics, NONE, US, level};

/// The codes of refusals by a limit of the node, in `domain::ErrorKind`'s words.
const NODE_LIMITS: [&str; 3] = ["request_too_large", "unavailable", "audit_unavailable"];
/// The scope of a limit that is everybody's.
const NODE: &str = "node";

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Whose it was, where its key was known.
    pub tenant: Option<&'a str>,
    /// Which policy served it, where it came so far.
    pub policy: Option<&'a str>,
    /// How.
    pub outcome: Outcome,
    /// The status that the caller saw.
    pub status: u16,
    /// The code of its error, where it had one: that of `domain::ErrorKind`, or none for a guard's own.
    pub code: Option<&'static str>,
}

impl Metrics {
    /// A request ended.
    pub fn request(&self, ended: &Ended<'_>) {
        let tenant = ended.tenant.unwrap_or(NONE);
        let mut digits = [0; 5];
        let status = decimal(ended.status, &mut digits);
        let code = ended.code.unwrap_or(NONE);
        let labels = [
            tenant,
            ended.policy.unwrap_or(NONE),
            outcome_name(ended.outcome),
            status,
            code,
        ];
        self.requests.with(labels, one);
        if NODE_LIMITS.contains(&code) {
            self.limit_hits.with([tenant, NODE, code], one);
        }
    }

    /// A limit or budget of a tenant or key refused: whose it is (`tenant`, `key`), and which.
    pub fn limited(&self, scope: &str, limit: &str, tenant: Option<&str>) {
        self.limit_hits
            .with([tenant.unwrap_or(NONE), scope, limit], one);
    }

    /// A request's first record: the plugins that decided.
    pub fn opened(&self, opened: &Opened) {
        self.steps(&opened.tenant, &opened.steps);
    }

    /// Times, fuel and faults of the steps that ran.
    fn steps(&self, tenant: &str, steps: &[StepRecord]) {
        let (mut fuel, mut kib) = (0_u64, 0_u64);
        for step in steps.iter().filter(|step| step.digest.is_some()) {
            let labels = [step.phase.as_str(), step.plugin.as_str()];
            self.step_seconds
                .with(labels, |times| times.observe_ns(step.time_ns));
            self.step_fuel.with(labels, |fuel| {
                fuel.inc_by(step.fuel);
            });
            fuel = fuel.saturating_add(step.fuel);
            kib += u64::from(step.memory_kib);
            if let Some(fault) = &step.fault {
                self.step_faults
                    .with([labels[0], labels[1], fault.kind.as_str()], one);
            }
        }
        if fuel > 0 {
            self.tenant_fuel.with([tenant], |all| {
                all.inc_by(fuel);
            });
            self.tenant_memory.with([tenant], |all| {
                all.inc_by(kib << 10);
            });
        }
    }

    /// A try at a target ended.
    pub fn attempt(&self, target: &str, outcome: &str) {
        self.attempts.with([target, outcome], one);
    }

    /// A step needed vectors: `ok`, `cached`, or why there are none.
    pub fn embedding(&self, target: &str, outcome: &str) {
        self.embeddings.with([target, outcome], one);
    }

    /// A request's last record: its times, its later plugins, what its attempts used, and what they cost.
    pub fn closed(&self, closed: &Closed) {
        self.steps(&closed.tenant, &closed.steps);
        let tenant = closed.tenant.as_str();
        self.request_seconds
            .with([outcome_name(closed.outcome)], |times| {
                times.observe_ns(closed.total_us.saturating_mul(US));
            });
        if let Some(us) = closed.ttft_us {
            let target = closed.target.as_deref().unwrap_or(NONE);
            self.first_content_seconds
                .with([target], |times| times.observe_ns(us.saturating_mul(US)));
        }
        for attempt in &closed.attempts {
            self.tokens(tenant, attempt);
        }
        self.costs(closed);
        if closed.unpriced {
            self.unpriced.with([tenant], one);
        }
        if closed.estimated {
            self.estimated.with([tenant], one);
        }
        if let Some(cache) = closed.cache {
            self.cache.with([tenant, cache_name(cache)], one);
        }
    }

    fn tokens(&self, tenant: &str, attempt: &AttemptRecord) {
        for meter in &attempt.meters {
            self.usage
                .with([tenant, &attempt.target, &meter.unit], |counter| {
                    counter.inc_by(meter.quantity);
                });
        }
        let is_output =
            |unit: &str| [OUTPUT_TOKENS, REASONING_TOKENS, AUDIO_OUTPUT_TOKENS].contains(&unit);
        let tokens: u64 = attempt
            .meters
            .iter()
            .filter(|meter| is_output(&meter.unit) && !meter.estimated)
            .map(|meter| meter.quantity)
            .sum();
        // Between the first token and the last there are as many gaps as further tokens.
        if let Some(ttft_us) = attempt.ttft_us
            && attempt.outcome == "ok"
            && tokens > 1
        {
            let gaps_ns = attempt.total_us.saturating_sub(ttft_us).saturating_mul(US);
            self.output_token_seconds.with([&attempt.target], |times| {
                times.observe_ns(gaps_ns / (tokens - 1));
            });
        }
    }

    fn costs(&self, closed: &Closed) {
        for line in &closed.cost {
            let (Amount::Exact(picos) | Amount::Estimated(picos)) = line.amount else {
                continue;
            };
            let attempt = closed
                .attempts
                .iter()
                .find(|attempt| attempt.index == line.attempt);
            let target = attempt.map_or(NONE, |attempt| attempt.target.as_str());
            // A counter cannot fall: a credit is in the records, not here.
            let dollars = dollars(picos).max(0.0);
            self.cost.with([closed.tenant.as_str(), target], |counter| {
                counter.inc_by(dollars);
            });
        }
        for embedding in &closed.embeddings {
            let place = [closed.tenant.as_str(), embedding.target.as_str()];
            if let Some(Amount::Exact(picos) | Amount::Estimated(picos)) = embedding.amount {
                self.cost.with(place, |counter| {
                    counter.inc_by(dollars(picos));
                });
            }
            self.usage
                .with([place[0], place[1], INPUT_TOKENS], |counter| {
                    counter.inc_by(embedding.tokens);
                });
        }
    }

    /// New requests get this generation's snapshot.
    pub fn generation(&self, generation: u64) {
        self.generation.set(level(generation));
    }

    /// A version of a policy serves new requests from here on; nothing was timed.
    pub fn serving(&self, policy: &str, version: u64) {
        self.policy_version.with([policy], |known| {
            known.set(level(version));
        });
    }

    /// A version was made to serve; `micros` from the call to its answer.
    pub fn activated(&self, policy: &str, version: u64, micros: u64) {
        self.serving(policy, version);
        self.activation_seconds.with([policy], |times| {
            times.observe_ns(micros.saturating_mul(US));
        });
    }

    /// So many snapshots serve old requests alone, with so many bytes of plugins that no later one shares.
    pub fn retired(&self, count: u64, bytes: u64) {
        self.retired.set(level(count));
        self.retired_bytes.set(level(bytes));
    }

    /// So many requests are under way, with bodies of so many bytes.
    pub fn under_way(&self, requests: u64, body_bytes: u64) {
        self.in_flight.set(level(requests));
        self.body_bytes.set(level(body_bytes));
    }

    /// What sets, at each reading, the gauges of what is so at the time; the first one counts.
    pub fn watch(&self, look: impl Fn(&Self) + Send + Sync + 'static) {
        let _the_first_counts = self.look.set(Box::new(look));
    }

    /// What became of so many traces: `exported`, `dropped` for want of room, `failed`.
    pub fn traces(&self, outcome: &'static str, count: u64) {
        self.traces.with([outcome], |traces| {
            traces.inc_by(count);
        });
    }
}

fn one(counter: &Counter) {
    counter.inc();
}

/// In digits, without an allocation.
fn decimal(mut number: u16, digits: &mut [u8; 5]) -> &str {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 || at == 0 {
            break;
        }
    }
    std::str::from_utf8(&digits[at..]).unwrap_or(NONE)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a metric for people; records and bills hold the exact amount"
)]
pub(crate) fn dollars(picos: Picos) -> f64 {
    picos.0 as f64 / 1e12
}

/// An outcome's name, as records write it.
#[must_use]
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Denied => "denied",
        Outcome::Cut => "cut",
        Outcome::Error => "error",
        Outcome::Cancelled => "cancelled",
    }
}

/// A use's name, as records write it.
pub(crate) fn cache_name(cache: CacheUse) -> &'static str {
    match cache {
        CacheUse::Miss => "miss",
        CacheUse::Hit => "hit",
        CacheUse::Coalesced => "coalesced",
        CacheUse::Bypass => "bypass",
        CacheUse::Replay => "replay",
    }
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn numbers_are_written_as_ever() {
        for number in [0, 7, 200, 499, 65_535] {
            assert_eq!(decimal(number, &mut [0; 5]), number.to_string());
        }
    }
}
