//! Changed, cut, removed and swapped: found and located, and never in the way of a start.

use std::fs;
use std::path::Path;

use pointsman_audit::{Chain, records, verify};
use pointsman_domain::decision::Record;

use crate::records::{
    chain, closed, config, id, named, opened, read, segments, small_segments, started,
};

/// Two sealed segments and one that is being written.
fn three_segments(folder: &Path) -> Vec<Record> {
    let written = vec![
        started(1),
        opened(&id(1), 2),
        closed(&id(1), 3),
        opened(&id(2), 4),
    ];
    let mut chain = chain(folder, config());
    for (index, record) in written.iter().enumerate() {
        chain.append(record).expect("appends");
        if index < 2 {
            chain.seal().expect("seals");
        }
    }
    written
}

#[test]
fn every_flipped_byte_is_found_in_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    three_segments(folder.path());
    assert_eq!(verify(folder.path()).expect("reads").problem, None);
    let mut flips = 0;
    for file in segments(folder.path()) {
        let sound = fs::read(&file).expect("reads");
        for index in 0..sound.len() {
            for mask in [0x01, 0x20, 0x80, 0xff] {
                let mut flipped = sound.clone();
                flipped[index] ^= mask;
                fs::write(&file, &flipped).expect("writes");
                let report = verify(folder.path()).expect("reads");
                let problem = report
                    .problem
                    .unwrap_or_else(|| unreachable!("byte {index} of {file:?} ^ {mask:#x}"));
                flips += 1;
                assert!(
                    file.ends_with(&problem.file),
                    "byte {index} of {file:?}: {problem}"
                );
                let line_start = sound[..index]
                    .iter()
                    .rposition(|&byte| byte == b'\n')
                    .map_or(0, |at| at + 1);
                // A changed `prev` or line's end may show at the line behind it, never before.
                assert!(
                    problem.offset >= line_start as u64,
                    "byte {index}: {problem}"
                );
                assert!(problem.line > 0);
            }
        }
        fs::write(&file, &sound).expect("writes");
    }
    assert!(flips > 5_000, "{flips} flips");
}

#[test]
fn a_cut_anywhere_in_the_newest_segment_keeps_every_whole_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = vec![opened(&id(1), 1), closed(&id(1), 2), opened(&id(2), 3)];
    {
        let mut chain = chain(folder.path(), config());
        for record in &written {
            chain.append(record).expect("appends");
        }
    }
    let file = &segments(folder.path())[0];
    let whole = fs::read(file).expect("reads");
    for cut in 0..=whole.len() {
        let copy = tempfile::tempdir().expect("a folder");
        fs::write(copy.path().join("worker-0.000001.log"), &whole[..cut]).expect("writes");
        assert_eq!(
            verify(copy.path()).expect("reads").problem,
            None,
            "cut at {cut}: a torn tail is no problem"
        );
        let kept = whole[..cut].iter().filter(|&&byte| byte == b'\n').count();
        let torn = cut
            - whole[..cut]
                .iter()
                .rposition(|&byte| byte == b'\n')
                .map_or(0, |at| at + 1);
        let (mut chain, recovery) =
            Chain::open(copy.path(), "worker-0", config()).expect("recovers");
        assert_eq!(recovery.cut_bytes, torn as u64);
        assert_eq!(
            recovery.unclosed.len(),
            usize::from(kept != 0 && kept != 2),
            "cut at {cut}"
        );
        assert_eq!(read(copy.path()), written[..kept], "cut at {cut}");
        let told = records(copy.path()).expect("reads").any(
            |item| matches!(item, Ok((_, Record::Truncated { bytes, .. })) if bytes == torn as u64),
        );
        assert_eq!(told, torn > 0, "cut at {cut}");
        chain.append(&started(9)).expect("goes on");
        assert_eq!(
            verify(copy.path()).expect("reads").problem,
            None,
            "cut at {cut}: the chain goes on"
        );
    }
}

#[test]
fn a_cut_anywhere_in_a_sealed_segment_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    three_segments(folder.path());
    let file = &segments(folder.path())[0];
    let whole = fs::read(file).expect("reads");
    for cut in 0..whole.len() {
        fs::write(file, &whole[..cut]).expect("writes");
        let problem = verify(folder.path()).expect("reads").problem;
        assert!(
            problem.is_some_and(|problem| file.ends_with(&problem.file)),
            "cut at {cut}"
        );
    }
}

#[test]
fn a_removed_line_segment_or_beginning_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    three_segments(folder.path());
    let files = segments(folder.path());
    for (index, file) in files[..2].iter().enumerate() {
        let aside = file.with_extension("aside");
        fs::rename(file, &aside).expect("moves");
        let problem = verify(folder.path())
            .expect("reads")
            .problem
            .expect("a gap");
        assert_eq!(
            (problem.file.as_str(), problem.what),
            (
                format!("worker-0.{:06}.log", index + 1).as_str(),
                "the segment is missing"
            )
        );
        fs::rename(&aside, file).expect("moves back");
    }
    let newest = fs::read_to_string(&files[2]).expect("text");
    let without_first: String = newest.split_inclusive('\n').skip(1).collect();
    fs::write(&files[2], without_first).expect("writes");
    let problem = verify(folder.path())
        .expect("reads")
        .problem
        .expect("a removed line");
    assert_eq!(problem.line, 1);
}

#[test]
fn one_chain_cannot_pass_for_another() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["worker-0", "worker-1"] {
        named(folder.path(), name, config())
            .append(&started(1))
            .expect("appends");
    }
    let files = segments(folder.path());
    let (first, second) = (
        fs::read(&files[0]).expect("reads"),
        fs::read(&files[1]).expect("reads"),
    );
    fs::write(&files[0], second).expect("writes");
    fs::write(&files[1], first).expect("writes");
    assert!(verify(folder.path()).expect("reads").problem.is_some());
}

#[test]
fn damage_is_kept_and_the_chain_goes_on_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let mut chain = chain(folder.path(), config());
        for index in 0..3 {
            chain.append(&opened(&id(index), index)).expect("appends");
        }
    }
    let file = &segments(folder.path())[0];
    let mut bytes = fs::read(file).expect("reads");
    let second_line = bytes
        .iter()
        .position(|&byte| byte == b'\n')
        .expect("a line")
        + 1;
    bytes[second_line + 20] ^= 1;
    fs::write(file, &bytes).expect("writes");

    let (mut chain, recovery) =
        Chain::open(folder.path(), "worker-0", config()).expect("starts all the same");
    let damage = recovery.damage.expect("told");
    assert_eq!((damage.line, damage.offset), (2, second_line as u64));
    assert_eq!(recovery.cut_bytes, 0);
    assert_eq!(
        fs::read(file).expect("reads"),
        bytes,
        "evidence stays as it is"
    );
    chain.append(&started(9)).expect("goes on");

    let items: Vec<_> = records(folder.path()).expect("reads").collect();
    assert_eq!(items.iter().filter(|item| item.is_err()).count(), 1);
    assert_eq!(items.iter().filter(|item| item.is_ok()).count(), 3);
    assert_eq!(verify(folder.path()).expect("reads").problem, Some(damage));
}

#[test]
fn a_last_line_with_a_changed_end_is_damage_and_not_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    chain(folder.path(), config())
        .append(&opened(&id(1), 1))
        .expect("appends");
    let file = &segments(folder.path())[0];
    let mut bytes = fs::read(file).expect("reads");
    *bytes.last_mut().expect("a byte") ^= 1;
    fs::write(file, &bytes).expect("writes");
    let (_chain, recovery) = Chain::open(folder.path(), "worker-0", config()).expect("starts");
    assert!(recovery.damage.is_some());
    assert_eq!(fs::read(file).expect("reads"), bytes);
}

#[test]
fn requests_that_were_open_for_many_segments_are_reported_until_they_are_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let mut chain = chain(folder.path(), small_segments());
        chain.append(&opened(&id(0), 0)).expect("appends");
        for index in 1..40 {
            chain.append(&opened(&id(index), index)).expect("appends");
            chain.append(&closed(&id(index), index)).expect("appends");
        }
    }
    assert!(segments(folder.path()).len() > 5);
    for _ in 0..2 {
        let (_chain, recovery) =
            Chain::open(folder.path(), "worker-0", small_segments()).expect("opens");
        let ids: Vec<_> = recovery
            .unclosed
            .iter()
            .map(|opened| opened.id.0.clone())
            .collect();
        assert_eq!(ids, [id(0)]);
    }
    chain(folder.path(), small_segments())
        .append(&closed(&id(0), 99))
        .expect("appends");
    let (_chain, recovery) =
        Chain::open(folder.path(), "worker-0", small_segments()).expect("opens");
    assert!(recovery.unclosed.is_empty());
}
