//! Records to write, and the log that tests write them to.

use std::path::Path;

use pointsman_audit::{Chain, ChainConfig};
use pointsman_domain::decision::{Closed, Opened, Outcome, Record};
use pointsman_domain::{Digest, Picos, RequestId};

pub(crate) fn opened(id: &str, at_ms: u64) -> Record {
    Record::Opened(Box::new(Opened {
        id: RequestId(id.to_owned()),
        at_ms,
        tenant: "demo".to_owned(),
        key: "key-1".to_owned(),
        dialect: "openai-chat".to_owned(),
        endpoint: "/v1/chat/completions".to_owned(),
        model: "small \"quoted\"\ttab\n".to_owned(),
        streaming: true,
        policy: "quickstart".to_owned(),
        version: 1,
        policy_digest: Digest([7; 32]),
        prices_digest: None,
        request_digest: Some(Digest([8; 32])),
        content: None,
        conversation: String::new(),
        steps: Vec::new(),
        labels: Vec::new(),
        variant: None,
        plan: None,
        reserved_pico_usd: Some(Picos(480_000)),
        budgets: Vec::new(),
        phases: Vec::new(),
    }))
}

pub(crate) fn closed(id: &str, at_ms: u64) -> Record {
    Record::Closed(Box::new(Closed {
        id: RequestId(id.to_owned()),
        at_ms,
        tenant: "demo".to_owned(),
        outcome: Outcome::Ok,
        status: 200,
        error: None,
        error_message: None,
        target: Some("local".to_owned()),
        attempts: Vec::new(),
        steps: Vec::new(),
        embeddings: Vec::new(),
        cost: Vec::new(),
        cost_pico_usd: Picos(120_000),
        unpriced: false,
        estimated: false,
        ttft_us: Some(1_000),
        total_us: 2_000,
        response_digest: None,
        response_bytes: 10,
        key: String::new(),
        charged_pico_usd: Picos(0),
        budgets: Vec::new(),
        cache: None,
        phases: Vec::new(),
    }))
}

pub(crate) fn started(at_ms: u64) -> Record {
    Record::Started {
        at_ms,
        version: "0.1.0".to_owned(),
    }
}

/// A whole id, the `index`th in time.
pub(crate) fn id(index: u64) -> String {
    format!("0193a0c2-{index:04x}-7000-8000-000000000000")
}

/// A disk of any fullness will do for these tests.
pub(crate) fn config() -> ChainConfig {
    ChainConfig {
        disk_used_percent_max: 100,
        ..ChainConfig::default()
    }
}

/// Segments of a few records each.
pub(crate) fn small_segments() -> ChainConfig {
    ChainConfig {
        segment_bytes_max: 4 * 1024,
        ..config()
    }
}

pub(crate) fn chain(folder: &Path, config: ChainConfig) -> Chain {
    named(folder, "worker-0", config)
}

pub(crate) fn named(folder: &Path, name: &str, config: ChainConfig) -> Chain {
    Chain::open(folder, name, config).expect("opens").0
}

/// What stands in the log, in order, without what recovery wrote.
pub(crate) fn read(folder: &Path) -> Vec<Record> {
    pointsman_audit::records(folder)
        .expect("the folder is there")
        .map(|item| item.expect("every line holds").1)
        .filter(|record| !matches!(record, Record::Truncated { .. }))
        .collect()
}

/// The segments' files, in order.
pub(crate) fn segments(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    paths
}
