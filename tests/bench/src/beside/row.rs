//! What is compared: one row a gateway, each with a provider of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use pointsman_harness::Gateway;
use tokio::net::TcpListener;

use super::cpu::{Clock, ours_s};
use super::nginx::Nginx;
use super::pointsman::{self, Policy, Recorded};
use super::turn::{Figure, Figures};
use crate::load::{Load, Mode, run};
use crate::upstream::{Pace, serve};

/// Until a process that has just started has settled.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the first answer may take.
const START_WAIT: Duration = Duration::from_secs(60);

enum Server {
    /// The provider itself: no gateway.
    None,
    Nginx(Nginx),
    Pointsman(Box<Gateway>),
}

/// One gateway.
pub struct Row {
    /// What it is called.
    pub name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) headers: Vec<(String, String)>,
    pub(super) provider: Arc<Pace>,
    server: Server,
    clock: Clock,
    /// Requests that were not answered as they should be.
    pub failed: u64,
    /// What was measured, a value a round.
    pub figures: Figures,
}

impl Row {
    /// Of all its processes, in nanoseconds; 0 without a gateway.
    pub(super) fn cpu_ns(&mut self) -> anyhow::Result<u64> {
        let pids = self.pids()?;
        self.clock.look(&pids)
    }

    fn pids(&self) -> anyhow::Result<Vec<u32>> {
        match &self.server {
            Server::None => Ok(Vec::new()),
            Server::Nginx(nginx) => nginx.pids(),
            Server::Pointsman(gateway) => Ok(vec![gateway.process.id()]),
        }
    }

    /// Requests that have reached its provider.
    #[must_use]
    pub fn provided(&self) -> u64 {
        self.provider.requests()
    }

    /// Whether it is Pointsman.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self.server, Server::Pointsman(_))
    }

    /// Resident memory in MiB; none where it is not Pointsman.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn resident_mib(&self) -> anyhow::Result<Option<f64>> {
        match &self.server {
            Server::Pointsman(gateway) => {
                let bytes = gateway.process.resident_bytes()?;
                Ok(Some(bytes as f64 / f64::from(1 << 20)))
            }
            Server::None | Server::Nginx(_) => Ok(None),
        }
    }

    /// Ends it in order and starts it again, so many times: from the start of the process to the first answer, with
    /// plugins that are compiled; then what is resident when it idles. Does nothing where it is not Pointsman.
    ///
    /// # Errors
    /// Where it does not come back.
    pub async fn restart(&mut self, times: u32, body: &Bytes) -> anyhow::Result<()> {
        let load = self.load(Mode::Once { wait: START_WAIT }, body, 1, Duration::ZERO);
        let Server::Pointsman(gateway) = &mut self.server else {
            return Ok(());
        };
        for _ in 0..times {
            gateway.drain().await?;
            let began = Instant::now();
            let served = async {
                let told = run(load.clone()).await?;
                anyhow::Ok((told["ok"] == true, began.elapsed()))
            };
            let (restarted, served) = tokio::join!(gateway.restart(), served);
            restarted?;
            let (ok, within) = served?;
            ensure!(ok, "{} does not answer after its start", self.name);
            self.figures
                .note(Figure::StartMs, within.as_secs_f64() * 1000.0);
        }
        tokio::time::sleep(SETTLE).await;
        if let Some(mib) = self.resident_mib()? {
            self.figures.note(Figure::IdleMib, mib);
        }
        Ok(())
    }

    pub(super) fn load(
        &self,
        mode: Mode,
        body: &Bytes,
        connections: u32,
        measured: Duration,
    ) -> Load {
        Load {
            mode,
            address: self.address,
            path: "/v1/chat/completions".to_owned(),
            headers: self.headers.clone(),
            body: body.clone(),
            connections,
            measured,
            warm_up: Duration::ZERO,
        }
    }

    /// Ends it in order; what its decision log holds, where it is Pointsman.
    ///
    /// # Errors
    /// Where it does not end, or its log cannot be read.
    pub async fn recorded(&mut self) -> anyhow::Result<Option<Recorded>> {
        match &mut self.server {
            Server::Pointsman(gateway) => Ok(Some(pointsman::recorded(gateway).await?)),
            Server::None | Server::Nginx(_) => Ok(None),
        }
    }
}

/// All rows.
pub struct Rows(pub Vec<Row>);

impl Rows {
    /// Starts the provider alone, nginx, and the gateway under the policies that are `wanted` by name (`plain`, `fresh`,
    /// `pooled`); `program`: the build of it, where it is not the one beside this program; `other`: a second build, under
    /// the plain policy. Inside a `LocalSet`.
    ///
    /// # Errors
    /// Where one does not start.
    pub async fn start(
        wanted: &[String],
        program: Option<&Path>,
        other: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let mut rows = Self(Vec::new());
        let (provider, at) = provider().await?;
        rows.push("direct", at, provider, Server::None);
        let (provider, at) = self::provider().await?;
        let listen = free().await?;
        let nginx = Server::Nginx(Nginx::start(listen, at)?);
        rows.push("nginx", listen, provider, nginx);
        for (name, policy) in [
            ("plain", Policy::Plain),
            ("fresh", Policy::Fresh),
            ("pooled", Policy::Pooled),
        ] {
            if wanted.iter().any(|wanted| wanted == name) {
                rows.gateway(name, policy, program).await?;
            }
        }
        if let Some(other) = other {
            rows.gateway("other", Policy::Plain, Some(other)).await?;
        }
        Ok(rows)
    }

    async fn gateway(
        &mut self,
        name: &'static str,
        policy: Policy,
        program: Option<&Path>,
    ) -> anyhow::Result<()> {
        let (provider, at) = provider().await?;
        let listen = free().await?;
        let gateway = pointsman::start(policy, listen, at, program.map(Path::to_owned))
            .await
            .with_context(|| format!("cannot start {name}"))?;
        let bearer = format!("Bearer {}", gateway.key("demo")?);
        self.push(name, listen, provider, Server::Pointsman(Box::new(gateway)));
        if let Some(row) = self.0.last_mut() {
            row.headers.push(("authorization".to_owned(), bearer));
        }
        Ok(())
    }

    fn push(
        &mut self,
        name: &'static str,
        address: SocketAddr,
        provider: Arc<Pace>,
        server: Server,
    ) {
        self.0.push(Row {
            name,
            address,
            headers: Vec::new(),
            provider,
            server,
            clock: Clock::default(),
            failed: 0,
            figures: Figures::default(),
        });
    }

    /// The row of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Row> {
        self.0.iter().find(|row| row.name == name)
    }

    /// Seconds of CPU that this process and all gateways have used.
    ///
    /// # Errors
    /// Where one has ended.
    pub fn cpu_s(&self) -> anyhow::Result<f64> {
        let mut pids = Vec::new();
        for row in &self.0 {
            pids.extend(row.pids()?);
        }
        ours_s(&pids)
    }
}

/// A provider on a free port.
async fn provider() -> anyhow::Result<(Arc<Pace>, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("cannot listen")?;
    let address = listener.local_addr().context("no address")?;
    let pace = Arc::new(Pace::new(0, 0, 0));
    tokio::task::spawn_local(serve(listener, Arc::clone(&pace)));
    Ok((pace, address))
}

/// A port that was free a moment ago: a gateway that starts again stays where it was.
async fn free() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("cannot listen")?;
    listener.local_addr().context("no address")
}
