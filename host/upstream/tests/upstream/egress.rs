//! Hostile endpoints get no connection, and secrets go nowhere but where they belong.

use pointsman_upstream::{Credential, EgressRules, Upstream, UpstreamConfig, UpstreamErrorKind};
use secrecy::SecretString;

use crate::server::{Call, Hosts, Server, local, read, send};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// `{port}` is that of a server on 127.0.0.1 which must see no connection.
const HOSTILE: &[&str] = &[
    // Loopback, by every name and form.
    "http://127.0.0.1:{port}",
    "http://127.0.0.2:{port}",
    "http://127.255.255.254:{port}",
    "http://localhost:{port}",
    "http://LocalHost:{port}",
    "http://localhost.:{port}",
    "http://ip6-localhost:{port}",
    "http://[::1]:{port}",
    "http://[0:0:0:0:0:0:0:1]:{port}",
    "http://0.0.0.0:{port}",
    "http://[::]:{port}",
    // Spellings that resolvers read as 127.0.0.1.
    "http://127.1:{port}",
    "http://127.0.1:{port}",
    "http://0:{port}",
    "http://2130706433:{port}",
    "http://0x7f000001:{port}",
    "http://0x7F.0.0.1:{port}",
    "http://0x7f.1:{port}",
    "http://0177.0.0.1:{port}",
    "http://017700000001:{port}",
    "http://127.0.0.01:{port}",
    // IPv6 that carries IPv4.
    "http://[::ffff:127.0.0.1]:{port}",
    "http://[::ffff:7f00:1]:{port}",
    "http://[0:0:0:0:0:ffff:7f00:0001]:{port}",
    "http://[::127.0.0.1]:{port}",
    "http://[64:ff9b::127.0.0.1]:{port}",
    "http://[64:ff9b:1::7f00:1]:{port}",
    "http://[2002:7f00:1::1]:{port}",
    "http://[::ffff:169.254.169.254]",
    // Metadata services.
    "http://169.254.169.254/latest/meta-data",
    "http://169.254.170.2",
    "http://[fd00:ec2::254]",
    "http://100.100.100.200",
    "http://168.63.129.16",
    "http://192.0.0.192",
    "http://metadata.google.internal",
    // Private, link-local, multicast and reserved.
    "http://10.0.0.1:{port}",
    "https://10.255.255.255",
    "http://172.16.0.1",
    "http://172.31.255.255",
    "http://192.168.1.1",
    "http://[fc00::1]",
    "http://[fe80::1]",
    "http://224.0.0.1",
    "http://255.255.255.255",
    // Users in URLs, and what looks like an allowed host.
    "http://user@127.0.0.1:{port}",
    "http://user:hunter2@127.0.0.1:{port}",
    "http://api.example.com@127.0.0.1:{port}",
    "http://api.example.com:80@127.0.0.1:{port}",
    "http://127.0.0.1:{port}@api.example.com",
    "http://127.0.0.1.:{port}",
    // Names that lead inside.
    "http://rebound.test:{port}",
    "https://rebound.test:{port}",
    "http://mapped.test:{port}",
    "http://mixed.test:{port}",
    // Other schemes and ports that are none.
    "ftp://127.0.0.1:{port}",
    "ws://127.0.0.1:{port}",
    "file://127.0.0.1/etc/passwd",
    "http://127.0.0.1:0",
    "http://127.0.0.1:99999",
];

fn hosts() -> Hosts {
    Hosts::default()
        .with("localhost", &[&["::1", "127.0.0.1"]])
        .with("ip6-localhost", &[&["::1"]])
        .with("metadata.google.internal", &[&["169.254.169.254"]])
        .with("rebound.test", &[&["127.0.0.1"]])
        .with("mapped.test", &[&["::ffff:127.0.0.1"]])
        .with("mixed.test", &[&["10.0.0.1", "127.0.0.1", "fe80::1"]])
        .with("api.example.com", &[&["127.0.0.1"]])
}

#[test]
fn hostile_endpoints_get_no_connection() {
    local(async {
        let server = Server::always(OK).await;
        let port = server.address.port().to_string();
        // Another port of the same address is allowed, which must not open this one.
        let egress = EgressRules::new(["127.0.0.1:1"]).expect("a rule");
        let client = Upstream::new(UpstreamConfig {
            egress,
            ..hosts().config()
        });
        assert!(HOSTILE.len() >= 30);
        for endpoint in HOSTILE {
            let endpoint = endpoint.replace("{port}", &port);
            if endpoint.parse::<http::Uri>().is_err() {
                continue;
            }
            let error = send(&client, &endpoint).await.err().expect(&endpoint);
            assert_eq!(error.kind, UpstreamErrorKind::Egress, "{endpoint}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert_eq!(client.dials(), 0, "{endpoint}");
        }
        assert_eq!(server.seen.connections.get(), 0);
    });
}

#[test]
fn operating_systems_localhost_is_judged_too() {
    local(async {
        let server = Server::always(OK).await;
        let url = format!("http://localhost:{}", server.address.port());
        let client = Upstream::new(UpstreamConfig::default());
        let error = send(&client, &url).await.err().expect("refused");
        assert_eq!(error.kind, UpstreamErrorKind::Egress);
        assert_eq!(server.seen.connections.get(), 0);
        let answer = send(&server.client(), &url)
            .await
            .expect("127.0.0.1 is listed");
        assert_eq!(read(answer).await.expect("whole"), "ok");
    });
}

#[test]
fn name_that_moves_inside_is_refused_when_it_does() {
    local(async {
        let server =
            Server::always("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
                .await;
        let hosts =
            Hosts::default().with("moves.test", &[&["127.0.0.1"], &["127.0.0.2"], &["::1"]]);
        let client = server.client_with(hosts.config());
        let url = format!("http://moves.test:{}", server.address.port());
        read(send(&client, &url).await.expect("an answer"))
            .await
            .expect("whole");
        for _ in 0..2 {
            let error = send(&client, &url).await.err().expect("refused");
            assert_eq!(error.kind, UpstreamErrorKind::Egress);
        }
        assert_eq!(client.dials(), 1);
    });
}

#[test]
fn of_several_addresses_only_allowed_ones_are_tried() {
    local(async {
        let server = Server::always(OK).await;
        let hosts = Hosts::default().with("mixed.test", &[&["10.0.0.1", "127.0.0.2", "127.0.0.1"]]);
        let client = server.client_with(hosts.config());
        let url = format!("http://mixed.test:{}", server.address.port());
        read(send(&client, &url).await.expect("an answer"))
            .await
            .expect("whole");
        assert_eq!(client.dials(), 1);
    });
}

#[test]
fn redirects_are_answers_and_not_followed() {
    local(async {
        let inside = Server::always(OK).await;
        let location: &'static str = Box::leak(
            format!(
                "HTTP/1.1 307 Go\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
                inside.url()
            )
            .into(),
        );
        let server = Server::always(location).await;
        let answer = send(&server.client(), &server.url())
            .await
            .expect("an answer");
        assert_eq!(answer.status, 307);
        assert_eq!(inside.seen.connections.get(), 0);
    });
}

#[test]
fn credential_goes_to_its_own_origin_and_tenant_alone() {
    local(async {
        let own = Server::always(OK).await;
        let foreign = Server::always(OK).await;
        let egress = EgressRules::new(["127.0.0.0/8"]).expect("a rule");
        let hosts = Hosts::default().with("alias.test", &[&["127.0.0.1"]]);
        let client = Upstream::new(UpstreamConfig {
            egress,
            ..hosts.config()
        });
        let origins = [format!("http://{}", own.address)];
        let secret = SecretString::from("hunter2");
        let credential = Credential::new("key", secret, &origins, &["acme".to_owned()], None);
        let credential = credential.expect("valid");
        let call = |tenant| Call {
            credential: Some(&credential),
            tenant,
            ..Call::default()
        };
        let alias = format!("http://alias.test:{}", own.address.port());
        let tls = format!("https://{}", own.address);
        for (tenant, url) in [
            ("acme", foreign.url()),
            ("acme", alias),
            ("acme", tls),
            ("other", own.url()),
            ("", own.url()),
        ] {
            let error = call(tenant)
                .send(&client, &url)
                .await
                .err()
                .expect("refused");
            assert_eq!(error.kind, UpstreamErrorKind::Egress, "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        assert_eq!(client.dials(), 0);
        let answer = call("acme")
            .send(&client, &own.url())
            .await
            .expect("allowed");
        assert_eq!(read(answer).await.expect("whole"), "ok");
        assert!(own.seen.requests.borrow()[0].contains("authorization: Bearer hunter2"));
        assert!(foreign.seen.requests.borrow().is_empty());
    });
}
