//! Listeners, start and end.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autoscaler_guard_host::Capabilities;
use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tower::service_fn;

use crate::http::{self, Shared};
use crate::lookups::Counted;
use crate::metrics::Metrics;
use crate::signals::Signals;
use crate::{Judge, Options, certificate, log};

/// More connections than this are closed at once. An API server keeps a few.
const CONNECTIONS: usize = 512;

/// How long a connection may idle, or take over the head of a request. API servers give up theirs earlier, so that none is closed
/// just as they send.
const IDLE: Duration = Duration::from_mins(2);

const HANDSHAKE: Duration = Duration::from_secs(5);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is taken, or not this machine's.
    #[error("{address} cannot be listened on: {cause}; name another address, or port 0 for any free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Threads or signal handlers could not be had, or nobody could be told of it.
    #[error("the server could not be started: {0}; free some resources and try again")]
    Runtime(#[source] io::Error),
}

/// A server that listens, and answers once it runs.
pub struct Server {
    options: Options,
    shared: Arc<Shared>,
    https: TcpListener,
    plain: Option<TcpListener>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Server {
    /// Takes the addresses.
    pub fn bind(options: Options, judge: Arc<dyn Judge>, lookups: Arc<dyn Capabilities>) -> Result<Self, StartError> {
        let https = listen(options.listen)?;
        let plain = options.metrics_listen.map(listen).transpose()?;
        let metrics = Arc::new(Metrics::new(options.host));
        let lookups = Arc::new(Counted { inner: lookups, metrics: Arc::clone(&metrics) });
        let (limits, slots) = (options.limits, Arc::new(Semaphore::new(options.limits.in_flight)));
        let shared =
            Shared { host: options.host, judge, lookups, metrics, limits, slots, ending: AtomicBool::new(false) };
        Ok(Self { options, shared: Arc::new(shared), https, plain })
    }

    /// Where it listens for HTTPS.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.https.local_addr()
    }

    /// Where it answers health checks and metrics by plain HTTP.
    pub fn metrics_address(&self) -> Option<io::Result<SocketAddr>> {
        self.plain.as_ref().map(TcpListener::local_addr)
    }

    /// Answers until a signal ends it: SIGTERM, or SIGINT. From when on they do so, is told by a call of `started`.
    pub fn run_until_signalled(self, started: impl FnOnce() -> io::Result<()>) -> Result<(), StartError> {
        let threads = self.options.limits.in_flight + 4;
        let runtime = Builder::new_multi_thread().max_blocking_threads(threads).enable_all().build();
        let runtime = runtime.map_err(StartError::Runtime)?;
        let drain = self.options.drain;
        let ended = runtime.block_on(async {
            let signals = Signals::new()?;
            started()?;
            self.run(signals.wait(drain)).await
        });
        // What was given up for lateness is not waited for.
        runtime.shutdown_background();
        ended.map_err(StartError::Runtime)
    }

    /// Answers until `end` comes, which tells for how long to take new requests still; then finishes what is in flight.
    pub async fn run(self, end: impl Future<Output = Duration>) -> io::Result<()> {
        let Self { options, shared, https, plain } = self;
        let (handle, plain_handle) = (Handle::new(), Handle::new());
        let config = RustlsConfig::from_config(Arc::clone(&options.certificate.config));
        let fresh = certificate::keep_fresh(
            options.certificate,
            options.certificate_check,
            config.clone(),
            Arc::clone(&shared.metrics),
        );
        let fresh = tokio::spawn(fresh);
        let mut server = axum_server::from_tcp(https)?
            .acceptor(RustlsAcceptor::new(config).handshake_timeout(HANDSHAKE))
            .handle(handle.clone());
        server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
        let https = tokio::spawn(server.serve(bounded(http::routes(Arc::clone(&shared)), handle.clone())));
        let plain = plain.map(|listener| observe(listener, &shared, plain_handle.clone())).transpose()?;

        let drain = end.await;
        shared.ending.store(true, Ordering::Relaxed);
        log("ending: what is in flight is finished");
        tokio::time::sleep(drain).await;
        // Late requests are answered by then, too.
        let last = options.limits.timeout + Duration::from_secs(1);
        handle.graceful_shutdown(Some(last));
        plain_handle.graceful_shutdown(Some(last));
        for listener in [Some(https), plain].into_iter().flatten() {
            listener.await.map_err(io::Error::other)??;
        }
        fresh.abort();
        Ok(())
    }
}

type Serving = tokio::task::JoinHandle<io::Result<()>>;

fn observe(listener: TcpListener, shared: &Arc<Shared>, handle: Handle<SocketAddr>) -> io::Result<Serving> {
    let mut server = axum_server::from_tcp(listener)?.handle(handle.clone());
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
    Ok(tokio::spawn(server.serve(bounded(http::observation(Arc::clone(shared)), handle))))
}

/// Hands the routes to each connection, unless there are too many.
fn bounded(
    routes: Router,
    handle: Handle<SocketAddr>,
) -> impl tower::Service<
    SocketAddr,
    Response = Router,
    Error = io::Error,
    Future: Future<Output = io::Result<Router>> + Send,
> + Clone
+ Send
+ 'static {
    service_fn(move |_: SocketAddr| {
        let taken = handle.connection_count() >= CONNECTIONS;
        let routes = routes.clone();
        async move { if taken { Err(io::Error::other("too many connections")) } else { Ok(routes) } }
    })
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|cause| StartError::Listen { address, cause })
}
