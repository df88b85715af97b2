//! Certificates, made anew by each test, and clients that trust them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// Who certifies servers or clients.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// Where there is no randomness.
    pub fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate().context("no key")?;
        let mut params = CertificateParams::new(Vec::new()).context("no certificate")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        let certificate = params.self_signed(&key).context("no certificate")?;
        Ok(Self {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        })
    }

    /// A new identity on loopback; `name` is its common name.
    ///
    /// # Errors
    /// Where there is no randomness.
    pub fn identity(&self, name: &str) -> anyhow::Result<Identity> {
        self.identity_until(name, 4000)
    }

    /// One that expires with a year.
    ///
    /// # Errors
    /// Where there is no randomness.
    pub fn identity_until(&self, name: &str, year: i32) -> anyhow::Result<Identity> {
        let key = KeyPair::generate().context("no key")?;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).context("no certificate")?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let signed = params.signed_by(&key, &self.issuer);
        Ok(Identity {
            certificate: signed.context("no certificate")?.der().clone(),
            key,
        })
    }

    /// Writes its own certificate as PEM.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        replace(path, &pem("CERTIFICATE", &self.certificate))
    }

    /// What a client that trusts this authority dials with.
    ///
    /// # Errors
    /// Where the identity is none.
    pub fn trusted(&self, identity: Option<&Identity>) -> anyhow::Result<Arc<ClientConfig>> {
        self.trusted_with(identity, rustls::DEFAULT_VERSIONS)
    }

    /// The same, speaking these versions of TLS alone.
    ///
    /// # Errors
    /// Where the identity is none.
    pub fn trusted_with(
        &self,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> anyhow::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.certificate.clone())
            .context("no authority")?;
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .context("no such version")?
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = vec![identity.certificate.clone()];
                let made = builder.with_client_auth_cert(chain, identity.private());
                made.context("no identity")?
            }
        };
        Ok(Arc::new(config))
    }
}

impl Identity {
    /// The certificate in DER form.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.certificate
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }

    /// Writes `certificate.pem` and `key.pem`; returns their paths.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        replace(&certificate, &pem("CERTIFICATE", &self.certificate))?;
        replace(&key, &pem("PRIVATE KEY", &self.key.serialize_der()))?;
        Ok((certificate, key))
    }
}

/// A reader finds the old or the new file, never half of one.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
