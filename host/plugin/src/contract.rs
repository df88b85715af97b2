//! The names of the contract: what a component may import and export, and what a step may be granted.

use pointsman_domain::Role;

/// The newest version of the WIT package, which the SDKs speak.
pub const WIT_VERSION: &str = "0.2.0";
/// What is served, for messages.
pub(crate) const SERVED: &str = "0.1 and 0.2";

const PACKAGE: &str = "pointsman:plugin/";

/// A published version of the contract. All are served side by side; a component speaks one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contract {
    V0_1,
    V0_2,
}

impl Contract {
    pub(crate) const ALL: [Self; 2] = [Self::V0_1, Self::V0_2];

    /// Its first version: wasmtime finds compatible ones by it.
    const fn first(self) -> &'static str {
        match self {
            Self::V0_1 => "0.1.0",
            Self::V0_2 => "0.2.0",
        }
    }

    /// An interface's full name in it.
    pub(crate) fn name(self, interface: &str) -> String {
        format!("{PACKAGE}{interface}@{}", self.first())
    }

    /// The one that components of this version speak.
    fn of(version: &str) -> Option<Self> {
        let wanted = track(version)?;
        let fits = |contract: &Self| track(contract.first()) == Some(wanted);
        Self::ALL.into_iter().find(fits)
    }
}

/// Roles by their interface names.
pub(crate) const ROLES: [Role; 6] = [
    Role::Classifier,
    Role::RequestGuard,
    Role::Splitter,
    Role::Router,
    Role::ResponseGuard,
    Role::Accountant,
];

/// A host interface that is granted step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    /// Log lines of the step.
    Log,
    /// The decision's timestamp.
    Clock,
    /// Numbers seeded from request and step.
    Random,
    /// The step's files.
    Data,
    /// Sliding counts of the tenant.
    Counters,
    /// Vectors of text.
    Embedding,
    /// HMAC under named secrets.
    Secrets,
    /// The price catalogue.
    Prices,
}

impl Import {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Log,
        Self::Clock,
        Self::Random,
        Self::Data,
        Self::Counters,
        Self::Embedding,
        Self::Secrets,
        Self::Prices,
    ];

    /// Its name in WIT, in `describe` and in a policy's grants.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Data => "data",
            Self::Counters => "counters",
            Self::Embedding => "embedding",
            Self::Secrets => "secrets",
            Self::Prices => "prices",
        }
    }

    /// By its name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|import| import.as_str() == name)
    }
}

/// The names of all imports, for messages.
pub(crate) fn import_names() -> String {
    Import::ALL.map(Import::as_str).join(", ")
}

/// A set of imports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Imports(u8);

impl Imports {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn with(self, import: Import) -> Self {
        Self(self.0 | 1 << import as u8)
    }

    pub(crate) const fn has(self, import: Import) -> bool {
        self.0 & (1 << import as u8) != 0
    }
}

/// An interface of a contract that is served, without package and version (`log`), and which contract. Served are all
/// versions that semver calls compatible, as wasmtime matches the names of interfaces too. A component that wants what
/// a later version added is told so by name or type.
pub(crate) fn interface(name: &str) -> Option<(&str, Contract)> {
    let (interface, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    Some((interface, Contract::of(version)?))
}

/// The version in an interface's full name.
pub(crate) fn version(name: &str) -> &str {
    name.split_once('@').map_or("", |(_, version)| version)
}

/// What compatible versions have in common: `0.1` of `0.1.7`, `2` of `2.3.4`. A pre-release is compatible with nothing.
fn track(version: &str) -> Option<(u32, Option<u32>)> {
    let numbers: Vec<u32> = version
        .split('.')
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    match numbers[..] {
        [0, minor, _patch] => Some((0, Some(minor))),
        [major, _minor, _patch] => Some((major, None)),
        _ => None,
    }
}

/// Whether a component may import this interface at all; the grant is another matter.
pub(crate) fn importable(name: &str) -> bool {
    interface(name).is_some_and(|(interface, _)| {
        matches!(interface, "types" | "request" | "targets") || Import::by_name(interface).is_some()
    })
}

/// What an exported interface is.
pub(crate) enum Export {
    Meta,
    Role(Role),
}

/// An export by its full name.
pub(crate) fn export(name: &str) -> Option<Export> {
    match interface(name)?.0 {
        "meta" => Some(Export::Meta),
        role => ROLES
            .into_iter()
            .find(|known| known.as_str() == role)
            .map(Export::Role),
    }
}

#[cfg(test)]
mod tests {
    use super::{Contract, SERVED, WIT_VERSION, track};

    #[test]
    fn versions_are_compatible_as_semver_says() {
        assert_eq!(track("0.1.0"), track("0.1.22"));
        assert_eq!(track("1.2.3"), track("1.9.0"));
        assert_ne!(track("0.1.0"), track("0.2.0"));
        assert_ne!(track("0.1.0"), track("1.1.0"));
        for none in ["", "0", "0.1", "0.1.0-rc.1", "0.1.0.0", "0.1.x", "-0.1.0"] {
            assert_eq!(track(none), None, "{none}");
            assert_eq!(Contract::of(none), None, "{none}");
        }
    }

    #[test]
    fn each_published_version_is_served() {
        assert_eq!(Contract::of("0.1.7"), Some(Contract::V0_1));
        assert_eq!(Contract::of(WIT_VERSION), Contract::ALL.last().copied());
        assert_eq!(Contract::of("0.3.0"), None);
        for contract in Contract::ALL {
            assert_eq!(Contract::of(contract.first()), Some(contract));
            let (minor, _) = contract.first().rsplit_once('.').expect("three numbers");
            assert!(SERVED.contains(minor));
        }
    }
}
