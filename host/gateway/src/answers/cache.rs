//! The exact cache: answers by key, and equal requests under way by the same key, so that one call serves them all.
//!
//! Promises: a key has at most one leader; when a leader goes without an answer, whatever the reason, those who follow
//! it are woken, and the first of them to look again leads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use moka::Expiry;
use pointsman_domain::Digest;
use tokio::sync::watch;

use super::kept::Kept;

/// Locks over the requests under way; each is held for one look at a table.
const SHARDS: usize = 16;

type UnderWay = watch::Receiver<Option<Arc<Kept>>>;

/// Kept answers and requests under way, shared by all workers.
pub(crate) struct Cache {
    kept: moka::sync::Cache<Digest, Held>,
    under_way: [Mutex<HashMap<Digest, UnderWay>>; SHARDS],
}

#[derive(Clone)]
struct Held {
    answer: Arc<Kept>,
    ttl: Duration,
}

/// Each entry lives as long as the policy that made it says.
struct OwnTtl;

impl Expiry<Digest, Held> for OwnTtl {
    fn expire_after_create(&self, _: &Digest, held: &Held, _: Instant) -> Option<Duration> {
        Some(held.ttl)
    }

    fn expire_after_update(
        &self,
        _: &Digest,
        held: &Held,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(held.ttl)
    }
}

/// What there is for a key.
pub(crate) enum Found {
    /// An answer.
    Hit(Arc<Kept>),
    /// Nothing: the caller makes the answer, and equal requests wait for it.
    Lead(Lead),
    /// An equal request under way.
    Follow(Follow),
}

impl Cache {
    /// `bytes_max` bounds all kept answers together; with 0 none is kept, and equal requests still share a call.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let weight =
            |_: &Digest, held: &Held| u32::try_from(held.answer.weight()).unwrap_or(u32::MAX);
        Self {
            kept: moka::sync::Cache::builder()
                .max_capacity(bytes_max)
                .weigher(weight)
                .expire_after(OwnTtl)
                .build(),
            under_way: std::array::from_fn(|_| Mutex::default()),
        }
    }

    pub(crate) fn find(self: &Arc<Self>, key: Digest) -> Found {
        if let Some(held) = self.kept.get(&key) {
            return Found::Hit(held.answer);
        }
        let mut shard = self.shard(&key);
        if let Some(under_way) = shard.get(&key) {
            return Found::Follow(Follow(under_way.clone()));
        }
        // A leader that ended between the two looks had put its answer there before it left the table.
        if let Some(held) = self.kept.get(&key) {
            return Found::Hit(held.answer);
        }
        let (told, under_way) = watch::channel(None);
        shard.insert(key, under_way);
        Found::Lead(Lead {
            cache: Arc::clone(self),
            key,
            told,
        })
    }

    /// Keeps an answer that nobody waits for, in place of an earlier one.
    pub(crate) fn put(&self, key: Digest, answer: Arc<Kept>, ttl: Duration) {
        self.kept.insert(key, Held { answer, ttl });
        // Evicts now what is over the bound, instead of some inserts later.
        self.kept.run_pending_tasks();
    }

    fn shard(&self, key: &Digest) -> MutexGuard<'_, HashMap<Digest, UnderWay>> {
        let shard = &self.under_way[usize::from(key.0[0]) % SHARDS];
        // No panic can leave the table half changed.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one request that makes the answer for a key. Dropped without one, it wakes those who follow.
pub(crate) struct Lead {
    cache: Arc<Cache>,
    key: Digest,
    told: watch::Sender<Option<Arc<Kept>>>,
}

impl Lead {
    /// Keeps the answer and hands it to all who follow.
    pub(crate) fn answered(self, answer: Arc<Kept>, ttl: Duration) {
        self.cache.put(self.key, Arc::clone(&answer), ttl);
        self.told.send_replace(Some(answer));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // Out of the table first: the sender drops after this, and whoever it wakes must find the place free.
        self.cache.shard(&self.key).remove(&self.key);
    }
}

/// A request that waits for an equal one.
pub(crate) struct Follow(UnderWay);

impl Follow {
    /// The leader's answer; none where it went without one.
    pub(crate) async fn ended(mut self) -> Option<Arc<Kept>> {
        let told = self.0.wait_for(Option::is_some).await.ok()?;
        told.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::kept::kept;
    use super::*;

    const KEY: Digest = Digest([7; 32]);
    const LONG: Duration = Duration::from_secs(600);

    fn lead(cache: &Arc<Cache>, key: Digest) -> Lead {
        match cache.find(key) {
            Found::Lead(lead) => lead,
            Found::Hit(_) | Found::Follow(_) => panic!("somebody was there before"),
        }
    }

    fn hit(cache: &Arc<Cache>, key: Digest) -> Option<Arc<Kept>> {
        match cache.find(key) {
            Found::Hit(kept) => Some(kept),
            Found::Lead(_) | Found::Follow(_) => None,
        }
    }

    fn wait<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(future)
    }

    #[test]
    fn an_answer_serves_those_who_wait_and_those_who_come_later() {
        let cache = Arc::new(Cache::new(1 << 20));
        let leads = lead(&cache, KEY);
        let Found::Follow(follow) = cache.find(KEY) else {
            panic!("the leader is not followed");
        };
        let other = std::thread::spawn(move || wait(follow.ended()));
        leads.answered(Arc::new(kept("a")), LONG);
        let told = other.join().expect("no panic").expect("an answer");
        assert_eq!(*told, kept("a"));
        assert_eq!(hit(&cache, KEY), Some(told));
        assert_eq!(hit(&cache, Digest([8; 32])), None);
    }

    #[test]
    fn one_of_many_threads_leads_and_when_it_fails_one_takes_over() {
        let cache = Arc::new(Cache::new(1 << 20));
        let (calls, failures) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let together = Barrier::new(8);
        let serve = || {
            together.wait();
            loop {
                match cache.find(KEY) {
                    Found::Hit(kept) => return kept,
                    Found::Follow(follow) => {
                        if let Some(kept) = wait(follow.ended()) {
                            return kept;
                        }
                    }
                    Found::Lead(lead) => {
                        calls.fetch_add(1, Ordering::Relaxed);
                        std::thread::yield_now();
                        if failures.fetch_add(1, Ordering::Relaxed) < 3 {
                            drop(lead);
                            continue;
                        }
                        let answer = Arc::new(kept("a"));
                        lead.answered(Arc::clone(&answer), LONG);
                        return answer;
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(serve)).collect();
            for thread in threads {
                assert_eq!(*thread.join().expect("no panic"), kept("a"));
            }
        });
        assert_eq!(
            calls.load(Ordering::Relaxed),
            4,
            "three failed, one answered"
        );
    }

    #[test]
    fn a_leader_whose_thread_dies_wakes_its_followers() {
        let cache = Arc::new(Cache::new(1 << 20));
        let leads = lead(&cache, KEY);
        let Found::Follow(follow) = cache.find(KEY) else {
            panic!("the leader is not followed");
        };
        let died = std::thread::spawn(move || {
            let _held = leads;
            panic!("a bug");
        });
        assert_eq!(wait(follow.ended()), None);
        assert!(died.join().is_err());
        lead(&cache, KEY).answered(Arc::new(kept("b")), LONG);
        assert!(hit(&cache, KEY).is_some());
    }

    #[test]
    fn all_answers_together_stay_below_the_bound() {
        let cache = Arc::new(Cache::new(10_000));
        let text = "x".repeat(1000);
        for number in 0..100 {
            lead(&cache, Digest([number; 32])).answered(Arc::new(kept(&text)), LONG);
            assert!(cache.kept.weighted_size() <= 10_000);
        }
        assert!(cache.kept.entry_count() > 0, "nothing is kept at all");
        let huge = "x".repeat(20_000);
        lead(&cache, Digest([200; 32])).answered(Arc::new(kept(&huge)), LONG);
        assert_eq!(hit(&cache, Digest([200; 32])), None);
    }

    #[test]
    fn without_room_none_is_kept_and_calls_are_still_shared() {
        let cache = Arc::new(Cache::new(0));
        let leads = lead(&cache, KEY);
        let Found::Follow(follow) = cache.find(KEY) else {
            panic!("the leader is not followed");
        };
        leads.answered(Arc::new(kept("a")), LONG);
        assert!(wait(follow.ended()).is_some());
        assert_eq!(hit(&cache, KEY), None);
    }

    #[test]
    fn an_answer_is_told_for_its_time_alone() {
        let cache = Arc::new(Cache::new(1 << 20));
        cache.put(KEY, Arc::new(kept("a")), LONG);
        cache.put(KEY, Arc::new(kept("b")), Duration::from_millis(5));
        let give_up = Instant::now() + Duration::from_secs(20);
        while hit(&cache, KEY).is_some() {
            assert!(Instant::now() < give_up, "the answer never expires");
            std::thread::yield_now();
        }
        cache.put(KEY, Arc::new(kept("c")), LONG);
        assert_eq!(hit(&cache, KEY).as_deref(), Some(&kept("c")));
    }
}
