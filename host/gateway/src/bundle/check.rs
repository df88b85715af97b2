//! `policy check`: a bundle against the node, and its cases through the very code that serves.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use pointsman_domain::Digest;
use pointsman_plugin::{Runtime, RuntimeConfig};
use pointsman_policy::cases::{Mismatch, compare};
use pointsman_policy::finding::Finding;
use pointsman_policy::lock::{self, Lock};
use pointsman_policy::policy::Kind;
use serde::Serialize;

use super::{Folder, House, World};
use crate::node::Settings;
use crate::pipeline::rehearse;
use crate::snapshot::PolicyLive;

/// What came of a check.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Checked {
    policy: String,
    /// Of floor and bundle together; absent where it could not be made ready.
    digest: Option<Digest>,
    steps: usize,
    findings: Vec<Finding>,
    /// What its response guards may hold, added up.
    hold_back: HoldBack,
    cases: Vec<CaseResult>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct HoldBack {
    guards: usize,
    bytes: u64,
    ms: u64,
    /// A guard that needs the whole answer: streams are buffered.
    whole_answer: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct CaseResult {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) mismatches: Vec<Mismatch>,
}

impl Checked {
    /// Whether the bundle would be taken.
    pub(crate) fn sound(&self) -> bool {
        !self.findings.iter().any(Finding::is_error)
            && self.cases.iter().all(|case| case.mismatches.is_empty())
    }
}

/// Checks a bundle's folder; with `pin`, writes its lock once it is sound.
pub(crate) fn check(settings: &Settings, path: &Path, pin: bool) -> anyhow::Result<Checked> {
    let compiled = settings.state().join("compiled");
    let runtime = Runtime::new(RuntimeConfig {
        compile_cache_dir: Some(compiled),
        ..RuntimeConfig::default()
    })
    .context("cannot start the plugin runtime")?;
    let house = House::facts(&settings.config)?;
    let world = World::of_folders(settings, &runtime, &house)?;
    let mut folder = match Folder::read(path) {
        Ok(folder) => folder,
        // What is no policy at all is a finding like any other: the caller learns place and reason.
        Err(error) => return Ok(unreadable(path, &error)),
    };
    if pin {
        folder.lock = None;
    }
    let floor = if folder.policy.kind == Kind::Floor {
        None
    } else {
        world.floor(settings)?
    };
    let mut checked = Checked {
        policy: folder.policy.name.clone(),
        digest: None,
        steps: folder.policy.steps.len(),
        findings: world.findings(&folder, floor.as_ref()),
        hold_back: HoldBack::default(),
        cases: Vec::new(),
    };
    if !checked.sound() {
        return Ok(checked);
    }
    let digest = world.digest(&folder, floor.as_ref())?;
    match world.live(&folder, floor.as_ref(), digest, 0) {
        Ok(live) => {
            checked.digest = Some(digest);
            checked.hold_back = hold_back(&live);
            checked.cases = rehearsed(&Arc::new(live), &folder)?;
        }
        Err(error) => checked.findings.push(Finding::error(
            pointsman_policy::finding::Path::default(),
            format!("{error:#}"),
        )),
    }
    if pin && checked.sound() {
        let lock = Lock::pin(&folder.policy, &world.facts)
            .map_err(|_| anyhow::anyhow!("a checked policy can be locked"))?;
        let file = folder.path.join(lock::FILE_NAME);
        std::fs::write(&file, lock.render())
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(checked)
}

fn unreadable(path: &Path, error: &anyhow::Error) -> Checked {
    Checked {
        policy: path.display().to_string(),
        digest: None,
        steps: 0,
        findings: vec![Finding::error(
            pointsman_policy::finding::Path::default(),
            format!("{error:#}"),
        )],
        hold_back: HoldBack::default(),
        cases: Vec::new(),
    }
}

fn hold_back(live: &PolicyLive) -> HoldBack {
    let mut sum = HoldBack::default();
    for coverage in live
        .response_guards()
        .iter()
        .filter_map(|step| step.step.coverage())
    {
        sum.guards += 1;
        if coverage.hold_back_bytes == u32::MAX {
            sum.whole_answer = true;
        } else {
            sum.bytes += u64::from(coverage.hold_back_bytes);
        }
        sum.ms += u64::from(coverage.hold_back_ms);
    }
    sum
}

/// Runs the cases of a bundle.
pub(crate) fn rehearsed(
    live: &Arc<PolicyLive>,
    folder: &Folder,
) -> anyhow::Result<Vec<CaseResult>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(async {
        let mut results = Vec::with_capacity(folder.cases.len());
        for case in &folder.cases {
            let outcome = rehearse(live, case)
                .await
                .with_context(|| format!("case `{}` (line {})", case.name, case.line))?;
            results.push(CaseResult {
                name: case.name.clone(),
                line: case.line,
                mismatches: compare(&case.expect, &outcome),
            });
        }
        Ok(results)
    })
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let failed: Vec<_> = self
            .cases
            .iter()
            .filter(|case| !case.mismatches.is_empty())
            .collect();
        for case in &failed {
            writeln!(f, "case `{}` (cases.jsonl:{}) fails:", case.name, case.line)?;
            for mismatch in &case.mismatches {
                writeln!(f, "  {mismatch}")?;
            }
        }
        if !self.sound() {
            let errors = self
                .findings
                .iter()
                .filter(|finding| finding.is_error())
                .count();
            return write!(
                f,
                "{} is refused: {errors} errors, {} of {} cases fail",
                self.policy,
                failed.len(),
                self.cases.len()
            );
        }
        let digest = self
            .digest
            .map_or_else(String::new, |digest| format!(" ({digest})"));
        write!(
            f,
            "{} is sound: {} steps, {} cases hold{digest}",
            self.policy,
            self.steps,
            self.cases.len()
        )?;
        let held = &self.hold_back;
        if held.guards > 0 {
            let bytes = if held.whole_answer {
                "the whole answer".to_owned()
            } else {
                format!("{} bytes", held.bytes)
            };
            write!(
                f,
                "\nits {} response guards may hold back {bytes} and {} ms of a stream",
                held.guards, held.ms
            )?;
        }
        Ok(())
    }
}
