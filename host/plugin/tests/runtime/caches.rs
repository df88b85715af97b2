//! Compiled code on disk: the same everywhere, verified before use, kept from others.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pointsman_domain::Role;
use pointsman_plugin::{CacheError, Runtime, RuntimeConfig, RuntimeError};
use serde_json::json;

use crate::support::{run_once, spec, split_ab};

fn runtime(folder: &Path) -> Result<Runtime, RuntimeError> {
    Runtime::new(RuntimeConfig {
        compile_cache_dir: Some(folder.to_owned()),
        ..RuntimeConfig::default()
    })
}

/// Loads, configures and runs once, in a runtime of its own.
fn use_once(folder: &Path) {
    let runtime = runtime(folder).expect("a runtime");
    let plugin = runtime.load(&split_ab()).expect("a plugin");
    let step = runtime
        .prepare(spec(
            &plugin,
            Role::Splitter,
            json!({ "weights": { "a": 1 } }),
        ))
        .expect("a step");
    assert_eq!(run_once(&step).0.as_deref(), Ok("a"));
}

fn entries(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry"));
    files
        .map(|file| {
            assert_eq!(
                file.metadata().expect("metadata").permissions().mode() & 0o777,
                0o600
            );
            (
                file.file_name().to_string_lossy().into_owned(),
                std::fs::read(file.path()).expect("a file"),
            )
        })
        .collect()
}

#[test]
fn two_nodes_come_to_the_same_bytes() {
    let parent = tempfile::tempdir().expect("a folder");
    let (one, other) = (parent.path().join("one"), parent.path().join("other"));
    use_once(&one);
    use_once(&other);
    // The component and its snapshot.
    assert_eq!(entries(&one).len(), 2);
    assert!(
        entries(&one) == entries(&other),
        "a snapshot depends on more than its inputs"
    );
}

#[test]
fn a_changed_entry_is_noticed_and_compiled_again() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("compiled");
    use_once(&folder);
    let good = entries(&folder);
    for (name, bytes) in &good {
        let mut bad = bytes.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 0xff;
        std::fs::write(folder.join(name), bad).expect("written");
    }
    use_once(&folder);
    assert!(entries(&folder) == good);
    for (name, bytes) in &good {
        std::fs::write(folder.join(name), &bytes[..bytes.len() - 1]).expect("written");
    }
    use_once(&folder);
    assert!(entries(&folder) == good);
    for name in good.keys() {
        std::fs::write(folder.join(name), b"").expect("written");
    }
    use_once(&folder);
    assert!(entries(&folder) == good);
}

#[test]
fn the_folder_is_ours_alone() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("deep/compiled");
    runtime(&folder).expect("a runtime");
    let mode = std::fs::metadata(&folder)
        .expect("the folder")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o770)).expect("changed");
    let error = runtime(&folder).expect_err("refused");
    assert!(
        matches!(
            error,
            RuntimeError::Cache(CacheError::Mode { mode: 0o770, .. })
        ),
        "{error}"
    );
    let file = parent.path().join("file");
    std::fs::write(&file, b"").expect("written");
    assert!(matches!(runtime(&file), Err(RuntimeError::Cache(_))));
}
