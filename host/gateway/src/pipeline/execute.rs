//! Execute: attempts along the plan, and the answer through the response guards to the client.

use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::BytesMut;
use pointsman_domain::decision::{AttemptRecord, Outcome};
use pointsman_domain::{ErrorKind, GatewayError};
use pointsman_traffic::attempts::{Attempts, Failure, Next, Try};
use pointsman_upstream::{Answer, Outgoing, UpstreamError, UpstreamErrorKind};
use pointsman_wire::openai::{self, TargetBody};
use pointsman_wire::release::Release;

use super::guards::Guards;
use super::metering::{Length, Progress};
use super::timeline::Phase;
use super::{Exchange, Stop};
use crate::limits;
use crate::reply::Reply;
use crate::snapshot::TargetLive;

/// How one attempt ended.
enum Tried {
    /// Its answer went to the client.
    Answered,
    /// It failed before anything was released: the next may try.
    Failed(Failed),
}

pub(super) struct Failed {
    failure: Failure,
    pub(super) outcome: &'static str,
    pub(super) detail: String,
    status: Option<u16>,
    retry_after_ms: Option<u64>,
}

impl Failed {
    pub(super) fn new(failure: Failure, outcome: &'static str, detail: impl Into<String>) -> Self {
        Self {
            failure,
            outcome,
            detail: detail.into(),
            status: None,
            retry_after_ms: None,
        }
    }
}

/// Waits for `future` unless the client goes away first, which cancels it.
pub(super) async fn or_gone<T>(
    reply: &mut Reply,
    future: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Stop> {
    tokio::select! {
        biased;
        () = reply.gone() => Err(Stop::Gone),
        output = future => Ok(output),
    }
}

impl Exchange {
    /// Tries the plan's attempts in order until one answers.
    pub(super) async fn execute(&mut self) -> Result<Outcome, Stop> {
        let policy = self.policy();
        let plan = self.decided().plan.clone().expect("`route` ran before");
        let mut settings = policy.execute.clone();
        settings.deadline_ms = settings.deadline_ms.saturating_sub(self.keeping.waited_ms);
        let mut attempts = Attempts::new(&plan, settings, self.now_ms());
        let mut retry_after_ms: Option<u64> = None;
        // Who left while it was decided costs no attempt.
        or_gone(&mut self.reply, pin!(std::future::ready(()))).await?;
        loop {
            let now = self.now_ms();
            match attempts.next(now) {
                Next::Wait { until_ms } => {
                    let pause =
                        tokio::time::sleep(Duration::from_millis(until_ms.saturating_sub(now)));
                    or_gone(&mut self.reply, pin!(pause)).await?;
                }
                Next::Try(attempt) => match self.attempt(&attempt).await? {
                    Tried::Answered => return Ok(Outcome::Ok),
                    Tried::Failed(failed) => {
                        let soonest = retry_after_ms.into_iter().chain(failed.retry_after_ms);
                        retry_after_ms = soonest.min();
                        attempts.failed(failed.failure, failed.retry_after_ms, self.now_ms());
                    }
                },
                Next::GiveUp(_) => return Err(self.gave_up(retry_after_ms).into()),
            }
        }
    }

    /// One try at one target, recorded whatever comes of it.
    async fn attempt(&mut self, attempt: &Try) -> Result<Tried, Stop> {
        let policy = self.policy();
        let target = policy
            .target(&attempt.target)
            .expect("plans name candidates only");
        let model = attempt.model.as_deref().unwrap_or(&target.model);
        let began_us = self.elapsed_us();
        self.attempts.push(AttemptRecord {
            index: u32::try_from(self.attempts.len()).unwrap_or(u32::MAX),
            target: target.name.clone(),
            model: model.to_owned(),
            ..AttemptRecord::default()
        });
        self.progress = Progress::default();
        self.observed.attempt(began_us, target);
        let flight = target.health.begin(self.worker.monotonic_ms());
        let result = self.try_target(attempt, target, model, began_us).await;
        let total_us = self.elapsed_us() - began_us;
        let record = self.attempts.last_mut().expect("pushed above");
        record.total_us = total_us;
        let now = self.worker.monotonic_ms();
        match &result {
            Ok(Tried::Answered) => {
                "ok".clone_into(&mut record.outcome);
                flight.succeeded(record.ttft_us.map(|us| us / 1000), now);
            }
            Ok(Tried::Failed(failed)) => {
                failed.outcome.clone_into(&mut record.outcome);
                record.detail.clone_from(&failed.detail);
                record.status = failed.status.or(record.status);
                flight.failed(now);
            }
            Err(Stop::Gone) => {
                "cancelled".clone_into(&mut record.outcome);
                flight.cancelled();
            }
            Err(Stop::Error(error)) => {
                if record.outcome.is_empty() {
                    "error".clone_into(&mut record.outcome);
                }
                if record.detail.is_empty() {
                    record.detail.clone_from(&error.message);
                }
                // A provider that says the request is wrong is a healthy provider.
                if error.kind == ErrorKind::UpstreamRejected {
                    flight.succeeded(None, now);
                } else {
                    flight.failed(now);
                }
            }
        }
        self.worker.metrics.attempt(&record.target, &record.outcome);
        let index = record.index;
        if matches!(result, Err(Stop::Gone)) {
            // The provider may have worked before it was cancelled: settled by estimate, never as nothing.
            self.meter(index, &target.name, "cancelled", Length::AsCame);
        }
        result
    }

    async fn try_target(
        &mut self,
        attempt: &Try,
        target: &TargetLive,
        model: &str,
        began_us: u64,
    ) -> Result<Tried, Stop> {
        let body = self.decided().chat.for_target(&TargetBody {
            model,
            include_usage: target.stream_usage,
        });
        let tenant = self
            .principal
            .as_ref()
            .expect("`authenticate` ran before")
            .tenant
            .clone();
        let worker = std::rc::Rc::clone(&self.worker);
        let outgoing = Outgoing {
            endpoint: &target.endpoint,
            path: "/chat/completions",
            headers: self.outgoing_headers(),
            body,
            credential: target.credential.as_deref(),
            tenant: &tenant,
            connect_timeout_ms: attempt.connect_timeout_ms,
            headers_timeout_ms: self.headers_timeout_ms(attempt),
        };
        let answer = match or_gone(&mut self.reply, pin!(worker.upstream.send(outgoing))).await? {
            Ok(answer) => answer,
            Err(error) => {
                if error.was_sent() {
                    self.meter(attempt.index, &target.name, "error", Length::Unknown);
                }
                return Ok(Tried::Failed(from_upstream(&error)));
            }
        };
        let headers_us = self.elapsed_us() - began_us;
        let record = self.attempts.last_mut().expect("an attempt is under way");
        record.headers_us = Some(headers_us);
        record.status = Some(answer.status.as_u16());
        if !answer.status.is_success() {
            return self.refused(target, answer).await;
        }
        self.answer(attempt, target, answer, began_us).await
    }

    /// A stream's headers come with its beginning, those of a whole answer when it is made: until then it is idle.
    fn headers_timeout_ms(&self, attempt: &Try) -> u64 {
        if self.streaming {
            attempt.first_token_timeout_ms
        } else {
            attempt.first_token_timeout_ms.max(attempt.idle_timeout_ms)
        }
    }

    /// A status that is no success: worth another target, or the caller's to know.
    async fn refused(&mut self, target: &TargetLive, mut answer: Answer) -> Result<Tried, Stop> {
        let status = answer.status.as_u16();
        let mut body = BytesMut::new();
        let read = async {
            while body.len() < limits::ERROR_BYTES_MAX
                && let Ok(Some(chunk)) = answer.chunk().await
            {
                body.extend_from_slice(&chunk);
            }
        };
        let within = Duration::from_millis(limits::ERROR_BODY_MS_MAX);
        // What has come by then has to do.
        let _in_time = or_gone(&mut self.reply, pin!(tokio::time::timeout(within, read))).await?;
        body.truncate(limits::ERROR_BYTES_MAX);
        let told = openai::error::parse_provider_error(status, &body);
        let mut failed = Failed::new(
            Failure::Status(status),
            "status",
            format!("status {status}"),
        );
        failed.status = Some(status);
        failed.retry_after_ms = answer
            .headers
            .get(http::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
            .map(|seconds| seconds.saturating_mul(1000));
        if let Some(code) = &told.code {
            failed.detail = format!("status {status}, code {code}");
        }
        // The caller's own mistake stays a mistake at every target; credentials and paths are the operator's.
        if matches!(status, 400 | 413 | 415 | 422) {
            let message = told
                .message
                .as_deref()
                .unwrap_or("the provider gave no message");
            let mut error = GatewayError::new(
                ErrorKind::UpstreamRejected,
                format!("{} refused the request: {message}", target.name),
            );
            error.status = Some(status);
            error.param = told.param;
            let record = self.attempts.last_mut().expect("an attempt is under way");
            "status".clone_into(&mut record.outcome);
            record.detail = failed.detail;
            return Err(error.into());
        }
        Ok(Tried::Failed(failed))
    }

    /// The answer's bytes through the guards to the client.
    async fn answer(
        &mut self,
        attempt: &Try,
        target: &TargetLive,
        mut answer: Answer,
        began_us: u64,
    ) -> Result<Tried, Stop> {
        if self.streaming && !answer.is_event_stream() {
            self.meter(attempt.index, &target.name, "error", Length::Unknown);
            let detail = "the answer to a stream request is no event stream";
            return Ok(Tried::Failed(Failed::new(
                Failure::Protocol,
                "stream-error",
                detail,
            )));
        }
        let decided = self.decided();
        let steps_before = decided.later_steps.len();
        let shape = decided.shape();
        let status = answer.status.as_u16();
        self.timeline.inside(Phase::GuardResponse);
        let (mut guards, mut release) = self
            .decided()
            .begin_answer(attempt.index, &target.name, status, shape)
            .await;
        let flow = if self.streaming {
            self.stream(attempt, &mut answer, &mut release, &mut guards, began_us)
                .await
        } else {
            self.whole(attempt, &mut answer, &mut release, &mut guards)
                .await
        };
        // After its end a stream has little left to say; one that a guard cut is cancelled.
        if matches!(flow, Ok(None)) && release.summary().cut.is_none() {
            answer.finish();
        } else {
            drop(answer);
        }
        self.timeline.inside(Phase::GuardResponse);
        let committed = self.reply.started() || matches!(flow, Ok(None));
        let summary = release.summary();
        self.observed.answered(summary);
        if committed {
            let cut = summary.cut.as_ref();
            self.cut = cut.map(|cut| guards.recordable(&cut.reason));
            self.answered_by = Some(target.name.clone());
            let choices = self.decided().chat.n() as usize;
            self.keeping.is_complete = summary.finish_reasons.len() >= choices;
        }
        self.progress.note(summary);
        let (outcome, length) = match &flow {
            Ok(None) => ("ok", Length::AsCame),
            Err(Stop::Gone) => ("cancelled", Length::AsCame),
            Ok(Some(_)) | Err(Stop::Error(_)) => {
                ("error", Length::of_broken(summary, self.decided().chat.n()))
            }
        };
        self.meter(attempt.index, &target.name, outcome, length);
        let steps = &mut self.decided().later_steps;
        steps.extend(guards.records());
        if !committed {
            // Its guards read another answer than the one that went out.
            for step in &mut steps[steps_before..] {
                let before = std::mem::take(&mut step.detail);
                step.detail = format!("attempt {} at {}: {before}", attempt.index + 1, target.name);
                step.detail
                    .truncate(step.detail.trim_end_matches([':', ' ']).len());
            }
        }
        Ok(flow?.map_or(Tried::Answered, Tried::Failed))
    }

    /// A whole answer takes the same way through the guards.
    async fn whole(
        &mut self,
        attempt: &Try,
        answer: &mut Answer,
        release: &mut Release,
        guards: &mut Guards,
    ) -> Result<Option<Failed>, Stop> {
        let mut body = BytesMut::new();
        loop {
            let now = self.now_ms();
            let pause = attempt
                .idle_timeout_ms
                .min(attempt.deadline_at_ms.saturating_sub(now));
            let wait = tokio::time::timeout(Duration::from_millis(pause), answer.chunk());
            match or_gone(&mut self.reply, pin!(wait)).await? {
                Err(_) => {
                    return Ok(Some(Failed::new(
                        Failure::Timeout,
                        "timeout",
                        format!("no bytes within {pause} ms"),
                    )));
                }
                Ok(Err(error)) => return Ok(Some(from_upstream(&error))),
                Ok(Ok(None)) => break,
                Ok(Ok(Some(chunk))) if body.len() + chunk.len() > limits::ANSWER_BYTES_MAX => {
                    let detail = format!(
                        "the answer is larger than {} bytes",
                        limits::ANSWER_BYTES_MAX
                    );
                    let _too_large = chunk;
                    return Ok(Some(Failed::new(Failure::Protocol, "stream-error", detail)));
                }
                Ok(Ok(Some(chunk))) => {
                    self.progress.arrived(chunk.len());
                    body.extend_from_slice(&chunk);
                }
            }
        }
        let now = self.now_ms();
        release.body(body.freeze(), now);
        self.progress.note(release.summary());
        guards.drive(release).await;
        if let Some(error) = release.summary().provider_error.clone() {
            return Ok(Some(Failed::new(
                Failure::InStream,
                "stream-error",
                format!("error inside a 200: {error}"),
            )));
        }
        release.end(now);
        guards.drive(release).await;
        let mut whole = BytesMut::new();
        while let Some(bytes) = release.output() {
            whole.extend_from_slice(&bytes);
        }
        self.released(&whole);
        self.answer_head = Some(self.headers("application/json", Some(&attempt.target)));
        self.tail.push_back(whole.freeze());
        Ok(None)
    }

    /// Every attempt failed: says which and why.
    fn gave_up(&self, retry_after_ms: Option<u64>) -> GatewayError {
        let told = |attempt: &AttemptRecord| {
            format!("{}: {} {}", attempt.target, attempt.outcome, attempt.detail)
        };
        let all = self
            .attempts
            .iter()
            .map(told)
            .collect::<Vec<_>>()
            .join("; ");
        let all = if all.is_empty() {
            "none could be started before the deadline".to_owned()
        } else {
            all
        };
        let only_timeouts = !self.attempts.is_empty()
            && self
                .attempts
                .iter()
                .all(|attempt| attempt.outcome == "timeout");
        let only_limited = !self.attempts.is_empty()
            && self
                .attempts
                .iter()
                .all(|attempt| attempt.status == Some(429));
        let kind = if only_timeouts {
            ErrorKind::UpstreamTimeout
        } else {
            ErrorKind::UpstreamFailed
        };
        let mut error = GatewayError::new(kind, format!("every target failed: {all}"));
        if only_limited {
            error.status = Some(429);
            error.retry_after_s =
                retry_after_ms.map(|ms| u32::try_from(ms.div_ceil(1000)).unwrap_or(u32::MAX));
        }
        error
    }
}

pub(super) fn from_upstream(error: &UpstreamError) -> Failed {
    let (failure, outcome) = match error.kind {
        UpstreamErrorKind::Connect | UpstreamErrorKind::Tls => (Failure::Connect, "connect"),
        UpstreamErrorKind::Timeout => (Failure::Timeout, "timeout"),
        UpstreamErrorKind::Egress => (Failure::Egress, "egress-denied"),
        UpstreamErrorKind::Protocol | UpstreamErrorKind::Closed => {
            (Failure::Protocol, "stream-error")
        }
    };
    Failed::new(failure, outcome, error.to_string())
}
