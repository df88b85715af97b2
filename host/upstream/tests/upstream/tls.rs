//! TLS against a root of our own.

use std::rc::Rc;
use std::sync::Arc;

use pointsman_upstream::{EgressRules, Roots, Upstream, UpstreamConfig, UpstreamErrorKind};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::{Hosts, Seen, Server, Step, converse, local, read, send};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server that is certified as `provider.test`, and its root.
async fn start() -> (Server, Vec<u8>) {
    let key = || KeyPair::generate().expect("a key");
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, key()).expect("a root");
    let leaf_key = key();
    let leaf = CertificateParams::new(["provider.test".to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&leaf_key, &root).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into()),
        )
        .expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let seen = Rc::<Seen>::default();
    let shared = Rc::clone(&seen);
    tokio::task::spawn_local(async move {
        while let Ok((socket, _peer)) = listener.accept().await {
            let (seen, acceptor) = (Rc::clone(&shared), acceptor.clone());
            tokio::task::spawn_local(async move {
                let Ok(stream) = acceptor.accept(socket).await else {
                    return;
                };
                let connection = seen.connections.replace(seen.connections.get() + 1);
                converse(stream, &seen, |request| match (connection, request) {
                    (0, 2) => vec![Step::Close],
                    _ => vec![Step::Send(OK)],
                })
                .await;
            });
        }
    });
    (Server { address, seen }, root.der().to_vec())
}

fn client(server: &Server, roots: Roots) -> Upstream {
    let hosts = Hosts::default()
        .with("provider.test", &[&["127.0.0.1"]])
        .with("other.test", &[&["127.0.0.1"]]);
    let rule = server.address.to_string();
    Upstream::new(UpstreamConfig {
        egress: EgressRules::new([rule.as_str()]).expect("a rule"),
        roots,
        ..hosts.config()
    })
}

#[test]
fn listed_root_is_trusted_and_its_connections_are_reused() {
    local(async {
        let (server, root) = start().await;
        let client = client(&server, Roots::default().with_der(&root).expect("a root"));
        let url = format!("https://provider.test:{}/v1", server.address.port());
        // The third request meets a connection that closes silently: session tickets are no answer.
        for dials in [1, 1, 2] {
            let answer = send(&client, &url).await.expect("an answer");
            assert_eq!(read(answer).await.expect("whole"), "ok");
            assert_eq!(client.dials(), dials);
        }
        let host = format!("host: provider.test:{}", server.address.port());
        assert!(server.seen.requests.borrow()[0].contains(&host));
    });
}

#[test]
fn unknown_root_and_other_name_are_tls_failures() {
    local(async {
        let (server, root) = start().await;
        let known = Roots::default().with_der(&root).expect("a root");
        for (roots, name) in [
            (Roots::default(), "provider.test"),
            (known.clone(), "other.test"),
            (known, "127.0.0.1"),
        ] {
            let client = client(&server, roots);
            let url = format!("https://{name}:{}", server.address.port());
            let error = send(&client, &url).await.err().expect("refused");
            assert_eq!(error.kind, UpstreamErrorKind::Tls, "{name}");
        }
        assert!(server.seen.requests.borrow().is_empty());
    });
}

#[test]
fn what_is_no_certificate_is_no_root() {
    assert!(Roots::default().with_der(b"junk").is_err());
}
