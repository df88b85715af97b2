//! A disk that is full: a bound on the size of files stands in for it, at every place of every file.

use std::path::Path;
use std::process::Command;

use pointsman_store::{Store, StoreConfig, StoreError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::changes::{call, one_of_each, open, sum, tenant};

const FOLDER: &str = "POINTSMAN_STORE_FULL_FOLDER";

/// Runs with no file growing above `bytes`.
fn bounded<T>(bytes: u64, run: impl FnOnce() -> T) -> T {
    let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
    let limit = |current| {
        setrlimit(Resource::Fsize, Rlimit { current, maximum }).expect("may be lowered");
    };
    limit(Some(bytes));
    let result = run();
    limit(maximum);
    result
}

/// In a process of its own, which ignores the signal that comes with the bound.
fn in_a_child(test: &str, run: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return run(Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().expect("this test"))
        .args([test, "--exact", "--nocapture"])
        .env(FOLDER, folder.path())
        .output()
        .expect("runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_full_disk_refuses_and_changes_nothing_and_goes_on_when_there_is_room() {
    in_a_child(
        "disk::a_full_disk_refuses_and_changes_nothing_and_goes_on_when_there_is_room",
        |folder| {
            let (store, _) = open(folder);
            let calls = one_of_each();
            let mut refusals = 0;
            for (index, call) in calls.iter().enumerate() {
                let before = store.state();
                let journal = folder.join("journal.000001.log");
                let len = journal.metadata().map_or(0, |found| found.len());
                for room in [0, 1, 40, 120] {
                    let refused = bounded(len + room, || {
                        let change = call.change.clone();
                        store.commit(call.at_ms, "admin", change, call.idempotency.clone())
                    });
                    assert!(matches!(refused, Err(StoreError::Commit(_))), "{refused:?}");
                    assert_eq!(store.state(), before);
                    refusals += 1;
                }
                let now = journal.metadata().map_or(0, |found| found.len());
                assert_eq!(now, len, "nothing is left behind");
                let state = store
                    .commit(
                        call.at_ms,
                        "admin",
                        call.change.clone(),
                        call.idempotency.clone(),
                    )
                    .expect("there is room again");
                assert_eq!(state, sum(&calls[..=index]));
            }
            assert_eq!(refusals, calls.len() * 4);
            drop(store);
            assert_eq!(open(folder).0.state(), sum(&calls));
        },
    );
}

#[test]
fn a_full_disk_keeps_no_half_of_a_blob() {
    in_a_child("disk::a_full_disk_keeps_no_half_of_a_blob", |folder| {
        let (store, _) = open(folder);
        let bytes = vec![7; 10_000];
        for room in [0, 1, 9_999] {
            let refused = bounded(room, || store.put_blob(&bytes));
            assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
        }
        let left = std::fs::read_dir(folder.join("blobs/aside")).expect("reads");
        assert_eq!(left.count(), 0);
        let digest = store.put_blob(&bytes).expect("there is room");
        assert_eq!(store.blob(&digest).expect("whole"), bytes);
    });
}

#[test]
fn whatever_file_is_full_what_was_acknowledged_is_there_afterwards() {
    in_a_child(
        "disk::whatever_file_is_full_what_was_acknowledged_is_there_afterwards",
        |folder| {
            // The journal, the format and the shelf grow by bytes, pages and segments.
            let bounds = (0..40)
                .map(|step| step * 120)
                .chain((1..24).map(|step| step * 48 * 1024));
            for bound in bounds {
                let folder = folder.join(bound.to_string());
                let acknowledged = bounded(bound, || fill(&folder));
                let (store, recovered) = open(&folder);
                let state = store.state();
                assert_eq!(state.sequence, acknowledged, "bound {bound}");
                for sequence in 1..=acknowledged {
                    assert!(state.tenants.contains_key(&format!("tenant-{sequence}")));
                }
                assert_eq!(recovered.damage, None, "bound {bound}");
                drop(store);
                std::fs::remove_dir_all(&folder).expect("removes");
            }
        },
    );
}

/// Opens and commits as far as it goes; the last acknowledged sequence.
fn fill(folder: &Path) -> u64 {
    let Ok((store, _)) = Store::open(folder, StoreConfig::default()) else {
        return 0;
    };
    let mut last = 0;
    for index in 1..=70 {
        let id = format!("tenant-{index}");
        let entry = call(index, tenant(&id));
        match store.commit(entry.at_ms, "admin", entry.change, None) {
            Ok(state) => last = state.sequence,
            Err(_) => return last,
        }
    }
    last
}
