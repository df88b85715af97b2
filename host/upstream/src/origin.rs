//! Origins: scheme, host and port, read strictly, so that no two spellings of an address mean different things here
//! and in the resolver.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use http::uri::Scheme as UriScheme;

/// Bytes of a DNS name, and of one of its labels (RFC 1035).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    Ip(IpAddr),
    /// Lower case, without a trailing dot.
    Name(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

impl Origin {
    /// The origin of an absolute URL; what is wrong with it otherwise.
    pub(crate) fn of(uri: &Uri) -> Result<Self, &'static str> {
        let scheme = match uri.scheme() {
            Some(scheme) if *scheme == UriScheme::HTTP => Scheme::Http,
            Some(scheme) if *scheme == UriScheme::HTTPS => Scheme::Https,
            Some(_) | None => return Err("the URL must begin with http:// or https://"),
        };
        let authority = uri.authority().ok_or("the URL has no host")?;
        if authority.as_str().contains('@') {
            return Err("the URL must not hold a user or password");
        }
        let host = authority.host();
        // `Authority::port` is silent about a port that is no number, so the rest is read here.
        let port = match &authority.as_str()[host.len()..] {
            "" => scheme.default_port(),
            rest => rest
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .filter(|&port| port != 0)
                .ok_or("the URL's port is not a number from 1 to 65535")?,
        };
        let host = Host::read(host)?;
        Ok(Self { scheme, host, port })
    }

    /// The value of the `host` header: without the scheme's own port.
    pub(crate) fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Scheme {
    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Host {
    fn read(host: &str) -> Result<Self, &'static str> {
        if let Some(inner) = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let ip: Ipv6Addr = inner
                .parse()
                .map_err(|_error| "the URL's host is no IPv6 address")?;
            return Ok(Self::Ip(ip.into()));
        }
        if let Ok(ip) = host.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(ip.into()));
        }
        let is_label = |label: &str| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if host.len() > NAME_BYTES_MAX || !host.split('.').all(is_label) {
            return Err("the URL's host is no DNS name");
        }
        // Resolvers read `127.1`, `0x7f000001` and `2130706433` as IPv4 addresses.
        if host.rsplit('.').next().is_some_and(is_number) {
            return Err(
                "the URL's host is an IPv4 address in a form that is not accepted; write a.b.c.d",
            );
        }
        Ok(Self::Name(host.to_ascii_lowercase()))
    }
}

fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit())
        || label
            .get(..2)
            .is_some_and(|start| start.eq_ignore_ascii_case("0x"))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str) -> Result<String, &'static str> {
        let uri = url.parse().map_err(|_error| "no URL")?;
        Origin::of(&uri).map(|origin| origin.to_string())
    }

    #[test]
    fn spellings_of_one_origin_are_one() {
        for url in ["https://API.example.com/v1", "HTTPS://api.example.com:443"] {
            assert_eq!(check(url).as_deref(), Ok("https://api.example.com"));
        }
        assert_eq!(check("http://[0:0::1]:80/").as_deref(), Ok("http://[::1]"));
        assert_eq!(
            check("http://10.0.0.1:8000").as_deref(),
            Ok("http://10.0.0.1:8000")
        );
    }

    #[test]
    fn anything_ambiguous_is_refused() {
        let refused = [
            "ftp://example.com",
            "/v1",
            "http://user@example.com",
            "http://a:b@example.com",
            "http://example.com:99999",
            "http://example.com:0",
            "http://example.com:",
            "http://127.1",
            "http://2130706433",
            "http://0x7f000001",
            "http://0x7f.1",
            "http://0177.0.0.1",
            "http://127.0.0.0x1",
            "http://example.com.",
            "http://a..b",
            "http://[::1%251]",
            "http://[127.0.0.1]",
            "http://1.2.3.256",
            "http://exa$mple.com",
            "http://999",
        ];
        for url in refused {
            assert!(check(url).is_err(), "{url}");
        }
    }
}
