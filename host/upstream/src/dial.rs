//! New connections: resolve, judge every address, connect to the very address that was judged, then TLS and HTTP.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::connection::{Connection, Socket};
use crate::egress::EgressRules;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::limits;
use crate::origin::{Host, Origin, Scheme};
use crate::resolve::Names;

pub(crate) struct Dialer {
    pub(crate) egress: EgressRules,
    pub(crate) names: Names,
    pub(crate) tls: TlsConnector,
    /// TCP connections that were begun.
    pub(crate) dials: Cell<u64>,
}

impl Dialer {
    /// A connection that stands before `deadline`.
    pub(crate) async fn dial(
        &self,
        origin: &Origin,
        deadline: Instant,
    ) -> Result<Connection, UpstreamError> {
        let host = origin.authority();
        timeout_at(deadline, self.connect(origin, &host, deadline))
            .await
            .unwrap_or_else(|_elapsed| {
                let detail = "no connection within the connect timeout";
                Err(UpstreamError::new(
                    UpstreamErrorKind::Timeout,
                    &host,
                    detail,
                ))
            })
    }

    async fn connect(
        &self,
        origin: &Origin,
        host: &str,
        deadline: Instant,
    ) -> Result<Connection, UpstreamError> {
        let allowed = self.allowed(origin, host).await?;
        let tcp = self.tcp(&allowed, host, deadline).await?;
        let socket = match origin.scheme {
            Scheme::Http => Socket::Plain(tcp),
            Scheme::Https => self.secure(tcp, &origin.host, host).await?,
        };
        Connection::open(socket)
            .await
            .map_err(|error| UpstreamError::from_hyper(host, &error))
    }

    /// The origin's addresses that may be connected to; none is an error that says why.
    async fn allowed(&self, origin: &Origin, host: &str) -> Result<Vec<SocketAddr>, UpstreamError> {
        let addresses: Vec<IpAddr> = match &origin.host {
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => self.names.resolve(name).await.map_err(|error| {
                let detail = format!("the name has no address: {error}");
                UpstreamError::new(UpstreamErrorKind::Connect, host, detail)
            })?,
        };
        let mut refusal = None;
        let mut allowed = Vec::new();
        for ip in addresses {
            let address = SocketAddr::new(ip, origin.port);
            match self.egress.refusal(address) {
                None => allowed.push(address),
                Some(what) => {
                    tracing::debug!(host, %address, what, "egress refuses the address");
                    refusal = Some(what);
                }
            }
        }
        match refusal {
            Some(what) if allowed.is_empty() => {
                let detail = format!("{what} is refused; egress.allow-private lists exceptions");
                Err(UpstreamError::new(UpstreamErrorKind::Egress, host, detail))
            }
            Some(_) | None => Ok(allowed),
        }
    }

    /// Tries address after address, each with its share of the time that is left.
    async fn tcp(
        &self,
        addresses: &[SocketAddr],
        host: &str,
        deadline: Instant,
    ) -> Result<TcpStream, UpstreamError> {
        let tried = addresses.len().min(limits::ADDRESSES_MAX);
        let mut last = "the name has no address".to_owned();
        for (index, address) in addresses.iter().take(tried).enumerate() {
            self.dials.set(self.dials.get() + 1);
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(tried - index).unwrap_or(1);
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    // Requests are small writes that wait for an answer; Nagle would hold them.
                    tcp.set_nodelay(true).map_err(|error| {
                        UpstreamError::new(UpstreamErrorKind::Connect, host, error.to_string())
                    })?;
                    return Ok(tcp);
                }
                Ok(Err(error)) => last = format!("no connection: {error}"),
                Err(_elapsed) => "no connection: no answer".clone_into(&mut last),
            }
        }
        Err(UpstreamError::new(UpstreamErrorKind::Connect, host, last))
    }

    async fn secure(
        &self,
        tcp: TcpStream,
        name: &Host,
        host: &str,
    ) -> Result<Socket, UpstreamError> {
        let failed = |detail: String| UpstreamError::new(UpstreamErrorKind::Tls, host, detail);
        let name = match name {
            Host::Ip(ip) => ServerName::from(*ip),
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|_error| failed("no certificate can name this host".to_owned()))?,
        };
        let stream = self
            .tls
            .connect(name, tcp)
            .await
            .map_err(|error| failed(format!("the TLS handshake failed: {error}")))?;
        Ok(Socket::Tls(Box::new(stream)))
    }
}
