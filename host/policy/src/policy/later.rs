//! Sections that are known and not built: whoever writes one is told, instead of believing that it works.

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};

/// The absence of something that is not offered yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Later;

impl<'de> Deserialize<'de> for Later {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        Err(D::Error::custom(
            "not offered yet: remove it, so that nobody believes it holds",
        ))
    }
}
