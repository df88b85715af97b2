//! Vectors of text, for the steps that may have them: plugins do no I/O, so they are there before a step is called.
//!
//! Promises: each text is asked for once a request; a vector that the tenant has paid for before costs nothing; what
//! may be billed is set aside first, and recorded and charged whatever becomes of the request. A vector that cannot be
//! had is missing: the request goes on, and the plugin decides. Refuses to know: what plugins make of them.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use pointsman_domain::decision::EmbeddingRecord;
use pointsman_domain::usage::{Amount, INPUT_TOKENS};
use pointsman_domain::{Digest, Picos};
use pointsman_plugin::{RECENT, Vector};
use pointsman_upstream::Outgoing;
use pointsman_wire::openai::embeddings;
use sha2::{Digest as _, Sha256};

use super::deliberation::Deliberation;
use super::execute::{from_upstream, or_gone};
use super::metering::BYTES_PER_TOKEN;
use super::{Exchange, Stop};
use crate::answers::TextOf;
use crate::limits;
use crate::meters::{Admission, Reservation, Wanted};
use crate::reply::Reply;
use crate::snapshot::{EmbeddingLive, LiveStep, PolicyLive, TargetLive};
use crate::tenants::Principal;
use crate::worker::Worker;

/// A text whose vector a step may ask for.
struct Text<'a> {
    digest: Digest,
    text: &'a str,
}

/// The vectors of a request's texts.
#[derive(Default)]
pub(super) struct Vectors {
    /// By the text's digest; none where it could not be had.
    known: HashMap<Digest, Option<Vector>>,
    /// What the next call may read.
    pub(super) lent: Arc<[(String, Vector)]>,
}

/// What was asked for, and what of it is not settled yet.
#[derive(Default)]
pub(super) struct Embeddings {
    pub(super) records: Vec<EmbeddingRecord>,
    held: Vec<Held>,
}

/// What one call has set aside.
struct Held {
    reservation: Reservation,
    money: Picos,
    /// Of its record.
    index: usize,
}

/// All that asking for vectors needs of an exchange.
pub(super) struct Asking<'a> {
    worker: &'a Worker,
    reply: &'a mut Reply,
    admission: &'a mut Admission,
    principal: &'a Principal,
    headers: Vec<(String, String)>,
    at_ms: u64,
    book: &'a mut Embeddings,
}

/// Why there are no vectors.
struct Failed {
    code: String,
    detail: String,
    /// Whether the target may have worked, and may bill it.
    is_billed: bool,
}

impl Failed {
    fn new(code: &str, detail: impl Into<String>, is_billed: bool) -> Self {
        Self {
            code: code.to_owned(),
            detail: detail.into(),
            is_billed,
        }
    }
}

impl Exchange {
    /// The request under decision, and whom its steps' vectors are asked of, where the policy names somebody.
    pub(super) fn deciding(&mut self) -> (&mut Deliberation, Option<Asking<'_>>) {
        let embeds = self
            .policy
            .as_ref()
            .is_some_and(|policy| policy.embedding.is_some());
        let headers = if embeds {
            self.outgoing_headers()
        } else {
            Vec::new()
        };
        let decided = self.decided.as_mut().expect("phases after `select` decide");
        let (Some(principal), Some(admission)) = (&self.principal, &mut self.admission) else {
            return (decided, None);
        };
        let asking = Asking {
            worker: &self.worker,
            reply: &mut self.reply,
            admission,
            principal,
            headers,
            at_ms: self.at_ms,
            book: &mut self.embeddings,
        };
        (decided, embeds.then_some(asking))
    }
}

impl Deliberation {
    /// What a step may read of vectors: those that are known, and those that `asking` gets.
    pub(super) async fn embed(
        &mut self,
        asking: Option<&mut Asking<'_>>,
        step: &LiveStep,
    ) -> Result<(), Stop> {
        let policy = Arc::clone(&self.policy);
        let (Some(files), Some(embedding)) = (&step.embeds, &policy.embedding) else {
            return Ok(());
        };
        if let Some(asking) = asking {
            let recent = self.recent(embedding);
            let recent = recent.as_ref().map(|(digest, text)| Text {
                digest: *digest,
                text,
            });
            let files = files.iter().map(|file| Text {
                digest: file.digest,
                text: &file.text,
            });
            let mut wanted: Vec<Text<'_>> = Vec::new();
            for text in recent.into_iter().chain(files) {
                let is_there = wanted.iter().any(|other| other.digest == text.digest);
                if !is_there && !self.vectors.known.contains_key(&text.digest) {
                    wanted.push(text);
                }
            }
            if !wanted.is_empty() {
                let vectors = asking
                    .vectors(&step.id, &policy, embedding, &wanted)
                    .await?;
                let digests = wanted.iter().map(|text| text.digest);
                self.vectors.known.extend(digests.zip(vectors));
            }
        }
        self.lend_vectors([step]);
        Ok(())
    }

    /// The next call may read what is known of these steps' texts.
    pub(super) fn lend_vectors<'s>(&mut self, steps: impl IntoIterator<Item = &'s LiveStep>) {
        let policy = Arc::clone(&self.policy);
        let Some(embedding) = &policy.embedding else {
            return;
        };
        let mut files = steps
            .into_iter()
            .filter_map(|step| step.embeds.as_ref())
            .peekable();
        if files.peek().is_none() {
            return;
        }
        let known = |digest: &Digest| self.vectors.known.get(digest).cloned().flatten();
        let recent = self
            .recent(embedding)
            .and_then(|(digest, _)| known(&digest));
        let recent = recent.map(|vector| (RECENT.to_owned(), vector));
        let files = files.flat_map(|files| files.iter());
        let files = files.filter_map(|file| Some((file.name.clone(), known(&file.digest)?)));
        let lent = recent.into_iter().chain(files).collect();
        self.vectors.lent = lent;
    }

    /// The recent text as it stands; none where there is none.
    fn recent(&self, embedding: &EmbeddingLive) -> Option<(Digest, String)> {
        let text = self.view.recent_text(u32::MAX, embedding.text_bytes_max);
        (!text.is_empty()).then(|| (Digest(Sha256::digest(&text).into()), text))
    }
}

impl Asking<'_> {
    /// A vector for each text, or none. The only error is that the caller is gone.
    async fn vectors(
        &mut self,
        step: &str,
        policy: &PolicyLive,
        embedding: &EmbeddingLive,
        wanted: &[Text<'_>],
    ) -> Result<Vec<Option<Vector>>, Stop> {
        let began = Instant::now();
        let target = &policy.targets[embedding.target];
        let mut vectors: Vec<_> = wanted
            .iter()
            .map(|text| self.kept(target, embedding, text))
            .collect();
        let missing: Vec<usize> = (0..wanted.len())
            .filter(|&at| vectors[at].is_none())
            .collect();
        let mut record = EmbeddingRecord {
            step: step.to_owned(),
            target: target.name.clone(),
            model: target.model.clone(),
            texts: count(wanted.len()),
            cached: count(wanted.len() - missing.len()),
            ..EmbeddingRecord::default()
        };
        if missing.is_empty() {
            self.note(record, began);
            return Ok(vectors);
        }
        let texts: Vec<&str> = missing.iter().map(|&at| wanted[at].text).collect();
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        let tokens = (bytes as u64).div_ceil(BYTES_PER_TOKEN);
        let price = price(policy, &target.name, tokens);
        if let Err(failed) = self.set_aside(tokens, price) {
            record.failure = Some(failed.code);
            record.detail = failed.detail;
            self.note(record, began);
            return Ok(vectors);
        }
        // As it stands should the request end while the target works.
        record.tokens = tokens;
        record.estimated = true;
        record.amount = Some(amount(price, tokens, true));
        record.failure = Some("cancelled".to_owned());
        self.book.records.push(record);
        let body = embeddings::request(&target.model, &texts);
        let asked = self.ask(policy, target, embedding, body, texts.len()).await;
        let record = self.book.records.last_mut().expect("pushed above");
        record.us = micros(began);
        let asked = asked?;
        let (told, failed) = match asked {
            Ok(answer) => match answer.vectors {
                Ok(told) => (Some((answer.tokens, told)), None),
                Err(error) => {
                    let failed = Failed::new("answer", error.to_string(), true);
                    (Some((answer.tokens, Vec::new())), Some(failed))
                }
            },
            Err(failed) => (None, Some(failed)),
        };
        if let Some((Some(counted), _)) = &told {
            record.tokens = *counted;
            record.estimated = false;
            record.amount = Some(amount(price, *counted, false));
        }
        record.failure = failed.as_ref().map(|failed| failed.code.clone());
        if let Some(failed) = failed {
            record.detail = failed.detail;
            if !failed.is_billed {
                (record.tokens, record.estimated, record.amount) = (0, false, None);
            }
        }
        self.count_outcome();
        for (at, vector) in missing
            .into_iter()
            .zip(told.into_iter().flat_map(|(_, told)| told))
        {
            let vector = Vector::from(vector);
            let whose = self.whose(target, &wanted[at]);
            self.worker.answers.vectors.put(&whose, Arc::clone(&vector));
            vectors[at] = Some(vector);
        }
        Ok(vectors)
    }

    fn whose<'w>(&'w self, target: &'w TargetLive, text: &Text<'_>) -> TextOf<'w> {
        TextOf {
            tenant: &self.principal.tenant,
            endpoint: &target.endpoint,
            model: &target.model,
            text: text.digest,
        }
    }

    /// What an earlier request of the tenant got.
    fn kept(
        &self,
        target: &TargetLive,
        embedding: &EmbeddingLive,
        text: &Text<'_>,
    ) -> Option<Vector> {
        let kept = self.worker.answers.vectors.get(&self.whose(target, text));
        kept.filter(|vector| vector.len() <= embedding.dimensions_max)
    }

    /// An entry that is complete.
    fn note(&mut self, mut record: EmbeddingRecord, began: Instant) {
        record.us = micros(began);
        self.book.records.push(record);
        self.count_outcome();
    }

    fn count_outcome(&self) {
        let Some(record) = self.book.records.last() else {
            return;
        };
        let outcome = record.failure.as_deref();
        let usual = if record.cached == record.texts {
            "cached"
        } else {
            "ok"
        };
        let metrics = &self.worker.metrics;
        metrics.embedding(&record.target, outcome.unwrap_or(usual));
    }

    /// Tokens and money, from the limits and budgets of key and tenant; the next record is what they are for.
    fn set_aside(&mut self, tokens: u64, price: Option<i64>) -> Result<(), Failed> {
        let money = price.map(|price| picos(price, tokens));
        let wanted = Wanted {
            tokens,
            money,
            unpriced: money.is_none(),
            is_accounted: money.is_some(),
        };
        let meters = &self.worker.meters;
        let reserved = Reservation::new(meters, self.admission, wanted, self.at_ms);
        let reservation = reserved.map_err(|refusal| {
            let tenant = Some(&*self.principal.tenant);
            let metrics = &self.worker.metrics;
            metrics.limited(refusal.scope, refusal.limit, tenant);
            let detail = format!("not asked for: {}", refusal.error.message);
            Failed::new(refusal.limit, detail, false)
        })?;
        self.book.held.push(Held {
            reservation,
            money: money.unwrap_or_default(),
            index: self.book.records.len(),
        });
        Ok(())
    }

    /// One call of the target, cancelled where the caller leaves.
    async fn ask(
        &mut self,
        policy: &PolicyLive,
        target: &TargetLive,
        embedding: &EmbeddingLive,
        body: Bytes,
        texts: usize,
    ) -> Result<Result<embeddings::Answer, Failed>, Stop> {
        let timeout_ms = embedding.timeout_ms;
        let outgoing = Outgoing {
            endpoint: &target.endpoint,
            path: "/embeddings",
            headers: self.headers.clone(),
            body,
            credential: target.credential.as_deref(),
            tenant: &self.principal.tenant,
            connect_timeout_ms: policy.execute.connect_timeout_ms.min(timeout_ms),
            headers_timeout_ms: timeout_ms,
        };
        let dimensions_max = embedding.dimensions_max;
        let bytes_max = embeddings::answer_bytes_max(texts, dimensions_max);
        let within = Duration::from_millis(timeout_ms);
        let flight = target.health.begin(self.worker.monotonic_ms());
        let answer = Box::pin(read(self.worker, outgoing, bytes_max));
        let waited = tokio::time::timeout(within, answer);
        let body = match or_gone(self.reply, pin!(waited)).await? {
            Ok(body) => body,
            Err(_elapsed) => {
                let detail = format!("no vectors within {timeout_ms} ms");
                Err(Failed::new("timeout", detail, true))
            }
        };
        let now = self.worker.monotonic_ms();
        let body = match body {
            Ok(body) => body,
            Err(failed) => {
                flight.failed(now);
                return Ok(Err(failed));
            }
        };
        flight.succeeded(None, now);
        let bytes = body.len();
        let parse = move || embeddings::parse(&body, texts, dimensions_max);
        Ok(Ok(if bytes < limits::ASIDE_BYTES_MIN {
            parse()
        } else {
            let turns = &self.principal.tenant_meter.held().turns;
            self.worker.aside.hand(turns).run(parse).await
        }))
    }
}

/// The whole body of an answer that succeeded.
async fn read(worker: &Worker, outgoing: Outgoing<'_>, bytes_max: usize) -> Result<Bytes, Failed> {
    let upstream = |error: &pointsman_upstream::UpstreamError, is_billed| {
        let failed = from_upstream(error);
        Failed::new(failed.outcome, failed.detail, is_billed)
    };
    let sent = worker.upstream.send(outgoing).await;
    let mut answer = sent.map_err(|error| upstream(&error, error.was_sent()))?;
    if !answer.status.is_success() {
        let detail = format!("status {}", answer.status.as_u16());
        return Err(Failed::new("status", detail, false));
    }
    let mut body = BytesMut::new();
    loop {
        match answer.chunk().await {
            Ok(None) => return Ok(body.freeze()),
            Ok(Some(chunk)) if body.len() + chunk.len() > bytes_max => {
                let detail = format!("the answer is larger than {bytes_max} bytes");
                return Err(Failed::new("answer", detail, true));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => return Err(upstream(&error, true)),
        }
    }
}

impl Embeddings {
    /// `opened` is in the log.
    pub(super) fn bind(&mut self) {
        for held in &mut self.held {
            held.reservation.bind();
        }
    }

    /// What is set aside, where anything is.
    pub(super) fn reserved(&self) -> Option<Picos> {
        let money = self.held.iter().map(|held| held.money);
        (!self.held.is_empty()).then(|| money.sum())
    }

    /// The budget windows that it is set aside in.
    pub(super) fn windows(&self) -> Vec<String> {
        let mut windows = self.held.iter().map(|held| held.reservation.windows());
        windows
            .find(|windows| !windows.is_empty())
            .unwrap_or_default()
    }

    /// What is set aside, with the tokens that came of it.
    pub(super) fn take(&mut self, records: &[EmbeddingRecord]) -> Vec<(Reservation, u64)> {
        let held = std::mem::take(&mut self.held).into_iter();
        let tokens = |index: usize| records.get(index).map_or(0, |record| record.tokens);
        held.map(|held| (held.reservation, tokens(held.index)))
            .collect()
    }
}

/// What they cost, as far as there is a price.
pub(super) fn sum(records: &[EmbeddingRecord]) -> Picos {
    let picos = |record: &EmbeddingRecord| match record.amount {
        Some(Amount::Exact(picos) | Amount::Estimated(picos)) => picos,
        Some(Amount::Unpriced) | None => Picos(0),
    };
    records.iter().map(picos).sum()
}

/// Tokens of all of them.
pub(super) fn tokens(records: &[EmbeddingRecord]) -> u64 {
    let tokens = records.iter().map(|record| record.tokens);
    tokens.fold(0, u64::saturating_add)
}

/// Pico-dollars for a token of the target's input, in a call of so many; none where the catalogue has no price.
fn price(policy: &PolicyLive, target: &str, tokens: u64) -> Option<i64> {
    let rates = policy.price_book.get(target)?.iter();
    let rate = rates
        .filter(|rate| rate.unit == INPUT_TOKENS && rate.above_input_tokens <= tokens)
        .max_by_key(|rate| rate.above_input_tokens)?;
    Some(rate.pico_usd)
}

fn picos(price: i64, tokens: u64) -> Picos {
    Picos(i128::from(price).saturating_mul(i128::from(tokens)).max(0))
}

fn amount(price: Option<i64>, tokens: u64, is_estimated: bool) -> Amount {
    match price.map(|price| picos(price, tokens)) {
        None => Amount::Unpriced,
        Some(picos) if is_estimated => Amount::Estimated(picos),
        Some(picos) => Amount::Exact(picos),
    }
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
