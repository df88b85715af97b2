//! Cache: the answer to an equal request, kept or under way, instead of another call; and what becomes of an answer
//! that may be told again.
//!
//! Promises: an answer is told again only to a request that is equal in everything that decided it; a follower waits
//! for a part of its own deadline, then makes its own call; only whole answers that went out under a written record are kept.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use pointsman_domain::decision::{CacheUse, Outcome};
use pointsman_domain::{Digest, Value};
use pointsman_policy::policy::CacheMode;

use super::deliberation::Deliberation;
use super::execute::or_gone;
use super::{Exchange, Stop};
use crate::answers::{Claim, Found, Kept, KeyWriter, Lead, Tape, tight};
use crate::limits;

/// A header by which callers tell their requests apart: no two are equal by it, so it takes no part in the key, and
/// steps after this phase do not see it.
const REQUEST_ID_HEADER: &str = "x-request-id";

/// What becomes of the answer under way.
#[derive(Default)]
pub(super) struct Keeping {
    /// There where somebody may want it.
    tape: Option<Tape>,
    cache: Option<ForCache>,
    claim: Option<Claim>,
    /// Every choice was finished by the provider.
    pub(super) is_complete: bool,
    /// Milliseconds of its deadline that the request spent waiting for equal ones.
    pub(super) waited_ms: u64,
}

struct ForCache {
    key: Digest,
    /// None where nobody may follow: the caller wanted a new answer, or followed in vain.
    lead: Option<Lead>,
    ttl: Duration,
    bytes_max: usize,
}

impl Keeping {
    /// Collects what is released.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let Some(tape) = &mut self.tape else { return };
        tape.push(bytes);
        // What will not be kept is not waited for.
        self.cache.take_if(|cache| tape.bytes() > cache.bytes_max);
    }

    /// The answer is to be remembered under an idempotency key.
    pub(super) fn claim(&mut self, claim: Claim, bytes_max: usize) {
        self.claim = Some(claim);
        self.collect(bytes_max);
    }

    fn collect(&mut self, bytes_max: usize) {
        self.tape
            .get_or_insert_with(|| Tape::new(0))
            .allow(bytes_max);
    }
}

impl Deliberation {
    /// From here on steps see of the request what the cache tells answers apart by, and no more.
    pub(super) fn narrow(&mut self) {
        if self.policy.cache.mode == CacheMode::Exact {
            let view = Arc::make_mut(&mut self.view);
            view.headers.retain(|(name, _)| name != REQUEST_ID_HEADER);
        }
    }

    /// Everything that decides an answer from here on, but for time and chance.
    fn answer_key(&self) -> Digest {
        let mut key = KeyWriter::new("pointsman answer 1");
        for field in ["tenant", "key", "endpoint", "conversation"] {
            let value = self.view.field(field).and_then(Value::as_text);
            key.part(value.unwrap_or_default().as_bytes());
        }
        key.part(&self.policy.digest.0);
        key.count(usize::from(self.variant.is_some()));
        key.part(self.variant.as_deref().unwrap_or_default().as_bytes());
        let labels = serde_json::to_vec(&self.view.labels).expect("labels are plain data");
        key.part(&labels);
        let mut headers: Vec<_> = self.view.headers.iter().collect();
        headers.sort_by(|(one, _), (other, _)| one.cmp(other));
        key.count(headers.len());
        for (name, value) in headers {
            key.part(name.as_bytes());
            key.part(value.as_bytes());
        }
        key.part(self.chat.model().as_bytes());
        key.count(usize::from(self.chat.streaming()));
        key.count(usize::from(self.chat.include_usage()));
        key.part(&tight(self.chat.body()));
        key.end()
    }
}

impl Exchange {
    /// The answer to an equal request, where there is one; else this request may make it for others.
    pub(super) async fn cache(&mut self, headers: &HeaderMap) -> Result<Option<Outcome>, Stop> {
        let policy = self.policy();
        if policy.cache.mode == CacheMode::Off {
            return Ok(None);
        }
        self.decided().narrow();
        let wish = Wish::of(headers);
        if wish == Wish::NoStore {
            self.cache_use = Some(CacheUse::Bypass);
            return Ok(None);
        }
        let key = self.decided().answer_key();
        if wish == Wish::NoCache {
            self.cache_use = Some(CacheUse::Bypass);
            self.keep_as(key, None);
            return Ok(None);
        }
        self.cache_use = Some(CacheUse::Miss);
        let began_ms = self.now_ms();
        let cache = Arc::clone(&self.worker.answers.cache);
        let wait_ms = policy.execute.deadline_ms / limits::FOLLOW_DEADLINE_PART;
        let mut followed = 0;
        loop {
            match cache.find(key) {
                Found::Hit(kept) => return self.tell(&kept, CacheUse::Hit).map(Some),
                Found::Lead(lead) => {
                    self.keep_as(key, Some(lead));
                    return Ok(None);
                }
                Found::Follow(_) if followed == limits::LEADERS_MAX => break,
                Found::Follow(follow) => {
                    followed += 1;
                    // Who waits for another's answer runs nothing.
                    self.give_up_instances();
                    let left = wait_ms.saturating_sub(self.now_ms());
                    let wait = tokio::time::timeout(Duration::from_millis(left), follow.ended());
                    let waited = or_gone(&mut self.reply, pin!(wait)).await?;
                    self.keeping.waited_ms = self.now_ms() - began_ms;
                    match waited {
                        Ok(Some(kept)) => return self.tell(&kept, CacheUse::Coalesced).map(Some),
                        Ok(None) => self.claim_instances()?,
                        Err(_too_slow) => {
                            self.claim_instances()?;
                            break;
                        }
                    }
                }
            }
        }
        // Every leader that it followed failed, or took too long: on alone, and who comes later may still use the answer.
        self.keep_as(key, None);
        Ok(None)
    }

    fn keep_as(&mut self, key: Digest, lead: Option<Lead>) {
        let cache = self.policy().cache;
        self.keeping.cache = Some(ForCache {
            key,
            lead,
            ttl: Duration::from_secs(u64::from(cache.ttl_s)),
            bytes_max: cache.entry_bytes_max,
        });
        self.keeping.collect(cache.entry_bytes_max);
    }

    /// Tells a kept answer as it was told first. It costs nothing, and is a decision like any other.
    pub(super) fn tell(&mut self, kept: &Kept, how: CacheUse) -> Result<Outcome, Stop> {
        self.open_record()?;
        self.cache_use = Some(how);
        self.answered_by = Some(kept.target.clone());
        let headers = self.headers(kept.content_type, Some(&kept.target));
        if self.streaming {
            self.reply.start(StatusCode::OK, headers)?;
        } else {
            self.answer_head = Some(headers);
        }
        for chunk in kept.chunks() {
            self.released(&chunk);
            self.tail.push_back(chunk);
        }
        Ok(Outcome::Ok)
    }

    /// Keeps the answer where it is whole and recorded, and lets go of those who wait for it in any case.
    pub(super) fn keep(&mut self, outcome: Outcome, is_recorded: bool) {
        let Keeping {
            tape,
            cache,
            claim,
            is_complete,
            ..
        } = std::mem::take(&mut self.keeping);
        let (Outcome::Ok, true, None, Some(tape)) = (outcome, is_recorded, &self.cut, tape) else {
            return;
        };
        let content_type = if self.streaming {
            "text/event-stream"
        } else {
            "application/json"
        };
        let target = self.answered_by.clone().unwrap_or_default();
        let kept = tape.end(content_type, target).map(Arc::new);
        if let Some(cache) = cache
            && let Some(kept) = &kept
            && is_complete
        {
            match cache.lead {
                Some(lead) => lead.answered(Arc::clone(kept), cache.ttl),
                None => {
                    let store = &self.worker.answers.cache;
                    store.put(cache.key, Arc::clone(kept), cache.ttl);
                }
            }
        }
        if let Some(claim) = claim {
            claim.answered(kept, self.worker.monotonic_ms());
        }
    }
}

/// What the caller's `Cache-Control` asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Nothing.
    Any,
    /// A new answer, which may be kept.
    NoCache,
    /// An answer that is neither told nor kept.
    NoStore,
}

impl Wish {
    fn of(headers: &HeaderMap) -> Self {
        let mut wish = Self::Any;
        let values = headers.get_all(header::CACHE_CONTROL).iter();
        let words = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim);
        for word in words {
            if word.eq_ignore_ascii_case("no-store") {
                return Self::NoStore;
            }
            if word.eq_ignore_ascii_case("no-cache") {
                wish = Self::NoCache;
            }
        }
        wish
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_wish_counts() {
        let wish = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = value.parse().expect("a header value");
                headers.append(header::CACHE_CONTROL, value);
            }
            Wish::of(&headers)
        };
        assert_eq!(wish(&[]), Wish::Any);
        assert_eq!(wish(&["max-age=5", "public"]), Wish::Any);
        assert_eq!(wish(&["max-age=0, No-Cache"]), Wish::NoCache);
        assert_eq!(wish(&["no-store,no-cache"]), Wish::NoStore);
        assert_eq!(wish(&["no-cache", "NO-STORE"]), Wish::NoStore);
    }
}
