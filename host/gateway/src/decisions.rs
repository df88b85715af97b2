//! The decision log as the control listener and the command line read it: the two records of a request, paired.

mod charged;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use pointsman_audit::{AuditError, Tail};
use pointsman_control::{Decision, DecisionSource, DecisionTail, Listing, SourceError, Wanted};
use pointsman_domain::decision::{Closed, Opened, Outcome, Record};
use pointsman_domain::{ErrorKind, Picos, RequestId};

pub(crate) use charged::Charged;

/// Records that one listing of the control listener reads at most; some seconds' worth.
const SCAN_RECORDS_MAX: usize = 500_000;
/// A record's time may be this much older than that of one written before it: a request's `opened` carries its arrival.
const ARRIVAL_SLACK_MS: u64 = 10 * 60 * 1000;
/// Requests whose `opened` a follower remembers until they end; the oldest are forgotten first.
const FOLLOWED_OPEN_MAX: usize = 10_000;

const OUTCOMES: [Outcome; 5] = [
    Outcome::Ok,
    Outcome::Denied,
    Outcome::Cut,
    Outcome::Error,
    Outcome::Cancelled,
];

/// An outcome's name in records and on the command line.
pub(crate) fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Denied => "denied",
        Outcome::Cut => "cut",
        Outcome::Error => "error",
        Outcome::Cancelled => "cancelled",
    }
}

/// The outcome of a name; the error says which there are.
pub(crate) fn outcome(name: &str) -> Result<Outcome, String> {
    let known = OUTCOMES
        .into_iter()
        .find(|outcome| outcome_name(*outcome) == name);
    known.ok_or_else(|| format!("use one of {}", OUTCOMES.map(outcome_name).join(", ")))
}

/// Why a decision cannot be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    #[error("more than one request begins with `{0}`; give more of the id")]
    Ambiguous(String),
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// The records of one request; a unique beginning of its id is enough.
pub(crate) fn find(folder: &Path, id: &str) -> Result<Decision, FindError> {
    let mut decision = Decision::default();
    let mut known: Option<RequestId> = None;
    for (_, record) in pointsman_audit::find(folder, id)? {
        let found = match &record {
            Record::Opened(opened) => &opened.id,
            Record::Closed(closed) => &closed.id,
            Record::Started { .. } | Record::Control(_) | Record::Truncated { .. } => continue,
        };
        if known.get_or_insert_with(|| found.clone()) != found {
            return Err(FindError::Ambiguous(id.to_owned()));
        }
        match record {
            Record::Opened(opened) => decision.opened = Some(opened),
            Record::Closed(closed) => decision.closed = Some(closed),
            Record::Started { .. } | Record::Control(_) | Record::Truncated { .. } => {}
        }
    }
    Ok(decision)
}

/// What a look through the log gave.
#[derive(Default)]
pub(crate) struct Listed {
    /// Newest first.
    pub(crate) decisions: Vec<Decision>,
    /// False where `records_max` ended the look.
    pub(crate) complete: bool,
    /// Lines that do not hold and were passed over.
    pub(crate) damaged: usize,
}

/// The newest decisions that are wanted, found by reading at most `records_max` records backwards.
pub(crate) fn list(
    folder: &Path,
    wanted: &Wanted,
    records_max: usize,
) -> Result<Listed, AuditError> {
    list_those(folder, wanted, records_max, |_| true)
}

/// Those of them that are also `meant`.
pub(crate) fn list_those(
    folder: &Path,
    wanted: &Wanted,
    records_max: usize,
    mut is_meant: impl FnMut(&Decision) -> bool,
) -> Result<Listed, AuditError> {
    let mut listed = Listed {
        complete: true,
        ..Listed::default()
    };
    // Backwards a request's end comes before its beginning.
    let mut closed: HashMap<RequestId, Box<Closed>> = HashMap::new();
    for (index, item) in pointsman_audit::newest(folder)?.enumerate() {
        if listed.decisions.len() >= wanted.limit {
            break;
        }
        if index >= records_max {
            listed.complete = false;
            break;
        }
        let record = match item {
            Ok((_, record)) => record,
            Err(AuditError::Damaged(_)) => {
                listed.damaged += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        if too_old(&record, wanted) {
            break;
        }
        match record {
            Record::Closed(record) => {
                closed.insert(record.id.clone(), record);
            }
            Record::Opened(opened) => {
                let decision = Decision {
                    closed: closed.remove(&opened.id),
                    opened: Some(opened),
                };
                if takes(wanted, &decision) && is_meant(&decision) {
                    listed.decisions.push(decision);
                }
            }
            Record::Started { .. } | Record::Control(_) | Record::Truncated { .. } => {}
        }
    }
    // Ids are UUID v7: their order is time's.
    listed.decisions.sort_by(|a, b| id(b).cmp(&id(a)));
    Ok(listed)
}

fn id(decision: &Decision) -> Option<&RequestId> {
    decision.opened.as_ref().map(|opened| &opened.id)
}

/// Whether nothing wanted can stand before this record.
fn too_old(record: &Record, wanted: &Wanted) -> bool {
    let at_ms = match record {
        Record::Opened(opened) => opened.at_ms,
        Record::Closed(closed) => closed.at_ms,
        Record::Control(entry) => entry.at_ms,
        Record::Started { at_ms, .. } | Record::Truncated { at_ms, .. } => *at_ms,
    };
    wanted
        .since_ms
        .is_some_and(|since_ms| at_ms.saturating_add(ARRIVAL_SLACK_MS) < since_ms)
}

fn takes(wanted: &Wanted, decision: &Decision) -> bool {
    let (opened, closed) = (decision.opened.as_ref(), decision.closed.as_ref());
    let tenant = opened
        .map(|opened| &opened.tenant)
        .or_else(|| closed.map(|closed| &closed.tenant));
    let fits = |wanted: &Option<String>, there: Option<&String>| {
        wanted.is_none() || wanted.as_ref() == there
    };
    fits(&wanted.tenant, tenant)
        && fits(
            &wanted.target,
            closed.and_then(|closed| closed.target.as_ref()),
        )
        && wanted
            .outcome
            .is_none_or(|outcome| closed.is_some_and(|closed| closed.outcome == outcome))
        && wanted
            .since_ms
            .is_none_or(|since_ms| opened.is_none_or(|opened| opened.at_ms >= since_ms))
}

/// Follows the log: decisions as requests end.
pub(crate) struct Follow {
    tail: Tail,
    wanted: Wanted,
    opened: HashMap<RequestId, Box<Opened>>,
    /// Ids in the order of their opening; some may have ended.
    order: VecDeque<RequestId>,
}

impl Follow {
    /// From now on. A request that was opened before has no `opened` in its decision.
    pub(crate) fn new(folder: &Path, wanted: Wanted) -> Result<Self, AuditError> {
        let wanted = Wanted {
            since_ms: None,
            ..wanted
        };
        Ok(Self {
            tail: Tail::new(folder)?,
            wanted,
            opened: HashMap::new(),
            order: VecDeque::new(),
        })
    }

    /// What has ended since the last look.
    pub(crate) fn look(&mut self) -> Result<Vec<Decision>, AuditError> {
        let mut ended = Vec::new();
        for record in self.tail.poll()? {
            match record {
                Record::Opened(opened) => self.remember(opened),
                Record::Closed(closed) => {
                    let decision = Decision {
                        opened: self.opened.remove(&closed.id),
                        closed: Some(closed),
                    };
                    if takes(&self.wanted, &decision) {
                        ended.push(decision);
                    }
                }
                Record::Started { .. } | Record::Control(_) | Record::Truncated { .. } => {}
            }
        }
        Ok(ended)
    }

    fn remember(&mut self, opened: Box<Opened>) {
        self.order.push_back(opened.id.clone());
        self.opened.insert(opened.id.clone(), opened);
        while self.opened.len() > FOLLOWED_OPEN_MAX {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.opened.remove(&oldest);
        }
        if self.order.len() > FOLLOWED_OPEN_MAX * 2 {
            self.order.retain(|id| self.opened.contains_key(id));
        }
    }
}

impl DecisionTail for Follow {
    fn poll(&mut self) -> Result<Vec<Decision>, SourceError> {
        self.look().map_err(failed)
    }
}

/// The log in a folder, read on demand by the control listener.
pub(crate) struct LogSource {
    folder: PathBuf,
}

impl LogSource {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

impl DecisionSource for LogSource {
    fn list(&self, wanted: &Wanted) -> Result<Listing, SourceError> {
        let listed = list(&self.folder, wanted, SCAN_RECORDS_MAX).map_err(failed)?;
        if listed.damaged > 0 {
            tracing::error!(
                lines = listed.damaged,
                "lines of the decision log do not hold; run `pointsman audit verify`"
            );
        }
        Ok(Listing {
            decisions: listed.decisions,
            complete: listed.complete && listed.damaged == 0,
        })
    }

    fn find(&self, id: &str) -> Result<Option<Decision>, SourceError> {
        match find(&self.folder, id) {
            Ok(decision) if decision.opened.is_none() && decision.closed.is_none() => Ok(None),
            Ok(decision) => Ok(Some(decision)),
            Err(FindError::Ambiguous(id)) => Err(SourceError::Ambiguous(id)),
            Err(FindError::Audit(error)) => Err(failed(error)),
        }
    }

    fn tail(&self, wanted: &Wanted) -> Result<Box<dyn DecisionTail>, SourceError> {
        let follow = Follow::new(&self.folder, wanted.clone()).map_err(failed)?;
        Ok(Box::new(follow))
    }
}

/// With its causes, since nobody behind the trait sees them.
fn failed(error: AuditError) -> SourceError {
    SourceError::Failed(format!("{:#}", anyhow::Error::new(error)))
}

/// The end of a request whose gateway died before it could say how it ended. What was used is not known: it is charged
/// its reservation, as an estimate; without one it is unpriced.
pub(crate) fn abandoned(opened: &Opened, at_ms: u64) -> Closed {
    let message = "the gateway ended before this request did; what its attempts used is not known";
    Closed {
        id: opened.id.clone(),
        at_ms,
        tenant: opened.tenant.clone(),
        outcome: Outcome::Error,
        status: 0,
        error: Some(ErrorKind::Internal.code().to_owned()),
        error_message: Some(message.to_owned()),
        target: None,
        attempts: Vec::new(),
        steps: Vec::new(),
        embeddings: Vec::new(),
        cost: Vec::new(),
        cost_pico_usd: opened.reserved_pico_usd.unwrap_or(Picos(0)),
        unpriced: opened.reserved_pico_usd.is_none(),
        estimated: opened.reserved_pico_usd.is_some(),
        ttft_us: None,
        total_us: 0,
        response_digest: None,
        response_bytes: 0,
        key: opened.key.clone(),
        charged_pico_usd: opened.reserved_pico_usd.unwrap_or(Picos(0)),
        budgets: opened.budgets.clone(),
        cache: None,
        phases: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
