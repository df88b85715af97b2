//! Each failure has its kind, names its host, and leaves nothing behind.

use pointsman_upstream::{Resolve, Resolving, UpstreamConfig, UpstreamError, UpstreamErrorKind};

use crate::server::{Call, Hosts, Server, Step, local, read, send};

async fn failure(reply: &'static str) -> UpstreamError {
    let server = Server::start(move |_, _| vec![Step::Send(reply), Step::Close]).await;
    match send(&server.client(), &server.url()).await {
        Ok(answer) => read(answer).await.expect_err("a failure"),
        Err(error) => error,
    }
}

#[test]
fn headers_that_do_not_come_time_out() {
    local(async {
        let server = Server::start(|_, _| vec![Step::AwaitClose]).await;
        let call = Call {
            headers_timeout_ms: 50,
            ..Call::default()
        };
        let error = call
            .send(&server.client(), &server.url())
            .await
            .err()
            .expect("late");
        assert_eq!(error.kind, UpstreamErrorKind::Timeout);
        assert_eq!(
            error.to_string(),
            format!("{}: no answer within 50 ms", server.address)
        );
        assert!(error.was_sent(), "the target may be at it");
        server.seen.until_closed(1).await;
    });
}

#[test]
fn endless_interim_answers_time_out() {
    local(async {
        let server = Server::start(|_, _| {
            let interim = || [Step::Send("HTTP/1.1 103 Hints\r\n\r\n"), Step::Sleep(5)];
            (0..100).flat_map(|_| interim()).collect()
        })
        .await;
        let call = Call {
            headers_timeout_ms: 60,
            ..Call::default()
        };
        let error = call
            .send(&server.client(), &server.url())
            .await
            .err()
            .expect("late");
        assert_eq!(error.kind, UpstreamErrorKind::Timeout);
    });
}

#[test]
fn refused_connection_is_a_connect_failure() {
    local(async {
        let server = Server::always("").await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let closed = Server { address, ..server };
        let error = send(&closed.client(), &closed.url())
            .await
            .err()
            .expect("nobody listens");
        assert_eq!(error.kind, UpstreamErrorKind::Connect);
    });
}

#[test]
fn name_without_address_is_a_connect_failure() {
    local(async {
        let server = Server::always("").await;
        let client = server.client_with(Hosts::default().with("empty.test", &[&[]]).config());
        for name in ["unknown.test", "empty.test"] {
            let error = send(&client, &format!("http://{name}"))
                .await
                .err()
                .expect("no address");
            assert_eq!(error.kind, UpstreamErrorKind::Connect);
        }
        assert_eq!(client.dials(), 0);
    });
}

#[test]
fn slow_lookup_counts_as_connecting() {
    struct Never;
    impl Resolve for Never {
        fn resolve<'a>(&'a self, _name: &'a str) -> Resolving<'a> {
            Box::pin(std::future::pending())
        }
    }
    local(async {
        let server = Server::always("").await;
        let client = server.client_with(UpstreamConfig {
            resolver: std::rc::Rc::new(Never),
            ..UpstreamConfig::default()
        });
        let call = Call {
            connect_timeout_ms: 30,
            ..Call::default()
        };
        let error = call
            .send(&client, "http://slow.test")
            .await
            .err()
            .expect("late");
        assert_eq!(error.kind, UpstreamErrorKind::Timeout);
        assert!(error.to_string().contains("connect timeout"), "{error}");
        assert!(!error.was_sent());
        // The bound of the whole may be met first: still nothing was sent.
        let call = Call {
            headers_timeout_ms: 30,
            ..Call::default()
        };
        let error = call
            .send(&client, "http://slow.test")
            .await
            .err()
            .expect("late");
        assert!(error.to_string().contains("no answer"), "{error}");
        assert!(!error.was_sent());
    });
}

#[test]
fn second_address_serves_where_the_first_does_not() {
    local(async {
        let server = Server::always("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let port = server.address.port();
        let rules = [format!("127.0.0.2:{port}"), server.address.to_string()];
        let egress = pointsman_upstream::EgressRules::new(rules.iter().map(String::as_str));
        let hosts = Hosts::default().with("two.test", &[&["127.0.0.2", "127.0.0.1"]]);
        let client = pointsman_upstream::Upstream::new(UpstreamConfig {
            egress: egress.expect("rules"),
            ..hosts.config()
        });
        let answer = send(&client, &format!("http://two.test:{port}"))
            .await
            .expect("an answer");
        assert_eq!(read(answer).await.expect("whole"), "ok");
        assert_eq!(client.dials(), 2);
    });
}

#[test]
fn what_is_no_http_answer_is_a_protocol_failure() {
    local(async {
        let garbage = failure("SSH-2.0-OpenSSH\r\n\r\n").await;
        assert_eq!(garbage.kind, UpstreamErrorKind::Protocol, "{garbage}");
        assert!(garbage.was_sent());
        let broken_chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n";
        assert_ne!(failure(broken_chunk).await.kind, UpstreamErrorKind::Timeout);
        let long: &str =
            Box::leak(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200_000)).into());
        assert_eq!(failure(long).await.kind, UpstreamErrorKind::Protocol);
        let many: &str =
            Box::leak(format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101)).into());
        assert_eq!(failure(many).await.kind, UpstreamErrorKind::Protocol);
    });
}

#[test]
fn answer_that_breaks_off_is_said_to() {
    local(async {
        for reply in [
            "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ] {
            let error = failure(reply).await;
            assert_eq!(error.kind, UpstreamErrorKind::Closed);
            assert!(error.was_sent());
        }
    });
}

#[test]
fn compressed_answers_are_refused_and_refusals_keep_their_status() {
    local(async {
        let ok = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx";
        let error = failure(ok).await;
        assert_eq!(error.kind, UpstreamErrorKind::Protocol);
        assert!(error.to_string().contains("compressed"));
        let limited = "HTTP/1.1 429 Slow\r\ncontent-encoding: gzip\r\nretry-after: 3\r\ncontent-length: 2\r\n\r\nxx";
        let server = Server::always(limited).await;
        let answer = send(&server.client(), &server.url())
            .await
            .expect("an answer");
        assert_eq!(answer.status, 429);
        assert_eq!(answer.headers["retry-after"], "3");
        assert_eq!(read(answer).await.expect("nothing"), "");
        server.seen.until_closed(1).await;
    });
}
