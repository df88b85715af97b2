//! Work that takes long, away from the threads that serve: hashing and parsing a body of 32 MiB takes a tenth of a
//! second, a plugin that loops has 50 ms, and all that time nobody else's request would move.
//!
//! Promises: a tenant never has more than half of the threads; they give way to those that serve. Refuses to know:
//! what the work is.

use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::limits;

/// One tenant's turns; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    /// Half of the threads: what one tenant does there leaves the other half to others.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new((threads / 2).max(1))))
    }
}

/// The threads.
#[derive(Debug)]
pub(crate) struct Aside {
    /// None once this is being dropped.
    runtime: Option<Runtime>,
}

/// A tenant's way there.
#[derive(Clone, Debug)]
pub(crate) struct Hand {
    aside: Arc<Aside>,
    turns: Turns,
}

impl Aside {
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(threads)
            .thread_name("aside")
            .on_thread_start(give_way)
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// A tenant's way there.
    pub(crate) fn hand(self: &Arc<Self>, turns: &Turns) -> Hand {
        Hand {
            aside: Arc::clone(self),
            turns: turns.clone(),
        }
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

impl Hand {
    /// Does it there, when it is the tenant's turn. Whoever stops waiting has its work done all the same, so that
    /// leaving early buys no second turn. A panic goes on here.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let turn = self.turn().await;
        let done = self.runtime().spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.unwrap_or_else(|error| go_on(error))
    }

    /// Runs a call that is pending only where it yields: here while it is short, as nearly all are, and there, when it
    /// is the tenant's turn, from when it has yielded a few times. Whoever stops waiting ends it. A panic goes on here.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let mut call = Box::pin(call);
        let mut yields = 0;
        let short = std::future::poll_fn(|context| match call.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if yields == limits::YIELDS_HERE_MAX => Poll::Ready(None),
            Poll::Pending => {
                yields += 1;
                Poll::Pending
            }
        });
        if let Some(done) = short.await {
            return done;
        }
        let turn = self.turn().await;
        let done = self.runtime().spawn(async move {
            let done = call.await;
            drop(turn);
            done
        });
        let done = AbortOnDropHandle::new(done).await;
        done.unwrap_or_else(|error| go_on(error))
    }

    async fn turn(&self) -> OwnedSemaphorePermit {
        let turn = Arc::clone(&self.turns.0).acquire_owned().await;
        turn.expect("nobody closes it")
    }

    fn runtime(&self) -> &Runtime {
        let runtime = self.aside.runtime.as_ref();
        runtime.expect("it is there until the last hand is gone")
    }
}

/// Runs a call that is pending only where it yields: aside where it takes long and there is a way.
pub(crate) async fn run<T: Send + 'static>(
    hand: Option<&Hand>,
    call: impl Future<Output = T> + Send + 'static,
) -> T {
    match hand {
        Some(hand) => hand.call(call).await,
        None => call.await,
    }
}

/// A panic there is one of the request that waits for it.
fn go_on<T>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_ended) => std::panic::resume_unwind(Box::new("the process is ending")),
    }
}

/// Threads that serve come first. On Linux a thread's niceness is its own.
fn give_way() {
    // Where it is refused, they share as equals.
    let _equal = rustix::process::setpriority_process(None, limits::ASIDE_NICE);
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::sync::Mutex;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tokio::task::yield_now;

    use super::*;

    /// Two tenants with a turn each.
    fn hands() -> (Hand, Hand) {
        let aside = Arc::new(Aside::new(2).expect("starts"));
        let turns = || Turns(Arc::new(Semaphore::new(1)));
        (aside.hand(&turns()), aside.hand(&turns()))
    }

    #[tokio::test]
    async fn a_tenant_has_its_turns_and_others_go_on_meanwhile() {
        let (greedy, other) = hands();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let done = Arc::new(Mutex::new(Vec::new()));
        let note = |name: &'static str| {
            let done = Arc::clone(&done);
            move || done.lock().expect("no panic").push(name)
        };
        let first = greedy.run(move || held.recv());
        let (second, third) = (greedy.run(note("greedy")), other.run(note("other")));
        let others = async {
            third.await;
            assert_eq!(*done.lock().expect("no panic"), ["other"]);
            release.send(()).expect("it waits");
        };
        let (held, (), ()) = tokio::join!(first, second, others);
        held.expect("is released");
        assert_eq!(*done.lock().expect("no panic"), ["other", "greedy"]);
    }

    #[tokio::test]
    async fn who_leaves_keeps_its_turn_until_the_work_is_done() {
        let (hand, _other) = hands();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let soon = Duration::from_millis(20);
        let left = tokio::time::timeout(soon, hand.run(move || held.recv()));
        assert!(left.await.is_err());
        let again = tokio::time::timeout(soon, hand.run(|| 1));
        assert!(again.await.is_err());
        release.send(()).expect("it waits");
        assert_eq!(hand.run(|| 2).await, 2);
    }

    #[tokio::test]
    async fn a_short_call_stays_and_a_long_one_moves() {
        let (hand, _other) = hands();
        let here = std::thread::current().id();
        let place = |yields: u32| async move {
            for _ in 0..yields {
                yield_now().await;
            }
            std::thread::current().id()
        };
        assert_eq!(hand.call(place(0)).await, here);
        assert_eq!(hand.call(place(limits::YIELDS_HERE_MAX)).await, here);
        assert_ne!(hand.call(place(limits::YIELDS_HERE_MAX + 1)).await, here);
    }

    #[tokio::test]
    async fn who_leaves_a_long_call_ends_it() {
        let (hand, _other) = hands();
        let endless = async {
            loop {
                yield_now().await;
            }
        };
        let left = tokio::time::timeout(Duration::from_millis(20), hand.call(endless));
        assert!(left.await.is_err());
        assert_eq!(hand.run(|| 1).await, 1, "its turn is free again");
    }

    #[tokio::test]
    async fn a_panic_goes_on_where_it_is_waited_for() {
        let (hand, _other) = hands();
        let work = AssertUnwindSafe(hand.run(|| panic!("a bug")));
        assert!(work.catch_unwind().await.is_err());
        let call = AssertUnwindSafe(hand.call(async {
            for _ in 0..10 {
                yield_now().await;
            }
            panic!("a bug")
        }));
        let ended: Result<(), _> = call.catch_unwind().await;
        assert!(ended.is_err());
        assert_eq!(hand.run(|| 1).await, 1);
    }
}
