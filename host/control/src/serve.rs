//! Connections: accepted, bounded, drained.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_service::Service as _;

use crate::Control;
use crate::problem::Problem;
use crate::routes::router;

/// Connections at once; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 256;
/// Time for a request's headers, from the end of the last request on a connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// How long requests under way may take once the listener closes.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a caller may go on sending after its answer.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that a caller may go on sending after its answer.
const LINGER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of one read of those.
const LINGER_READ_BYTES: usize = 64 * 1024;
/// Pause after a failed accept, such as at the limit of open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the listener does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Nobody could be told from anybody.
    #[error(
        "the admin token is empty; put one where `control.token` points, or remove that file to have one made"
    )]
    EmptyToken,
}

/// Serves until `shutdown` is ready, then lets requests under way end.
///
/// # Errors
/// Where the token is empty. What goes wrong with a connection stays with it.
pub async fn serve(
    listener: TcpListener,
    control: Control,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ControlError> {
    if control.token.expose_secret().trim().is_empty() {
        return Err(ControlError::EmptyToken);
    }
    let (close, closing) = watch::channel(false);
    let router = router(control, closing.clone());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = shutdown.as_mut() => break,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), closing.clone()));
                }
                Err(error) => {
                    tracing::warn!(error = %error, "control: accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    let _all_may_have_left = close.send(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("control: connections were cut at the end of the drain");
    }
    Ok(())
}

async fn connection(stream: TcpStream, router: Router, closing: watch::Receiver<bool>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        Box::pin(answer(router.clone(), request))
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    builder
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let mut connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut close = closing.clone();
    let closed = async {
        let _closing_or_gone = close.wait_for(|closing| *closing).await;
    };
    // Not shut down by hyper: what a caller still sends would then reset the connection before it reads the answer.
    let ended = tokio::select! {
        ended = poll_fn(|context| connection.poll_without_shutdown(context)) => ended,
        () = closed => {
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|context| connection.poll_without_shutdown(context)).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "control: connection ended");
    }
    // A listener that closes waits for its answers, not for callers that idle.
    if !*closing.borrow() {
        linger(connection.into_parts().io.into_inner()).await;
    }
}

/// Says that no more comes, and takes what the caller still sends: for a while, and no more than so much.
async fn linger(mut stream: TcpStream) {
    let rest = async {
        stream.shutdown().await?;
        let mut taken = 0;
        let mut bytes = vec![0; LINGER_READ_BYTES];
        while taken < LINGER_BYTES_MAX {
            match stream.read(&mut bytes).await? {
                0 => break,
                read => taken += read,
            }
        }
        std::io::Result::Ok(())
    };
    if let Ok(Err(error)) = tokio::time::timeout(LINGER, rest).await {
        tracing::debug!(error = %error, "control: connection ended");
    }
}

/// The router's answer; where the method is wrong, with the methods that are right, which it alone knows.
async fn answer(
    mut router: Router,
    request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = router.call(request).await?;
    let allow = match response.headers().get(header::ALLOW) {
        Some(allow) if response.status() == StatusCode::METHOD_NOT_ALLOWED => allow.clone(),
        _ => return Ok(response),
    };
    let allowed = allow.to_str().unwrap_or_default();
    let mut problem = Problem::method(&method, uri.path(), allowed).into_response();
    problem.headers_mut().insert(header::ALLOW, allow);
    if method == Method::HEAD {
        *problem.body_mut() = Body::empty();
    }
    Ok(problem)
}
