//! Who calls: virtual keys from the tenants file, looked up by keyed hash, reloaded when the file changes.
//!
//! Promises: no key is ever stored or logged, only its HMAC under the node's pepper; a revoked key is refused within a
//! second of the file's change; a broken file leaves the last good one in force and says so.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, header};
use pointsman_domain::{ErrorKind, GatewayError};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// The tenants file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct TenantsFile {
    #[serde(default, rename = "tenant", skip_serializing_if = "Vec::is_empty")]
    pub(crate) tenants: Vec<TenantEntry>,
    #[serde(default, rename = "key", skip_serializing_if = "Vec::is_empty")]
    pub(crate) keys: Vec<KeyEntry>,
}

/// Who pays and whose policy applies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct TenantEntry {
    pub(crate) id: String,
    pub(crate) policy: String,
}

/// A virtual key; `hash` is HMAC-SHA256 under the pepper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct KeyEntry {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) hash: String,
    #[serde(default = "default_scopes")]
    pub(crate) scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) revoked: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_ms: Option<u64>,
}

/// What keys may be for.
pub(crate) const SCOPES: [&str; 2] = ["chat", "models"];

/// What a key may do unless it says otherwise.
pub(crate) fn default_scopes() -> Vec<String> {
    SCOPES.map(str::to_owned).to_vec()
}

/// Waits for other commands that change the same tenants file; held until it is dropped.
pub(crate) fn lock(path: &Path) -> anyhow::Result<std::fs::File> {
    let beside = path.with_extension("lock");
    if let Some(folder) = beside.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let file = std::fs::File::create(&beside)
        .with_context(|| format!("cannot make {}", beside.display()))?;
    file.lock()
        .with_context(|| format!("cannot lock {}", beside.display()))?;
    Ok(file)
}

/// Who a request belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub(crate) tenant: String,
    pub(crate) key: String,
    pub(crate) policy: String,
}

struct Known {
    entry: KeyEntry,
    policy: String,
}

/// Which file lies at a path: another one, or another content, differs in one of these.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileState {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl FileState {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let meta = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        })
    }
}

/// All tenants and keys, as last read.
pub(crate) struct Directory {
    path: PathBuf,
    pepper: Vec<u8>,
    by_hash: ArcSwap<HashMap<String, Known>>,
    seen: ArcSwap<Option<FileState>>,
}

/// The stored form of a key.
pub(crate) fn hash_key(pepper: &[u8], key: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(pepper).expect("HMAC takes any key length");
    mac.update(key.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// Reads a tenants file; a missing one is empty.
pub(crate) fn read(path: &Path) -> anyhow::Result<TenantsFile> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let name = path.display().to_string();
            Ok(pointsman_policy::document::parse(&name, &text)?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(TenantsFile::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a tenants file whole or not at all.
pub(crate) fn write(path: &Path, file: &TenantsFile) -> anyhow::Result<()> {
    use std::io::Write as _;
    let text = toml::to_string(file).context("cannot write the tenants file")?;
    let folder = path.parent().context("the tenants file has no folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let aside = path.with_extension("new");
    let mut out = std::fs::File::create(&aside)
        .with_context(|| format!("cannot write {}", aside.display()))?;
    out.write_all(text.as_bytes())
        .and_then(|()| out.sync_all())
        .with_context(|| format!("cannot write {}", aside.display()))?;
    std::fs::rename(&aside, path).with_context(|| format!("cannot replace {}", path.display()))
}

impl Directory {
    /// Reads the file; fails where it is broken, since at start-up there is no last good one.
    pub(crate) fn open(path: PathBuf, pepper: Vec<u8>) -> anyhow::Result<Self> {
        let directory = Self {
            path,
            pepper,
            by_hash: ArcSwap::default(),
            seen: ArcSwap::default(),
        };
        // Looked at before it is read, so that a change in between is seen later.
        directory
            .seen
            .store(Arc::new(FileState::of(&directory.path)));
        directory.reload()?;
        Ok(directory)
    }

    /// The node's pepper, also the key of conversation ids.
    pub(crate) fn pepper(&self) -> &[u8] {
        &self.pepper
    }

    /// The policies that tenants name, each once.
    pub(crate) fn policies(&self) -> anyhow::Result<Vec<String>> {
        let mut names: Vec<String> = read(&self.path)?
            .tenants
            .into_iter()
            .map(|tenant| tenant.policy)
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Re-reads the file if it changed. An error leaves what is in force, and is told once for each change.
    pub(crate) fn refresh(&self) -> anyhow::Result<bool> {
        let now = FileState::of(&self.path);
        if now == **self.seen.load() {
            return Ok(false);
        }
        self.seen.store(Arc::new(now));
        anyhow::ensure!(now.is_some(), "{} is gone", self.path.display());
        self.reload()?;
        Ok(true)
    }

    fn reload(&self) -> anyhow::Result<()> {
        let file = read(&self.path)?;
        let mut by_hash = HashMap::with_capacity(file.keys.len());
        for entry in file.keys {
            let tenant = file.tenants.iter().find(|tenant| tenant.id == entry.tenant);
            let tenant = tenant.with_context(|| {
                format!(
                    "{}: key `{}` names tenant `{}`, which is not there",
                    self.path.display(),
                    entry.id,
                    entry.tenant
                )
            })?;
            let policy = tenant.policy.clone();
            // Which of two would count, the revoked one or the other, must not depend on their order.
            if let Some(Known { entry, .. }) = by_hash.insert(
                entry.hash.clone(),
                Known {
                    entry: entry.clone(),
                    policy,
                },
            ) {
                let (path, one) = (self.path.display(), &entry.id);
                anyhow::bail!("{path}: key `{one}` and another one have the same hash; remove one");
            }
        }
        self.by_hash.store(Arc::new(by_hash));
        Ok(())
    }

    /// Who sent these headers, if the key has `scope`.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        scope: &str,
        now_ms: u64,
    ) -> Result<Principal, GatewayError> {
        let refuse = |kind, message: &str| Err(GatewayError::new(kind, message));
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return refuse(
                ErrorKind::InvalidKey,
                "no API key: send it as `Authorization: Bearer <key>`",
            );
        };
        if values.next().is_some() {
            return refuse(
                ErrorKind::InvalidKey,
                "more than one Authorization header; send one",
            );
        }
        let key = value.to_str().ok().and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
        });
        let Some(key) = key.filter(|key| !key.is_empty() && key.len() <= 512) else {
            return refuse(
                ErrorKind::InvalidKey,
                "the Authorization header is not `Bearer <key>`",
            );
        };
        let hash = hash_key(&self.pepper, key);
        let known = self.by_hash.load();
        // The lookup is by keyed hash, so its timing says nothing about keys; the last comparison is constant-time.
        let found = known
            .get(&hash)
            .filter(|found| bool::from(found.entry.hash.as_bytes().ct_eq(hash.as_bytes())));
        let Some(found) = found else {
            return refuse(
                ErrorKind::InvalidKey,
                "unknown API key: make one with `pointsman key create --tenant <tenant>`",
            );
        };
        if found.entry.revoked {
            return refuse(ErrorKind::RevokedKey, "this API key was revoked");
        }
        if found
            .entry
            .expires_ms
            .is_some_and(|expires_ms| expires_ms <= now_ms)
        {
            return refuse(ErrorKind::ExpiredKey, "this API key has expired");
        }
        if !found.entry.scopes.iter().any(|has| has == scope) {
            let message = format!(
                "this API key lacks the scope `{scope}`; it has: {}",
                found.entry.scopes.join(", ")
            );
            return refuse(ErrorKind::WrongScope, &message);
        }
        Ok(Principal {
            tenant: found.entry.tenant.clone(),
            key: found.entry.id.clone(),
            policy: found.policy.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(entry: impl FnOnce(&mut KeyEntry), header: Option<&str>) -> Result<String, ErrorKind> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tenants.toml");
        let mut key = KeyEntry {
            id: "k1".into(),
            tenant: "demo".into(),
            hash: hash_key(b"pepper", "pm-good"),
            scopes: default_scopes(),
            revoked: false,
            expires_ms: None,
        };
        entry(&mut key);
        let tenants = vec![TenantEntry {
            id: "demo".into(),
            policy: "quickstart".into(),
        }];
        write(
            &path,
            &TenantsFile {
                tenants,
                keys: vec![key],
            },
        )
        .expect("written");
        let directory = Directory::open(path, b"pepper".to_vec()).expect("opens");
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(header::AUTHORIZATION, header.parse().expect("a header"));
        }
        directory
            .authenticate(&headers, "chat", 1000)
            .map(|principal| principal.tenant)
            .map_err(|error| error.kind)
    }

    #[test]
    fn a_good_key_finds_its_tenant() {
        assert_eq!(check(|_| {}, Some("Bearer pm-good")), Ok("demo".to_owned()));
        assert_eq!(check(|_| {}, Some("bearer pm-good")), Ok("demo".to_owned()));
    }

    #[test]
    fn a_broken_or_missing_file_leaves_the_last_good_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tenants.toml");
        let key = |id: &str, hash: &str| {
            format!("[[key]]\nid = \"{id}\"\ntenant = \"demo\"\nhash = \"{hash}\"\n")
        };
        let tenant = "[[tenant]]\nid = \"demo\"\npolicy = \"quickstart\"\n";
        let hash = hash_key(b"pepper", "pm-good");
        let good = format!("{tenant}{}", key("k1", &hash));
        std::fs::write(&path, &good).expect("written");
        let directory = Directory::open(path.clone(), b"pepper".to_vec()).expect("opens");
        let mut headers = HeaderMap::new();
        headers.insert(
            header::AUTHORIZATION,
            "Bearer pm-good".parse().expect("a header"),
        );
        let is_known = || directory.authenticate(&headers, "chat", 1).is_ok();
        assert!(is_known() && !directory.refresh().expect("unchanged"));
        for broken in ["[[key]", &format!("{good}{}", key("k2", &hash))] {
            std::fs::write(&path, broken).expect("written");
            assert!(directory.refresh().is_err(), "{broken}");
            assert!(!directory.refresh().expect("told once"), "{broken}");
            assert!(is_known(), "{broken}");
        }
        std::fs::remove_file(&path).expect("removed");
        assert!(directory.refresh().is_err() && is_known());
        std::fs::write(&path, tenant).expect("written");
        assert!(directory.refresh().expect("read") && !is_known());
    }

    #[test]
    fn bad_keys_are_told_apart() {
        assert_eq!(check(|_| {}, None), Err(ErrorKind::InvalidKey));
        assert_eq!(
            check(|_| {}, Some("Basic pm-good")),
            Err(ErrorKind::InvalidKey)
        );
        assert_eq!(
            check(|_| {}, Some("Bearer pm-bad")),
            Err(ErrorKind::InvalidKey)
        );
        assert_eq!(
            check(|key| key.revoked = true, Some("Bearer pm-good")),
            Err(ErrorKind::RevokedKey)
        );
        assert_eq!(
            check(|key| key.expires_ms = Some(999), Some("Bearer pm-good")),
            Err(ErrorKind::ExpiredKey)
        );
        assert_eq!(
            check(
                |key| key.scopes = vec!["models".into()],
                Some("Bearer pm-good")
            ),
            Err(ErrorKind::WrongScope)
        );
    }
}
