//! guard-secrets on test strings of secret scanners, and on texts that hold none.

use std::collections::BTreeMap;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use guard_secrets::{Config, GuardSecrets};
use pointsman_guard::finds;
use pointsman_sdk::Plugin as _;

use super::rows::{Folders, is_positive, source, text};
use super::{Findings, share};

/// The least recall, and the most false positives outside of ambiguous rows, that the guard promises.
const RECALL_MIN: f64 = 0.95;
const FALSE_MAX: f64 = 0.05;

/// Hits and rows.
#[derive(Clone, Copy, Debug, Default)]
struct Hits {
    hit: usize,
    rows: usize,
}

impl Hits {
    fn add(&mut self, hit: bool) {
        self.hit += usize::from(hit);
        self.rows += 1;
    }

    fn share(self) -> f64 {
        share(self.hit, self.rows)
    }
}

/// Measures; `misses` are said row by row, without what they hold.
///
/// # Errors
/// Rows that cannot be read.
pub fn measure(folders: &Folders, misses: bool) -> anyhow::Result<Findings> {
    let guard = GuardSecrets::configure(Config::default()).map_err(anyhow::Error::msg)?;
    let is_hit = |text: &str| !finds(guard.scanner(), text).is_empty();
    let (mut secrets, mut others, mut ambiguous) =
        (Hits::default(), Hits::default(), Hits::default());
    let mut findings = Findings::default();
    for row in folders.rows("secrets.b64.jsonl")? {
        let bytes = STANDARD
            .decode(text(&row, "text_b64"))
            .context("a row is no base64")?;
        let body = String::from_utf8(bytes).context("a row is no text")?;
        let hit = is_hit(&body);
        let positive = is_positive(&row);
        let tally = match (positive, row["ambiguous"] == true) {
            (true, _) => &mut secrets,
            (false, true) => &mut ambiguous,
            (false, false) => &mut others,
        };
        tally.add(hit);
        if misses && hit != positive && row["ambiguous"] != true {
            let word = if positive { "missed" } else { "hit" };
            findings.say(format!(
                "{word}: {} {}",
                text(&row, "rule"),
                text(&row, "id")
            ));
        }
    }
    let mut clean = BTreeMap::<String, Hits>::new();
    for name in ["injection.jsonl", "pii.jsonl"] {
        for row in folders.rows(name)? {
            let hit = is_hit(text(&row, "text"));
            clean
                .entry(format!("{} ({name})", source(&row)))
                .or_default()
                .add(hit);
        }
    }
    let precision = share(secrets.hit, secrets.hit + others.hit);
    findings.say("| secrets | precision | recall | false positives | of ambiguous rows |");
    findings.say("|---|---|---|---|---|");
    findings.say(format!(
        "| guard-secrets | {precision:.3} | {:.3} ({} of {}) | {:.3} ({} of {}) | {:.3} ({} of {}) |",
        secrets.share(),
        secrets.hit,
        secrets.rows,
        others.share(),
        others.hit,
        others.rows,
        ambiguous.share(),
        ambiguous.hit,
        ambiguous.rows
    ));
    findings.say("");
    findings.say("| texts that are not about secrets | texts | hit |");
    findings.say("|---|---|---|");
    for (source, hits) in &clean {
        findings.say(format!("| {source} | {} | {} |", hits.rows, hits.hit));
    }
    findings.say("");
    findings.at_least("secrets-recall", secrets.share(), RECALL_MIN);
    findings.below("secrets-false-positives", others.share(), FALSE_MAX);
    Ok(findings)
}
