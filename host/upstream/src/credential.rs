//! A provider's secret, with the origins and tenants it may be used for. Anywhere else it is not sent, and neither is
//! the request.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Uri, header};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

use crate::origin::Origin;

/// The word that stands for every tenant.
const EVERY_TENANT: &str = "*";

/// A named secret. Clones share it.
#[derive(Clone, Debug)]
pub struct Credential {
    name: Arc<str>,
    secret: SecretString,
    origins: Arc<[Origin]>,
    tenants: Arc<[String]>,
    header: HeaderName,
    /// Whether the header's value begins with `Bearer `.
    bearer: bool,
}

/// A credential that could not be used as it is written.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// An origin that is none.
    #[error("credential {name}: origin `{origin}`: {detail}; write scheme, host and port alone")]
    Origin {
        /// The credential's name.
        name: String,
        /// As written.
        origin: String,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// It could be sent nowhere.
    #[error("credential {0} names no origins; list those it may be sent to")]
    NoOrigins(String),
    /// It could be used by nobody.
    #[error("credential {0} names no tenants; list those it may be used for, or \"*\" for all")]
    NoTenants(String),
    /// A header that cannot carry it.
    #[error("credential {name}: `{header}` is no header name")]
    Header {
        /// The credential's name.
        name: String,
        /// As written.
        header: String,
    },
    /// A secret that no header can carry.
    #[error("credential {0}: the secret is empty or has characters that no header may carry")]
    Secret(String),
}

impl Credential {
    /// A secret for these exact origins (`https://api.example.com`) and tenants (`*`: all). It is sent as
    /// `authorization: Bearer …`, or as it is in another header, such as `x-api-key`.
    ///
    /// # Errors
    /// What is wrong with it; never the secret.
    pub fn new(
        name: &str,
        secret: SecretString,
        origins: &[String],
        tenants: &[String],
        header: Option<&str>,
    ) -> Result<Self, CredentialError> {
        if origins.is_empty() {
            return Err(CredentialError::NoOrigins(name.to_owned()));
        }
        if tenants.is_empty() {
            return Err(CredentialError::NoTenants(name.to_owned()));
        }
        let origins = origins
            .iter()
            .map(|origin| {
                exact(origin).map_err(|detail| CredentialError::Origin {
                    name: name.to_owned(),
                    origin: origin.clone(),
                    detail,
                })
            })
            .collect::<Result<_, _>>()?;
        let bearer = header.is_none();
        let header = match header {
            None => header::AUTHORIZATION,
            Some(text) => HeaderName::try_from(text).map_err(|_error| CredentialError::Header {
                name: name.to_owned(),
                header: text.to_owned(),
            })?,
        };
        let credential = Self {
            name: name.into(),
            secret,
            origins,
            tenants: tenants.into(),
            header,
            bearer,
        };
        let sendable =
            !credential.secret.expose_secret().is_empty() && credential.value().is_some();
        if sendable {
            Ok(credential)
        } else {
            Err(CredentialError::Secret(name.to_owned()))
        }
    }

    /// The name it is configured under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Why it may not be used, if it may not.
    pub(crate) fn refusal(&self, origin: &Origin, tenant: &str) -> Option<String> {
        if !self.origins.contains(origin) {
            return Some(format!("credential {} is not for {origin}", self.name));
        }
        let named = |allowed: &String| allowed == EVERY_TENANT || allowed == tenant;
        (!self.tenants.iter().any(named))
            .then(|| format!("credential {} is not for tenant {tenant}", self.name))
    }

    /// The header that carries it, marked sensitive.
    pub(crate) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        Some((self.header.clone(), self.value()?))
    }

    fn value(&self) -> Option<HeaderValue> {
        let secret = self.secret.expose_secret();
        let value = if self.bearer {
            HeaderValue::from_maybe_shared(bytes::Bytes::from(format!("Bearer {secret}")))
        } else {
            HeaderValue::from_str(secret)
        };
        let mut value = value.ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn exact(text: &str) -> Result<Origin, &'static str> {
    let uri: Uri = text.parse().map_err(|_error| "it is no URL")?;
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains('#') {
        return Err("it has a path");
    }
    Origin::of(&uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(origin: &str, tenant: &str) -> Result<Credential, CredentialError> {
        let secret = SecretString::from("hunter2-hunter2");
        Credential::new(
            "key",
            secret,
            &[origin.to_owned()],
            &[tenant.to_owned()],
            None,
        )
    }

    fn refused(credential: &Credential, url: &str, tenant: &str) -> bool {
        let origin = Origin::of(&url.parse().expect("a URL")).expect("an origin");
        credential.refusal(&origin, tenant).is_some()
    }

    #[test]
    fn only_its_own_origins_and_tenants_may_use_it() {
        let credential = credential("https://api.example.com", "acme").expect("valid");
        assert!(!refused(
            &credential,
            "https://API.example.com:443/v1",
            "acme"
        ));
        let strangers = [
            "http://api.example.com",
            "https://api.example.com:444",
            "https://example.com",
            "https://api.example.com.evil.net",
            "https://evil-api.example.com",
        ];
        for url in strangers {
            assert!(refused(&credential, url, "acme"), "{url}");
        }
        assert!(refused(&credential, "https://api.example.com", "other"));
        assert!(refused(&credential, "https://api.example.com", ""));
    }

    #[test]
    fn star_is_every_tenant() {
        let credential = credential("https://api.example.com/", "*").expect("valid");
        assert!(!refused(&credential, "https://api.example.com", "anyone"));
    }

    #[test]
    fn secret_is_never_shown() {
        let credential = credential("https://api.example.com", "acme").expect("valid");
        assert!(!format!("{credential:?}").contains("hunter2"));
        let (_, value) = credential.header().expect("a header");
        assert!(value.is_sensitive());
        assert!(!format!("{value:?}").contains("hunter2"));
        let broken = SecretString::from("hunter2\n");
        let error = Credential::new(
            "key",
            broken,
            &["https://a.example".to_owned()],
            &["*".to_owned()],
            None,
        );
        assert!(
            !error
                .expect_err("a newline")
                .to_string()
                .contains("hunter2")
        );
    }

    #[test]
    fn what_could_not_be_used_is_refused() {
        for origin in [
            "https://a.example/v1",
            "https://u@a.example",
            "a.example",
            "https://a.example?x",
            "https://*.example",
        ] {
            assert!(
                matches!(credential(origin, "*"), Err(CredentialError::Origin { .. })),
                "{origin}"
            );
        }
        let secret = || SecretString::from("s");
        let one = ["https://a.example".to_owned()];
        let star = ["*".to_owned()];
        assert!(matches!(
            Credential::new("k", secret(), &[], &star, None),
            Err(CredentialError::NoOrigins(_))
        ));
        assert!(matches!(
            Credential::new("k", secret(), &one, &[], None),
            Err(CredentialError::NoTenants(_))
        ));
        assert!(matches!(
            Credential::new("k", secret(), &one, &star, Some("x key")),
            Err(CredentialError::Header { .. })
        ));
        assert!(matches!(
            Credential::new("k", "".into(), &one, &star, None),
            Err(CredentialError::Secret(_))
        ));
    }
}
