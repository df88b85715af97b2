//! The fake provider as a process.

use std::process::Command;

use anyhow::Context as _;
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::paths::{binary, recordings};
use crate::process::Process;
use crate::wait::eventually;

/// A fake provider.
#[derive(Debug)]
pub struct Provider {
    /// The process.
    pub process: Process,
    /// `http://address:port`.
    pub url: String,
    client: Client,
    _folder: TempDir,
}

impl Provider {
    /// Starts one on a free port, with the recorded exchanges.
    ///
    /// # Errors
    /// Where it is not built or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let mut command = Command::new(binary("fake-provider")?);
        command
            .args(["--listen", "127.0.0.1:0", "--recordings"])
            .arg(recordings()?);
        let (process, word) = Process::start(command, folder.path()).await?;
        let url = word["url"]
            .as_str()
            .context("the ready file names no url")?
            .to_owned();
        Ok(Self {
            process,
            client: Client::new(&url),
            url,
            _folder: folder,
        })
    }

    /// What targets name as their endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{}/v1", self.url)
    }

    /// `host:port`, as egress rules name it.
    #[must_use]
    pub fn authority(&self) -> &str {
        crate::raw::authority(&self.url)
    }

    /// Sets the script.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn script(&self, script: &Value) -> anyhow::Result<()> {
        let reply = self
            .client
            .send(Method::PUT, "/_script", script.to_string().into())
            .await?;
        anyhow::ensure!(reply.status == 200, "{}", reply.text());
        Ok(())
    }

    /// The ledger, with headers and bodies of the requests.
    ///
    /// # Errors
    /// Where the provider does not answer.
    pub async fn ledger(&self) -> anyhow::Result<Value> {
        Ok(self.client.get("/_ledger?bodies=true").await?.json())
    }

    /// One of the ledger's totals.
    ///
    /// # Errors
    /// Where the provider does not answer or has no such total.
    pub async fn total(&self, name: &str) -> anyhow::Result<u64> {
        let ledger = self.client.get("/_ledger").await?.json();
        ledger["totals"][name]
            .as_u64()
            .with_context(|| format!("the ledger has no total `{name}`"))
    }

    /// Waits until a total of the ledger is so much.
    ///
    /// # Errors
    /// Where it never is.
    pub async fn reaches(&self, name: &str, value: u64) -> anyhow::Result<()> {
        let what = format!("{name} = {value} in the provider's ledger");
        eventually(&what, async || {
            self.total(name).await.is_ok_and(|total| total == value)
        })
        .await
    }

    /// Forgets the script and the ledger.
    ///
    /// # Errors
    /// Where the provider does not answer.
    pub async fn clear(&self) -> anyhow::Result<()> {
        for path in ["/_script", "/_ledger"] {
            self.client.send(Method::DELETE, path, Bytes::new()).await?;
        }
        Ok(())
    }
}
