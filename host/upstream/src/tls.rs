//! TLS to targets: ring, the public roots, and those that the operator adds. HTTP/1.1 by ALPN.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio_rustls::TlsConnector;

/// The certificate authorities that targets may be certified by. Clones share them.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

/// A certificate that cannot be a root.
#[derive(Debug, Error)]
#[error("not a root certificate in DER form: {0}")]
pub struct RootError(#[source] rustls::Error);

impl Default for Roots {
    /// The public ones, as Mozilla lists them.
    fn default() -> Self {
        Self(Arc::new(
            webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        ))
    }
}

impl Roots {
    /// These roots and one more, in DER form.
    ///
    /// # Errors
    /// If it is no certificate.
    pub fn with_der(self, der: &[u8]) -> Result<Self, RootError> {
        let mut store = Arc::unwrap_or_clone(self.0);
        store
            .add(CertificateDer::from_slice(der))
            .map_err(RootError)?;
        Ok(Self(Arc::new(store)))
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_root_certificates(Arc::clone(&self.0))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}
