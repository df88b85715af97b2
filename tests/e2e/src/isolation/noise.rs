//! A tenant that does its worst beside one that sends at a fixed rate: loops, memory bombs, bodies of 31 MiB, and
//! streams that nobody reads.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Method;
use pointsman_harness::{Client, Gateway, GatewayOptions, Provider, Raw, eventually};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::{policy, says, step, streams};

/// The quiet tenant's requests come so long after one another.
const PERIOD: Duration = Duration::from_millis(25);
/// What the noisy tenant asks for is told apart by its `max_tokens`.
const LOOP: u64 = 11;
const BOMB: u64 = 12;
const STREAM: u64 = 14;
/// Clients of each kind at once.
const LOOPS: usize = 4;
const BOMBS: usize = 2;
const BODIES: usize = 2;
const BODY_BYTES: usize = 31 << 20;
/// Between the events of a stream that nobody reads.
const TRICKLE_MS: u64 = 10_000;
/// Niceness of the noise's clients.
const CLIENTS_NICE: i32 = 10;
/// Readers that connect at once.
const CONNECTING: usize = 50;

/// Gateway, provider, and the two tenants.
#[derive(Debug)]
pub struct Neighbours {
    gateway: Gateway,
    /// To the thread of the quiet tenant's clients.
    measure: mpsc::UnboundedSender<Measure>,
    /// One each: what the noise costs a provider is not the gateway's.
    _providers: [Provider; 2],
}

/// Sends for so long and tells what it saw.
#[derive(Debug)]
struct Measure {
    client: Client,
    length: Duration,
    told: oneshot::Sender<Quiet>,
}

/// Which noise is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loudness {
    /// Plugins that never return.
    pub loops: bool,
    /// Plugins that take all memory.
    pub bombs: bool,
    /// Bodies of 31 MiB.
    pub bodies: bool,
    /// Streams that nobody reads.
    pub readers: usize,
}

/// What one measurement of the quiet tenant saw.
#[derive(Clone, Debug, Default)]
pub struct Quiet {
    /// Milliseconds from when each request was due to the end of its answer, ascending.
    pub ms: Vec<f64>,
    /// What was not answered whole.
    pub errors: Vec<String>,
}

impl Quiet {
    /// The latency that this share of requests does not exceed, milliseconds.
    #[must_use]
    pub fn percentile(&self, share: f64) -> f64 {
        let last = self.ms.len().saturating_sub(1);
        let at = ((last as f64) * share).round() as usize;
        self.ms.get(at).copied().unwrap_or(f64::INFINITY)
    }
}

/// What the noisy tenant got done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noise {
    /// Requests whose plugin looped.
    pub loops: usize,
    /// Requests whose plugin took all memory.
    pub bombs: usize,
    /// Bodies that arrived.
    pub bodies: usize,
    /// Streams that were open and unread throughout.
    pub readers: usize,
    /// Requests that were refused: its own limits hold.
    pub refused: usize,
}

/// Its steps never rest, however often they fault: tripping would end the noise.
fn steps_of_noisy() -> String {
    let guest = |id: &str, behaviour: &str, tokens: u64| {
        let more = format!(
            "when = \"request.max_output_tokens == {tokens}\"\nconfig = {{ behaviour = \"{behaviour}\" }}\nlimits = {{ faults-max = 0 }}"
        );
        step(id, "classify", "pointsman-guests@0.1", "deny", &more)
    };
    guest("loop", "loop", LOOP) + &guest("bomb", "memory", BOMB)
}

fn steps_of_quiet() -> String {
    let mail = "config = { email = \"mask\" }";
    step("echo", "classify", "pointsman-guests@0.1", "deny", "")
        + &step("in", "guard-request", "guard-pii@0.1", "deny", mail)
        + &step("out", "guard-response", "guard-pii@0.1", "deny", mail)
}

impl Neighbours {
    /// Starts them.
    ///
    /// # Errors
    /// Where something is not built or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let (provider, own) = (Provider::start().await?, Provider::start().await?);
        let event = json!({
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "fake",
            "choices": [{"index": 0, "delta": {"content": "more and "}, "finish_reason": null}],
        });
        let stream = json!({
            "match": {"body": {"/max_tokens": STREAM}}, "always": true,
            "headers": {"content-type": "text/event-stream"}, "raw": [format!("data: {event}\n\n")],
            "delays": {"chunk-ms": TRICKLE_MS}, "fault": {"kind": "endless", "after-chunks": 1},
        });
        let text = json!({"text": "one two three four five six"});
        let script = json!({"answers": [stream], "default": text});
        provider.script(&script).await?;
        own.script(&json!({ "default": text })).await?;
        let (endpoint, endpoint_own) = (provider.endpoint(), own.endpoint());

        let tenant = |name: &str| (name.to_owned(), name.to_owned());
        let gateway = Gateway::start(GatewayOptions {
            bundles: vec![
                policy("noisy", &[("fake", &endpoint)], &steps_of_noisy()),
                policy("quiet", &[("fake", &endpoint_own)], &steps_of_quiet()),
            ],
            tenants: vec![tenant("noisy"), tenant("quiet")],
            allow_private: [&provider, &own]
                .map(|it| it.authority().to_owned())
                .to_vec(),
            guests: true,
            settings: json!({"data": {"requests-max": 4096, "client-idle-ms": 600_000}}),
            ..GatewayOptions::default()
        })
        .await?;
        let measure = measuring()?;
        // What the noise costs its own clients would not be on the gateway's machine. A thread's niceness is its own,
        // and is inherited by the threads that it starts from here on.
        rustix::process::setpriority_process(None, CLIENTS_NICE)?;
        Ok(Self {
            gateway,
            measure,
            _providers: [provider, own],
        })
    }

    /// The quiet tenant alone.
    ///
    /// # Errors
    /// Where it has no key.
    pub async fn quiet(&self, length: Duration) -> anyhow::Result<Quiet> {
        let client = self.gateway.client("quiet")?;
        let (told, quiet) = oneshot::channel();
        let asked = self.measure.send(Measure {
            client,
            length,
            told,
        });
        asked.context("the quiet tenant's thread ended")?;
        quiet.await.context("the quiet tenant's thread ended")
    }

    /// The same while the other one makes noise.
    ///
    /// # Errors
    /// Where the noise cannot be made.
    pub async fn beside_noise(
        &self,
        length: Duration,
        loudness: Loudness,
    ) -> anyhow::Result<(Quiet, Noise)> {
        let local = LocalSet::new();
        let held = local.run_until(self.hold(loudness.readers)).await?;
        let told = Rc::new(Cell::new(Noise {
            readers: held.len(),
            ..Noise::default()
        }));
        let done = Rc::new(Cell::new(false));
        let tokens = |tokens: u64| {
            let mut body = says("x");
            body["max_tokens"] = json!(tokens);
            Bytes::from(body.to_string())
        };
        // Read and parsed whole, and then for no model: what follows is the provider's affair.
        let mut large = says(&"x".repeat(BODY_BYTES));
        large["model"] = json!("none");
        let large = Bytes::from(large.to_string());
        let kinds = [
            (tokens(LOOP), LOOPS * usize::from(loudness.loops)),
            (tokens(BOMB), BOMBS * usize::from(loudness.bombs)),
            (large, BODIES * usize::from(loudness.bodies)),
        ];
        let mut running = Vec::new();
        for (kind, (body, clients)) in kinds.into_iter().enumerate() {
            for _ in 0..clients {
                let client = self.gateway.client("noisy")?;
                let (body, told, done) = (body.clone(), Rc::clone(&told), Rc::clone(&done));
                running.push(local.spawn_local(make(client, kind, body, told, done)));
            }
        }
        let quiet = local.run_until(self.quiet(length)).await;
        done.set(true);
        local
            .run_until(async {
                for task in running {
                    task.await?;
                }
                anyhow::Ok(())
            })
            .await?;
        drop(held);
        self.calm().await?;
        Ok((quiet?, told.get()))
    }

    /// Opens streams of the noisy tenant and waits for their first bytes; then nobody reads them.
    async fn hold(&self, count: usize) -> anyhow::Result<Vec<Raw>> {
        let mut body = streams("x");
        body["max_tokens"] = json!(STREAM);
        let body = body.to_string();
        let (url, key) = (&self.gateway.data_url, self.gateway.key("noisy")?);
        let mut held = Vec::with_capacity(count);
        while held.len() < count {
            let some = CONNECTING.min(count - held.len());
            let opened = (0..some).map(async |_| {
                let mut raw = Raw::post(url, "/v1/chat/completions", key, &body).await?;
                let bytes = raw.read().await?;
                let head = String::from_utf8_lossy(&bytes);
                ensure!(head.starts_with("HTTP/1.1 200"), "a reader got {head}");
                Ok(raw)
            });
            held.extend(futures_util::future::try_join_all(opened).await?);
        }
        Ok(held)
    }

    /// Waits until nothing of the noise is under way.
    async fn calm(&self) -> anyhow::Result<()> {
        eventually("the noise is over", async || {
            let under_way = self.gateway.metric("pointsman_in_flight_requests").await;
            under_way.is_ok_and(|count| count == Some(0.0))
        })
        .await
    }
}

/// A thread of its own for the quiet tenant's clients; it ends with the sender.
fn measuring() -> anyhow::Result<mpsc::UnboundedSender<Measure>> {
    let (measure, mut asked) = mpsc::unbounded_channel::<Measure>();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("quiet".to_owned())
        .spawn(move || {
            LocalSet::new().block_on(&runtime, async {
                while let Some(Measure {
                    client,
                    length,
                    told,
                }) = asked.recv().await
                {
                    let quiet = send(client, length).await;
                    let _nobody_waits = told.send(quiet);
                }
            });
        })?;
    Ok(measure)
}

/// The quiet tenant's requests, each when it is due, whatever the last one took.
async fn send(client: Client, length: Duration) -> Quiet {
    let began = Instant::now();
    let mut running = Vec::new();
    let mut due = began;
    while due < began + length {
        tokio::time::sleep_until(due).await;
        let (client, streaming) = (client.clone(), running.len().is_multiple_of(2));
        running.push(tokio::task::spawn_local(async move {
            let answered = answered(&client, streaming).await;
            answered.map(|()| due.elapsed().as_secs_f64() * 1e3)
        }));
        due += PERIOD;
    }
    let mut quiet = Quiet::default();
    for request in running {
        match request.await.context("it panicked").flatten() {
            Ok(ms) => quiet.ms.push(ms),
            Err(error) => quiet.errors.push(format!("{error:#}")),
        }
    }
    quiet.ms.sort_by(f64::total_cmp);
    quiet
}

async fn answered(client: &Client, streaming: bool) -> anyhow::Result<()> {
    let body: Value = if streaming { streams("x") } else { says("x") };
    let reply = client.chat(&body).await?;
    ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    let text = reply.content();
    ensure!(text == "one two three four five six", "it said `{text}`");
    Ok(())
}

/// One noisy client, for as long as the measurement lasts.
async fn make(
    client: Client,
    kind: usize,
    body: Bytes,
    told: Rc<Cell<Noise>>,
    done: Rc<Cell<bool>>,
) {
    while !done.get() {
        let sent = client
            .send(Method::POST, "/v1/chat/completions", body.clone())
            .await;
        let mut noise = told.get();
        let status = sent.map_or(0, |reply| reply.status);
        let is_done = status == if kind < 2 { 502 } else { 404 };
        match kind {
            // Refused, or its connection closed early; it goes on being a nuisance.
            _ if !is_done => noise.refused += 1,
            0 => noise.loops += 1,
            1 => noise.bombs += 1,
            _ => noise.bodies += 1,
        }
        told.set(noise);
        if !is_done {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
