//! `kill -9` of a process that commits, and a second process beside it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use pointsman_store::{Store, StoreConfig, StoreError};

use crate::changes::{call, commit, open, tenant};

const FOLDER: &str = "POINTSMAN_STORE_CRASH_FOLDER";
/// Kills, each after some acknowledgements more.
const KILLS: usize = 12;

/// The child: commits for ever, and says each sequence once its commit has returned.
fn commit_until_killed(folder: &Path) {
    let (store, _) = open(folder);
    let mut stdout = std::io::stdout().lock();
    for at_ms in 0.. {
        let id = format!("tenant-{}", store.state().sequence + 1);
        let blob = store.put_blob(id.as_bytes()).expect("kept");
        assert_eq!(store.blob(&blob).expect("whole"), id.as_bytes());
        let sequence = commit(&store, &call(at_ms, tenant(&id))).sequence;
        if writeln!(stdout, "ack {sequence}").is_err() {
            return;
        }
    }
}

fn child(folder: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args([
            "crash::kill_nine_loses_nothing_that_was_acknowledged",
            "--exact",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("runs")
}

#[test]
fn kill_nine_loses_nothing_that_was_acknowledged() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return commit_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut last = 0;
    for kill in 1..=KILLS {
        let mut child = child(folder.path());
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let acknowledged = |line: std::io::Result<String>| -> Option<u64> {
            line.ok()?.split("ack ").nth(1)?.parse().ok()
        };
        let wanted = last + 1 + (kill as u64 * 7) % 23;
        for line in lines.by_ref() {
            last = acknowledged(line).unwrap_or(last).max(last);
            if last >= wanted {
                break;
            }
        }
        let refused = Store::open(folder.path(), StoreConfig::default());
        assert!(
            matches!(refused, Err(StoreError::Owned { pid: Some(pid), .. }) if pid == child.id()),
            "{refused:?}"
        );
        child.kill().expect("kills");
        child.wait().expect("ends");
        for line in lines {
            // The last line may be cut; whole ones only grow.
            last = acknowledged(line).unwrap_or(last).max(last);
        }
        let (store, recovered) = open(folder.path());
        assert_eq!(recovered.damage, None);
        let state = store.state();
        assert!(
            (last..=last + 1).contains(&state.sequence),
            "acknowledged {last}, found {}",
            state.sequence
        );
        for sequence in 1..=state.sequence {
            let id = format!("tenant-{sequence}");
            assert!(state.tenants.contains_key(&id), "{id} after kill {kill}");
        }
        last = state.sequence;
    }
}
