//! What Prometheus gets. Labels have few values, whatever requests hold.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use autoscaler_guard_host::WatchAge;

use crate::{Host, log, needs};

/// From half a millisecond to the API server's patience.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Everything that is counted and measured.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    duration: Family<KindLabels, Histogram>,
    unanswered: Family<ReasonLabel, Counter>,
    pub(crate) in_flight: Gauge<u64, AtomicU64>,
    lookups: Family<LookupLabels, Counter>,
    lookup_duration: Family<OperationLabel, Histogram>,
    certificates: Family<OutcomeLabel, Counter>,
    certificate_expiry: Gauge<i64, AtomicI64>,
    pub(crate) judged_late: Counter,
    pub(crate) connections: Gauge<u64, AtomicU64>,
    ended_connections: Family<ReasonLabel, Counter>,
    dropped_lines: Gauge<u64, AtomicU64>,
    watch_age: Family<KindLabel, Gauge<f64, AtomicU64>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    kind: &'static str,
    operation: &'static str,
    verdict: &'static str,
    rule: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LookupLabels {
    operation: &'static str,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn new(host: Host) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let mut metrics = Self {
            registry: Registry::with_prefix_and_labels(
                "autoscaler_guard",
                [("host".into(), host.name().into())].into_iter(),
            ),
            requests: Family::default(),
            duration: Family::new_with_constructor(histogram),
            unanswered: Family::default(),
            in_flight: Gauge::default(),
            lookups: Family::default(),
            lookup_duration: Family::new_with_constructor(histogram),
            certificates: Family::default(),
            certificate_expiry: Gauge::default(),
            judged_late: Counter::default(),
            connections: Gauge::default(),
            ended_connections: Family::default(),
            dropped_lines: Gauge::default(),
            watch_age: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let Self { registry, .. } = self;
        registry.register(
            "requests",
            "Requests that got a verdict; rule is the strongest that spoke",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time taken by requests that got a verdict",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "unanswered_requests",
            "Requests that got an HTTP error instead of a verdict",
            self.unanswered.clone(),
        );
        registry.register("requests_in_flight", "Requests being judged", self.in_flight.clone());
        registry.register(
            "lookups",
            "Lookups in the cluster; absent and not_served are answers, failed is none",
            self.lookups.clone(),
        );
        registry.register_with_unit(
            "lookup_duration",
            "Time taken by lookups",
            Unit::Seconds,
            self.lookup_duration.clone(),
        );
        registry.register("certificate_reloads", "Changes of the certificate's files", self.certificates.clone());
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the certificate expires, in seconds since 1970",
            self.certificate_expiry.clone(),
        );
        registry.register(
            "requests_without_lookups",
            "Requests whose turn came so late that they were judged without lookups",
            self.judged_late.clone(),
        );
        registry.register("connections", "Connections that are open", self.connections.clone());
        registry.register(
            "connections_ended",
            "Connections that the server ended: idle, evicted to make room, or refused as all were busy",
            self.ended_connections.clone(),
        );
        registry.register(
            "log_lines_dropped",
            "Lines that were left out of the log, as they could not be written or were too many",
            self.dropped_lines.clone(),
        );
        registry.register(
            "watch_age_seconds",
            "Time since a watch was last heard of; beyond a minute lists are asked for instead",
            self.watch_age.clone(),
        );
    }

    pub(crate) fn connection_ended(&self, reason: &'static str) {
        self.ended_connections.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn certificate_expires(&self, at: SystemTime) {
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.certificate_expiry.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    pub(crate) fn judged(&self, kind: &str, operation: &str, verdict: &'static str, rule: &str, took: Duration) {
        let (kind, operation) = (known_kind(kind), known_operation(operation));
        self.requests.get_or_create(&RequestLabels { kind, operation, verdict, rule: rule.to_owned() }).inc();
        self.duration.get_or_create(&KindLabels { kind, operation }).observe(took.as_secs_f64());
    }

    pub(crate) fn unanswered(&self, reason: &'static str) {
        self.unanswered.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn looked_up(&self, operation: &'static str, kind: &str, outcome: &'static str, took: Duration) {
        self.lookups.get_or_create(&LookupLabels { operation, kind: known_kind(kind), outcome }).inc();
        self.lookup_duration.get_or_create(&OperationLabel { operation }).observe(took.as_secs_f64());
    }

    pub(crate) fn certificate_reloaded(&self, loaded: bool) {
        let outcome = if loaded { "loaded" } else { "failed" };
        self.certificates.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// All of it, in the text format of `OpenMetrics`.
    pub(crate) fn text(&self, watches: &[WatchAge]) -> Result<String, std::fmt::Error> {
        self.dropped_lines.set(log::dropped());
        for WatchAge { kind, age } in watches {
            self.watch_age.get_or_create(&KindLabel { kind: known_kind(kind) }).set(age.as_secs_f64());
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// An autoscaler may name any kind as its target, so only those that the policy knows by name get a label of their own.
fn known_kind(kind: &str) -> &'static str {
    needs::kinds().find(|known| *known == kind).unwrap_or("other")
}

fn known_operation(operation: &str) -> &'static str {
    ["CREATE", "UPDATE", "DELETE"].into_iter().find(|known| *known == operation).unwrap_or("other")
}
