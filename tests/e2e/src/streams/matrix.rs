//! The matrix: a text with secrets cut at every byte, in every shape, by a fake provider, through a real gateway whose
//! tenants have guards that mask, several in a row, guards that cut, a guard that passes, and none.
//!
//! Checked of each stream: nothing leaks; the client has the masked whole, or its choices end with a finish reason;
//! clean streams are the provider's bytes; the decision tells the digest and the length of what the client was sent.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};
use pointsman_domain::Digest;
use pointsman_domain::decision::{Closed, Outcome};
use pointsman_harness::{Gateway, GatewayOptions, Provider, Reply, eventually};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::client::{Choice, View};
use super::shapes::{Shape, Speech, strings};
use crate::{budgets::closed, policy, step, streams as asks};

/// Streams at once.
const CLIENTS: usize = 8;
/// Stalled streams at once: two guards each, of a tenant's hundred plugin instances.
const STALLED: usize = 45;
/// Sizes of the provider's writes, in bytes; 0: an event each.
const WRITES: [usize; 6] = [0, 64, 0, 7, 0, 1];

/// A tenant of the gateway, by what its policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tenant {
    /// Two guards that mask.
    Mask,
    /// The same in the other order, and one between them that passes.
    Three,
    /// A guard that cuts.
    Cut,
    /// A guard that passes.
    Pass,
    /// No guard.
    Open,
}

impl Tenant {
    const ALL: [Self; 5] = [Self::Mask, Self::Three, Self::Cut, Self::Pass, Self::Open];

    const fn name(self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Three => "three",
            Self::Cut => "cut",
            Self::Pass => "pass",
            Self::Open => "open",
        }
    }

    fn steps(self) -> String {
        let guard = |id: &str, plugin: &str, config: &str| {
            let more = format!("config = {config}\nrequired = true");
            step(id, "guard-response", plugin, "deny", &more)
        };
        let pii = guard("pii", "guard-pii@0.1", "{ email = \"mask\" }");
        let secrets = guard("secrets", "guard-secrets@0.1", "{ key = \"mask\" }");
        let echo = guard("echo", "pointsman-guests@0.1", "{}");
        let cut = guard("pii", "guard-pii@0.1", "{ email = \"deny\" }");
        match self {
            Self::Mask => pii + &secrets,
            Self::Three => secrets + &echo + &pii,
            Self::Cut => cut,
            Self::Pass => echo,
            Self::Open => String::new(),
        }
    }
}

/// Gateway and provider.
#[derive(Debug)]
pub struct Matrix {
    gateway: Gateway,
    provider: Provider,
}

/// What came of the streams so far.
#[derive(Debug, Default)]
pub struct Told {
    /// Streams by what they were to show.
    pub streams: BTreeMap<String, usize>,
    /// What did not hold.
    pub wrong: Vec<String>,
    /// What clients were sent, by request id, and whether it was cut.
    sent: BTreeMap<String, (Digest, u64, bool)>,
}

impl Told {
    /// All streams.
    #[must_use]
    pub fn count(&self) -> usize {
        self.streams.values().sum()
    }
}

/// One stream.
#[derive(Clone, Debug)]
struct Job {
    tenant: Tenant,
    shape: Shape,
    speech: Speech,
    script: String,
    /// What the provider sends.
    events: Vec<String>,
    cut: usize,
    stalls: bool,
}

impl Job {
    fn new(tenant: Tenant, shape: Shape, speech: &Speech, word: &str, cut: usize) -> Self {
        Self {
            tenant,
            shape,
            speech: speech.clone(),
            script: format!("{word}-{shape:?}-{cut}"),
            events: shape.events(speech, cut),
            cut,
            stalls: false,
        }
    }

    /// How the provider answers it.
    fn answer(&self, stall_ms: u64) -> Value {
        let mut answer = json!({
            "match": {"script": self.script}, "always": true,
            "headers": {"content-type": "text/event-stream"},
        });
        if self.stalls {
            // The role and the first half; then, after a while, the rest.
            let (first, rest) = self.events.split_at(2);
            answer["raw"] = json!([first.concat(), rest.concat()]);
            answer["delays"] = json!({"chunk-ms": stall_ms});
        } else {
            answer["raw"] = json!(self.events);
            let bytes = WRITES[self.cut % WRITES.len()];
            if bytes > 0 {
                answer["split-bytes"] = json!(bytes);
            }
        }
        answer
    }

    fn body(&self) -> Value {
        let mut body = asks("x");
        body["n"] = json!(self.shape.choices());
        body["stream_options"] = json!({"include_usage": true});
        body["metadata"] = json!({"x-script": self.script});
        body
    }

    fn name(&self) -> String {
        let stalled = if self.stalls { " after a stall" } else { "" };
        format!(
            "{} {:?}{stalled}, cut at {}",
            self.tenant.name(),
            self.shape,
            self.cut
        )
    }

    fn check(&self, reply: &Reply) -> anyhow::Result<()> {
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        let view = View::of(&reply.body)?;
        ensure!(view.done, "it has no end");
        let found = view.choices.len() as u64;
        ensure!(found == self.shape.choices(), "{found} choices");
        if self.stalls {
            return self.check_stalled(&view);
        }
        self.leaks_nothing(reply, &view)?;
        let is_clean = self.speech.forbidden.is_empty();
        let is_told_anew =
            self.shape.repeats() || self.shape.halves_a_token(&self.speech, self.cut);
        let is_through =
            self.tenant == Tenant::Open || self.tenant == Tenant::Pass && !is_told_anew;
        if is_clean && is_through {
            ensure!(
                reply.body == self.events.concat(),
                "the bytes are not the provider's"
            );
        }
        let is_cut = self.tenant == Tenant::Cut && !is_clean;
        for choice in view.choices.values() {
            if is_cut {
                ensure!(
                    choice.finish.as_deref() == Some("content_filter"),
                    "finish {:?}",
                    choice.finish
                );
                let begins = |text: &str| self.speech.wanted.starts_with(text);
                ensure!(
                    begins(&choice.content) && begins(&choice.reasoning) && begins(&choice.refusal),
                    "{choice:?}"
                );
            } else {
                ensure!(
                    choice.finish.as_deref() == Some("stop"),
                    "finish {:?}",
                    choice.finish
                );
                self.check_choice(choice)?;
            }
        }
        ensure!(is_cut || view.usage, "the usage is lost");
        Ok(())
    }

    fn check_choice(&self, choice: &Choice) -> anyhow::Result<()> {
        let wanted = self.speech.wanted.as_str();
        let none = ["", "", ""];
        let fields = [&choice.content, &choice.reasoning, &choice.refusal].map(String::as_str);
        let (expected, calls) = match self.shape {
            Shape::Text | Shape::ThreeChoices | Shape::Logprobs | Shape::Summary => {
                ([wanted, "", ""], 0)
            }
            Shape::Reasoning => (["", wanted, ""], 0),
            Shape::Refusal => (["", "", wanted], 0),
            Shape::Arguments => (none, 1),
            Shape::FourTools => (none, 4),
        };
        ensure!(fields == expected, "{fields:?}, not {expected:?}");
        ensure!(choice.calls.len() == calls, "{} calls", choice.calls.len());
        for (name, arguments) in choice.calls.values() {
            let told: Value =
                serde_json::from_str(arguments).with_context(|| format!("no JSON: {arguments}"))?;
            let expected = json!({"note": wanted, "more": [1, wanted]});
            ensure!(
                name == "send" && told == expected,
                "{name} {told}, not {expected}"
            );
        }
        Ok(())
    }

    fn leaks_nothing(&self, reply: &Reply, view: &View) -> anyhow::Result<()> {
        let mut texts = strings(&reply.body);
        texts.push(reply.text());
        for choice in view.choices.values() {
            texts.extend([
                choice.content.clone(),
                choice.reasoning.clone(),
                choice.refusal.clone(),
            ]);
            texts.extend(
                choice
                    .calls
                    .values()
                    .map(|(_, arguments)| arguments.clone()),
            );
        }
        for part in &self.speech.forbidden {
            ensure!(
                !texts.iter().any(|text| text.contains(part)),
                "`{part}` is in {}",
                reply.text()
            );
        }
        Ok(())
    }

    /// A guard may not hold a byte for ever, so the beginning of a secret may be out before the rest comes; then the
    /// rest is masked.
    fn check_stalled(&self, view: &View) -> anyhow::Result<()> {
        let choice = view.choices.values().next().context("no choice")?;
        ensure!(
            choice.finish.as_deref() == Some("stop"),
            "finish {:?}",
            choice.finish
        );
        let text = &choice.content;
        let said = &self.speech.said;
        for secret in [&self.speech.forbidden[0], &self.speech.forbidden[4]] {
            ensure!(
                !text.contains(secret.as_str()),
                "`{secret}` left whole: {text}"
            );
            let at = said
                .find(secret.as_str())
                .context("a secret that nobody says")?;
            let Some(rest) = self
                .cut
                .checked_sub(at)
                .and_then(|within| secret.get(within..))
            else {
                continue;
            };
            let is_telling = rest.len() >= 6 && rest.len() < secret.len();
            ensure!(
                !is_telling || !text.contains(rest),
                "`{rest}` left after the stall: {text}"
            );
        }
        ensure!(
            text.starts_with("Write to ") && text.ends_with(" today."),
            "{text}"
        );
        Ok(())
    }
}

impl Matrix {
    /// Starts both.
    ///
    /// # Errors
    /// Where something is not built or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let provider = Provider::start().await?;
        let endpoint = provider.endpoint();
        let bundle =
            |tenant: Tenant| policy(tenant.name(), &[("fake", &endpoint)], &tenant.steps());
        let names = Tenant::ALL.map(|tenant| (tenant.name().to_owned(), tenant.name().to_owned()));
        let options = GatewayOptions {
            bundles: Tenant::ALL.map(bundle).to_vec(),
            tenants: names.to_vec(),
            allow_private: vec![provider.authority().to_owned()],
            guests: true,
            ..GatewayOptions::default()
        };
        let gateway = Gateway::start(options).await?;
        Ok(Self { gateway, provider })
    }

    /// One shape, cut at every `stride`th byte.
    ///
    /// # Errors
    /// Where no streams can be had at all.
    pub async fn shape(&self, shape: Shape, stride: usize, told: &mut Told) -> anyhow::Result<()> {
        let (secret, clean) = (Speech::secret(), Speech::clean());
        let mut jobs = Vec::new();
        for cut in shape.cuts(&secret).into_iter().step_by(stride) {
            let job = |tenant| Job::new(tenant, shape, &secret, "secret", cut);
            jobs.extend([Tenant::Mask, Tenant::Three, Tenant::Cut].map(job));
        }
        for cut in shape.cuts(&clean).into_iter().step_by(stride) {
            let job = |tenant| Job::new(tenant, shape, &clean, "clean", cut);
            jobs.extend([Tenant::Mask, Tenant::Pass, Tenant::Open].map(job));
        }
        self.run(jobs, 0, CLIENTS, told).await
    }

    /// Text whose provider pauses at every `stride`th byte.
    ///
    /// # Errors
    /// Where no streams can be had at all.
    pub async fn stalls(&self, ms: u64, stride: usize, told: &mut Told) -> anyhow::Result<()> {
        let secret = Speech::secret();
        let cuts = Shape::Text.cuts(&secret).into_iter().step_by(stride);
        let jobs = cuts.map(|cut| Job {
            stalls: true,
            ..Job::new(Tenant::Mask, Shape::Text, &secret, "stall", cut)
        });
        self.run(jobs.collect(), ms, STALLED, told).await
    }

    async fn run(
        &self,
        jobs: Vec<Job>,
        stall_ms: u64,
        clients: usize,
        told: &mut Told,
    ) -> anyhow::Result<()> {
        let mut answers: BTreeMap<&str, Value> = BTreeMap::new();
        for job in &jobs {
            answers
                .entry(&job.script)
                .or_insert_with(|| job.answer(stall_ms));
        }
        let answers: Vec<Value> = answers.into_values().collect();
        self.provider.clear().await?;
        self.provider.script(&json!({ "answers": answers })).await?;
        let asked = jobs.iter().map(async |job| {
            let client = self.gateway.client(job.tenant.name())?;
            anyhow::Ok((job, client.chat(&job.body()).await))
        });
        let mut asked = stream::iter(asked).buffer_unordered(clients);
        while let Some(answered) = asked.next().await {
            let (job, reply) = answered?;
            let is_secret = !job.speech.forbidden.is_empty();
            let word = if job.stalls {
                "stalled"
            } else if is_secret {
                job.tenant.name()
            } else {
                "clean"
            };
            *told.streams.entry(word.to_owned()).or_default() += 1;
            let checked = reply.and_then(|reply| {
                let id = reply
                    .header("x-pointsman-request-id")
                    .context("no request id")?;
                let is_cut = job.tenant == Tenant::Cut;
                let sent = (
                    Digest(Sha256::digest(&reply.body).into()),
                    reply.body.len() as u64,
                    is_cut,
                );
                told.sent.insert(id.to_owned(), sent);
                job.check(&reply)
            });
            if let Err(error) = checked {
                told.wrong.push(format!("{}: {error:#}", job.name()));
            }
        }
        Ok(())
    }

    /// Compares the decisions with what clients were sent.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub async fn decisions(&self, told: &mut Told) -> anyhow::Result<()> {
        let mut records: BTreeMap<String, Closed> = BTreeMap::new();
        eventually("every stream's record", async || {
            let read = closed(&self.gateway).unwrap_or_default();
            records = read
                .into_iter()
                .map(|closed| (closed.id.to_string(), closed))
                .collect();
            told.sent.keys().all(|id| records.contains_key(id))
        })
        .await?;
        for (id, (digest, bytes, is_cut)) in &told.sent {
            let record = &records[id];
            let outcome = if *is_cut { Outcome::Cut } else { Outcome::Ok };
            let holds = record.response_digest == Some(*digest)
                && record.response_bytes == *bytes
                && record.outcome == outcome;
            if !holds {
                told.wrong.push(format!(
                    "the decision {id} tells {:?} of {} bytes, not {outcome:?} of {bytes}, or another digest",
                    record.outcome, record.response_bytes
                ));
            }
        }
        Ok(())
    }
}
