//! What the records of all chains charged, by budget window: what balances are after a start.
//!
//! A sealed segment's sums are kept beside it, in `<chain>.<number>.sums.json`: derived, so that one that is missing,
//! damaged or of another file is made anew. Promises: every charge counts once, in the windows that its record names; a
//! request that was opened and never closed counts with its reservation; damage elsewhere in a segment takes no other
//! record from the sum. Refuses to know what windows are, and which are open.

mod sidecar;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use pointsman_domain::Picos;
use serde::{Deserialize, Serialize};

use crate::AuditError;
use crate::line::{Kind, Line};
use crate::newest::Backwards;
use crate::reader::{Next, Reader};
use crate::records::{self, at_ms};
use crate::segment;

/// A record's time may be this much before the beginning of a window that it names: a clock may step back.
const CLOCK_SLACK_MS: u64 = 24 * 3600 * 1000;
/// Segments in a row without a record of the wanted time after which older ones are not looked at.
const OLD_IN_A_ROW: usize = 24;

/// What was charged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// By chain, then by budget window.
    pub chains: BTreeMap<String, BTreeMap<String, Picos>>,
    /// Requests that count with their reservation, because they were not closed.
    pub unclosed: u64,
    /// Segments that were read whole.
    pub read: u64,
    /// Segments whose sums lay beside them.
    pub kept: u64,
}

impl Sums {
    /// Over all chains.
    #[must_use]
    pub fn total(&self) -> BTreeMap<String, Picos> {
        let mut total = BTreeMap::new();
        for (window, charged) in self.chains.values().flatten() {
            *total.entry(window.clone()).or_default() += *charged;
        }
        total
    }
}

/// What a request that was opened has set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct SetAside {
    reserved_pico_usd: Option<Picos>,
    budgets: Vec<String>,
}

/// What a record says that a request was charged.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Charge {
    charged_pico_usd: Picos,
    budgets: Vec<String>,
}

/// The sums of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SegmentSums {
    /// Time of the newest record, milliseconds since the epoch.
    newest_ms: u64,
    /// By budget window.
    charged: BTreeMap<String, Picos>,
    /// Opened here and not closed here, where it set money aside.
    opened: BTreeMap<String, SetAside>,
    /// Closed here and not opened here.
    closed: Vec<String>,
}

/// Sums all chains of a folder, as far back as a record may name a window that ends after `since_ms`. Windows that
/// `wanted` refuses are left out. A folder that is not there has charged nothing.
///
/// # Errors
/// Where the folder or a segment cannot be read.
pub fn sums(
    folder: &Path,
    since_ms: u64,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Sums, AuditError> {
    let mut sums = Sums::default();
    if !folder.exists() {
        return Ok(sums);
    }
    for (chain, numbers) in segment::list(folder)? {
        let mut charged: BTreeMap<String, Picos> = BTreeMap::new();
        let mut closed = HashSet::new();
        let mut old = 0;
        // Newest first: an end is met before its beginning.
        for &number in numbers.iter().rev() {
            if old >= OLD_IN_A_ROW {
                break;
            }
            let Some(segment) = of(folder, &chain, number, since_ms, &mut sums)? else {
                old += 1;
                continue;
            };
            old = if is_old(segment.newest_ms, since_ms) {
                old + 1
            } else {
                0
            };
            for (window, picos) in segment.charged {
                if wanted(&window) {
                    *charged.entry(window).or_default() += picos;
                }
            }
            for (id, set_aside) in segment.opened {
                if closed.remove(&id) {
                    continue;
                }
                sums.unclosed += 1;
                for window in set_aside.budgets.into_iter().filter(|name| wanted(name)) {
                    *charged.entry(window).or_default() +=
                        set_aside.reserved_pico_usd.unwrap_or_default();
                }
            }
            closed.extend(segment.closed);
        }
        sums.chains.insert(chain.to_string(), charged);
    }
    Ok(sums)
}

/// Puts sums beside the newest sealed segments that have none; how many. What cannot be written is left to the next
/// time.
///
/// # Errors
/// Where the folder or a segment cannot be read.
pub fn keep_sums(folder: &Path) -> Result<usize, AuditError> {
    let mut made = 0;
    if !folder.exists() {
        return Ok(made);
    }
    for (chain, numbers) in segment::list(folder)? {
        for &number in numbers.iter().rev().take(OLD_IN_A_ROW) {
            let Some(identity) = sidecar::identity(folder, &chain, number)? else {
                continue;
            };
            if sidecar::read(folder, &chain, number, &identity).is_some() {
                break;
            }
            sidecar::write(
                folder,
                &chain,
                number,
                &identity,
                &scan(folder, &chain, number)?,
            );
            made += 1;
        }
    }
    Ok(made)
}

const fn is_old(newest_ms: u64, since_ms: u64) -> bool {
    newest_ms.saturating_add(CLOCK_SLACK_MS) < since_ms
}

/// One segment's sums; none where it is too old to be read.
fn of(
    folder: &Path,
    chain: &Arc<str>,
    number: u32,
    since_ms: u64,
    sums: &mut Sums,
) -> Result<Option<SegmentSums>, AuditError> {
    let identity = sidecar::identity(folder, chain, number)?;
    if let Some(identity) = &identity {
        if let Some(kept) = sidecar::read(folder, chain, number, identity) {
            sums.kept += 1;
            return Ok(Some(kept));
        }
        if newest_ms(folder, chain, number)?.is_some_and(|newest| is_old(newest, since_ms)) {
            return Ok(None);
        }
    }
    let segment = scan(folder, chain, number)?;
    sums.read += 1;
    if let Some(identity) = identity {
        sidecar::write(folder, chain, number, &identity, &segment);
    }
    Ok(Some(segment))
}

/// The time of the last record that holds.
fn newest_ms(folder: &Path, chain: &str, number: u32) -> Result<Option<u64>, AuditError> {
    let mut lines = Backwards::open(folder, chain, number)?;
    while let Some(bytes) = lines.next()? {
        if let Ok(line) = Line::parse(&bytes)
            && line.seal().is_none()
            && let Ok(record) = records::decode(&line)
        {
            return Ok(Some(at_ms(&record)));
        }
    }
    Ok(None)
}

/// Reads a segment from end to end.
fn scan(folder: &Path, chain: &str, number: u32) -> Result<SegmentSums, AuditError> {
    let mut sums = SegmentSums {
        newest_ms: newest_ms(folder, chain, number)?.unwrap_or(0),
        ..SegmentSums::default()
    };
    let mut opened: HashMap<String, Vec<u8>> = HashMap::new();
    let mut reader = Reader::open(folder, chain, number, 0)?;
    loop {
        let bytes = match reader.next()? {
            Next::Line(bytes) => bytes,
            Next::TooLong => continue,
            Next::Tail(_) => break,
        };
        // What does not hold is `verify`'s to tell; an end that is lost leaves its request unclosed.
        let Ok(line) = Line::parse(bytes) else {
            continue;
        };
        match line.id() {
            Some((Kind::Opened, id)) => {
                opened.insert(id.to_owned(), line.json.to_vec());
            }
            Some((Kind::Closed, id)) => {
                if opened.remove(id).is_none() {
                    sums.closed.push(id.to_owned());
                }
                sums.add(line.json);
            }
            None => {}
        }
    }
    for (id, json) in opened {
        if let Ok(set_aside) = serde_json::from_slice::<SetAside>(&json)
            && !set_aside.budgets.is_empty()
        {
            sums.opened.insert(id, set_aside);
        }
    }
    Ok(sums)
}

impl SegmentSums {
    fn add(&mut self, json: &[u8]) {
        // Most requests of most nodes have no budget, and looking for the key is cheaper than parsing.
        if memchr::memmem::find(json, br#""budgets":["#).is_none() {
            return;
        }
        let Ok(charge) = serde_json::from_slice::<Charge>(json) else {
            return;
        };
        for window in charge.budgets {
            *self.charged.entry(window).or_default() += charge.charged_pico_usd;
        }
    }
}
