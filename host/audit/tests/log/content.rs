//! Content beside the log: kept, found, torn, erased.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pointsman_audit::{
    About, CONTENT_SEGMENT_BYTES_MAX, Content, ContentWriter, Kept, Seen, content, contents, erase,
};
use pointsman_domain::RequestId;
use proptest::prelude::*;

use crate::records::id;

fn about(index: u64, tenant: &str) -> About {
    About {
        id: RequestId(id(index)),
        tenant: tenant.to_owned(),
        at_ms: index,
    }
}

fn salt(index: u64) -> [u8; 32] {
    let mut salt = [0xa5; 32];
    salt[..8].copy_from_slice(&index.to_le_bytes());
    salt
}

fn writer(folder: &Path) -> ContentWriter {
    ContentWriter::new(folder, "worker-0", CONTENT_SEGMENT_BYTES_MAX).expect("a name of a chain")
}

/// Keeps these texts for requests 0, 1, 2, …, of tenants `even` and `odd`.
fn keep(folder: &Path, texts: &[Vec<u8>]) -> Vec<Kept> {
    let mut writer = writer(folder);
    let kept = (0..).zip(texts).map(|(index, text)| {
        let tenant = if index % 2 == 0 { "even" } else { "odd" };
        let (front, back) = text.split_at(text.len() / 2);
        let kept = writer.put(&about(index, tenant), &salt(index), &[front, back]);
        kept.expect("kept")
    });
    kept.collect()
}

fn read(folder: &Path, index: u64, kept: &Kept) -> Content {
    let id = RequestId(id(index));
    content(folder, &kept.place, &id, &kept.commitment).expect("readable")
}

/// Ids of whole frames, and the number of places that are none.
fn seen(folder: &Path) -> (Vec<String>, usize) {
    let mut ids = Vec::new();
    let mut damaged = 0;
    for item in contents(folder).expect("a folder") {
        match item.expect("readable") {
            Seen::Entry(entry) => ids.push(entry.about.id.0),
            Seen::Damaged(_) => damaged += 1,
        }
    }
    (ids, damaged)
}

fn bytes_of(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        std::fs::read(entry.expect("an entry").path()).expect("a file")
    };
    entries.flat_map(read).collect()
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    // Texts that look like frames among them.
    let text = prop_oneof![
        prop::collection::vec(1_u8.., 0..300),
        Just(b"PMC1PMC1 a frame within".to_vec()),
    ];
    prop::collection::vec(text, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_is_told_whole(texts in texts()) {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = keep(folder.path(), &texts);
        for ((index, text), kept) in (0..).zip(&texts).zip(&kept) {
            prop_assert_eq!(read(folder.path(), index, kept), Content::Kept(text.clone()));
            prop_assert_eq!(read(folder.path(), index + 1, kept), Content::Missing, "another's");
        }
        prop_assert_eq!(seen(folder.path()), ((0..texts.len() as u64).map(id).collect(), 0));
    }

    /// Wherever the file is cut, what stood whole before is there, the rest is told once, and a new process goes on.
    #[test]
    fn a_torn_tail_costs_what_was_torn_alone(texts in texts(), at in any::<prop::sample::Index>()) {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = keep(folder.path(), &texts);
        let file = folder.path().join("worker-0.000001.content");
        let len = std::fs::metadata(&file).expect("a file").len();
        let cut = at.index(usize::try_from(len).expect("small")) as u64;
        std::fs::File::options().write(true).open(&file).expect("opens").set_len(cut).expect("cut");
        let whole = (1..=kept.len()).rev().find(|&next| {
            let end = kept.get(next).map_or(len, |kept| kept.place.offset);
            end <= cut
        });
        let whole = whole.unwrap_or(0);
        let begins = kept.get(whole).map_or(len, |kept| kept.place.offset);
        let (ids, damaged) = seen(folder.path());
        prop_assert_eq!(ids.len(), whole);
        prop_assert_eq!(damaged, usize::from(cut > begins));
        for ((index, text), kept) in (0..).zip(&texts).zip(&kept) {
            let found = read(folder.path(), index, kept);
            if (index as usize) < whole {
                prop_assert_eq!(found, Content::Kept(text.clone()));
            } else {
                prop_assert!(matches!(found, Content::Missing | Content::Damaged), "{:?}", found);
            }
        }
        let again = writer(folder.path()).put(&about(99, "even"), &salt(99), &[b"more"]).expect("kept");
        prop_assert_eq!(again.place.number, 2);
        prop_assert_eq!(read(folder.path(), 99, &again), Content::Kept(b"more".to_vec()));
    }

    /// A changed byte changes no content unseen, and costs no other request's.
    #[test]
    fn a_changed_byte_is_found(texts in texts(), at in any::<prop::sample::Index>(), change in 1_u8..) {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = keep(folder.path(), &texts);
        let file = folder.path().join("worker-0.000001.content");
        let mut bytes = std::fs::read(&file).expect("a file");
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        std::fs::write(&file, &bytes).expect("written");
        let hit = kept.iter().rposition(|kept| kept.place.offset <= at as u64).expect("the first");
        for ((index, text), kept) in (0..).zip(&texts).zip(&kept) {
            let found = read(folder.path(), index, kept);
            if index as usize == hit {
                prop_assert!(!matches!(found, Content::Kept(_)), "{:?}", found);
            } else {
                prop_assert_eq!(found, Content::Kept(text.clone()));
            }
        }
        let (ids, _) = seen(folder.path());
        prop_assert!(ids.len() + 1 >= texts.len(), "{} of {}", ids.len(), texts.len());
    }

    #[test]
    fn what_is_erased_is_nowhere_and_the_rest_is_untouched(texts in texts(), chosen in prop::collection::vec(any::<bool>(), 8)) {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = keep(folder.path(), &texts);
        let is_chosen = |index: u64| chosen[index as usize];
        let erased = erase(folder.path(), |about| is_chosen(about.at_ms)).expect("erased");
        let wanted = (0..texts.len() as u64).filter(|&index| is_chosen(index)).count() as u64;
        prop_assert_eq!((erased.requests, erased.before), (wanted, 0));
        let bytes = bytes_of(folder.path());
        for ((index, text), kept) in (0..).zip(&texts).zip(&kept) {
            let found = read(folder.path(), index, kept);
            prop_assert_eq!(holds(&bytes, &salt(index)), !is_chosen(index));
            if is_chosen(index) {
                prop_assert_eq!(found, Content::Erased);
            } else {
                prop_assert_eq!(found, Content::Kept(text.clone()));
            }
        }
        let again = erase(folder.path(), |about| is_chosen(about.at_ms)).expect("erased");
        prop_assert_eq!((again.requests, again.before, again.bytes), (0, wanted, 0));
    }
}

#[test]
fn a_tenants_content_is_erased_while_its_neighbours_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = b"what only the odd tenant said".to_vec();
    let kept = keep(
        folder.path(),
        &[
            b"other words".to_vec(),
            secret.clone(),
            b"and more".to_vec(),
        ],
    );
    let mut gateway = writer(folder.path());
    let late = gateway
        .put(&about(3, "even"), &salt(3), &[b"late"])
        .expect("kept");
    assert!(holds(&bytes_of(folder.path()), &secret));
    let erased = erase(folder.path(), |about| about.tenant == "odd").expect("erased");
    assert_eq!((erased.requests, erased.bytes), (1, secret.len() as u64));
    assert_eq!(erased.damaged, []);
    assert!(!holds(&bytes_of(folder.path()), &secret));
    assert_eq!(read(folder.path(), 1, &kept[1]), Content::Erased);
    assert_eq!(
        read(folder.path(), 3, &late),
        Content::Kept(b"late".to_vec())
    );
}

#[test]
fn files_are_their_owners_alone_and_end_at_their_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("content");
    let mut writer = ContentWriter::new(&place, "worker-0", 300).expect("a name");
    assert!(!place.exists(), "nothing before the first");
    for index in 0..3 {
        let text = [b'x'; 100];
        let kept = writer.put(&about(index, "even"), &salt(index), &[&text]);
        assert_eq!(u64::from(kept.expect("kept").place.number), index + 1);
    }
    let mode = |path: &Path| {
        let meta = std::fs::metadata(path).expect("there");
        meta.permissions().mode() & 0o777
    };
    assert_eq!(mode(&place), 0o700);
    assert_eq!(mode(&place.join("worker-0.000003.content")), 0o600);
}

#[test]
fn the_same_content_has_another_commitment_each_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = keep(folder.path(), &[b"yes".to_vec(), b"yes".to_vec()]);
    assert_ne!(kept[0].commitment, kept[1].commitment);
    let zeros = writer(folder.path()).put(&about(2, "even"), &[0; 32], &[b"yes"]);
    assert!(zeros.is_err(), "it would read as erased");
}
