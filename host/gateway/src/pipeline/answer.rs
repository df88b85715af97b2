//! An answer on its way through the response guards: how it begins, for a client or for a case.

use std::sync::Arc;

use pointsman_wire::release::{Release, ReleaseLimits, Shape};

use super::deliberation::Deliberation;
use super::guards::Guards;
use crate::limits;

impl Deliberation {
    /// What the client asked for.
    pub(super) fn shape(&self) -> Shape {
        if self.chat.streaming() {
            Shape::Stream {
                client_wants_usage: self.chat.include_usage(),
            }
        } else {
            Shape::Whole
        }
    }

    /// Starts the guards whose `when` holds, and the release engine that commands them.
    pub(super) async fn begin_answer(
        &mut self,
        attempt: u32,
        target: &str,
        status: u16,
        shape: Shape,
    ) -> (Guards, Release) {
        let policy = Arc::clone(&self.policy);
        let view = Arc::make_mut(&mut self.view);
        view.set_field("target", target);
        view.set_field("attempt", i64::from(attempt));
        view.set_field("status", i64::from(status));
        let steps = policy.response_guards();
        let applying: Vec<usize> = (0..steps.len())
            .filter(|&index| self.applies(&steps[index]))
            .collect();
        self.lend_vectors(applying.iter().map(|&index| &steps[index]));
        let call = self.call("guard-response");
        let guards = Guards::start(&policy, &applying, &call, self.hand.clone()).await;
        let limits = ReleaseLimits {
            buffered_bytes_max: limits::ANSWER_BYTES_MAX,
            ..ReleaseLimits::default()
        };
        let mut release = Release::new(guards.specs(), shape, limits);
        guards.settle_start(&mut release);
        (guards, release)
    }
}
