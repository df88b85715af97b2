//! What is known of one request while it is served, and the record of it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pointsman_domain::decision::{AttemptRecord, CacheUse, Closed, Opened, Outcome, Record};
use pointsman_domain::usage::Amount;
use pointsman_domain::{Digest, ErrorKind, GatewayError, Reason, RequestId};
use pointsman_telemetry::Ended;
use pointsman_wire::openai;
use sha2::{Digest as _, Sha256};

use super::Stop;
use super::account;
use super::cache::Keeping;
use super::capture::Asked;
use super::deliberation::Deliberation;
use super::embedding::{self, Embeddings};
use super::metering::Progress;
use super::observe::{Observed, tag};
use super::scopes;
use super::timeline::{Phase, Timeline};
use crate::meters::{Admission, Reservation};
use crate::reply::Reply;
use crate::snapshot::{PolicyLive, Snapshot};
use crate::tenants::Principal;
use crate::worker::{BodyRoom, InFlight, Worker};

/// One request on its way through the phases.
pub(crate) struct Exchange {
    pub(super) worker: Rc<Worker>,
    pub(super) reply: Reply,
    pub(super) started: Instant,
    pub(super) timeline: Timeline,
    pub(super) observed: Observed,
    pub(super) id: RequestId,
    pub(super) at_ms: u64,
    pub(super) principal: Option<Principal>,
    /// Taken once and held to the last byte, whatever is published meanwhile.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) policy: Option<Arc<PolicyLive>>,
    pub(super) in_flight: Option<InFlight>,
    /// Held to the end of the request.
    pub(super) admission: Option<Admission>,
    /// Settled by the `closed` record.
    pub(super) reservation: Option<Reservation>,
    pub(super) body_room: Option<BodyRoom>,
    pub(super) endpoint: String,
    /// Between `parse` and `select`.
    pub(super) chat: Option<openai::ChatRequest>,
    pub(super) model: String,
    pub(super) streaming: bool,
    pub(super) request_digest: Digest,
    /// From `select` to `opened`, where the policy captures content.
    pub(super) asked: Option<Box<Asked>>,
    /// From `select` on.
    pub(super) decided: Option<Deliberation>,
    /// Settled by the `closed` record.
    pub(super) embeddings: Embeddings,
    pub(super) opened: bool,
    pub(super) attempts: Vec<AttemptRecord>,
    /// What the attempt under way is known to have used.
    pub(super) progress: Progress,
    pub(super) answered_by: Option<String>,
    /// Why the answer ended early, where a guard, or the release of what it guards, ended it.
    pub(super) cut: Option<Reason>,
    /// What the cache, or an idempotency key, had to do with the answer.
    pub(super) cache_use: Option<CacheUse>,
    pub(super) keeping: Keeping,
    pub(super) ttft_us: Option<u64>,
    pub(super) response_hash: Sha256,
    pub(super) response_bytes: u64,
    /// Bytes that wait for the `closed` record.
    pub(super) tail: VecDeque<Bytes>,
    /// Headers of a whole answer that waits for the record.
    pub(super) answer_head: Option<HeaderMap>,
    pub(super) status: u16,
}

impl Exchange {
    pub(crate) fn new(worker: Rc<Worker>, reply: Reply, headers: &HeaderMap) -> Self {
        let started = Instant::now();
        let at_ms = epoch_ms();
        let id = worker.new_id(at_ms);
        let tag = tag(&id.0, headers, worker.telling.sampler);
        Self {
            snapshot: worker.serving.load(),
            worker,
            reply,
            started,
            timeline: Timeline::new(started),
            observed: Observed::new(tag),
            id,
            at_ms,
            principal: None,
            policy: None,
            in_flight: None,
            admission: None,
            reservation: None,
            body_room: None,
            endpoint: String::new(),
            chat: None,
            model: String::new(),
            streaming: false,
            request_digest: Digest([0; 32]),
            asked: None,
            decided: None,
            embeddings: Embeddings::default(),
            opened: false,
            attempts: Vec::new(),
            progress: Progress::default(),
            answered_by: None,
            cut: None,
            cache_use: None,
            keeping: Keeping::default(),
            ttft_us: None,
            response_hash: Sha256::new(),
            response_bytes: 0,
            tail: VecDeque::new(),
            answer_head: None,
            status: 0,
        }
    }

    /// The number of the snapshot that serves this request.
    pub(crate) fn generation(&self) -> u64 {
        self.snapshot.generation()
    }

    pub(super) fn elapsed_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Milliseconds since the request began: the clock that the pure parts take as `now`.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn policy(&self) -> Arc<PolicyLive> {
        Arc::clone(
            self.policy
                .as_ref()
                .expect("phases after `pin` have a policy"),
        )
    }

    /// The request under decision.
    pub(super) fn decided(&mut self) -> &mut Deliberation {
        self.decided.as_mut().expect("phases after `select` decide")
    }

    /// The candidates as they stand now, to the routers.
    pub(super) async fn route(&mut self) -> Result<(), Stop> {
        let now = self.worker.monotonic_ms();
        let pool = Arc::new(self.decided().pool(now));
        if let Some(asked) = &mut self.asked {
            asked.pool(&pool);
        }
        let (decided, asking) = self.deciding();
        decided.route(pool, asking).await
    }

    /// Worst-case cost; then `opened`, durable before any upstream byte.
    pub(super) async fn reserve(&mut self) -> Result<(), Stop> {
        let (decided, asking) = self.deciding();
        decided.reserve(asking).await?;
        self.set_aside()?;
        Ok(self.open_record()?)
    }

    /// Prices what was used.
    pub(super) async fn account(&mut self) {
        if let Some(decided) = &mut self.decided {
            self.timeline.enter(Phase::Account);
            decided.account().await;
        }
    }

    /// Headers that every answer carries.
    pub(super) fn headers(&self, content_type: &'static str, target: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let mut put = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        put("x-pointsman-request-id", &self.id.0);
        if let Some(policy) = &self.policy {
            put(
                "x-pointsman-policy",
                &format!("{}@{}", policy.name, policy.version),
            );
        }
        if let Some(target) = target {
            put("x-pointsman-target", target);
        }
        match self.cache_use {
            None => {}
            Some(CacheUse::Miss) => put("x-pointsman-cache", "miss"),
            Some(CacheUse::Hit) => put("x-pointsman-cache", "hit"),
            Some(CacheUse::Coalesced) => put("x-pointsman-cache", "coalesced"),
            Some(CacheUse::Bypass) => put("x-pointsman-cache", "bypass"),
            Some(CacheUse::Replay) => put("idempotent-replayed", "true"),
        }
        self.rate_headers(&mut headers);
        headers
    }

    /// Counts bytes that a guard has released to the client.
    pub(super) fn released(&mut self, bytes: &[u8]) {
        self.response_hash.update(bytes);
        self.response_bytes += bytes.len() as u64;
        self.keeping.push(bytes);
    }

    /// Writes `opened`, once.
    pub(super) fn open_record(&mut self) -> Result<(), GatewayError> {
        if self.opened {
            return Ok(());
        }
        let content = self.keep_asked();
        let (Some(principal), Some(policy)) = (&self.principal, &self.policy) else {
            return Ok(());
        };
        let mut opened = Opened {
            id: self.id.clone(),
            at_ms: self.at_ms,
            tenant: principal.tenant.to_string(),
            key: principal.key.to_string(),
            dialect: "openai-chat".to_owned(),
            endpoint: self.endpoint.clone(),
            model: self.model.clone(),
            streaming: self.streaming,
            policy: policy.name.clone(),
            version: policy.version,
            policy_digest: policy.digest,
            prices_digest: policy.prices_digest,
            request_digest: self.digest(self.request_digest),
            content,
            conversation: String::new(),
            steps: Vec::new(),
            labels: Vec::new(),
            variant: None,
            plan: None,
            reserved_pico_usd: None,
            budgets: self.windows(),
            phases: self.timeline.take(self.observed.is_sampled()),
        };
        if let Some(decided) = &mut self.decided {
            opened.conversation.clone_from(&decided.conversation);
            opened.steps = std::mem::take(&mut decided.steps);
            opened.labels.clone_from(&decided.view.labels);
            opened.variant.clone_from(&decided.variant);
            opened.plan.clone_from(&decided.plan);
            opened.reserved_pico_usd = decided.reserved;
        }
        if let Some(reserved) = self.embeddings.reserved() {
            *opened.reserved_pico_usd.get_or_insert_default() += reserved;
        }
        opened.steps = self.recorded_steps(opened.steps);
        self.worker.metrics.opened(&opened);
        let record = Record::Opened(Box::new(opened));
        self.worker.append(&record)?;
        self.opened = true;
        if let Some(reservation) = &mut self.reservation {
            reservation.bind();
        }
        self.embeddings.bind();
        if let Record::Opened(opened) = record {
            self.observed.opened(opened);
        }
        Ok(())
    }

    /// Writes `closed` (and `opened`, where a phase before `reserve` refused); whether it is written.
    pub(crate) fn record(&mut self, outcome: Outcome, error: Option<&GatewayError>) -> bool {
        self.timeline.enter(Phase::Record);
        let outcome = match (outcome, &self.cut) {
            (Outcome::Ok, Some(_)) => Outcome::Cut,
            (outcome, _) => outcome,
        };
        self.status = match (outcome, error) {
            (Outcome::Cancelled, _) => 499,
            // What comes after the head cannot change the status that the caller saw.
            (_, Some(error)) if !self.reply.started() => error.http_status(),
            (_, Some(_) | None) => 200,
        };
        self.worker.metrics.request(&Ended {
            tenant: self.principal.as_ref().map(|known| &*known.tenant),
            policy: self.policy.as_ref().map(|policy| policy.name.as_str()),
            outcome,
            status: self.status,
            code: error.map(|error| error.kind.code()),
        });
        let embedded = embedding::tokens(&self.embeddings.records);
        // `closed` takes the attempts that tell them.
        let used = self.used_tokens();
        if let Some(known) = &self.principal {
            let tokens = used.saturating_add(embedded);
            known.tenant_meter.ended(outcome, tokens, epoch_ms());
        }
        // The log's last room belongs to the requests that it admitted.
        let is_shut_out = error.is_some_and(|error| error.kind == ErrorKind::AuditUnavailable);
        if self.principal.is_none() || self.policy.is_none() || (is_shut_out && !self.opened) {
            self.observe_unrecorded(outcome, error);
            return false;
        }
        if let Err(error) = self.open_record() {
            tracing::error!(error = %error, "decision could not be opened");
            return false;
        }
        let closed = self.closed(outcome, error);
        let charged = closed.charged_pico_usd;
        self.worker.metrics.closed(&closed);
        let asides = self.set_asides(used, &closed.embeddings);
        let record = Record::Closed(Box::new(closed));
        let is_written = match self.worker.append(&record) {
            Ok(()) => {
                scopes::settle(asides, charged);
                true
            }
            // Dropped unsettled, the reservation is charged whole, as the next start will find it.
            Err(append) => {
                tracing::error!(error = %append, "decision could not be closed");
                false
            }
        };
        if let Record::Closed(closed) = record {
            self.observe(closed, error);
        }
        is_written
    }

    /// The record of how it ended; takes what only that holds.
    fn closed(&mut self, outcome: Outcome, error: Option<&GatewayError>) -> Closed {
        let (steps, cost) = match &mut self.decided {
            Some(decided) => (
                std::mem::take(&mut decided.later_steps),
                std::mem::take(&mut decided.cost),
            ),
            None => (Vec::new(), Vec::new()),
        };
        let embeddings = std::mem::take(&mut self.embeddings.records);
        let embedded = embedding::sum(&embeddings);
        let mut amounts: Vec<Amount> = cost.iter().map(|line| line.amount).collect();
        amounts.extend(embeddings.iter().filter_map(|record| record.amount));
        let of_principal = |part: fn(&Principal) -> &Arc<str>| {
            let known = self.principal.as_ref();
            known.map_or_else(String::new, |known| part(known).to_string())
        };
        Closed {
            id: self.id.clone(),
            at_ms: epoch_ms(),
            tenant: of_principal(|known| &known.tenant),
            outcome,
            status: self.status,
            error: match (error, &self.cut) {
                (Some(error), _) => Some(error.kind.code().to_owned()),
                (None, cut) => cut.as_ref().map(|cut| cut.code.clone()),
            },
            error_message: match (error, &self.cut) {
                (Some(error), _) => Some(recordable(error)),
                (None, cut) => cut.as_ref().map(|cut| cut.detail.clone()),
            },
            target: self.answered_by.clone(),
            attempts: std::mem::take(&mut self.attempts),
            steps: self.recorded_steps(steps),
            embeddings,
            cost_pico_usd: account::sum(&cost) + embedded,
            unpriced: amounts.contains(&Amount::Unpriced),
            estimated: amounts
                .iter()
                .any(|amount| matches!(amount, Amount::Estimated(_))),
            charged_pico_usd: self.charge(&cost) + embedded,
            cost,
            ttft_us: self.ttft_us,
            total_us: self.elapsed_us(),
            response_digest: (self.response_bytes > 0)
                .then(|| Digest(self.response_hash.clone().finalize().into()))
                .and_then(|digest| self.digest(digest)),
            response_bytes: self.response_bytes,
            key: of_principal(|known| &known.key),
            budgets: self.windows(),
            cache: self.cache_use,
            phases: self.timeline.take(self.observed.is_sampled()),
        }
    }

    /// Sends what waited for the record, or the error.
    pub(crate) async fn finish(&mut self, error: Option<GatewayError>) {
        if let Some(headers) = self.answer_head.take()
            && let Some(body) = self.tail.pop_front()
        {
            if self.reply.whole(StatusCode::OK, headers, body).is_ok() {
                let _client_may_be_gone = self.reply.taken().await;
            }
            return;
        }
        while let Some(bytes) = self.tail.pop_front() {
            if self.reply.send(bytes).await.is_err() {
                return;
            }
        }
        let error = error.or_else(|| (!self.reply.started()).then(broke_off));
        let Some(error) = error else { return };
        if self.reply.started() {
            // After the head an error can only be the stream's last event.
            if self.streaming {
                let _client_may_be_gone =
                    self.reply.send(openai::error::stream_event(&error)).await;
            }
            return;
        }
        let mut headers = self.headers("application/json", None);
        if let Some(seconds) = error.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let status =
            StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let _client_may_be_gone = self
            .reply
            .whole(status, headers, openai::error::body(&error));
    }
}

/// Who ends a request before it is whole may still read.
fn broke_off() -> GatewayError {
    let message = "the request broke off before it was complete";
    GatewayError::new(ErrorKind::InvalidField, message)
}

/// Milliseconds since the epoch.
pub(crate) fn epoch_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// What may be recorded of an error: a provider's or a guard's own words may repeat content, so they stay out.
fn recordable(error: &GatewayError) -> String {
    match error.kind {
        ErrorKind::UpstreamRejected => {
            "the provider's message went to the caller and is not recorded".to_owned()
        }
        ErrorKind::PolicyDenied => {
            "the guard's message went to the caller and is not recorded; its step has the reason code"
                .to_owned()
        }
        _ => error.message.clone(),
    }
}
