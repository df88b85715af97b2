//! The thread that runs the model: takes requests from a bounded queue and steps all running sequences together.
//!
//! Promises: one step is one ragged batch (a token of every answering sequence, and a bounded piece of prompts), so
//! no sequence starves another; a request whose client is gone is dropped before the next step and its memory freed
//! at once; a step that fails ends its requests with an error and leaves the rest of the process serving.
//! Refuses to know HTTP: a [`Job`] comes in, [`Event`]s go out.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pointsman_model::{
    Batch, Ending, Kernels, KvCache, Logits, Model, Sampler, Sampling, Slot, TextStream,
};
use tokio::sync::mpsc;

use crate::limits::{STEP_PROMPT_TOKENS_ALONE_MAX, STEP_PROMPT_TOKENS_MAX};
use crate::metrics::{Metrics, Outcome};

/// Something to generate.
#[derive(Debug)]
pub(crate) struct Job {
    /// At least one token, fewer than the context.
    pub(crate) prompt: Vec<u32>,
    /// At least one; prompt and answer fit the context.
    pub(crate) tokens_max: usize,
    pub(crate) sampling: Sampling,
    pub(crate) stops: Vec<String>,
    /// Where the answer goes; its closing cancels the job. Its capacity holds every event of the answer, so the
    /// engine never waits for a reader.
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) arrived: Instant,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Text to append.
    Text(String),
    /// The end, with what was used.
    End(Finish, Usage),
    /// The answer cannot be finished.
    Failed(String),
}

/// Why an answer ended, as OpenAI names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
}

/// Tokens of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: usize,
    pub(crate) answer_tokens: usize,
}

/// Events an answer of `tokens_max` tokens sends at most.
pub(crate) fn events_max(tokens_max: usize) -> usize {
    tokens_max + 2
}

/// Bounded meeting point of requests and the engine's thread.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    jobs_max: usize,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(jobs_max: usize, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            jobs_max,
            metrics,
        })
    }

    /// Adds a job, or says how many wait already.
    pub(crate) fn submit(&self, job: Job) -> Result<(), usize> {
        let mut state = self.lock();
        if state.jobs.len() >= self.jobs_max {
            // Clients that left while waiting must not keep others out.
            state.jobs.retain(|job| self.keep_waiting(job));
        }
        if state.closed || state.jobs.len() >= self.jobs_max {
            return Err(state.jobs.len());
        }
        state.jobs.push_back(job);
        self.show(&state);
        self.changed.notify_one();
        Ok(())
    }

    /// Lets the engine's thread end once nothing is left to do.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Up to `room` jobs. Waits for one if `idle`; `None` at the end of all work.
    fn take(&self, room: usize, idle: bool) -> Option<Vec<Job>> {
        let mut state = self.lock();
        loop {
            state.jobs.retain(|job| self.keep_waiting(job));
            if !idle || !state.jobs.is_empty() {
                let count = room.min(state.jobs.len());
                let taken = state.jobs.drain(..count).collect();
                self.show(&state);
                return Some(taken);
            }
            self.show(&state);
            if state.closed {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn keep_waiting(&self, job: &Job) -> bool {
        let gone = job.events.is_closed();
        if gone {
            self.metrics.ended(Outcome::cancelled);
        }
        !gone
    }

    fn show(&self, state: &State) {
        self.metrics.waiting.set(state.jobs.len() as i64);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The model with everything a step needs; lives on its own thread.
#[derive(Debug)]
pub(crate) struct Engine {
    model: Arc<Model>,
    kernels: Kernels,
    cache: KvCache,
    running: Vec<Sequence>,
    sequences_max: usize,
    metrics: Metrics,
}

/// One answer in the making. Owns its slot in the cache; `Engine::end` gives it back.
#[derive(Debug)]
struct Sequence {
    job: Job,
    slot: Slot,
    /// Tokens to feed: the prompt, later the last token picked.
    next: Vec<u32>,
    /// Of `next`, how many are fed.
    fed: usize,
    answer_tokens: usize,
    sampler: Sampler,
    text: TextStream,
}

/// A sequence's share of a step.
struct Share {
    at: usize,
    tokens: usize,
    /// The row of the logits, if the step reaches the end of what is known.
    logits: Option<usize>,
}

impl Engine {
    pub(crate) fn new(
        model: Arc<Model>,
        kernels: Kernels,
        sequences_max: usize,
        context_tokens: usize,
        metrics: Metrics,
    ) -> Self {
        Self {
            cache: KvCache::new(model.config(), sequences_max, context_tokens),
            model,
            kernels,
            running: Vec::new(),
            sequences_max,
            metrics,
        }
    }

    /// Works until the queue is closed and everything is answered.
    pub(crate) fn run(mut self, queue: &Queue) {
        while let Some(jobs) = queue.take(
            self.sequences_max - self.running.len(),
            self.running.is_empty(),
        ) {
            jobs.into_iter().for_each(|job| self.admit(job));
            self.drop_cancelled();
            if !self.running.is_empty() {
                self.step();
            }
            self.metrics.running.set(self.running.len() as i64);
            self.metrics.kv_bytes.set(self.kv_bytes() as i64);
        }
    }

    fn admit(&mut self, mut job: Job) {
        let Some(slot) = self.cache.open() else {
            // The queue gives out no more jobs than there are slots; were it wrong, one request would notice.
            let _gone = job
                .events
                .try_send(Event::Failed("no sequence is free".to_owned()));
            self.metrics.ended(Outcome::failed);
            return;
        };
        self.running.push(Sequence {
            slot,
            next: std::mem::take(&mut job.prompt),
            fed: 0,
            answer_tokens: 0,
            sampler: Sampler::new(job.sampling),
            text: TextStream::new(std::mem::take(&mut job.stops)),
            job,
        });
    }

    fn drop_cancelled(&mut self) {
        let Self {
            running,
            cache,
            metrics,
            ..
        } = self;
        running.retain(|sequence| {
            let gone = sequence.job.events.is_closed();
            if gone {
                cache.close(sequence.slot);
                metrics.ended(Outcome::cancelled);
            }
            !gone
        });
    }

    fn step(&mut self) {
        let started = Instant::now();
        let shares = self.plan();
        let (mut tokens, mut positions, mut sequences, mut logit_rows) =
            (vec![], vec![], vec![], vec![]);
        for share in &shares {
            let sequence = &self.running[share.at];
            let from = self.cache.tokens(sequence.slot).unwrap_or_default() as u32;
            tokens.extend_from_slice(&sequence.next[sequence.fed..][..share.tokens]);
            positions.extend((from..).take(share.tokens));
            sequences.extend(std::iter::repeat_n(sequence.slot, share.tokens));
            if share.logits.is_some() {
                logit_rows.push(tokens.len() - 1);
            }
        }
        let batch = Batch {
            tokens: &tokens,
            positions: &positions,
            sequences: &sequences,
            logit_rows: &logit_rows,
        };
        let Self {
            model,
            kernels,
            cache,
            ..
        } = self;
        let result = catch_unwind(AssertUnwindSafe(|| model.forward(kernels, cache, &batch)));
        self.metrics.step.observe(started.elapsed().as_secs_f64());
        match result {
            Ok(Ok(logits)) => self.advance(&shares, &logits),
            Ok(Err(error)) => self.fail(&shares, &error.to_string()),
            Err(_panic) => self.fail(&shares, "the step failed"),
        }
    }

    /// Every answering sequence feeds one token; prompts share what is left of the step, oldest first.
    fn plan(&self) -> Vec<Share> {
        let answering = self
            .running
            .iter()
            .filter(|sequence| sequence.answer_tokens > 0)
            .count();
        let mut room = if answering > 0 {
            STEP_PROMPT_TOKENS_MAX
        } else {
            STEP_PROMPT_TOKENS_ALONE_MAX
        };
        let mut logits = 0;
        let mut shares = Vec::new();
        for (at, sequence) in self.running.iter().enumerate() {
            let left = sequence.next.len() - sequence.fed;
            let tokens = if sequence.answer_tokens > 0 {
                left
            } else {
                left.min(room)
            };
            if tokens == 0 {
                continue;
            }
            if sequence.answer_tokens == 0 {
                room -= tokens;
            }
            let reaches_end = tokens == left;
            shares.push(Share {
                at,
                tokens,
                logits: reaches_end.then_some(logits),
            });
            logits += usize::from(reaches_end);
        }
        shares
    }

    fn advance(&mut self, shares: &[Share], logits: &Logits) {
        let mut rows = logits.rows();
        let mut ended = Vec::new();
        for share in shares {
            let sequence = &mut self.running[share.at];
            sequence.fed += share.tokens;
            if sequence.answer_tokens == 0 {
                self.metrics.prompt_tokens.inc_by(share.tokens as u64);
            }
            if share.logits.is_some()
                && let Some(row) = rows.next()
                && let Some(end) = sequence.accept(row, &self.model, &self.metrics)
            {
                let _gone = sequence.job.events.try_send(end);
                ended.push(share.at);
            }
        }
        for at in ended.into_iter().rev() {
            self.end(at, Outcome::completed);
        }
    }

    fn fail(&mut self, shares: &[Share], why: &str) {
        tracing::error!(why, "a step failed; its requests are ended");
        for share in shares.iter().rev() {
            let _gone = self.running[share.at]
                .job
                .events
                .try_send(Event::Failed(why.to_owned()));
            self.end(share.at, Outcome::failed);
        }
    }

    fn end(&mut self, at: usize, outcome: Outcome) {
        let sequence = self.running.remove(at);
        self.cache.close(sequence.slot);
        self.metrics.ended(outcome);
    }

    fn kv_bytes(&self) -> usize {
        let tokens = self
            .running
            .iter()
            .filter_map(|sequence| self.cache.tokens(sequence.slot));
        tokens.sum::<usize>() * self.cache.token_bytes()
    }
}

impl Sequence {
    /// Picks the next token and sends its text; the end of the answer, if this is it.
    fn accept(&mut self, logits: &[f32], model: &Model, metrics: &Metrics) -> Option<Event> {
        let token = self.sampler.pick(logits);
        if self.answer_tokens == 0 {
            metrics
                .first_token
                .observe(self.job.arrived.elapsed().as_secs_f64());
            self.prompt_done();
        }
        self.answer_tokens += 1;
        metrics.answer_tokens.inc();
        let is_end = token == model.tokenizer().end();
        let (mut text, ending) = if is_end {
            (String::new(), Ending::Open)
        } else {
            self.text.push(model.tokenizer().bytes(token))
        };
        let finish = match ending {
            Ending::Stopped => Some(Finish::Stop),
            Ending::Open if is_end => Some(Finish::Stop),
            Ending::Open if self.answer_tokens >= self.job.tokens_max => Some(Finish::Length),
            Ending::Open => None,
        };
        if finish.is_some() && ending == Ending::Open {
            text.push_str(&self.text.finish());
        }
        if !text.is_empty() {
            // A closed channel is a client that left; the next step drops the sequence.
            let _gone = self.job.events.try_send(Event::Text(text));
        }
        self.next = vec![token];
        self.fed = 0;
        finish.map(|finish| {
            let usage = Usage {
                prompt_tokens: self.job.prompt.len(),
                answer_tokens: self.answer_tokens,
            };
            Event::End(finish, usage)
        })
    }

    /// The prompt moves back into the job, where the usage is read from.
    fn prompt_done(&mut self) {
        self.job.prompt = std::mem::take(&mut self.next);
    }
}
