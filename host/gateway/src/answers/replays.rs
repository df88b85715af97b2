//! Answers by idempotency key: what was answered once is told again, never made again.
//!
//! Promises: while a request is under way or its answer is remembered, no second one is let through under its key; one
//! that goes without an answer frees its key. Bounded: over the bytes the tenant that holds the most makes room, so that
//! nobody's flood costs another its keys: its oldest lose first their answers (their keys still refuse), then their
//! keys; over the keys of one caller its oldest are forgotten. What is under way is never forgotten: it is bounded by
//! the requests in flight. Time is the caller's, in milliseconds of any steady clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pointsman_domain::Digest;

use super::kept::{ENTRY_BYTES, Kept};

/// Bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplaysConfig {
    pub(crate) ttl_ms: u64,
    pub(crate) bytes_max: usize,
    /// Bytes of one answer.
    pub(crate) entry_bytes_max: usize,
    /// Finished keys of one caller.
    pub(crate) keys_max: usize,
}

/// Every idempotency key that the node remembers.
pub(crate) struct Replays {
    config: ReplaysConfig,
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    entries: HashMap<Digest, Entry>,
    /// Finished entries, the oldest first.
    by_age: BTreeMap<u64, Digest>,
    /// The same by caller.
    by_caller: HashMap<Digest, BTreeSet<u64>>,
    /// The same by tenant.
    tenants: HashMap<Digest, Held>,
    /// Tenants by the weight of what they hold.
    by_weight: BTreeSet<(usize, Digest)>,
    next_age: u64,
    /// Weight of the finished entries.
    bytes: usize,
}

/// What one tenant holds.
#[derive(Default)]
struct Held {
    by_age: BTreeMap<u64, Digest>,
    /// Ages below this have lost their answers.
    bare_below: u64,
    bytes: usize,
}

/// Who uses a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose {
    pub(crate) tenant: Digest,
    /// One of the tenant's virtual keys.
    pub(crate) caller: Digest,
}

struct Entry {
    whose: Whose,
    /// What was asked.
    request: Digest,
    state: State,
}

enum State {
    UnderWay,
    Done {
        age: u64,
        until_ms: u64,
        answer: Answer,
    },
}

enum Answer {
    Kept(Arc<Kept>),
    TooLarge,
    Dropped,
}

/// Why a request under a known key is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// The key was used for another request.
    OtherRequest,
    /// The first request is not answered yet.
    UnderWay,
    /// It was answered, with more bytes than are kept.
    TooLarge,
    /// It was answered, and its answer had to make room.
    Dropped,
}

/// What a key means for a request.
pub(crate) enum Claimed {
    /// Nobody used it: the request goes on.
    First(Claim),
    /// The answer of the first.
    Again(Arc<Kept>),
    Refused(Conflict),
}

impl Replays {
    pub(crate) fn new(config: ReplaysConfig) -> Self {
        Self {
            config,
            shelf: Mutex::default(),
        }
    }

    /// Bytes of an answer that may be kept.
    pub(crate) fn entry_bytes_max(&self) -> usize {
        self.config.entry_bytes_max
    }

    /// Claims `key` for `request`.
    pub(crate) fn claim(
        self: &Arc<Self>,
        whose: Whose,
        key: Digest,
        request: Digest,
        now_ms: u64,
    ) -> Claimed {
        let mut shelf = self.shelf();
        shelf.expire(now_ms);
        if let Some(entry) = shelf.entries.get(&key) {
            return match &entry.state {
                _ if entry.request != request => Claimed::Refused(Conflict::OtherRequest),
                State::UnderWay => Claimed::Refused(Conflict::UnderWay),
                State::Done { answer, .. } => match answer {
                    Answer::Kept(kept) => Claimed::Again(Arc::clone(kept)),
                    Answer::TooLarge => Claimed::Refused(Conflict::TooLarge),
                    Answer::Dropped => Claimed::Refused(Conflict::Dropped),
                },
            };
        }
        let entry = Entry {
            whose,
            request,
            state: State::UnderWay,
        };
        shelf.entries.insert(key, entry);
        Claimed::First(Claim {
            replays: Arc::clone(self),
            key,
        })
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Every change is whole before anything that could panic.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn expire(&mut self, now_ms: u64) {
        // All live equally long, so the oldest go first.
        while let Some((_, key)) = self.by_age.first_key_value() {
            let key = *key;
            match self.entries.get(&key).map(|entry| &entry.state) {
                Some(State::Done { until_ms, .. }) if *until_ms > now_ms => return,
                _ => self.forget(key),
            }
        }
    }

    fn finish(&mut self, key: Digest, until_ms: u64, answer: Answer) -> Option<Digest> {
        let age = self.next_age;
        let entry = self.entries.get_mut(&key)?;
        self.next_age += 1;
        let bytes = ENTRY_BYTES + weight(&answer);
        entry.state = State::Done {
            age,
            until_ms,
            answer,
        };
        let Whose { tenant, caller } = entry.whose;
        self.by_age.insert(age, key);
        self.by_caller.entry(caller).or_default().insert(age);
        let held = self.tenants.entry(tenant).or_default();
        held.by_age.insert(age, key);
        self.weigh(tenant, bytes, 0);
        Some(caller)
    }

    /// Forgets a finished entry.
    fn forget(&mut self, key: Digest) {
        let Some(entry) = self.entries.remove(&key) else {
            return;
        };
        let State::Done { age, answer, .. } = entry.state else {
            return;
        };
        let Whose { tenant, caller } = entry.whose;
        self.by_age.remove(&age);
        if let Some(ages) = self.by_caller.get_mut(&caller) {
            ages.remove(&age);
            if ages.is_empty() {
                self.by_caller.remove(&caller);
            }
        }
        if let Some(held) = self.tenants.get_mut(&tenant) {
            held.by_age.remove(&age);
        }
        self.weigh(tenant, 0, ENTRY_BYTES + weight(&answer));
    }

    /// Counts bytes of a tenant; one that holds nothing is forgotten.
    fn weigh(&mut self, tenant: Digest, more: usize, less: usize) {
        self.bytes = self.bytes + more - less;
        let Some(held) = self.tenants.get_mut(&tenant) else {
            return;
        };
        self.by_weight.remove(&(held.bytes, tenant));
        held.bytes = held.bytes + more - less;
        if held.by_age.is_empty() {
            self.tenants.remove(&tenant);
        } else {
            self.by_weight.insert((held.bytes, tenant));
        }
    }

    /// Keeps within the bounds, at the cost of the oldest.
    fn make_room(&mut self, caller: &Digest, config: &ReplaysConfig) {
        while let Some(ages) = self.by_caller.get(caller)
            && ages.len() > config.keys_max
            && let Some(key) = ages.first().and_then(|age| self.by_age.get(age)).copied()
        {
            self.forget(key);
        }
        while self.bytes > config.bytes_max
            && let Some(&(_, tenant)) = self.by_weight.last()
            && let Some(held) = self.tenants.get_mut(&tenant)
        {
            if let Some((&age, &key)) = held.by_age.range(held.bare_below..).next() {
                held.bare_below = age + 1;
                self.strip(key);
            } else if let Some((_, &key)) = held.by_age.first_key_value() {
                self.forget(key);
            }
        }
    }

    fn strip(&mut self, key: Digest) {
        if let Some(entry) = self.entries.get_mut(&key)
            && let State::Done { answer, .. } = &mut entry.state
            && matches!(answer, Answer::Kept(_))
        {
            let (tenant, bytes) = (entry.whose.tenant, weight(answer));
            *answer = Answer::Dropped;
            self.weigh(tenant, 0, bytes);
        }
    }
}

fn weight(answer: &Answer) -> usize {
    match answer {
        Answer::Kept(kept) => kept.weight(),
        Answer::TooLarge | Answer::Dropped => 0,
    }
}

/// The one request under way under a key. Dropped without an answer, it frees the key.
pub(crate) struct Claim {
    replays: Arc<Replays>,
    key: Digest,
}

impl Claim {
    /// Remembers the answer; none was too large to keep.
    pub(crate) fn answered(self, answer: Option<Arc<Kept>>, now_ms: u64) {
        let config = &self.replays.config;
        let kept = answer.filter(|answer| answer.bytes() <= config.entry_bytes_max);
        let answer = kept.map_or(Answer::TooLarge, Answer::Kept);
        let mut shelf = self.replays.shelf();
        shelf.expire(now_ms);
        let until_ms = now_ms.saturating_add(config.ttl_ms);
        if let Some(caller) = shelf.finish(self.key, until_ms, answer) {
            shelf.make_room(&caller, config);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut shelf = self.replays.shelf();
        let state = shelf.entries.get(&self.key).map(|entry| &entry.state);
        if matches!(state, Some(State::UnderWay)) {
            shelf.entries.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::kept::kept;
    use super::*;

    const CONFIG: ReplaysConfig = ReplaysConfig {
        ttl_ms: 1000,
        bytes_max: 1 << 20,
        entry_bytes_max: 1024,
        keys_max: 100,
    };

    fn digest(number: u64) -> Digest {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Digest(bytes)
    }

    fn replays(config: ReplaysConfig) -> Arc<Replays> {
        Arc::new(Replays::new(config))
    }

    /// Callers of a hundred belong to one tenant.
    fn whose(caller: u64) -> Whose {
        Whose {
            tenant: digest(caller / 100),
            caller: digest(caller),
        }
    }

    /// What a key means now; a first claim is dropped again.
    fn told(replays: &Arc<Replays>, caller: u64, key: u64, request: u64, now_ms: u64) -> String {
        match replays.claim(whose(caller), digest(key), digest(request), now_ms) {
            Claimed::First(_) => "first".to_owned(),
            Claimed::Again(kept) => format!("again {}", kept.bytes()),
            Claimed::Refused(conflict) => format!("{conflict:?}"),
        }
    }

    fn first(replays: &Arc<Replays>, caller: u64, key: u64, request: u64, now_ms: u64) -> Claim {
        match replays.claim(whose(caller), digest(key), digest(request), now_ms) {
            Claimed::First(claim) => claim,
            Claimed::Again(_) | Claimed::Refused(_) => panic!("the key is taken"),
        }
    }

    fn text(bytes: usize) -> Option<Arc<Kept>> {
        Some(Arc::new(kept(&"x".repeat(bytes))))
    }

    #[test]
    fn a_key_is_answered_once_and_told_until_its_time_is_over() {
        let replays = replays(CONFIG);
        let claim = first(&replays, 1, 1, 5, 0);
        assert_eq!(told(&replays, 1, 1, 5, 0), "UnderWay");
        assert_eq!(told(&replays, 1, 1, 6, 0), "OtherRequest");
        claim.answered(text(3), 10);
        assert_eq!(told(&replays, 1, 1, 5, 1009), "again 3");
        assert_eq!(told(&replays, 1, 1, 6, 1009), "OtherRequest");
        assert_eq!(told(&replays, 1, 2, 6, 1009), "first");
        assert_eq!(told(&replays, 1, 1, 6, 1010), "first");
    }

    #[test]
    fn who_goes_without_an_answer_frees_the_key() {
        let replays = replays(CONFIG);
        drop(first(&replays, 1, 1, 5, 0));
        assert_eq!(told(&replays, 1, 1, 6, 0), "first");
        let claim = first(&replays, 1, 1, 7, 0);
        let died = std::thread::spawn(move || {
            let _held = claim;
            panic!("a bug");
        });
        assert!(died.join().is_err());
        assert_eq!(told(&replays, 1, 1, 8, 0), "first");
    }

    #[test]
    fn what_is_not_kept_is_not_made_again() {
        let replays = replays(CONFIG);
        first(&replays, 1, 1, 5, 0).answered(text(1025), 0);
        first(&replays, 1, 2, 5, 0).answered(None, 0);
        assert_eq!(told(&replays, 1, 1, 5, 0), "TooLarge");
        assert_eq!(told(&replays, 1, 2, 5, 0), "TooLarge");
    }

    #[test]
    fn over_the_bytes_answers_go_before_keys_and_the_oldest_first() {
        let config = ReplaysConfig {
            bytes_max: 4 * ENTRY_BYTES + 2000,
            ..CONFIG
        };
        let replays = replays(config);
        for key in 0..3 {
            first(&replays, 1, key, 5, 0).answered(text(900), 0);
        }
        assert_eq!(told(&replays, 1, 0, 5, 0), "Dropped");
        assert_eq!(told(&replays, 1, 1, 5, 0), "Dropped");
        assert_eq!(told(&replays, 1, 2, 5, 0), "again 900");
        for key in 3..40 {
            first(&replays, 1, key, 5, 0).answered(None, 0);
        }
        assert_eq!(told(&replays, 1, 0, 5, 0), "first");
        assert_eq!(told(&replays, 1, 39, 5, 0), "TooLarge");
    }

    #[test]
    fn a_flood_costs_no_other_tenant_its_answers_or_keys() {
        let replays = replays(ReplaysConfig {
            bytes_max: 20 * (2 * ENTRY_BYTES + 1000),
            ..CONFIG
        });
        for key in 0..3 {
            first(&replays, 1, key, 5, 0).answered(text(900), 0);
        }
        // By any number of virtual keys.
        for key in 1000..3000 {
            first(&replays, 100 + key % 100, key, 5, 0).answered(text(900), 0);
        }
        for key in 0..3 {
            assert_eq!(told(&replays, 1, key, 5, 0), "again 900");
        }
        assert_eq!(told(&replays, 100, 1000, 5, 0), "first");
        assert_eq!(told(&replays, 199, 2999, 5, 0), "Dropped");
    }

    #[test]
    fn a_caller_forgets_its_own_keys_alone() {
        let replays = replays(ReplaysConfig {
            keys_max: 2,
            ..CONFIG
        });
        first(&replays, 2, 100, 5, 0).answered(text(1), 0);
        for key in 0..3 {
            first(&replays, 1, key, 5, 0).answered(text(1), 0);
        }
        assert_eq!(told(&replays, 1, 0, 5, 0), "first");
        assert_eq!(told(&replays, 1, 1, 5, 0), "again 1");
        assert_eq!(told(&replays, 2, 100, 5, 0), "again 1");
    }

    proptest! {
        #[test]
        fn the_books_balance(steps in prop::collection::vec((0..3_u64, 0..12_u64, 0..2000_usize, 0..400_u64), 0..60)) {
            let config = ReplaysConfig { bytes_max: 6000, keys_max: 3, ..CONFIG };
            let replays = replays(config);
            let mut now_ms = 0;
            for (caller, key, bytes, later_ms) in steps {
                // Two callers of one tenant, and one of another.
                let caller = [1, 2, 100][usize::try_from(caller).expect("below three")];
                now_ms += later_ms;
                let key = caller * 1000 + key;
                let claimed = replays.claim(whose(caller), digest(key), digest(5), now_ms);
                if let Claimed::First(claim) = claimed && bytes % 7 != 0 {
                    claim.answered(text(bytes), now_ms);
                }
                let shelf = replays.shelf();
                let done = |entry: &&Entry| matches!(entry.state, State::Done { .. });
                let weights = shelf.entries.values().filter(done).map(|entry| match &entry.state {
                    State::Done { answer, .. } => ENTRY_BYTES + weight(answer),
                    State::UnderWay => 0,
                });
                prop_assert_eq!(weights.sum::<usize>(), shelf.bytes);
                prop_assert!(shelf.bytes <= config.bytes_max);
                prop_assert_eq!(shelf.by_age.len(), shelf.entries.len());
                prop_assert_eq!(shelf.by_caller.values().map(BTreeSet::len).sum::<usize>(), shelf.by_age.len());
                let held = shelf.tenants.values();
                prop_assert_eq!(held.clone().map(|held| held.bytes).sum::<usize>(), shelf.bytes);
                prop_assert_eq!(held.map(|held| held.by_age.len()).sum::<usize>(), shelf.by_age.len());
                let weights = shelf.tenants.iter().map(|(tenant, held)| (held.bytes, *tenant));
                prop_assert_eq!(weights.collect::<BTreeSet<_>>(), shelf.by_weight.clone());
                prop_assert!(shelf.by_caller.values().all(|ages| ages.len() <= config.keys_max));
            }
        }
    }
}
