//! A small thread pool for work measured in microseconds.
//!
//! Promises: the caller works too, and chunks are claimed one at a time, so a worker that lost its core to a
//! neighbour delays the caller by at most the one chunk it holds (static shares made a prototype 30 times
//! slower in that case). Waiting is a bounded spin, then a park: an idle engine uses no CPU.
//! A panic in a chunk reaches the caller after all other chunks are done; the pool stays usable.

#![expect(
    unsafe_code,
    reason = "work borrows from the caller's stack and must cross to long-lived threads"
)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

/// Spins before parking: about 30 us on current x86, longer than the gap between two matrix products.
const SPINS_MAX: u32 = 2_000;

/// Threads that stand ready to share the caller's work.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Counts jobs; a change is what workers wait for.
    epoch: AtomicU64,
    job: Mutex<Option<Arc<Job>>>,
    stop: AtomicBool,
}

struct Job {
    next: AtomicUsize,
    done: AtomicUsize,
    chunks: usize,
    work: Work,
    caller: Thread,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// The caller's closure with its lifetime erased.
struct Work(*const (dyn Fn(usize) + Sync));

// SAFETY: the closure is `Sync`, and `Job::share` dereferences it only for a claimed chunk below `chunks`, while
// `Pool::run` does not return before every such chunk is done: the closure is alive at every use.
unsafe impl Send for Work {}
// SAFETY: as above.
unsafe impl Sync for Work {}

impl std::fmt::Debug for Job {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Job")
            .field("chunks", &self.chunks)
            .finish_non_exhaustive()
    }
}

impl Job {
    /// Claims and works chunks until none is left unclaimed.
    fn share(&self) {
        loop {
            let chunk = self.next.fetch_add(1, Ordering::Relaxed);
            if chunk >= self.chunks {
                return;
            }
            // SAFETY: this chunk is claimed and not yet counted as done, so `Pool::run` is still waiting and the
            // closure it borrows is alive.
            let work = unsafe { &*self.work.0 };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(chunk))) {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            // Release: what the chunk wrote is visible to the caller that acquires the full count.
            if self.done.fetch_add(1, Ordering::Release) + 1 == self.chunks {
                self.caller.unpark();
            }
        }
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) == self.chunks
    }
}

impl Pool {
    /// A pool of `threads` threads, the caller's included; at least one.
    ///
    /// Where the system refuses a thread the pool is smaller, which costs speed only.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            epoch: AtomicU64::new(0),
            job: Mutex::new(None),
            stop: AtomicBool::new(false),
        });
        let workers = (1..threads)
            .filter_map(|number| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("kernel-{number}"))
                    .spawn(move || shared.serve())
                    .ok()
            })
            .collect();
        Self { shared, workers }
    }

    /// Threads that share work, the caller's included.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work` once for each chunk number below `chunks`, on all threads, and returns when all are done.
    ///
    /// # Panics
    /// With the panic of a chunk, if one panicked.
    pub fn run(&self, chunks: usize, work: &(dyn Fn(usize) + Sync)) {
        if self.workers.is_empty() || chunks <= 1 {
            (0..chunks).for_each(work);
            return;
        }
        // SAFETY: only the lifetime changes; see `Work` for why it is not outlived.
        let work = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync), *const (dyn Fn(usize) + Sync)>(
                work,
            )
        };
        let job = Arc::new(Job {
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            chunks,
            work: Work(work),
            caller: std::thread::current(),
            panic: Mutex::new(None),
        });
        self.shared.publish(Some(Arc::clone(&job)));
        for worker in self.workers.iter().take(chunks - 1) {
            worker.thread().unpark();
        }
        job.share();
        wait_until(|| job.is_done());
        let panic = job
            .panic
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.publish(None);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches the panics of its work, so there is nothing to learn from the result.
            let _ended = worker.join();
        }
    }
}

impl Shared {
    fn publish(&self, job: Option<Arc<Job>>) {
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = job;
        self.epoch.fetch_add(1, Ordering::Release);
    }

    fn serve(&self) {
        let mut seen = 0;
        loop {
            wait_until(|| self.epoch.load(Ordering::Acquire) != seen);
            seen = self.epoch.load(Ordering::Acquire);
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            let job = self
                .job
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            if let Some(job) = job {
                job.share();
            }
        }
    }
}

/// Bounded spin, then park. Whoever makes `ready` true unparks this thread afterwards, so no wake-up is lost.
fn wait_until(ready: impl Fn() -> bool) {
    for _ in 0..SPINS_MAX {
        if ready() {
            return;
        }
        std::hint::spin_loop();
    }
    while !ready() {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_each_chunk_once(threads: usize, chunks: usize) {
        let pool = Pool::new(threads);
        for _ in 0..200 {
            let counts: Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
            pool.run(chunks, &|chunk| {
                counts[chunk].fetch_add(1, Ordering::Relaxed);
            });
            assert!(
                counts
                    .iter()
                    .all(|count| count.load(Ordering::Relaxed) == 1),
                "{threads} threads, {chunks} chunks"
            );
        }
    }

    #[test]
    fn every_chunk_runs_exactly_once() {
        for threads in [1, 2, 5] {
            for chunks in [0, 1, 2, 3, 17, 100] {
                check_each_chunk_once(threads, chunks);
            }
        }
    }

    #[test]
    fn parked_workers_wake_up() {
        let pool = Pool::new(3);
        for _ in 0..5 {
            // Longer than the spin, so that the workers are parked.
            std::thread::sleep(std::time::Duration::from_millis(3));
            let sum = AtomicUsize::new(0);
            pool.run(64, &|chunk| {
                sum.fetch_add(chunk, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 64 * 63 / 2);
        }
    }

    #[test]
    fn a_panicking_chunk_reaches_the_caller_and_the_pool_survives() {
        let pool = Pool::new(2);
        let done = AtomicUsize::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.run(10, &|chunk| {
                assert_ne!(chunk, 3, "a poisoned chunk");
                done.fetch_add(1, Ordering::Relaxed);
            });
        }));
        assert!(caught.is_err());
        assert_eq!(done.into_inner(), 9);
        check_each_chunk_once(2, 10);
    }
}
