//! The decision log as the control listener and the command line read it: the two records of a request, paired.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use pointsman_domain::decision::{Closed, Opened, Outcome, Record};

/// Both records of a request, as far as they are there.
#[derive(Default, Clone)]
pub(crate) struct Pair {
    pub(crate) opened: Option<Box<Opened>>,
    pub(crate) closed: Option<Box<Closed>>,
}

/// Which decisions are wanted.
#[derive(Default)]
pub(crate) struct Filter {
    pub(crate) tenant: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) since_ms: Option<u64>,
}

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

impl Filter {
    fn takes(&self, pair: &Pair) -> bool {
        let Some(opened) = &pair.opened else { return false };
        let closed = pair.closed.as_ref();
        self.tenant.as_ref().is_none_or(|tenant| *tenant == opened.tenant)
            && self.since_ms.is_none_or(|since| opened.at_ms >= since)
            && self.target.as_ref().is_none_or(|target| closed.is_some_and(|closed| closed.target.as_ref() == Some(target)))
            && self.outcome.as_ref().is_none_or(|name| closed.is_some_and(|closed| outcome_name(closed.outcome) == name))
    }
}

/// The records of one request; a unique prefix of its id is enough.
pub(crate) fn find(folder: &Path, id: &str) -> anyhow::Result<Pair> {
    let mut pair = Pair::default();
    for (_, record) in pointsman_audit::find(folder, id)? {
        match record {
            Record::Opened(opened) => {
                if pair.opened.as_ref().is_some_and(|known| known.id != opened.id) {
                    anyhow::bail!("more than one request begins with `{id}`; give more of the id");
                }
                pair.opened = Some(opened);
            }
            Record::Closed(closed) => pair.closed = Some(closed),
            Record::Started { .. } | Record::Truncated { .. } => {}
        }
    }
    Ok(pair)
}

/// The newest decisions first.
pub(crate) fn list(folder: &Path, filter: &Filter, limit: usize) -> anyhow::Result<Vec<Pair>> {
    let mut pairs: HashMap<String, Pair> = HashMap::new();
    for item in pointsman_audit::records(folder)? {
        let (_, record) = item?;
        match record {
            Record::Opened(opened) => pairs.entry(opened.id.0.clone()).or_default().opened = Some(opened),
            Record::Closed(closed) => pairs.entry(closed.id.0.clone()).or_default().closed = Some(closed),
            Record::Started { .. } | Record::Truncated { .. } => {}
        }
    }
    let mut wanted: Vec<Pair> = pairs.into_values().filter(|pair| filter.takes(pair)).collect();
    // Ids are UUID v7: their order is time's.
    wanted.sort_by(|a, b| key(b).cmp(key(a)));
    wanted.truncate(limit);
    Ok(wanted)
}

fn key(pair: &Pair) -> &str {
    pair.opened.as_ref().map_or("", |opened| opened.id.0.as_str())
}

/// The log in a folder, read on demand by the control listener.
pub(crate) struct LogSource {
    pub(crate) folder: PathBuf,
}

impl LogSource {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}
