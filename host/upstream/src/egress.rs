//! Where connections may go: every public address, and of the rest what the operator lists.
//! Addresses are judged after resolution, and the connection is made to the very address that was judged.

mod address;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use thiserror::Error;

/// The operator's rules. Clones share them; the default allows public addresses alone.
#[derive(Clone, Debug, Default)]
pub struct EgressRules {
    allowed: Arc<[Allowed]>,
}

/// An entry that is no rule.
#[derive(Debug, Error)]
pub enum EgressRuleError {
    /// Neither form.
    #[error("`{0}` is no address to allow; write ip:port, or a network such as 10.1.0.0/16")]
    Form(String),
    /// A network whose address says more than its prefix.
    #[error("`{0}` has address bits beyond its prefix; write the network's first address")]
    HostBits(String),
}

#[derive(Clone, Copy, Debug)]
enum Allowed {
    Socket(IpAddr, u16),
    Network(IpAddr, u8),
}

impl EgressRules {
    /// Rules that allow these otherwise refused addresses: `ip:port` (`[ip]:port`), or networks (`ip/prefix`, every
    /// port).
    ///
    /// # Errors
    /// The first entry that is neither.
    pub fn new<'a>(
        allow_private: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, EgressRuleError> {
        let allowed = allow_private
            .into_iter()
            .map(read)
            .collect::<Result<_, _>>()?;
        Ok(Self { allowed })
    }

    /// Why a connection to the address is refused, if it is: the class of the address.
    #[must_use]
    pub fn refusal(&self, address: SocketAddr) -> Option<&'static str> {
        let listed = |allowed: &Allowed| match *allowed {
            Allowed::Socket(ip, port) => ip == address.ip() && port == address.port(),
            Allowed::Network(network, prefix) => address::is_within(address.ip(), network, prefix),
        };
        address::not_public(address.ip()).filter(|_class| !self.allowed.iter().any(listed))
    }
}

fn read(entry: &str) -> Result<Allowed, EgressRuleError> {
    let form = || EgressRuleError::Form(entry.to_owned());
    if let Some((ip, prefix)) = entry.split_once('/') {
        let ip: IpAddr = ip.parse().map_err(|_error| form())?;
        let prefix: u8 = prefix.parse().map_err(|_error| form())?;
        if prefix > address::bits(ip) {
            return Err(form());
        }
        if !address::is_first(ip, prefix) {
            return Err(EgressRuleError::HostBits(entry.to_owned()));
        }
        return Ok(Allowed::Network(ip, prefix));
    }
    let socket: SocketAddr = entry.parse().map_err(|_error| form())?;
    let scoped = matches!(socket, SocketAddr::V6(v6) if v6.scope_id() != 0);
    if socket.port() == 0 || scoped {
        return Err(form());
    }
    Ok(Allowed::Socket(socket.ip(), socket.port()))
}
