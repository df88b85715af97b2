//! SIGUSR2: another process takes over the sockets; nobody who calls can tell.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use command_fds::{CommandFdExt as _, FdMapping};
use pointsman_e2e::{policy, says, serving, streams};
use pointsman_harness::{
    Client, Ended, Gateway, GatewayOptions, Provider, Raw, binary, eventually,
};
use serde_json::json;

/// Clients that ask without a pause: new connections, HTTP/2 ones, and one that is kept.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU32>,
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<()>>>,
}

impl Load {
    fn start(client: &Client) -> Self {
        let (stop, served) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU32::new(0)),
        );
        let tasks = (0..6).map(|index| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            let client = if index % 2 == 0 {
                client.clone()
            } else {
                client.clone().with_http2()
            };
            tokio::spawn(async move {
                let mut n = index;
                while !stop.load(Ordering::Relaxed) {
                    n += 6;
                    let text = format!("number {n}");
                    let body = if n % 3 == 0 {
                        streams(&text)
                    } else {
                        says(&text)
                    };
                    let reply = client.chat(&body).await?;
                    anyhow::ensure!(
                        reply.status == 200 && reply.content() == text,
                        "{}",
                        reply.text()
                    );
                    served.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        });
        Self {
            tasks: tasks.collect(),
            stop,
            served,
        }
    }

    async fn goes_on(&self) -> anyhow::Result<()> {
        let before = self.served.load(Ordering::Relaxed);
        eventually("requests go on", async || {
            self.served.load(Ordering::Relaxed) > before + 20
        })
        .await
    }

    async fn end(self) -> anyhow::Result<u32> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(self.served.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn under_load_no_request_fails_and_streams_end_whole() -> anyhow::Result<()> {
    let (provider, mut gateway) = serving("").await?;
    let deltas: Vec<String> = (0..60).map(|n| format!("{n} ")).collect();
    let long = json!({"match": {"contains": "long"}, "always": true, "deltas": deltas, "delays": {"chunk-ms": 50}});
    provider
        .script(&json!({"answers": [long], "default": {"echo": true}}))
        .await?;
    let client = gateway.client("demo")?;
    let mut begun = Vec::new();
    for client in [client.clone(), client.clone().with_http2()] {
        for _ in 0..5 {
            begun.push(client.open_chat(&streams("a long one")).await?);
        }
    }
    let load = Load::start(&client);
    load.goes_on().await?;
    let second = gateway.upgrade().await?;
    assert_ne!(second.id(), gateway.process.id());
    load.goes_on().await?;
    for streaming in begun {
        let id = streaming
            .header("x-pointsman-request-id")
            .expect("an id")
            .to_owned();
        let reply = streaming.whole().await?;
        assert_eq!(reply.content(), deltas.concat(), "it broke off");
        // The record is the old process's, and is not closed twice.
        assert_eq!(gateway.why(&id).await?["closed"]["outcome"], "ok");
    }
    let status = gateway.process.ended().await?;
    assert!(status.success(), "{status}\n{}", gateway.process.log());
    load.goes_on().await?;
    // And once more, from a process that has taken over itself.
    let third = gateway.upgrade().await?;
    load.goes_on().await?;
    second.ended().await?;
    let served = load.end().await?;
    assert!(served > 80, "{served}");
    assert_eq!(gateway.control()?.get("/readyz").await?.status, 200);
    assert!(
        gateway
            .cli(&["decisions", "list", "--outcome", "error", "--json"])?
            .stdout
            .trim()
            .is_empty()
    );
    third.terminate()?;
    third.ended().await?;
    let sound = gateway.cli(&["audit", "verify"])?;
    assert_eq!(sound.code, Some(0), "{}", sound.stdout);
    assert!(
        client.get("/v1/models").await.is_err(),
        "somebody still listens"
    );
    Ok(())
}

/// One request on a connection that is kept, and the status line of its answer; none where the connection is closed.
async fn on_kept(raw: &mut Raw, key: &str) -> Option<String> {
    let request =
        format!("GET /v1/models HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\n\r\n");
    raw.write(request.as_bytes()).await.ok()?;
    let answer = raw.read().await.ok()?;
    let line = answer.split(|&byte| byte == b'\r').next()?;
    (!answer.is_empty()).then(|| String::from_utf8_lossy(line).into_owned())
}

#[tokio::test]
async fn kept_connections_of_the_old_process_serve_nobody_any_more() -> anyhow::Result<()> {
    let (provider, mut gateway) = serving("").await?;
    let deltas: Vec<String> = (0..80).map(|n| format!("{n} ")).collect();
    let long = json!({"match": {"contains": "long"}, "always": true, "deltas": deltas, "delays": {"chunk-ms": 50}});
    provider
        .script(&json!({"answers": [long], "default": {"echo": true}}))
        .await?;
    let key = gateway.new_key("demo", &[]).await?;
    let client = Client::new(&gateway.data_url).with_key(&key);
    // It holds the old process.
    let streaming = client.open_chat(&streams("a long one")).await?;
    let shared = client.multiplexed().await?;
    assert_eq!(shared.chat(&says("x")).await?.status, 200);
    let mut kept = Raw::connect(&gateway.data_url).await?;
    let mut silent = Raw::connect(&gateway.data_url).await?;
    for _ in 0..2 {
        let line = on_kept(&mut kept, &key).await;
        assert_eq!(line.as_deref(), Some("HTTP/1.1 200 OK"));
    }
    let _second = gateway.upgrade().await?;
    let keys = gateway.cli(&["key", "list", "--json"])?.json();
    let id = keys.as_array().and_then(|keys| keys.last()).expect("keys")["id"].clone();
    gateway.cli(&["key", "revoke", id.as_str().expect("an id")])?;
    assert_eq!(client.chat(&says("x")).await?.status, 401);
    assert_eq!(on_kept(&mut kept, &key).await, None);
    let late = shared.chat(&says("x")).await;
    assert!(late.is_err() || late.is_ok_and(|reply| reply.status == 503));
    // Who never asked anything had a second for it.
    let (said, ended) = silent.read_to_end().await;
    assert!(said.is_empty() && ended != Ended::Silent, "{ended:?}");
    assert!(gateway.process.running(), "it has a stream to end");
    assert_eq!(streaming.whole().await?.content(), deltas.concat());
    gateway.process.ended().await?;
    Ok(())
}

#[tokio::test]
async fn one_that_cannot_start_changes_nothing() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    provider.script(&json!({"default": {"echo": true}})).await?;
    let client = gateway.client("demo")?;
    let load = Load::start(&client);
    let settings = std::fs::read_to_string(gateway.config())?;
    std::fs::write(gateway.config(), format!("nonsense = 1\n{settings}"))?;
    gateway.process.upgrade()?;
    eventually("it is told", async || {
        let log = gateway.process.log();
        log.contains("not upgraded") && log.contains("nonsense")
    })
    .await?;
    load.goes_on().await?;
    assert_eq!(gateway.control()?.get("/readyz").await?.status, 200);
    std::fs::write(gateway.config(), settings)?;
    // What operators do goes on as well.
    gateway.new_key("demo", &[]).await?;
    let second = gateway.upgrade().await?;
    load.goes_on().await?;
    gateway.new_key("demo", &[]).await?;
    load.end().await?;
    drop(second);
    Ok(())
}

#[tokio::test]
async fn the_file_at_its_path_is_started_and_has_a_time() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("pointsman");
    std::fs::copy(binary("pointsman")?, &program)?;
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], "");
    let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
    options.program = Some(program.clone());
    options.settings = json!({"data": {"upgrade-ms": 1000}});
    let gateway = Gateway::start(options).await?;
    provider.script(&json!({"default": {"echo": true}})).await?;
    let load = Load::start(&gateway.client("demo")?);
    // Another release, which starts and never serves.
    let next = folder.path().join("next");
    let started = folder.path().join("started");
    std::fs::write(
        &next,
        format!(
            "#!/bin/sh\necho $$ > {}\nexec sleep 600\n",
            started.display()
        ),
    )?;
    std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o755))?;
    std::fs::rename(&next, &program)?;
    gateway.process.upgrade()?;
    eventually("it is told", async || {
        gateway.process.log().contains("data.upgrade-ms")
    })
    .await?;
    let pid = std::fs::read_to_string(&started)?;
    assert!(
        !std::path::Path::new("/proc").join(pid.trim()).exists(),
        "it still runs"
    );
    load.goes_on().await?;
    assert_eq!(gateway.control()?.get("/readyz").await?.status, 200);
    load.end().await?;
    Ok(())
}

#[tokio::test]
async fn sockets_of_systemd_are_served() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, control) = (
        std::net::TcpListener::bind("127.0.0.1:0")?,
        std::net::TcpListener::bind("127.0.0.1:0")?,
    );
    let (data_address, control_address) = (data.local_addr()?, control.local_addr()?);
    let mut command = Command::new(binary("pointsman")?);
    command.env_clear().current_dir(folder.path()).arg("serve");
    command
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", "control:data")
        .env("POINTSMAN_DATA_LISTEN", "127.0.0.1:0")
        .env("POINTSMAN_DATA_WORKERS", "3")
        .env("POINTSMAN_CONTROL_LISTEN", "127.0.0.1:0");
    command.fd_mappings(vec![
        FdMapping {
            parent_fd: control.into(),
            child_fd: 3,
        },
        FdMapping {
            parent_fd: data.into(),
            child_fd: 4,
        },
    ])?;
    // A client that comes before the server is not refused.
    let early = Client::new(&format!("http://{data_address}"));
    let early = tokio::spawn(async move { early.get("/v1/models").await });
    let mut child = command.stderr(Stdio::null()).spawn()?;
    let early = early.await?;
    let control = Client::new(&format!("http://{control_address}"))
        .get("/healthz")
        .await;
    child.kill()?;
    child.wait()?;
    assert_eq!((early?.status, control?.status), (401, 200));
    Ok(())
}
