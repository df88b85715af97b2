//! The socket itself: bytes as they come, and requests that no client library would send.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::wait::PATIENCE;

/// A connection.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
}

/// How reading to the end ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The peer closed.
    Closed,
    /// The connection broke.
    Broken(io::ErrorKind),
    /// Nothing further came within the time given.
    Silent,
}

/// The `host:port` of a URL.
pub(crate) fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

impl Raw {
    /// Connects to `http://host:port`.
    ///
    /// # Errors
    /// Where nobody listens.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(authority(url))
            .await
            .with_context(|| format!("cannot connect to {url}"))?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        Ok(Self { stream })
    }

    /// Connects and sends a POST with a key and a JSON body; the server closes after its answer.
    ///
    /// # Errors
    /// Where nobody listens, or the server closes early.
    pub async fn post(url: &str, path: &str, key: &str, body: &str) -> anyhow::Result<Self> {
        let mut raw = Self::connect(url).await?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            authority(url),
            body.len()
        );
        raw.write(head.as_bytes()).await?;
        raw.write(body.as_bytes()).await?;
        Ok(raw)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// Where the server has closed.
    pub async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream
            .write_all(bytes)
            .await
            .context("the server closed while it was written to")
    }

    /// Says that nothing further will be sent; answers are still read.
    ///
    /// # Errors
    /// Where the connection is closed.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        self.stream.shutdown().await.context("it is closed")
    }

    /// The bytes of one read; empty at the end.
    ///
    /// # Errors
    /// Where the connection breaks, or nothing comes in time.
    pub async fn read(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut buffer = vec![0; 16 << 10];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        let count = read
            .with_context(|| format!("nothing came within {PATIENCE:?}"))?
            .context("the connection broke")?;
        buffer.truncate(count);
        Ok(buffer)
    }

    /// Everything until the connection ends, and how it ended.
    pub async fn read_to_end(&mut self) -> (Vec<u8>, Ended) {
        self.read_until_silent(PATIENCE).await
    }

    /// Everything until the connection ends or is silent for so long.
    pub async fn read_until_silent(&mut self, silence: Duration) -> (Vec<u8>, Ended) {
        let mut all = Vec::new();
        loop {
            let before = all.len();
            let ended = match tokio::time::timeout(silence, self.stream.read_buf(&mut all)).await {
                Ok(Ok(0)) => Ended::Closed,
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => Ended::Broken(error.kind()),
                Err(_) => Ended::Silent,
            };
            debug_assert_eq!(before, all.len());
            return (all, ended);
        }
    }
}
