//! Answers that are told again: to equal requests (the cache), to a retry under its `Idempotency-Key`, and vectors of
//! texts that were asked for before.
//!
//! Promises: bounded in bytes, node-wide; read by all workers; no lock is held while anybody waits for a client or a
//! provider; whoever is waited for is a guard, whose drop wakes those who wait. Refuses to know: policies, sockets,
//! records.

mod cache;
mod kept;
mod key;
mod replays;
mod vectors;

use std::sync::Arc;

use pointsman_policy::config::StaticConfig;

use crate::limits;

pub(crate) use cache::{Cache, Found, Lead};
pub(crate) use kept::{Kept, Tape};
pub(crate) use key::{KeyWriter, tight};
pub(crate) use replays::{Claim, Claimed, Conflict, Replays, ReplaysConfig, Whose};
pub(crate) use vectors::{TextOf, Vectors};

/// What one node keeps.
pub(crate) struct Answers {
    pub(crate) cache: Arc<Cache>,
    pub(crate) replays: Arc<Replays>,
    pub(crate) vectors: Vectors,
}

impl Answers {
    pub(crate) fn new(config: &StaticConfig) -> Self {
        let replays = &config.idempotency;
        Self {
            cache: Arc::new(Cache::new(config.cache.bytes_max)),
            replays: Arc::new(Replays::new(ReplaysConfig {
                ttl_ms: u64::from(replays.ttl_s) * 1000,
                bytes_max: replays.bytes_max,
                entry_bytes_max: replays.entry_bytes_max,
                keys_max: replays.keys_max,
            })),
            vectors: Vectors::new(limits::VECTORS_BYTES_MAX),
        }
    }
}
