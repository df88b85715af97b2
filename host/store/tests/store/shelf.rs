//! A queryable state that is gone, behind, ahead or broken: always mended, never in the way.

use std::fs;
use std::path::{Path, PathBuf};

use pointsman_store::Recovered;
use proptest::prelude::*;

use crate::changes::{Call, call, calls, commit, copy, one_of_each, open, sum, tenant};

fn store_with(calls: &[Call]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(folder.path());
    for call in calls {
        commit(&store, call);
    }
    store.release().expect("released");
    folder
}

/// Opens twice: mended, and then as good as new.
fn check(folder: &Path, calls: &[Call]) -> Recovered {
    let (store, recovered) = open(folder);
    assert_eq!(store.state(), sum(calls));
    assert_eq!(recovered.damage, None);
    assert_eq!(recovered.shelf_failed, None);
    drop(store);
    let (store, again) = open(folder);
    assert_eq!(store.state(), sum(calls));
    assert_eq!(again, Recovered::default());
    recovered
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("reads") {
        let path = entry.expect("reads").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn one_that_is_gone_is_rebuilt() {
    let calls = one_of_each();
    let folder = store_with(&calls);
    fs::remove_dir_all(folder.path().join("state")).expect("removes");
    let recovered = check(folder.path(), &calls);
    assert_eq!(recovered.rebuilt.as_deref(), Some("there was none"));
    assert_eq!(recovered.replayed, calls.len() as u64);
}

#[test]
fn one_that_is_behind_is_replayed_and_not_rebuilt() {
    let calls = one_of_each();
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(folder.path());
    for call in &calls[..4] {
        commit(&store, call);
    }
    store.release().expect("released");
    let old = tempfile::tempdir().expect("a folder");
    copy(&folder.path().join("state"), old.path());
    let (store, _) = open(folder.path());
    for call in &calls[4..] {
        commit(&store, call);
    }
    store.release().expect("released");
    fs::remove_dir_all(folder.path().join("state")).expect("removes");
    copy(old.path(), &folder.path().join("state"));
    let recovered = check(folder.path(), &calls);
    assert_eq!(recovered.rebuilt, None);
    assert_eq!(recovered.replayed, calls.len() as u64 - 4);
}

#[test]
fn one_that_is_a_file_a_link_or_an_empty_folder_is_replaced() {
    let calls = one_of_each();
    let folder = store_with(&calls);
    let state = folder.path().join("state");
    let elsewhere = tempfile::tempdir().expect("a folder");
    fs::write(elsewhere.path().join("precious"), "kept").expect("writes");
    let replace: [&dyn Fn(); 4] = [
        &|| fs::write(&state, "no folder").expect("writes"),
        &|| std::os::unix::fs::symlink("nowhere", &state).expect("links"),
        &|| fs::create_dir(&state).expect("makes"),
        &|| {
            fs::create_dir(&state).expect("makes");
            fs::write(state.join("db"), "").expect("writes");
            fs::write(state.join("conf"), "segment_size: 12\nnonsense").expect("writes");
        },
    ];
    for (index, put) in replace.iter().enumerate() {
        fs::remove_dir_all(&state).expect("removes");
        put();
        let recovered = check(folder.path(), &calls);
        assert!(recovered.rebuilt.is_some(), "{index}");
    }
    assert!(elsewhere.path().join("precious").exists());
}

#[test]
fn every_file_of_it_may_be_missing_empty_or_cut() {
    let calls = one_of_each();
    let folder = store_with(&calls);
    let sound = tempfile::tempdir().expect("a folder");
    copy(folder.path(), sound.path());
    let names = files(&sound.path().join("state"));
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        let bytes = fs::read(&name).expect("reads");
        let relative = name.strip_prefix(sound.path()).expect("below it");
        for keep in [
            None,
            Some(0),
            Some(1),
            Some(bytes.len() / 2),
            Some(bytes.len() - 1),
        ] {
            let copied = tempfile::tempdir().expect("a folder");
            copy(sound.path(), copied.path());
            let file = copied.path().join(relative);
            match keep {
                None => fs::remove_file(&file).expect("removes"),
                Some(len) => fs::write(&file, &bytes[..len]).expect("writes"),
            }
            check(copied.path(), &calls);
        }
    }
}

/// What happens to a stretch of a file.
#[derive(Clone, Debug)]
enum Harm {
    /// Each byte changes.
    Flip,
    /// As after a lost write.
    Zero,
    /// As of an older time, or of another place.
    Copy(prop::sample::Index),
    /// The file ends there.
    Cut,
}

fn harm(bytes: &mut Vec<u8>, at: usize, len: usize, harm: &Harm) {
    let end = (at + len).min(bytes.len());
    match harm {
        Harm::Flip => bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0xff),
        Harm::Zero => bytes[at..end].fill(0),
        Harm::Copy(from) => {
            let from = from.index(bytes.len() - (end - at) + 1);
            bytes.copy_within(from..from + (end - at), at);
        }
        Harm::Cut => bytes.truncate(at),
    }
}

/// Hundreds of rows, so that sled has several segments of its own.
fn large() -> (tempfile::TempDir, Vec<Call>) {
    let calls: Vec<Call> = (0..400)
        .map(|index| {
            call(
                index,
                tenant(&format!("tenant-{}-{index}", "x".repeat(2_000))),
            )
        })
        .collect();
    (store_with(&calls), calls)
}

#[test]
fn a_segment_of_it_that_is_lost_is_found_out() {
    let (sound, calls) = large();
    let db = fs::read(sound.path().join("state/db")).expect("reads");
    const SEGMENT: usize = 512 * 1024;
    assert!(db.len() >= 3 * SEGMENT, "{} bytes", db.len());
    let mut rebuilt = 0;
    for segment in 0..db.len() / SEGMENT {
        let copied = tempfile::tempdir().expect("a folder");
        copy(sound.path(), copied.path());
        let mut bytes = db.clone();
        harm(&mut bytes, segment * SEGMENT, SEGMENT, &Harm::Zero);
        fs::write(copied.path().join("state/db"), bytes).expect("writes");
        rebuilt += usize::from(check(copied.path(), &calls).rebuilt.is_some());
    }
    assert!(rebuilt > 0);
}

fn harms(most: usize) -> impl Strategy<Value = Vec<(prop::sample::Index, usize, Harm)>> {
    let len = prop_oneof![1..3_usize, 1..2_000_usize, Just(512 * 1024)];
    let what = prop_oneof![
        4 => Just(Harm::Flip),
        2 => Just(Harm::Zero),
        2 => any::<prop::sample::Index>().prop_map(Harm::Copy),
        1 => Just(Harm::Cut),
    ];
    proptest::collection::vec((any::<prop::sample::Index>(), len, what), 1..most)
}

/// Harms a file within its first `reach` bytes.
fn harm_file(file: &Path, reach: usize, harms: &[(prop::sample::Index, usize, Harm)]) {
    let mut bytes = fs::read(file).expect("reads");
    for (place, len, what) in harms {
        let reach = bytes.len().min(reach);
        if reach > 0 {
            harm(&mut bytes, place.index(reach), *len, what);
        }
    }
    fs::write(file, bytes).expect("writes");
}

#[test]
fn whatever_happens_to_many_rows_the_state_is_the_journals() {
    let (sound, calls) = large();
    let config = ProptestConfig::with_cases(24);
    proptest!(config, |(harms in harms(6))| {
        let copied = tempfile::tempdir().expect("a folder");
        copy(sound.path(), copied.path());
        harm_file(&copied.path().join("state/db"), usize::MAX, &harms);
        check(copied.path(), &calls);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_happens_to_its_files_the_state_is_the_journals(
        calls in calls(10),
        file in any::<prop::sample::Index>(),
        harms in harms(6),
        // Most of a small database is padding.
        reach in prop_oneof![Just(4096_usize), Just(usize::MAX)],
    ) {
        let folder = store_with(&calls);
        let files = files(&folder.path().join("state"));
        harm_file(&files[file.index(files.len())], reach, &harms);
        check(folder.path(), &calls);
    }
}
