//! Which request a thread is at: what its log lines say, whoever writes them.
//!
//! A `tracing` span would cost each request an allocation, a registry slot and formatted fields whether or not a line
//! is ever written; this costs a thread-local swap a poll.

use std::cell::{OnceCell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use crate::context::TraceContext;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Tag>>> = const { RefCell::new(None) };
}

/// What log lines say of the request that they concern.
#[derive(Debug)]
pub struct Tag {
    request: String,
    trace: TraceContext,
    tenant: OnceCell<String>,
    policy: OnceCell<(String, u64)>,
}

impl Tag {
    /// Of a request whose tenant is not known yet.
    #[must_use]
    pub fn new(request: String, trace: TraceContext) -> Rc<Self> {
        Rc::new(Self {
            request,
            trace,
            tenant: OnceCell::new(),
            policy: OnceCell::new(),
        })
    }

    /// Its place in its trace.
    #[must_use]
    pub fn trace(&self) -> &TraceContext {
        &self.trace
    }

    /// Whose it is; the first word counts.
    pub fn of_tenant(&self, tenant: &str) {
        self.tenant.get_or_init(|| tenant.to_owned());
    }

    /// Which version serves it; the first word counts.
    pub fn of_policy(&self, name: &str, version: u64) {
        self.policy.get_or_init(|| (name.to_owned(), version));
    }

    /// Names and values, in the order of a line.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let policy = self.policy.get();
        [
            Some(("request_id", self.request.clone())),
            self.tenant.get().map(|tenant| ("tenant", tenant.clone())),
            policy.map(|(name, version)| ("policy", format!("{name}@{version}"))),
            Some(("trace_id", self.trace.trace().to_string())),
        ]
        .into_iter()
        .flatten()
    }
}

/// The request that this thread is at.
pub(crate) fn current() -> Option<Rc<Tag>> {
    CURRENT.with(|current| current.borrow().clone())
}

/// Puts back what was there before, a panic or not.
struct Restore(Option<Rc<Tag>>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.with(|current| current.replace(self.0.take()));
    }
}

/// Runs `future`, whose log lines say what `tag` does.
pub async fn tagged<F: Future>(tag: Rc<Tag>, future: F) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(move |context| {
        let before = CURRENT.with(|current| current.replace(Some(Rc::clone(&tag))));
        let _restore = Restore(before);
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::context::Sampler;

    fn tag(request: &str) -> Rc<Tag> {
        let trace = TraceContext::begin(&HeaderMap::new(), Sampler::NONE);
        Tag::new(request.to_owned(), trace)
    }

    fn request() -> Option<String> {
        current().map(|tag| tag.request.clone())
    }

    #[test]
    fn a_thread_is_at_the_request_that_it_polls_and_at_none_between() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let seen = async |name: &str| {
            let mut seen = Vec::new();
            for _ in 0..3 {
                seen.push(request());
                tokio::task::yield_now().await;
            }
            seen.iter().all(|at| at.as_deref() == Some(name))
        };
        let all = runtime.block_on(async {
            tokio::join!(tagged(tag("a"), seen("a")), tagged(tag("b"), seen("b")))
        });
        assert_eq!(all, (true, true));
        assert_eq!(request(), None);
    }

    #[test]
    fn a_panic_leaves_no_request_behind() {
        let future = tagged(tag("a"), async { panic!("a bug") });
        let mut future = Box::pin(future);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            future.as_mut().poll(&mut context)
        }));
        assert!(polled.is_err());
        assert_eq!(request(), None);
    }
}
