//! One random stream through random guards of the release engine: texts, tool arguments, interleaving, cuts of the
//! bytes and pauses come from a seed.
//!
//! Checked after each event: nothing but masked text left, in order; no guard holds more, or longer, than it declared.
//! Checked at the end: the client has the masked whole, and the engine counted what the client has.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use pointsman_domain::guard::Action;
use pointsman_wire::release::{Command, Release, ReleaseLimits, Shape};
use pointsman_wire::sse::Decoder;
use serde_json::{Value, json};

pub use super::case::Kind;
use super::case::{Field, NAME, Source, Wanted, expected, guards, sources};
use super::client::View;
use super::guards::Guard;
use super::random::Random;

/// Expiries of one pause, far more than guards times channels.
const EXPIRIES_MAX: usize = 10_000;

/// Runs the stream of a seed.
///
/// # Errors
/// What does not hold.
pub fn run(seed: u64) -> anyhow::Result<Kind> {
    let kind = Kind::of(seed);
    let mut random = Random::new(seed);
    let guards = guards(kind, &mut random);
    let sources = sources(kind, &guards, &mut random);
    let mut bench = Bench::new(kind, guards, random);
    let played = bench.play(sources);
    played.with_context(|| {
        let text = String::from_utf8_lossy;
        format!(
            "the {} stream of seed {seed} through {:?}\nsent:\n{}\nleft:\n{}",
            kind.name(),
            bench.guards,
            text(&bench.sent),
            text(&bench.out)
        )
    })?;
    Ok(kind)
}

/// The engine with its guards and its client, on a clock of their own.
struct Bench {
    kind: Kind,
    release: Release,
    guards: Vec<Guard>,
    random: Random,
    decoder: Decoder,
    now_ms: u64,
    sent: Vec<u8>,
    out: Vec<u8>,
    view: View,
}

impl Bench {
    fn new(kind: Kind, guards: Vec<Guard>, random: Random) -> Self {
        let specs = guards.iter().map(Guard::spec).collect();
        let shape = Shape::Stream {
            client_wants_usage: true,
        };
        Self {
            kind,
            release: Release::new(specs, shape, ReleaseLimits::default()),
            guards,
            random,
            decoder: Decoder::new(1 << 20),
            now_ms: 0,
            sent: Vec::new(),
            out: Vec::new(),
            view: View::default(),
        }
    }

    fn drive(&mut self) -> anyhow::Result<()> {
        let mut cut: Vec<u32> = Vec::new();
        while let Some(Command { layer, op }) = self.release.command() {
            let actions = self.guards[layer].run(op, self.now_ms, &mut self.random)?;
            for action in &actions {
                if let Action::Cut { choice, .. } = action {
                    cut.extend(choice);
                }
            }
            self.release.answer(actions)?;
        }
        for guard in &mut self.guards {
            cut.iter().for_each(|choice| guard.forget(*choice));
        }
        while let Some(bytes) = self.release.output() {
            self.view.push(&bytes)?;
            self.out.extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// Lets time pass, as the gateway does: it wakes when something is due.
    fn pass_to(&mut self, ms: u64) -> anyhow::Result<()> {
        let mut rounds = 0;
        while let Some(at) = self.release.expires_at_ms().filter(|at| *at <= ms) {
            self.now_ms = at.max(self.now_ms);
            self.release.expire(self.now_ms);
            self.drive()?;
            rounds += 1;
            ensure!(rounds < EXPIRIES_MAX, "what is due at {at} stays due");
        }
        self.now_ms = ms;
        Ok(())
    }

    /// The provider's bytes, cut anywhere.
    fn event(&mut self, data: &str) -> anyhow::Result<()> {
        let bytes = format!("data: {data}\n\n").into_bytes();
        let cut = self.random.below(bytes.len());
        for piece in [&bytes[..cut], &bytes[cut..]] {
            self.decoder.push(piece);
            while let Some(event) = self.decoder.next_event()? {
                self.release.event(event, self.now_ms);
                self.drive()?;
            }
        }
        self.sent.extend_from_slice(&bytes);
        self.pass_to(self.now_ms)
    }

    fn pause(&mut self) -> anyhow::Result<()> {
        let ms = match (self.kind, self.random.below(12)) {
            (Kind::Bounded, 0) => self.random.below(700),
            (_, 1..6) => 0,
            _ => self.random.below(20),
        };
        self.pass_to(self.now_ms + ms as u64)
    }

    fn play(&mut self, mut sources: Vec<Source>) -> anyhow::Result<()> {
        let mut choices: Vec<u32> = sources.iter().map(|source| source.choice).collect();
        choices.dedup();
        while sources.iter().any(|source| !source.fragments.is_empty()) {
            self.pause()?;
            let data = self.next_chunk(&mut sources);
            self.event(&data)?;
            self.check_now(&sources)?;
        }
        for choice in &choices {
            self.pause()?;
            let end = json!([{"index": choice, "delta": {}, "finish_reason": "stop"}]);
            self.event(&chunk(&end).to_string())?;
        }
        if !self.random.one_in(4) {
            let mut usage = chunk(&json!([]));
            usage["usage"] = json!({"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8});
            self.event(&usage.to_string())?;
        }
        if self.kind == Kind::Clean || !self.random.one_in(8) {
            self.event("[DONE]")?;
        }
        self.release.end(self.now_ms);
        self.drive()?;
        self.check_end(&sources, &choices)
    }

    /// A chunk with the next fragments of some sources.
    fn next_chunk(&mut self, sources: &mut [Source]) -> String {
        let mut deltas: BTreeMap<u32, Value> = BTreeMap::new();
        let mut empty = true;
        let count = 1 + self.random.below(3);
        let mut turn = 0;
        while empty || turn < count {
            turn += 1;
            let at = self.random.below(sources.len());
            let source = &mut sources[at];
            let taken = deltas
                .get(&source.choice)
                .is_some_and(|delta| match source.field {
                    Field::Call(_) => !delta["tool_calls"].is_null(),
                    field => !delta[field.key()].is_null(),
                });
            if taken {
                continue;
            }
            let Some(fragment) = source.fragments.pop_front() else {
                continue;
            };
            empty = false;
            // A guard for letters makes the same of a piece as of the whole.
            let bytes = expected(&self.guards, &fragment).text.len();
            source.arrived.push((bytes, self.now_ms));
            let delta = deltas.entry(source.choice).or_insert_with(|| json!({}));
            if let Field::Call(index) = source.field {
                let mut call = json!({"index": index, "function": {"arguments": fragment}});
                if !std::mem::replace(&mut source.begun, true) {
                    call["id"] = format!("call_{index}").into();
                    call["type"] = "function".into();
                    call["function"]["name"] = NAME.into();
                }
                delta["tool_calls"] = json!([call]);
            } else {
                delta[source.field.key()] = fragment.into();
            }
        }
        let choice =
            |(index, delta)| json!({"index": index, "delta": delta, "finish_reason": null});
        let choices: Vec<Value> = deltas.into_iter().map(choice).collect();
        chunk(&choices.into()).to_string()
    }

    /// What holds at any time.
    fn check_now(&self, sources: &[Source]) -> anyhow::Result<()> {
        for guard in &self.guards {
            guard.within_bounds(self.now_ms)?;
        }
        let is_measured = self.guards.iter().all(Guard::is_measurable);
        let bytes: usize = self
            .guards
            .iter()
            .map(|guard| guard.bytes_max as usize)
            .sum();
        let ms: u64 = self
            .guards
            .iter()
            .map(|guard| u64::from(guard.ms_max))
            .sum();
        for source in sources {
            let Wanted::Text(expected) = &source.wanted else {
                continue;
            };
            let found = self.found(source);
            ensure!(
                expected.text.starts_with(found),
                "`{found}` left, and is no beginning of `{}`",
                expected.text
            );
            if !is_measured {
                continue;
            }
            let arrived = source.arrived.iter();
            let due = arrived.clone().filter(|(_, at)| at + ms <= self.now_ms);
            let due: usize = due.map(|(bytes, _)| bytes).sum();
            let all: usize = arrived.map(|(bytes, _)| bytes).sum();
            ensure!(
                found.len() >= due,
                "{} bytes left of {due} that are due",
                found.len()
            );
            ensure!(
                found.len() + bytes >= all,
                "{} bytes left of {all}, {bytes} may be held",
                found.len()
            );
        }
        Ok(())
    }

    fn found(&self, source: &Source) -> &str {
        let Some(choice) = self.view.choices.get(&u64::from(source.choice)) else {
            return "";
        };
        match source.field {
            Field::Content => &choice.content,
            Field::Reasoning => &choice.reasoning,
            Field::Refusal => &choice.refusal,
            Field::Call(index) => choice.calls.get(&index).map_or("", |(_, text)| text),
        }
    }

    fn check_end(&self, sources: &[Source], choices: &[u32]) -> anyhow::Result<()> {
        let summary = self.release.summary();
        ensure!(self.view.done && summary.done, "it has no end");
        ensure!(
            summary.provider_error.is_none(),
            "{:?}",
            summary.provider_error
        );
        if self.kind == Kind::Clean {
            ensure!(self.out == self.sent, "the bytes are not the provider's");
        }
        for choice in choices {
            let of = sources.iter().filter(|source| source.choice == *choice);
            let cut = of.clone().any(Source::is_cut);
            let finish = self.view.choices.get(&u64::from(*choice));
            let finish = finish.and_then(|choice| choice.finish.as_deref());
            let wanted = if cut { "content_filter" } else { "stop" };
            ensure!(
                finish == Some(wanted),
                "choice {choice} finished {finish:?}, not {wanted}"
            );
            for source in of {
                self.check_source(source, cut)?;
            }
        }
        let client: usize = self
            .view
            .choices
            .values()
            .map(super::client::Choice::bytes)
            .sum();
        // Escapes that leave as they came are longer than the text that is counted.
        let is_plain = sources.iter().all(|source| source.is_plain);
        ensure!(
            !is_plain || summary.released_text_bytes == client as u64,
            "{} bytes are told as released, the client has {client}",
            summary.released_text_bytes
        );
        ensure!(
            self.guards.iter().all(Guard::is_empty),
            "a guard still holds text"
        );
        ensure!(
            self.guards.iter().all(|guard| guard.finished == Some(true)),
            "a guard was not told the end"
        );
        Ok(())
    }

    fn check_source(&self, source: &Source, cut: bool) -> anyhow::Result<()> {
        let found = self.found(source);
        match &source.wanted {
            Wanted::Text(expected) if cut => {
                ensure!(
                    expected.text.starts_with(found),
                    "`{found}`, not of `{}`",
                    expected.text
                );
            }
            Wanted::Text(expected) => {
                ensure!(found == expected.text, "`{found}`, not `{}`", expected.text);
            }
            Wanted::Arguments { .. } if cut => {}
            Wanted::Arguments { name, value, .. } => {
                let told: Value =
                    serde_json::from_str(found).with_context(|| format!("no JSON: {found}"))?;
                ensure!(told == *value, "{told}, not {value}");
                let Field::Call(index) = source.field else {
                    return Ok(());
                };
                let told = &self.view.choices[&u64::from(source.choice)].calls[&index].0;
                ensure!(*told == name.text, "named {told}, not {}", name.text);
            }
        }
        Ok(())
    }
}

fn chunk(choices: &Value) -> Value {
    json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": "f",
        "choices": choices})
}
