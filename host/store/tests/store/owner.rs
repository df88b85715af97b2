//! Whose folder it is, and of which format.

use std::fs;

use pointsman_store::{Look, Store, StoreConfig, StoreError};

use crate::changes::{call, commit, open, tenant};

#[test]
fn a_second_owner_is_refused_and_told_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, _) = open(folder.path());
    let refused = Store::open(folder.path(), StoreConfig::default());
    let Err(error @ StoreError::Owned { .. }) = refused else {
        unreachable!("{refused:?}");
    };
    let text = error.to_string();
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    assert!(text.contains("stop that one"), "{text}");
    commit(&first, &call(1, tenant("a")));
}

#[test]
fn beside_its_owner_a_folder_is_read_and_not_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(folder.path());
    let digest = store.put_blob(b"bytes").expect("kept");
    commit(&store, &call(1, tenant("a")));
    let look = Look::open(folder.path()).expect("read");
    assert_eq!(look.state(), &store.state());
    assert_eq!(&look.blob(&digest).expect("a blob")[..], b"bytes");
    // What comes later is seen by who looks again.
    commit(&store, &call(2, tenant("b")));
    assert_eq!(look.state().sequence, 1);
    let again = Look::open(folder.path()).expect("read");
    assert_eq!(again.state(), &store.state());
    fs::write(folder.path().join("format"), "99\n").expect("written");
    let refused = Look::open(folder.path());
    assert!(
        matches!(refused, Err(StoreError::Format { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_released_folder_is_taken_over() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..5 {
        let (store, recovered) = open(folder.path());
        assert_eq!(recovered, pointsman_store::Recovered::default());
        assert_eq!(store.state().sequence, round);
        commit(&store, &call(1, tenant("a")));
        store.release().expect("released");
    }
}

#[test]
fn a_newer_or_unknown_format_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let (store, _) = open(folder.path());
        commit(&store, &call(1, tenant("a")));
    }
    let file = folder.path().join("format");
    assert_eq!(fs::read_to_string(&file).expect("reads"), "1\n");
    for text in [
        "2\n",
        "0\n",
        "",
        "one",
        "1 1",
        "\u{1b}[31m2",
        "99999999999999999999",
    ] {
        fs::write(&file, text).expect("writes");
        let refused = Store::open(folder.path(), StoreConfig::default());
        let Err(error @ StoreError::Format { .. }) = refused else {
            unreachable!("{text:?}: {refused:?}");
        };
        assert!(
            error.to_string().contains("this version reads 1 to 1"),
            "{error}"
        );
        assert!(!error.to_string().contains('\u{1b}'));
        assert_eq!(fs::read_to_string(&file).expect("reads"), text);
    }
    fs::write(&file, [0xff; 4096]).expect("writes");
    let refused = Store::open(folder.path(), StoreConfig::default());
    assert!(
        matches!(refused, Err(StoreError::Format { .. })),
        "{refused:?}"
    );
    fs::remove_file(&file).expect("removes");
    let refused = Store::open(folder.path(), StoreConfig::default());
    assert!(
        matches!(refused, Err(StoreError::Format { .. })),
        "a journal without a format may be of any: {refused:?}"
    );
    fs::write(&file, "1\n").expect("writes");
    assert_eq!(open(folder.path()).0.state().sequence, 1);
}

#[test]
fn a_file_in_the_folders_place_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("control");
    fs::write(&file, "mine").expect("writes");
    let refused = Store::open(&file, StoreConfig::default());
    assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
    assert_eq!(fs::read_to_string(&file).expect("reads"), "mine");
}
