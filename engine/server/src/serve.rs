//! Listen → load → accept → drain, and the table of endpoints.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pointsman_model::{Kernels, Model};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::chat::{Chat, ReplyBody};
use crate::engine::{Engine, Queue};
use crate::error::ApiError;
use crate::limits::{BODY_BYTES_MAX, CONNECTIONS_MAX, HEADER_BYTES_MAX, REQUEST_READ_MAX};
use crate::metrics::Metrics;
use crate::options::Options;

/// What every connection shares.
struct Server {
    registry: Registry,
    /// Empty while the model loads.
    chat: OnceLock<Arc<Chat>>,
    /// True once draining.
    stopping: watch::Receiver<bool>,
}

/// Serves until SIGTERM or SIGINT, then drains.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    // One thread suffices for sockets; the cores belong to the kernels.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("http")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(options));
    // A load that was interrupted may still run; nothing waits for it.
    runtime.shutdown_background();
    ended
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut signalled = std::pin::pin!(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });

    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let listener = TcpListener::bind(options.serving.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.serving.listen))?;
    let address = listener
        .local_addr()
        .context("cannot read the listener's address")?;
    let (stop, stopping) = watch::channel(false);
    let server = Arc::new(Server {
        registry,
        chat: OnceLock::new(),
        stopping,
    });
    // Accepting starts before the model is there, so that `/health` can say so.
    let accepting = tokio::spawn(accept(listener, Arc::clone(&server)));

    let queue = Queue::new(options.serving.queue_requests_max.into(), metrics.clone());
    let loading = load(options, Arc::clone(&queue), metrics);
    let (chat, engine) = tokio::select! {
        loaded = loading => loaded?,
        () = &mut signalled => return Ok(()),
    };
    let chat = server.chat.get_or_init(|| Arc::new(chat));
    announce(options, address, chat)?;

    signalled.await;
    tracing::info!("draining");
    stop.send_replace(true);
    let drained = tokio::time::timeout(
        Duration::from_millis(options.serving.drain_ms_max),
        accepting,
    )
    .await;
    if drained.is_err() {
        tracing::warn!("requests in flight were cut off at the end of the drain time");
        return Ok(());
    }
    queue.close();
    tokio::task::spawn_blocking(move || engine.join())
        .await
        .ok()
        .and_then(Result::ok)
        .context("the engine's thread did not end well")
}

/// Loads the model and starts its thread.
async fn load(
    options: &Options,
    queue: Arc<Queue>,
    metrics: Metrics,
) -> anyhow::Result<(Chat, std::thread::JoinHandle<()>)> {
    let path = options.model.clone();
    let model = tokio::task::spawn_blocking(move || Model::load(&path))
        .await
        .context("loading was interrupted")?
        .with_context(|| format!("failed to load the model {}", options.model.display()))?;
    anyhow::ensure!(
        model.template().is_some(),
        "failed to load the model {}: it has no chat template, and chat is all this engine serves",
        options.model.display()
    );
    let model = Arc::new(model);
    let trained = model.config().context_tokens;
    let context_tokens = options
        .serving
        .context
        .map_or(trained, |asked| (asked as usize).min(trained));
    let engine = Engine::new(
        Arc::clone(&model),
        Kernels::new(options.threads()),
        options.serving.sequences_max.into(),
        context_tokens,
        metrics.clone(),
    );
    let jobs = Arc::clone(&queue);
    let engine = std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || engine.run(&jobs))
        .context("cannot start the engine's thread")?;
    let stem = options
        .model
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let chat = Chat {
        model,
        name: options.name(),
        file_name: stem.unwrap_or_default(),
        created_s: modified_s(&options.model),
        context_tokens,
        queue,
        metrics,
    };
    Ok((chat, engine))
}

fn modified_s(path: &Path) -> u64 {
    let modified = std::fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok();
    modified
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_secs())
}

/// One line on stdout and the ready file, in that order: whoever waits for either may connect.
fn announce(options: &Options, address: SocketAddr, chat: &Chat) -> anyhow::Result<()> {
    let url = format!("http://{address}");
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "pointsman-engine is ready at {url} (model {}, {} threads, {} sequences of {} tokens)",
        chat.name,
        options.threads(),
        options.serving.sequences_max,
        chat.context_tokens,
    )
    .and_then(|()| out.flush())
    .context("cannot write to stdout")?;
    if let Some(path) = &options.serving.ready_file {
        // By rename, so that no reader sees half of it.
        let part = path.with_extension("part");
        std::fs::write(&part, json!({ "url": url }).to_string())
            .and_then(|()| std::fs::rename(&part, path))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Accepts until stopping; returns when the last connection has ended.
async fn accept(listener: TcpListener, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    let mut stopping = server.stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stopping) => break,
            Some(_ended) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(connection(stream, Arc::clone(&server)));
            }
            Ok(_too_many) => tracing::warn!("closed a connection: {CONNECTIONS_MAX} are open"),
            Err(error) => {
                // Out of descriptors, for one: wait for connections to end instead of spinning.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Until draining begins (or the server is gone, which means the same).
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _either = stopping.wait_for(|stop| *stop).await;
}

async fn connection(stream: TcpStream, server: Arc<Server>) {
    // Chunks are small and each should leave at once.
    let _best_effort = stream.set_nodelay(true);
    let mut stopping = server.stopping.clone();
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(respond(&server, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_READ_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn respond(server: &Server, request: Request<Incoming>) -> Response<ReplyBody> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let answered = match (&method, path.as_str()) {
        (&Method::POST, "/v1/chat/completions") => chat(server, request).await,
        (&Method::GET, "/v1/models") => {
            ready(server).map(|chat| json(StatusCode::OK, &chat.models()))
        }
        (&Method::GET, "/health") => Ok(health(server)),
        (&Method::GET, "/metrics") => metrics(server),
        (_, "/v1/chat/completions" | "/v1/models" | "/health" | "/metrics") => {
            Err(ApiError::method(method.as_str(), &path))
        }
        _ => Err(ApiError::endpoint(&path)),
    };
    answered.unwrap_or_else(|error| json(error.status, &error.body()))
}

async fn chat(
    server: &Server,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, ApiError> {
    let chat = Arc::clone(ready(server)?);
    let answered = async {
        let body = read(request).await?;
        Arc::clone(&chat).answer(body).await
    };
    answered.await.inspect_err(|error| chat.count(error))
}

async fn read(request: Request<Incoming>) -> Result<Bytes, ApiError> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    let read = tokio::time::timeout(REQUEST_READ_MAX, body)
        .await
        .map_err(|_late| ApiError::slow())?;
    read.map(http_body_util::Collected::to_bytes)
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                ApiError::too_large(BODY_BYTES_MAX)
            } else {
                ApiError::json(format!("the body could not be read: {error}"))
            }
        })
}

fn ready(server: &Server) -> Result<&Arc<Chat>, ApiError> {
    if *server.stopping.borrow() {
        return Err(ApiError::draining());
    }
    server.chat.get().ok_or_else(ApiError::loading)
}

fn health(server: &Server) -> Response<ReplyBody> {
    let (status, word) = match ready(server) {
        Ok(_) => (StatusCode::OK, "ok"),
        Err(_) if *server.stopping.borrow() => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "loading"),
    };
    json(status, &json!({ "status": word }))
}

fn metrics(server: &Server) -> Result<Response<ReplyBody>, ApiError> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &server.registry)
        .map_err(|_| ApiError::internal("the metrics could not be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(reply(StatusCode::OK, kind, text))
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &Value) -> Response<ReplyBody> {
    reply(status, "application/json", body.to_string())
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<ReplyBody> {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed_unsync());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
