//! TLS of the data listener: rustls with ring, TLS 1.2 and 1.3, certificates that change without a restart.
//!
//! Promises: a pair that does not belong together, or a file that cannot be read, changes nothing and is told once;
//! connections keep what they began with.

pub(crate) mod expiry;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use pointsman_policy::config::{ClientCertificates, Tls};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::limits;

/// Why files do not serve.
#[derive(Debug, Error)]
pub(super) enum TlsError {
    /// Missing, or not ours to read.
    #[error("data.tls.{key}: cannot read {file}: {source}")]
    Unreadable {
        key: &'static str,
        file: String,
        source: std::io::Error,
    },
    /// No such thing in it.
    #[error(
        "data.tls.{key}: {file} holds no certificate; write PEM, `-----BEGIN CERTIFICATE-----`, the server's own first"
    )]
    NoCertificate { key: &'static str, file: String },
    /// No such thing in it.
    #[error(
        "data.tls.key: {file} holds no private key; write PEM without a passphrase, `-----BEGIN PRIVATE KEY-----`"
    )]
    NoKey { file: String },
    /// Not one that rustls can use, or not those of one pair.
    #[error(
        "data.tls: {certificate} and {key} are no pair that serves: {source}; is the key the one of the first certificate?"
    )]
    Pair {
        certificate: String,
        key: String,
        source: rustls::Error,
    },
    /// Nobody could be certified by it.
    #[error("data.tls.client-ca: {file} certifies nobody: {detail}")]
    Authority { file: String, detail: String },
}

/// What the files were when they were last looked at.
#[derive(PartialEq, Eq)]
enum Seen {
    Content([u8; 32]),
    Unreadable(String),
}

struct Look {
    seen: Seen,
    /// Seconds since the epoch when the one in use expires, where it says so.
    expires_s: Option<u64>,
    warned_s: Option<u64>,
}

/// The certificate in use, and the files it comes from.
pub(crate) struct Keeper {
    settings: Tls,
    http2: bool,
    current: ArcSwap<ServerConfig>,
    last: Mutex<Look>,
}

impl Keeper {
    /// Reads the files.
    ///
    /// # Errors
    /// Where they do not serve.
    pub(super) fn open(settings: &Tls, http2: bool) -> Result<Self, TlsError> {
        let files = Files::read(settings)?;
        let (config, expires_s) = files.config(settings, http2)?;
        let keeper = Self {
            settings: settings.clone(),
            http2,
            current: ArcSwap::from_pointee(config),
            last: Mutex::new(Look {
                seen: Seen::Content(files.digest()),
                expires_s,
                warned_s: None,
            }),
        };
        keeper.warn_of_expiry();
        Ok(keeper)
    }

    /// What a new connection gets.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    pub(super) fn handshake_timeout_ms(&self) -> u64 {
        self.settings.handshake_timeout_ms
    }

    /// Looks at the files and takes them where they have changed and serve. `told`: somebody asked, and is answered
    /// even if nothing has changed. Blocks for as long as reading takes.
    pub(super) fn look(&self, told: bool) {
        let files = Files::read(&self.settings);
        let seen = match &files {
            Ok(files) => Seen::Content(files.digest()),
            Err(error) => Seen::Unreadable(error.to_string()),
        };
        let changed = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let changed = last.seen != seen;
            last.seen = seen;
            changed
        };
        if changed || told {
            match files.and_then(|files| files.config(&self.settings, self.http2)) {
                Ok((config, expires_s)) => {
                    if changed {
                        self.current.store(Arc::new(config));
                        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                        (last.expires_s, last.warned_s) = (expires_s, None);
                        tracing::info!(file = %self.settings.certificate, "certificate changed; new connections get it");
                    } else {
                        tracing::info!(file = %self.settings.certificate, "certificate looked at; it has not changed");
                    }
                }
                Err(error) => {
                    tracing::error!(error = %error, "the certificate cannot be used; the last good one stays in force");
                }
            }
        }
        self.warn_of_expiry();
    }

    fn warn_of_expiry(&self) {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_s = now_s.map_or(0, |since| since.as_secs());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(expires_s) = last.expires_s else {
            return;
        };
        let repeated = last
            .warned_s
            .is_some_and(|at_s| now_s < at_s + limits::EXPIRY_REPEAT_S);
        if repeated || expires_s > now_s + limits::EXPIRY_WARNING_S {
            return;
        }
        last.warned_s = Some(now_s);
        let days_left = expires_s.saturating_sub(now_s) / (24 * 3600);
        let file = &self.settings.certificate;
        if expires_s <= now_s {
            tracing::warn!(file, "the certificate has expired; replace the file");
        } else {
            tracing::warn!(
                file,
                days_left,
                "the certificate expires soon; replace the file"
            );
        }
    }
}

struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Files {
    fn read(settings: &Tls) -> Result<Self, TlsError> {
        let read = |key: &'static str, file: &String| {
            std::fs::read(file).map_err(|source| TlsError::Unreadable {
                key,
                file: file.clone(),
                source,
            })
        };
        let client_ca = settings.client_ca.as_ref();
        Ok(Self {
            certificate: read("certificate", &settings.certificate)?,
            key: read("key", &settings.key)?,
            client_ca: client_ca.map(|file| read("client-ca", file)).transpose()?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [
            Some(&self.certificate),
            Some(&self.key),
            self.client_ca.as_ref(),
        ] {
            let part = part.map(Vec::as_slice).unwrap_or_default();
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// A configuration, and when its certificate expires.
    fn config(&self, settings: &Tls, http2: bool) -> Result<(ServerConfig, Option<u64>), TlsError> {
        let chain = certificates("certificate", &settings.certificate, &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_error| TlsError::NoKey {
            file: settings.key.clone(),
        })?;
        let expires_s = chain.first().and_then(|first| expiry::of(first));
        let pair = |source| TlsError::Pair {
            certificate: settings.certificate.clone(),
            key: settings.key.clone(),
            source,
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(pair)?;
        let builder = match self.clients(settings)? {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
        let protocols: &[&[u8]] = if http2 {
            &[b"h2", b"http/1.1"]
        } else {
            &[b"http/1.1"]
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok((config, expires_s))
    }

    /// Who says which clients are welcome; none where no certificate is asked for.
    fn clients(&self, settings: &Tls) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let (Some(file), Some(pem)) = (&settings.client_ca, &self.client_ca) else {
            return Ok(None);
        };
        let refuse = |detail: String| TlsError::Authority {
            file: file.clone(),
            detail,
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates("client-ca", file, pem)? {
            let added = roots.add(certificate);
            added.map_err(|error| refuse(error.to_string()))?;
        }
        let provider = Arc::new(default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match settings.client_certificates {
            ClientCertificates::Off => return Ok(None),
            ClientCertificates::Optional => builder.allow_unauthenticated(),
            ClientCertificates::Required => builder,
        };
        let verifier = builder.build().map_err(|error| refuse(error.to_string()))?;
        Ok(Some(verifier))
    }
}

fn certificates(
    key: &'static str,
    file: &str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = || TlsError::NoCertificate {
        key,
        file: file.to_owned(),
    };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|_error| none())?;
    if read.is_empty() {
        Err(none())
    } else {
        Ok(read)
    }
}
