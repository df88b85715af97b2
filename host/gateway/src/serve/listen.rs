//! Listening sockets: bound here, or taken over from systemd or from the process before this one.
//!
//! Promises: every socket that was taken over is accepted from, since connections may wait in its own queue.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, bail};
use listenfd::ListenFd;
use pointsman_policy::config::StaticConfig;
use socket2::{Domain, Protocol, Socket, Type};

use crate::limits;

/// Names of sockets that are handed on, as `LISTEN_FDNAMES` has them.
pub(super) const DATA: &str = "data";
pub(super) const CONTROL: &str = "control";
pub(super) const READY: &str = "ready";

/// What another process left open for this one.
#[derive(Default)]
pub(crate) struct Inherited {
    data: Vec<TcpListener>,
    control: Option<TcpListener>,
    /// Sockets that the environment did not name.
    unnamed: Vec<TcpListener>,
    /// Where the process before this one waits for the word that this one serves.
    pub(super) ready: Option<UnixStream>,
}

impl Inherited {
    /// Takes what `LISTEN_FDS` counts. To be called before there are threads, since the environment is changed.
    ///
    /// # Errors
    /// Where something else than a listening TCP socket is handed over, or too many.
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names: Vec<&str> = names.split(':').collect();
        let mut handed = ListenFd::from_env();
        if handed.len() > limits::INHERITED_MAX {
            bail!(
                "LISTEN_FDS hands over {} sockets; hand over {} at most",
                handed.len(),
                limits::INHERITED_MAX
            );
        }
        let mut inherited = Self::default();
        for index in 0..handed.len() {
            let name = names.get(index).copied().unwrap_or_default();
            let what = || format!("LISTEN_FDS: socket {index} ({name}) cannot be used");
            if name == READY {
                let (family, kind) = (Domain::UNIX.into(), Type::STREAM.into());
                let ready = handed.take_custom(index, family, kind, "unix stream socket");
                inherited.ready = ready.with_context(what)?;
                continue;
            }
            let taken = handed.take_tcp_listener(index).with_context(what)?;
            let Some(listener) = taken else { continue };
            listener.set_nonblocking(true).with_context(what)?;
            match name {
                DATA => inherited.data.push(listener),
                CONTROL => inherited.control = Some(listener),
                _ => inherited.unnamed.push(listener),
            }
        }
        Ok(inherited)
    }

    /// Whether a process before this one still runs, and waits to be told.
    pub(super) fn has_predecessor(&self) -> bool {
        self.ready.is_some()
    }
}

/// All listening sockets of the node.
pub(super) struct Listeners {
    pub(super) data: Vec<TcpListener>,
    pub(super) control: TcpListener,
}

impl Listeners {
    /// What was taken over; what was not is bound: for the data plane one a worker (SO_REUSEPORT).
    pub(super) fn open(
        config: &StaticConfig,
        inherited: Inherited,
        workers: usize,
    ) -> anyhow::Result<Self> {
        let address = |key: &str, text: &str| -> anyhow::Result<SocketAddr> {
            let parsed = text.parse();
            parsed.with_context(|| format!("{key} is not an address:port"))
        };
        let data_address = address("data.listen", &config.data.listen)?;
        let control_address = address("control.listen", &config.control.listen)?;
        let (mut data, mut control) = (inherited.data, inherited.control);
        for listener in inherited.unnamed {
            let is_control = listener.local_addr().ok() == Some(control_address);
            if is_control && control.is_none() {
                control = Some(listener);
            } else {
                data.push(listener);
            }
        }
        if data.is_empty() {
            data = bind_data(data_address, workers)?;
        } else {
            tell_if_elsewhere("data.listen", data_address, &data[0]);
        }
        let control = match control {
            Some(control) => {
                tell_if_elsewhere("control.listen", control_address, &control);
                control
            }
            None => {
                let control = TcpListener::bind(control_address);
                let control = control.with_context(|| in_use("control.listen", control_address))?;
                control
                    .set_nonblocking(true)
                    .context("cannot use the control listener")?;
                control
            }
        };
        Ok(Self { data, control })
    }

    /// The sockets that a worker accepts from. With fewer sockets than workers some are shared; with more, a worker
    /// has several.
    pub(super) fn of_worker(
        &self,
        index: usize,
        workers: usize,
    ) -> anyhow::Result<Vec<TcpListener>> {
        let sockets = self.data.len();
        let mine = (0..sockets).filter(|socket| {
            if sockets < workers {
                index % sockets == *socket
            } else {
                socket % workers == index
            }
        });
        mine.map(|socket| {
            let cloned = self.data[socket].try_clone();
            cloned.context("cannot share a data listener")
        })
        .collect()
    }

    /// All of them with their names, for the process after this one.
    pub(super) fn handed_on(&self) -> anyhow::Result<Vec<(&'static str, OwnedFd)>> {
        let mut all = Vec::new();
        for listener in &self.data {
            all.push((DATA, listener.try_clone()?.into()));
        }
        all.push((CONTROL, self.control.try_clone()?.into()));
        Ok(all)
    }
}

/// A socket that was taken over stays where it is, whatever the file says.
fn tell_if_elsewhere(key: &'static str, wanted: SocketAddr, listener: &TcpListener) {
    if let Ok(real) = listener.local_addr()
        && wanted.port() != 0
        && real != wanted
    {
        tracing::warn!(key, %wanted, %real, "the socket that was handed over is elsewhere; stop and start to move");
    }
}

fn bind_data(address: SocketAddr, workers: usize) -> anyhow::Result<Vec<TcpListener>> {
    unused(address)?;
    let first = listen(address)?;
    let address = first
        .local_addr()
        .context("cannot read the data listener's address")?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(listen(address)?);
    }
    Ok(listeners)
}

fn in_use(key: &str, address: SocketAddr) -> String {
    let variable = key.replace('.', "_").to_uppercase();
    format!(
        "cannot listen on {address}; is another process there? set {key} or POINTSMAN_{variable}"
    )
}

/// Fails where another process listens: with SO_REUSEPORT both would serve, each a share of the clients.
fn unused(address: SocketAddr) -> anyhow::Result<()> {
    let probe = || -> std::io::Result<()> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())
    };
    probe().with_context(|| in_use("data.listen", address))
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = || -> std::io::Result<TcpListener> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(limits::LISTEN_BACKLOG)?;
        Ok(socket.into())
    };
    bound().with_context(|| in_use("data.listen", address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(count: usize) -> Listeners {
        let bind = || TcpListener::bind("127.0.0.1:0").expect("a port");
        Listeners {
            data: (0..count).map(|_| bind()).collect(),
            control: bind(),
        }
    }

    #[test]
    fn every_socket_is_accepted_from_and_every_worker_accepts() {
        for sockets in 1..6 {
            for workers in 1..6 {
                let all = listeners(sockets);
                let mut seen = std::collections::BTreeSet::new();
                for worker in 0..workers {
                    let mine = all.of_worker(worker, workers).expect("clones");
                    assert!(
                        !mine.is_empty(),
                        "{sockets} sockets, worker {worker} of {workers}"
                    );
                    seen.extend(mine.iter().map(|one| one.local_addr().expect("an address")));
                }
                assert_eq!(seen.len(), sockets, "{workers} workers");
            }
        }
    }
}
