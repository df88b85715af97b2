//! Plugins, versions, activation, prices.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use pointsman_control::api::{
    Activated, Bundle, CaseResult, Checked, Diff, Finding, PolicyView, PushedVersion, VersionView,
};
use pointsman_control::{By, Done, PlaneError};
use pointsman_domain::control::{Change, Pin, Plugin, Version};
use pointsman_domain::{Digest, control};
use pointsman_policy::policy::{Kind, PluginRef};
use pointsman_store::{PolicyLine, State};

use super::build::{Basis, Built, active, floor};
use super::{Live, Make, Plane, Step, diff, earlier, invalid, unavailable};
use crate::bundle::{self, Folder, fact, unpack};
use crate::pipeline::epoch_ms;
use crate::snapshot::{PolicyLive, PolicySlot};

/// Times that a build is done anew because its basis changed meanwhile; after that it is done under the turn.
const BUILDS_ASIDE: usize = 3;

/// A bundle that would be taken.
struct Sound {
    folder: Folder,
    content: Digest,
    pins: BTreeMap<PluginRef, Digest>,
    live: PolicyLive,
    basis: Basis,
    findings: Vec<Finding>,
    cases: Vec<CaseResult>,
}

impl Sound {
    /// Refuses a bundle whose own cases fail.
    fn cases_hold(&self) -> Result<(), PlaneError> {
        let case = |case: &CaseResult| Finding {
            error: true,
            path: String::new(),
            place: Some(format!("cases.jsonl:{}", case.line)),
            message: format!("case `{}` fails: {}", case.name, case.mismatches.join("; ")),
            help: None,
        };
        let failing = self.cases.iter().filter(|case| !case.mismatches.is_empty());
        let findings: Vec<Finding> = failing.map(case).collect();
        if findings.is_empty() {
            return Ok(());
        }
        let name = &self.folder.policy.name;
        Err(PlaneError::Invalid {
            what: format!("{} cases of the policy `{name}` fail", findings.len()),
            findings,
        })
    }

    fn fails(&self) -> usize {
        let fails = |case: &&CaseResult| !case.mismatches.is_empty();
        self.cases.iter().filter(fails).count()
    }
}

impl Plane {
    pub(super) fn take_plugin(&self, by: &By, bytes: Bytes) -> Result<Done<Plugin>, PlaneError> {
        let loaded = self
            .runtime
            .load(&bytes)
            .map_err(|error| invalid(&error.into()))?;
        let facts = fact(&loaded);
        let plugin = Plugin {
            digest: facts.digest,
            name: facts.name,
            version: facts.version,
            roles: facts.roles,
            imports: facts.imports,
            config_schema: Some(facts.config_schema).filter(|schema| !schema.is_null()),
            bytes: bytes.len() as u64,
            pushed_ms: epoch_ms(),
        };
        if !self.state().plugins.contains_key(&plugin.digest) {
            let store = self.store()?;
            store
                .put_blob(&bytes)
                .map_err(|error| unavailable(&error))?;
        }
        let change = self.change(by, |state| {
            if let Some(known) = state.plugins.get(&plugin.digest) {
                return Ok(Step::Already(Plugin::clone(known)));
            }
            let make = Make::of(Change::PluginPushed(plugin.clone()), plugin);
            Ok(Make {
                created: true,
                ..make
            }
            .into())
        })?;
        Ok(change.done)
    }

    /// Checks a bundle, makes it ready and runs its cases.
    fn sound(
        &self,
        state: &State,
        name: &str,
        bundle: &Bundle,
    ) -> Result<Result<Box<Sound>, Vec<Finding>>, PlaneError> {
        let read = || Folder::of(Path::new(name), unpack(bundle)?);
        let folder = match read() {
            Ok(folder) => folder,
            Err(error) => return Ok(Err(vec![whole(&error)])),
        };
        if folder.policy.name != name {
            let error = anyhow::anyhow!(
                "the bundle is of the policy `{}`, and was sent for `{name}`",
                folder.policy.name
            );
            return Ok(Err(vec![whole(&error)]));
        }
        let world = self.world(state)?;
        let is_floor = folder.policy.kind == Kind::Floor;
        let floor = if is_floor {
            None
        } else {
            self.stored_floor(state)?
        };
        let found = world.findings(&folder, floor.as_ref());
        let findings: Vec<Finding> = found.iter().map(finding).collect();
        if findings.iter().any(|finding| finding.error) {
            return Ok(Err(findings));
        }
        let build = || {
            let digest = world.digest(&folder, floor.as_ref())?;
            let live = Arc::new(world.live(&folder, floor.as_ref(), digest, 0)?);
            let cases = bundle::rehearsed(&live, &folder)?;
            let parts = (world.content(&folder)?, world.pins(&folder)?);
            anyhow::Ok((live, cases, parts))
        };
        let (live, cases, (content, pins)) = match build() {
            Ok(built) => built,
            Err(error) => {
                let mut findings = findings;
                findings.push(whole(&error));
                return Ok(Err(findings));
            }
        };
        let case = |case: bundle::CaseResult| CaseResult {
            name: case.name,
            line: case.line,
            mismatches: case.mismatches.iter().map(ToString::to_string).collect(),
        };
        Ok(Ok(Box::new(Sound {
            folder,
            content,
            pins,
            live: PolicyLive::clone(&live),
            basis: Basis::of(state),
            findings,
            cases: cases.into_iter().map(case).collect(),
        })))
    }

    pub(super) fn check_bundle(&self, name: &str, bundle: &Bundle) -> Result<Checked, PlaneError> {
        let state = self.state();
        Ok(match self.sound(&state, name, bundle)? {
            Err(findings) => Checked {
                sound: false,
                version: None,
                findings,
                cases: Vec::new(),
            },
            Ok(sound) => Checked {
                sound: sound.fails() == 0,
                version: state
                    .policies
                    .get(name)
                    .and_then(|line| same(line, sound.content))
                    .map(|version| version.number),
                findings: sound.findings,
                cases: sound.cases,
            },
        })
    }

    pub(super) fn take_version(
        &self,
        by: &By,
        name: &str,
        bundle: &Bundle,
    ) -> Result<Done<PushedVersion>, PlaneError> {
        self.take_version_of(by, name, bundle, true)
    }

    /// Takes a version, whatever its cases say where `cases_hold` is not asked.
    pub(super) fn take_version_of(
        &self,
        by: &By,
        name: &str,
        bundle: &Bundle,
        cases_hold: bool,
    ) -> Result<Done<PushedVersion>, PlaneError> {
        let state = self.state();
        if let Some(done) = earlier(&state, by)? {
            return Ok(Done::Replayed(done));
        }
        let sound = match self.sound(&state, name, bundle)? {
            Ok(sound) => sound,
            Err(findings) => {
                return Err(PlaneError::Invalid {
                    what: format!("the policy `{name}` is refused; nothing was changed"),
                    findings,
                });
            }
        };
        if cases_hold {
            sound.cases_hold()?;
        }
        let stored = serde_json::to_vec(bundle)
            .map_err(|error| PlaneError::Internal(format!("a bundle is no JSON: {error}")))?;
        let blob = self
            .store()?
            .put_blob(&stored)
            .map_err(|error| unavailable(&error))?;
        let Sound {
            folder,
            content,
            pins,
            live,
            basis,
            findings,
            ..
        } = *sound;
        let is_floor = folder.policy.kind == Kind::Floor;
        let change = self.change(by, |state| {
            let line = state.policies.get(name).cloned().unwrap_or_default();
            by.check(&format!("policy `{name}`"), Some(&tag(&line)))?;
            one_kind(&line, name, is_floor)?;
            let pushed = |number: u64| {
                self.pushed(
                    state,
                    &line,
                    &folder,
                    &pins,
                    number,
                    content,
                    findings.clone(),
                )
            };
            if let Some(version) = same(&line, content) {
                return Ok(Step::Already(pushed(version.number)));
            }
            let number = line.versions.get_max().map_or(1, |(last, _)| last + 1);
            let version = Version {
                policy: name.to_owned(),
                number,
                digest: content,
                bundle: blob,
                floor: is_floor,
                label: folder.policy.version.clone(),
                plugins: pins
                    .iter()
                    .map(|(reference, digest)| Pin {
                        plugin: reference.to_string(),
                        digest: *digest,
                    })
                    .collect(),
                pushed_ms: epoch_ms(),
            };
            let make = Make::of(Change::VersionPushed(version), pushed(number));
            Ok(Make {
                created: true,
                ..make
            }
            .into())
        })?;
        if let Done::Created(pushed) = &change.done {
            self.keep_warm(Built {
                version: pushed.version,
                basis,
                live: Arc::new(PolicyLive {
                    version: pushed.version,
                    ..live
                }),
                policy: Arc::new(folder.policy),
            });
        }
        Ok(change.done)
    }

    /// What a push answers: what is different from what serves, and whom an activation would concern.
    fn pushed(
        &self,
        state: &State,
        line: &PolicyLine,
        folder: &Folder,
        pins: &BTreeMap<PluginRef, Digest>,
        number: u64,
        content: Digest,
        findings: Vec<Finding>,
    ) -> PushedVersion {
        let before = active(line).and_then(|version| {
            let stored = self.stored(state, version).ok()?;
            Some((stored, version.plugins.clone()))
        });
        let changes = before.map_or_else(Vec::new, |(before, before_pins)| {
            let from = diff::Side::new(&before, before_pins.iter().map(|p| (&*p.plugin, p.digest)));
            let after = pins
                .iter()
                .map(|(reference, digest)| (reference.to_string(), *digest));
            let after: Vec<(String, Digest)> = after.collect();
            let to = diff::Side::new(
                folder,
                after.iter().map(|(name, digest)| (&**name, *digest)),
            );
            diff::lines(&from, &to)
        });
        let name = &folder.policy.name;
        let is_floor = folder.policy.kind == Kind::Floor;
        let concerned = state
            .tenants
            .values()
            .filter(|tenant| is_floor || tenant.policy == *name);
        PushedVersion {
            version: number,
            digest: content,
            findings,
            active: line.active,
            etag: tag(line),
            changes,
            tenants: concerned.map(|tenant| tenant.id.clone()).collect(),
        }
    }

    /// Makes a version serve; `pick` says which, once more under the turn.
    pub(super) fn switch(
        &self,
        by: &By,
        name: &str,
        rollback: bool,
        pick: impl Fn(&PolicyLine) -> Result<u64, PlaneError>,
    ) -> Result<Done<Activated>, PlaneError> {
        let find = |state: &State| {
            let line = state
                .policies
                .get(name)
                .ok_or_else(|| no_policy(state, name))?;
            let number = pick(line)?;
            let version = line.versions.get(&number);
            let version = version.ok_or_else(|| no_version(line, name, number))?;
            Ok::<_, PlaneError>((line.clone(), Arc::clone(version)))
        };
        // Aside: what takes long, on the state as it is now.
        let mut kept_warm = Vec::new();
        for _ in 0..BUILDS_ASIDE {
            let state = self.state();
            if let Some(done) = earlier(&state, by)? {
                return Ok(Done::Replayed(done));
            }
            let (line, version) = find(&state)?;
            by.check(&format!("policy `{name}`"), Some(&tag(&line)))?;
            let change = activation(name, &version, line.active, rollback);
            kept_warm = self.serving_after(&state, name, &version, &change)?;
            if Basis::of(&self.state()) == Basis::of(&state) {
                break;
            }
        }
        let change = self.change(by, |state| {
            let (line, version) = find(state)?;
            by.check(&format!("policy `{name}`"), Some(&tag(&line)))?;
            let activated = |generation, previous| Activated {
                generation,
                version: version.number,
                previous,
                etag: version.number.to_string(),
                commit_to_live_us: None,
            };
            let serves = self.serving.load();
            let is_broken = matches!(serves.policies.get(name), Some(PolicySlot::Broken(_)));
            if line.active == Some(version.number) && !is_broken {
                return Ok(Step::Already(activated(line.activated_at, line.previous)));
            }
            let change = activation(name, &version, line.active, rollback);
            let policies = self.serving_after(state, name, &version, &change)?;
            let make = Make::of(change, activated(state.sequence + 1, line.active));
            Ok(Make { policies, ..make }.into())
        })?;
        drop(kept_warm);
        let Live { mut done, took_us } = change;
        if let Done::Ok(activated) | Done::Created(activated) = &mut done {
            activated.commit_to_live_us = Some(took_us);
        }
        Ok(done)
    }

    /// The policies that serve otherwise once a version does.
    fn serving_after(
        &self,
        state: &State,
        name: &str,
        version: &Version,
        change: &Change,
    ) -> Result<Vec<(String, PolicySlot)>, PlaneError> {
        if !version.floor {
            let built = self.built(state, version)?;
            return Ok(vec![(name.to_owned(), PolicySlot::Live(built.live))]);
        }
        if let Some(other) = floor(state).filter(|other| other.policy != name) {
            return Err(PlaneError::Conflict {
                what: format!("the policy `{}` is the floor already", other.policy),
                next: format!("push the floor as a version of `{}`", other.policy),
            });
        }
        let mut next = state.clone();
        let sequence = state.sequence + 1;
        next.apply(&control::Entry {
            sequence,
            at_ms: epoch_ms(),
            actor: String::new(),
            change: change.clone(),
            idempotency: None,
        });
        self.all_on(&next)
    }

    pub(super) fn policy_view(&self, name: &str, line: &PolicyLine) -> PolicyView {
        let serving = self.serving.load();
        let broken = match serving.policies.get(name) {
            Some(PolicySlot::Broken(why)) => Some(why.to_string()),
            Some(PolicySlot::Live(_)) | None => None,
        };
        let newest = line.versions.get_max().map(|(_, version)| version);
        PolicyView {
            name: name.to_owned(),
            floor: newest.is_some_and(|version| version.floor),
            active: line.active,
            previous: line.previous,
            etag: tag(line),
            broken,
            versions: line.versions.values().map(|v| Version::clone(v)).collect(),
        }
    }

    pub(super) fn version_view(&self, name: &str, number: u64) -> Result<VersionView, PlaneError> {
        let version = self.find_version(&self.state(), name, number)?;
        Ok(VersionView {
            bundle: self.bundle(&version)?,
            version: Version::clone(&version),
        })
    }

    fn find_version(
        &self,
        state: &State,
        name: &str,
        number: u64,
    ) -> Result<Arc<Version>, PlaneError> {
        let line = state
            .policies
            .get(name)
            .ok_or_else(|| no_policy(state, name))?;
        let version = line.versions.get(&number);
        version
            .cloned()
            .ok_or_else(|| no_version(line, name, number))
    }

    pub(super) fn diff_of(&self, name: &str, from: u64, to: u64) -> Result<Diff, PlaneError> {
        let state = self.state();
        let (old, new) = (
            self.find_version(&state, name, from)?,
            self.find_version(&state, name, to)?,
        );
        let (before, after) = (self.stored(&state, &old)?, self.stored(&state, &new)?);
        let pins = |version: &Version| -> Vec<(String, Digest)> {
            let pins = version.plugins.iter();
            pins.map(|pin| (pin.plugin.clone(), pin.digest)).collect()
        };
        let (old, new) = (pins(&old), pins(&new));
        let side = |folder, pins: &[(String, Digest)]| {
            diff::Side::new(folder, pins.iter().map(|(name, digest)| (&**name, *digest)))
        };
        Ok(Diff {
            from,
            to,
            lines: diff::lines(&side(&before, &old), &side(&after, &new)),
        })
    }
}

/// The entity tag of a policy: its active version's number, 0 before the first.
pub(super) fn tag(line: &PolicyLine) -> String {
    line.active.unwrap_or(0).to_string()
}

fn same(line: &PolicyLine, content: Digest) -> Option<&Arc<Version>> {
    line.versions
        .values()
        .find(|version| version.digest == content)
}

fn one_kind(line: &PolicyLine, name: &str, is_floor: bool) -> Result<(), PlaneError> {
    match line.versions.get_max() {
        Some((_, newest)) if newest.floor != is_floor => Err(PlaneError::Conflict {
            what: format!("`{name}` is a floor in some versions and a tenant's policy in others"),
            next: "push it under another name".to_owned(),
        }),
        _ => Ok(()),
    }
}

pub(super) fn no_policy(state: &State, name: &str) -> PlaneError {
    let names: Vec<&str> = state.policies.keys().map(String::as_str).collect();
    PlaneError::NotFound {
        what: format!(
            "there is no policy `{name}`; there are: {}",
            names.join(", ")
        ),
        next: format!("push one: pointsman policy push policies/{name}"),
    }
}

fn no_version(line: &PolicyLine, name: &str, number: u64) -> PlaneError {
    let last = line.versions.get_max().map_or(0, |(last, _)| *last);
    PlaneError::NotFound {
        what: format!("the policy `{name}` has no version {number}; its newest is {last}"),
        next: format!("see: pointsman policy status {name}"),
    }
}

fn activation(name: &str, version: &Version, previous: Option<u64>, rollback: bool) -> Change {
    Change::Activated {
        policy: name.to_owned(),
        version: version.number,
        previous,
        rollback,
    }
}

/// Where a rollback without a version goes.
pub(super) fn before(line: &PolicyLine, name: &str) -> Result<u64, PlaneError> {
    line.previous.ok_or_else(|| PlaneError::Conflict {
        what: format!("no version of `{name}` served before the one that serves"),
        next: format!("name a version: pointsman policy rollback {name} --to 1"),
    })
}

fn finding(found: &pointsman_policy::finding::Finding) -> Finding {
    let place = found
        .file
        .as_ref()
        .map(|file| match (found.line, found.column) {
            (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
            _ => file.clone(),
        });
    Finding {
        error: found.is_error(),
        path: found.path.to_string(),
        place,
        message: found.message.clone(),
        help: found.help.clone(),
    }
}

fn whole(error: &anyhow::Error) -> Finding {
    Finding {
        error: true,
        path: String::new(),
        place: None,
        message: format!("{error:#}"),
        help: None,
    }
}
