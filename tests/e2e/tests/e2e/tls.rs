//! TLS: who is let in, certificates that change under load, and files that are wrong.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pointsman_e2e::{policy, says, streams};
use pointsman_harness::{
    Authority, Client, Gateway, GatewayOptions, Identity, Provider, Raw, eventually,
};
use rustls::ClientConfig;
use serde_json::{Value, json};

/// A gateway over TLS; `more` is further keys of `data.tls`.
async fn serving(
    folder: &Path,
    identity: &Identity,
    more: &Value,
) -> anyhow::Result<(Provider, Gateway)> {
    let (certificate, key) = identity.write(folder)?;
    let mut tls = json!({"certificate": certificate, "key": key});
    for (name, value) in more.as_object().into_iter().flatten() {
        tls[name] = value.clone();
    }
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.settings = json!({"data": {"tls": tls}});
    Ok((provider, Gateway::start(options).await?))
}

fn client(gateway: &Gateway, trusting: &Arc<ClientConfig>) -> anyhow::Result<Client> {
    Ok(gateway.client("demo")?.with_tls(trusting))
}

#[tokio::test]
async fn both_protocols_and_both_versions_are_served() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new()?;
    let identity = authority.identity("one")?;
    let (_provider, gateway) = serving(folder.path(), &identity, &json!({})).await?;
    assert!(
        gateway.data_url.starts_with("https://127.0.0.1:"),
        "{}",
        gateway.data_url
    );
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let trusting = authority.trusted_with(None, &[version])?;
        let one = client(&gateway, &trusting)?;
        for client in [one.clone(), one.with_http2()] {
            assert_eq!(client.get("/v1/models").await?.status, 200, "{version:?}");
            let reply = client.chat(&says("x")).await?;
            assert!(
                reply.content().contains("Paris"),
                "{version:?}: {}",
                reply.text()
            );
            let reply = client.chat(&streams("x")).await?;
            assert!(
                reply.content().contains("Paris"),
                "{version:?}: {}",
                reply.text()
            );
        }
    }
    let stranger = Authority::new()?.trusted(None)?;
    assert!(
        client(&gateway, &stranger)?
            .get("/v1/models")
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_changes_under_load_fails_no_request() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new()?;
    let first = authority.identity("first")?;
    let (_provider, gateway) = serving(folder.path(), &first, &json!({})).await?;
    let trusting = authority.trusted(None)?;
    let client = client(&gateway, &trusting)?;
    let kept = client.multiplexed().await?;
    assert_eq!(kept.chat(&says("x")).await?.status, 200);
    let (stop, served) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    let load: Vec<_> = (0..4)
        .map(|index| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            let client = if index % 2 == 0 {
                client.clone()
            } else {
                client.clone().with_http2()
            };
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let reply = client.chat(&says("x")).await?;
                    anyhow::ensure!(reply.status == 200, "{}", reply.text());
                    served.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for name in ["second", "third"] {
        let next = authority.identity(name)?;
        next.write(folder.path())?;
        let before = served.load(Ordering::Relaxed);
        eventually("new connections get the new certificate", async || {
            let shown = client.shown_certificate().await;
            shown.is_ok_and(|shown| shown == next.der())
        })
        .await?;
        eventually("requests go on", async || {
            served.load(Ordering::Relaxed) > before + 8
        })
        .await?;
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await??;
    }
    assert_eq!(
        kept.chat(&says("x")).await?.status,
        200,
        "who was connected stays so"
    );
    Ok(())
}

#[tokio::test]
async fn a_broken_pair_changes_nothing_and_is_told_once() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new()?;
    let good = authority.identity("good")?;
    let (_provider, gateway) = serving(folder.path(), &good, &json!({})).await?;
    let client = client(&gateway, &authority.trusted(None)?)?;
    let key = folder.path().join("key.pem");
    let kept = std::fs::read(&key)?;
    let told = |words: &str| gateway.process.log().matches(words).count();
    std::fs::write(&key, "no key")?;
    eventually("it is told", async || told("holds no private key") == 1).await?;
    assert_eq!(client.shown_certificate().await?, good.der());
    // The key of another: readable, but no pair.
    let elsewhere = tempfile::tempdir()?;
    let (_, other) = authority.identity("other")?.write(elsewhere.path())?;
    std::fs::copy(other, &key)?;
    eventually("it is told", async || told("are no pair that serves") == 1).await?;
    std::fs::remove_file(&key)?;
    eventually("it is told", async || told("cannot read") == 1).await?;
    assert_eq!(client.chat(&says("x")).await?.status, 200);
    // Nothing has changed with the last good pair back, but it serves again.
    std::fs::write(&key, kept)?;
    eventually("it is taken", async || told("certificate changed") == 1).await?;
    for words in ["holds no private key", "are no pair", "cannot read"] {
        assert_eq!(told(words), 1, "{words}\n{}", gateway.process.log());
    }
    // SIGHUP asks, and is answered.
    gateway.process.hang_up()?;
    eventually("the look is told", async || told("has not changed") == 1).await?;
    assert_eq!(client.shown_certificate().await?, good.der());
    Ok(())
}

#[tokio::test]
async fn certificates_of_clients_are_asked_for_as_configured() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (servers, clients, others) = (Authority::new()?, Authority::new()?, Authority::new()?);
    let client_ca = folder.path().join("clients.pem");
    clients.write(&client_ca)?;
    let none = servers.trusted(None)?;
    let right = servers.trusted(Some(&clients.identity("right")?))?;
    let wrong = servers.trusted(Some(&others.identity("wrong")?))?;
    for (asked, without) in [("required", false), ("optional", true)] {
        let more = json!({"client-ca": client_ca, "client-certificates": asked});
        let identity = servers.identity("server")?;
        let (_provider, gateway) = serving(folder.path(), &identity, &more).await?;
        for (who, config, welcome) in [
            ("nobody", &none, without),
            ("one of theirs", &right, true),
            ("another's", &wrong, false),
        ] {
            let one = client(&gateway, config)?;
            for client in [one.clone(), one.with_http2()] {
                let reply = client.chat(&says("x")).await;
                let served = reply.as_ref().is_ok_and(|reply| reply.status == 200);
                assert_eq!(served, welcome, "{asked}, {who}: {reply:?}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn who_does_not_shake_hands_is_cut() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new()?;
    let identity = authority.identity("one")?;
    let more = json!({"handshake-timeout-ms": 300});
    let (_provider, gateway) = serving(folder.path(), &identity, &more).await?;
    for bytes in [
        "",
        "\x16\x03\x01",
        "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let began = Instant::now();
        let mut raw = Raw::connect(&gateway.data_url).await?;
        raw.write(bytes.as_bytes()).await?;
        let (told, _) = raw.read_to_end().await;
        assert!(!told.starts_with(b"HTTP"), "{bytes:?}");
        assert!(began.elapsed() < Duration::from_secs(20), "{bytes:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_expires_soon_is_warned_of() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new()?;
    let identity = authority.identity_until("old", 2020)?;
    let (_provider, gateway) = serving(folder.path(), &identity, &json!({})).await?;
    let log = gateway.process.log();
    assert!(
        log.contains("has expired") && log.contains("certificate.pem"),
        "{log}"
    );
    let next = authority.identity("new")?;
    next.write(folder.path())?;
    let client = client(&gateway, &authority.trusted(None)?)?;
    eventually("the new one serves", async || {
        client
            .get("/v1/models")
            .await
            .is_ok_and(|reply| reply.status == 200)
    })
    .await
}

#[tokio::test]
async fn files_that_cannot_serve_do_not_start() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new()?;
    let (certificate, key) = authority.identity("one")?.write(folder.path())?;
    let elsewhere = tempfile::tempdir()?;
    let (_, other) = authority.identity("other")?.write(elsewhere.path())?;
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "")?;
    let missing = folder.path().join("missing.pem");
    let cases = [
        (json!({"certificate": missing, "key": key}), "missing.pem"),
        (
            json!({"certificate": empty, "key": key}),
            "BEGIN CERTIFICATE",
        ),
        (
            json!({"certificate": certificate, "key": empty}),
            "BEGIN PRIVATE KEY",
        ),
        (
            json!({"certificate": certificate, "key": other}),
            "is the key the one of the first certificate?",
        ),
        (json!({"certificate": certificate}), "data.tls.key"),
        (
            json!({"certificate": certificate, "key": key, "client-certificates": "required"}),
            "client-ca",
        ),
        (
            json!({"certificate": certificate, "key": key, "client-ca": empty}),
            "client-certificates",
        ),
        (
            json!({"certificate": certificate, "key": key, "client-ca": empty, "client-certificates": "optional"}),
            "data.tls.client-ca",
        ),
    ];
    for (tls, words) in cases {
        let bundle = policy("test", &[("fake", "https://api.example.org/v1")], "");
        let mut options = GatewayOptions::serving(bundle, &[]);
        // No tenant: its command would be refused first.
        options.tenants.clear();
        options.settings = json!({"data": {"tls": tls}});
        let refused = Gateway::start(options)
            .await
            .err()
            .map(|error| format!("{error:#}"));
        let refused = refused.unwrap_or_default();
        assert!(
            refused.contains(words) && !refused.contains("panicked"),
            "{tls}: {refused}"
        );
    }
    Ok(())
}
