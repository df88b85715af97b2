//! Compiled functions kept in memory while plugins are prepared: a snapshot has the code of the component it was
//! taken from, so its second and third compilation cost a fraction. It never leaves the process.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wasmtime::CacheStore;

use crate::limits;

#[derive(Default)]
struct Entries {
    by_key: HashMap<Box<[u8]>, Box<[u8]>>,
    bytes: usize,
    closed: bool,
}

/// The cache that an engine compiles with.
#[derive(Default)]
pub(crate) struct FunctionCache(Mutex<Entries>);

impl FunctionCache {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything and takes nothing more: the engine outlives the time in which plugins are prepared.
    pub(crate) fn close(&self) {
        *self.lock() = Entries {
            closed: true,
            ..Entries::default()
        };
    }
}

impl std::fmt::Debug for FunctionCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FunctionCache")
            .field("bytes", &self.lock().bytes)
            .finish_non_exhaustive()
    }
}

impl CacheStore for FunctionCache {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let found = self.lock().by_key.get(key).map(|value| value.to_vec());
        found.map(Cow::Owned)
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let mut entries = self.lock();
        if entries.closed {
            return false;
        }
        let bytes = key.len() + value.len();
        if entries.bytes.saturating_add(bytes) > limits::FUNCTION_CACHE_BYTES_MAX {
            *entries = Entries::default();
        }
        entries.bytes += bytes;
        entries.by_key.insert(key.into(), value.into_boxed_slice());
        true
    }
}
