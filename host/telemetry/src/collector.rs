//! The HTTP client that batches of spans leave by: one connection to one collector, kept while it holds.
//!
//! Ours, so that neither tonic nor reqwest comes in; OTLP's own exporter hands over whole requests.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

/// How long a batch may take, its connection and its answer included.
pub(crate) const EXPORT_MS_MAX: u64 = 10_000;
/// Bytes of a collector's answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

type Sender = SendRequest<Full<Bytes>>;

/// One collector.
pub(crate) struct Collector {
    tls: Option<TlsConnector>,
    /// The connection of the last batch. Batches leave one after another.
    held: Mutex<Option<Sender>>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

impl Collector {
    /// Speaks TLS where the address is `https`, to what the public roots certify.
    pub(crate) fn new(address: &Uri) -> Self {
        let tls = (address.scheme_str() == Some("https")).then(connector);
        Self {
            tls,
            held: Mutex::new(None),
        }
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (address, request) = origin_form(request)?;
        let mut held = self.held.lock().await;
        let kept = held.take().filter(|sender| !sender.is_closed());
        let is_kept = kept.is_some();
        let sender = match kept {
            Some(sender) => sender,
            None => self.connect(&address).await?,
        };
        let sent = exchange(sender, request.clone()).await;
        let (response, sender) = match sent {
            // A collector may have closed a connection that lay idle, before it read a byte.
            Err(_) if is_kept => exchange(self.connect(&address).await?, request).await?,
            sent => sent?,
        };
        *held = Some(sender);
        Ok(response)
    }

    async fn connect(&self, address: &Uri) -> Result<Sender, HttpError> {
        let host = address
            .host()
            .ok_or("the collector's address has no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let default = if self.tls.is_some() { 443 } else { 80 };
        let port = address.port_u16().unwrap_or(default);
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => begin(TokioIo::new(stream)).await,
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned())?;
                begin(TokioIo::new(tls.connect(name, stream).await?)).await
            }
        }
    }
}

async fn begin(stream: impl Read + Write + Unpin + Send + 'static) -> Result<Sender, HttpError> {
    let (sender, connection) = handshake(stream).await?;
    tokio::spawn(async move {
        // How it ends is seen at its next request.
        let _ended = connection.await;
    });
    Ok(sender)
}

async fn exchange(
    mut sender: Sender,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Bytes>, Sender), HttpError> {
    sender.ready().await?;
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
    Ok((Response::from_parts(parts, body.to_bytes()), sender))
}

/// The path alone in the request line, the host in its header.
fn origin_form(request: Request<Bytes>) -> Result<(Uri, Request<Full<Bytes>>), HttpError> {
    let (mut parts, body) = request.into_parts();
    let address = parts.uri.clone();
    let authority = address
        .authority()
        .ok_or("the collector's address has no host")?;
    let host = HeaderValue::from_str(authority.as_str())?;
    parts.headers.insert(header::HOST, host);
    let path = address.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse()?;
    Ok((address, Request::from_parts(parts, Full::new(body))))
}

fn connector() -> TlsConnector {
    let roots: rustls::RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// As `async-trait` writes it out.
impl HttpClient for Collector {
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let within = Duration::from_millis(EXPORT_MS_MAX);
        Box::pin(async move {
            tokio::time::timeout(within, self.send(request))
                .await
                .map_err(|_elapsed| format!("no answer within {EXPORT_MS_MAX} ms"))?
        })
    }
}
