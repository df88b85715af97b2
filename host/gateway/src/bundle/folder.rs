//! A bundle's folder as it lies on disk: `policy.toml`, `policy.lock`, `cases.jsonl`, data files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use pointsman_control::api::Bundle;
use pointsman_domain::Digest;
use pointsman_policy::cases::{self, Case};
use pointsman_policy::digest;
use pointsman_policy::lock::{self, Lock};
use pointsman_policy::policy::Policy;

/// Files of a bundle, `policy.toml` included.
const FILES_MAX: usize = 1_000;
/// Bytes of all files of a bundle.
const BYTES_MAX: u64 = 64 << 20;
/// Bytes of a file's path below the folder.
const PATH_BYTES_MAX: usize = 256;

/// A bundle, read and parsed, not yet checked.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// What findings call `policy.toml`.
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) policy: Policy,
    pub(crate) lock: Option<Lock>,
    pub(crate) cases: Vec<Case>,
    /// All other files by their path below the folder, `/` between its parts.
    pub(crate) files: BTreeMap<String, Bytes>,
}

impl Folder {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        Self::of(path, list(path)?)
    }

    /// From files by their path below the folder; `path` is where errors say that they are.
    pub(crate) fn of(path: &Path, mut files: BTreeMap<String, Bytes>) -> anyhow::Result<Self> {
        let mut take = |name: &str| -> anyhow::Result<Option<String>> {
            let Some(bytes) = files.remove(name) else {
                return Ok(None);
            };
            let text = String::from_utf8(bytes.into())
                .with_context(|| format!("{} is not UTF-8", path.join(name).display()))?;
            Ok(Some(text))
        };
        let file = path.join("policy.toml").display().to_string();
        let text = take("policy.toml")?.with_context(|| {
            format!("{file} is missing; a bundle is a folder with a policy.toml")
        })?;
        let policy = Policy::parse(&file, &text)?;
        let label = |name: &str| path.join(name).display().to_string();
        let lock = take(lock::FILE_NAME)?
            .map(|text| Lock::parse(&label(lock::FILE_NAME), &text))
            .transpose()?;
        let cases = take(cases::FILE_NAME)?
            .map(|text| cases::parse(&label(cases::FILE_NAME), &text))
            .transpose()?;
        Ok(Self {
            path: path.to_owned(),
            file,
            text,
            policy,
            lock,
            cases: cases.unwrap_or_default(),
            files,
        })
    }

    /// Digests of the data files that steps name; others, such as a README, are no part of the version.
    pub(crate) fn data_digests(&self) -> BTreeMap<String, Digest> {
        let named = self.policy.steps.iter().flat_map(|step| &step.data);
        named
            .filter_map(|name| Some((name.clone(), digest::bytes(self.files.get(name)?))))
            .collect()
    }
}

/// The files of a folder by their path below it, bounded.
pub(crate) fn list(path: &Path) -> anyhow::Result<BTreeMap<String, Bytes>> {
    let mut left = Left {
        files: FILES_MAX,
        bytes: BYTES_MAX,
    };
    let mut files = BTreeMap::new();
    collect(path, "", &mut left, &mut files)?;
    Ok(files)
}

/// The files of a bundle as it travels: paths that could leave a folder, and more than a folder may hold, are refused.
pub(crate) fn unpack(bundle: &Bundle) -> anyhow::Result<BTreeMap<String, Bytes>> {
    use base64::Engine as _;
    let standard = base64::engine::general_purpose::STANDARD;
    anyhow::ensure!(
        bundle.files.len() <= FILES_MAX,
        "the bundle holds more than {FILES_MAX} files"
    );
    let mut left = BYTES_MAX;
    let mut files = BTreeMap::new();
    for (name, text) in &bundle.files {
        let is_inside = !name.is_empty()
            && name.len() <= PATH_BYTES_MAX
            && !name.contains(['\\', '\0'])
            && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        anyhow::ensure!(
            is_inside,
            "`{}` is no path of a file below the bundle's folder",
            name.escape_default()
        );
        let bytes = standard
            .decode(text)
            .with_context(|| format!("`{name}` is not base64"))?;
        left = left
            .checked_sub(bytes.len() as u64)
            .with_context(|| format!("the bundle holds more than {BYTES_MAX} bytes"))?;
        files.insert(name.clone(), bytes.into());
    }
    Ok(files)
}

/// As it travels.
pub(crate) fn pack(files: &BTreeMap<String, Bytes>) -> Bundle {
    use base64::Engine as _;
    let standard = base64::engine::general_purpose::STANDARD;
    let packed = files
        .iter()
        .map(|(name, bytes)| (name.clone(), standard.encode(bytes)));
    Bundle {
        files: packed.collect(),
    }
}

struct Left {
    files: usize,
    bytes: u64,
}

fn collect(
    folder: &Path,
    below: &str,
    left: &mut Left,
    files: &mut BTreeMap<String, Bytes>,
) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let entry =
            entry.with_context(|| format!("cannot read the folder {}", folder.display()))?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            anyhow::bail!("{} has a name that is not UTF-8", path.display());
        };
        let inner = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        let meta = entry
            .metadata()
            .with_context(|| format!("cannot read {}", path.display()))?;
        if meta.is_dir() {
            collect(&path, &inner, left, files)?;
        } else if meta.is_file() {
            left.files = left.files.checked_sub(1).with_context(|| {
                format!("{} holds more than {FILES_MAX} files", folder.display())
            })?;
            left.bytes = left.bytes.checked_sub(meta.len()).with_context(|| {
                format!("{} holds more than {BYTES_MAX} bytes", folder.display())
            })?;
            let bytes =
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files.insert(inner, bytes.into());
        }
    }
    Ok(())
}
