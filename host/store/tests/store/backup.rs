//! Backups and what they are restored to; archives that are not ours.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use pointsman_domain::control::{Change, Prices};
use pointsman_store::{RestoreReport, Store, StoreError};

use crate::changes::{call, commit, digest, open, plugin, tenant, version};

/// A store with blobs, and its backup.
fn sound(folder: &Path) -> (Store, Vec<u8>) {
    let (store, _) = open(folder);
    let bytes = store.put_blob(&[1; 3000]).expect("kept");
    commit(&store, &call(1, plugin(bytes, 3000)));
    let bundle = store.put_blob(b"a bundle").expect("kept");
    commit(&store, &call(2, version("quickstart", 1, bundle)));
    for rows in 0..2 {
        let blob = store
            .put_blob(format!("prices {rows}").as_bytes())
            .expect("kept");
        let put = Prices {
            digest: blob,
            blob,
            rows,
            put_ms: 3,
        };
        commit(&store, &call(3, Change::PricesPut(put)));
    }
    commit(&store, &call(4, tenant("demo")));
    store.put_blob(b"named by no entry").expect("kept");
    let mut archive = Vec::new();
    store.backup(&mut archive).expect("made");
    (store, archive)
}

fn restore(archive: &[u8], folder: &Path) -> Result<RestoreReport, StoreError> {
    Store::restore(&mut &archive[..], folder)
}

#[test]
fn a_backup_is_restored_whole_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, archive) = sound(folder.path());
    for make in [false, true] {
        let parent = tempfile::tempdir().expect("a folder");
        let target = parent.path().join("control");
        if make {
            fs::create_dir(&target).expect("makes");
        }
        let report = restore(&archive, &target).expect("restored");
        assert_eq!((report.sequence, report.blobs), (5, 4));
        assert!(report.missing.is_empty());
        let (again, recovered) = open(&target);
        assert_eq!(again.state(), store.state());
        assert_eq!(recovered.damage, None);
        assert_eq!(
            again.entries(0, 99).expect("reads"),
            store.entries(0, 99).expect("reads")
        );
        for plugin in store.state().plugins.keys() {
            assert_eq!(
                again.blob(plugin).expect("there"),
                store.blob(plugin).expect("there")
            );
        }
        assert_eq!(commit(&again, &call(9, tenant("new"))).sequence, 6);
        drop(again);
        assert_eq!(open(&target).0.state().sequence, 6);
        assert_eq!(fs::read_dir(parent.path()).expect("reads").count(), 1);
    }
}

#[test]
fn a_backup_of_an_empty_store_is_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(folder.path());
    let mut archive = Vec::new();
    let report = store.backup(&mut archive).expect("made");
    assert_eq!((report.sequence, report.blobs), (0, 0));
    let parent = tempfile::tempdir().expect("a folder");
    let target = parent.path().join("control");
    restore(&archive, &target).expect("restored");
    assert_eq!(open(&target).0.state().sequence, 0);
}

#[test]
fn a_backup_of_a_reopened_store_is_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(sound(folder.path()));
    let (store, _) = open(folder.path());
    let mut archive = Vec::new();
    store
        .backup(&mut archive)
        .expect("made of a sealed journal");
    let parent = tempfile::tempdir().expect("a folder");
    let target = parent.path().join("control");
    restore(&archive, &target).expect("restored");
    assert_eq!(open(&target).0.state(), store.state());
}

#[test]
fn a_backup_that_others_commit_beside_is_one_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = sound(folder.path());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (store, done) = (&store, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let sequence = store.state().sequence + 1;
                let blob = store.put_blob(&[sequence as u8 % 30]).expect("kept");
                commit(store, &call(sequence, plugin(blob, 1)));
            }
        });
        for _ in 0..8 {
            let mut archive = Vec::new();
            let report = store.backup(&mut archive).expect("made");
            let parent = tempfile::tempdir().expect("a folder");
            let target = parent.path().join("control");
            let restored = restore(&archive, &target).expect("restored");
            assert_eq!(restored.sequence, report.sequence);
            assert_eq!(restored.blobs, report.blobs);
            let (again, _) = open(&target);
            let state = again.state();
            assert_eq!(state.sequence, report.sequence);
            for plugin in state.plugins.keys() {
                again.blob(plugin).expect("there");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_backup_tells_what_it_had_to_leave_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = sound(folder.path());
    commit(&store, &call(5, plugin(digest(9), 1)));
    let mut archive = Vec::new();
    let report = store.backup(&mut archive).expect("made all the same");
    assert_eq!(report.missing, [digest(9)]);
    let parent = tempfile::tempdir().expect("a folder");
    let restored = restore(&archive, &parent.path().join("control")).expect("restored");
    assert_eq!(restored.missing, [digest(9)]);
}

#[test]
fn a_folder_that_holds_anything_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_store, archive) = sound(folder.path());
    let refused = restore(&archive, folder.path());
    assert!(
        matches!(refused, Err(StoreError::NotEmpty { .. })),
        "{refused:?}"
    );
    let parent = tempfile::tempdir().expect("a folder");
    fs::write(parent.path().join("mine"), "kept").expect("writes");
    let refused = restore(&archive, parent.path());
    assert!(
        matches!(refused, Err(StoreError::NotEmpty { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read_dir(parent.path()).expect("reads").count(), 1);
}

/// Refused, and nothing is left of it.
fn refuses(archive: &[u8], why: &str) {
    let parent = tempfile::tempdir().expect("a folder");
    let refused = restore(archive, &parent.path().join("control"));
    assert!(
        matches!(
            refused,
            Err(StoreError::Archive { .. } | StoreError::Stream { .. } | StoreError::Format { .. })
        ),
        "{why}: {refused:?}"
    );
    assert_eq!(
        fs::read_dir(parent.path()).expect("reads").count(),
        0,
        "{why}"
    );
}

/// The members of an archive, each with its header.
fn members(archive: &[u8]) -> Vec<(tar::Header, Vec<u8>)> {
    let mut tar = tar::Archive::new(archive);
    let entries = tar.entries().expect("a tar");
    entries
        .map(|entry| {
            let mut entry = entry.expect("whole");
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).expect("reads");
            (entry.header().clone(), bytes)
        })
        .collect()
}

fn build(members: &[(tar::Header, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (header, bytes) in members {
        let mut header = header.clone();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, &bytes[..]).expect("built");
    }
    tar.into_inner().expect("built")
}

#[test]
fn a_cut_archive_is_refused_wherever_it_is_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_store, archive) = sound(folder.path());
    // Two empty blocks end a tar: without them it is still whole.
    let end = archive.len() - 1024;
    for cut in (0..end).step_by(97).chain([end - 513, end - 1]) {
        refuses(
            &archive[..cut],
            &format!("cut at {cut} of {}", archive.len()),
        );
    }
}

#[test]
fn a_changed_byte_of_any_member_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_store, archive) = sound(folder.path());
    let sound = members(&archive);
    for index in 0..sound.len() {
        let mut changed = sound.clone();
        let bytes = &mut changed[index].1;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        refuses(&build(&changed), &format!("member {index}"));
    }
}

#[test]
fn members_that_are_missing_double_or_moved_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_store, archive) = sound(folder.path());
    let sound = members(&archive);
    for index in 0..sound.len() {
        let mut without = sound.clone();
        without.remove(index);
        refuses(&build(&without), &format!("without {index}"));
        let mut double = sound.clone();
        double.insert(index, sound[index].clone());
        if index > 0 {
            refuses(&build(&double), &format!("double {index}"));
        }
        let mut moved = sound.clone();
        let member = moved.remove(index);
        moved.push(member);
        if index + 1 < sound.len() {
            refuses(&build(&moved), &format!("moved {index}"));
        }
    }
}

#[test]
fn names_that_lead_elsewhere_links_and_holes_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_store, archive) = sound(folder.path());
    let sound = members(&archive);
    let hostile = |name: &str, kind: tar::EntryType| {
        let mut header = tar::Header::new_gnu();
        // Not `set_path`, which refuses them itself.
        let field = &mut header.as_gnu_mut().expect("gnu").name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o777);
        if kind.is_symlink() || kind.is_hard_link() {
            let link = &mut header.as_gnu_mut().expect("gnu").linkname;
            link[..11].copy_from_slice(b"/etc/passwd");
        }
        header
    };
    let file = tar::EntryType::Regular;
    for name in [
        "/etc/passwd",
        "../escaped",
        "blobs/../../escaped",
        "blobs/ab/../../format",
        "./format",
        "format/",
        "state/db",
        "owner.lock",
        "journal.000002.log.next",
        "journal.2.log",
        "journal.000000.log",
        "journal.99999999999.log",
        "worker-0.000001.log",
        "blobs/ab",
        "blobs/AB/ABAB",
        "",
    ] {
        let mut members = sound.clone();
        members.insert(1, (hostile(name, file), b"x".to_vec()));
        refuses(&build(&members), name);
    }
    use tar::EntryType as Kind;
    for kind in [
        Kind::Symlink,
        Kind::Link,
        Kind::Directory,
        Kind::Char,
        Kind::Block,
        Kind::Fifo,
        Kind::GNUSparse,
        Kind::GNULongName,
        Kind::GNULongLink,
        Kind::XHeader,
        Kind::XGlobalHeader,
    ] {
        let mut members = sound.clone();
        members.insert(1, (hostile("journal.000001.log", kind), Vec::new()));
        refuses(&build(&members), &format!("{kind:?}"));
    }
}

#[test]
fn sizes_above_the_bounds_are_refused_before_they_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_store, archive) = sound(folder.path());
    for (index, size) in [(0, 1 << 30), (1, 5 << 30), (2, 1 << 62), (2, u64::MAX >> 1)] {
        let sound = members(&archive);
        let mut bytes = build(&sound[..index]);
        bytes.truncate(bytes.len() - 1024);
        let mut header = sound[index].0.clone();
        header.set_size(size);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&[0; 4096]);
        refuses(&bytes, &format!("{size} bytes"));
    }
}

#[test]
fn another_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_store, archive) = sound(folder.path());
    let mut newer = members(&archive);
    newer[0].1 = b"2\n".to_vec();
    refuses(&build(&newer), "a newer format");
}

#[test]
fn what_is_no_tar_is_refused() {
    for bytes in [&b""[..], b"no tar", &[0; 4096], &[0xff; 4096]] {
        refuses(bytes, "no tar");
    }
}

#[test]
fn an_archive_that_cannot_be_written_is_an_error() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0 < bytes.len() {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.0 -= bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (store, archive) = sound(folder.path());
    for room in (0..archive.len()).step_by(512) {
        let refused = store.backup(&mut Full(room));
        assert!(
            matches!(refused, Err(StoreError::Stream { .. })),
            "{room}: {refused:?}"
        );
    }
    assert!(store.backup(&mut Full(archive.len())).is_ok());
}
