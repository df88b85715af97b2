//! Reuse, staleness, cancelling.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use pointsman_upstream::{Credential, UpstreamConfig, UpstreamErrorKind};
use secrecy::SecretString;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::server::{Call, Server, Step, local, read, send};

/// More than socket buffers hold.
const BODY_BYTES: usize = 64 << 20;
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
                      transfer-encoding: chunked\r\n\r\n6\r\ndata: \r\n";

#[test]
fn target_sees_the_whole_request() {
    local(async {
        let server = Server::always(OK).await;
        let origin = format!("http://{}", server.address);
        let secret = SecretString::from("s3cret");
        let credential = Credential::new("key", secret, &[origin], &["acme".to_owned()], None);
        let credential = credential.expect("valid");
        let call = Call {
            credential: Some(&credential),
            ..Call::default()
        };
        let answer = call
            .send(&server.client(), &server.url())
            .await
            .expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(read(answer).await.expect("whole"), "ok");
        let request = server.seen.requests.borrow()[0].clone();
        let (head, body) = request.split_once("\r\n\r\n").expect("a request");
        assert_eq!(body, "{\"n\":1}");
        let mut lines: Vec<&str> = head.lines().collect();
        lines[1..].sort_unstable();
        let expected = [
            "POST /v1/chat/completions HTTP/1.1".to_owned(),
            "accept-encoding: identity".to_owned(),
            "accept: application/json, text/event-stream".to_owned(),
            "authorization: Bearer s3cret".to_owned(),
            "content-length: 7".to_owned(),
            "content-type: application/json".to_owned(),
            format!("host: {}", server.address),
            format!("user-agent: pointsman/{}", env!("CARGO_PKG_VERSION")),
            "x-pointsman-request-id: r1".to_owned(),
        ];
        assert_eq!(lines, expected);
    });
}

#[test]
fn finished_answers_give_their_connection_back() {
    local(async {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        let empty = "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n";
        let replies = [OK, chunked, empty, OK];
        let server = Server::start(move |_, request| vec![Step::Send(replies[request])]).await;
        let client = server.client();
        for _ in replies {
            let answer = send(&client, &server.url()).await.expect("an answer");
            read(answer).await.expect("whole");
        }
        assert_eq!(server.seen.connections.get(), 1);
        assert_eq!(client.dials(), 1);
    });
}

#[test]
fn concurrent_requests_have_connections_of_their_own_and_reuse_them() {
    local(async {
        let server = Server::start(|_, _| vec![Step::Sleep(30), Step::Send(OK)]).await;
        let client = Rc::new(server.client());
        for _round in 0..3 {
            let calls = (0..32).map(|_| {
                let (client, url) = (Rc::clone(&client), server.url());
                tokio::task::spawn_local(async move {
                    read(send(&client, &url).await.expect("an answer"))
                        .await
                        .expect("whole")
                })
            });
            for call in calls.collect::<Vec<_>>() {
                assert_eq!(call.await.expect("no panic"), "ok");
            }
        }
        assert_eq!(server.seen.connections.get(), 32);
    });
}

#[test]
fn credentials_do_not_share_connections() {
    local(async {
        let server = Server::always(OK).await;
        let client = server.client();
        let origin = [format!("http://{}", server.address)];
        let credential = |name| {
            let secret = SecretString::from("s");
            Credential::new(name, secret, &origin, &["*".to_owned()], Some("x-api-key"))
        };
        for name in ["a", "b", "a"] {
            let credential = credential(name).expect("valid");
            let call = Call {
                credential: Some(&credential),
                ..Call::default()
            };
            read(call.send(&client, &server.url()).await.expect("an answer"))
                .await
                .expect("whole");
        }
        assert_eq!(server.seen.connections.get(), 2);
    });
}

#[test]
fn stale_pooled_connection_is_replaced_once() {
    local(async {
        let script = |connection, request| match (connection, request) {
            (0, 1) => vec![Step::Close],
            _ => vec![Step::Send(OK)],
        };
        let server = Server::start(script).await;
        let client = server.client();
        for _ in 0..2 {
            let answer = send(&client, &server.url()).await.expect("an answer");
            assert_eq!(read(answer).await.expect("whole"), "ok");
        }
        assert_eq!(client.dials(), 2);
        assert_eq!(server.seen.requests.borrow().len(), 3);
    });
}

#[test]
fn connection_closed_while_idle_is_not_used() {
    local(async {
        let script = |_, _| vec![Step::Send(OK), Step::Sleep(20), Step::Close];
        let server = Server::start(script).await;
        let client = server.client();
        for _ in 0..2 {
            read(send(&client, &server.url()).await.expect("an answer"))
                .await
                .expect("whole");
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        assert_eq!(server.seen.requests.borrow().len(), 2);
    });
}

/// Whether a request on a connection, by their numbers, is answered.
type Answers = fn(usize, usize) -> bool;

#[test]
fn only_silence_on_a_pooled_connection_is_tried_again() {
    local(async {
        // The replacement is silent too; a fresh connection that is silent; a pooled one that began to answer.
        let scripts: [(Answers, u64); 3] = [
            (|connection, request| connection == 0 && request == 0, 2),
            (|_, _| false, 1),
            (|_, request| request == 0, 1),
        ];
        for (number, (answers, dials)) in scripts.into_iter().enumerate() {
            let server = Server::start(move |connection, request| {
                if answers(connection, request) {
                    vec![Step::Send(OK)]
                } else if number == 2 {
                    vec![Step::Send("HTTP/1.1 200 O"), Step::Close]
                } else {
                    vec![Step::Close]
                }
            })
            .await;
            let client = server.client();
            if number != 1 {
                read(send(&client, &server.url()).await.expect("an answer"))
                    .await
                    .expect("whole");
            }
            let error = send(&client, &server.url()).await.err().expect("a failure");
            assert_eq!(error.kind, UpstreamErrorKind::Closed, "{number}: {error}");
            assert_eq!(client.dials(), dials, "{number}");
        }
    });
}

#[test]
fn dropped_answer_is_cancelled_at_the_target_at_once() {
    local(async {
        let server = Server::start(|_, _| vec![Step::Send(STREAM), Step::AwaitClose]).await;
        let client = server.client();
        let mut answer = send(&client, &server.url()).await.expect("an answer");
        assert!(answer.is_event_stream());
        assert_eq!(
            answer.chunk().await.expect("a chunk").expect("bytes"),
            "data: "
        );
        let dropped = Instant::now();
        drop(answer);
        server.seen.until_closed(1).await;
        assert!(dropped.elapsed() < Duration::from_millis(500));
    });
}

#[test]
fn request_that_is_given_up_before_its_answer_is_cancelled() {
    local(async {
        let server = Server::start(|_, _| vec![Step::AwaitClose]).await;
        let (client, url) = (server.client(), server.url());
        let call = tokio::task::spawn_local(async move { send(&client, &url).await.err() });
        server
            .seen
            .until(|seen| !seen.requests.borrow().is_empty())
            .await;
        call.abort();
        server.seen.until_closed(1).await;
    });
}

#[test]
fn request_that_is_given_up_while_it_is_sent_ends_there() {
    local(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let server = Server {
            address: listener.local_addr().expect("bound"),
            seen: Rc::default(),
        };
        let (client, url) = (server.client(), server.url());
        let call = Call {
            body: Bytes::from(vec![b' '; BODY_BYTES]),
            headers_timeout_ms: 50,
            ..Call::default()
        };
        let (sent, accepted) = tokio::join!(call.send(&client, &url), listener.accept());
        assert_eq!(sent.err().expect("late").kind, UpstreamErrorKind::Timeout);
        let (mut socket, _peer) = accepted.expect("a connection");
        let mut received = 0;
        let mut buffer = vec![0; 1 << 20];
        while let Ok(bytes @ 1..) = socket.read(&mut buffer).await {
            received += bytes;
        }
        assert!(
            received < BODY_BYTES,
            "{received} bytes came after it was given up"
        );
    });
}

#[test]
fn finish_keeps_the_connection_where_the_end_follows() {
    local(async {
        let script = |_, _| vec![Step::Send(STREAM), Step::Sleep(20), Step::Send("0\r\n\r\n")];
        let server = Server::start(script).await;
        let client = server.client();
        for _ in 0..3 {
            let mut answer = send(&client, &server.url()).await.expect("an answer");
            answer.chunk().await.expect("a chunk").expect("bytes");
            answer.finish();
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        assert_eq!(server.seen.connections.get(), 1);
    });
}

#[test]
fn finish_closes_the_connection_where_no_end_follows() {
    local(async {
        let server = Server::start(|_, _| vec![Step::Send(STREAM), Step::AwaitClose]).await;
        let client = server.client();
        let mut answer = send(&client, &server.url()).await.expect("an answer");
        answer.chunk().await.expect("a chunk").expect("bytes");
        answer.finish();
        server.seen.until_closed(1).await;
    });
}

#[test]
fn idle_connections_are_closed_in_time() {
    local(async {
        let server = Server::always(OK).await;
        let client = server.client_with(UpstreamConfig {
            idle_ms_max: 40,
            ..UpstreamConfig::default()
        });
        read(send(&client, &server.url()).await.expect("an answer"))
            .await
            .expect("whole");
        server.seen.until_closed(1).await;
        read(send(&client, &server.url()).await.expect("an answer"))
            .await
            .expect("whole");
        assert_eq!(client.dials(), 2);
    });
}

#[test]
fn dropped_client_closes_its_idle_connections() {
    local(async {
        let server = Server::always(OK).await;
        let client = server.client();
        read(send(&client, &server.url()).await.expect("an answer"))
            .await
            .expect("whole");
        drop(client);
        server.seen.until_closed(1).await;
    });
}
