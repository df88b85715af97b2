//! Connections that wait for their next request, by key; the newest serves first, so that the surplus ages out.
//! Knows nothing of HTTP: what it keeps is a trait.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// What can wait in a pool.
pub(crate) trait Reusable {
    /// Whether it can serve no more.
    fn is_closed(&self) -> bool;
    /// When it was made.
    fn born(&self) -> Instant;
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    pub(crate) idle_per_key_max: usize,
    pub(crate) idle_max: usize,
    /// How long one may wait.
    pub(crate) idle_for: Duration,
    /// How old one may become; a new connection resolves its name anew.
    pub(crate) age: Duration,
}

struct Idle<C> {
    connection: C,
    until: Instant,
}

pub(crate) struct Pool<K, C> {
    limits: PoolLimits,
    /// Oldest first.
    idle: RefCell<HashMap<K, VecDeque<Idle<C>>>>,
    count: Cell<usize>,
    sweeping: Cell<bool>,
}

impl<K: Eq + Hash + 'static, C: Reusable + 'static> Pool<K, C> {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            idle: RefCell::default(),
            count: Cell::new(0),
            sweeping: Cell::new(false),
        }
    }

    /// The newest usable connection; unusable ones that lie above it are dropped.
    pub(crate) fn take(&self, key: &K, now: Instant) -> Option<C> {
        let mut idle = self.idle.borrow_mut();
        let waiting = idle.get_mut(key)?;
        while let Some(Idle { connection, until }) = waiting.pop_back() {
            self.count.set(self.count.get() - 1);
            if now < until && !connection.is_closed() {
                return Some(connection);
            }
        }
        idle.remove(key);
        None
    }

    /// Keeps a connection, within the limits: the key's oldest gives way, another key's does not.
    pub(crate) fn put(&self, key: K, connection: C, now: Instant) {
        let until = (now + self.limits.idle_for).min(connection.born() + self.limits.age);
        if connection.is_closed() || now >= until || self.limits.idle_per_key_max == 0 {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let waiting = idle.entry(key).or_default();
        if waiting.len() >= self.limits.idle_per_key_max {
            waiting.pop_front();
            self.count.set(self.count.get() - 1);
        }
        if self.count.get() < self.limits.idle_max {
            waiting.push_back(Idle { connection, until });
            self.count.set(self.count.get() + 1);
        }
    }

    /// Drops what is closed or has waited too long; whether anything still waits.
    pub(crate) fn sweep(&self, now: Instant) -> bool {
        let mut left = 0;
        self.idle.borrow_mut().retain(|_key, waiting| {
            waiting.retain(|idle| now < idle.until && !idle.connection.is_closed());
            left += waiting.len();
            !waiting.is_empty()
        });
        self.count.set(left);
        left > 0
    }

    /// As [`Self::put`], and sees to it that the pool is swept for as long as anything waits. Inside a `LocalSet`.
    pub(crate) fn keep(self: &Rc<Self>, key: K, connection: C) {
        self.put(key, connection, Instant::now());
        if self.count.get() == 0 || self.sweeping.replace(true) {
            return;
        }
        // A weak reference: the pool ends with its owner, and the sweeper with the pool.
        let pool = Rc::downgrade(self);
        let pause = (self.limits.idle_for / 2).max(Duration::from_millis(10));
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(pool) = pool.upgrade() else { return };
                if !pool.sweep(Instant::now()) {
                    pool.sweeping.set(false);
                    return;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug)]
    struct Fake {
        id: usize,
        born: Instant,
        closed: Rc<Cell<bool>>,
    }

    impl Reusable for Fake {
        fn is_closed(&self) -> bool {
            self.closed.get()
        }

        fn born(&self) -> Instant {
            self.born
        }
    }

    const LIMITS: PoolLimits = PoolLimits {
        idle_per_key_max: 2,
        idle_max: 3,
        idle_for: Duration::from_secs(10),
        age: Duration::from_secs(25),
    };

    fn fake(id: usize, born: Instant) -> Fake {
        Fake {
            id,
            born,
            closed: Rc::default(),
        }
    }

    fn taken(pool: &Pool<&'static str, Fake>, key: &'static str, now: Instant) -> Option<usize> {
        pool.take(&key, now).map(|fake| fake.id)
    }

    #[test]
    fn newest_serves_first_and_the_oldest_gives_way() {
        let (pool, now) = (Pool::new(LIMITS), Instant::now());
        for id in 0..3 {
            pool.put("a", fake(id, now), now);
        }
        assert_eq!(taken(&pool, "b", now), None);
        assert_eq!(taken(&pool, "a", now), Some(2));
        assert_eq!(taken(&pool, "a", now), Some(1));
        assert_eq!(taken(&pool, "a", now), None);
    }

    #[test]
    fn idle_and_old_and_closed_connections_do_not_serve() {
        let (pool, now) = (Pool::new(LIMITS), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        pool.put("a", fake(0, now), now);
        assert_eq!(taken(&pool, "a", after(10)), None);
        pool.put("a", fake(1, now), after(20));
        assert_eq!(taken(&pool, "a", after(25)), None);
        let closing = fake(2, now);
        let closed = Rc::clone(&closing.closed);
        pool.put("a", closing, now);
        closed.set(true);
        assert_eq!(taken(&pool, "a", now), None);
    }

    #[test]
    fn sweep_drops_what_nobody_asks_for() {
        let (pool, now) = (Pool::new(LIMITS), Instant::now());
        let waiting = fake(0, now);
        let alive = Rc::downgrade(&waiting.closed);
        pool.put("a", waiting, now);
        assert!(pool.sweep(now));
        assert!(!pool.sweep(now + LIMITS.idle_for));
        assert_eq!(alive.strong_count(), 0);
    }

    proptest! {
        /// Bounds hold, and no connection serves twice, whatever comes and goes.
        #[test]
        fn bounds_hold(ops in prop::collection::vec((0u8..4, 0usize..4, 0u64..6), 0..200)) {
            let pool = Pool::new(LIMITS);
            let mut now = Instant::now();
            let mut served = std::collections::HashSet::new();
            for (id, (op, key, seconds)) in ops.into_iter().enumerate() {
                match op {
                    0 | 1 => pool.put(key, fake(id, now), now),
                    2 => if let Some(fake) = pool.take(&key, now) {
                        prop_assert!(served.insert(fake.id));
                        prop_assert!(now < fake.born + LIMITS.idle_for);
                    },
                    _ => {
                        now += Duration::from_secs(seconds);
                        pool.sweep(now);
                    }
                }
                let lengths: Vec<usize> = pool.idle.borrow().values().map(VecDeque::len).collect();
                prop_assert!(lengths.iter().all(|&length| length <= LIMITS.idle_per_key_max));
                prop_assert_eq!(lengths.iter().sum::<usize>(), pool.count.get());
                prop_assert!(pool.count.get() <= LIMITS.idle_max);
            }
        }
    }
}
