//! Bytes by digest.

use std::fs;
use std::path::PathBuf;

use pointsman_domain::Digest;
use pointsman_store::{Store, StoreConfig, StoreError};

use crate::changes::{digest, open};

fn file(folder: &std::path::Path, digest: &Digest) -> PathBuf {
    let name = digest.to_string().replace("sha256:", "");
    folder.join("blobs").join(&name[..2]).join(name)
}

#[test]
fn a_blob_reads_as_it_was_put_and_is_put_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let digest = {
        let (store, _) = open(folder.path());
        let digest = store.put_blob(b"bytes").expect("kept");
        assert_eq!(store.put_blob(b"bytes").expect("there"), digest);
        digest
    };
    assert_eq!(
        digest.to_string(),
        "sha256:277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9"
    );
    let (store, _) = open(folder.path());
    assert_eq!(&store.blob(&digest).expect("there")[..], b"bytes");
    assert_eq!(
        fs::read(file(folder.path(), &digest)).expect("reads"),
        b"bytes"
    );
    let empty = store.put_blob(b"").expect("kept");
    assert_eq!(store.blob(&empty).expect("there").len(), 0);
}

#[test]
fn a_damaged_blob_is_found_at_each_read_and_mended_by_a_push() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(folder.path());
    let digest = store.put_blob(b"bytes").expect("kept");
    let file = file(folder.path(), &digest);
    for bad in [&b"bytez"[..], b"byte", b"bytes and more", b""] {
        fs::write(&file, bad).expect("writes");
        let read = store.blob(&digest);
        assert!(
            matches!(read, Err(StoreError::BlobDamaged { digest: named }) if named == digest),
            "{bad:?}: {read:?}"
        );
        assert_eq!(store.put_blob(b"bytes").expect("mends"), digest);
        assert_eq!(&store.blob(&digest).expect("whole")[..], b"bytes");
    }
}

#[test]
fn a_missing_blob_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(folder.path());
    let read = store.blob(&digest(9));
    assert!(
        matches!(read, Err(StoreError::BlobMissing { .. })),
        "{read:?}"
    );
}

#[test]
fn a_blob_above_the_bound_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = StoreConfig { blob_bytes_max: 4 };
    let (store, _) = Store::open(folder.path(), config).expect("opens");
    assert!(store.put_blob(b"four").is_ok());
    let refused = store.put_blob(b"fives");
    assert!(
        matches!(refused, Err(StoreError::BlobTooLarge { bytes: 5, max: 4 })),
        "{refused:?}"
    );
}

#[test]
fn what_a_killed_process_left_half_written_is_cleared() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    let aside = folder.path().join("blobs/aside/7");
    fs::write(&aside, "half").expect("writes");
    drop(open(folder.path()));
    assert!(!aside.exists());
}

#[test]
fn the_same_bytes_are_put_by_many_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(folder.path());
    let bytes = vec![7; 100_000];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let digest = store.put_blob(&bytes).expect("kept");
                    assert_eq!(store.blob(&digest).expect("whole").len(), bytes.len());
                }
            });
        }
    });
    let left = fs::read_dir(folder.path().join("blobs/aside")).expect("reads");
    assert_eq!(left.count(), 0);
}
