//! Charges summed over chains: every one once, with and without the sums that lie beside segments.

use std::path::{Path, PathBuf};

use pointsman_audit::{Sums, keep_sums, sums, verify};
use pointsman_domain::Picos;
use pointsman_domain::decision::Record;

use crate::records::{closed, config, id, named, opened, segments, small_segments};

const MONTH: u64 = 1_793_491_200_000; // 2026-11-01T00:00:00Z
const DAY_MS: u64 = 24 * 3600 * 1000;
const WINDOW: &str = "tenant/demo/month/2026-11";
const OTHER: &str = "key/key-1/day/2026-11-24";

fn charged(id: &str, at_ms: u64, picos: i128) -> Record {
    let Record::Closed(mut closed) = closed(id, at_ms) else {
        unreachable!("a closed record");
    };
    closed.charged_pico_usd = Picos(picos);
    closed.budgets = vec![WINDOW.to_owned(), OTHER.to_owned()];
    Record::Closed(closed)
}

fn set_aside(id: &str, at_ms: u64, picos: i128) -> Record {
    let Record::Opened(mut opened) = opened(id, at_ms) else {
        unreachable!("an opened record");
    };
    opened.reserved_pico_usd = Some(Picos(picos));
    opened.budgets = vec![WINDOW.to_owned()];
    Record::Opened(opened)
}

fn all(folder: &Path) -> Sums {
    sums(folder, MONTH, &|_| true).expect("read")
}

fn of_window(folder: &Path) -> i128 {
    let total = all(folder).total();
    total.get(WINDOW).map_or(0, |picos| picos.0)
}

fn sidecars(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(".sums.json"))
        .collect();
    paths.sort();
    paths
}

/// Two chains of many small segments, each request charged 3 of 5.
fn filled(folder: &Path) -> i128 {
    let mut charge = 0;
    for name in ["worker-0", "worker-7"] {
        let mut chain = named(folder, name, small_segments());
        for index in 0..40 {
            let id = id(index);
            chain
                .append(&set_aside(&id, MONTH + index, 5))
                .expect("appends");
            chain
                .append(&charged(&id, MONTH + index, 3))
                .expect("appends");
            charge += 3;
        }
    }
    charge
}

#[test]
fn every_charge_counts_once_with_and_without_kept_sums() {
    let folder = tempfile::tempdir().expect("a folder");
    let charge = filled(folder.path());
    let first = all(folder.path());
    assert_eq!(first.total()[WINDOW], Picos(charge));
    assert_eq!(first.total()[OTHER], Picos(charge));
    assert_eq!((first.kept, first.unclosed), (0, 0));
    let again = all(folder.path());
    assert_eq!(again.chains, first.chains);
    assert!(again.kept > 10 && again.read == 2, "{again:?}");
    assert!(verify(folder.path()).expect("read").problem.is_none());
    for path in sidecars(folder.path()) {
        std::fs::remove_file(path).expect("removed");
    }
    assert_eq!(all(folder.path()).chains, first.chains);
}

#[test]
fn sums_that_are_damaged_or_of_another_segment_are_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let charge = filled(folder.path());
    all(folder.path());
    let kept = sidecars(folder.path());
    let whole = std::fs::read(&kept[0]).expect("read");
    let mut cases: Vec<Vec<u8>> = vec![Vec::new(), b"{}".to_vec(), whole[..40].to_vec()];
    let three = whole
        .windows(3)
        .position(|bytes| bytes == br#""3""#)
        .or_else(|| whole.iter().rposition(u8::is_ascii_digit));
    let mut changed = whole.clone();
    changed[three.expect("a number") + 1] ^= 1;
    cases.push(changed);
    cases.push(std::fs::read(&kept[1]).expect("read"));
    for bytes in cases {
        std::fs::write(&kept[0], &bytes).expect("written");
        assert_eq!(of_window(folder.path()), charge);
        assert_eq!(std::fs::read(&kept[0]).expect("read"), whole, "made anew");
    }
}

#[test]
fn what_was_never_closed_counts_with_its_reservation() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chain = named(folder.path(), "worker-0", small_segments());
    chain.append(&set_aside(&id(0), MONTH, 5)).expect("appends");
    for index in 1..30 {
        chain
            .append(&set_aside(&id(index), MONTH, 5))
            .expect("appends");
        chain
            .append(&charged(&id(index), MONTH, 1))
            .expect("appends");
    }
    drop(chain);
    let found = all(folder.path());
    assert_eq!((found.unclosed, found.total()[WINDOW]), (1, Picos(34)));
    assert!(found.read > 3, "its beginning is in an old segment");
    // Closed much later, by the next process, with its reservation: nothing changes.
    let mut chain = named(folder.path(), "worker-0", small_segments());
    chain.append(&charged(&id(0), MONTH, 5)).expect("appends");
    drop(chain);
    let found = all(folder.path());
    assert_eq!((found.unclosed, found.total()[WINDOW]), (0, Picos(34)));
}

#[test]
fn segments_before_the_month_are_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chain = named(folder.path(), "worker-0", small_segments());
    for (month, at_ms) in [(0, MONTH - 2 * DAY_MS), (1, MONTH + 1)] {
        for index in 0..20 {
            let id = id(month * 100 + index);
            chain.append(&set_aside(&id, at_ms, 5)).expect("appends");
            chain.append(&charged(&id, at_ms, 1)).expect("appends");
        }
    }
    drop(chain);
    let whole = segments(folder.path()).len() as u64;
    let found = all(folder.path());
    assert!(found.read < whole - 3, "{found:?} of {whole}");
    assert!(found.total()[WINDOW] < Picos(40));
    let unwanted = sums(folder.path(), MONTH, &|name| name == OTHER).expect("read");
    assert_eq!(unwanted.total().keys().collect::<Vec<_>>(), [OTHER]);
}

#[test]
fn a_torn_end_and_a_damaged_line_take_nothing_else_with_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chain = named(folder.path(), "worker-0", config());
    for index in 0..10 {
        let id = id(index);
        chain.append(&set_aside(&id, MONTH, 5)).expect("appends");
        chain.append(&charged(&id, MONTH, 1)).expect("appends");
    }
    drop(chain);
    let path = &segments(folder.path())[0];
    let mut bytes = std::fs::read(path).expect("read");
    let lines: Vec<usize> = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at)
        .collect();
    // The third request's end is lost: it counts with its reservation.
    bytes[lines[4] + 40] ^= 1;
    bytes.truncate(lines[19] - 5);
    std::fs::write(path, &bytes).expect("written");
    assert_eq!(of_window(folder.path()), 8 + 5 + 5);
}

#[test]
fn sums_are_kept_beside_sealed_segments_alone() {
    let none = tempfile::tempdir().expect("a folder").path().join("none");
    assert_eq!(keep_sums(&none).expect("nothing there"), 0);
    assert_eq!(all(&none), Sums::default());
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    let sealed = segments(folder.path()).len() - 2;
    let made = keep_sums(folder.path()).expect("read");
    assert_eq!((made, sidecars(folder.path()).len()), (sealed, sealed));
    assert_eq!(keep_sums(folder.path()).expect("read"), 0);
}
