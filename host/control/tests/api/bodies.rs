//! Bodies that are wrong, too large, too slow, or of the wrong kind.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::client::{JSON, Server, TOKEN, read};

const TENANT: &str = "/admin/v1/tenants/demo";

fn head(headers: &[&str]) -> Vec<String> {
    let mut all = vec![format!("authorization: Bearer {TOKEN}")];
    all.extend(headers.iter().map(|&header| header.to_owned()));
    all
}

#[tokio::test]
async fn what_is_wrong_in_a_body_is_said_with_its_place() {
    let server = Server::start().await;
    let mut differences = Vec::new();
    for (body, path, place) in [
        (r#"{"policy": 7}"#, "policy", "body:1:12"),
        (r#"{"policy": "x", "limit": {}}"#, "limit", "body:1:23"),
        (
            r#"{"policy": "x", "limits": {"concurrent": -1}}"#,
            "limits.concurrent",
            "body:1:43",
        ),
        (
            r#"{"policy": "x", "limits": {"concurrent": 4294967296}}"#,
            "limits.concurrent",
            "body:1:51",
        ),
        (
            "{\"policy\": \"x\",\n \"budget\": [{\"period\": \"week\", \"usd\": \"1\"}]}",
            "budget[0].period",
            "body:2:29",
        ),
        (
            r#"{"policy": "x", "budget": [{"period": "day", "usd": 1.5}]}"#,
            "budget[0].usd",
            "body:1:55",
        ),
        ("{}", "", "body:1:2"),
        ("[]", "", "body:1:0"),
        (r#"["x", {}, []]"#, "", "body:1:0"),
        (r#"{"policy": "x", "limits": []}"#, "limits", "body:1:26"),
        (
            r#"{"policy": "x", "budget": [["day", "1"]]}"#,
            "budget[0]",
            "body:1:27",
        ),
        ("null", "", "body:1:4"),
        ("7", "", "body:1:1"),
    ] {
        let answer = server.call("PUT", TENANT, &[JSON], body.as_bytes()).await;
        let problem = answer.problem(422, "wrong-body");
        let finding = &problem["findings"][0];
        let told = |member: &str| finding[member].as_str().unwrap_or_default();
        if (told("path"), told("place")) != (path, place) {
            differences.push(format!("{body}: {finding}"));
        }
        assert!(!told("message").is_empty());
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    for body in [
        "",
        "{",
        "{\"policy\"",
        "{\"policy\": \"x\"} x",
        "{'policy': 'x'}",
        "\u{feff}{}",
        "{\"policy\": \"x\", \"limits\": {\"concurrent\": 1e999}}",
    ] {
        let answer = server.call("PUT", TENANT, &[JSON], body.as_bytes()).await;
        let problem = answer.problem(400, "bad-json");
        let place = problem["findings"][0]["place"].as_str().unwrap_or_default();
        assert!(place.starts_with("body:"), "{body}: {problem}");
    }
    let deep = "[".repeat(100_000);
    let answer = server.call("PUT", TENANT, &[JSON], deep.as_bytes()).await;
    assert!(matches!(answer.status, 400 | 422), "{}", answer.text());
    let answer = server
        .call("PUT", TENANT, &[JSON], b"{\"policy\": \"\xff\"}")
        .await;
    answer.problem(400, "bad-json");
    server.get(TENANT).await.problem(404, "unknown");
}

#[tokio::test]
async fn a_content_type_that_does_not_fit_is_refused() {
    let server = Server::start().await;
    let json = "application/json";
    for (method, path, headers, says) in [
        ("PUT", TENANT, vec![], json),
        (
            "PUT",
            TENANT,
            vec!["content-type: application/x-www-form-urlencoded"],
            json,
        ),
        ("PUT", TENANT, vec!["content-type: application/jsonp"], json),
        ("PUT", TENANT, vec!["content-type: "], json),
        ("POST", "/admin/v1/plugins", vec![JSON], "application/wasm"),
        ("PUT", "/admin/v1/prices", vec![JSON], "application/jsonl"),
        (
            "PUT",
            TENANT,
            vec![JSON, "content-encoding: gzip"],
            "Content-Encoding",
        ),
    ] {
        let answer = server
            .call(method, path, &headers, b"{\"policy\":\"x\"}")
            .await;
        let problem = answer.problem(415, "wrong-content-type");
        let next = problem["next"].as_str().expect("text");
        assert!(next.contains(says), "{headers:?}: {next}");
    }
    for kind in [
        "content-type: Application/JSON",
        "content-type: application/json; charset=utf-8",
    ] {
        let answer = server
            .call("PUT", TENANT, &[kind], b"{\"policy\":\"x\"}")
            .await;
        assert!(answer.status < 300, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_not_read() {
    let server = Server::start().await;
    for (method, path, kind, bytes, says) in [
        (
            "POST",
            "/admin/v1/plugins",
            "application/wasm",
            100 * 1024 * 1024 + 1,
            "100 MiB",
        ),
        (
            "POST",
            "/admin/v1/policies/x/versions",
            "application/json",
            96 * 1024 * 1024 + 1,
            "96 MiB",
        ),
        (
            "POST",
            "/admin/v1/policies/x/validate",
            "application/json",
            1_usize << 40,
            "96 MiB",
        ),
        ("PUT", TENANT, "application/json", 1024 * 1024 + 1, "1 MiB"),
        (
            "PUT",
            "/admin/v1/prices",
            "text/plain",
            1024 * 1024 + 1,
            "1 MiB",
        ),
    ] {
        let headers = head(&[
            &format!("content-type: {kind}"),
            &format!("content-length: {bytes}"),
            "expect: 100-continue",
        ]);
        // No byte of the body is ever sent.
        let answer = server.raw(method, path, &headers, b"").await;
        let problem = answer.problem(413, "too-large");
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains(says), "{path}: {detail}");
    }
}

#[tokio::test]
async fn a_caller_that_sends_200_mib_all_the_same_reads_why_it_was_refused() {
    let server = Server::start().await;
    let bytes = 200 * 1024 * 1024;
    let headers = head(&[
        "content-type: application/wasm",
        &format!("content-length: {bytes}"),
    ]);
    let mut stream = server.open("POST", "/admin/v1/plugins", &headers).await;
    let block = vec![0; 1024 * 1024];
    for _ in 0..bytes / block.len() {
        stream.write_all(&block).await.expect("is taken");
    }
    read(&mut stream).await.problem(413, "too-large");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_read_no_further_than_may_be() {
    let server = Server::start().await;
    let headers = head(&[JSON, "transfer-encoding: chunked"]);
    let mut stream = server.open("PUT", TENANT, &headers).await;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
    for _ in 0..17 {
        stream.write_all(chunk.as_bytes()).await.expect("is taken");
    }
    // The end never comes.
    read(&mut stream).await.problem(413, "too-large");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_taken_where_it_fits() {
    let server = Server::start().await;
    let headers = head(&[JSON, "transfer-encoding: chunked"]);
    let body = b"8\r\n{\"policy\r\n6\r\n\":\"x\"}\r\n0\r\n\r\n";
    let answer = server.raw("PUT", TENANT, &headers, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let none = b"0\r\n\r\n";
    let path = format!("{TENANT}/keys");
    let answer = server.raw("POST", &path, &headers, none).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let server = Server::start().await;
    let headers = head(&[JSON, "content-length: 100"]);
    let mut stream = server.open("PUT", TENANT, &headers).await;
    stream.write_all(b"{\"policy\":").await.expect("is taken");
    read(&mut stream).await.problem(408, "slow-body");
}

#[tokio::test]
async fn large_bundles_are_taken_whole() {
    let server = Server::start().await;
    let files: Value = json!({"policy.toml": "", "words.txt": "QUJD".repeat(2 * 1024 * 1024)});
    let answer = server
        .post("/admin/v1/policies/x/versions", &json!({"files": files}))
        .await;
    answer.told(201);
    let told = server
        .get("/admin/v1/policies/x/versions/1")
        .await
        .told(200);
    assert_eq!(told["bundle"]["files"], files);
}
