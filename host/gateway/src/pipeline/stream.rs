//! A streamed answer on its way to the client: what starts it, what ends it, and what breaks it.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use pointsman_domain::{ErrorKind, GatewayError};
use pointsman_traffic::attempts::{Failure, Try};
use pointsman_upstream::Answer;
use pointsman_wire::release::Release;
use pointsman_wire::sse;

use super::execute::{Failed, from_upstream, or_gone};
use super::guards::Guards;
use super::metering::Progress;
use super::{Exchange, Stop};
use crate::limits;

/// Bytes that wait for the first content.
#[derive(Default)]
struct Early {
    chunks: Vec<Bytes>,
    bytes: usize,
}

impl Early {
    fn take(&mut self, release: &mut Release) {
        while let Some(chunk) = release.output() {
            self.bytes += chunk.len();
            self.chunks.push(chunk);
        }
    }
}

/// When a stream is given up, on the exchange's clock.
struct Patience<'a> {
    attempt: &'a Try,
    first_token_by: u64,
    last_byte_at: u64,
}

impl Patience<'_> {
    fn ends_at(&self, saw_content: bool) -> u64 {
        let quiet_until = self.last_byte_at + self.attempt.idle_timeout_ms;
        let until = quiet_until.min(self.attempt.deadline_at_ms);
        if saw_content {
            until
        } else {
            until.min(self.first_token_by)
        }
    }

    /// Which bound is met, where one is; asked whether bytes came or not, so that no provider outruns it.
    fn overdue(&self, saw_content: bool, now: u64) -> Option<Failed> {
        if now < self.ends_at(saw_content) {
            return None;
        }
        let detail = if now >= self.attempt.deadline_at_ms {
            "the answer was not over at the deadline".to_owned()
        } else if now >= self.last_byte_at + self.attempt.idle_timeout_ms {
            format!("no bytes within {} ms", self.attempt.idle_timeout_ms)
        } else {
            format!(
                "no content within {} ms",
                self.attempt.first_token_timeout_ms
            )
        };
        Some(Failed::new(Failure::Timeout, "timeout", detail))
    }
}

/// Reads the events of one chunk through the guards; what breaks, where something does.
async fn read(
    decoder: &mut sse::Decoder,
    chunk: &[u8],
    release: &mut Release,
    guards: &mut Guards,
    progress: &mut Progress,
    now: u64,
) -> Option<Failed> {
    decoder.push(chunk);
    loop {
        match decoder.next_event() {
            Ok(Some(event)) => {
                release.event(event, now);
                progress.note(release.summary());
                guards.drive(release).await;
            }
            Ok(None) => return None,
            Err(error) => {
                let detail = error.to_string();
                return Some(Failed::new(Failure::Protocol, "stream-error", detail));
            }
        }
    }
}

impl Exchange {
    /// A streamed answer. `Ok(None)`: released to its end; `Ok(Some)`: failed before anything was released.
    pub(super) async fn stream(
        &mut self,
        attempt: &Try,
        answer: &mut Answer,
        release: &mut Release,
        guards: &mut Guards,
        began_us: u64,
    ) -> Result<Option<Failed>, Stop> {
        let mut decoder = sse::Decoder::new(limits::EVENT_BYTES_MAX);
        let choices = self.decided().chat.n() as usize;
        let mut early = Early::default();
        let mut patience = Patience {
            attempt,
            // Counted from the try's beginning, the connection and the headers included.
            first_token_by: began_us / 1000 + attempt.first_token_timeout_ms,
            last_byte_at: self.now_ms(),
        };
        loop {
            let now = self.now_ms();
            let wake_at = release
                .expires_at_ms()
                .unwrap_or(u64::MAX)
                .min(patience.ends_at(release.summary().saw_content));
            let pause = Duration::from_millis(wake_at.saturating_sub(now));
            let arrived = or_gone(
                &mut self.reply,
                pin!(tokio::time::timeout(pause, answer.chunk())),
            )
            .await?;
            let now = self.now_ms();
            let mut ended = false;
            let mut broken = None;
            match arrived {
                Err(_) => {}
                Ok(Ok(Some(chunk))) => {
                    patience.last_byte_at = now;
                    let progress = &mut self.progress;
                    broken = read(&mut decoder, &chunk, release, guards, progress, now).await;
                    ended = release.summary().done;
                }
                Ok(Ok(None)) => {
                    ended = true;
                    if !release.summary().done && release.summary().finish_reasons.is_empty() {
                        broken = Some(Failed::new(
                            Failure::Protocol,
                            "stream-error",
                            "the stream ended without a finish",
                        ));
                    }
                }
                Ok(Err(error)) => broken = Some(from_upstream(&error)),
            }
            if let Some(error) = release.summary().provider_error.clone() {
                broken = Some(Failed::new(
                    Failure::InStream,
                    "stream-error",
                    format!("error inside the stream: {error}"),
                ));
            }
            if broken.is_none() && !ended {
                broken = patience.overdue(release.summary().saw_content, now);
            }
            if broken.is_none() && ended {
                release.end(now);
            } else if release.expires_at_ms().is_some_and(|at| at <= now) {
                release.expire(now);
            }
            guards.drive(release).await;
            early.take(release);
            if early.bytes > limits::EARLY_BYTES_MAX && release.summary().released_text_bytes == 0 {
                let detail = format!("{} bytes came without content", early.bytes);
                broken = Some(Failed::new(Failure::Protocol, "stream-error", detail));
            }
            if let Some(cut) = release.summary().cut.clone() {
                if release.cut_choices() >= choices {
                    // Nothing more can be released: the provider is cancelled instead of listened to.
                    release.cut(None, cut.reason);
                    early.take(release);
                }
                ended |= release.summary().done;
            }
            if let Some(failed) = broken {
                if self.reply.started() {
                    return Err(self
                        .broke_off(attempt, failed, release, guards, early, now)
                        .await);
                }
                return Ok(Some(failed));
            }
            self.note_first_token(release, began_us);
            let may_start = release.summary().released_text_bytes > 0 || ended;
            if may_start && !self.reply.started() {
                let headers = self.headers("text/event-stream", Some(&attempt.target));
                self.reply.start(StatusCode::OK, headers)?;
            }
            self.forward(release, &mut early, ended).await?;
            if ended {
                return Ok(None);
            }
        }
    }

    /// What breaks after content was released is said, with what the guards still release.
    async fn broke_off(
        &mut self,
        attempt: &Try,
        failed: Failed,
        release: &mut Release,
        guards: &mut Guards,
        mut early: Early,
        now: u64,
    ) -> Stop {
        release.abort(now);
        guards.drive(release).await;
        if let Err(gone) = self.forward(release, &mut early, true).await {
            return gone;
        }
        let kind = if failed.outcome == "timeout" {
            ErrorKind::UpstreamTimeout
        } else {
            ErrorKind::UpstreamFailed
        };
        let message = format!(
            "{} failed after the answer had begun: {}",
            attempt.target, failed.detail
        );
        let record = self.attempts.last_mut().expect("an attempt is under way");
        failed.outcome.clone_into(&mut record.outcome);
        record.detail = failed.detail;
        GatewayError::new(kind, message).into()
    }

    /// Moves released bytes to the client: held back until there is content, and at the end until the record stands.
    async fn forward(
        &mut self,
        release: &mut Release,
        early: &mut Early,
        last: bool,
    ) -> Result<(), Stop> {
        early.take(release);
        if !self.reply.started() {
            return Ok(());
        }
        early.bytes = 0;
        for bytes in early.chunks.drain(..) {
            self.released(&bytes);
            if last {
                self.tail.push_back(bytes);
            } else {
                self.reply.send(bytes).await?;
            }
        }
        Ok(())
    }

    fn note_first_token(&mut self, release: &Release, began_us: u64) {
        if self.ttft_us.is_none() && release.summary().released_text_bytes > 0 {
            let now = self.elapsed_us();
            self.ttft_us = Some(now);
            let record = self.attempts.last_mut().expect("an attempt is under way");
            record.ttft_us = Some(now - began_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_never_pause_outrun_no_bound() {
        let attempt = Try {
            index: 0,
            target: "t".to_owned(),
            model: None,
            connect_timeout_ms: 10,
            first_token_timeout_ms: 100,
            idle_timeout_ms: 50,
            deadline_at_ms: 1000,
        };
        let told = |last_byte_at, saw_content, now| {
            let patience = Patience {
                attempt: &attempt,
                first_token_by: 100,
                last_byte_at,
            };
            patience
                .overdue(saw_content, now)
                .map(|failed| failed.detail)
        };
        assert_eq!(told(99, false, 99), None);
        let no_content = told(100, false, 100).expect("overdue");
        assert!(
            no_content.contains("no content within 100 ms"),
            "{no_content}"
        );
        assert_eq!(told(900, true, 949), None);
        let idle = told(900, true, 950).expect("overdue");
        assert!(idle.contains("no bytes within 50 ms"), "{idle}");
        let deadline = told(1000, true, 1000).expect("overdue");
        assert!(deadline.contains("deadline"), "{deadline}");
    }
}
