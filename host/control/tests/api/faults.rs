//! A plane in trouble: its calls fail, the listener does not.

use std::time::Duration;

use serde_json::json;

use crate::client::{Server, TOKEN};
use crate::fake::Trouble;

const TENANT: &str = "/admin/v1/tenants/demo";

#[tokio::test]
async fn a_panic_in_the_plane_is_that_calls_500() {
    let server = Server::start().await;
    server.plane.make_trouble(Trouble::Panic);
    let wanted = json!({"policy": "x"});
    for _ in 0..20 {
        server.put(TENANT, &wanted).await.problem(500, "internal");
        server.get(TENANT).await.problem(500, "internal");
        server
            .get("/admin/v1/backup")
            .await
            .problem(500, "internal");
    }
    server.plane.make_trouble(Trouble::None);
    server.put(TENANT, &wanted).await.told(201);
}

#[tokio::test]
async fn a_store_that_takes_no_change_is_503_and_a_bug_500() {
    let server = Server::start().await;
    let wanted = json!({"policy": "x"});
    server.plane.make_trouble(Trouble::Full);
    let answer = server.put(TENANT, &wanted).await;
    let problem = answer.problem(503, "unavailable");
    assert!(
        problem["detail"]
            .as_str()
            .expect("text")
            .contains("disk is full")
    );
    server
        .get("/admin/v1/backup")
        .await
        .problem(503, "unavailable");
    server.plane.make_trouble(Trouble::Bug);
    server.put(TENANT, &wanted).await.problem(500, "internal");
}

#[tokio::test]
async fn a_backup_that_breaks_off_does_not_look_whole() {
    let server = Server::start().await;
    for trouble in [Trouble::Torn, Trouble::TornByPanic] {
        server.plane.make_trouble(trouble);
        let token = [format!("authorization: Bearer {TOKEN}")];
        let answer = server.raw("GET", "/admin/v1/backup", &token, b"").await;
        assert_eq!(answer.status, 200, "it had begun");
        assert!(
            !answer.body.ends_with(b"0\r\n\r\n"),
            "{trouble:?} looks whole"
        );
    }
}

#[tokio::test]
async fn reads_that_hang_hold_up_neither_changes_nor_health() {
    let server = Server::start().await;
    server.put(TENANT, &json!({"policy": "x"})).await.told(201);
    server.plane.hold(true);
    let token = [format!("authorization: Bearer {TOKEN}")];
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(server.open("GET", TENANT, &token).await);
    }
    while server.plane.held() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.get("/healthz").await.status, 200);
    server.put(TENANT, &json!({"policy": "y"})).await.told(200);
    assert_eq!(server.plane.held(), 4, "reads at once are bounded");
    server.plane.hold(false);
    for mut stream in waiting {
        let answer = crate::client::read(&mut stream).await;
        assert_eq!(answer.told(200)["policy"], "y");
    }
}

#[tokio::test]
async fn activations_that_hang_hold_up_no_change_of_keys_and_tenants() {
    let server = Server::start().await;
    server.put(TENANT, &json!({"policy": "x"})).await.told(201);
    server.plane.hold(true);
    let token = [
        format!("authorization: Bearer {TOKEN}"),
        "content-length: 0".to_owned(),
    ];
    let path = "/admin/v1/policies/x/rollback";
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(server.open("POST", path, &token).await);
    }
    while server.plane.held() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let keys = format!("{TENANT}/keys");
    let made = server.post(&keys, &json!({})).await.told(201);
    let id = made["key"]["id"].as_str().expect("an id");
    let rotated = format!("{keys}/{id}/rotate");
    server.post(&rotated, &json!({})).await.told(201);
    server.delete(&format!("{keys}/{id}")).await.told(200);
    server.put(TENANT, &json!({"policy": "y"})).await.told(200);
    assert_eq!(server.plane.held(), 2, "activations at once are bounded");
    server.plane.hold(false);
    for mut stream in waiting {
        let answer = crate::client::read(&mut stream).await;
        answer.problem(404, "unknown");
    }
}

#[tokio::test]
async fn a_change_is_made_though_its_caller_left() {
    let server = Server::start().await;
    let body = br#"{"policy":"x"}"#;
    let headers = [
        format!("authorization: Bearer {TOKEN}"),
        "content-type: application/json".to_owned(),
        format!("content-length: {}", body.len()),
    ];
    for round in 0..10 {
        let path = format!("/admin/v1/tenants/t{round}");
        let mut stream = server.open("PUT", &path, &headers).await;
        tokio::io::AsyncWriteExt::write_all(&mut stream, body)
            .await
            .expect("is taken");
        drop(stream);
    }
    // What began is done: either the change was seen whole, or it never began; the listener serves on.
    let told = server.get("/admin/v1/tenants").await.told(200);
    assert!(told["tenants"].is_array());
    server.put(TENANT, &json!({"policy": "x"})).await.told(201);
}
