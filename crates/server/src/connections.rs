//! Connections: how many there may be, which are ended, and when.
//!
//! A connection on which nothing is being judged is idle, whether it sends nothing, half a head or half a body. Where
//! there are too many, the one that has been idle for longest makes room for the next, so that nobody is locked out by
//! connections that do nothing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::metrics::Metrics;
use crate::{Line, log};

/// How long a connection may idle, or take over the head of a request. API servers give up theirs earlier, so that none
/// is ended just as they send.
const IDLE: Duration = Duration::from_mins(2);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often to ask the other side of an HTTP/2 connection whether it is still there, and for how long to wait.
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(10);
/// How many requests may arrive at a time by one HTTP/2 connection: an API server sends all of its own by one.
const STREAMS: u32 = 256;
/// How much of their bodies is taken in before it is read.
const WINDOW: u32 = 256 << 10;
const HEAD_BYTES: u32 = 16 << 10;
/// How long a connection that was asked to end may take.
const FAREWELL: Duration = Duration::from_secs(5);
/// A connection that is new while the server ends gets so long for its first request before it is asked to end.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// The configuration of TLS, which changes with the certificate.
pub(crate) type Tls = Arc<RwLock<Arc<ServerConfig>>>;

/// The connections of a listener.
pub(crate) struct Connections {
    most: usize,
    started: Instant,
    number: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    /// Where they are counted, if at all.
    metrics: Option<Arc<Metrics>>,
    /// Others should be asked from now on.
    ending: CancellationToken,
    /// Nothing new is taken any more.
    pub(crate) closing: CancellationToken,
}

/// What is known of a connection.
pub(crate) struct Connection {
    started: Instant,
    /// Milliseconds since the start.
    active: AtomicU64,
    busy: AtomicUsize,
    ended: CancellationToken,
}

/// As long as this is held, the connection is not idle.
pub(crate) struct Busy(Arc<Connection>);

impl Connection {
    fn touch(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active.store(now, Ordering::Relaxed);
    }

    /// Says that a request is being judged.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.touch();
        Busy(Arc::clone(self))
    }

    /// For how long nothing has been judged on it.
    fn idle(&self) -> Option<Duration> {
        let active = self.started + Duration::from_millis(self.active.load(Ordering::Relaxed));
        (self.busy.load(Ordering::Relaxed) == 0).then(|| active.elapsed())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.touch();
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connections {
    pub(crate) fn new(most: usize, metrics: Option<Arc<Metrics>>, ending: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            most,
            started: Instant::now(),
            number: AtomicU64::new(0),
            open: Mutex::default(),
            metrics,
            ending,
            closing: CancellationToken::new(),
        })
    }

    fn count(&self, ended: &'static str) {
        if let Some(metrics) = &self.metrics {
            metrics.connection_ended(ended);
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in, at the cost of the one that has been idle for longest where there are too many; none if
    /// all are busy.
    fn admit(&self) -> Option<(u64, Arc<Connection>)> {
        let mut open = self.open();
        if open.len() >= self.most {
            let idle = open.iter().filter_map(|(number, known)| Some((known.idle()?, *number)));
            let Some((idle, longest)) = idle.max() else {
                self.count("refused");
                log(&Line::warn("connection refused").with("reason", "all connections are busy"));
                return None;
            };
            if let Some(evicted) = open.remove(&longest) {
                evicted.ended.cancel();
                self.count("evicted");
                let reason = format!("there are {} of them", self.most);
                log(&Line::info("connection evicted").with("idle", format!("{idle:.1?}")).with("reason", reason));
            }
        }
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            started: self.started,
            active: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            ended: CancellationToken::new(),
        });
        connection.touch();
        open.insert(number, Arc::clone(&connection));
        self.count_open(&open);
        Some((number, connection))
    }

    fn count_open(&self, open: &HashMap<u64, Arc<Connection>>) {
        if let Some(metrics) = &self.metrics {
            metrics.connections.set(u64::try_from(open.len()).unwrap_or(u64::MAX));
        }
    }

    fn leave(&self, number: u64) {
        let mut open = self.open();
        open.remove(&number);
        self.count_open(&open);
    }

    /// Takes connections until it closes, then waits for those that are open, at most for that long.
    pub(crate) async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Option<Tls>,
        routes: Router,
        last: Duration,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.closing.cancelled() => break,
            };
            let Ok((stream, _)) = accepted else {
                // There are no more file descriptors, which takes a moment to change.
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let Some((number, connection)) = self.admit() else { continue };
            let _ = stream.set_nodelay(true);
            let (connections, tls, routes) = (Arc::clone(&self), tls.clone(), routes.clone());
            tokio::spawn(async move {
                // Dropped by a crash, too.
                let place = Place(connections, number);
                place.0.hold(stream, tls, &connection, routes).await;
            });
        }
        drop(listener);
        let empty = async {
            while !self.open().is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(last, empty).await;
    }

    async fn hold(
        &self,
        stream: tokio::net::TcpStream,
        tls: Option<Tls>,
        connection: &Arc<Connection>,
        routes: Router,
    ) {
        let Some(tls) = tls else { return self.converse(stream, false, connection, routes).await };
        let config = Arc::clone(&tls.read().unwrap_or_else(PoisonError::into_inner));
        let handshake = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream));
        let stream = tokio::select! {
            stream = handshake => stream,
            () = connection.ended.cancelled() => return,
        };
        let Ok(Ok(stream)) = stream else { return };
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        self.converse(stream, http2, connection, routes).await;
    }

    async fn converse<S>(&self, stream: S, http2: bool, connection: &Arc<Connection>, routes: Router)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        let service = service_fn(|request: Request<Incoming>| {
            let (routes, connection, ending) = (routes.clone(), Arc::clone(connection), self.ending.clone());
            async move { answered(routes, connection, &ending, request).await }
        });
        if http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PONG);
            builder.max_concurrent_streams(STREAMS).max_header_list_size(HEAD_BYTES);
            builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW * 4);
            self.see_through(builder.serve_connection(stream, service), true, connection).await;
        } else {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(64 << 10);
            self.see_through(builder.serve_connection(stream, service), false, connection).await;
        }
    }

    /// Lets a connection go on until it ends, is idle, or has to make room.
    async fn see_through<C: GracefulConnection>(&self, conversation: C, http2: bool, connection: &Connection) {
        let mut conversation = pin!(conversation);
        let mut idle = pin!(sleep(IDLE));
        let mut asked_to_end = false;
        let mut last: Option<tokio::time::Instant> = None;
        // An HTTP/1 client learns of the end by the answer to its next request; ending its idle connection could cross
        // with that.
        let is_late = self.ending.is_cancelled();
        let ending = async {
            self.ending.cancelled().await;
            if is_late {
                sleep(FIRST_REQUEST).await;
            }
        };
        let mut ending = pin!(ending);
        let (mut may_end, mut may_close) = (http2, true);
        loop {
            let farewell = last.unwrap_or_else(|| tokio::time::Instant::now() + IDLE * 2);
            tokio::select! {
                _ = conversation.as_mut() => return,
                () = connection.ended.cancelled() => return,
                () = sleep_until(farewell), if last.is_some() => return,
                () = ending.as_mut(), if may_end => {
                    may_end = false;
                    asked_to_end = true;
                    conversation.as_mut().graceful_shutdown();
                }
                () = self.closing.cancelled(), if may_close => {
                    may_close = false;
                    if !asked_to_end {
                        asked_to_end = true;
                        conversation.as_mut().graceful_shutdown();
                    }
                }
                () = idle.as_mut(), if last.is_none() => match connection.idle() {
                    Some(idled) if idled >= IDLE => {
                        self.count("idle");
                        last = Some(tokio::time::Instant::now() + FAREWELL);
                        if !asked_to_end {
                            asked_to_end = true;
                            conversation.as_mut().graceful_shutdown();
                        }
                    }
                    idled => idle.set(sleep(IDLE.saturating_sub(idled.unwrap_or_default()))),
                },
            }
        }
    }
}

/// A place among the connections.
struct Place(Arc<Connections>, u64);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

async fn answered(
    routes: Router,
    connection: Arc<Connection>,
    ending: &CancellationToken,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let version = request.version();
    connection.touch();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(connection);
    let mut response = routes.oneshot(request).await?;
    if version < Version::HTTP_2 && ending.is_cancelled() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Listens, for the runtime to accept from.
pub(crate) fn listen(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
