//! What our routers share: what a request needs, which candidates can do it, and the plan that is made of them.
//!
//! Promises: a candidate that cannot do the job is not tried, and where none can the plan says what is missing, in
//! counts alone; what is not known to be ill is healthy; an unknown price is none. Refuses to know: what the request
//! says, and which of the fitting candidates is best.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod candidate;
mod misfit;
mod need;

use pointsman_sdk::{Attempt, Plan, Pool, Reason, View};

pub use candidate::{Candidate, Reads};
pub use misfit::{Misfit, Misfits};
pub use need::{Need, Terms};

/// Attempts of one plan; the gateway takes no more.
pub const ATTEMPTS_MAX: usize = 16;
/// How many tokens an answer is reckoned to have where nobody says.
pub const EXPECTED_OUTPUT_TOKENS: u32 = 512;

/// A request's need and the candidates that meet it, in the policy's order.
#[derive(Debug)]
pub struct Fit {
    /// What the request needs.
    pub need: Need,
    /// Those that can do it.
    pub candidates: Vec<Candidate>,
    /// How many cannot, and why.
    pub misfits: Misfits,
}

impl Fit {
    /// Reads request and candidates, each in one call of the host. A column is copied and recorded, so only those are
    /// read that matter.
    #[must_use]
    pub fn of(request: &dyn View, pool: &dyn Pool, terms: &Terms, reads: Reads<'_>) -> Self {
        let mut need = Need::of(request, terms);
        let all = Candidate::read(pool, reads, &need);
        need.add_vision(request, &all);
        let mut fit = Self {
            need,
            misfits: Misfits::of(all.len()),
            candidates: all,
        };
        fit.keep_able();
        fit
    }

    /// Drops the candidates that do not hold, and counts them.
    pub fn keep(&mut self, misfit: Misfit, holds: impl Fn(&Candidate) -> bool) {
        let before = self.candidates.len();
        self.candidates.retain(holds);
        self.misfits.add(misfit, before - self.candidates.len());
    }

    /// An abstention that counts what is missing.
    #[must_use]
    pub fn abstain(&self) -> Plan {
        Plan::abstain("nothing-fits", self.misfits.to_string())
    }

    fn keep_able(&mut self) {
        let (need, misfits) = (&self.need, &mut self.misfits);
        self.candidates.retain(|candidate| {
            let misfit = candidate.misfit(need);
            if let Some(misfit) = misfit {
                misfits.add(misfit, 1);
            }
            misfit.is_none()
        });
    }
}

/// A plan of these targets in this order, as many as the gateway takes.
pub fn plan(targets: impl IntoIterator<Item = String>, reason: Reason) -> Plan {
    Plan {
        attempts: targets
            .into_iter()
            .take(ATTEMPTS_MAX)
            .map(Attempt::new)
            .collect(),
        reason,
        attributes: Vec::new(),
    }
}
