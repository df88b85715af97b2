//! What runs beside the data plane: the control listener and the watch on the tenants file.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::decisions::LogSource;
use crate::limits;
use crate::node::Node;

/// The control listener, where it really listens.
pub(crate) struct ControlAddress {
    pub(crate) address: SocketAddr,
}

/// Starts both; they stop with the process, after the drain.
pub(crate) async fn start(
    node: Arc<Node>,
    address: SocketAddr,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<ControlAddress> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; is another process there? set control.listen or POINTSMAN_CONTROL_LISTEN")
    })?;
    let address = listener
        .local_addr()
        .context("cannot read the control listener's address")?;
    let metrics = Arc::clone(&node.metrics);
    let control = pointsman_control::Control {
        token: node.admin_token.clone(),
        readiness: Arc::clone(&node.ready) as Arc<dyn pointsman_control::Readiness>,
        metrics: Arc::new(move || metrics.encode()),
        decisions: Arc::new(LogSource::new(node.decisions_dir())),
    };
    tokio::spawn(async move {
        if let Err(error) =
            pointsman_control::serve(listener, control, std::future::pending()).await
        {
            tracing::error!(error = %error, "the control listener ended");
        }
    });
    tokio::spawn(watch_tenants(node, stopping));
    Ok(ControlAddress { address })
}

async fn watch_tenants(node: Arc<Node>, mut stopping: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(Duration::from_millis(limits::TENANTS_POLL_MS));
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            _ = tick.tick() => {}
        }
        let tenants = Arc::clone(&node.tenants);
        let refreshed = tokio::task::spawn_blocking(move || tenants.refresh()).await;
        match refreshed {
            Ok(Ok(true)) => tracing::info!("tenants file re-read"),
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::error!(error = %format!("{error:#}"), "tenants file is broken; the last good one stays in force");
            }
        }
    }
}
