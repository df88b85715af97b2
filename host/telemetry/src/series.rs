//! A metric's label sets: found by borrowed labels under a shared lock, bounded in number.
//!
//! The registry's own family wants owned labels for every look-up, and has no bound.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Label sets of one metric, before further ones are counted as `other`.
pub const SERIES_MAX: usize = 10_000;
/// The value of labels that are not told apart any more.
const OTHER: &str = "other";

/// One metric by `N` labels.
pub(crate) struct Series<const N: usize, M> {
    names: [&'static str; N],
    make: fn() -> M,
    hasher: RandomState,
    sets: Arc<RwLock<Sets<N, M>>>,
}

type Labelled<const N: usize, M> = ([Box<str>; N], M);

#[derive(Debug)]
struct Sets<const N: usize, M> {
    /// By the hash of the labels; more than one where hashes collide.
    by_hash: HashMap<u64, Vec<Labelled<N, M>>>,
    count: usize,
}

impl<const N: usize, M> Sets<N, M> {
    fn find(&self, hash: u64, labels: [&str; N]) -> Option<&M> {
        let same = |known: &[Box<str>; N]| {
            known
                .iter()
                .zip(labels)
                .all(|(known, label)| **known == *label)
        };
        self.by_hash
            .get(&hash)?
            .iter()
            .find(|(known, _)| same(known))
            .map(|(_, metric)| metric)
    }
}

impl<const N: usize, M> Series<N, M> {
    pub(crate) fn new(names: [&'static str; N], make: fn() -> M) -> Self {
        let sets = Sets {
            by_hash: HashMap::new(),
            count: 0,
        };
        Self {
            names,
            make,
            hasher: RandomState::new(),
            sets: Arc::new(RwLock::new(sets)),
        }
    }

    /// Counts on the metric of these labels.
    pub(crate) fn with(&self, labels: [&str; N], count: impl Fn(&M)) {
        let hash = self.hasher.hash_one(labels);
        if let Some(metric) = self
            .sets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .find(hash, labels)
        {
            return count(metric);
        }
        let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        let labels = Self::bounded(labels, sets.count);
        let hash = self.hasher.hash_one(labels);
        if sets.find(hash, labels).is_none() {
            let metric = (self.make)();
            sets.by_hash
                .entry(hash)
                .or_default()
                .push((labels.map(Box::from), metric));
            sets.count += 1;
        }
        if let Some(metric) = sets.find(hash, labels) {
            count(metric);
        }
    }

    /// The first label is the one that grows with users; only where that does not help are all given up.
    fn bounded(mut labels: [&str; N], count: usize) -> [&str; N] {
        if count >= SERIES_MAX * 2 {
            return [OTHER; N];
        }
        if count >= SERIES_MAX {
            labels[0] = OTHER;
        }
        labels
    }
}

/// Both count on the same label sets.
impl<const N: usize, M> Clone for Series<N, M> {
    fn clone(&self) -> Self {
        Self {
            names: self.names,
            make: self.make,
            hasher: self.hasher.clone(),
            sets: Arc::clone(&self.sets),
        }
    }
}

impl<const N: usize, M> std::fmt::Debug for Series<N, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Series")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl<const N: usize, M: EncodeMetric + TypedMetric> EncodeMetric for Series<N, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<_> = sets.by_hash.values().flatten().collect();
        sorted.sort_unstable_by_key(|(labels, _)| labels);
        for (labels, metric) in sorted {
            let mut pairs = [("", ""); N];
            for (pair, (name, label)) in pairs.iter_mut().zip(self.names.iter().zip(labels)) {
                *pair = (name, label);
            }
            metric.encode(encoder.encode_family(&pairs)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.sets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .count
            == 0
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::{OTHER, SERIES_MAX, Series};

    #[test]
    fn label_sets_are_bounded_and_nothing_goes_uncounted() {
        let series: Series<2, Counter> = Series::new(["tenant", "status"], Counter::default);
        let more = SERIES_MAX + 50;
        for index in 0..more {
            series.with([&format!("tenant-{index}"), "200"], |counter| {
                counter.inc();
            });
        }
        series.with(["tenant-3", "200"], |counter| assert_eq!(counter.get(), 1));
        series.with([OTHER, "200"], |counter| assert_eq!(counter.get(), 50));
        assert_eq!(
            series.sets.read().expect("not poisoned").count,
            SERIES_MAX + 1
        );
    }

    #[test]
    fn labels_are_told_apart_by_place() {
        let series: Series<2, Counter> = Series::new(["a", "b"], Counter::default);
        series.with(["x", "y"], |counter| {
            counter.inc();
        });
        series.with(["y", "x"], |counter| assert_eq!(counter.get(), 0));
        series.with(["xy", ""], |counter| assert_eq!(counter.get(), 0));
    }
}
