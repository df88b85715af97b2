//! The host's imports, answered from what a test set up on its own thread.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::words::{Level, Rate};

/// What the imports answer in this thread's tests; what is not set is unknown, as in the gateway.
#[derive(Clone, Debug, Default)]
pub struct FakeHost {
    /// Answer of `clock`.
    pub now_ms: u64,
    /// Seed of `random`; each draw advances it.
    pub seed: u64,
    /// Answers of `data`.
    pub data: BTreeMap<String, Vec<u8>>,
    /// Answers of `counters`, by name.
    pub counts: BTreeMap<String, u64>,
    /// Keys of `secrets`, by name.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Answers of `embedding`.
    pub vectors: BTreeMap<String, Vec<f32>>,
    /// Answers of `prices`, by target.
    pub rates: BTreeMap<String, Vec<Rate>>,
    /// Lines written to `log`.
    pub lines: Vec<(Level, String)>,
}

impl FakeHost {
    /// Answers this thread's imports from now on.
    pub fn install(self) {
        HOST.set(self);
    }

    /// What `log` was told so far on this thread.
    #[must_use]
    pub fn logged() -> Vec<(Level, String)> {
        HOST.with_borrow(|host| host.lines.clone())
    }
}

thread_local! {
    static HOST: RefCell<FakeHost> = RefCell::new(FakeHost::default());
}

pub(crate) mod log {
    pub(crate) fn log(level: super::Level, message: &str) {
        super::HOST.with_borrow_mut(|host| host.lines.push((level, message.to_owned())));
    }
}

pub(crate) mod clock {
    pub(crate) fn now_ms() -> u64 {
        super::HOST.with_borrow(|host| host.now_ms)
    }
}

pub(crate) mod random {
    pub(crate) fn next_u64() -> u64 {
        super::HOST.with_borrow_mut(|host| {
            // SplitMix64: any well-spread generator will do, it only has to repeat.
            host.seed = host.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (host.seed ^ (host.seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        })
    }
}

pub(crate) mod data {
    pub(crate) fn size(name: &str) -> Option<u64> {
        super::HOST.with_borrow(|host| host.data.get(name).map(|bytes| bytes.len() as u64))
    }

    pub(crate) fn read(name: &str, offset: u64, length: u32) -> Option<Vec<u8>> {
        super::HOST.with_borrow(|host| {
            let bytes = host.data.get(name)?;
            let first = usize::try_from(offset).ok()?.min(bytes.len());
            let last = first.saturating_add(length as usize).min(bytes.len());
            Some(bytes[first..last].to_vec())
        })
    }
}

pub(crate) mod counters {
    /// An unknown count or window is a fault in the gateway.
    pub(crate) fn count(name: &str, window_seconds: u32) -> u64 {
        assert!(
            pointsman_cases::COUNTS.contains(&name),
            "`{name}` is no count"
        );
        assert!(
            (1..=3600).contains(&window_seconds),
            "a window has 1 to 3600 s, not {window_seconds}"
        );
        super::HOST.with_borrow(|host| host.counts.get(name).copied().unwrap_or_default())
    }
}

pub(crate) mod embedding {
    pub(crate) fn vector(name: &str) -> Option<Vec<f32>> {
        super::HOST.with_borrow(|host| host.vectors.get(name).cloned())
    }
}

pub(crate) mod secrets {
    use pointsman_cases::{PREFIX, hmac_sha256};

    pub(crate) fn hmac(name: &str, message: &[u8]) -> Option<Vec<u8>> {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        super::HOST.with_borrow(|host| {
            let key = host.secrets.get(name)?;
            Some(hmac_sha256(key, message))
        })
    }
}

pub(crate) mod prices {
    pub(crate) fn rates(target: &str) -> Option<Vec<super::Rate>> {
        super::HOST.with_borrow(|host| host.rates.get(target).cloned())
    }
}
