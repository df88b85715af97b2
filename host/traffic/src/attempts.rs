//! One request's tries along its plan: which target next, when, and when to stop.
//! Promises at most `attempts_max` tries, none at or after the deadline, targets in the plan's order.
//! Refuses to know why a target is good; routers decide that.

mod bounds;
mod check;
mod retry_on;
#[cfg(test)]
mod tests;

use std::fmt;

use pointsman_domain::plan::{Plan, PlannedAttempt};

pub use bounds::Bounds;
pub use check::check;
pub use retry_on::{RetryOn, UnknownRetryWord};

/// How a policy executes plans. A plan may tighten the bounds, never loosen them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecuteSettings {
    /// Tries of one request at all targets together.
    pub attempts_max: u32,
    /// Milliseconds for all tries together, from [`Attempts::new`].
    pub deadline_ms: u64,
    /// Milliseconds until a connection stands.
    pub connect_timeout_ms: u64,
    /// Milliseconds until the first token, where the plan does not say.
    pub first_token_timeout_ms: u64,
    /// Milliseconds without a byte.
    pub idle_timeout_ms: u64,
    /// The failures after which another try is made.
    pub retry_on: RetryOn,
    /// Further tries of the same target, where the plan does not say.
    pub retries: u32,
    /// Milliseconds before the first retry of the same target; doubles with each.
    pub backoff_ms: u64,
    /// The longest pause that doubling reaches, in milliseconds.
    pub backoff_ms_max: u64,
}

impl Default for ExecuteSettings {
    fn default() -> Self {
        Self {
            attempts_max: 3,
            deadline_ms: 120_000,
            connect_timeout_ms: 2_000,
            first_token_timeout_ms: 30_000,
            idle_timeout_ms: 60_000,
            retry_on: RetryOn::default(),
            retries: 0,
            backoff_ms: 100,
            backoff_ms_max: 2_000,
        }
    }
}

/// How a try failed before anything was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or no TLS session, was made.
    Connect,
    /// A time bound was met.
    Timeout,
    /// The target answered with this status.
    Status(u16),
    /// The target told an error inside a successful answer.
    InStream,
    /// The answer broke off or made no sense.
    Protocol,
    /// The egress rules refused the target: nothing was sent.
    Egress,
}

/// One try to make now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// Counts the request's tries from 0.
    pub index: u32,
    /// The target's name.
    pub target: String,
    /// The model to ask for, where the plan overrides the target's own.
    pub model: Option<String>,
    /// Milliseconds until a connection stands.
    pub connect_timeout_ms: u64,
    /// Milliseconds until the first token.
    pub first_token_timeout_ms: u64,
    /// Milliseconds without a byte.
    pub idle_timeout_ms: u64,
    /// When this try must be over, on the clock that `now` comes from.
    pub deadline_at_ms: u64,
}

/// Why no further try is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GaveUp {
    /// The deadline has passed.
    Deadline,
    /// As many tries as allowed were made.
    AttemptsMax,
    /// Every planned target was tried.
    PlanExhausted,
    /// The last failure is none that `retry_on` covers.
    NotRetryable,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "the deadline has passed",
            Self::AttemptsMax => "as many tries as allowed were made",
            Self::PlanExhausted => "every planned target was tried",
            Self::NotRetryable => "the last failure is not one that is retried",
        })
    }
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Make this try; report [`Attempts::failed`] unless it answers.
    Try(Try),
    /// Ask again at this time.
    Wait {
        /// On the clock that `now` comes from; before the deadline.
        until_ms: u64,
    },
    /// End the request.
    GiveUp(GaveUp),
}

#[derive(Debug)]
enum State {
    /// The target at `position` may be tried from this time on.
    Ready { from_ms: u64 },
    /// A try was handed out.
    Trying,
    /// Nothing follows.
    Over(GaveUp),
}

/// The tries of one request.
#[derive(Debug)]
pub struct Attempts {
    settings: ExecuteSettings,
    planned: Vec<Planned>,
    attempts_max: u32,
    deadline_at_ms: u64,
    position: usize,
    /// Tries made at `position`.
    tries_here: u32,
    tries: u32,
    state: State,
}

impl Attempts {
    /// Starts a plan. Attributes that [`check`] would refuse are ignored.
    #[must_use]
    pub fn new(plan: &Plan, settings: ExecuteSettings, now_ms: u64) -> Self {
        let deadline_ms = check::integer(&plan.attributes, check::DEADLINE_MS)
            .map_or(settings.deadline_ms, |ms| ms.min(settings.deadline_ms));
        let attempts_max = check::integer(&plan.attributes, check::ATTEMPTS_MAX)
            .map_or(settings.attempts_max, |max| {
                saturated(max).min(settings.attempts_max)
            });
        Self {
            planned: plan.attempts.iter().map(Planned::new).collect(),
            settings,
            attempts_max,
            deadline_at_ms: now_ms.saturating_add(deadline_ms),
            position: 0,
            tries_here: 0,
            tries: 0,
            state: State::Ready { from_ms: now_ms },
        }
    }

    /// What to do at `now_ms`. A try that was never reported as failed counts as over, and the next target follows.
    pub fn next(&mut self, now_ms: u64) -> Next {
        if matches!(self.state, State::Trying) {
            self.advance(now_ms);
        }
        let from_ms = match self.state {
            State::Over(why) => return Next::GiveUp(why),
            State::Ready { from_ms } => from_ms,
            State::Trying => now_ms,
        };
        let Some(planned) = self.planned.get(self.position) else {
            return self.give_up(GaveUp::PlanExhausted);
        };
        if self.tries >= self.attempts_max {
            return self.give_up(GaveUp::AttemptsMax);
        }
        if now_ms >= self.deadline_at_ms {
            return self.give_up(GaveUp::Deadline);
        }
        if now_ms < from_ms {
            return Next::Wait { until_ms: from_ms };
        }
        let attempt = planned.as_try(self.tries, &self.settings, now_ms, self.deadline_at_ms);
        self.tries += 1;
        self.tries_here += 1;
        self.state = State::Trying;
        Next::Try(attempt)
    }

    /// The try under way failed; `retry_after_ms` is what the target asked to wait. Without a try under way it does
    /// nothing.
    pub fn failed(&mut self, failure: Failure, retry_after_ms: Option<u64>, now_ms: u64) {
        if !matches!(self.state, State::Trying) {
            return;
        }
        if !self.settings.retry_on.covers(failure) {
            self.state = State::Over(GaveUp::NotRetryable);
            return;
        }
        match self.retry_at(failure, retry_after_ms, now_ms) {
            Some(from_ms) => self.state = State::Ready { from_ms },
            None => self.advance(now_ms),
        }
    }

    /// When the same target may be tried again, if it may and if that is before the deadline.
    fn retry_at(&self, failure: Failure, retry_after_ms: Option<u64>, now_ms: u64) -> Option<u64> {
        let planned = self.planned.get(self.position)?;
        let allowed = planned.retries.unwrap_or(self.settings.retries);
        // What egress refuses once it refuses again.
        if self.tries_here > allowed || failure == Failure::Egress {
            return None;
        }
        let doublings = self.tries_here.saturating_sub(1).min(u64::BITS - 1);
        let backoff_ms = self
            .settings
            .backoff_ms
            .saturating_mul(1 << doublings)
            .min(self.settings.backoff_ms_max);
        let from_ms = now_ms.saturating_add(backoff_ms.max(retry_after_ms.unwrap_or(0)));
        (from_ms < self.deadline_at_ms).then_some(from_ms)
    }

    fn advance(&mut self, now_ms: u64) {
        self.position += 1;
        self.tries_here = 0;
        self.state = State::Ready { from_ms: now_ms };
    }

    const fn give_up(&mut self, why: GaveUp) -> Next {
        self.state = State::Over(why);
        Next::GiveUp(why)
    }
}

/// A planned attempt with its attributes read.
#[derive(Debug)]
struct Planned {
    target: String,
    model: Option<String>,
    timeout_ms: Option<u64>,
    first_token_timeout_ms: Option<u64>,
    retries: Option<u32>,
}

impl Planned {
    fn new(attempt: &PlannedAttempt) -> Self {
        let integer = |key| check::integer(&attempt.attributes, key);
        Self {
            target: attempt.target.clone(),
            model: check::text(&attempt.attributes, check::MODEL).map(str::to_owned),
            timeout_ms: integer(check::TIMEOUT_MS),
            first_token_timeout_ms: integer(check::FIRST_TOKEN_TIMEOUT_MS),
            retries: integer(check::RETRIES).map(saturated),
        }
    }

    fn as_try(
        &self,
        index: u32,
        settings: &ExecuteSettings,
        now_ms: u64,
        deadline_at_ms: u64,
    ) -> Try {
        let own_ms = self.timeout_ms.unwrap_or(u64::MAX);
        let deadline_at_ms = now_ms.saturating_add(own_ms).min(deadline_at_ms);
        let left_ms = deadline_at_ms - now_ms;
        let first_token_ms = self
            .first_token_timeout_ms
            .unwrap_or(settings.first_token_timeout_ms);
        Try {
            index,
            target: self.target.clone(),
            model: self.model.clone(),
            connect_timeout_ms: settings.connect_timeout_ms.min(left_ms),
            first_token_timeout_ms: first_token_ms.min(left_ms),
            idle_timeout_ms: settings.idle_timeout_ms.min(left_ms),
            deadline_at_ms,
        }
    }
}

fn saturated(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
