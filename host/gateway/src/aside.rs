//! Work that takes long, away from the threads that serve: hashing and parsing a body of 32 MiB takes a tenth of a
//! second, and all that time nobody else's request would move.
//!
//! Promises: one piece of work of a tenant at a time, so that tenants take turns; the threads give way to those that
//! serve. Refuses to know: what the work is.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::limits;

/// One tenant's turn; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Turn(Arc<Semaphore>);

impl Default for Turn {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// The work panicked, or the process is at its end.
#[derive(Debug)]
pub(crate) struct Ended;

/// The threads.
#[derive(Debug)]
pub(crate) struct Aside {
    /// Nothing runs on it but blocking work; none once this is being dropped.
    runtime: Option<Runtime>,
}

impl Aside {
    /// Threads are started when there is work, up to so many.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(threads)
            .thread_name("aside")
            .on_thread_start(give_way)
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// Does it there, when it is the tenant's turn. Whoever stops waiting has its work done all the same, so that
    /// leaving early buys no second turn.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        turn: &Turn,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let runtime = self.runtime.as_ref().ok_or(Ended)?;
        let turn = Arc::clone(&turn.0).acquire_owned().await;
        let turn = turn.map_err(|_closed| Ended)?;
        let done = runtime.spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|_panicked| Ended)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropped by whoever holds it last, which may be a thread that must not wait.
            runtime.shutdown_background();
        }
    }
}

/// Threads that serve come first. On Linux a thread's niceness is its own.
fn give_way() {
    // Where it is refused, they share as equals.
    let _equal = rustix::process::setpriority_process(None, limits::ASIDE_NICE);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_tenant_has_one_turn_and_others_go_on_meanwhile() {
        let aside = Aside::new(2).expect("starts");
        let (greedy, other) = (Turn::default(), Turn::default());
        let (release, held) = std::sync::mpsc::channel::<()>();
        let done = Arc::new(Mutex::new(Vec::new()));
        let note = |name: &'static str| {
            let done = Arc::clone(&done);
            move || done.lock().expect("no panic").push(name)
        };
        let first = aside.run(&greedy, move || held.recv());
        let (second, third) = (
            aside.run(&greedy, note("greedy")),
            aside.run(&other, note("other")),
        );
        let others = async {
            third.await.expect("runs");
            assert_eq!(*done.lock().expect("no panic"), ["other"]);
            release.send(()).expect("it waits");
        };
        let (held, second, ()) = tokio::join!(first, second, others);
        held.expect("runs").expect("is released");
        second.expect("runs");
        assert_eq!(*done.lock().expect("no panic"), ["other", "greedy"]);
    }

    #[tokio::test]
    async fn who_leaves_keeps_its_turn_until_the_work_is_done() {
        let aside = Aside::new(2).expect("starts");
        let turn = Turn::default();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let left = tokio::time::timeout(
            Duration::from_millis(20),
            aside.run(&turn, move || held.recv()),
        );
        assert!(left.await.is_err());
        let again = aside.run(&turn, || 1);
        assert!(
            tokio::time::timeout(Duration::from_millis(20), again)
                .await
                .is_err()
        );
        release.send(()).expect("it waits");
        assert_eq!(aside.run(&turn, || 2).await.expect("runs"), 2);
    }

    #[tokio::test]
    async fn a_panic_ends_one_piece_of_work() {
        let aside = Aside::new(1).expect("starts");
        let turn = Turn::default();
        let ended = aside.run(&turn, || panic!("a bug")).await;
        assert!(ended.is_err());
        assert_eq!(aside.run(&turn, || 1).await.expect("runs"), 1);
    }
}
