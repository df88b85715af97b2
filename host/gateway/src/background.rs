//! What runs beside the data plane: the control listener, and the care for replaced snapshots.

use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::decisions::LogSource;
use crate::limits;
use crate::node::Node;

/// The control listener while it serves.
pub(crate) struct Control {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Control {
    /// Stops accepting and lets requests under way end, within a bound of its own; what comes then waits in the
    /// socket's queue.
    pub(crate) async fn end(self) {
        let _ended_by_itself = self.end.send(());
        // A panic there is told by the hook.
        let _ended = self.task.await;
    }
}

/// Serves the control listener on the runtime that is entered, until it is ended or the process is.
pub(crate) fn control(node: &Arc<Node>, listener: &StdListener) -> anyhow::Result<Control> {
    let listener = listener.try_clone().and_then(TcpListener::from_std);
    let listener = listener.context("cannot use the control listener")?;
    let metrics = Arc::clone(&node.metrics);
    let control = pointsman_control::Control::new(
        node.admin_token.clone(),
        Arc::clone(&node.ready) as Arc<dyn pointsman_control::Readiness>,
        Arc::new(move || metrics.encode()),
        Arc::new(LogSource::new(node.decisions_dir())),
    );
    let plane = Arc::clone(&node.plane) as Arc<dyn pointsman_control::ControlPlane>;
    let control = control.with_plane(plane);
    let (end, ended) = oneshot::channel();
    let task = tokio::spawn(async move {
        let ended = async {
            // Dropped without a word: the process goes.
            let _told = ended.await;
        };
        if let Err(error) = pointsman_control::serve(listener, control, ended).await {
            tracing::error!(error = %error, "the control listener ended");
        }
    });
    Ok(Control { end, task })
}

/// Frees replaced snapshots, on the runtime that is entered.
pub(crate) fn watch(node: &Arc<Node>, stopping: watch::Receiver<bool>) {
    if node.succeeds {
        tokio::spawn(follow_predecessor(Arc::clone(node), stopping.clone()));
    }
    tokio::spawn(keep_sums(Arc::clone(node), stopping.clone()));
    tokio::spawn(sweep(Arc::clone(node), stopping));
}

/// Takes up what the process before this one charges until it has ended.
async fn follow_predecessor(node: Arc<Node>, mut stopping: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(Duration::from_millis(limits::PREDECESSOR_POLL_MS));
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            _ = tick.tick() => {}
        }
        let node = Arc::clone(&node);
        let followed = tokio::task::spawn_blocking(move || node.follow_predecessor()).await;
        match followed {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) | Err(_) => return,
            Ok(Err(error)) => {
                tracing::error!(error = %format!("{error:#}"), "what the process before this one charged is not counted yet");
            }
        }
    }
}

/// Puts sums beside sealed segments of the decision log, so that the next start need not read them.
async fn keep_sums(node: Arc<Node>, mut stopping: watch::Receiver<bool>) {
    let pause = Duration::from_millis(limits::SUMS_POLL_MS);
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(pause) => {}
        }
        let folder = node.decisions_dir();
        let kept = tokio::task::spawn_blocking(move || pointsman_audit::keep_sums(&folder)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(error = %error, "sums of the decision log could not be kept; the next start makes them");
        }
    }
}

/// Frees what no request holds any more, and cuts what is kept beyond its bound.
async fn sweep(node: Arc<Node>, mut stopping: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(Duration::from_millis(limits::SWEEP_MS));
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            _ = tick.tick() => {}
        }
        let plane = Arc::clone(&node.plane);
        let Ok(retired) = tokio::task::spawn_blocking(move || plane.sweep()).await else {
            continue;
        };
        node.metrics
            .retired(retired.snapshots as u64, retired.bytes as u64);
        if retired.cut_below > *node.cut_below.borrow() {
            tracing::warn!(
                bytes = retired.bytes,
                below = retired.cut_below,
                "replaced policy versions hold more than their bound; their requests are cut"
            );
            node.cut_below.send_replace(retired.cut_below);
        }
    }
}
