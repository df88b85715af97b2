//! A version's files on this machine's disk.

use std::path::Path;

use anyhow::{Context as _, ensure};
use pointsman_control::api::Bundle;

use crate::bundle::unpack;

/// The text of its `policy.toml`.
pub(super) fn policy_text(bundle: &Bundle) -> anyhow::Result<String> {
    let mut files = unpack(bundle)?;
    let bytes = files
        .remove("policy.toml")
        .context("the version holds no policy.toml")?;
    String::from_utf8(bytes.into()).context("policy.toml is not UTF-8")
}

/// Writes all its files below a folder that is not there yet, or is empty. What a server calls them stays below it.
pub(super) fn write(bundle: &Bundle, out: &Path) -> anyhow::Result<()> {
    let taken = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    ensure!(
        !taken,
        "{} is not empty; name a folder that is not there yet",
        out.display()
    );
    for (name, bytes) in unpack(bundle)? {
        let path = out.join(&name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::bundle::{list, pack};

    #[test]
    fn a_folder_comes_back_as_it_was() {
        let place = tempfile::tempdir().expect("a folder");
        let from = place.path().join("from");
        std::fs::create_dir_all(from.join("data")).expect("made");
        std::fs::write(from.join("policy.toml"), "format = 1\n").expect("written");
        std::fs::write(from.join("data/words"), [0u8, 255, 7]).expect("written");
        let bundle = pack(&list(&from).expect("listed"));
        assert_eq!(policy_text(&bundle).expect("text"), "format = 1\n");
        let to = place.path().join("to");
        write(&bundle, &to).expect("written");
        assert_eq!(list(&to).expect("listed"), list(&from).expect("listed"));
        assert!(
            write(&bundle, &to).is_err(),
            "a folder that holds something is not written over"
        );
    }

    #[test]
    fn nothing_is_written_beside_the_folder() {
        let place = tempfile::tempdir().expect("a folder");
        for name in ["../out", "/out", "a/../../out", ""] {
            let files = BTreeMap::from([(name.to_owned(), String::new())]);
            let told = write(&Bundle { files }, &place.path().join("to"));
            assert!(told.is_err(), "{name}");
        }
        assert!(!place.path().join("out").exists());
    }
}
