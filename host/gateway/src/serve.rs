//! Load → build → serve → drain: threads, listeners and connections.
//!
//! One thread per core for the data plane, each with its own current-thread runtime, SO_REUSEPORT listener, upstream
//! pool and decision chain; control and watching on a separate multi-thread runtime.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use pointsman_domain::{ErrorKind, GatewayError};
use pointsman_wire::openai;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio_io_timeout::TimeoutWriter;
use tokio_util::task::TaskTracker;

use crate::limits;
use crate::node::Node;
use crate::pipeline;
use crate::reply::{self, ReplyBody};
use crate::worker::Worker;

/// Serves until a signal, then drains.
pub(crate) fn run(node: Node, ready_file: Option<&Path>) -> anyhow::Result<()> {
    let data_address: SocketAddr = node
        .config
        .data
        .listen
        .parse()
        .context("data.listen is not an address:port")?;
    let control_address: SocketAddr = node
        .config
        .control
        .listen
        .parse()
        .context("control.listen is not an address:port")?;
    quiet_panics();
    if let Some(path) = ready_file {
        // An earlier process's word must not be taken for ours.
        let _there_may_be_none = std::fs::remove_file(path);
    }
    unused(data_address)?;
    let first = listen(data_address)?;
    let data_address = first
        .local_addr()
        .context("cannot read the data listener's address")?;
    let workers = node.workers();
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(listen(data_address)?);
    }
    let background = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the control runtime")?;
    let (stop, stopping) = watch::channel(false);
    let node = Arc::new(node);
    let control = background.block_on(crate::background::start(
        Arc::clone(&node),
        control_address,
        stopping.clone(),
    ))?;
    let (started, starting) = std::sync::mpsc::channel();
    let mut threads = Vec::new();
    for (index, listener) in listeners.into_iter().enumerate() {
        let node = Arc::clone(&node);
        let (stopping, started) = (stopping.clone(), started.clone());
        let thread = std::thread::Builder::new().name(format!("data-{index}"));
        threads.push(
            thread
                .spawn(move || worker_thread(&node, index, listener, stopping, &started))
                .context("cannot start a thread")?,
        );
    }
    drop(started);
    // Ready means that every thread serves; one that cannot ends the start.
    for _ in 0..workers {
        starting
            .recv()
            .context("a data-plane thread ended before it served")??;
    }
    node.ready.set(true);
    let data_url = format!("http://{data_address}");
    let control_url = format!("http://{}", control.address);
    tracing::info!(data = %data_url, control = %control_url, workers, "serving");
    if let Some(path) = ready_file {
        let line = serde_json::json!({ "data_url": data_url, "control_url": control_url });
        std::fs::write(path, format!("{line}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    background.block_on(terminated())?;
    tracing::info!(
        drain_ms = node.config.data.drain_ms,
        "draining: no new connections"
    );
    node.ready.set(false);
    // All workers see this at once; each finishes its requests or reaches the drain bound.
    let _no_worker_left = stop.send(true);
    for thread in threads {
        match thread.join() {
            Ok(result) => result?,
            Err(_) => anyhow::bail!("a data-plane thread panicked; its requests were lost"),
        }
    }
    background.shutdown_timeout(Duration::from_secs(2));
    tracing::info!("drained");
    Ok(())
}

/// A panic's own words may repeat content, so the log tells its place alone.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "the gateway panicked; this is a bug");
    }));
}

/// SIGTERM or SIGINT.
async fn terminated() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn in_use(address: SocketAddr) -> String {
    format!(
        "cannot listen on {address}; is another process there? set data.listen or POINTSMAN_DATA_LISTEN"
    )
}

/// Fails where another process listens: with SO_REUSEPORT both would serve, each a share of the clients.
fn unused(address: SocketAddr) -> anyhow::Result<()> {
    let probe = || -> std::io::Result<()> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())
    };
    probe().with_context(|| in_use(address))
}

fn listen(address: SocketAddr) -> anyhow::Result<StdListener> {
    let in_use = || in_use(address);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )
    .with_context(in_use)?;
    socket.set_reuse_address(true).with_context(in_use)?;
    socket.set_reuse_port(true).with_context(in_use)?;
    socket.set_nonblocking(true).with_context(in_use)?;
    socket.bind(&address.into()).with_context(in_use)?;
    socket.listen(limits::LISTEN_BACKLOG).with_context(in_use)?;
    Ok(socket.into())
}

/// How a thread tells that it serves, or why it cannot.
type Started = std::sync::mpsc::Sender<anyhow::Result<()>>;

fn worker_thread(
    node: &Arc<Node>,
    index: usize,
    listener: StdListener,
    stopping: watch::Receiver<bool>,
    started: &Started,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let begin = || -> anyhow::Result<_> {
            let worker = Rc::new(Worker::new(Arc::clone(node), index)?);
            let listener = TcpListener::from_std(listener).context("cannot use the listener")?;
            Ok((worker, listener))
        };
        let (worker, listener) = match begin() {
            Ok(begun) => begun,
            Err(error) => {
                let _start_may_have_ended = started.send(Err(error));
                return Ok(());
            }
        };
        let _start_may_have_ended = started.send(Ok(()));
        accept(worker, listener, stopping).await;
        anyhow::Ok(())
    })
}

/// Accepts until told to stop, then waits for the connections, at most `data.drain-ms`.
async fn accept(worker: Rc<Worker>, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
    let tracker = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if tracker.len() < limits::CONNECTIONS_MAX => {
                tracker.spawn_local(connection(Rc::clone(&worker), stream, stopping.clone()));
            }
            // Over the bound: closing at once is the cheapest refusal.
            Ok((stream, _)) => drop(stream),
            Err(error) => {
                tracing::warn!(error = %error, "accept failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    drop(listener);
    tracker.close();
    let drain = Duration::from_millis(worker.config.data.drain_ms);
    let requests = worker.tasks.clone();
    requests.close();
    let all = async {
        tracker.wait().await;
        requests.wait().await;
    };
    let mut all = pin!(all);
    if tokio::time::timeout(drain, all.as_mut()).await.is_err() {
        tracing::warn!(
            left = tracker.len(),
            "drain bound reached; connections are cut"
        );
        worker.cut.cancel();
        let last_words = Duration::from_millis(limits::LAST_WORDS_MS);
        let _whoever_does_not_read_is_left = tokio::time::timeout(last_words, all).await;
    }
    worker.seal();
}

async fn connection(worker: Rc<Worker>, stream: TcpStream, mut stopping: watch::Receiver<bool>) {
    // Chunks of a stream are small and must leave at once (measured: coalescing costs 23 ms of jitter).
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let header_timeout = Duration::from_millis(worker.config.data.header_timeout_ms);
    let service = service_fn(|request| route(Rc::clone(&worker), request));
    let mut builder = http1::Builder::new();
    // Without a timer hyper's header timeout is silently off.
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout);
    // Twice our own bounds, so that what is over ours is still refused in the caller's dialect.
    builder
        .max_buf_size(2 * limits::HEADER_BYTES_MAX)
        .max_headers(2 * limits::HEADERS_MAX)
        .keep_alive(true);
    // The reply's bound holds back the pipeline; this one frees what hyper has taken for a reader that stopped.
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(Duration::from_millis(
        worker.config.data.client_idle_ms,
    )));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Box::pin(stream)), service));
    let mut asked = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(error = %error, "connection ended");
                }
                return;
            }
            _ = stopping.wait_for(|stop| *stop), if !asked => {
                asked = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The endpoints; anything else is 404, never passed through.
async fn route(
    worker: Rc<Worker>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let (parts, body) = request.into_parts();
    if let Err(error) = bounded(&parts.headers) {
        return Ok(refusal(&error));
    }
    let path = parts.uri.path();
    let model = path.strip_prefix("/v1/models/");
    let method = match path {
        "/v1/chat/completions" => Some(Method::POST),
        "/v1/models" => Some(Method::GET),
        _ => model.map(|_| Method::GET),
    };
    let Some(method) = method else {
        let served = "POST /v1/chat/completions, GET /v1/models, GET /v1/models/{model}";
        let message = format!(
            "unknown endpoint {} {path}; this gateway serves: {served}",
            parts.method
        );
        return Ok(refusal(&GatewayError::new(
            ErrorKind::UnknownEndpoint,
            message,
        )));
    };
    if parts.method != method {
        let message = format!("{path} takes {method}, not {}", parts.method);
        let mut response = refusal(&GatewayError::new(ErrorKind::MethodNotAllowed, message));
        if let Ok(allow) = HeaderValue::from_str(method.as_str()) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        return Ok(response);
    }
    if method == Method::GET {
        return Ok(models(&worker, &parts.headers, model));
    }
    let data = &worker.config.data;
    let (reply, head) = reply::channel(
        data.unread_bytes_max,
        Duration::from_millis(data.client_idle_ms),
    );
    let tasks = worker.tasks.clone();
    tasks.spawn_local(pipeline::chat(worker, parts, body, reply));
    match head.await {
        Ok(head) => {
            let mut response = Response::new(head.body);
            *response.status_mut() = head.status;
            *response.headers_mut() = head.headers;
            Ok(response)
        }
        // The pipeline always answers; if it panicked, the caller still gets an error in its dialect.
        Err(_) => Ok(refusal(&GatewayError::new(
            ErrorKind::Internal,
            "the gateway failed on this request; it was not answered",
        ))),
    }
}

/// Headers within our bounds.
fn bounded(headers: &HeaderMap) -> Result<(), GatewayError> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if bytes <= limits::HEADER_BYTES_MAX && headers.len() <= limits::HEADERS_MAX {
        return Ok(());
    }
    let message = format!(
        "the request headers are over {} bytes or {} headers; send fewer",
        limits::HEADER_BYTES_MAX,
        limits::HEADERS_MAX
    );
    Err(GatewayError::new(ErrorKind::HeadersTooLarge, message))
}

fn models(worker: &Worker, headers: &HeaderMap, one: Option<&str>) -> Response<ReplyBody> {
    // Names may hold slashes, which some clients encode.
    let one = one.map(|one| percent_decode_str(one).decode_utf8_lossy());
    match worker.models(headers) {
        Ok(names) => match one.as_deref() {
            None => whole(StatusCode::OK, openai::models_body(&names)),
            Some(model) if names.iter().any(|name| name == model) => {
                whole(StatusCode::OK, openai::model_body(model))
            }
            Some(model) => {
                let message = format!(
                    "the model `{model}` does not exist; this policy offers: {}",
                    names.join(", ")
                );
                refusal(&GatewayError::new(ErrorKind::UnknownModel, message).with_param("model"))
            }
        },
        Err(error) => refusal(&error),
    }
}

fn refusal(error: &GatewayError) -> Response<ReplyBody> {
    let status =
        StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    whole(status, openai::error::body(error))
}

fn whole(status: StatusCode, body: bytes::Bytes) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
