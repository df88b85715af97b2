//! What is changed, and what becomes of it.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::client::{JSON, Server};
use crate::fake::SECRET;

fn bundle(content: &str) -> Value {
    json!({"files": {"policy.toml": content}})
}

#[tokio::test]
async fn a_plugin_is_pushed_once_and_found_by_its_digest() {
    let server = Server::start().await;
    let push = async |kind: &str| {
        let headers = [kind];
        server
            .call("POST", "/admin/v1/plugins", &headers, b"\0asm plugin")
            .await
    };
    let made = push("content-type: application/wasm").await.told(201);
    let digest = made["digest"].as_str().expect("a digest").to_owned();
    let again = push("content-type: Application/Octet-Stream; x=y").await;
    assert_eq!(again.told(200), made);
    let path = format!("/admin/v1/plugins/{digest}");
    assert_eq!(server.get(&path).await.told(200), made);
    let all = server.get("/admin/v1/plugins").await.told(200);
    assert_eq!(all["plugins"], json!([made]));
    let wrong = ["content-type: application/wasm"];
    let answer = server
        .call("POST", "/admin/v1/plugins", &wrong, b"no")
        .await;
    answer.problem(422, "invalid");
}

#[tokio::test]
async fn a_policy_goes_from_push_to_rollback() {
    let server = Server::start().await;
    let path = "/admin/v1/policies/quickstart";
    let versions = format!("{path}/versions");
    let first = server.post(&versions, &bundle("YQ==")).await;
    assert_eq!(first.header("etag"), Some("\"0\""));
    assert_eq!(first.told(201)["version"], 1);
    assert_eq!(
        server.post(&versions, &bundle("YQ==")).await.told(200)["version"],
        1
    );
    assert_eq!(
        server.post(&versions, &bundle("Yg==")).await.told(201)["version"],
        2
    );
    for version in [1, 2] {
        let body = json!({"version": version});
        let answer = server.post(&format!("{path}/activate"), &body).await;
        let told = answer.told(200);
        assert_eq!(told["version"], version);
        let tag = format!("\"{}\"", told["etag"].as_str().expect("a tag"));
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert_eq!(server.get(path).await.header("etag"), Some(tag.as_str()));
    }
    let back = server
        .call("POST", &format!("{path}/rollback"), &[], b"")
        .await;
    assert_eq!(back.told(200)["version"], 1);
    let forth = server
        .post(&format!("{path}/rollback"), &json!({"to": 2}))
        .await;
    assert_eq!(forth.told(200)["version"], 2);
    let policy = server.get(path).await.told(200);
    assert_eq!(
        (&policy["active"], &policy["previous"]),
        (&json!(2), &json!(1))
    );
    let listed = server.get(&versions).await.told(200);
    assert_eq!(listed["versions"][1]["number"], 2);
    let second = server.get(&format!("{versions}/2")).await.told(200);
    assert_eq!(second["bundle"], bundle("Yg=="));
    let diff = server
        .get(&format!("{path}/diff?from=1&to=2"))
        .await
        .told(200);
    assert_eq!(diff["lines"][0]["how"], "added");
    let all = server.get("/admin/v1/policies").await.told(200);
    assert_eq!(all["policies"][0], policy);
    server
        .post(&format!("{path}/activate"), &json!({"version": 9}))
        .await
        .problem(404, "unknown");
}

#[tokio::test]
async fn a_bundle_that_does_not_hold_is_refused_with_all_findings() {
    let server = Server::start().await;
    let none = json!({"files": {}});
    let answer = server.post("/admin/v1/policies/x/versions", &none).await;
    let problem = answer.problem(422, "invalid");
    assert_eq!(problem["findings"][0]["path"], "policy.toml");
    let checked = server.post("/admin/v1/policies/x/validate", &none).await;
    let checked = checked.told(200);
    assert_eq!(
        (&checked["sound"], &checked["findings"]),
        (&json!(false), &problem["findings"])
    );
    let sound = server
        .post("/admin/v1/policies/x/validate", &bundle("YQ=="))
        .await;
    assert_eq!(sound.told(200)["sound"], true);
    assert_eq!(
        server.get("/admin/v1/policies").await.told(200)["policies"],
        json!([])
    );
    let path = "/admin/v1/policies/x/rollback";
    server
        .post("/admin/v1/policies/x/versions", &bundle("YQ=="))
        .await
        .told(201);
    server.post(path, &json!({})).await.problem(409, "conflict");
}

#[tokio::test]
async fn a_tenant_and_its_keys_come_and_go() {
    let server = Server::start().await;
    let path = "/admin/v1/tenants/demo";
    let wanted = json!({
        "policy": "quickstart", "limits": {"concurrent": 3},
        "budget": [{"period": "month", "usd": "12.50"}],
    });
    let made = server.put(path, &wanted).await.told(201);
    assert_eq!(made["budget"], json!([{"period": "month", "usd": "12.5"}]));
    let changed = server.put(path, &json!({"policy": "other"})).await;
    assert_eq!(changed.header("etag"), Some("\"2\""));
    assert_eq!(changed.told(200)["policy"], "other");
    assert_eq!(server.get(path).await.told(200)["etag"], "2");
    let all = server.get("/admin/v1/tenants").await.told(200);
    assert_eq!(all["tenants"][0]["id"], "demo");

    let keys = format!("{path}/keys");
    let made = server.call("POST", &keys, &[], b"").await;
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.told(201);
    assert_eq!(made["secret"], SECRET);
    let key = format!("{keys}/{}", made["key"]["id"].as_str().expect("an id"));
    let rotated = server
        .post(&format!("{key}/rotate"), &json!({"overlap-s": 60}))
        .await;
    assert_eq!(rotated.told(201)["key"]["replaces"], made["key"]["id"]);
    assert_eq!(server.delete(&key).await.told(200)["state"], "revoked");
    let listed = server.get(&keys).await;
    assert!(!listed.text().contains(SECRET) && !listed.text().contains("feed"));
    assert_eq!(listed.told(200)["keys"].as_array().map(Vec::len), Some(2));
    server
        .delete(&format!("{keys}/key-nope"))
        .await
        .problem(404, "unknown");

    let gone = server.delete(path).await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert_eq!(gone.header("content-type"), None);
    server.delete(path).await.problem(404, "unknown");
    server.get(path).await.problem(404, "unknown");
}

#[tokio::test]
async fn prices_are_put_as_text_and_read_with_their_digest() {
    let server = Server::start().await;
    let text = "{\"model\":\"a\"}\n{\"model\":\"ä\"}\n";
    let kind = ["content-type: application/jsonl"];
    let put = server
        .call("PUT", "/admin/v1/prices", &kind, text.as_bytes())
        .await;
    let tag = format!("\"{}\"", put.json()["digest"].as_str().expect("a digest"));
    assert_eq!(put.header("etag"), Some(tag.as_str()));
    assert_eq!(put.told(201)["rows"], 2);
    let got = server.get("/admin/v1/prices").await;
    assert_eq!(got.header("etag"), Some(tag.as_str()));
    assert_eq!(got.told(200)["text"], text);
    let answer = server.call("PUT", "/admin/v1/prices", &kind, b"\xff").await;
    answer.problem(400, "bad-body");
}

#[tokio::test]
async fn the_control_audit_tells_who_changed_what_without_hashes() {
    let server = Server::start().await;
    server
        .put("/admin/v1/tenants/demo", &json!({"policy": "x"}))
        .await
        .told(201);
    server
        .post("/admin/v1/tenants/demo/keys", &json!({}))
        .await
        .told(201);
    let told = server.get("/admin/v1/changes").await;
    assert!(!told.text().contains("feed"), "{}", told.text());
    let told = told.told(200);
    assert_eq!(told["changes"][0]["actor"], "admin");
    assert_eq!(told["changes"][0]["change"], "tenant-put");
    assert_eq!(told["changes"][1]["change"], "key-created");
    let one = server
        .get("/admin/v1/changes?after=1&limit=1")
        .await
        .told(200);
    assert_eq!(one["changes"].as_array().map(Vec::len), Some(1));
    assert_eq!(one["changes"][0]["sequence"], 2);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn changes_are_logged_with_their_actor_and_without_secrets() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .init();
    let server = Server::start().await;
    server
        .put("/admin/v1/tenants/demo", &json!({"policy": "x"}))
        .await
        .told(201);
    let once = [JSON, "idempotency-key: sesame"];
    for _ in 0..2 {
        let answer = server
            .call("POST", "/admin/v1/tenants/demo/keys", &once, b"{}")
            .await;
        answer.told(201);
    }
    server
        .delete("/admin/v1/tenants/nope")
        .await
        .problem(404, "unknown");
    let text = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let text = String::from_utf8(text).expect("utf-8");
    for says in [
        "control state changed actor=\"admin\" change=\"put tenant demo\"",
        "control state changed actor=\"admin\" change=\"create a key of demo\"",
        "told again actor=\"admin\" change=\"create a key of demo\"",
        "refused actor=\"admin\" change=\"remove tenant nope\" reason=no tenant `nope`",
    ] {
        assert!(text.contains(says), "{says} in:\n{text}");
    }
    for secret in [SECRET, crate::client::TOKEN, "feed", "sesame"] {
        assert!(!text.contains(secret), "{secret} in:\n{text}");
    }
}
