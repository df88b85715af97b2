//! `kill -9` of a process that appends.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use pointsman_audit::{Chain, verify};
use pointsman_domain::decision::Record;

use crate::records::{chain, config, id, opened, read};

const FOLDER: &str = "POINTSMAN_AUDIT_CRASH_FOLDER";
/// Acknowledgements to wait for before the kill.
const ACKNOWLEDGED_MIN: usize = 500;

/// The child: appends for ever, and says each id once its append has returned.
fn append_until_killed(folder: &Path) {
    let mut chain = chain(folder, config());
    let mut stdout = std::io::stdout().lock();
    for index in 0.. {
        chain.append(&opened(&id(index), index)).expect("appends");
        if writeln!(stdout, "ack {}", id(index)).is_err() {
            return;
        }
    }
}

#[test]
fn kill_nine_loses_no_acknowledged_record() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return append_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "crash::kill_nine_loses_no_acknowledged_record",
            "--exact",
            "--nocapture",
        ])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut acknowledged: HashSet<String> = HashSet::new();
    let mut take = |line: std::io::Result<String>| {
        // The last line may be cut.
        if let Some(id) = line
            .ok()
            .as_deref()
            .and_then(|line| line.split("ack ").nth(1))
            .filter(|id| id.len() == 36)
        {
            acknowledged.insert(id.to_owned());
        }
        acknowledged.len()
    };
    for line in lines.by_ref() {
        if take(line) >= ACKNOWLEDGED_MIN {
            break;
        }
    }
    child.kill().expect("kills");
    child.wait().expect("ends");
    for line in lines {
        take(line);
    }
    assert!(acknowledged.len() >= ACKNOWLEDGED_MIN);

    let (_chain, recovery) = Chain::open(folder.path(), "worker-0", config()).expect("recovers");
    let kept: HashSet<String> = read(folder.path())
        .into_iter()
        .filter_map(|record| match record {
            Record::Opened(opened) => Some(opened.id.0),
            _ => None,
        })
        .collect();
    let lost: Vec<_> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "lost {lost:?}");
    assert!(
        kept.len() <= acknowledged.len() + 1,
        "at most the one that was not acknowledged yet"
    );
    assert_eq!(recovery.unclosed.len(), kept.len());
    assert_eq!(verify(folder.path()).expect("reads").problem, None);
}
