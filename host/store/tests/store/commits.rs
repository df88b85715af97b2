//! What a commit does, and what is there after a restart.

use std::sync::Arc;

use pointsman_domain::control::Change;
use pointsman_store::{
    IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_MS, State, Store, StoreConfig, StoreError,
};
use proptest::prelude::*;

use crate::changes::{
    Call, call, calls, commit, copy, done, key_of, one_of_each, open, sum, tenant,
};

#[test]
fn every_kind_of_change_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let calls = one_of_each();
    for (index, call) in calls.iter().enumerate() {
        let (store, recovered) = open(folder.path());
        assert_eq!(recovered.rebuilt, None, "before {index}");
        assert_eq!(store.state(), sum(&calls[..index]), "before {index}");
        let state = commit(&store, call);
        assert_eq!(state, sum(&calls[..=index]));
        assert_eq!(store.state(), state);
    }
    let (store, recovered) = open(folder.path());
    assert_eq!(store.state(), sum(&calls));
    assert_eq!((recovered.replayed, recovered.cut_bytes), (0, 0));
    let entries = store.entries(0, usize::MAX).expect("reads");
    let changes: Vec<_> = entries.iter().map(|entry| entry.change.clone()).collect();
    let committed: Vec<_> = calls.iter().map(|call| call.change.clone()).collect();
    assert_eq!(changes, committed);
}

#[test]
fn a_copy_of_the_state_never_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(folder.path());
    let before = commit(&store, &call(1, tenant("a")));
    commit(&store, &call(2, tenant("b")));
    assert_eq!(before, sum(&[call(1, tenant("a"))]));
}

#[test]
fn a_removed_tenant_takes_its_keys_and_no_others() {
    let state = sum(&[
        call(1, tenant("a")),
        call(2, tenant("b")),
        call(3, Change::KeyCreated(key_of("key-1", "a"))),
        call(4, Change::KeyCreated(key_of("key-2", "b"))),
        call(5, Change::TenantRemoved { id: "a".to_owned() }),
    ]);
    assert_eq!(state.keys.keys().collect::<Vec<_>>(), ["key-2"]);
    assert_eq!(state.tenants.keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(state.tenant_tags.keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_rotated_key_expires_no_later_than_it_would_have() {
    let mut old = key_of("key-1", "a");
    old.expires_ms = Some(50);
    let rotated = |expires_ms| {
        let state = sum(&[
            call(1, Change::KeyCreated(old.clone())),
            call(
                2,
                Change::KeyRotated {
                    id: "key-1".to_owned(),
                    expires_ms,
                    key: key_of("key-2", "a"),
                },
            ),
        ]);
        state.keys["key-1"].expires_ms
    };
    assert_eq!((rotated(40), rotated(60)), (Some(40), Some(50)));
}

#[test]
fn a_clock_that_steps_back_changes_no_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let calls = [
        call(9_000, Change::KeyCreated(key_of("key-1", "a"))),
        call(
            5_000,
            Change::KeyRevoked {
                id: "key-1".to_owned(),
            },
        ),
        call(1, tenant("a")),
    ];
    {
        let (store, _) = open(folder.path());
        for call in &calls {
            commit(&store, call);
        }
    }
    let (store, _) = open(folder.path());
    assert_eq!(store.state(), sum(&calls));
    let sequences: Vec<_> = store
        .entries(0, 9)
        .expect("reads")
        .iter()
        .map(|entry| (entry.sequence, entry.at_ms))
        .collect();
    assert_eq!(sequences, [(1, 9_000), (2, 5_000), (3, 1)]);
}

fn keyed(at_ms: u64, key: &str) -> Call {
    Call {
        idempotency: Some(done(key)),
        ..call(at_ms, Change::Seeded)
    }
}

#[test]
fn idempotency_keys_are_remembered_for_a_day() {
    let kept = |calls: &[Call]| -> Vec<String> {
        let state: State = sum(calls);
        state.idempotency.keys().cloned().collect()
    };
    let day = IDEMPOTENCY_MS;
    assert_eq!(kept(&[keyed(5, "a"), keyed(day + 4, "b")]), ["a", "b"]);
    assert_eq!(kept(&[keyed(5, "a"), keyed(day + 5, "b")]), ["b"]);
    assert_eq!(
        kept(&[keyed(5, "a"), keyed(9, "a"), keyed(day + 5, "b")]),
        ["a", "b"],
        "a key that is used again is young again"
    );
    assert_eq!(
        kept(&[keyed(day, "a"), keyed(5, "b")]),
        ["a", "b"],
        "a clock that steps back forgets nothing"
    );
}

#[test]
fn more_idempotency_keys_than_are_kept_forget_the_oldest() {
    let calls: Vec<_> = (0..=IDEMPOTENCY_KEYS_MAX as u64)
        .map(|at_ms| keyed(at_ms, &format!("key-{at_ms}")))
        .collect();
    let state = sum(&calls);
    assert_eq!(state.idempotency.len(), IDEMPOTENCY_KEYS_MAX);
    assert!(!state.idempotency.contains_key("key-0"));
}

#[test]
fn entries_come_in_pages_across_segments() {
    let folder = tempfile::tempdir().expect("a folder");
    for _ in 0..5 {
        let (store, _) = open(folder.path());
        for at_ms in 0..10 {
            commit(&store, &call(at_ms, tenant("a")));
        }
        store.release().expect("released");
    }
    let (store, _) = open(folder.path());
    let sequences = |after, limit| -> Vec<u64> {
        let entries = store.entries(after, limit).expect("reads");
        entries.iter().map(|entry| entry.sequence).collect()
    };
    assert_eq!(sequences(0, usize::MAX), (1..=50).collect::<Vec<_>>());
    assert_eq!(sequences(8, 4), [9, 10, 11, 12]);
    assert_eq!(sequences(49, 4), [50]);
    for after in [50, 51, u64::MAX] {
        assert_eq!(sequences(after, 4), [0; 0], "after {after}");
    }
    assert_eq!(sequences(3, 0), [0; 0]);
}

#[test]
fn an_entry_above_the_bound_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(folder.path());
    commit(&store, &call(1, tenant("a")));
    let before = store.state();
    let refused = store.commit(2, "admin", tenant(&"x".repeat(17 << 20)), None);
    assert!(
        matches!(refused, Err(StoreError::EntryTooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(store.state(), before);
    assert_eq!(commit(&store, &call(3, tenant("b"))).sequence, 2);
}

#[test]
fn a_large_entry_is_kept_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let calls = [call(1, tenant(&"x".repeat(3 << 20))), call(2, tenant("a"))];
    {
        let (store, _) = open(folder.path());
        for call in &calls {
            commit(&store, call);
        }
    }
    let (store, recovered) = open(folder.path());
    assert_eq!(recovered.rebuilt, None);
    assert_eq!(store.state(), sum(&calls));
}

#[test]
fn many_writers_get_one_sequence_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(folder.path());
    let store = Arc::new(store);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let store = Arc::clone(&store);
            std::thread::spawn(move || -> Vec<u64> {
                (0..20)
                    .map(|at_ms| {
                        let id = format!("{thread}-{at_ms}");
                        let state = commit(&store, &call(at_ms, tenant(&id)));
                        assert!(state.tenants.contains_key(&id));
                        state.sequence
                    })
                    .collect()
            })
        })
        .collect();
    let mut sequences: Vec<u64> = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("ends"))
        .collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=80).collect::<Vec<_>>());
    assert_eq!(store.state().tenants.len(), 80);
}

#[test]
fn what_a_new_folder_holds_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("deep/control");
    let (store, recovered) = Store::open(&folder, StoreConfig::default()).expect("opens");
    assert_eq!(recovered, pointsman_store::Recovered::default());
    commit(&store, &call(1, tenant("a")));
    store.put_blob(b"x").expect("kept");
    let mode =
        |path: &std::path::Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("journal.000001.log")), 0o600);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// A kill at any step: what the operating system holds then is the folder as it is.
    #[test]
    fn a_kill_after_any_commit_keeps_just_what_was_committed(calls in calls(12)) {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _) = open(folder.path());
        for (index, call) in calls.iter().enumerate() {
            let state = commit(&store, call);
            prop_assert_eq!(&state, &sum(&calls[..=index]));
            let killed = tempfile::tempdir().expect("a folder");
            copy(folder.path(), killed.path());
            let (again, recovered) = open(killed.path());
            prop_assert_eq!(again.state(), state);
            prop_assert_eq!(recovered.damage, None);
        }
    }
}
