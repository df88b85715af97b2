//! nginx as a plain reverse proxy: what moving the bytes alone costs.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::GATEWAY_CORE;
use super::cpu::children;

/// One worker, connections to the provider kept, streams unbuffered, no log of requests.
const CONFIG: &str = "\
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 65;
    keepalive_requests 100000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_body_buffer_size 1m;
    client_max_body_size 32m;
    upstream provider {
        server PROVIDER;
        keepalive 256;
        keepalive_requests 100000000;
    }
    server {
        listen LISTEN backlog=1024;
        location / {
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_buffering off;
            proxy_read_timeout 600s;
        }
    }
}
";
const LOOKS: u32 = 500;
const LOOK: Duration = Duration::from_millis(10);

/// nginx in a folder of its own. Dropped, it ends.
pub(super) struct Nginx {
    child: Child,
    _folder: TempDir,
}

impl Nginx {
    pub(super) fn start(listen: SocketAddr, provider: SocketAddr) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let config = CONFIG
            .replace("PROVIDER", &provider.to_string())
            .replace("LISTEN", &listen.to_string());
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, config)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let child = Command::new("taskset")
            .args(["-c", &GATEWAY_CORE.to_string(), "nginx", "-p"])
            .arg(folder.path())
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start nginx")?;
        let mut this = Self {
            child,
            _folder: folder,
        };
        for _ in 0..LOOKS {
            if std::net::TcpStream::connect(listen).is_ok() {
                return Ok(this);
            }
            if let Some(status) = this
                .child
                .try_wait()
                .context("cannot ask for the process")?
            {
                bail!("nginx ended before it served ({status}); is it installed?");
            }
            std::thread::sleep(LOOK);
        }
        bail!("nginx does not serve")
    }

    /// Master and worker.
    pub(super) fn pids(&self) -> anyhow::Result<Vec<u32>> {
        let mut pids = children(self.child.id())?;
        pids.push(self.child.id());
        Ok(pids)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The worker ends with its master only where that is asked, not killed.
        let id = self.child.id().to_string();
        let _it_may_have_ended = Command::new("kill").args(["-TERM", &id]).status();
        let _reaped_already = self.child.wait();
    }
}

/// What `nginx -v` says.
///
/// # Errors
/// Where it cannot be run.
pub fn version() -> anyhow::Result<String> {
    let output = Command::new("nginx")
        .arg("-v")
        .output()
        .context("cannot run nginx; install it (Debian, Ubuntu: apt-get install nginx-light)")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = said.trim().rsplit('/').next().unwrap_or_default();
    Ok(version.to_owned())
}
