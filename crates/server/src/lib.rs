//! autoscaler-guard by HTTPS, for clusters without Kubewarden: as an admission webhook, or as an external data provider behind
//! Gatekeeper.
//!
//! ```text
//! API server ──► POST /validate ──► limits ──► Judge (the core, or a module) ──► AdmissionReview, JSON Patch
//!                                                  │
//!                                                  └─► look-ups, counted
//! ```
//!
//! Gatekeeper asks at `POST /gatekeeper`, about several requests at once. A server answers one [`Host`], as the two want different things of
//! TLS and of the settings.
//!
//! A [`Server`] is handed a [`Judge`] and something that answers its look-ups; it knows no rule. What it cannot judge it answers
//! with an HTTP error and never with a verdict of its own, so that the webhook's `failurePolicy` decides.
//!
//! Where to read on: `server.rs` (listeners, start and end), `http.rs` (routes and limits), `review.rs` (a review and its
//! answer), `gatekeeper.rs` (Gatekeeper's protocol), `certificate.rs`, `metrics.rs`, `lookups.rs`.

mod certificate;
mod envelope;
mod gatekeeper;
mod http;
mod lookups;
pub mod manifests;
mod metrics;
pub mod needs;
mod review;
mod server;
mod signals;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use autoscaler_guard_host::{Capabilities, Response};

pub use certificate::{Certificate, CertificateError, CertificateFiles};
pub use server::{Server, StartError};

/// Who judges admission requests.
pub trait Judge: Send + Sync {
    /// The verdict on an `AdmissionRequest`, given as JSON text. It may block. The error is why there is no verdict.
    fn judge(&self, request: &str, lookups: &Arc<dyn Capabilities>) -> Result<Response, String>;

    /// Whether it may change requests.
    fn may_change(&self) -> bool;
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// API servers, at `POST /validate`: `AdmissionReview`s.
    ApiServer,
    /// Gatekeeper, at `POST /gatekeeper`: `ProviderRequest`s, by TLS 1.3.
    Gatekeeper,
}

impl Host {
    /// The label in metrics.
    fn name(self) -> &'static str {
        match self {
            Self::ApiServer => "webhook",
            Self::Gatekeeper => "gatekeeper",
        }
    }
}

/// How to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who asks.
    pub host: Host,
    /// Where to listen for HTTPS.
    pub listen: SocketAddr,
    /// Where to answer health checks and metrics by plain HTTP, beside the HTTPS listener that answers them too.
    pub metrics_listen: Option<SocketAddr>,
    /// What to prove the server's name with.
    pub certificate: Certificate,
    /// How often to look whether the certificate's files have changed.
    pub certificate_check: Duration,
    /// How much to take.
    pub limits: Limits,
    /// How long to take new requests after having been told to end: until every API server knows.
    pub drain: Duration,
}

/// How much the server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest request, in bytes.
    pub request_bytes: usize,
    /// How many requests at a time.
    pub in_flight: usize,
    /// How long a request may take.
    pub timeout: Duration,
}

impl Default for Limits {
    /// Room for two objects of the size that the API server takes, and less time than it waits.
    fn default() -> Self {
        Self { request_bytes: 8 << 20, in_flight: 32, timeout: Duration::from_secs(8) }
    }
}

/// Tells whoever operates the server something, on a line of standard error.
fn log(line: &str) {
    eprintln!("{line}");
}
