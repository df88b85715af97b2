//! Money: i128 pico-dollars inside, decimal strings outside.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Pico-dollars: 1e-12 USD. As JSON a decimal string, so that no reader rounds it through a float.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, pattern = "^-?[0-9]+$"))]
pub struct Picos(pub i128);

impl Picos {
    /// One US dollar.
    pub const USD: Self = Self(1_000_000_000_000);

    /// As dollars with up to 12 decimals, trailing zeros cut: `0.00048`.
    #[must_use]
    pub fn to_usd_string(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let (whole, part) = (magnitude / 1_000_000_000_000, magnitude % 1_000_000_000_000);
        let mut text = format!("{sign}{whole}.{part:012}");
        while text.ends_with('0') {
            text.pop();
        }
        if text.ends_with('.') {
            text.pop();
        }
        text
    }
}

/// Text that is no amount of dollars.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an amount of dollars: write a decimal number such as 12.50, with at most 12 decimals")]
pub struct UsdError;

impl Picos {
    /// Reads dollars as [`Picos::to_usd_string`] writes them; exact, never through a float.
    ///
    /// # Errors
    /// Where it is no decimal number, has more than 12 decimals, or is beyond what fits.
    pub fn from_usd(text: &str) -> Result<Self, UsdError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > 12 {
            return Err(UsdError);
        }
        let picos = format!("{whole}{part:0<12}");
        let picos: i128 = picos.parse().map_err(|_| UsdError)?;
        Ok(Self(if negative { -picos } else { picos }))
    }
}

/// Dollars as a decimal string, for `#[serde(with = "usd")]`.
pub mod usd {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Picos;

    /// Writes `"12.5"`.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(picos: &Picos, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&picos.to_usd_string())
    }

    /// Reads `"12.5"`.
    ///
    /// # Errors
    /// Where it is no amount of dollars.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Picos, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Picos::from_usd(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Picos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Add for Picos {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Picos {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Picos {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Picos {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Picos {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self(0), Add::add)
    }
}

impl Serialize for Picos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Picos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Picos;

    #[test]
    fn dollars_are_written_without_rounding() {
        assert_eq!(Picos(480_000).to_usd_string(), "0.00000048");
        assert_eq!(Picos(-1_500_000_000_000).to_usd_string(), "-1.5");
        assert_eq!(Picos(0).to_usd_string(), "0");
    }

    #[test]
    fn dollars_are_read_as_they_are_written() {
        for picos in [0, 1, 480_000, -1_500_000_000_000, i128::from(u64::MAX)] {
            assert_eq!(
                Picos::from_usd(&Picos(picos).to_usd_string()),
                Ok(Picos(picos))
            );
        }
        assert_eq!(Picos::from_usd("12.50"), Ok(Picos(12_500_000_000_000)));
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "1e3",
            "+1",
            "0.0000000000001",
            "--1",
            "1 ",
        ] {
            assert!(Picos::from_usd(bad).is_err(), "{bad}");
        }
        let huge = "9".repeat(60);
        assert!(Picos::from_usd(&huge).is_err());
    }
}
