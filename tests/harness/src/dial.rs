//! Connections as clients make them: plain or TLS, HTTP/1.1 or HTTP/2.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// How a client connects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dial {
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) http2: bool,
    /// Bytes that the server may send ahead on one HTTP/2 stream.
    pub(crate) window_bytes: Option<u32>,
}

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that takes requests.
#[derive(Debug)]
pub(crate) enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Dial {
    pub(crate) async fn connect(&self, authority: &str) -> anyhow::Result<Box<dyn Io>> {
        let stream = TcpStream::connect(authority)
            .await
            .with_context(|| format!("cannot connect to {authority}"))?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        if self.tls.is_none() {
            return Ok(Box::new(stream));
        }
        Ok(Box::new(self.secured(authority, stream).await?))
    }

    async fn secured(
        &self,
        authority: &str,
        stream: TcpStream,
    ) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let config = self.tls.as_ref().context("no TLS is asked for")?;
        let mut config = ClientConfig::clone(config);
        let protocol: &[u8] = if self.http2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        let name = ServerName::try_from(host.to_owned()).context("no server name")?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await;
        let stream = stream.context("no TLS connection")?;
        let agreed = stream.get_ref().1.alpn_protocol();
        anyhow::ensure!(agreed == Some(protocol), "the server speaks {agreed:?}");
        Ok(stream)
    }

    /// The certificate that a new connection is shown.
    pub(crate) async fn shown(&self, authority: &str) -> anyhow::Result<CertificateDer<'static>> {
        let stream = TcpStream::connect(authority)
            .await
            .context("cannot connect")?;
        let stream = self.secured(authority, stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let first = shown.and_then(<[_]>::first);
        Ok(first.context("no certificate")?.clone().into_owned())
    }

    pub(crate) async fn open(&self, authority: &str) -> anyhow::Result<(Sender, JoinHandle<()>)> {
        let io = TokioIo::new(self.connect(authority).await?);
        // How the connection ends is seen at its bodies.
        if self.http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.initial_stream_window_size(self.window_bytes);
            let (sender, connection) = builder
                .handshake(io)
                .await
                .context("no HTTP/2 connection")?;
            let connection = tokio::spawn(async move { drop(connection.await) });
            return Ok((Sender::Two(sender), connection));
        }
        let (sender, connection) = http1::handshake(io).await.context("no HTTP connection")?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        Ok((Sender::One(sender), connection))
    }
}
