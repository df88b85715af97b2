//! Requests that two parties may read differently are refused: one reading, or none.
//!
//! hyper and `h2` have refused by now what no request can be (two lengths, folded or nameless headers, a bare CR,
//! broken chunks, malformed pseudo-headers), and of a length beside chunks hyper reads the chunks and closes the
//! connection, as RFC 9112 6.3 asks.

use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Uri, Version};
use pointsman_domain::{ErrorKind, GatewayError};

/// Passes a request that has one meaning.
pub(super) fn check(parts: &Parts) -> Result<(), GatewayError> {
    if [Method::CONNECT, Method::TRACE].contains(&parts.method) {
        let message = format!("{} is not served; this is no proxy", parts.method);
        return Err(GatewayError::new(ErrorKind::MethodNotAllowed, message));
    }
    target(&parts.uri)?;
    host(parts)?;
    let codings: Vec<_> = parts
        .headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .collect();
    let is_chunked = |value: &&http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.len() > 1 || !codings.iter().all(is_chunked) {
        return Err(bad(
            header::TRANSFER_ENCODING,
            "must be `chunked`, once, or left out",
        ));
    }
    let mut expected = parts.headers.get_all(header::EXPECT).iter();
    if !expected.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        let mut error = bad(header::EXPECT, "must be `100-continue` or left out");
        error.status = Some(417);
        return Err(error);
    }
    Ok(())
}

fn bad(name: HeaderName, problem: &str) -> GatewayError {
    let message = format!("the header `{name}` {problem}");
    GatewayError::new(ErrorKind::InvalidField, message).with_param(name.as_str())
}

/// Absolute form is for `http` and `https` alone, and names nobody.
fn target(uri: &Uri) -> Result<(), GatewayError> {
    let known = uri
        .scheme()
        .is_none_or(|scheme| ["http", "https"].contains(&scheme.as_str()));
    let plain = uri.authority().is_none_or(is_plain);
    if known && plain {
        return Ok(());
    }
    let message = "the request target must be a path, or `http://host/path`";
    Err(GatewayError::new(ErrorKind::InvalidField, message))
}

/// Exactly one host is meant.
fn host(parts: &Parts) -> Result<(), GatewayError> {
    let told = one_host(&parts.headers)?;
    match (told, parts.uri.authority()) {
        (Some(told), Some(target)) if !is_same(&told, target) => Err(bad(
            header::HOST,
            "is another than the one of the request target",
        )),
        // HTTP/1.0 has no such header.
        (None, None) if parts.version > Version::HTTP_10 => Err(bad(header::HOST, "is missing")),
        // HTTP/1.1 asks for it even where the target says it.
        (None, Some(_)) if parts.version == Version::HTTP_11 => {
            Err(bad(header::HOST, "is missing"))
        }
        _ => Ok(()),
    }
}

fn one_host(headers: &HeaderMap) -> Result<Option<Authority>, GatewayError> {
    let mut told = headers.get_all(header::HOST).iter();
    let Some(first) = told.next() else {
        return Ok(None);
    };
    if told.next().is_some() {
        return Err(bad(header::HOST, "is there twice"));
    }
    Authority::try_from(first.as_bytes())
        .ok()
        .filter(is_plain)
        .map(Some)
        .ok_or_else(|| bad(header::HOST, "is no `host` or `host:port`"))
}

fn is_plain(authority: &Authority) -> bool {
    !authority.as_str().contains('@') && !authority.host().is_empty()
}

/// By name, and by port where both tell one: which port is meant by none depends on the scheme alone.
fn is_same(one: &Authority, other: &Authority) -> bool {
    let ports = one.port_u16().zip(other.port_u16());
    one.host().eq_ignore_ascii_case(other.host()) && ports.is_none_or(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(version: Version, target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::post(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn passes(version: Version, target: &str, headers: &[(&str, &str)]) -> bool {
        check(&parts(version, target, headers)).is_ok()
    }

    #[test]
    fn one_host_is_meant_or_none() {
        use Version as V;
        for (version, target, hosts, fine) in [
            (V::HTTP_11, "/v1", &["a.example"][..], true),
            (V::HTTP_11, "/v1", &["[::1]:8080"], true),
            (V::HTTP_11, "/v1", &[], false),
            (V::HTTP_11, "/v1", &[""], false),
            (V::HTTP_11, "/v1", &["a b"], false),
            (V::HTTP_11, "/v1", &["a/b"], false),
            (V::HTTP_11, "/v1", &["u@a.example"], false),
            (V::HTTP_11, "/v1", &["a.example", "a.example"], false),
            (V::HTTP_11, "http://a.example/v1", &["A.example"], true),
            (V::HTTP_11, "http://a.example/v1", &["a.example:80"], true),
            (V::HTTP_11, "http://a.example/v1", &["b.example"], false),
            (V::HTTP_11, "http://a.example:1/v1", &["a.example:2"], false),
            (V::HTTP_11, "http://a.example/v1", &[], false),
            (V::HTTP_11, "ftp://a.example/v1", &["a.example"], false),
            (V::HTTP_11, "http://u:p@a.example/v1", &["a.example"], false),
            (V::HTTP_10, "/v1", &[], true),
            (V::HTTP_2, "http://a.example/v1", &[], true),
            (V::HTTP_2, "/v1", &["a.example"], true),
            (V::HTTP_2, "/v1", &[], false),
            (V::HTTP_2, "http://a.example/v1", &["b.example"], false),
        ] {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert_eq!(
                passes(version, target, &headers),
                fine,
                "{version:?} {target} {hosts:?}"
            );
        }
    }

    #[test]
    fn one_framing_is_meant_and_no_unknown_expectation() {
        let with = |more: &[(&str, &str)]| {
            let headers = [&[("host", "a")], more].concat();
            check(&parts(Version::HTTP_11, "/v1", &headers)).map_err(|error| error.http_status())
        };
        assert_eq!(with(&[("transfer-encoding", "Chunked")]), Ok(()));
        assert_eq!(with(&[("transfer-encoding", "gzip, chunked")]), Err(400));
        let twice = [
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked"),
        ];
        assert_eq!(with(&twice), Err(400));
        assert_eq!(with(&[("expect", "100-Continue")]), Ok(()));
        assert_eq!(with(&[("expect", "200-ok")]), Err(417));
    }
}
