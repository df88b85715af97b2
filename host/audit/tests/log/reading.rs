//! Listing, finding and following.

use std::path::Path;

use pointsman_audit::{Tail, find, newest, verify};
use pointsman_domain::decision::Record;

use crate::records::{chain, closed, config, id, named, opened, read, small_segments, started};

/// Two chains that take turns.
fn two_chains(folder: &Path) {
    let mut chains = [
        named(folder, "worker-0", small_segments()),
        named(folder, "worker-1", small_segments()),
    ];
    for index in 0..40 {
        let chain = &mut chains[(index % 2) as usize];
        chain
            .append(&opened(&id(index), index * 10))
            .expect("appends");
        chain
            .append(&closed(&id(index), index * 10 + 5))
            .expect("appends");
    }
}

fn at_ms(record: &Record) -> u64 {
    match record {
        Record::Opened(opened) => opened.at_ms,
        Record::Closed(closed) => closed.at_ms,
        Record::Control(entry) => entry.at_ms,
        Record::Started { at_ms, .. } | Record::Truncated { at_ms, .. } => *at_ms,
    }
}

#[test]
fn the_newest_come_first_over_all_chains() {
    let folder = tempfile::tempdir().expect("a folder");
    two_chains(folder.path());
    let times: Vec<u64> = newest(folder.path())
        .expect("reads")
        .map(|item| at_ms(&item.expect("holds").1))
        .collect();
    let expected: Vec<u64> = (0..40)
        .rev()
        .flat_map(|index| [index * 10 + 5, index * 10])
        .collect();
    assert_eq!(times, expected);
}

#[test]
fn newest_first_is_the_whole_log_backwards_whatever_the_line_lengths() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chain = chain(folder.path(), config());
    // Lines around and above the size of one read.
    for (index, bytes) in [1usize, 131_000, 131_072, 131_200, 400_000, 3]
        .into_iter()
        .enumerate()
    {
        chain
            .append(&Record::Started {
                at_ms: index as u64,
                version: "v".repeat(bytes),
            })
            .expect("appends");
    }
    let mut backwards: Vec<Record> = newest(folder.path())
        .expect("reads")
        .map(|item| item.expect("holds").1)
        .collect();
    backwards.reverse();
    assert_eq!(backwards, read(folder.path()));
    assert_eq!(backwards.len(), 6);
}

#[test]
fn a_request_is_found_by_its_id_and_by_a_unique_beginning() {
    let folder = tempfile::tempdir().expect("a folder");
    two_chains(folder.path());
    for prefix in [id(7), id(7)[..13].to_owned()] {
        let found: Vec<Record> = find(folder.path(), &prefix)
            .expect("reads")
            .into_iter()
            .map(|(_, record)| record)
            .collect();
        assert_eq!(found, [opened(&id(7), 70), closed(&id(7), 75)]);
    }
    assert!(find(folder.path(), "ffff").expect("reads").is_empty());
    assert!(find(folder.path(), "").expect("reads").is_empty());
    assert!(find(folder.path(), "0193a0c2\"").expect("reads").is_empty());
}

#[test]
fn an_ambiguous_beginning_gives_two_requests_and_not_the_whole_log() {
    let folder = tempfile::tempdir().expect("a folder");
    two_chains(folder.path());
    let found = find(folder.path(), "0193").expect("reads");
    assert!((2..=4).contains(&found.len()), "{} records", found.len());
}

#[test]
fn positions_say_where_a_record_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chain = chain(folder.path(), config());
    chain.append(&started(1)).expect("appends");
    let position = chain.append(&opened(&id(1), 2)).expect("appends");
    let (found, _) = &find(folder.path(), &id(1)).expect("reads")[0];
    assert_eq!(*found, position);
    assert_eq!(
        position.to_string(),
        format!("worker-0.000001.log:{}", position.offset)
    );
}

#[test]
fn a_tail_gives_what_comes_after_it_across_segments_restarts_and_new_chains() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = chain(folder.path(), small_segments());
    first.append(&started(0)).expect("appends");
    let mut tail = Tail::new(folder.path()).expect("reads");
    assert_eq!(tail.poll().expect("reads"), []);

    first.append(&started(1)).expect("appends");
    assert_eq!(tail.poll().expect("reads"), [started(1)]);

    let many: Vec<Record> = (0..30).map(|index| opened(&id(index), index)).collect();
    for record in &many {
        first.append(record).expect("appends");
    }
    assert_eq!(tail.poll().expect("reads"), many);

    drop(first);
    let mut again = chain(folder.path(), small_segments());
    again.append(&started(2)).expect("appends");
    named(folder.path(), "worker-1", config())
        .append(&started(3))
        .expect("appends");
    assert_eq!(tail.poll().expect("reads"), [started(2), started(3)]);
    assert_eq!(tail.poll().expect("reads"), []);
}

#[test]
fn a_half_written_line_is_not_told_before_it_is_whole() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().expect("a folder");
    chain(folder.path(), config())
        .append(&opened(&id(1), 1))
        .expect("appends");
    let source = &crate::records::segments(folder.path())[0];
    let line = std::fs::read(source).expect("reads");
    let (head, rest) = line.split_at(line.len() / 2);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(source)
        .expect("opens");
    let mut tail = Tail::new(folder.path()).expect("reads");
    file.write_all(head).expect("writes");
    assert_eq!(tail.poll().expect("reads"), []);
    assert_eq!(verify(folder.path()).expect("reads").problem, None);
    file.write_all(rest).expect("writes");
    assert_eq!(tail.poll().expect("reads"), [opened(&id(1), 1)]);
}

#[test]
fn a_log_that_is_being_written_verifies_at_any_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    chain(&path, small_segments())
        .append(&started(0))
        .expect("appends");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut chain = chain(&path, small_segments());
            for index in 0..3_000 {
                chain.append(&opened(&id(index), index)).expect("appends");
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        while !done.load(std::sync::atomic::Ordering::Acquire) {
            assert_eq!(verify(&path).expect("reads").problem, None);
        }
    });
    assert_eq!(verify(&path).expect("reads").records, 3_001);
}
