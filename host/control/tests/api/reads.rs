//! What is read.

use serde_json::json;

use crate::client::{Server, TOKEN};

#[tokio::test]
async fn an_empty_node_has_empty_lists() {
    let server = Server::start().await;
    for (path, list) in [
        ("plugins", "plugins"),
        ("policies", "policies"),
        ("tenants", "tenants"),
        ("changes", "changes"),
    ] {
        let told = server.get(&format!("/admin/v1/{path}")).await.told(200);
        assert_eq!(told[list], json!([]), "{path}");
    }
    let none = server.get("/admin/v1/prices").await.problem(404, "unknown");
    assert!(none["next"].as_str().expect("text").contains("PUT"));
}

#[tokio::test]
async fn balances_and_targets_are_told() {
    let server = Server::start().await;
    let told = server.get("/admin/v1/usage?tenant=acme").await.told(200);
    assert_eq!(told["balances"][0]["tenant"], "acme");
    assert_eq!(told["balances"][0]["spent-usd"], "0.00000048");
    let told = server.get("/admin/v1/targets").await.told(200);
    assert_eq!(told["targets"][0]["name"], "local");
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_no_name_is_400() {
    let server = Server::start().await;
    let digest = format!("sha256:{}", "0".repeat(64));
    for path in [
        format!("plugins/{digest}"),
        "policies/nope".to_owned(),
        "policies/nope/versions".to_owned(),
        "policies/nope/versions/1".to_owned(),
        "policies/nope/diff?from=1&to=2".to_owned(),
        "tenants/nope".to_owned(),
        "tenants/nope/keys".to_owned(),
    ] {
        let answer = server.get(&format!("/admin/v1/{path}")).await;
        answer.problem(404, "unknown");
    }
    let long = "a".repeat(65);
    for path in [
        "plugins/sha256:zz",
        "plugins/1",
        "policies/UPPER",
        "policies/..%2f..%2fetc",
        "policies/%ff",
        "policies/a%00b",
        &format!("policies/{long}"),
        "policies/x/versions/one",
        "policies/x/versions/-1",
        "policies/x/versions/99999999999999999999999",
        "tenants/a%20b",
        "tenants/a%0ab/keys",
    ] {
        let answer = server.get(&format!("/admin/v1/{path}")).await;
        answer.problem(400, "bad-path");
    }
}

#[tokio::test]
async fn queries_that_cannot_be_read_say_what_can() {
    let server = Server::start().await;
    for (path, says) in [
        ("usage?tennant=x", "tenant"),
        ("usage?tenant=a&tenant=b", "once"),
        ("changes?after=x", "after"),
        ("changes?limit=0", "1000"),
        ("changes?limit=1001", "1000"),
        ("changes?limit=-1", "1000"),
        ("policies/x/diff", "from=1"),
        ("policies/x/diff?from=1", "from=1"),
        ("policies/x/diff?from=a&to=b", "from=1"),
        ("policies/x/diff?from=1&to=2&by=3", "from=1"),
    ] {
        let answer = server.get(&format!("/admin/v1/{path}")).await;
        let problem = answer.problem(400, "bad-query");
        let next = problem["next"].as_str().expect("text");
        assert!(next.contains(says), "{path}: {next}");
    }
}

#[tokio::test]
async fn unknown_paths_are_404_and_wrong_methods_say_the_right_ones() {
    let server = Server::start().await;
    for path in [
        "/admin/v1/nope",
        "/admin/v1/policies/",
        "/admin/v2/plugins",
        "/nope",
    ] {
        server.get(path).await.problem(404, "not-found");
    }
    for (method, path, allow) in [
        ("DELETE", "/admin/v1/plugins", "get,head,post"),
        ("PATCH", "/admin/v1/tenants/x", "get,head,put,delete"),
        ("GET", "/admin/v1/policies/x/activate", "post"),
        ("HEAD", "/admin/v1/policies/x/rollback", "post"),
        ("POST", "/healthz", "get,head"),
    ] {
        let answer = server.call(method, path, &[], b"").await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        if method != "HEAD" {
            let next = answer.problem(405, "method-not-allowed");
            let next = next["next"].as_str().expect("text").to_lowercase();
            assert_eq!(next, format!("use {}", allow.replace(',', ", ")));
        }
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let server = Server::start().await;
    server
        .put("/admin/v1/tenants/demo", &json!({"policy": "quickstart"}))
        .await
        .told(201);
    for path in ["/admin/v1/tenants/demo", "/admin/v1/backup", "/healthz"] {
        let token = [format!("authorization: Bearer {TOKEN}")];
        let answer = server.raw("HEAD", path, &token, b"").await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
    }
}

#[tokio::test]
async fn a_backup_comes_whole() {
    let server = Server::start().await;
    let answer = server.get("/admin/v1/backup").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/x-tar"));
    assert!(answer.body.ends_with(b"0\r\n\r\n"), "the last chunk");
    let bytes = answer.body.iter().filter(|&&byte| byte == 7).count();
    assert_eq!(bytes, 300_000);
}

#[tokio::test]
async fn without_the_token_nothing_is_read_or_changed() {
    let server = Server::start().await;
    for (method, path) in [
        ("GET", "/admin/v1/openapi.json"),
        ("GET", "/admin/v1/backup"),
        ("POST", "/admin/v1/plugins"),
        ("PUT", "/admin/v1/tenants/demo"),
        ("DELETE", "/admin/v1/tenants/demo"),
    ] {
        let headers = ["content-length: 100000000".to_owned()];
        let answer = server.raw(method, path, &headers, b"").await;
        answer.problem(401, "unauthorized");
    }
    assert_eq!(
        server.get("/admin/v1/changes").await.told(200)["changes"],
        json!([])
    );
}

#[tokio::test]
async fn a_node_without_control_state_says_so() {
    let server = Server::without_plane().await;
    for path in ["plugins", "policies/x", "usage", "backup"] {
        let answer = server.get(&format!("/admin/v1/{path}")).await;
        answer.problem(503, "unavailable");
    }
    let answer = server
        .put("/admin/v1/tenants/demo", &json!({"policy": "x"}))
        .await;
    answer.problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(server.get("/admin/v1/openapi.json").await.status, 200);
}
