//! The files that a gateway starts from: `pointsman.toml`, policy bundles, the folder of plugins.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Map, Value, json};

/// A policy bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    name: String,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Bundle {
    /// From the text of its `policy.toml`; `name` is its folder's name, which must be the policy's own.
    #[must_use]
    pub fn new(name: &str, policy: &str) -> Self {
        Self {
            name: name.to_owned(),
            files: vec![("policy.toml".into(), policy.into())],
        }
    }

    /// From a folder, all its files.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let name = folder
            .file_name()
            .context("a bundle's folder has a name")?
            .to_string_lossy()
            .into_owned();
        let mut files = Vec::new();
        collect(folder, Path::new(""), &mut files)?;
        Ok(Self { name, files })
    }

    /// With another file, or another content of it.
    #[must_use]
    pub fn with(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.retain(|(known, _)| known != Path::new(path));
        self.files.push((path.into(), bytes.into()));
        self
    }

    /// With every `from` in its `policy.toml` replaced: an endpoint by the one of a test's server.
    ///
    /// # Errors
    /// Where `from` is not there.
    pub fn replace(mut self, from: &str, to: &str) -> anyhow::Result<Self> {
        let policy = self
            .files
            .iter_mut()
            .find(|(path, _)| path == Path::new("policy.toml"));
        let (_, bytes) = policy.context("the bundle has no policy.toml")?;
        let text = String::from_utf8(std::mem::take(bytes)).context("policy.toml is no text")?;
        anyhow::ensure!(text.contains(from), "policy.toml does not hold `{from}`");
        *bytes = text.replace(from, to).into_bytes();
        Ok(self)
    }

    /// As the control API takes it.
    #[must_use]
    pub fn pushable(&self) -> Value {
        use base64::Engine as _;
        let standard = base64::engine::general_purpose::STANDARD;
        let files = self.files.iter();
        let files: Map<String, Value> = files
            .map(|(path, bytes)| (path.display().to_string(), standard.encode(bytes).into()))
            .collect();
        json!({ "files": files })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes it under `policies`.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn write(&self, policies: &Path) -> anyhow::Result<PathBuf> {
        let folder = policies.join(&self.name);
        for (path, bytes) in &self.files {
            write(&folder.join(path), bytes)?;
        }
        Ok(folder)
    }
}

fn collect(folder: &Path, below: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) -> anyhow::Result<()> {
    let listed =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in listed {
        let path = entry
            .with_context(|| format!("cannot read {}", folder.display()))?
            .path();
        let inner = below.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            collect(&path, &inner, files)?;
        } else {
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files.push((inner, bytes));
        }
    }
    Ok(())
}

/// A credential, its value in an environment variable of the gateway.
#[derive(Clone, Debug)]
pub struct Credential {
    /// What targets call it.
    pub name: String,
    /// The secret.
    pub value: String,
    /// Where it may be sent.
    pub origins: Vec<String>,
    /// Whom it may be used for.
    pub tenants: Vec<String>,
}

impl Credential {
    /// The variable that holds the value.
    pub(crate) fn variable(&self) -> String {
        let name = self
            .name
            .to_ascii_uppercase()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        format!("TEST_CREDENTIAL_{name}")
    }

    pub(crate) fn setting(&self) -> Value {
        json!({
            "name": self.name, "value": format!("secret://env/{}", self.variable()),
            "origins": self.origins, "tenants": self.tenants,
        })
    }
}

/// Writes settings as TOML.
pub(crate) fn write_toml(path: &Path, settings: &Value) -> anyhow::Result<()> {
    let table = toml::Table::try_from(settings).context("settings are no TOML")?;
    write(path, table.to_string().as_bytes())
}

/// Puts `over` into `under`, tables key by key.
pub(crate) fn merge(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => merge_tables(under, over),
        (under, over) => under.clone_from(over),
    }
}

fn merge_tables(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        merge(under.entry(key.clone()).or_insert(Value::Null), value);
    }
}

/// Links every component of `folders` into one folder.
pub(crate) fn install(folders: &[PathBuf], plugins: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(plugins).with_context(|| format!("cannot make {}", plugins.display()))?;
    for folder in folders {
        let listed =
            fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let paths = listed.filter_map(|entry| Some(entry.ok()?.path()));
        for path in paths.filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        }) {
            let installed = plugins.join(path.file_name().unwrap_or_default());
            // Another file system cannot be linked to.
            if fs::hard_link(&path, &installed).is_err() {
                fs::copy(&path, &installed)
                    .with_context(|| format!("cannot write {}", installed.display()))?;
            }
        }
    }
    Ok(())
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_settings_are_merged_over_ours_table_by_table() {
        let mut settings = json!({"state": "s", "data": {"listen": "a", "workers": 2}});
        merge(
            &mut settings,
            &json!({"data": {"workers": 1}, "floor": "platform"}),
        );
        assert_eq!(
            settings,
            json!({"state": "s", "floor": "platform", "data": {"listen": "a", "workers": 1}})
        );
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/pointsman.toml");
        write_toml(&path, &settings).expect("written");
        let text = fs::read_to_string(path).expect("read");
        let back: Value = toml::from_str(&text).expect("TOML");
        assert_eq!(back, settings, "{text}");
    }

    #[test]
    fn a_bundle_is_written_as_it_was_read_but_for_what_was_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let bundle = Bundle::new("one", "endpoint = \"a\"").with("data/list.txt", "x");
        let written = bundle.write(folder.path()).expect("written");
        let read = Bundle::read(&written)
            .expect("read")
            .replace("\"a\"", "\"b\"")
            .expect("there");
        assert_eq!(read.name(), "one");
        let again = read.write(&folder.path().join("again")).expect("written");
        assert_eq!(
            fs::read_to_string(again.join("policy.toml")).expect("read"),
            "endpoint = \"b\""
        );
        assert_eq!(
            fs::read_to_string(again.join("data/list.txt")).expect("read"),
            "x"
        );
        assert!(read.replace("\"a\"", "\"c\"").is_err());
    }
}
