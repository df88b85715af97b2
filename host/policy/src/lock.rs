//! `policy.lock`: which plugin bytes a bundle's references mean. Committed beside the policy, so that what was tested
//! is what runs: a plugin that changed under the same version is refused.

use pointsman_domain::Digest;
use serde::{Deserialize, Serialize};

use crate::document::{self, DocumentError};
use crate::finding::{Finding, Path};
use crate::installed::{Installed, PluginFact};
use crate::policy::{PluginRef, Policy};

/// The name of the file in a bundle.
pub const FILE_NAME: &str = "policy.lock";
const FORMAT: u32 = 1;
const HEADER: &str = "# Which plugins this policy was checked with. Written by pointsman; commit it with the policy.\n";

/// All references of a bundle, each with what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lock {
    /// The format's version: 1.
    pub format: u32,
    /// In the order of their references.
    #[serde(default, rename = "plugin")]
    pub plugins: Vec<Locked>,
}

/// What one reference means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Locked {
    /// As the policy writes it.
    pub reference: PluginRef,
    /// The plugin's version.
    pub version: String,
    /// The digest of its bytes.
    pub digest: Digest,
}

impl Lock {
    /// Reads a lock file; `name` is what errors call it.
    ///
    /// # Errors
    /// What is no lock file.
    pub fn parse(name: &str, text: &str) -> Result<Self, DocumentError> {
        let lock: Self = document::parse(name, text)?;
        if lock.format != FORMAT {
            let message = format!(
                "format {} is not read by this gateway: delete the file and lock again",
                lock.format
            );
            return Err(DocumentError::at_line(name, text, 1, &message));
        }
        Ok(lock)
    }

    /// As text, in an order that makes differences small.
    #[must_use]
    pub fn render(&self) -> String {
        let body = toml::to_string(self).expect("texts and a number are TOML");
        format!("{HEADER}{body}")
    }

    /// Locks the references of a policy to what is installed now.
    ///
    /// # Errors
    /// The references that mean nothing, at their steps.
    pub fn pin(policy: &Policy, installed: &[PluginFact]) -> Result<Self, Vec<Finding>> {
        let mut plugins: Vec<Locked> = Vec::new();
        let mut findings = Vec::new();
        for (index, step) in policy.steps.iter().enumerate() {
            match Installed::new(installed, None).resolve(&step.plugin) {
                Ok(fact) => plugins.push(Locked {
                    reference: step.plugin.clone(),
                    version: fact.version.clone(),
                    digest: fact.digest,
                }),
                Err(error) => {
                    findings.push(error.finding(Path::of("step").index(index).key("plugin")));
                }
            }
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        plugins.sort_by(|a, b| a.reference.cmp(&b.reference));
        plugins.dedup();
        Ok(Self {
            format: FORMAT,
            plugins,
        })
    }

    /// What a reference is locked to.
    #[must_use]
    pub fn get(&self, reference: &PluginRef) -> Option<&Locked> {
        self.plugins
            .iter()
            .find(|locked| locked.reference == *reference)
    }

    /// What of the lock no longer holds: changed or removed plugins, references that it does not know.
    #[must_use]
    pub fn check(&self, policy: &Policy, installed: &[PluginFact]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (index, step) in policy.steps.iter().enumerate() {
            let at = Path::of("step").index(index).key("plugin");
            if self.get(&step.plugin).is_none() {
                let message = format!("`{}` is not in {FILE_NAME}", step.plugin);
                findings.push(
                    Finding::warning(at, message)
                        .help("lock again, so that this step cannot change unseen"),
                );
            } else if let Err(error) = Installed::new(installed, Some(self)).resolve(&step.plugin) {
                findings.push(error.finding(at));
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;
    use crate::digest::bytes;
    use crate::installed::PluginFact;
    use crate::policy::Policy;

    const POLICY: &str = "format = 1\nname = 'a'\n[[step]]\nid = 's'\nphase = 'route'\nplugin = 'r@0.1'\n[[step]]\nid = 't'\nphase = 'route'\nplugin = 'r@0.1'\n";

    fn installed(version: &str, content: &str) -> PluginFact {
        PluginFact {
            name: "r".to_owned(),
            version: version.to_owned(),
            digest: bytes(content.as_bytes()),
            ..PluginFact::default()
        }
    }

    #[test]
    fn a_lock_is_read_back_as_it_was_written() {
        let policy = Policy::parse("p", POLICY).expect("a policy");
        let lock = Lock::pin(
            &policy,
            &[installed("0.1.0", "old"), installed("0.1.2", "new")],
        )
        .expect("locked");
        assert_eq!(lock.plugins.len(), 1);
        assert_eq!(lock.plugins[0].version, "0.1.2");
        assert_eq!(
            Lock::parse("policy.lock", &lock.render()).expect("read back"),
            lock
        );
    }

    #[test]
    fn a_lock_holds_while_newer_plugins_arrive_and_not_when_its_own_changes() {
        let policy = Policy::parse("p", POLICY).expect("a policy");
        let lock = Lock::pin(&policy, &[installed("0.1.0", "a")]).expect("locked");
        assert_eq!(
            lock.check(&policy, &[installed("0.1.0", "a"), installed("0.1.1", "b")]),
            []
        );
        let findings = lock.check(&policy, &[installed("0.1.0", "changed")]);
        let text = findings[0].to_string();
        for piece in [
            "r@0.1",
            &bytes(b"a").to_string(),
            &bytes(b"changed").to_string(),
            "lock again",
        ] {
            assert!(text.contains(piece), "{text}");
        }
        assert!(
            lock.check(&policy, &[])
                .iter()
                .all(super::Finding::is_error)
        );
    }

    #[test]
    fn what_cannot_be_locked_is_named() {
        let policy = Policy::parse("p", POLICY).expect("a policy");
        let findings = Lock::pin(&policy, &[installed("0.2.0", "a")]).expect_err("no such version");
        assert_eq!(findings.len(), 2);
        assert!(findings[0].to_string().contains("0.2.0"), "{}", findings[0]);
        assert!(Lock::parse("policy.lock", "format = 2\n").is_err());
        assert!(
            Lock::parse(
                "policy.lock",
                "format = 1\n[[plugin]]\nreference = 'r@1'\nversion = '1'\ndigest = 'md5:1'\n"
            )
            .is_err()
        );
    }
}
