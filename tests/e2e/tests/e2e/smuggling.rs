//! Requests that two parties may read differently: one reading, or none; never two requests out of one, never our fault.

use std::time::Duration;

use pointsman_e2e::{says, serving};
use pointsman_harness::{Ended, Gateway, Provider, Raw};
use serde_json::json;

const BODY: &str = r#"{"model":"auto","messages":[{"role":"user","content":"x"}]}"#;
/// What must never be read as a request of its own.
const HIDDEN: &str = "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n";

/// Sends bytes; what comes back, and whether the server then closes.
async fn exchange(gateway: &Gateway, bytes: &[u8]) -> anyhow::Result<(String, Ended)> {
    let mut raw = Raw::connect(&gateway.data_url).await?;
    // A server that has read enough may close while it is written to.
    let _may_be_cut = raw.write(bytes).await;
    let (told, ended) = raw.read_until_silent(Duration::from_secs(2)).await;
    Ok((String::from_utf8_lossy(&told).into_owned(), ended))
}

/// A request whose head has these further lines; `KEY` stands for a good key.
fn request(line: &str, more: &str, body: &str) -> String {
    format!("{line}\r\nHost: x\r\nAuthorization: Bearer KEY\r\n{more}\r\n{body}")
}

fn statuses(told: &str) -> Vec<u16> {
    let mut found = Vec::new();
    for part in told.split("HTTP/1.").skip(1) {
        let status = part.get(2..5).and_then(|digits| digits.parse::<u16>().ok());
        found.extend(status.filter(|status| *status != 100));
    }
    found
}

struct Case {
    what: &'static str,
    bytes: String,
    /// The one status; 0: any refusal, or an end without one.
    status: u16,
}

fn case(what: &'static str, status: u16, bytes: String) -> Case {
    Case {
        what,
        bytes,
        status,
    }
}

const POST: &str = "POST /v1/chat/completions HTTP/1.1";

fn of_length(more: &str) -> String {
    request(
        POST,
        &format!("Content-Length: {}\r\n{more}", BODY.len()),
        BODY,
    )
}

fn chunked(more: &str, body: &str) -> String {
    request(POST, &format!("Transfer-Encoding: chunked\r\n{more}"), body)
}

/// Each of them ends its connection.
fn refused() -> Vec<Case> {
    let length = BODY.len();
    let chunk = format!("{length:x}\r\n{BODY}\r\n0\r\n\r\n");
    let bare = |text: String| text.replace("\r\n", "\n");
    vec![
        case("two lengths", 400, of_length("Content-Length: 3\r\n")),
        case(
            "a list of lengths",
            400,
            request(
                POST,
                &format!("Content-Length: {length}, {length}\r\n"),
                BODY,
            ),
        ),
        case(
            "a length with a sign",
            400,
            request(POST, &format!("Content-Length: +{length}\r\n"), BODY),
        ),
        case(
            "a negative length",
            400,
            request(POST, "Content-Length: -1\r\n", BODY),
        ),
        case(
            "a length of 2^64",
            400,
            request(POST, "Content-Length: 18446744073709551616\r\n", BODY),
        ),
        case(
            "a length in hex",
            400,
            request(POST, &format!("Content-Length: 0x{length:x}\r\n"), BODY),
        ),
        case(
            "a coding that is not chunked",
            400,
            request(POST, "Transfer-Encoding: identity\r\n", HIDDEN),
        ),
        case(
            "a coding before chunked",
            400,
            chunked("", &chunk).replace("chunked", "gzip, chunked"),
        ),
        case(
            "chunked twice",
            400,
            chunked("Transfer-Encoding: chunked\r\n", &chunk),
        ),
        case(
            "chunked that is none",
            400,
            chunked("", &chunk).replace("chunked", "xchunked"),
        ),
        case(
            "chunked in HTTP/1.0",
            400,
            chunked("", &chunk).replace("HTTP/1.1", "HTTP/1.0"),
        ),
        case("a folded header", 400, of_length("X-A: b\r\n c\r\n")),
        case(
            "a folded length",
            400,
            request(POST, &format!("Content-Length:\r\n {length}\r\n"), BODY),
        ),
        case(
            "a space before the colon",
            400,
            request(POST, &format!("Content-Length : {length}\r\n"), BODY),
        ),
        case(
            "a space before a name",
            400,
            of_length("X-A: b\r\n").replace("X-A", " X-A"),
        ),
        case("a space in a name", 400, of_length("X A: b\r\n")),
        case("no name", 400, of_length(": b\r\n")),
        case("a line without a colon", 400, of_length("X-A\r\n")),
        case("a zero in a value", 400, of_length("X-A: b\0c\r\n")),
        case("a bare CR in a value", 400, of_length("X-A: b\rX-C: d\r\n")),
        case(
            "no version",
            400,
            request("POST /v1/chat/completions", "", BODY),
        ),
        case(
            "a version of tomorrow",
            400,
            request("POST /v1/chat/completions HTTP/1.9", "", BODY),
        ),
        case(
            "two spaces in the request line",
            400,
            request("POST  /v1/chat/completions HTTP/1.1", "", BODY),
        ),
        case(
            "a space in the target",
            400,
            request("POST /v1/chat completions HTTP/1.1", "", BODY),
        ),
        case("no host", 400, of_length("").replace("Host: x\r\n", "")),
        case("two hosts", 400, of_length("Host: x\r\n")),
        case("two other hosts", 400, of_length("Host: y\r\n")),
        case(
            "an empty host",
            400,
            of_length("").replace("Host: x", "Host: "),
        ),
        case(
            "a host that is a path",
            400,
            of_length("").replace("Host: x", "Host: x/y"),
        ),
        case(
            "a host with a name of somebody",
            400,
            of_length("").replace("Host: x", "Host: me@x"),
        ),
        case(
            "another host in the target",
            400,
            of_length("").replace(" /v1", " http://y/v1"),
        ),
        case(
            "another scheme in the target",
            400,
            of_length("").replace(" /v1", " gopher://x/v1"),
        ),
        case(
            "an expectation nobody knows",
            417,
            of_length("Expect: 200-ok\r\n"),
        ),
        case(
            "CONNECT",
            405,
            format!("CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n{HIDDEN}"),
        ),
        case(
            "TRACE",
            405,
            request("TRACE /v1/models HTTP/1.1", "", HIDDEN),
        ),
        case(
            "a target over its bound",
            414,
            request(&format!("GET /{} HTTP/1.1", "a".repeat(70_000)), "", ""),
        ),
        case(
            "a line that never ends",
            0,
            format!("GET /{}", "a".repeat(400_000)),
        ),
        case(
            "a header that never ends",
            431,
            format!("{POST}\r\nHost: x\r\nX-A: {}", "a".repeat(400_000)),
        ),
        case(
            "headers without end",
            431,
            format!("{POST}\r\n{}", "X-A: b\r\n".repeat(40_000)),
        ),
        case(
            "a chunk size with a sign",
            0,
            chunked("", &format!("+{chunk}")),
        ),
        case(
            "a chunk size in decimal with letters",
            0,
            chunked("", &format!("{length}z\r\n{BODY}\r\n0\r\n\r\n")),
        ),
        case(
            "a chunk size of 2^68",
            0,
            chunked("", &format!("fffffffffffffffff\r\n{BODY}")),
        ),
        case(
            "a chunk that is longer than it says",
            0,
            chunked("", &format!("5\r\n{BODY}\r\n0\r\n\r\n")),
        ),
        case(
            "a chunk that ends in a bare LF",
            0,
            chunked("", &chunk.replacen("\r\n", "\n", 1)),
        ),
        case("chunks with bare LF", 0, chunked("", &bare(chunk.clone()))),
        case(
            "an extension of 64 KiB",
            0,
            chunked(
                "",
                &format!(
                    "{length:x};x={}\r\n{BODY}\r\n0\r\n\r\n",
                    "a".repeat(64 << 10)
                ),
            ),
        ),
        case(
            "an extension with a bare LF",
            0,
            chunked("", &format!("{length:x};x\n{BODY}\r\n0\r\n\r\n")),
        ),
    ]
}

async fn total(provider: &Provider) -> anyhow::Result<u64> {
    provider.total("requests").await
}

#[tokio::test]
async fn what_has_two_readings_is_refused_and_ends_its_connection() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let key = gateway.key("demo")?;
    for Case {
        what,
        bytes,
        status,
    } in refused()
    {
        let bytes = bytes.replace("KEY", key) + HIDDEN;
        let (told, ended) = exchange(&gateway, bytes.as_bytes()).await?;
        let found = statuses(&told);
        if status == 0 {
            assert!(
                found.iter().all(|status| (400..500).contains(status)),
                "{what}: {told}"
            );
            assert!(found.len() <= 1, "{what}: {told}");
        } else {
            assert_eq!(found, [status], "{what}: {told}");
        }
        assert_ne!(
            ended,
            Ended::Silent,
            "{what}: the connection stays open: {told}"
        );
        assert_eq!(total(&provider).await?, 0, "{what}: it was served");
    }
    // Where HTTP was understood, the refusal is in the caller's dialect.
    let host = of_length("Host: y\r\n").replace("KEY", key);
    let (told, _) = exchange(&gateway, host.as_bytes()).await?;
    let (_, body) = told.split_once("\r\n\r\n").expect("a body");
    let body: serde_json::Value = serde_json::from_str(body)?;
    assert_eq!(body["error"]["type"], "invalid_request_error", "{told}");
    assert_eq!(body["error"]["param"], "host", "{told}");
    assert_eq!(gateway.client("demo")?.chat(&says("x")).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn what_has_one_reading_is_one_request() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let key = gateway.key("demo")?;
    let length = BODY.len();
    let chunk = format!("{length:x}\r\n{BODY}\r\n0\r\n\r\n");
    let served = [
        // An offer to change the protocol may be left unanswered; Java's client makes one with its first request.
        (
            "an offer of h2c",
            of_length(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
            ),
        ),
        (
            "an offer of websockets",
            of_length("Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        ),
        (
            "the same length twice",
            of_length(&format!("Content-Length: {length}\r\n")),
        ),
        (
            "a small chunk extension",
            chunked("", &chunk.replacen("\r\n", ";a=b\r\n", 1)),
        ),
        (
            "a trailer",
            chunked(
                "Trailer: x-t\r\n",
                &chunk.replace("0\r\n\r\n", "0\r\nX-T: Content-Length: 3\r\n\r\n"),
            ),
        ),
        (
            "the target's host",
            of_length("").replace(" /v1", " http://x/v1"),
        ),
        ("lines that end in LF", of_length("").replace("\r\n", "\n")),
    ];
    for (nth, (what, bytes)) in served.into_iter().enumerate() {
        let bytes = bytes.replace("KEY", key);
        let (told, _) = exchange(&gateway, bytes.as_bytes()).await?;
        assert_eq!(statuses(&told), [200], "{what}: {told}");
        assert_eq!(total(&provider).await?, nth as u64 + 1, "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn a_length_beside_chunks_never_hides_a_request() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let key = gateway.key("demo")?;
    let chunk = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    // The chunks count (RFC 9112, 6.3), and the connection ends: whoever believed the length finds nobody.
    for (nth, lines) in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = request(POST, lines, &(chunk.clone() + HIDDEN)).replace("KEY", key);
        let (told, ended) = exchange(&gateway, bytes.as_bytes()).await?;
        assert_eq!(statuses(&told), [200], "{told}");
        assert_ne!(ended, Ended::Silent, "{told}");
        assert_eq!(total(&provider).await?, nth as u64 + 1);
    }
    Ok(())
}

#[tokio::test]
async fn what_follows_a_body_is_a_request_of_its_own_or_none() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let key = gateway.key("demo")?;
    for garbage in [
        "GARBAGE\r\n\r\n",
        "\0\0\0\0",
        "{}\r\n\r\n",
        " GET / HTTP/1.1\r\n\r\n",
    ] {
        let bytes = of_length("").replace("KEY", key) + garbage;
        let (told, ended) = exchange(&gateway, bytes.as_bytes()).await?;
        assert_eq!(statuses(&told), [200, 400], "{garbage:?}: {told}");
        assert_ne!(ended, Ended::Silent, "{garbage:?}");
    }
    // Half of a body, and then nothing: our side is not at fault.
    let half = of_length("").replace("KEY", key);
    let mut raw = Raw::connect(&gateway.data_url).await?;
    raw.write(&half.as_bytes()[..half.len() - 10]).await?;
    raw.end().await?;
    let (told, ended) = raw.read_to_end().await;
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(
        statuses(&told).iter().all(|status| *status == 400),
        "{told}"
    );
    assert_eq!(ended, Ended::Closed);
    // A body where none is expected is no request either.
    let bytes = request(
        "GET /v1/models HTTP/1.1",
        &format!("Content-Length: {}\r\n", HIDDEN.len()),
        HIDDEN,
    );
    let (told, _) = exchange(&gateway, bytes.replace("KEY", key).as_bytes()).await?;
    assert_eq!(statuses(&told), [200], "{told}");
    assert_eq!(total(&provider).await?, 4);
    Ok(())
}

#[tokio::test]
async fn headers_cross_by_name_alone_in_both_directions() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let told = json!({
        "set-cookie": "a=b", "server": "theirs", "x-secret": "s", "via": "1.1 x", "x-request-id": "r",
        "openai-organization": "o", "strict-transport-security": "max-age=1", "x-hop": "h", "connection": "x-hop",
        "x-pointsman-target": "forged", "access-control-allow-origin": "*", "retry-after": "9",
    });
    provider
        .script(&json!({"default": {"headers": told}}))
        .await?;
    let mut client = gateway.client("demo")?;
    for (name, value) in [
        ("cookie", "a=b"),
        ("x-secret", "s"),
        ("x-forwarded-for", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("x-api-key", "k"),
        ("openai-organization", "o"),
        ("user-agent", "theirs"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("te", "trailers"),
        ("x-pointsman-request-id", "forged"),
        ("x-pointsman-conversation", "c"),
        ("accept-encoding", "gzip"),
    ] {
        client = client.with_header(name, value);
    }
    for (nth, client) in [client.clone(), client.with_http2()]
        .into_iter()
        .enumerate()
    {
        for (mth, stream) in [false, true].into_iter().enumerate() {
            let mut body = says("x");
            body["stream"] = stream.into();
            let reply = client.chat(&body).await?;
            let mut names: Vec<&str> = reply.headers.keys().map(http::HeaderName::as_str).collect();
            names.retain(|name| !["date", "content-length", "transfer-encoding"].contains(name));
            names.sort_unstable();
            assert_eq!(
                names,
                [
                    "content-type",
                    "x-pointsman-policy",
                    "x-pointsman-request-id",
                    "x-pointsman-target"
                ]
            );
            assert_eq!(reply.header("x-pointsman-target"), Some("fake"));
            let id = reply.header("x-pointsman-request-id").expect("an id");
            assert_ne!(id, "forged");
            let ledger = provider.ledger().await?;
            let sent = &ledger["requests"][2 * nth + mth]["headers"];
            let sent = sent.as_object().expect("headers");
            let mut names: Vec<&str> = sent.keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(
                names,
                [
                    "accept",
                    "accept-encoding",
                    "content-length",
                    "content-type",
                    "host",
                    "user-agent",
                    "x-pointsman-request-id"
                ]
            );
            assert_eq!(sent["x-pointsman-request-id"], id);
            assert_eq!(sent["accept-encoding"], "identity");
            assert!(
                sent["user-agent"]
                    .as_str()
                    .is_some_and(|agent| agent.starts_with("pointsman/"))
            );
        }
    }
    Ok(())
}
