//! Routes and limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use autoscaler_guard_host::Capabilities;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::gatekeeper::{self, Item};
use crate::metrics::Metrics;
use crate::review::{Judged, Review};
use crate::{Host, Judge, Limits, log};

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) host: Host,
    pub(crate) judge: Arc<dyn Judge>,
    pub(crate) lookups: Arc<dyn Capabilities>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) slots: Arc<Semaphore>,
    /// Set once the server is to end: no new requests should be sent here.
    pub(crate) ending: AtomicBool,
}

/// Why a request gets no verdict.
#[derive(Debug, PartialEq, Eq)]
enum Unanswered {
    TooMany,
    TooLarge(usize),
    Malformed(String),
    Late(std::time::Duration),
    Failed(String),
}

impl Unanswered {
    /// The label in metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::TooLarge(_) => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Late(_) => "late",
            Self::Failed(_) => "failed",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Late(_) | Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooMany => formatter.write_str("too many requests are in flight; see --max-in-flight"),
            Self::TooLarge(limit) => {
                write!(formatter, "the request has more than {limit} bytes; see --max-request-bytes")
            }
            Self::Malformed(reason) => formatter.write_str(reason),
            Self::Late(limit) => write!(formatter, "there was no verdict within {limit:?}; see --timeout"),
            Self::Failed(reason) => write!(formatter, "there is no verdict: {reason}"),
        }
    }
}

impl IntoResponse for Unanswered {
    fn into_response(self) -> Response {
        let mut response = (self.status(), format!("autoscaler-guard: {self}\n")).into_response();
        if self == Self::TooMany {
            // The API server's client then tries again, within its own timeout.
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Everything, for the host that asks.
pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    let limit = DefaultBodyLimit::max(shared.limits.request_bytes);
    let (path, answering) = match shared.host {
        Host::ApiServer => ("/validate", post(validate)),
        Host::Gatekeeper => ("/gatekeeper", post(provide)),
    };
    Router::new().route(path, answering.layer(limit)).with_state(Arc::clone(&shared)).merge(observation(shared))
}

/// Health and metrics alone.
pub(crate) fn observation(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/readyz", get(ready))
        .route("/livez", get(async || "ok\n"))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.ending.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "ending\n").into_response();
    }
    "ok\n".into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match shared.metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

const JSON: &str = "application/json";

/// An API server's question.
async fn validate(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match asked(shared, request, reviewed).await {
        Ok(answer) => ([(CONTENT_TYPE, JSON)], answer).into_response(),
        Err(unanswered) => unanswered.into_response(),
    }
}

/// Gatekeeper's question. It reads the body of errors, too, whatever their status.
async fn provide(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match asked(shared, request, provided).await {
        Ok(answer) => ([(CONTENT_TYPE, JSON)], answer).into_response(),
        Err(unanswered) => {
            let error = gatekeeper::system_error(&unanswered.to_string());
            (unanswered.status(), [(CONTENT_TYPE, JSON)], error).into_response()
        }
    }
}

/// What answers a body.
type Work = fn(&Shared, &[u8], Instant) -> Result<Vec<u8>, Unanswered>;

async fn asked(shared: Arc<Shared>, request: Request, work: Work) -> Result<Vec<u8>, Unanswered> {
    let limit = shared.limits.timeout;
    let answer = match Arc::clone(&shared.slots).try_acquire_owned() {
        Ok(slot) => {
            let answer = tokio::time::timeout(limit, answer(Arc::clone(&shared), slot, request, work)).await;
            answer.unwrap_or(Err(Unanswered::Late(limit)))
        }
        Err(_) => Err(Unanswered::TooMany),
    };
    answer.inspect_err(|unanswered| tell(&shared, unanswered))
}

fn tell(shared: &Shared, unanswered: &Unanswered) {
    shared.metrics.unanswered(unanswered.reason());
    if *unanswered != Unanswered::TooMany {
        log(&format!("unanswered={} reason={:?}", unanswered.reason(), unanswered.to_string()));
    }
}

/// The slot goes along with the work: what was given up for lateness holds it until it has really ended.
async fn answer(
    shared: Arc<Shared>,
    slot: OwnedSemaphorePermit,
    request: Request,
    work: Work,
) -> Result<Vec<u8>, Unanswered> {
    let started = Instant::now();
    let limit = shared.limits.request_bytes;
    let body = Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Unanswered::TooLarge(limit),
        _ => Unanswered::Malformed(rejection.body_text()),
    })?;
    // A guest cannot be waited for without blocking a thread.
    let work = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        shared.metrics.in_flight.inc();
        let answer = work(&shared, &body, started);
        shared.metrics.in_flight.dec();
        answer
    });
    work.await
        .unwrap_or_else(|_| Err(Unanswered::Failed("the judge crashed; please report it with the request".into())))
}

fn reviewed(shared: &Shared, body: &[u8], started: Instant) -> Result<Vec<u8>, Unanswered> {
    let review = Review::read(body).map_err(Unanswered::Malformed)?;
    judged(shared, &review, started)?.answer().map_err(Unanswered::Failed)
}

fn provided(shared: &Shared, body: &[u8], _: Instant) -> Result<Vec<u8>, Unanswered> {
    let keys = gatekeeper::keys(body).map_err(Unanswered::Malformed)?;
    let items = keys.iter().map(|key| {
        let answer = answered(shared, key).inspect_err(|unanswered| tell(shared, unanswered));
        Item::new(key, answer.map_err(|unanswered| unanswered.to_string()))
    });
    gatekeeper::answer(&items.collect::<Vec<_>>()).map_err(Unanswered::Failed)
}

/// One of Gatekeeper's keys: what is wrong with it is its own affair.
fn answered(shared: &Shared, key: &str) -> Result<Judged, Unanswered> {
    let review = gatekeeper::review(key).map_err(Unanswered::Malformed)?;
    judged(shared, &review, Instant::now())
}

fn judged(shared: &Shared, review: &Review<'_>, started: Instant) -> Result<Judged, Unanswered> {
    let judged = review.judge(&*shared.judge, &shared.lookups, shared.host).map_err(Unanswered::Failed)?;
    let (rule, took) = (judged.rule(), started.elapsed());
    shared.metrics.judged(review.kind(), &review.head.operation, judged.verdict(), rule, took);
    if !rule.is_empty() {
        log(&review.line(&judged));
    }
    Ok(judged)
}
