//! The client of one thread: a request goes out on a pooled connection or a new one, after every rule was asked.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::answer::{Answer, Connections, Key};
use crate::credential::Credential;
use crate::dial::Dialer;
use crate::egress::EgressRules;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::origin::Origin;
use crate::pool::PoolLimits;
use crate::request::Outgoing;
use crate::resolve::{Names, Resolve, SystemResolver};
use crate::tls::Roots;

/// Settings of the client side.
#[derive(Clone)]
pub struct UpstreamConfig {
    /// Where connections may go.
    pub egress: EgressRules,
    /// Who may certify targets.
    pub roots: Roots,
    /// Where addresses come from.
    pub resolver: Rc<dyn Resolve>,
    /// How long a name's addresses are remembered, in milliseconds.
    pub resolved_ms_max: u64,
    /// Idle connections for one origin and credential.
    pub idle_per_origin_max: usize,
    /// Idle connections of this thread.
    pub idle_max: usize,
    /// How long a connection may be idle, in milliseconds; below what providers allow.
    pub idle_ms_max: u64,
    /// How long a connection may be used, in milliseconds, so that it follows its name.
    pub age_ms_max: u64,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            egress: EgressRules::default(),
            roots: Roots::default(),
            resolver: Rc::new(SystemResolver::default()),
            resolved_ms_max: 5_000,
            idle_per_origin_max: 256,
            idle_max: 1_024,
            idle_ms_max: 30_000,
            age_ms_max: 600_000,
        }
    }
}

/// The client of one thread. Used inside a `LocalSet`: connections are driven by local tasks.
pub struct Upstream {
    dialer: Dialer,
    idle: Rc<Connections>,
}

impl Upstream {
    /// A client without connections.
    #[must_use]
    pub fn new(config: UpstreamConfig) -> Self {
        let limits = PoolLimits {
            idle_per_key_max: config.idle_per_origin_max,
            idle_max: config.idle_max,
            idle_for: span(config.idle_ms_max),
            age: span(config.age_ms_max),
        };
        Self {
            dialer: Dialer {
                egress: config.egress,
                names: Names::new(config.resolver, span(config.resolved_ms_max)),
                tls: config.roots.connector(),
                dials: Cell::new(0),
            },
            idle: Rc::new(Connections::new(limits)),
        }
    }

    /// Sends a request and waits for the answer's headers. Dropping the future closes the connection.
    ///
    /// # Errors
    /// Rules are asked first: on an egress error about URL or credential nothing was looked up, and on any egress
    /// error nothing was connected to.
    pub async fn send(&self, outgoing: Outgoing<'_>) -> Result<Answer, UpstreamError> {
        let begun = Instant::now();
        let origin = Origin::of(outgoing.endpoint).map_err(|detail| {
            let host = outgoing.endpoint.host().unwrap_or("endpoint");
            UpstreamError::new(UpstreamErrorKind::Egress, host, detail)
        })?;
        if let Some(detail) = outgoing
            .credential
            .and_then(|credential| credential.refusal(&origin, outgoing.tenant))
        {
            let host = origin.authority();
            return Err(UpstreamError::new(UpstreamErrorKind::Egress, host, detail));
        }
        let deadline = begun + span(outgoing.headers_timeout_ms);
        let sent = Cell::new(false);
        timeout_at(deadline, self.exchange(&outgoing, &origin, &sent))
            .await
            .unwrap_or_else(|_elapsed| {
                let detail = format!("no answer within {} ms", outgoing.headers_timeout_ms);
                let host = origin.authority();
                let error = UpstreamError::new(UpstreamErrorKind::Timeout, host, detail);
                Err(error.sent(sent.get()))
            })
    }

    /// TCP connections that this client has begun.
    #[must_use]
    pub fn dials(&self) -> u64 {
        self.dialer.dials.get()
    }

    async fn exchange(
        &self,
        outgoing: &Outgoing<'_>,
        origin: &Origin,
        sent: &Cell<bool>,
    ) -> Result<Answer, UpstreamError> {
        let key = || Key {
            origin: origin.clone(),
            credential: outgoing.credential.map(Credential::shared_name),
        };
        while let Some(mut connection) = self.idle.take(&key(), Instant::now()) {
            if !connection.ready().await {
                continue;
            }
            let request = outgoing.request(origin)?;
            sent.set(true);
            match connection.send(request).await {
                Ok(response) => {
                    return Answer::new(response, connection, Rc::clone(&self.idle), key());
                }
                // The target had closed it while it was idle; a request that met only silence may be sent once more.
                Err(unanswered) if unanswered.silent => {
                    tracing::debug!(%origin, "a pooled connection was closed; trying a new one");
                    break;
                }
                Err(unanswered) => return Err(unanswered.told(origin)),
            }
        }
        sent.set(false);
        let request = outgoing.request(origin)?;
        let deadline = Instant::now() + span(outgoing.connect_timeout_ms);
        // Seldom needed, and large: boxed, so that not every request in flight keeps room for it.
        let mut connection = Box::pin(self.dialer.dial(origin, deadline)).await?;
        sent.set(true);
        match connection.send(request).await {
            Ok(response) => Answer::new(response, connection, Rc::clone(&self.idle), key()),
            Err(unanswered) => Err(unanswered.told(origin)),
        }
    }
}

/// Milliseconds as callers give them, at most a day: they may ask for more than a clock can tell.
fn span(ms: u64) -> Duration {
    const MS_MAX: u64 = 24 * 60 * 60 * 1000;
    Duration::from_millis(ms.min(MS_MAX))
}
