//! `pointsman plugin test --recorded`: a plugin on what requests really were, beside what was recorded of them.
//!
//! Promises: each request is decided twice by the code that serves, once as it was and once with the plugin in the
//! place of one step; only what comes out the first time as its record says, digest and all, is compared. What cannot
//! be rebuilt so is told as not replayable, with why, and never guessed. Content is shown where it is asked for alone.

mod differences;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use clap::Args;
use pointsman_audit::Content;
use pointsman_control::{Decision, Wanted};
use pointsman_domain::Digest;
use pointsman_domain::decision::{Capture, Opened, StepRecord};
use pointsman_plugin::Plugin;
use serde::Serialize;
use serde_json::Value as Json;

use self::differences::{Difference, differences};
use super::{build, load, runtime};
use crate::bundle::StandIn;
use crate::cli::{Place, failure, say, say_json, warn};
use crate::decisions::list_those;
use crate::node::Settings;
use crate::pipeline::{Inputs, Recorded, Rerun, rerun};
use crate::plane::{Past, Served};
use crate::snapshot::PolicyLive;

/// Between two lines that say how far it is.
const PROGRESS: Duration = Duration::from_secs(2);
/// Differences that are told one by one.
const TOLD_MAX: usize = 20;
/// Nothing could be compared, as with wrong usage.
const NOTHING: u8 = 2;

const NONE_CAPTURED: &str = "no captured requests: set audit.capture = \"full\" in the policy, activate it, and let requests come; what came before was not kept";

/// Which recorded requests, and how.
#[derive(Args)]
pub(crate) struct Arguments {
    /// On recorded requests instead of the cases; needs `audit.capture = "full"` in their policy
    #[arg(long)]
    recorded: bool,
    /// The gateway's state folder [default: what the configuration says]
    #[arg(long, requires = "recorded", value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Requests of this policy alone
    #[arg(long, requires = "recorded", value_name = "NAME")]
    policy: Option<String>,
    /// In the place of this step [default: each step of a plugin of this name]
    #[arg(long, requires = "recorded", value_name = "ID")]
    step: Option<String>,
    /// Requests of this tenant alone
    #[arg(long, requires = "recorded", value_name = "ID")]
    tenant: Option<String>,
    /// Requests since then: 90s, 15m, 2h or 7d back, or milliseconds since the epoch
    #[arg(long, requires = "recorded", value_name = "TIME", value_parser = crate::cli::time)]
    since: Option<u64>,
    /// The newest so many requests
    #[arg(long, requires = "recorded", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// A configuration to try, JSON or TOML [default: the recorded step's]
    #[arg(long, requires = "recorded", value_name = "FILE")]
    step_config: Option<PathBuf>,
    /// Show text that differs; it is the callers' content
    #[arg(long, requires = "recorded")]
    show_content: bool,
    /// Print JSON
    #[arg(long, requires = "recorded")]
    json: bool,
}

impl Arguments {
    pub(crate) const fn is_recorded(&self) -> bool {
        self.recorded
    }
}

pub(super) fn test(place: &Place, folder: &Path, arguments: &Arguments) -> ExitCode {
    match compared(place, folder, arguments) {
        Ok(code) => code,
        Err(error) => {
            let _always_the_same = failure::told(&error);
            ExitCode::from(NOTHING)
        }
    }
}

fn compared(place: &Place, folder: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::load(place.file().as_deref())?;
    if let Some(state) = &arguments.state {
        settings.config.state = state.display().to_string();
    }
    let component = if folder.is_file() {
        folder.to_owned()
    } else {
        build(folder, None)?
    };
    // Where the gateway has what it compiled.
    let runtime = runtime(Some(settings.state()))?;
    let plugin = load(&runtime, &component)?;
    let config = arguments
        .step_config
        .as_deref()
        .map(read_config)
        .transpose()?;
    let past = Past::open(&settings, &runtime)?;
    let name = &plugin.info().name;
    let is_meant = |step: &StepRecord| match &arguments.step {
        Some(id) => step.id == *id,
        None => step.plugin.split_once('@').map(|(name, _)| name) == Some(name),
    };
    let decisions = recorded(&settings, arguments, is_meant)?;
    ensure!(
        !decisions.is_empty(),
        "no recorded request in {} ran {}; `pointsman decisions list` shows what there is",
        settings.decisions_dir().display(),
        match &arguments.step {
            Some(id) => format!("a step `{id}`"),
            None => format!("a step of a plugin `{name}`; name one with --step"),
        }
    );
    let mut trial = Trial {
        past: &past,
        plugin: &plugin,
        config,
        content: settings.content_dir(),
        served: HashMap::new(),
        show_content: arguments.show_content,
        told: Told::default(),
    };
    trial.all(&decisions, is_meant)?;
    trial.told.end(&plugin, arguments.json)
}

fn read_config(path: &Path) -> anyhow::Result<Json> {
    let text = crate::bundle::read_text(path)?;
    let name = path.display().to_string();
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        let table: serde_json::Map<String, Json> = pointsman_policy::document::parse(&name, &text)?;
        return Ok(Json::Object(table));
    }
    let config: Json = serde_json::from_str(&text).with_context(|| format!("{name} is no JSON"))?;
    ensure!(config.is_object(), "{name} is no JSON object");
    Ok(config)
}

/// The newest decisions in which a step that is meant ran.
fn recorded(
    settings: &Settings,
    arguments: &Arguments,
    is_meant: impl Fn(&StepRecord) -> bool,
) -> anyhow::Result<Vec<Decision>> {
    let wanted = Wanted {
        tenant: arguments.tenant.clone(),
        target: None,
        outcome: None,
        since_ms: arguments.since,
        limit: arguments.limit as usize,
    };
    let listed = list_those(&settings.decisions_dir(), &wanted, usize::MAX, |decision| {
        let opened = decision.opened.as_deref();
        let is_policys = |opened: &Opened| {
            arguments
                .policy
                .as_ref()
                .is_none_or(|name| opened.policy == *name)
        };
        opened.is_some_and(is_policys) && steps(decision).any(&is_meant)
    })?;
    if listed.damaged > 0 {
        warn(&format!(
            "note: {} lines of the log do not hold and were passed over; `pointsman audit verify` says where",
            listed.damaged
        ));
    }
    Ok(listed.decisions)
}

/// The steps that were asked.
fn steps(decision: &Decision) -> impl Iterator<Item = &StepRecord> {
    let opened = decision.opened.iter().flat_map(|opened| &opened.steps);
    let closed = decision.closed.iter().flat_map(|closed| &closed.steps);
    opened
        .chain(closed)
        .filter(|step| step.verdict != "skipped")
}

/// What decided a request: policy, version, and digests of both it and its prices.
type Key = (String, u64, Digest, Option<Digest>);

/// One policy as it was, and with the plugin in the place of a step.
struct Rebuilt {
    served: Served,
    was: Arc<PolicyLive>,
    tried: HashMap<String, Arc<PolicyLive>>,
}

struct Trial<'a> {
    past: &'a Past<'a>,
    plugin: &'a Arc<Plugin>,
    config: Option<Json>,
    content: PathBuf,
    /// Or why it cannot be rebuilt.
    served: HashMap<Key, Result<Rebuilt, String>>,
    show_content: bool,
    told: Told,
}

/// Why a recorded step cannot be run again.
struct NotReplayable(String);

impl Trial<'_> {
    fn all(
        &mut self,
        decisions: &[Decision],
        is_meant: impl Fn(&StepRecord) -> bool,
    ) -> anyhow::Result<()> {
        let local = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        let mut said = Instant::now();
        for (index, decision) in decisions.iter().enumerate() {
            let opened = decision.opened.as_ref().context("filtered above")?;
            let asked: Vec<&StepRecord> = steps(decision).filter(|step| is_meant(step)).collect();
            let compared = local.block_on(self.one(decision, opened, &asked))?;
            if let Err(NotReplayable(why)) = compared {
                for step in asked {
                    self.told.not_replayable(opened, step, &why);
                }
            }
            if said.elapsed() >= PROGRESS {
                warn(&format!("{} of {} requests", index + 1, decisions.len()));
                said = Instant::now();
            }
        }
        Ok(())
    }

    /// Compares one request's steps; the inner error holds for all of them.
    async fn one(
        &mut self,
        decision: &Decision,
        opened: &Opened,
        asked: &[&StepRecord],
    ) -> anyhow::Result<Result<(), NotReplayable>> {
        let (inputs, body) = match self.kept(opened)? {
            Ok(kept) => kept,
            Err(why) => return Ok(Err(why)),
        };
        let key = (
            opened.policy.clone(),
            opened.version,
            opened.policy_digest,
            opened.prices_digest,
        );
        let past = self.past;
        let rebuilt = self
            .served
            .entry(key)
            .or_insert_with(|| rebuilt(past, opened).map_err(|error| format!("{error:#}")));
        let rebuilt = match rebuilt {
            Ok(rebuilt) => rebuilt,
            Err(why) => return Ok(Err(NotReplayable(why.to_owned()))),
        };
        let recorded = Recorded {
            opened,
            closed: decision.closed.as_deref(),
            inputs: &inputs,
            body,
        };
        let was = match rerun(&rebuilt.was, &recorded).await {
            Ok(was) => was,
            Err(error) => return Ok(Err(NotReplayable(format!("{error:#}")))),
        };
        for &step in asked {
            if let Err(NotReplayable(why)) = agrees(decision, step, &was) {
                self.told.not_replayable(opened, step, &why);
                continue;
            }
            if !rebuilt.tried.contains_key(&step.id) {
                let stand_in = StandIn {
                    step: step.id.clone(),
                    plugin: Arc::clone(self.plugin),
                    config: self.config.clone(),
                };
                let live = past
                    .live(&rebuilt.served, Some(stand_in))
                    .with_context(|| format!("it cannot take the place of `{}`", step.id))?;
                rebuilt.tried.insert(step.id.clone(), Arc::new(live));
            }
            let is = rerun(&rebuilt.tried[&step.id], &recorded).await?;
            let found = differences(step, &was, &is, self.show_content);
            self.told.compared(opened, step, found);
        }
        Ok(Ok(()))
    }

    /// What was kept of a request.
    fn kept(&self, opened: &Opened) -> anyhow::Result<Result<(Inputs, Bytes), NotReplayable>> {
        let not = |why: &str| Ok(Err(NotReplayable(why.to_owned())));
        let Some(captured) = &opened.content else {
            return not("its policy captured no content");
        };
        let (place, commitment) = match (captured.capture, &captured.place, &captured.commitment) {
            (Capture::TooLarge, ..) => return not("it was larger than audit.capture-bytes-max"),
            (Capture::Full, Some(place), Some(commitment)) => (place, commitment),
            _ => return not("its content could not be written then"),
        };
        let place = place.parse().context("a record's place of content")?;
        let content = pointsman_audit::content(&self.content, &place, &opened.id, commitment)?;
        let bytes = match content {
            Content::Kept(bytes) => bytes,
            Content::Erased => return not("its content was erased"),
            Content::Missing => return not("its content is not in the state folder any more"),
            Content::Damaged => return not("its content is damaged"),
        };
        match Inputs::read(&bytes) {
            Some(kept) => Ok(Ok(kept)),
            None => not("its content was kept by a version that this one does not read"),
        }
    }
}

fn rebuilt(past: &Past<'_>, opened: &Opened) -> anyhow::Result<Rebuilt> {
    let served = past.served(opened)?;
    Ok(Rebuilt {
        was: Arc::new(past.live(&served, None)?),
        served,
        tried: HashMap::new(),
    })
}

/// Whether everything up to a step came out as it is recorded: then it was told what it was told then.
fn agrees(decision: &Decision, step: &StepRecord, was: &Rerun) -> Result<(), NotReplayable> {
    if step.phase == "guard-response" {
        let why = "answers are not captured, so no response guard can be run again";
        return Err(NotReplayable(why.to_owned()));
    }
    let is_same = |one: &StepRecord, other: &StepRecord| {
        one.id == other.id
            && one.phase == other.phase
            && one.verdict == other.verdict
            && one.imports_digest == other.imports_digest
    };
    let differs = |id: &str| {
        NotReplayable(format!(
            "its step `{id}` comes out otherwise than it is recorded: it read what is not kept (counts of its tenant, secrets, embeddings), or its instances were pooled"
        ))
    };
    let opened = decision.opened.iter().flat_map(|opened| &opened.steps);
    if step.phase == "account" {
        let found = was.later_steps.iter().find(|other| other.id == step.id);
        return match found {
            Some(found) if is_same(step, found) => Ok(()),
            _ => Err(differs(&step.id)),
        };
    }
    let mut rerun = was.steps.iter();
    for recorded in opened {
        match rerun.next() {
            Some(found) if is_same(recorded, found) => {}
            _ => return Err(differs(&recorded.id)),
        }
        if std::ptr::eq(recorded, step) {
            break;
        }
    }
    Ok(())
}

/// One recorded step that comes out otherwise.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Differs {
    id: String,
    step: String,
    phase: String,
    differences: Vec<Difference>,
}

/// What came of all of it.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Told {
    same: usize,
    differ: usize,
    not_replayable: usize,
    /// Why not, how often.
    reasons: BTreeMap<String, usize>,
    differing: Vec<Differs>,
    #[serde(skip)]
    was_captured: bool,
}

impl Told {
    fn not_replayable(&mut self, opened: &Opened, step: &StepRecord, why: &str) {
        self.was_captured |= opened.content.is_some();
        self.not_replayable += 1;
        let reason = format!("{} ({}): {why}", step.id, step.phase);
        *self.reasons.entry(reason).or_default() += 1;
    }

    fn compared(&mut self, opened: &Opened, step: &StepRecord, differences: Vec<Difference>) {
        self.was_captured = true;
        if differences.is_empty() {
            self.same += 1;
            return;
        }
        self.differ += 1;
        self.differing.push(Differs {
            id: opened.id.0.clone(),
            step: step.id.clone(),
            phase: step.phase.clone(),
            differences,
        });
    }

    fn end(&self, plugin: &Plugin, json: bool) -> anyhow::Result<ExitCode> {
        if !self.was_captured {
            bail!(NONE_CAPTURED);
        }
        let info = plugin.info();
        if json {
            let mut told = serde_json::to_value(self)?;
            told["plugin"] = format!("{}@{}", info.name, info.version).into();
            told["digest"] = plugin.digest().to_string().into();
            say_json(&told)?;
        } else {
            self.show(&format!("{}@{}", info.name, info.version));
        }
        Ok(if self.differ > 0 {
            ExitCode::FAILURE
        } else if self.same > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(NOTHING)
        })
    }

    fn show(&self, plugin: &str) {
        for differs in self.differing.iter().take(TOLD_MAX) {
            say(format!(
                "{}  {} ({})",
                differs.id, differs.step, differs.phase
            ));
            for difference in &differs.differences {
                say(format!("  {difference}"));
            }
        }
        if self.differing.len() > TOLD_MAX {
            let more = self.differing.len() - TOLD_MAX;
            say(format!(
                "and {more} more that differ; --json tells them all"
            ));
        }
        for (why, times) in &self.reasons {
            say(format!("not replayable, {times} times: {why}"));
        }
        say(format!(
            "{plugin} on recorded requests: {} the same, {} differ, {} not replayable",
            self.same, self.differ, self.not_replayable
        ));
    }
}
