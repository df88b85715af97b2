//! Appending, rotating, sealing, reopening, and refusing.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use pointsman_audit::{AuditError, Chain, ChainConfig, DiskRoom, verify};
use pointsman_domain::decision::Record;
use proptest::prelude::*;

use crate::records::{
    chain, closed, config, id, named, opened, read, segments, small_segments, started,
};

#[derive(Clone, Debug)]
enum Step {
    Open,
    Close,
    Seal,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![5 => Just(Step::Open), 5 => Just(Step::Close), 1 => Just(Step::Seal), 1 => Just(Step::Reopen)];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Against a list as the model: whatever is appended, sealed and reopened, the log holds exactly that, verifies,
    /// and knows what is still open.
    #[test]
    fn what_was_appended_is_there_in_order(steps in steps()) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut written = Vec::new();
        let mut open: Vec<String> = Vec::new();
        let mut writer = Some(chain(folder.path(), small_segments()));
        for (index, step) in (0u64..).zip(steps) {
            match step {
                Step::Open => {
                    open.push(id(index));
                    written.push(opened(&id(index), index));
                }
                Step::Close => {
                    let Some(id) = open.pop() else { continue };
                    written.push(closed(&id, index));
                }
                Step::Seal => {
                    writer.as_mut().expect("a writer").seal().expect("seals");
                    continue;
                }
                Step::Reopen => {
                    drop(writer.take());
                    let (reopened, recovery) =
                        Chain::open(folder.path(), "worker-0", small_segments()).expect("opens again");
                    let unclosed: Vec<_> = recovery.unclosed.iter().map(|opened| opened.id.0.clone()).collect();
                    prop_assert_eq!(&unclosed, &open);
                    prop_assert_eq!(recovery.cut_bytes, 0);
                    prop_assert_eq!(recovery.damage, None);
                    writer = Some(reopened);
                    continue;
                }
            }
            let record = written.last().expect("just pushed");
            writer.as_mut().expect("a writer").append(record).expect("appends");
        }
        let report = verify(folder.path()).expect("reads");
        prop_assert_eq!(report.problem, None);
        prop_assert_eq!(report.records, written.len() as u64);
        prop_assert_eq!(read(folder.path()), written);
    }
}

#[test]
fn lines_are_readable_with_ordinary_tools() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chain = chain(folder.path(), config());
    chain.append(&opened(&id(1), 5)).expect("appends");
    let text = std::fs::read_to_string(&segments(folder.path())[0]).expect("text");
    let fields: Vec<&str> = text.trim_end_matches('\n').split('\t').collect();
    assert_eq!(fields.len(), 3, "{text}");
    let json: serde_json::Value = serde_json::from_str(fields[0]).expect("json");
    assert_eq!(json["tenant"], "demo");
    assert_eq!((fields[1].len(), fields[2].len()), (8, 64));
}

#[test]
fn segments_stay_below_their_size_and_are_sealed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chain = chain(folder.path(), small_segments());
    for index in 0..40 {
        chain.append(&opened(&id(index), index)).expect("appends");
    }
    let files = segments(folder.path());
    assert!(files.len() > 5, "{} segments", files.len());
    for file in &files[..files.len() - 1] {
        let text = std::fs::read_to_string(file).expect("text");
        assert!(text.len() <= 4 * 1024, "{} bytes", text.len());
        assert!(
            text.lines()
                .last()
                .is_some_and(|line| line.starts_with(r#"{"seal":"#))
        );
    }
}

#[test]
fn a_segment_past_its_age_is_sealed_at_the_next_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chain = chain(
        folder.path(),
        ChainConfig {
            segment_age_max: Duration::ZERO,
            ..config()
        },
    );
    for index in 0..3 {
        chain.append(&started(index)).expect("appends");
    }
    assert_eq!(segments(folder.path()).len(), 3);
    assert_eq!(verify(folder.path()).expect("reads").problem, None);
}

#[test]
fn an_idle_chain_holds_little_space_and_a_sealed_one_only_its_content() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chain = chain(folder.path(), config());
    chain.admit().expect("room");
    chain.append(&started(1)).expect("appends");
    let file = &segments(folder.path())[0];
    let reserved = std::fs::metadata(file).expect("a file").blocks() * 512;
    assert!(reserved <= 1024 * 1024 + 8192, "{reserved} bytes reserved");
    chain.seal().expect("seals");
    let kept = std::fs::metadata(file).expect("a file");
    assert!(
        kept.blocks() * 512 <= kept.len().next_multiple_of(4096) + 4096,
        "{kept:?}"
    );
}

#[test]
fn a_second_writer_is_refused_and_told_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = chain(folder.path(), config());
    let Err(error) = Chain::open(folder.path(), "worker-0", config()) else {
        unreachable!("two writers of one chain");
    };
    let text = error.to_string();
    assert!(
        text.contains("worker-0") && text.contains(&std::process::id().to_string()),
        "{text}"
    );
    assert!(matches!(error, AuditError::Locked { .. }));
    named(folder.path(), "worker-1", config());
    drop(first);
    chain(folder.path(), config());
}

#[test]
fn a_disk_above_its_bound_admits_nothing_but_still_takes_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut full = chain(
        folder.path(),
        ChainConfig {
            disk_used_percent_max: 0,
            disk_headroom_bytes: u64::MAX,
            ..ChainConfig::default()
        },
    );
    let refused = full.admit();
    assert!(
        matches!(refused, Err(AuditError::Full { max_percent: 0, .. })),
        "{refused:?}"
    );
    full.append(&closed(&id(1), 1))
        .expect("what was begun can end");
}

#[test]
fn a_disk_with_headroom_is_never_too_full() {
    let folder = tempfile::tempdir().expect("a folder");
    let any_percent = ChainConfig {
        disk_used_percent_max: 0,
        disk_headroom_bytes: 1,
        ..ChainConfig::default()
    };
    chain(folder.path(), any_percent)
        .admit()
        .expect("there is room");
    let nearly_full = DiskRoom {
        used_percent: 91,
        free_bytes: 4 << 30,
    };
    assert!(!nearly_full.is_short(90, 4 << 30));
    assert!(nearly_full.is_short(90, (4 << 30) + 1));
    assert!(!nearly_full.is_short(91, u64::MAX));
}

#[test]
fn a_record_above_the_line_limit_is_refused_and_the_log_is_as_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chain = chain(folder.path(), config());
    chain.append(&started(1)).expect("appends");
    let huge = Record::Started {
        at_ms: 2,
        version: "x".repeat(17 * 1024 * 1024),
    };
    assert!(matches!(
        chain.append(&huge),
        Err(AuditError::TooLarge { .. })
    ));
    chain.append(&started(3)).expect("appends");
    assert_eq!(read(folder.path()), [started(1), started(3)]);
    assert_eq!(verify(folder.path()).expect("reads").problem, None);
}

#[test]
fn names_that_would_leave_the_folder_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["", "../evil", "a/b", "UPPER", "a.b", &"x".repeat(65)] {
        assert!(
            matches!(
                Chain::open(folder.path(), name, config()),
                Err(AuditError::Name(_))
            ),
            "{name}"
        );
    }
}
