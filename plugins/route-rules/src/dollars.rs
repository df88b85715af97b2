//! Decimal dollars to pico-dollars, exactly.

/// Decimals of a dollar that are a pico-dollar.
const DECIMALS: usize = 12;

/// `2.50` → 2,500,000,000,000. None where it is no plain decimal, has more than 12 decimals, or does not fit.
pub(crate) fn to_picos(dollars: &str) -> Option<i64> {
    let (whole, part) = dollars.split_once('.').unwrap_or((dollars, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number from TOML or JSON may carry more zeros than it needs.
    let part = match part.trim_end_matches('0') {
        "" if digits(part) => "0",
        trimmed => trimmed,
    };
    if !digits(whole) || !digits(part) || part.len() > DECIMALS {
        return None;
    }
    format!("{whole}{part:0<DECIMALS$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::to_picos;

    #[track_caller]
    fn check(dollars: &str, picos: Option<i64>) {
        assert_eq!(to_picos(dollars), picos, "{dollars}");
    }

    #[test]
    fn plain_decimals_are_read_exactly() {
        check("2.50", Some(2_500_000_000_000));
        check("0.1", Some(100_000_000_000));
        check("7", Some(7_000_000_000_000));
        check("5.0", Some(5_000_000_000_000));
        check("0", Some(0));
        check("0.000000000001", Some(1));
        check("0.0000000000010", Some(1));
        check("9223372.036854775807", Some(i64::MAX));
    }

    #[test]
    fn all_else_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1,5",
            "1.2.3",
            "$1",
            "0.0000000000001",
            "9223373",
            " 1",
        ] {
            check(text, None);
        }
    }
}
