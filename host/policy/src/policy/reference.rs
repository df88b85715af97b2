//! References to plugins: `guard-pii@0.1` means the newest installed version that begins with 0.1.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A plugin's name and the beginning of its version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginRef {
    /// The plugin's name.
    pub name: String,
    /// `1`, `1.2`, `1.2.3` or a pre-release in full; none: the newest.
    pub version: Option<String>,
}

/// A text that is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a plugin reference: write `name@version`, such as `guard-pii@0.1`")]
pub struct PluginRefError;

impl PluginRef {
    /// Whether a version is meant. A pre-release is meant only by its full version.
    #[must_use]
    pub fn matches(&self, version: &str) -> bool {
        match &self.version {
            Some(wanted) if wanted == version => true,
            _ if version.contains('-') => false,
            None => true,
            Some(wanted) => {
                let wanted: Vec<_> = wanted.split('.').collect();
                let found: Vec<_> = without_build(version).split('.').collect();
                found.starts_with(&wanted)
            }
        }
    }
}

/// Orders versions: numbers by value, then a release above its pre-releases, then by text.
#[must_use]
pub fn newer(a: &str, b: &str) -> Ordering {
    let (a_numbers, a_pre) = parts(a);
    let (b_numbers, b_pre) = parts(b);
    let pre = match (a_pre, b_pre) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => a.cmp(b),
    };
    a_numbers.cmp(&b_numbers).then(pre).then_with(|| a.cmp(b))
}

fn parts(version: &str) -> (Vec<u64>, Option<&str>) {
    let version = without_build(version);
    let (numbers, pre) = match version.split_once('-') {
        Some((numbers, pre)) => (numbers, Some(pre)),
        None => (version, None),
    };
    (
        numbers
            .split('.')
            .map(|number| number.parse().unwrap_or(0))
            .collect(),
        pre,
    )
}

fn without_build(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
}

impl std::str::FromStr for PluginRef {
    type Err = PluginRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let name_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let version_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        let named = !name.is_empty() && name.len() <= 64 && name.chars().all(name_char);
        let versioned = version.is_none_or(|version| {
            version.starts_with(|c: char| c.is_ascii_digit())
                && version.len() <= 64
                && version.chars().all(version_char)
        });
        if !named || !versioned {
            return Err(PluginRefError);
        }
        Ok(Self {
            name: name.to_owned(),
            version: version.map(str::to_owned),
        })
    }
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

impl Serialize for PluginRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PluginRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for PluginRef {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PluginRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z0-9-]{1,64}(@[0-9][0-9A-Za-z.+-]{0,63})?$" })
    }
}

#[cfg(test)]
mod tests {
    use super::{PluginRef, newer};

    #[track_caller]
    fn check(reference: &str, version: &str, wanted: bool) {
        let reference: PluginRef = reference.parse().expect("a reference");
        assert_eq!(reference.matches(version), wanted, "{reference} {version}");
    }

    #[test]
    fn a_shorter_version_means_all_that_begin_so() {
        check("a@0.1", "0.1.7", true);
        check("a@0.1", "0.10.0", false);
        check("a@0.1", "0.1.7-rc.1", false);
        check("a@0.1.7-rc.1", "0.1.7-rc.1", true);
        check("a@0.1.7", "0.1.7+build", true);
        check("a", "3.0.0", true);
    }

    #[test]
    fn versions_are_ordered_by_number() {
        let mut versions = ["0.9.0", "0.10.0", "0.10.0-rc.1", "1.0.0", "0.2.0"];
        versions.sort_by(|a, b| newer(a, b));
        assert_eq!(
            versions,
            ["0.2.0", "0.9.0", "0.10.0-rc.1", "0.10.0", "1.0.0"]
        );
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in ["", "@1", "A@1", "a@", "a@x", "a b@1", "a@1/2"] {
            assert!(text.parse::<PluginRef>().is_err(), "{text}");
        }
    }
}
