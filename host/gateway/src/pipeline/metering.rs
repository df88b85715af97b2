//! What attempts used: the provider's own counts, else estimates that say so.
//!
//! Promises: whatever may be billed is metered, once an attempt; an estimate is at least what is known to have come,
//! and where nobody knows how long an answer was it is what the reservation assumed.

use pointsman_domain::Attribute;
use pointsman_domain::usage::{INPUT_TOKENS, Meter, OUTPUT_TOKENS, SERVICE_TIER, Usage};
use pointsman_wire::release::Summary;

use super::Exchange;
use super::deliberation::Deliberation;

/// What the engine calls an answer that made no sense, in place of a provider's error.
const MALFORMED: &str = "malformed chunk";

/// Bytes of text that an estimate takes for a token.
pub(super) const BYTES_PER_TOKEN: u64 = 4;

/// What is known of an attempt's answer so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The provider's own counts; empty until it tells them.
    meters: Vec<Meter>,
    response_model: Option<String>,
    /// What the provider says it served in.
    service_tier: Option<String>,
    /// Text that came. What a guard holds or cuts was made, and is billed, all the same.
    text_bytes: u64,
    /// Of a whole answer that is not whole yet: text, and JSON around it.
    unread_bytes: u64,
}

impl Progress {
    pub(super) fn of(summary: &Summary) -> Self {
        let mut progress = Self::default();
        progress.note(summary);
        progress
    }

    /// Bytes of the answer were read.
    pub(super) fn note(&mut self, summary: &Summary) {
        self.text_bytes = summary.received_text_bytes.max(summary.released_text_bytes);
        self.unread_bytes = 0;
        if self.meters != summary.meters {
            self.meters.clone_from(&summary.meters);
        }
        if self.response_model != summary.response_model {
            self.response_model.clone_from(&summary.response_model);
        }
        if self.service_tier != summary.service_tier {
            self.service_tier.clone_from(&summary.service_tier);
        }
    }

    /// Bytes came that are read later.
    pub(super) fn arrived(&mut self, bytes: usize) {
        self.unread_bytes = self.unread_bytes.saturating_add(bytes as u64);
    }
}

/// How long an answer was, where its provider did not count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// As long as what came of it.
    AsCame,
    /// Perhaps as long as it was allowed to be.
    Unknown,
}

impl Length {
    /// Of an answer that failed: known where the provider ended it itself, with a finish or an error of its own.
    pub(super) fn of_broken(summary: &Summary, choices: u32) -> Self {
        let error = summary.provider_error.as_deref();
        let finished = summary.finish_reasons.len() >= choices as usize;
        if finished || error.is_some_and(|error| error != MALFORMED) {
            Self::AsCame
        } else {
            Self::Unknown
        }
    }
}

/// Prompt and answer as nobody has counted them.
pub(super) fn estimates(input: u64, output: u64) -> Vec<Meter> {
    let estimate = |unit: &str, quantity| Meter {
        unit: unit.to_owned(),
        quantity,
        estimated: true,
    };
    vec![
        estimate(INPUT_TOKENS, input),
        estimate(OUTPUT_TOKENS, output),
    ]
}

/// What the provider said of an attempt beside its counts, as accountants are told it.
pub(super) fn told(service_tier: Option<&str>) -> Vec<Attribute> {
    let attribute = |tier: &str| Attribute {
        key: SERVICE_TIER.to_owned(),
        value: tier.into(),
    };
    service_tier.map(attribute).into_iter().collect()
}

/// Tokens of an answer, at most `worst` unless more text came.
fn output_estimate(progress: &Progress, length: Length, worst: u64) -> u64 {
    let text = progress.text_bytes.div_ceil(BYTES_PER_TOKEN);
    let rest = match length {
        Length::AsCame => progress.unread_bytes.div_ceil(BYTES_PER_TOKEN).min(worst),
        Length::Unknown => worst,
    };
    text.max(rest)
}

impl Deliberation {
    /// What an answer of a target used.
    pub(super) fn meters(&self, target: &str, progress: &Progress, length: Length) -> Vec<Meter> {
        if !progress.meters.is_empty() {
            return progress.meters.clone();
        }
        let output = output_estimate(progress, length, self.output_tokens_max(target));
        estimates(self.input_tokens_estimate(), output)
    }
}

impl Exchange {
    /// Meters the attempt under way, once.
    pub(super) fn meter(&mut self, attempt: u32, target: &str, outcome: &str, length: Length) {
        let decided = self.decided.as_mut().expect("phases after `select` decide");
        if decided.usages.iter().any(|usage| usage.attempt == attempt) {
            return;
        }
        let meters = decided.meters(target, &self.progress, length);
        let record = self.attempts.last_mut().expect("an attempt is under way");
        record.meters.clone_from(&meters);
        record
            .response_model
            .clone_from(&self.progress.response_model);
        record.service_tier.clone_from(&self.progress.service_tier);
        decided.usages.push(Usage {
            attempt,
            target: target.to_owned(),
            outcome: outcome.to_owned(),
            meters,
            attributes: told(record.service_tier.as_deref()),
        });
    }

    /// Settles an attempt that was left midway by what came of it.
    pub(super) fn settle(&mut self) {
        let total_us = self.elapsed_us();
        let Some(record) = self.attempts.last_mut() else {
            return;
        };
        if !record.outcome.is_empty() {
            return;
        }
        "cancelled".clone_into(&mut record.outcome);
        record.total_us = total_us;
        let (index, target) = (record.index, record.target.clone());
        self.meter(index, &target, "cancelled", Length::AsCame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(received: u64, finished: usize, error: Option<&str>) -> Summary {
        Summary {
            received_text_bytes: received,
            finish_reasons: vec!["stop".to_owned(); finished],
            provider_error: error.map(str::to_owned),
            ..Summary::default()
        }
    }

    #[test]
    fn only_the_provider_says_that_a_broken_answer_was_over() {
        let length = |finished, error| Length::of_broken(&summary(9, finished, error), 2);
        assert_eq!(length(1, None), Length::Unknown);
        assert_eq!(length(2, None), Length::AsCame);
        assert_eq!(length(0, Some("overloaded")), Length::AsCame);
        assert_eq!(length(0, Some(MALFORMED)), Length::Unknown);
    }

    #[test]
    fn an_estimate_is_at_least_what_came() {
        let came = Progress::of(&summary(41, 0, None));
        assert_eq!(output_estimate(&came, Length::AsCame, 64), 11);
        assert_eq!(output_estimate(&came, Length::Unknown, 64), 64);
        assert_eq!(output_estimate(&came, Length::Unknown, 3), 11);
        let nothing = Progress::default();
        assert_eq!(output_estimate(&nothing, Length::AsCame, 64), 0);
        assert_eq!(output_estimate(&nothing, Length::Unknown, 64), 64);
    }

    #[test]
    fn bytes_of_a_whole_answer_count_before_they_are_read() {
        let mut progress = Progress::default();
        progress.arrived(100);
        progress.arrived(100);
        assert_eq!(output_estimate(&progress, Length::AsCame, 64), 50);
        assert_eq!(output_estimate(&progress, Length::AsCame, 9), 9);
        progress.note(&summary(8, 1, None));
        assert_eq!(output_estimate(&progress, Length::AsCame, 64), 2);
    }
}
