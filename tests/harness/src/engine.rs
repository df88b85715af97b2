//! The engine as a process.

use std::process::Command;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::client::Client;
use crate::paths::{binary, model};
use crate::process::Process;

/// How to start an engine.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Where it listens; absent: a free port. A restart at the same place names the address of the first.
    pub listen: Option<String>,
}

/// An engine with the small model.
#[derive(Debug)]
pub struct Engine {
    /// The process.
    pub process: Process,
    /// `http://address:port`.
    pub url: String,
    _folder: TempDir,
}

impl Engine {
    /// Starts one; ready means that the model is loaded.
    ///
    /// # Errors
    /// Where it is not built, the model is missing, or it does not start.
    pub async fn start(options: EngineOptions) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let mut command = Command::new(binary("pointsman-engine")?);
        command.arg("--model").arg(model()?);
        command.args(["--name", "smollm2-135m-instruct"]);
        command.args([
            "--listen",
            options.listen.as_deref().unwrap_or("127.0.0.1:0"),
        ]);
        command.args(&options.arguments);
        let (process, word) = Process::start(command, folder.path()).await?;
        let url = word["url"]
            .as_str()
            .context("the ready file names no url")?
            .to_owned();
        Ok(Self {
            process,
            url,
            _folder: folder,
        })
    }

    /// What targets name as their endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{}/v1", self.url)
    }

    /// `host:port`.
    #[must_use]
    pub fn authority(&self) -> &str {
        crate::raw::authority(&self.url)
    }

    /// Speaks to it directly.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }
}
