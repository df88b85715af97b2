//! Load → build → serve → drain: threads, listeners and connections.
//!
//! One thread per core for the data plane, each with its own current-thread runtime, SO_REUSEPORT listener, upstream
//! pool and decision chain; control and watching on a separate multi-thread runtime.

mod connection;
mod http2;
mod listen;
mod route;
mod strict;
pub(crate) mod tls;
mod upgrade;

use std::net::TcpListener as StdListener;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::LocalSet;

use self::connection::{Door, Life, accept};
use self::listen::{Inherited, Listeners};
use self::tls::Keeper;
use self::upgrade::{Handover as _, Program};
use crate::background;
use crate::limits;
use crate::node::Node;
use crate::traces::{self, Telling};
use crate::worker::Worker;

/// Serves until a signal, then drains, or hands over to a new process.
pub(crate) fn serve(config: Option<&Path>, ready_file: Option<&Path>) -> anyhow::Result<()> {
    // Before any thread: it changes the environment.
    let inherited = Inherited::from_environment()?;
    let program = Program::of_this_process();
    let mut node = Node::open(config)?;
    node.succeeds = inherited.has_predecessor();
    run(node, inherited, &program, ready_file)
}

fn run(
    mut node: Node,
    mut inherited: Inherited,
    program: &Program,
    ready_file: Option<&Path>,
) -> anyhow::Result<()> {
    quiet_panics();
    let predecessor = inherited.ready.take();
    if predecessor.is_none()
        && let Some(path) = ready_file
    {
        // An earlier process's word must not be taken for ours.
        let _there_may_be_none = std::fs::remove_file(path);
    }
    let data = &node.config.data;
    let open = |tls| Keeper::open(tls, data.http2.enabled);
    let keeper = data.tls.as_ref().map(open).transpose()?.map(Arc::new);
    let workers = node.workers();
    let listeners = Listeners::open(&node.config, inherited, workers)?;
    let background = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the control runtime")?;
    let _spawned_there = background.enter();
    let mut signals = Signals::new(keeper.is_some())?;
    let export = traces::export(&node.config.telemetry, &node.metrics)?;
    node.telling = Telling::new(&node.config.telemetry, export.as_ref());
    let node = Arc::new(node);
    let crew = Crew::start(&node, &listeners, keeper.as_ref(), workers)?;
    node.mend_chains();
    let control = background::control(&node, &listeners.control)?;
    let (stop, stopping) = watch::channel(false);
    background::watch(&node, stopping.clone());
    if let Some(keeper) = &keeper {
        tokio::spawn(watch_certificates(Arc::clone(keeper), stopping));
    }
    node.ready.set(true);
    let word = Word::new(&listeners, keeper.is_some())?;
    tracing::info!(data = %word.data_url, control = %word.control_url, workers, "serving");
    if let Some(path) = ready_file {
        word.write(path)?;
    }
    crew.becomes(Life::Serving);
    if let Some(predecessor) = predecessor {
        upgrade::tell(predecessor);
    }
    let mut post = Post {
        node: &node,
        listeners: &listeners,
        background: &background,
        program,
        control: Some(control),
    };
    let life = post.until_the_end(&mut signals, keeper.as_ref())?;
    tracing::info!(drain_ms = node.config.data.drain_ms, "draining");
    node.ready.set(false);
    // All workers see this at once; each finishes its requests or reaches the drain bound.
    crew.becomes(life);
    let _nobody_may_listen = stop.send(true);
    if life == Life::HandedOver {
        drop(listeners);
    }
    crew.join()?;
    // The chains are sealed: the next start need not read them.
    if let Err(error) = pointsman_audit::keep_sums(&node.decisions_dir()) {
        tracing::warn!(error = %error, "sums of the decision log could not be kept; the next start makes them");
    }
    if let Some(export) = export {
        background.block_on(export.finish(Duration::from_millis(limits::TRACES_FLUSH_MS)));
    }
    background.shutdown_timeout(Duration::from_secs(2));
    tracing::info!("drained");
    Ok(())
}

/// What a process does while it serves: it waits for signals.
struct Post<'a> {
    node: &'a Arc<Node>,
    listeners: &'a Listeners,
    background: &'a Runtime,
    program: &'a Program,
    control: Option<background::Control>,
}

impl Post<'_> {
    fn until_the_end(
        &mut self,
        signals: &mut Signals,
        keeper: Option<&Arc<Keeper>>,
    ) -> anyhow::Result<Life> {
        loop {
            match self.background.block_on(signals.next()) {
                Told::Stop => return Ok(Life::Draining),
                Told::Look => {
                    if let Some(keeper) = keeper {
                        keeper.look(true);
                    }
                }
                Told::Upgrade => match self.hand_over(signals) {
                    Ok(life) => return Ok(life),
                    Err(error) => {
                        tracing::error!(error = %format!("{error:#}"), "not upgraded; this process goes on");
                        if self.control.is_none() {
                            let control = background::control(self.node, &self.listeners.control)?;
                            self.control = Some(control);
                        }
                    }
                },
            }
        }
    }

    /// Gives up what one process alone may hold, starts the next, and waits until that one serves. Nothing that
    /// operators send is lost meanwhile: it waits at the control socket for whoever serves it next.
    fn hand_over(&mut self, signals: &mut Signals) -> anyhow::Result<Life> {
        tracing::info!(program = %self.program, "upgrading: the control listener pauses");
        if let Some(control) = self.control.take() {
            self.background.block_on(control.end());
        }
        self.node
            .before_handover()
            .context("the store cannot be given up")?;
        let within = Duration::from_millis(self.node.config.data.upgrade_ms);
        let handed_over = self.background.block_on(async {
            let mut successor = upgrade::start(self.program, self.listeners)?;
            let ready = tokio::select! {
                ready = successor.ready(within) => ready,
                () = signals.stop() => {
                    successor.end();
                    return Ok(Life::Draining);
                }
            };
            match ready {
                Ok(()) => Ok(Life::HandedOver),
                Err(error) => {
                    successor.end();
                    Err(error)
                }
            }
        });
        if !matches!(handed_over, Ok(Life::HandedOver)) {
            let back = self.node.take_back();
            back.context("the store was given up and cannot be taken back; restart")?;
        }
        handed_over
    }
}

enum Told {
    Stop,
    Upgrade,
    Look,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    upgrade: Signal,
    /// SIGHUP ends a process that has no certificates to look at, as it ends any other.
    look: Option<Signal>,
}

impl Signals {
    fn new(looks: bool) -> anyhow::Result<Self> {
        let wait =
            |kind, name: &str| signal(kind).with_context(|| format!("cannot wait for {name}"));
        Ok(Self {
            terminate: wait(SignalKind::terminate(), "SIGTERM")?,
            interrupt: wait(SignalKind::interrupt(), "SIGINT")?,
            upgrade: wait(SignalKind::user_defined2(), "SIGUSR2")?,
            look: looks
                .then(|| wait(SignalKind::hangup(), "SIGHUP"))
                .transpose()?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn next(&mut self) -> Told {
        let look = async {
            match &mut self.look {
                Some(look) => look.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.upgrade.recv() => Told::Upgrade,
            _ = look => Told::Look,
        }
    }
}

/// What the ready file tells.
struct Word {
    data_url: String,
    control_url: String,
}

impl Word {
    fn new(listeners: &Listeners, secure: bool) -> anyhow::Result<Self> {
        let address = |listener: &StdListener| {
            let address = listener.local_addr();
            address.context("cannot read a listener's address")
        };
        let scheme = if secure { "https" } else { "http" };
        Ok(Self {
            data_url: format!("{scheme}://{}", address(&listeners.data[0])?),
            control_url: format!("http://{}", address(&listeners.control)?),
        })
    }

    /// At once: a reader finds the word of this process or of the one before it, never half of one.
    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let pid = std::process::id();
        let line = serde_json::json!({
            "data_url": self.data_url, "control_url": self.control_url, "pid": pid,
        });
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{pid}"));
        std::fs::write(&beside, format!("{line}\n"))
            .and_then(|()| std::fs::rename(&beside, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A panic's own words may repeat content, so the log tells its place alone.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "the gateway panicked; this is a bug");
    }));
}

async fn watch_certificates(keeper: Arc<Keeper>, mut stopping: watch::Receiver<bool>) {
    let every = Duration::from_millis(limits::CERTIFICATES_POLL_MS);
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(every) => {}
        }
        let keeper = Arc::clone(&keeper);
        // Files may lie on a slow disk. A panic there is told by the hook.
        let _looked = tokio::task::spawn_blocking(move || keeper.look(false)).await;
    }
}

/// The threads of the data plane.
struct Crew {
    life: watch::Sender<Life>,
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
}

/// How a thread tells that it could serve, or why it cannot.
type Started = mpsc::Sender<anyhow::Result<()>>;

impl Crew {
    /// Starts all; none accepts before the crew `becomes` serving, so that a start that fails has taken no connection.
    fn start(
        node: &Arc<Node>,
        listeners: &Listeners,
        keeper: Option<&Arc<Keeper>>,
        workers: usize,
    ) -> anyhow::Result<Self> {
        let (life, living) = watch::channel(Life::Starting);
        let (started, starting) = mpsc::channel();
        let mut threads = Vec::new();
        for index in 0..workers {
            let thread = WorkerThread {
                node: Arc::clone(node),
                index,
                listeners: listeners.of_worker(index, workers)?,
                keeper: keeper.cloned(),
                life: living.clone(),
            };
            let started = started.clone();
            let named = std::thread::Builder::new().name(format!("data-{index}"));
            threads.push(
                named
                    .spawn(move || thread.run(&started))
                    .context("cannot start a thread")?,
            );
        }
        drop(started);
        // Ready means that every thread serves; one that cannot ends the start.
        for _ in 0..workers {
            starting
                .recv()
                .context("a data-plane thread ended before it served")??;
        }
        Ok(Self { life, threads })
    }

    fn becomes(&self, life: Life) {
        let _no_worker_left = self.life.send(life);
    }

    fn join(self) -> anyhow::Result<()> {
        for thread in self.threads {
            match thread.join() {
                Ok(result) => result?,
                Err(_) => anyhow::bail!("a data-plane thread panicked; its requests were lost"),
            }
        }
        Ok(())
    }
}

struct WorkerThread {
    node: Arc<Node>,
    index: usize,
    listeners: Vec<StdListener>,
    keeper: Option<Arc<Keeper>>,
    life: watch::Receiver<Life>,
}

impl WorkerThread {
    fn run(self, started: &Started) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        let local = LocalSet::new();
        local.block_on(&runtime, async {
            let mut life = self.life.clone();
            let (door, listeners) = match self.begin() {
                Ok(begun) => begun,
                Err(error) => {
                    let _start_may_have_ended = started.send(Err(error));
                    return;
                }
            };
            let _start_may_have_ended = started.send(Ok(()));
            // An error: the start has failed elsewhere.
            if life.wait_for(|life| *life != Life::Starting).await.is_ok() {
                accept(door, listeners).await;
            }
        });
        Ok(())
    }

    fn begin(self) -> anyhow::Result<(Door, Vec<TcpListener>)> {
        let door = Door {
            worker: Rc::new(Worker::new(self.node, self.index)?),
            keeper: self.keeper,
            life: self.life,
            streams: http2::Room::default(),
        };
        let listeners = self.listeners.into_iter().map(TcpListener::from_std);
        let listeners: Result<Vec<_>, _> = listeners.collect();
        Ok((door, listeners.context("cannot use a listener")?))
    }
}
