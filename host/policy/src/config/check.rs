//! What a configuration says that no type can refuse: duplicate names, origins that are none.

use super::{ClientCertificates, EVERY_TENANT, StaticConfig, Tls};
use crate::finding::{Finding, Path};
use crate::origin::Origin;

/// What a log filter may say without a module.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl StaticConfig {
    /// All that is wrong, with paths; `document::place` adds lines.
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(tls) = &self.data.tls {
            check_tls(tls, &mut findings);
        }
        for (index, credential) in self.credentials.iter().enumerate() {
            let at = Path::of("credential").index(index);
            let same_name = |other: &super::Credential| other.name == credential.name;
            if self.credentials[..index].iter().any(same_name) {
                findings.push(Finding::error(
                    at.key("name"),
                    format!("credential `{}` is there twice", credential.name),
                ));
            }
            for (nth, origin) in credential.origins.iter().enumerate() {
                if let Err(error) = Origin::parse(origin) {
                    findings.push(Finding::error(
                        at.key("origins").index(nth),
                        error.to_string(),
                    ));
                }
            }
            if credential.origins.is_empty() {
                let message = format!("credential `{}` may be sent nowhere", credential.name);
                findings.push(
                    Finding::error(at.key("origins"), message).help("name the origins it is for"),
                );
            }
            if credential.tenants.is_empty() {
                let message = format!("credential `{}` may be used for no tenant", credential.name);
                let help = format!("name tenants, or `{EVERY_TENANT}` for all");
                findings.push(Finding::error(at.key("tenants"), message).help(help));
            }
            if let Some(header) = &credential.header
                && !is_header_name(header)
            {
                findings.push(Finding::error(
                    at.key("header"),
                    "not a header name: write one such as `x-api-key`",
                ));
            }
        }
        self.check_secrets(&mut findings);
        self.check_telemetry(&mut findings);
        findings
    }

    fn check_secrets(&self, findings: &mut Vec<Finding>) {
        for (index, secret) in self.secrets.iter().enumerate() {
            let at = Path::of("secret").index(index);
            if !is_secret_name(&secret.name) {
                let message =
                    "not a secret's name: write up to 64 lower-case letters, digits and hyphens";
                findings.push(Finding::error(at.key("name"), message));
            }
            let same_name = |other: &super::Secret| other.name == secret.name;
            if self.secrets[..index].iter().any(same_name) {
                let message = format!("secret `{}` is there twice", secret.name);
                findings.push(Finding::error(at.key("name"), message));
            }
            if secret.tenants.is_empty() {
                let message = format!("secret `{}` may be used for no tenant", secret.name);
                let help = format!("name tenants, or `{EVERY_TENANT}` for all");
                findings.push(Finding::error(at.key("tenants"), message).help(help));
            }
        }
    }

    fn check_telemetry(&self, findings: &mut Vec<Finding>) {
        let at = Path::of("telemetry");
        let telemetry = &self.telemetry;
        if let Some(collector) = &telemetry.otlp
            && let Err(error) = Origin::of_endpoint(collector)
        {
            findings.push(Finding::error(at.key("otlp"), error.to_string()).help(
                "write one such as `http://127.0.0.1:4318`, with credentials in `telemetry.headers`",
            ));
        }
        for name in telemetry.headers.keys() {
            if !is_header_name(name) {
                findings.push(Finding::error(
                    at.key("headers"),
                    "not a header name: write one such as `authorization`",
                ));
            }
        }
        for word in telemetry
            .level
            .split(',')
            .filter(|word| !word.contains('='))
        {
            if !LEVELS.contains(&word.trim().to_ascii_lowercase().as_str()) {
                let message = format!("`{word}` is no level: write one of {}", LEVELS.join(", "));
                let help = "or levels by module, as in `info,pointsman_upstream=debug`";
                findings.push(Finding::error(at.key("level"), message).help(help));
            }
        }
        if telemetry.service.is_empty() {
            findings.push(Finding::error(
                at.key("service"),
                "a service has a name: write one such as `pointsman`",
            ));
        }
    }
}

fn check_tls(tls: &Tls, findings: &mut Vec<Finding>) {
    let at = || Path::of("data").key("tls");
    for (key, file) in [("certificate", &tls.certificate), ("key", &tls.key)] {
        if file.is_empty() {
            let help = "name the PEM file, or leave `tls` out to speak plain HTTP";
            findings.push(Finding::error(at().key(key), "names no file").help(help));
        }
    }
    let asked = tls.client_certificates != ClientCertificates::Off;
    if asked && tls.client_ca.is_none() {
        let message = "clients show certificates, but nobody is said to certify them";
        let help = "name the PEM file of their authorities";
        findings.push(Finding::error(at().key("client-ca"), message).help(help));
    }
    if !asked && tls.client_ca.is_some() {
        let message = "`client-ca` is there, but no client is asked for a certificate";
        let help = "write `optional` or `required`, or leave `client-ca` out";
        findings.push(Finding::error(at().key("client-certificates"), message).help(help));
    }
}

/// What may stand after `secret://` in a step's config.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(plain)
}

/// A token as HTTP defines it.
fn is_header_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(token)
}
