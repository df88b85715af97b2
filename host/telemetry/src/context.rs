//! Where a request is in a trace: the ids that a caller's `traceparent` gives or that are made here, and whether the
//! trace is kept. Ids are made from a thread's own generator: they are to be unique, not secret.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use http::HeaderMap;

/// The header of W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";
/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// Which traces are kept.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    /// Of the ids' lower 63 bits, those below it.
    below: u64,
    keeps: bool,
}

impl Sampler {
    /// No trace is kept: there is nowhere to send them.
    pub const NONE: Self = Self {
        below: 0,
        keeps: false,
    };

    /// Every trace that a caller keeps, and this share, from 0 to 1, of those that begin here.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of an id space needs no 53rd bit, and casts saturate"
    )]
    pub fn share(ratio: f64) -> Self {
        Self {
            below: (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64,
            keeps: true,
        }
    }
}

/// One request's place in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    /// Of the request's own span.
    span: u64,
    /// The caller's span, where a `traceparent` came.
    parent: Option<u64>,
    sampled: bool,
    /// Whether the caller keeps the trace.
    parent_sampled: bool,
}

/// A span's id as `traceparent` writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanHex(pub u64);

/// A trace's id as `traceparent` writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHex(pub u128);

impl fmt::Display for SpanHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for TraceHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl TraceContext {
    /// That of a request: beneath the caller's span where a `traceparent` came, else the beginning of a trace.
    #[must_use]
    pub fn begin(headers: &HeaderMap, sampler: Sampler) -> Self {
        let mut told = headers.get_all(TRACEPARENT).iter();
        let parent = match (told.next(), told.next()) {
            (Some(one), None) => read(one.as_bytes()),
            // Two of them are nobody's word.
            _ => None,
        };
        let span = id();
        match parent {
            Some((trace, parent, sampled)) => Self {
                trace,
                span,
                parent: Some(parent),
                sampled: sampled && sampler.keeps,
                parent_sampled: sampled,
            },
            None => {
                let low = id();
                Self {
                    trace: u128::from(id()) << 64 | u128::from(low),
                    span,
                    parent: None,
                    sampled: sampler.keeps && low & (u64::MAX >> 1) < sampler.below,
                    parent_sampled: false,
                }
            }
        }
    }

    /// Whether its spans are wanted.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// Of the trace.
    #[must_use]
    pub fn trace(&self) -> TraceHex {
        TraceHex(self.trace)
    }

    /// Of the request's span.
    #[must_use]
    pub fn span(&self) -> SpanHex {
        SpanHex(self.span)
    }

    /// Of the caller's span.
    #[must_use]
    pub fn parent(&self) -> Option<SpanHex> {
        self.parent.map(SpanHex)
    }

    /// Of the span of an attempt.
    #[must_use]
    pub fn attempt(&self, index: u32) -> SpanHex {
        SpanHex(self.child(Child::Attempt, u64::from(index)))
    }

    /// Of a span beneath the request's, the same each time it is asked for.
    pub(crate) fn child(&self, kind: Child, index: u64) -> u64 {
        // Never 0, which is no id.
        mixed(self.span ^ (kind as u64) << 56 ^ (index + 1).wrapping_mul(STEP)).max(1)
    }

    /// What a target is told: the attempt's span where the trace is ours too, else the caller's own word.
    #[must_use]
    pub fn traceparent(&self, attempt: u32) -> Option<String> {
        let (span, flags) = match (self.sampled, self.parent) {
            (true, _) => (self.attempt(attempt), 1),
            (false, Some(parent)) => (SpanHex(parent), u8::from(self.parent_sampled)),
            (false, None) => return None,
        };
        Some(format!("00-{}-{span}-{flags:02x}", self.trace()))
    }
}

/// What a span beneath a request's is of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Child {
    Phase = 1,
    Step = 2,
    Attempt = 3,
}

/// `00-<trace>-<span>-<flags>`; later versions may say more after it.
fn read(text: &[u8]) -> Option<(u128, u64, bool)> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let mut parts = text.split('-');
    let version = hexadecimal(parts.next()?, 2)?;
    let trace = hexadecimal(parts.next()?, 32)?;
    let span = hexadecimal(parts.next()?, 16)?;
    let flags = hexadecimal(parts.next()?, 2)?;
    if version == 0xff || (version == 0 && text.len() != LENGTH) || trace == 0 || span == 0 {
        return None;
    }
    Some((trace, u64::try_from(span).ok()?, flags & 1 == 1))
}

/// Exactly so many digits, none of them a capital.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != digits || !text.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

/// The golden ratio's odd fraction: steps of it reach every number once.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of splitmix64.
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// An id that is not 0.
fn id() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
    }
    STATE.with(|state| {
        let next = state.get().wrapping_add(STEP);
        state.set(next);
        mixed(next).max(1)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const WORD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn begin(words: &[&str], sampler: Sampler) -> TraceContext {
        let mut headers = HeaderMap::new();
        for word in words {
            let value = HeaderValue::from_str(word).expect("a header value");
            headers.append(TRACEPARENT, value);
        }
        TraceContext::begin(&headers, sampler)
    }

    #[test]
    fn a_callers_word_is_the_parent_and_its_flag_decides() {
        let context = begin(&[WORD], Sampler::share(0.0));
        assert!(context.is_sampled());
        assert_eq!(
            context.trace().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(
            context.parent().map(|id| id.to_string()).as_deref(),
            Some("00f067aa0ba902b7")
        );
        let unsampled = WORD.replace("-01", "-00");
        assert!(!begin(&[&unsampled], Sampler::share(1.0)).is_sampled());
        assert!(!begin(&[WORD], Sampler::NONE).is_sampled());
    }

    #[test]
    fn what_is_no_word_begins_a_trace() {
        for word in [
            "",
            "garbage",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(begin(&[word], Sampler::share(1.0)).parent(), None, "{word}");
        }
        assert_eq!(begin(&[WORD, WORD], Sampler::share(1.0)).parent(), None);
        let later = format!("cc{}-more", &WORD[2..]);
        assert!(begin(&[&later], Sampler::share(1.0)).parent().is_some());
    }

    #[test]
    fn shares_are_kept() {
        let kept = |ratio| {
            let sampler = Sampler::share(ratio);
            (0..10_000)
                .filter(|_| begin(&[], sampler).is_sampled())
                .count()
        };
        assert_eq!((kept(0.0), kept(1.0)), (0, 10_000));
        let tenth = kept(0.1);
        assert!((800..1200).contains(&tenth), "{tenth} of 10000");
    }

    #[test]
    fn ids_are_unique_across_threads_and_kinds() {
        let made: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..10_000).map(|_| id()).collect::<Vec<_>>()))
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("no panic"))
                .collect()
        });
        assert_eq!(made.iter().collect::<HashSet<_>>().len(), made.len());
        let context = begin(&[], Sampler::share(1.0));
        let kinds = [Child::Phase, Child::Step, Child::Attempt];
        let children: HashSet<u64> = kinds
            .iter()
            .flat_map(|kind| (0..1000).map(|index| context.child(*kind, index)))
            .collect();
        assert_eq!(children.len(), 3000);
        assert_eq!(context.attempt(3), context.attempt(3));
    }

    #[test]
    fn targets_are_told_of_the_attempt_or_of_the_caller() {
        let context = begin(&[WORD], Sampler::share(1.0));
        let told = context.traceparent(1).expect("a word");
        let expected = format!(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01",
            context.attempt(1)
        );
        assert_eq!(told, expected);
        let passed = begin(&[WORD], Sampler::NONE).traceparent(1);
        assert_eq!(passed.as_deref(), Some(WORD));
        assert_eq!(begin(&[], Sampler::NONE).traceparent(0), None);
    }

    proptest! {
        #[test]
        fn no_header_breaks_it(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(TRACEPARENT, value);
            }
            let context = TraceContext::begin(&headers, Sampler::share(1.0));
            prop_assert_eq!(context.trace().to_string().len(), 32);
        }

        #[test]
        fn what_is_written_is_read(trace in 1_u128.., span in 1_u64.., flag: bool) {
            let word = format!("00-{}-{}-{:02x}", TraceHex(trace), SpanHex(span), u8::from(flag));
            prop_assert_eq!(read(word.as_bytes()), Some((trace, span, flag)));
        }
    }
}
