//! What is sent, and which headers cross: never those of one hop, of framing, or that could carry another's secret.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use http_body_util::Full;

use crate::credential::Credential;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::origin::Origin;

/// One request to a target.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The target's base URL; its path and query are kept.
    pub endpoint: &'a Uri,
    /// Added to the endpoint's path; begins with `/`.
    pub path: &'a str,
    /// Further headers. They may replace `accept` and `content-type`; hop-by-hop and framing headers, cookies and
    /// authorization are left out.
    pub headers: Vec<(String, String)>,
    /// A JSON body.
    pub body: Bytes,
    /// The secret to send, if any.
    pub credential: Option<&'a Credential>,
    /// Whose request it is.
    pub tenant: &'a str,
    /// Milliseconds to resolve the name and make a connection.
    pub connect_timeout_ms: u64,
    /// Milliseconds from the call to the answer's headers, connecting included.
    pub headers_timeout_ms: u64,
}

/// Headers of one hop (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What the client side decides itself.
const OURS: [HeaderName; 6] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::COOKIE,
];

const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("pointsman/", env!("CARGO_PKG_VERSION")));

impl Outgoing<'_> {
    pub(crate) fn request(&self, origin: &Origin) -> Result<Request<Full<Bytes>>, UpstreamError> {
        let host = origin.authority();
        let unsendable =
            |what: String| UpstreamError::new(UpstreamErrorKind::Protocol, &host, what);
        let uri = self
            .uri()
            .ok_or_else(|| unsendable("the path is not one of a URL".to_owned()))?;
        let mut request = Request::post(uri)
            .body(Full::new(self.body.clone()))
            .map_err(|error| unsendable(error.to_string()))?;
        let headers = request.headers_mut();
        let host_value = HeaderValue::try_from(&host)
            .map_err(|_error| unsendable("the host is not one of a URL".to_owned()))?;
        headers.insert(header::HOST, host_value);
        headers.insert(header::USER_AGENT, USER_AGENT);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        let accept = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(header::ACCEPT, accept);
        // Guards read answers as they are; nothing here decodes them.
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        for (name, value) in &self.headers {
            let told = || unsendable(format!("header `{name}` cannot be sent"));
            let parsed = HeaderName::try_from(name.as_str()).map_err(|_error| told())?;
            if !HOP_BY_HOP.contains(&parsed) && !OURS.contains(&parsed) {
                let value = HeaderValue::try_from(value.as_str()).map_err(|_error| told())?;
                headers.insert(parsed, value);
            }
        }
        if let Some(credential) = self.credential {
            let (name, value) = credential
                .header()
                .ok_or_else(|| unsendable("the credential cannot be sent".to_owned()))?;
            headers.insert(name, value);
        }
        Ok(request)
    }

    /// Origin form: the endpoint's path, the added path, the endpoint's query.
    fn uri(&self) -> Option<Uri> {
        let base = self.endpoint.path().trim_end_matches('/');
        let uri = match self.endpoint.query() {
            Some(query) => format!("{base}{}?{query}", self.path),
            None => format!("{base}{}", self.path),
        };
        uri.parse()
            .ok()
            .filter(|_uri: &Uri| self.path.starts_with('/'))
    }
}

/// Removes what concerned the hop from the target to us alone.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(endpoint: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
        let endpoint: Uri = endpoint.parse().expect("a URL");
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let outgoing = Outgoing {
            endpoint: &endpoint,
            path: "/chat/completions",
            headers: headers.iter().map(owned).collect(),
            body: Bytes::from_static(b"{}"),
            credential: None,
            tenant: "acme",
            connect_timeout_ms: 1,
            headers_timeout_ms: 1,
        };
        let origin = Origin::of(&endpoint).expect("an origin");
        outgoing.request(&origin).expect("a request")
    }

    #[test]
    fn endpoints_path_and_query_are_kept() {
        let path = |endpoint| sent(endpoint, &[]).uri().to_string();
        assert_eq!(path("https://a.example/v1/"), "/v1/chat/completions");
        assert_eq!(path("https://a.example"), "/chat/completions");
        assert_eq!(
            path("https://a.example/x?api-version=1"),
            "/x/chat/completions?api-version=1"
        );
    }

    #[test]
    fn headers_of_the_hop_and_of_others_do_not_cross() {
        let headers = [
            ("connection", "x-y"),
            ("Transfer-Encoding", "chunked"),
            ("content-length", "9"),
            ("host", "evil.example"),
            ("authorization", "Bearer theirs"),
            ("cookie", "a=b"),
            ("accept-encoding", "gzip"),
            ("x-kept", "1"),
        ];
        let request = sent("https://a.example:8443/v1", &headers);
        let told = |name: &str| {
            request
                .headers()
                .get(name)
                .map(|value| value.to_str().expect("text"))
        };
        assert_eq!(told("host"), Some("a.example:8443"));
        assert_eq!(told("accept-encoding"), Some("identity"));
        assert_eq!(told("x-kept"), Some("1"));
        for name in [
            "connection",
            "transfer-encoding",
            "content-length",
            "authorization",
            "cookie",
        ] {
            assert_eq!(told(name), None, "{name}");
        }
    }

    #[test]
    fn answers_lose_what_their_connection_header_names() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "1"),
            ("retry-after", "1"),
        ] {
            let name = HeaderName::from_static(name);
            headers.insert(name, HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["retry-after"]);
    }
}
