//! Listeners, start and end.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use autoscaler_guard_host::Capabilities;
use tokio::runtime::Builder;

use crate::certificate::{self, Expiry};
use crate::connections::{self, Connections};
use crate::http::{self, Shared};
use crate::signals::Signals;
use crate::{Judge, Line, Options, log};

/// How many connections there may be. An API server keeps a few.
const CONNECTIONS: usize = 512;

/// And for health and metrics: whatever happens to the others, these are answered.
const OBSERVERS: usize = 64;

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
    /// Threads or signal handlers could not be had, or nobody could be informed.
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
        let expiry = Expiry::of(&options.certificate);
        let shared = Shared::new(options.host, options.limits, judge, lookups, expiry);
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

    /// Answers until a signal ends it: SIGTERM, or SIGINT. It calls `started` when it begins to.
    pub fn run_until_signalled(self, started: impl FnOnce()) -> Result<(), StartError> {
        // Those that judge, those that are late, and a few for the certificate's files.
        let threads = self.options.limits.in_flight * 2 + 4;
        let runtime = Builder::new_multi_thread().max_blocking_threads(threads).enable_all().build();
        let runtime = runtime.map_err(StartError::Runtime)?;
        log::log_panics();
        let drain = self.options.drain;
        let ended = runtime.block_on(async {
            let signals = Signals::new()?;
            started();
            self.run(signals.wait(drain)).await
        });
        // What was given up for lateness is not waited for.
        runtime.shutdown_background();
        log::flush(Duration::from_millis(500));
        ended.map_err(StartError::Runtime)
    }

    /// Answers until `end` comes, which says for how long to take new requests still; then finishes what is in flight.
    pub async fn run(self, end: impl Future<Output = Duration>) -> io::Result<()> {
        let Self { options, shared, https, plain } = self;
        let tls = Arc::new(RwLock::new(Arc::clone(&options.certificate.config)));
        let (expiry, metrics) = (shared.expiry.clone(), Arc::clone(&shared.metrics));
        let fresh = certificate::keep_fresh(
            options.certificate,
            options.certificate_check,
            Arc::clone(&tls),
            expiry,
            Arc::clone(&metrics),
        );
        let fresh = tokio::spawn(fresh);
        // Late requests are answered by then, too.
        let last = options.limits.timeout + Duration::from_secs(1);
        let connections = Connections::new(CONNECTIONS, Some(metrics), shared.ending.clone());
        let observers = Connections::new(OBSERVERS, None, shared.ending.clone());
        let routes = http::routes(Arc::clone(&shared));
        let mut listening = tokio::task::JoinSet::new();
        let https = tokio::net::TcpListener::from_std(https)?;
        listening.spawn(Arc::clone(&connections).accept(https, Some(tls), routes, last));
        if let Some(plain) = plain {
            let (plain, routes) = (tokio::net::TcpListener::from_std(plain)?, http::observation(Arc::clone(&shared)));
            listening.spawn(Arc::clone(&observers).accept(plain, None, routes, last));
        }

        let drain = end.await;
        log(&Line::info("ending: what is in flight is finished"));
        // Whoever asks learns at once that others should be asked: by /readyz, GOAWAY and `Connection: close`.
        shared.ending.cancel();
        tokio::time::sleep(drain).await;
        connections.closing.cancel();
        observers.closing.cancel();
        while let Some(ended) = listening.join_next().await {
            ended.map_err(io::Error::other)?;
        }
        fresh.abort();
        Ok(())
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    connections::listen(address).map_err(|cause| StartError::Listen { address, cause })
}
