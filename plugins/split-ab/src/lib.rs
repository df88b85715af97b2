//! Splits traffic between variants by weight, sticky by conversation.
//!
//! The bucket (0 to 9999, salted by the step's id) falls into the cumulative weights, in the order of the variants'
//! names: the same conversation keeps its variant for as long as the weights stay, and nothing is stored.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use pointsman_sdk::{Plugin, PluginError, Splitter, View};
use serde::Deserialize;

/// Buckets that the gateway draws from.
const BUCKETS: u64 = 10_000;

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Weight of each variant; any unit, only the ratios count.
    weights: BTreeMap<String, u32>,
}

/// Variants by the bucket at which each ends.
#[derive(Debug)]
pub struct SplitAb {
    /// `(end, variant)` by rising end; the last end is `BUCKETS`. Variants of weight 0 have no entry.
    ends: Vec<(u64, String)>,
}

impl Plugin for SplitAb {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        let total: u64 = config.weights.values().copied().map(u64::from).sum();
        if total == 0 {
            return Err("weights: at least one variant needs a weight above 0".to_owned());
        }
        let mut sum = 0;
        let mut ends = Vec::new();
        for (variant, weight) in config.weights {
            if weight > 0 {
                sum += u64::from(weight);
                ends.push((sum * BUCKETS / total, variant));
            }
        }
        Ok(Self { ends })
    }
}

impl Splitter for SplitAb {
    fn split(&self, _request: &dyn View, bucket: u32) -> Result<String, PluginError> {
        let bucket = u64::from(bucket);
        self.ends
            .iter()
            .find(|(end, _)| bucket < *end)
            .map(|(_, variant)| variant.clone())
            .ok_or_else(|| PluginError::InvalidInput("bucket is not below 10000".to_owned()))
    }
}

pointsman_sdk::export_plugin!(SplitAb: splitter);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pointsman_sdk::Splitter as _;
    use pointsman_sdk::testing::{FakeView, Suite, configured};
    use serde_json::json;

    use super::SplitAb;

    #[test]
    fn cases_hold() {
        Suite::<SplitAb>::new()
            .splitter()
            .run(include_str!("../cases.jsonl"));
    }

    #[track_caller]
    fn check(weights: &[(&str, u32)], shares: &[(&str, u32)]) {
        let weights: BTreeMap<_, _> = weights.iter().copied().collect();
        let plugin = configured::<SplitAb>(&json!({ "weights": weights }));
        let mut found = BTreeMap::new();
        for bucket in 0..10_000 {
            let variant = plugin
                .split(&FakeView::user("x"), bucket)
                .expect("a variant");
            *found.entry(variant).or_insert(0) += 1;
        }
        let wanted: BTreeMap<_, _> = shares.iter().map(|(v, n)| ((*v).to_owned(), *n)).collect();
        assert_eq!(found, wanted);
        assert!(plugin.split(&FakeView::user("x"), 10_000).is_err());
    }

    #[test]
    fn every_bucket_has_a_variant_and_shares_follow_weights() {
        check(
            &[("control", 90), ("candidate", 10)],
            &[("control", 9000), ("candidate", 1000)],
        );
        check(
            &[("a", 1), ("b", 1), ("c", 1)],
            &[("a", 3333), ("b", 3333), ("c", 3334)],
        );
        check(&[("off", 0), ("on", 7)], &[("on", 10_000)]);
        check(
            &[("huge", u32::MAX), ("tiny", u32::MAX)],
            &[("huge", 5000), ("tiny", 5000)],
        );
    }
}
