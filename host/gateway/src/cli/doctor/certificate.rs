//! When certificates end. Reads no more of X.509 than the two times of its validity.

use std::time::{SystemTime, UNIX_EPOCH};

use pointsman_traffic::window::Window;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::Report;
use crate::node::Settings;

/// Seconds before its end at which a certificate is worth a word: 21 days.
const SOON: u64 = 21 * 86_400;

/// The certificate of the data plane, where TLS is configured.
pub(super) fn all(report: &mut Report, settings: &Settings) {
    let Some(tls) = &settings.config.data.tls else {
        return;
    };
    let path = &tls.certificate;
    let next = "renew it; the gateway reads the new file without a restart";
    let read = CertificateDer::from_pem_file(path);
    let ends = match read {
        Ok(certificate) => not_after(&certificate),
        Err(error) => {
            report.fail(
                "certificate",
                format!("cannot read {path}: {error}"),
                "data.tls.certificate names a PEM file, the server's own certificate first",
            );
            return;
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    match ends {
        None => report.warn(
            "certificate",
            format!("the end of {path} is not understood"),
            "look at it yourself: openssl x509 -noout -enddate -in FILE",
        ),
        Some(ends) if ends <= now => report.fail(
            "certificate",
            format!("{path} ended at {}", shown(ends)),
            next,
        ),
        Some(ends) if ends - now < SOON => report.warn(
            "certificate",
            format!("{path} ends at {}", shown(ends)),
            next,
        ),
        Some(ends) => report.ok("certificate", format!("{path} ends at {}", shown(ends))),
    }
}

fn shown(seconds: u64) -> String {
    crate::cli::utc(seconds.saturating_mul(1000))
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The optional version of a certificate, tagged 0.
const VERSION: u8 = 0xa0;

/// Seconds since the epoch at which a certificate ends; none where its bytes are not understood.
fn not_after(der: &[u8]) -> Option<u64> {
    let (tag, certificate, _) = element(der)?;
    let (inner, body, _) = element(certificate)?;
    if (tag, inner) != (SEQUENCE, SEQUENCE) {
        return None;
    }
    let mut rest = body;
    if let (VERSION, _, after) = element(rest)? {
        rest = after;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, after) = element(validity)?;
    let (kind, text, _) = element(after)?;
    seconds(kind, std::str::from_utf8(text).ok()?)
}

/// Tag, content and what follows of the first DER element.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        let length = digits
            .iter()
            .fold(0, |sum, &digit| sum << 8 | usize::from(digit));
        (length, rest)
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, as RFC 5280 wants them.
fn seconds(kind: u8, text: &str) -> Option<u64> {
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match kind {
        UTC_TIME if digits.len() == 12 => {
            let year: u64 = digits[..2].parse().ok()?;
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                &digits[2..],
            )
        }
        GENERALIZED_TIME if digits.len() == 14 => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<u64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let time = part(4)? * 3600 + part(6)? * 60 + part(8)?;
    let day = Window::parse(&format!("day/{year:04}-{month:02}-{day:02}"))?;
    (day.start_ms() / 1000).checked_add(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let mut parameters =
            rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        for (year, expected) in [(2031, 1_930_608_000), (2061, 2_877_379_200)] {
            parameters.not_after = rcgen::date_time_ymd(year, 3, 7);
            let key = rcgen::KeyPair::generate().expect("a key");
            let made = parameters.clone().self_signed(&key).expect("a certificate");
            assert_eq!(not_after(made.der()), Some(expected), "{year}");
        }
    }

    #[test]
    fn what_is_cut_or_no_certificate_is_not_understood() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let parameters =
            rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let made = parameters.self_signed(&key).expect("a certificate");
        for cut in 0..made.der().len() {
            assert_eq!(not_after(&made.der()[..cut]), None, "{cut}");
        }
        assert_eq!(not_after(b"-----BEGIN"), None);
        assert_eq!(seconds(UTC_TIME, "311399000000Z"), None);
    }
}
