//! One pointer to what serves, and the care for what served before.
//!
//! Promises: a reader has one whole value for as long as it holds it; what is replaced is freed by the publisher's side
//! alone, never by a reader that happens to be the last; what outlives its bound is named, so that its readers can be
//! cut. Refuses to know what is published.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

/// A pointer that is read by many and replaced by one.
pub(crate) trait Pointer {
    type Shared: Clone;
    /// Replaces what is published; when it returns, nobody is between reading the pointer and holding the old value.
    fn swap(&self, next: Self::Shared) -> Self::Shared;
    /// What is published.
    fn load(&self) -> Self::Shared;
    /// Whether nobody else holds it.
    fn only_ours(shared: &Self::Shared) -> bool;
}

impl<T> Pointer for ArcSwap<T> {
    type Shared = Arc<T>;

    fn swap(&self, next: Arc<T>) -> Arc<T> {
        Self::swap(self, next)
    }

    fn load(&self) -> Arc<T> {
        self.load_full()
    }

    fn only_ours(shared: &Arc<T>) -> bool {
        Arc::strong_count(shared) == 1
    }
}

/// What serves, and what still serves someone.
pub(crate) struct Published<P: Pointer> {
    pointer: P,
    /// Oldest first.
    retired: Mutex<Vec<P::Shared>>,
}

impl<P: Pointer> Published<P> {
    pub(crate) fn new(pointer: P) -> Self {
        Self {
            pointer,
            retired: Mutex::default(),
        }
    }

    /// What serves now.
    pub(crate) fn load(&self) -> P::Shared {
        self.pointer.load()
    }

    /// Publishes. The value before is held here until its last reader has left.
    pub(crate) fn publish(&self, next: P::Shared) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.push(self.pointer.swap(next));
    }

    /// Frees what no reader holds, here and now; gives back what is still held, oldest first.
    pub(crate) fn sweep(&self) -> Vec<P::Shared> {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let (free, held) = std::mem::take(&mut *retired)
            .into_iter()
            .partition::<Vec<_>, _>(P::only_ours);
        retired.clone_from(&held);
        drop(retired);
        drop(free);
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What loom can follow: the same promises by a lock.
    struct Locked(loom::sync::Mutex<loom::sync::Arc<Value>>);

    struct Value {
        number: usize,
        freed_by: loom::sync::Arc<loom::sync::Mutex<Vec<(usize, bool)>>>,
    }

    loom::thread_local! {
        static IS_PUBLISHER: std::cell::Cell<bool> = std::cell::Cell::new(false);
    }

    impl Drop for Value {
        fn drop(&mut self) {
            let by_publisher = IS_PUBLISHER.with(std::cell::Cell::get);
            let mut freed = self.freed_by.lock().expect("no panic");
            freed.push((self.number, by_publisher));
        }
    }

    impl Pointer for Locked {
        type Shared = loom::sync::Arc<Value>;

        fn swap(&self, next: Self::Shared) -> Self::Shared {
            std::mem::replace(&mut *self.0.lock().expect("no panic"), next)
        }

        fn load(&self) -> Self::Shared {
            loom::sync::Arc::clone(&*self.0.lock().expect("no panic"))
        }

        fn only_ours(shared: &Self::Shared) -> bool {
            loom::sync::Arc::strong_count(shared) == 1
        }
    }

    /// Every interleaving of two readers and a publisher that replaces twice.
    #[test]
    fn readers_never_free_and_never_lose_what_they_hold() {
        loom::model(|| {
            let freed = loom::sync::Arc::new(loom::sync::Mutex::new(Vec::new()));
            let value = |number| {
                let freed_by = loom::sync::Arc::clone(&freed);
                loom::sync::Arc::new(Value { number, freed_by })
            };
            let published = Published::new(Locked(loom::sync::Mutex::new(value(0))));
            let published = loom::sync::Arc::new(published);
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let published = loom::sync::Arc::clone(&published);
                    let freed = loom::sync::Arc::clone(&freed);
                    loom::thread::spawn(move || {
                        let held = published.load();
                        let number = held.number;
                        loom::thread::yield_now();
                        let gone = freed.lock().expect("no panic");
                        assert!(gone.iter().all(|(freed, _)| *freed != number));
                    })
                })
                .collect();
            IS_PUBLISHER.with(|is| is.set(true));
            published.publish(value(1));
            let _still_held = published.sweep().len();
            published.publish(value(2));
            for reader in readers {
                reader.join().expect("no panic");
            }
            assert!(published.sweep().is_empty(), "all readers have left");
            let freed = freed.lock().expect("no panic");
            let mut numbers: Vec<usize> = freed.iter().map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, [0, 1]);
            assert!(
                freed.iter().all(|(_, by_publisher)| *by_publisher),
                "freed on the request path"
            );
        });
    }

    #[test]
    fn what_is_held_is_told_and_what_is_not_is_freed() {
        let published = Published::new(ArcSwap::from_pointee(0));
        let held = published.load();
        published.publish(Arc::new(1));
        published.publish(Arc::new(2));
        assert_eq!(published.sweep(), [Arc::new(0)]);
        drop(held);
        assert!(published.sweep().is_empty());
        assert_eq!(*published.load(), 2);
    }
}
