//! A journal that is cut, damaged or gone.

use std::fs;
use std::path::Path;

use pointsman_store::{Store, StoreConfig, StoreError};
use proptest::prelude::*;

use crate::changes::{Call, call, calls, commit, copy, one_of_each, open, segments, sum, tenant};

/// A store with these commits, never released.
fn store_with(calls: &[Call]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(folder.path());
    for call in calls {
        commit(&store, call);
    }
    drop(store);
    folder
}

fn without_state(folder: &Path) {
    fs::remove_dir_all(folder.join("state")).expect("removes");
}

fn newlines(bytes: &[u8]) -> Vec<usize> {
    let at = |(index, byte): (usize, &u8)| (*byte == b'\n').then_some(index);
    bytes.iter().enumerate().filter_map(at).collect()
}

#[test]
fn a_cut_at_every_byte_of_the_last_entry_keeps_the_whole_ones() {
    let calls = one_of_each();
    let folder = store_with(&calls);
    let file = segments(folder.path()).remove(0);
    let whole = fs::read(&file).expect("reads");
    let ends = newlines(&whole);
    let last = ends[ends.len() - 2] + 1;
    for cut in last..=whole.len() {
        for keep_state in [true, false] {
            // With its state the shelf is ahead of the journal, as no crash leaves it: the journal decides.
            if keep_state && cut % 8 != 0 && cut + 1 < whole.len() {
                continue;
            }
            let copied = tempfile::tempdir().expect("a folder");
            copy(folder.path(), copied.path());
            if !keep_state {
                without_state(copied.path());
            }
            let copied_file = segments(copied.path()).remove(0);
            fs::write(&copied_file, &whole[..cut]).expect("writes");
            let kept = if cut == whole.len() {
                calls.len()
            } else {
                calls.len() - 1
            };
            let (store, recovered) = open(copied.path());
            assert_eq!(store.state(), sum(&calls[..kept]), "cut at {cut}");
            let torn = if cut == whole.len() { 0 } else { cut - last };
            assert_eq!(recovered.cut_bytes, torn as u64, "cut at {cut}");
            assert_eq!(recovered.damage, None);
            let next = commit(&store, &call(99, tenant("next")));
            assert_eq!(next.sequence, kept as u64 + 1);
            drop(store);
            if cut % 8 != 0 {
                continue;
            }
            let (store, recovered) = open(copied.path());
            assert_eq!(store.state(), next, "cut at {cut}");
            assert_eq!(recovered.rebuilt, None, "cut at {cut}");
        }
    }
}

#[test]
fn damage_that_nothing_covers_is_refused_with_what_to_do_and_left_as_it_is() {
    let calls = one_of_each();
    let folder = store_with(&calls);
    without_state(folder.path());
    let file = segments(folder.path()).remove(0);
    let whole = fs::read(&file).expect("reads");
    for at in [3, whole.len() / 3, whole.len() / 2, whole.len() - 2] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&file, &damaged).expect("writes");
        let refused = Store::open(folder.path(), StoreConfig::default());
        let Err(error @ StoreError::Damaged { .. }) = refused else {
            unreachable!("byte {at}: {refused:?}");
        };
        let text = error.to_string();
        assert!(text.contains("journal.000001.log"), "{text}");
        assert!(text.contains("restore a backup"), "{text}");
        assert_eq!(fs::read(&file).expect("reads"), damaged);
    }
    fs::write(&file, &whole).expect("writes");
    assert_eq!(open(folder.path()).0.state(), sum(&calls));
}

#[test]
fn damage_that_the_queryable_state_covers_is_told_and_survived() {
    let calls = one_of_each();
    let folder = store_with(&calls);
    let file = segments(folder.path()).remove(0);
    let mut bytes = fs::read(&file).expect("reads");
    let ends = newlines(&bytes);
    bytes[ends[3] + 20] ^= 1;
    fs::write(&file, &bytes).expect("writes");
    for round in 0..3 {
        let (store, recovered) = open(folder.path());
        // Later openings need not read so far back.
        let told = recovered.damage.map(|damage| damage.offset);
        assert_eq!(told, (round == 0).then_some(ends[3] as u64 + 1));
        assert_eq!(recovered.rebuilt, None);
        let state = store.state();
        assert_eq!(state.sequence, calls.len() as u64 + round);
        let refused = store.backup(&mut std::io::sink());
        assert!(
            matches!(refused, Err(StoreError::Damaged { .. })),
            "a copy of it could not be restored: {refused:?}"
        );
        let sequences: Vec<_> = store
            .entries(0, 99)
            .expect("reads")
            .iter()
            .map(|entry| entry.sequence)
            .collect();
        assert!(!sequences.contains(&5) && sequences.contains(&4) && sequences.contains(&6));
        commit(&store, &call(99, tenant("next")));
    }
    without_state(folder.path());
    let refused = Store::open(folder.path(), StoreConfig::default());
    assert!(
        matches!(refused, Err(StoreError::Damaged { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_changed_entry_with_a_mended_checksum_is_refused() {
    let calls = one_of_each();
    let folder = store_with(&calls);
    without_state(folder.path());
    let file = segments(folder.path()).remove(0);
    let text = fs::read_to_string(&file).expect("reads");
    let lines: Vec<String> = text
        .split_inclusive('\n')
        .map(|line| {
            let mut parts = line.splitn(2, '\t');
            let json = parts.next().expect("json");
            let trailer = parts.next().expect("a trailer");
            let changed = json.replace("\"id\":\"demo\",\"policy\"", "\"id\":\"evil\",\"policy\"");
            let crc = hex::encode(crc32fast::hash(changed.as_bytes()).to_be_bytes());
            format!("{changed}\t{crc}{}", &trailer[8..])
        })
        .collect();
    assert_ne!(lines.concat(), text);
    fs::write(&file, lines.concat()).expect("writes");
    let refused = Store::open(folder.path(), StoreConfig::default());
    assert!(
        matches!(refused, Err(StoreError::Damaged { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_missing_segment_or_entry_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for at_ms in 0..3 {
        let (store, _) = open(folder.path());
        commit(&store, &call(at_ms, tenant("a")));
        store.release().expect("released");
    }
    without_state(folder.path());
    for file in &segments(folder.path())[..2] {
        let bytes = fs::read(file).expect("reads");
        fs::remove_file(file).expect("removes");
        let refused = Store::open(folder.path(), StoreConfig::default());
        assert!(
            matches!(refused, Err(StoreError::Damaged { .. })),
            "{file:?}: {refused:?}"
        );
        fs::write(file, bytes).expect("writes");
    }
    assert_eq!(open(folder.path()).0.state().sequence, 3);
}

#[test]
fn the_journal_of_another_time_is_not_taken_for_this_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(folder.path());
    commit(&store, &call(1, tenant("shared")));
    let other = tempfile::tempdir().expect("a folder");
    copy(folder.path(), other.path());
    commit(&store, &call(2, tenant("ours")));
    commit(&store, &call(3, tenant("ours-too")));
    drop(store);
    let (store, _) = open(other.path());
    let theirs = [
        call(1, tenant("shared")),
        call(2, tenant("theirs")),
        call(3, tenant("theirs-too")),
        call(4, tenant("theirs-as-well")),
    ];
    for call in &theirs[1..] {
        commit(&store, call);
    }
    drop(store);
    for file in segments(folder.path()) {
        fs::remove_file(file).expect("removes");
    }
    for file in segments(other.path()) {
        fs::copy(&file, folder.path().join(file.file_name().expect("named"))).expect("copies");
    }
    let (store, recovered) = open(folder.path());
    assert_eq!(store.state(), sum(&theirs));
    assert_eq!(
        recovered.rebuilt.as_deref(),
        Some("it is not a state of this journal")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever one changed byte does: the state is that of the journal's whole entries, or the store refuses.
    #[test]
    fn a_flipped_byte_never_gives_another_state(
        calls in calls(8),
        place in any::<prop::sample::Index>(),
        mask in 1..=u8::MAX,
        keep_state in any::<bool>(),
    ) {
        let folder = store_with(&calls);
        if !keep_state {
            without_state(folder.path());
        }
        let file = segments(folder.path()).remove(0);
        let mut bytes = fs::read(&file).expect("reads");
        let at = place.index(bytes.len());
        bytes[at] ^= mask;
        fs::write(&file, &bytes).expect("writes");
        match Store::open(folder.path(), StoreConfig::default()) {
            Ok((store, recovered)) => {
                prop_assert_eq!(store.state(), sum(&calls));
                prop_assert!(recovered.damage.is_some());
            }
            Err(StoreError::Damaged { .. }) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}
