//! Endpoints and origins of targets and credentials. Compares what a credential may be sent to; resolves nothing.

use std::fmt;

/// `scheme://host:port` in lower case with the port always there, so that equal origins are equal values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    scheme: &'static str,
    host: String,
    port: u16,
}

/// Why a text is no endpoint or origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Not `http://` or `https://`.
    #[error("not an http or https URL: write `https://host/path` or `http://host:port/path`")]
    Scheme,
    /// Not a URL at all.
    #[error("not a URL: write `https://host/path`")]
    Malformed,
    /// Credentials belong in `[[credential]]`.
    #[error("user or password in a URL would be logged: define a [[credential]] and name it here")]
    UserInfo,
    /// Paths are joined to it.
    #[error("a query or fragment has no meaning here: cut the URL before `?` or `#`")]
    Query,
    /// An origin has no path.
    #[error("an origin is `scheme://host:port` without a path")]
    Path,
}

impl Origin {
    /// The origin of an endpoint such as `https://api.openai.com/v1`.
    ///
    /// # Errors
    /// When it is no absolute http(s) URL, or holds user info, a query or a fragment.
    pub fn of_endpoint(endpoint: &str) -> Result<Self, OriginError> {
        Self::split(endpoint).map(|(origin, _)| origin)
    }

    /// An origin as credentials name them: `https://api.openai.com`.
    ///
    /// # Errors
    /// As `of_endpoint`, and when there is a path.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        match Self::split(text)? {
            (origin, "" | "/") => Ok(origin),
            _ => Err(OriginError::Path),
        }
    }

    /// Whether secrets sent there cross no network: `localhost` or a loopback address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host
                .parse()
                .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }

    /// Whether the transport is TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    fn split(text: &str) -> Result<(Self, &str), OriginError> {
        let (scheme, rest) = text.split_once("://").ok_or(OriginError::Scheme)?;
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => ("http", 80),
            "https" => ("https", 443),
            _ => return Err(OriginError::Scheme),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(OriginError::UserInfo);
        }
        if path.contains(['?', '#']) {
            return Err(OriginError::Query);
        }
        let strange = |c: char| {
            !c.is_ascii_graphic()
                || matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
        };
        if path.contains(strange) {
            return Err(OriginError::Malformed);
        }
        let (host, port) = host_and_port(authority).ok_or(OriginError::Malformed)?;
        let origin = Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(default_port),
        };
        Ok((origin, path))
    }
}

fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']')? + 1;
        authority[1..end - 1].parse::<std::net::Ipv6Addr>().ok()?;
        authority.split_at(end)
    } else {
        let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || host.len() > 253 || !host.chars().all(named) {
            return None;
        }
        (host, port)
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, None)),
        None => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((host, Some(digits.parse().ok().filter(|port| *port > 0)?)))
        }
        Some(_) => None,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, OriginError};

    #[test]
    fn equal_origins_are_equal_however_they_are_written() {
        let endpoint = Origin::of_endpoint("HTTPS://API.example.com/v1").expect("an endpoint");
        assert_eq!(
            endpoint,
            Origin::parse("https://api.example.com:443").expect("an origin")
        );
        assert_eq!(
            endpoint,
            Origin::parse("https://api.example.com/").expect("an origin")
        );
        assert_eq!(endpoint.to_string(), "https://api.example.com:443");
        assert_ne!(
            endpoint,
            Origin::parse("http://api.example.com:443").expect("an origin")
        );
    }

    #[track_caller]
    fn refused(text: &str, error: &OriginError) {
        assert_eq!(Origin::parse(text).as_ref(), Err(error), "{text}");
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        refused("api.example.com", &OriginError::Scheme);
        refused("ftp://a", &OriginError::Scheme);
        refused("https://", &OriginError::Malformed);
        refused("https://a b", &OriginError::Malformed);
        refused("https://a:0", &OriginError::Malformed);
        refused("https://a:99999", &OriginError::Malformed);
        refused("https://a:+80", &OriginError::Malformed);
        refused("https://[::1", &OriginError::Malformed);
        refused("https://me:secret@a", &OriginError::UserInfo);
        refused("https://a/v1", &OriginError::Path);
        refused("https://a?x=1", &OriginError::Query);
    }

    #[test]
    fn loopback_is_told_from_the_network() {
        for text in [
            "http://127.0.0.1:8090",
            "http://localhost:1",
            "http://[::1]:8090",
        ] {
            assert!(
                Origin::parse(text).expect("an origin").is_loopback(),
                "{text}"
            );
        }
        assert!(
            !Origin::parse("http://10.0.0.1")
                .expect("an origin")
                .is_loopback()
        );
    }
}
