//! `Idempotency-Key`: one answer for a request and all its retries.
//!
//! Promises: under one key of one virtual key a request is executed at most once at a time, and not again while its
//! answer is remembered; a request that failed, was cut or was left frees its key.

use http::HeaderMap;
use pointsman_domain::decision::{CacheUse, Outcome};
use pointsman_domain::{Digest, ErrorKind, GatewayError};

use super::{Exchange, Stop};
use crate::answers::{Claimed, Conflict, KeyWriter, Whose};
use crate::limits;

/// The header.
const NAME: &str = "Idempotency-Key";

impl Exchange {
    /// The answer that the request got before, where it is a retry.
    pub(super) fn replay(&mut self, headers: &HeaderMap) -> Result<Option<Outcome>, Stop> {
        let Some(key) = key(headers)? else {
            return Ok(None);
        };
        let principal = self.principal.as_ref().expect("`authenticate` ran before");
        let digest = |tag: &str, last: &[&[u8]]| -> Digest {
            let mut writer = KeyWriter::new(tag);
            writer.part(principal.tenant.as_bytes());
            writer.part(principal.key.as_bytes());
            for part in last {
                writer.part(part);
            }
            writer.end()
        };
        let whose = Whose {
            tenant: {
                let mut writer = KeyWriter::new("tenant");
                writer.part(principal.tenant.as_bytes());
                writer.end()
            },
            caller: digest("caller", &[]),
        };
        let request = digest(
            "request",
            &[self.endpoint.as_bytes(), &self.request_digest.0],
        );
        let key = digest("idempotency key", &[key.as_bytes()]);
        let replays = &self.worker.answers.replays;
        let now = self.worker.monotonic_ms();
        match replays.claim(whose, key, request, now) {
            Claimed::First(claim) => {
                let bytes_max = replays.entry_bytes_max();
                self.keeping.claim(claim, bytes_max);
                Ok(None)
            }
            Claimed::Again(kept) => self.tell(&kept, CacheUse::Replay).map(Some),
            Claimed::Refused(conflict) => Err(refusal(conflict).into()),
        }
    }
}

/// The key, where the caller sent one.
fn key(headers: &HeaderMap) -> Result<Option<&str>, GatewayError> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default();
    let is_key = (1..=limits::IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_key && values.next().is_none() {
        return Ok(Some(key));
    }
    let message = format!(
        "`{NAME}` must be sent once, with 1 to {} visible ASCII characters",
        limits::IDEMPOTENCY_KEY_BYTES_MAX
    );
    Err(GatewayError::new(ErrorKind::InvalidField, message).with_param(NAME))
}

fn refusal(conflict: Conflict) -> GatewayError {
    let message = match conflict {
        Conflict::OtherRequest => {
            "this `Idempotency-Key` was used for another request; send that request again, or another key"
        }
        Conflict::UnderWay => {
            "the first request with this `Idempotency-Key` is still in flight; try again when it has ended"
        }
        Conflict::TooLarge => {
            "this request was answered, but its answer was too large to keep (idempotency.entry-bytes-max); send another `Idempotency-Key` to have it made again"
        }
        Conflict::Dropped => {
            "this request was answered, but its answer had to make room for newer ones (idempotency.bytes-max); send another `Idempotency-Key` to have it made again"
        }
    };
    let mut error = GatewayError::new(ErrorKind::IdempotencyConflict, message);
    error.retry_after_s = (conflict == Conflict::UnderWay).then_some(1);
    error
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_is_one_visible_word() {
        let read = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_bytes(value).expect("a header value");
                headers.append(NAME, value);
            }
            key(&headers)
                .map(|key| key.map(str::to_owned))
                .map_err(|error| error.http_status())
        };
        let longest = "k".repeat(limits::IDEMPOTENCY_KEY_BYTES_MAX);
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"\"a-1\""]), Ok(Some("\"a-1\"".to_owned())));
        assert_eq!(read(&[longest.as_bytes()]), Ok(Some(longest.clone())));
        let longer = format!("{longest}k");
        let bad: [&[&[u8]]; 6] = [
            &[b""],
            &[b"a b"],
            &[b"\xc3\xa9"],
            &[b"a\tb"],
            &[longer.as_bytes()],
            &[b"a", b"a"],
        ];
        for values in bad {
            assert_eq!(read(values), Err(400), "{values:?}");
        }
    }
}
