//! When a certificate expires, read from its DER: all that is needed of X.509, so no parser of all of it is compiled.

/// One element: its tag, its content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if !(1..=4).contains(&count) {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(count)?;
        let length = bytes
            .iter()
            .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Seconds since the epoch of a certificate's `notAfter`; none where it cannot be read.
pub(crate) fn of(certificate: &[u8]) -> Option<u64> {
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if fields.first() == Some(&VERSION) {
        (_, _, fields) = element(fields)?;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (_, validity, _) = element(fields)?;
    let (_, _, after_begin) = element(validity)?;
    let (tag, text, _) = element(after_begin)?;
    seconds(tag, std::str::from_utf8(text).ok()?)
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn seconds(tag: u8, text: &str) -> Option<u64> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<u64>().ok();
    let (year, at) = match tag {
        UTC_TIME => {
            let short = number(0, 2)?;
            (short + if short < 50 { 2000 } else { 1900 }, 2)
        }
        GENERALIZED_TIME => (number(0, 4)?, 4),
        _ => return None,
    };
    let field = |nth: usize| number(at + 2 * nth, at + 2 * nth + 2);
    let days = days_before(year, field(0)?, field(1)?)?;
    Some(((days * 24 + field(2)?) * 60 + field(3)?) * 60 + field(4)?)
}

/// Days from the epoch to a date.
fn days_before(year: u64, month: u64, day: u64) -> Option<u64> {
    const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let is_leap = |year: u64| {
        let divides = |by| year.is_multiple_of(by);
        divides(4) && (!divides(100) || divides(400))
    };
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let years: u64 = (1970..year)
        .map(|year| 365 + u64::from(is_leap(year)))
        .sum();
    let months = LENGTHS.iter().zip(1..month).map(|(length, _)| length);
    let leap_day = u64::from(month > 2 && is_leap(year));
    Some(years + months.sum::<u64>() + leap_day + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_the_epoch() {
        assert_eq!(seconds(0x17, "700101000000Z"), Some(0));
        assert_eq!(seconds(0x17, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(seconds(0x18, "20240229120000Z"), Some(1_709_208_000));
        assert_eq!(seconds(0x18, "20240301000000Z"), Some(1_709_251_200));
        for bad in [
            "",
            "Z",
            "7001010000Z",
            "701301000000Z",
            "70é101000000Z",
            "700101000000+0100",
        ] {
            assert_eq!(seconds(0x17, bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_expiry() {
        for bad in [
            &b""[..],
            b"\x30",
            b"\x30\x80",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x03\x30\x01\xa0",
        ] {
            assert_eq!(of(bad), None, "{bad:x?}");
        }
    }

    #[test]
    fn a_real_certificate_tells_its_last_second() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(2031, 3, 4);
        let certificate = params.self_signed(&key).expect("a certificate");
        assert_eq!(of(certificate.der()), Some(1_930_348_800));
    }
}
