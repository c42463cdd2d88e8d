//! autoscaler-guard by HTTPS, for clusters without Kubewarden: as an admission webhook, or as an external data provider
//! behind Gatekeeper.
//!
//! ```text
//! connections ──► body ──► a slot, waited for ──► Judge (the core, or a module) ──► AdmissionReview, patch ──► log
//!  limited,        own                                 │
//!  idle ones       deadline                            └─► lookups, counted, in one budget of time;
//!  make room       and bytes                               without time left they are unknown
//! ```
//!
//! Gatekeeper asks at `POST /gatekeeper`, about several requests at once. A server answers one [`Host`], as the two
//! want different things of TLS and of the settings.
//!
//! A [`Server`] is handed a [`Judge`] and something that answers its lookups; it knows no rule. What it cannot judge it
//! answers with an HTTP error and never with a verdict of its own, so that the webhook's `failurePolicy` decides. Under
//! `Ignore` that is a change which passes, so it is the last resort: a request that waits too long is judged without
//! lookups, and a log that nobody reads is no reason to wait.
//!
//! Where to read on: `server.rs` (listeners, start and end), `connections.rs`, `body.rs`, `http.rs` (routes, and the
//! way of a request), `review.rs` (a review and its answer), `gatekeeper.rs` (Gatekeeper's protocol), `lookups.rs`,
//! `certificate.rs`, `self_managed.rs` (a pair of its own), `metrics.rs`, `log.rs`.

#![allow(clippy::indexing_slicing, reason = "JSON is read and built by key")]

mod body;
mod certificate;
mod connections;
mod envelope;
mod gatekeeper;
mod http;
mod log;
mod lookups;
pub mod manifests;
mod metrics;
pub mod needs;
mod review;
mod self_managed;
mod server;
mod signals;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use autoscaler_guard::Decision;
use autoscaler_guard_host::{Capabilities, Response};

pub use certificate::{Certificate, CertificateError, CertificateFiles};
pub use log::{Line, LogFormat, log, log_as};
pub use self_managed::SelfManaged;
pub use server::{Server, StartError};

/// Who judges admission requests.
pub trait Judge: Send + Sync {
    /// The verdict on an `AdmissionRequest`, given as JSON text. It may block. The error is why there is no verdict.
    fn judge(&self, request: &str, lookups: &Arc<dyn Capabilities>) -> Result<Verdict, String>;

    /// Whether it lets this request pass at once and without a lookup, so that it need not wait for its turn.
    fn passes(&self, _request: &str) -> bool {
        false
    }

    /// Whether it may change requests.
    fn may_change(&self) -> bool;
}

/// A verdict, with the changed object as text: a tree of it would take many times its size.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// The verdict but for the changed object.
    pub response: Response,
    /// The object as it should be instead.
    pub object: Option<String>,
    /// The rules that spoke, by id, the strongest first.
    pub rules: Vec<String>,
    /// The rules that an override let pass, by id.
    pub overridden: Vec<String>,
}

impl From<Response> for Verdict {
    fn from(mut response: Response) -> Self {
        let object = response.mutated_object.take().map(|object| object.to_string());
        // A module says them in audit annotations alone.
        let ids = |key: &str| {
            let ids = response.audit_annotations.as_ref().and_then(|audit| audit.get(key));
            ids.into_iter().flat_map(|ids| ids.split(',')).map(str::to_owned).collect()
        };
        let (rules, overridden) = (ids("rule"), ids("allowed"));
        Self { response, object, rules, overridden }
    }
}

impl From<autoscaler_guard::Verdict> for Verdict {
    fn from(verdict: autoscaler_guard::Verdict) -> Self {
        let audit = verdict.audit_annotations().into_iter().map(|(key, value)| (key.to_owned(), value));
        let audit: BTreeMap<String, String> = audit.collect();
        let warnings = verdict.warnings();
        let rules = verdict.rules().map(str::to_owned).collect();
        let overridden = verdict.overridden.iter().map(|passed| passed.rule.to_owned()).collect();
        let response = Response {
            accepted: verdict.is_accepted(),
            message: verdict.message(),
            code: if let Decision::Reject(code) = verdict.decision { Some(code) } else { None },
            mutated_object: None,
            audit_annotations: (!audit.is_empty()).then_some(audit),
            warnings: (!warnings.is_empty()).then_some(warnings),
        };
        let object = if let Decision::Repair(object) = verdict.decision { Some(object) } else { None };
        Self { response, object, rules, overridden }
    }
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
    /// How long to take new requests after the signal to end: until every API server knows.
    pub drain: Duration,
}

/// How much the server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest request, in bytes.
    pub request_bytes: usize,
    /// How many requests are judged at a time.
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

/// What follows from them.
impl Limits {
    /// How many requests may wait for their turn; more are shed.
    fn waiting(&self) -> usize {
        self.in_flight * 32
    }

    /// How long a body may take to arrive, once there is room for it.
    fn body(&self) -> Duration {
        self.timeout / 4
    }

    /// Until when to wait for a turn; from then on it is judged without lookups, which takes next to no time.
    fn turn(&self) -> Duration {
        self.timeout * 5 / 8
    }

    /// Until when there is time for lookups, which leaves some to answer.
    fn lookups(&self) -> Duration {
        self.timeout * 3 / 4
    }

    /// How many bytes of requests are kept at a time, half of them for long ones.
    fn bytes_in_flight(&self) -> usize {
        self.request_bytes * 4
    }
}
