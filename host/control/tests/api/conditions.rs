//! Conditions and idempotency keys.

use serde_json::json;

use crate::client::{Answer, JSON, Server};

async fn put(server: &Server, headers: &[&str]) -> Answer {
    let headers: Vec<&str> = [&[JSON], headers].concat();
    let body = json!({"policy": "x"}).to_string();
    server
        .call("PUT", "/admin/v1/tenants/demo", &headers, body.as_bytes())
        .await
}

#[tokio::test]
async fn a_change_is_made_only_where_its_condition_holds() {
    let server = Server::start().await;
    put(&server, &["if-match: *"])
        .await
        .problem(412, "precondition-failed");
    put(&server, &["if-match: \"1\""])
        .await
        .problem(412, "precondition-failed");
    assert_eq!(put(&server, &["if-none-match: *"]).await.status, 201);
    put(&server, &["if-none-match: *"])
        .await
        .problem(412, "precondition-failed");
    assert_eq!(put(&server, &["if-match: \"1\""]).await.status, 200);
    let late = put(&server, &["if-match: \"1\""]).await;
    let late = late.problem(412, "precondition-failed");
    assert_eq!(late["etag"], "2", "the tag that it has now");
    assert_eq!(put(&server, &["if-match: *"]).await.status, 200);
    let lists: [&[&str]; 3] = [
        &["if-match: \"1\", \"3\""],
        &["if-match: \"1\"", "if-match: \"4\""],
        &["if-match: W/\"5\", \"5\""],
    ];
    for list in lists {
        assert_eq!(put(&server, list).await.status, 200, "{list:?}");
    }
    // Weak tags match nothing.
    put(&server, &["if-match: W/\"6\""])
        .await
        .problem(412, "precondition-failed");
    let gone = server
        .call(
            "DELETE",
            "/admin/v1/tenants/demo",
            &["if-match: \"6\""],
            b"",
        )
        .await;
    assert_eq!(gone.status, 204);
}

#[tokio::test]
async fn conditions_that_cannot_be_read_are_refused_and_change_nothing() {
    let server = Server::start().await;
    for header in [
        "if-match: 1",
        "if-match: \"1",
        "if-match: ",
        "if-match: \"1\", *",
        "if-match: etag",
        "if-none-match: \"1\"",
    ] {
        put(&server, &[header]).await.problem(400, "bad-header");
    }
    let both = ["if-match: *", "if-none-match: *"];
    put(&server, &both).await.problem(400, "bad-header");
    server
        .get("/admin/v1/tenants/demo")
        .await
        .problem(404, "unknown");
}

#[tokio::test]
async fn policies_and_prices_have_conditions_too() {
    let server = Server::start().await;
    let bundle = json!({"files": {"policy.toml": ""}}).to_string();
    let push = async |header: &str| {
        let path = "/admin/v1/policies/x/versions";
        let headers = [JSON, header];
        server.call("POST", path, &headers, bundle.as_bytes()).await
    };
    push("if-match: *")
        .await
        .problem(412, "precondition-failed");
    assert_eq!(push("if-none-match: *").await.status, 201);
    let activate = async |header: &str| {
        let headers = [JSON, header];
        let path = "/admin/v1/policies/x/activate";
        server
            .call("POST", path, &headers, b"{\"version\":1}")
            .await
    };
    let tag = activate("if-match: \"0\"").await.told(200)["etag"].clone();
    let late = activate("if-match: \"0\"").await;
    assert_eq!(late.problem(412, "precondition-failed")["etag"], tag);
    let prices = async |header: &str| {
        let headers = ["content-type: text/plain", header];
        server
            .call("PUT", "/admin/v1/prices", &headers, b"{}")
            .await
    };
    let first = prices("if-none-match: *").await;
    let tag = first.header("etag").expect("a tag").to_owned();
    assert_eq!(prices(&format!("if-match: {tag}")).await.status, 201);
    prices("if-match: \"1\"")
        .await
        .problem(412, "precondition-failed");
}

#[tokio::test]
async fn what_has_no_entity_tag_takes_no_condition() {
    let server = Server::start().await;
    put(&server, &[]).await.told(201);
    let headers = [JSON, "if-match: \"1\""];
    let keys = "/admin/v1/tenants/demo/keys";
    for (method, path) in [
        ("POST", keys.to_owned()),
        ("POST", format!("{keys}/key-1/rotate")),
        ("DELETE", format!("{keys}/key-1")),
        ("POST", "/admin/v1/plugins".to_owned()),
    ] {
        let answer = server.call(method, &path, &headers, b"{}").await;
        answer.problem(400, "bad-header");
    }
}

#[tokio::test]
async fn an_idempotent_call_is_made_once_and_told_again() {
    let server = Server::start().await;
    let once = ["idempotency-key: a-1"];
    let first = put(&server, &once).await;
    let again = put(&server, &once).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json(), again.json());
    assert_eq!(first.header("etag"), again.header("etag"));
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    // Its condition held when it was made.
    let tagged = ["idempotency-key: a-2", "if-match: \"1\""];
    assert_eq!(put(&server, &tagged).await.status, 200);
    assert_eq!(put(&server, &tagged).await.status, 200);
    let headers = [JSON, "idempotency-key: a-1"];
    for (path, body) in [
        ("/admin/v1/tenants/demo", "{\"policy\": \"x\"}"),
        ("/admin/v1/tenants/other", "{\"policy\":\"x\"}"),
    ] {
        let answer = server.call("PUT", path, &headers, body.as_bytes()).await;
        answer.problem(409, "conflict");
    }
    let told = server.get("/admin/v1/changes").await.told(200);
    assert_eq!(told["changes"].as_array().map(Vec::len), Some(2));
    for _ in 0..2 {
        let headers = ["idempotency-key: gone"];
        let path = "/admin/v1/tenants/demo";
        let gone = server.call("DELETE", path, &headers, b"").await;
        assert_eq!((gone.status, gone.body.len()), (204, 0));
    }
}

#[tokio::test]
async fn a_repeated_call_does_not_tell_a_key_again() {
    let server = Server::start().await;
    put(&server, &[]).await.told(201);
    let once = ["idempotency-key: k"];
    let path = "/admin/v1/tenants/demo/keys";
    let first = server.call("POST", path, &once, b"").await.told(201);
    let again = server.call("POST", path, &once, b"").await.told(201);
    assert!(first["secret"].is_string() && again["secret"].is_null());
    assert_eq!(first["key"], again["key"]);
}

#[tokio::test]
async fn idempotency_keys_have_1_to_255_visible_characters() {
    let server = Server::start().await;
    let longest = format!("idempotency-key: {}", "k".repeat(255));
    assert_eq!(put(&server, &[&longest]).await.status, 201);
    let long = format!("idempotency-key: {}", "k".repeat(256));
    for wrong in [
        &[long.as_str()] as &[&str],
        &["idempotency-key: "],
        &["idempotency-key: a b"],
        &["idempotency-key: ä"],
        &["idempotency-key: a", "idempotency-key: b"],
    ] {
        put(&server, wrong).await.problem(400, "bad-header");
    }
}
