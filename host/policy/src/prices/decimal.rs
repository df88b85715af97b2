//! Exact decimals: US dollars per million units as pico-dollars a unit, which is the number times 10^6.

/// Why a text is no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecimalError {
    /// No JSON number, and no string that holds one.
    #[error("not a decimal number")]
    Malformed,
    /// A price is what is charged.
    #[error("a price is not negative")]
    Negative,
    /// Rounding would be silently wrong.
    #[error("finer than a pico-dollar a token: at most 6 decimals of US dollars per million")]
    TooFine,
    /// More than 9 million dollars a token.
    #[error("too large")]
    TooLarge,
}

/// Digits that are read; no price has more.
const DIGITS_MAX: usize = 36;
const PICO_EXPONENT: i64 = 6;

/// From the text of a JSON number (`0.15`, `1.5e-1`) or of a string that holds one.
pub(super) fn pico_usd(json: &str) -> Result<i64, DecimalError> {
    let text = json
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(json);
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            exponent
                .parse::<i32>()
                .map_err(|_| DecimalError::Malformed)?,
        ),
        None => (text, 0),
    };
    let (whole, part) = match mantissa.split_once('.') {
        Some((_, "")) => return Err(DecimalError::Malformed),
        Some(split) => split,
        None => (mantissa, ""),
    };
    let digits = || whole.bytes().chain(part.bytes());
    if whole.is_empty() || !digits().all(|byte| byte.is_ascii_digit()) {
        return Err(DecimalError::Malformed);
    }
    if digits().count() > DIGITS_MAX {
        return Err(DecimalError::TooFine);
    }
    let value = digits().fold(0_u128, |value, digit| value * 10 + u128::from(digit - b'0'));
    if value == 0 {
        return Ok(0);
    }
    if negative {
        return Err(DecimalError::Negative);
    }
    let places = i64::try_from(part.len()).map_err(|_| DecimalError::TooFine)?;
    let shifted = shift(value, i64::from(exponent) - places + PICO_EXPONENT)?;
    i64::try_from(shifted).map_err(|_| DecimalError::TooLarge)
}

/// `value` × 10^`by`, exactly.
fn shift(value: u128, by: i64) -> Result<u128, DecimalError> {
    let power = u32::try_from(by.unsigned_abs())
        .ok()
        .and_then(|exponent| 10_u128.checked_pow(exponent));
    match (by < 0, power) {
        (false, Some(power)) => value.checked_mul(power).ok_or(DecimalError::TooLarge),
        (false, None) => Err(DecimalError::TooLarge),
        (true, Some(power)) if value.is_multiple_of(power) => Ok(value / power),
        (true, _) => Err(DecimalError::TooFine),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{DecimalError, pico_usd};

    #[test]
    fn prices_are_read_exactly() {
        for (text, wanted) in [
            ("0.15", 150_000),
            ("10", 10_000_000),
            ("10.0", 10_000_000),
            ("1e-6", 1),
            ("2.5E+1", 25_000_000),
            ("0.075", 75_000),
            ("\"0.6\"", 600_000),
            ("0", 0),
            ("-0.0", 0),
            ("0.1234560000", 123_456),
            ("9223372036854.775807", i64::MAX),
        ] {
            assert_eq!(pico_usd(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (text, wanted) in [
            ("0.0000001", DecimalError::TooFine),
            ("0.1234567", DecimalError::TooFine),
            ("9223372036854.775808", DecimalError::TooLarge),
            ("1e400", DecimalError::TooLarge),
            ("1e-400", DecimalError::TooFine),
            ("-1", DecimalError::Negative),
            ("null", DecimalError::Malformed),
            ("\"\"", DecimalError::Malformed),
            ("1.", DecimalError::Malformed),
            (".5", DecimalError::Malformed),
            ("1e99999999999", DecimalError::Malformed),
        ] {
            assert_eq!(pico_usd(text), Err(wanted), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_pico_has_its_decimal(pico in 0..=i64::MAX) {
            let text = format!("{}.{:06}", pico / 1_000_000, pico % 1_000_000);
            prop_assert_eq!(pico_usd(&text), Ok(pico));
            prop_assert_eq!(pico_usd(&format!("{pico}e-6")), Ok(pico));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eE\"x]{0,50}") {
            let _ = pico_usd(&text);
        }
    }
}
