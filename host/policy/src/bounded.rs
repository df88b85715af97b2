//! Whole numbers with bounds, checked while reading so that the error points at the value.

use std::fmt::Display;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// `MIN..=MAX` of any unsigned type.
pub(crate) fn number<'de, const MIN: u64, const MAX: u64, T, D>(
    deserializer: D,
) -> Result<T, D::Error>
where
    T: TryFrom<u64>,
    D: Deserializer<'de>,
{
    within::<MIN, MAX, T>(i64::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// The same for a key that may be absent.
pub(crate) fn optional<'de, const MIN: u64, const MAX: u64, T, D>(
    deserializer: D,
) -> Result<Option<T>, D::Error>
where
    T: TryFrom<u64>,
    D: Deserializer<'de>,
{
    // Called only where the key is there; `null` is how JSON says that it is not.
    match Option::<i64>::deserialize(deserializer)? {
        None => Ok(None),
        Some(value) => within::<MIN, MAX, T>(value)
            .map(Some)
            .map_err(D::Error::custom),
    }
}

fn within<const MIN: u64, const MAX: u64, T: TryFrom<u64>>(value: i64) -> Result<T, impl Display> {
    u64::try_from(value)
        .ok()
        .filter(|value| (MIN..=MAX).contains(value))
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| format!("{value} is out of range: write a whole number from {MIN} to {MAX}"))
}
