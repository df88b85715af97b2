//! When the certificate of the data plane ends.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::Report;
use crate::node::Settings;
use crate::serve::tls::expiry;

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
        Ok(certificate) => expiry::of(&certificate),
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
