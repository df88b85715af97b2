//! What a configuration says that no type can refuse: duplicate names, origins that are none.

use super::{EVERY_TENANT, StaticConfig};
use crate::finding::{Finding, Path};
use crate::origin::Origin;

impl StaticConfig {
    /// All that is wrong, with paths; `document::place` adds lines.
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
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
        findings
    }
}

/// A token as HTTP defines it.
fn is_header_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(token)
}
