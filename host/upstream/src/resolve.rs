//! Names to addresses. Whatever is told here is judged by the egress rules before anything connects.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::limits;

/// A lookup under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + 'a>>;

/// Where addresses come from.
pub trait Resolve {
    /// The addresses of a name, in the order of trying.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

/// The operating system's resolver, on the runtime's blocking threads.
#[derive(Debug)]
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(limits::LOOKUPS_MAX)),
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        let name = name.to_owned();
        let lookups = Arc::clone(&self.lookups);
        Box::pin(async move {
            let permit = lookups.acquire_owned().await.map_err(io::Error::other)?;
            // The permit moves along: a lookup whose caller gave up still occupies its thread.
            let lookup = move || {
                let _permit = permit;
                let addresses = (name.as_str(), 0).to_socket_addrs()?;
                Ok(addresses.map(|address| address.ip()).collect())
            };
            tokio::task::spawn_blocking(lookup)
                .await
                .map_err(io::Error::other)?
        })
    }
}

/// A resolver's answers, remembered for a few seconds.
pub(crate) struct Names {
    resolver: Rc<dyn Resolve>,
    remembered_for: Duration,
    known: RefCell<HashMap<String, (Vec<IpAddr>, Instant)>>,
}

impl Names {
    pub(crate) fn new(resolver: Rc<dyn Resolve>, remembered_for: Duration) -> Self {
        Self {
            resolver,
            remembered_for,
            known: RefCell::default(),
        }
    }

    pub(crate) async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Some((addresses, until)) = self.known.borrow().get(name)
            && Instant::now() < *until
        {
            return Ok(addresses.clone());
        }
        let addresses = self.resolver.resolve(name).await?;
        let mut known = self.known.borrow_mut();
        if known.len() >= limits::NAMES_MAX {
            known.clear();
        }
        let until = Instant::now() + self.remembered_for;
        known.insert(name.to_owned(), (addresses.clone(), until));
        Ok(addresses)
    }
}
