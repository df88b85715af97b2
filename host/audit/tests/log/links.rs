//! A durable chain, and its lines with what links them.

use std::fs;

use pointsman_audit::{AuditError, Chain, ChainConfig, Link, genesis, links, segments as numbers};

use crate::records::{config, segments, small_segments, started};

fn durable(config: ChainConfig) -> ChainConfig {
    ChainConfig {
        durable: true,
        ..config
    }
}

fn read(folder: &std::path::Path) -> Vec<Result<Link, AuditError>> {
    let numbers = numbers(folder, "worker-0").expect("reads");
    let lines = |number| links(folder, "worker-0", number).expect("opens");
    numbers.into_iter().flat_map(lines).collect()
}

#[test]
fn each_line_of_a_durable_chain_follows_from_the_one_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || {
        Chain::open(folder.path(), "worker-0", durable(small_segments()))
            .expect("opens")
            .0
    };
    let mut chain = open();
    assert_eq!(chain.head(), genesis("worker-0"));
    assert_eq!(chain.written(), None);
    let mut heads = Vec::new();
    for at_ms in 0..60 {
        if at_ms == 30 {
            drop(chain);
            chain = open();
        }
        chain.append(&started(at_ms)).expect("appends");
        heads.push(chain.head());
        let (number, len) = chain.written().expect("a segment");
        let file = segments(folder.path()).pop().expect("a segment");
        assert_eq!(file.metadata().expect("there").len(), len);
        assert_eq!(
            numbers(folder.path(), "worker-0").expect("reads").last(),
            Some(&number)
        );
    }
    let lines: Vec<Link> = read(folder.path())
        .into_iter()
        .map(|line| line.expect("holds"))
        .collect();
    let mut prev = genesis("worker-0");
    for line in &lines {
        assert_eq!(line.prev, prev);
        prev = line.hash;
    }
    assert_eq!(prev, chain.head());
    let records: Vec<_> = lines.iter().filter(|line| line.record.is_some()).collect();
    assert_eq!(
        records.iter().map(|line| line.hash).collect::<Vec<_>>(),
        heads
    );
    assert!(lines.len() > records.len(), "seals are lines too");
    assert_eq!(records[7].record, Some(started(7)));
}

#[test]
fn a_damaged_line_is_an_error_once_and_a_torn_tail_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut chain, _) = Chain::open(folder.path(), "worker-0", durable(config())).expect("opens");
    for at_ms in 0..3 {
        chain.append(&started(at_ms)).expect("appends");
    }
    let file = &segments(folder.path())[0];
    let whole = fs::read(file).expect("reads");
    let line = whole.len() / 3;
    let mut damaged = whole.clone();
    damaged[line + 20] ^= 1;
    fs::write(file, &damaged).expect("writes");
    let fits: Vec<bool> = read(folder.path()).iter().map(Result::is_ok).collect();
    assert_eq!(fits, [true, false, true]);
    fs::write(file, &whole[..2 * line + 20]).expect("writes");
    let fits: Vec<bool> = read(folder.path()).iter().map(Result::is_ok).collect();
    assert_eq!(fits, [true, true]);
    fs::write(file, [&whole[..line], b"no line"].concat()).expect("writes");
    let fits: Vec<bool> = read(folder.path()).iter().map(Result::is_ok).collect();
    assert_eq!(fits, [true, false]);
}
