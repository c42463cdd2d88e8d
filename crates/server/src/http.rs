//! Routes, and the way of a request: its body, its turn, its verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use autoscaler_guard_host::{Budget, Capabilities};
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use crate::body::{Budgets, NoBody, Received};
use crate::certificate::Expiry;
use crate::connections::Connection;
use crate::gatekeeper::{self, Item};
use crate::lookups::{Lookups, Time};
use crate::metrics::Metrics;
use crate::review::{Judged, Review};
use crate::{Host, Judge, Limits, Line, log};

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) host: Host,
    pub(crate) judge: Arc<dyn Judge>,
    pub(crate) lookups: Arc<dyn Capabilities>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) bodies: Budgets,
    pub(crate) expiry: Expiry,
    turns: Turns,
    /// Set once the server is to end: no new requests should be sent here.
    pub(crate) ending: CancellationToken,
}

/// Whose turn it is to be judged.
struct Turns {
    judging: Arc<Semaphore>,
    /// For those that waited so long that there is no time left for lookups.
    late: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Shared {
    pub(crate) fn new(
        host: Host,
        limits: Limits,
        judge: Arc<dyn Judge>,
        lookups: Arc<dyn Capabilities>,
        expiry: Expiry,
    ) -> Self {
        let turns = || Arc::new(Semaphore::new(limits.in_flight));
        let turns = Turns { judging: turns(), late: turns(), waiting: AtomicUsize::new(0) };
        let metrics = Arc::new(Metrics::new(host));
        let (bodies, ending) = (Budgets::new(limits), CancellationToken::new());
        Self { host, judge, lookups, metrics, limits, bodies, expiry, turns, ending }
    }
}

/// Why a request gets no verdict.
#[derive(Debug, PartialEq, Eq)]
enum Unanswered {
    TooMany,
    NoRoom,
    TooLarge(usize),
    Slow(Duration),
    Malformed(String),
    Late(Duration),
    Failed(String),
}

impl Unanswered {
    /// The label in metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::TooMany | Self::NoRoom => "too_many",
            Self::TooLarge(_) => "too_large",
            Self::Slow(_) => "slow",
            Self::Malformed(_) => "malformed",
            Self::Late(_) => "late",
            Self::Failed(_) => "failed",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::TooMany | Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Late(_) | Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooMany => formatter.write_str("too many requests wait to be judged; see --max-in-flight"),
            Self::NoRoom => formatter.write_str("too many long requests arrive at once; see --max-request-bytes"),
            Self::TooLarge(limit) => {
                write!(formatter, "the request has more than {limit} bytes; see --max-request-bytes")
            }
            Self::Slow(limit) => write!(formatter, "the request did not arrive within {limit:?}"),
            Self::Malformed(reason) => formatter.write_str(reason),
            Self::Late(limit) => write!(formatter, "there was no verdict within {limit:?}; see --timeout"),
            Self::Failed(reason) => write!(formatter, "there is no verdict: {reason}"),
        }
    }
}

impl IntoResponse for Unanswered {
    fn into_response(self) -> Response {
        let mut response = (self.status(), format!("autoscaler-guard: {self}\n")).into_response();
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            // The API server's client then tries again, within its own timeout.
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Everything, for the host that asks.
pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    let (path, answering) = match shared.host {
        Host::ApiServer => ("/validate", post(validate)),
        Host::Gatekeeper => ("/gatekeeper", post(provide)),
    };
    Router::new().route(path, answering).with_state(Arc::clone(&shared)).merge(observation(shared))
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
    match shared.why_not_ready() {
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n").into_response(),
        None => "ok\n".into_response(),
    }
}

impl Shared {
    fn why_not_ready(&self) -> Option<String> {
        if self.ending.is_cancelled() {
            return Some("ending".to_owned());
        }
        if self.expiry.has_passed() {
            return Some("the certificate has expired".to_owned());
        }
        self.lookups.ready().err()
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match shared.metrics.text(&shared.lookups.watches()) {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

const JSON: &str = "application/json";

type Asking = Extension<Arc<Connection>>;

/// An API server's question.
async fn validate(State(shared): State<Arc<Shared>>, asking: Asking, request: Request<Body>) -> Response {
    match asked(shared, asking, request, &REVIEW).await {
        Ok(answer) => ([(CONTENT_TYPE, JSON)], answer).into_response(),
        Err(unanswered) => unanswered.into_response(),
    }
}

/// Gatekeeper's question. It reads the body of errors, too, whatever their status.
async fn provide(State(shared): State<Arc<Shared>>, asking: Asking, request: Request<Body>) -> Response {
    match asked(shared, asking, request, &KEYS).await {
        Ok(answer) => ([(CONTENT_TYPE, JSON)], answer).into_response(),
        Err(unanswered) => {
            let error = gatekeeper::system_error(&unanswered.to_string());
            (unanswered.status(), [(CONTENT_TYPE, JSON)], error).into_response()
        }
    }
}

/// Answers a body that was read.
type Answers = fn(&Shared, &[u8], &Asked) -> Result<Vec<u8>, Unanswered>;

/// What answers a body.
struct Work {
    /// Whether there is nothing to judge about it.
    passes: fn(&Shared, &[u8]) -> bool,
    answer: Answers,
}

/// A request while it is judged.
struct Asked {
    began: Instant,
    until: Instant,
    lookups: Arc<dyn Capabilities>,
    /// Cancelled when nobody waits for the answer any more.
    gone: CancellationToken,
}

static REVIEW: Work = Work { passes: review_passes, answer: reviewed };
static KEYS: Work = Work { passes: keys_pass, answer: provided };

/// What is longer is looked at only when its turn has come.
const QUICKLY_READ: usize = 256 << 10;

async fn asked(
    shared: Arc<Shared>,
    Extension(connection): Asking,
    request: Request<Body>,
    work: &'static Work,
) -> Result<Vec<u8>, Unanswered> {
    let (began, limits) = (Instant::now(), shared.limits);
    let answer = async {
        let received = shared.bodies.receive(request.into_body(), began).await.map_err(|error| match error {
            NoBody::TooLarge => Unanswered::TooLarge(limits.request_bytes),
            NoBody::Slow(limit) => Unanswered::Slow(limit),
            NoBody::NoRoom => Unanswered::NoRoom,
            NoBody::Broken(reason) => Unanswered::Malformed(reason),
        })?;
        let _busy = connection.busy();
        answer(&shared, received, began, work).await
    };
    let answer = timeout_at((began + limits.timeout).into(), answer).await;
    answer.unwrap_or(Err(Unanswered::Late(limits.timeout))).inspect_err(|unanswered| report(&shared, unanswered))
}

fn not_answered(unanswered: &Unanswered) -> Line {
    Line::error("not answered").with("unanswered", unanswered.reason()).with("reason", unanswered.to_string())
}

fn report(shared: &Shared, unanswered: &Unanswered) {
    shared.metrics.unanswered(unanswered.reason());
    log(&not_answered(unanswered));
}

async fn answer(
    shared: &Arc<Shared>,
    received: Received,
    began: Instant,
    work: &'static Work,
) -> Result<Vec<u8>, Unanswered> {
    let limits = shared.limits;
    let gone = CancellationToken::new();
    // Whoever stops waiting drops this.
    let _gone = gone.clone().drop_guard();
    let asked = |time: Time| {
        let budget = Budget { until: began + limits.lookups(), gone: gone.clone() };
        let lookups = Lookups::new(Arc::clone(&shared.lookups), Arc::clone(&shared.metrics), budget, time);
        Asked { began, until: began + limits.timeout, lookups: Arc::new(lookups), gone: gone.clone() }
    };
    if received.bytes.len() <= QUICKLY_READ && (work.passes)(shared, &received.bytes) {
        return (work.answer)(shared, &received.bytes, &asked(Time::None));
    }
    let (slot, time) = turn(shared, began).await?;
    let (shared, asked) = (Arc::clone(shared), asked(time));
    // A guest cannot be waited for without blocking a thread. The slot goes along with the work: what was given up for
    // lateness holds it until it has really ended.
    let work = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        shared.metrics.in_flight.inc();
        let answer = (work.answer)(&shared, &received.bytes, &asked);
        shared.metrics.in_flight.dec();
        answer
    });
    work.await
        .unwrap_or_else(|_| Err(Unanswered::Failed("the judge crashed; please report it with the request".into())))
}

/// Waits for its turn, in the order of arrival. Whose turn does not come in time is judged all the same, but not looked
/// up for: what would lose something is refused then, and to shed it could let it pass.
async fn turn(shared: &Shared, began: Instant) -> Result<(OwnedSemaphorePermit, Time), Unanswered> {
    let Shared { limits, turns, .. } = shared;
    if let Ok(slot) = Arc::clone(&turns.judging).try_acquire_owned() {
        return Ok((slot, Time::Left));
    }
    let waiting = Waiting::among(&turns.waiting);
    if waiting.0.load(Ordering::Relaxed) > limits.waiting() {
        return Err(Unanswered::TooMany);
    }
    let slot = timeout_at((began + limits.turn()).into(), Arc::clone(&turns.judging).acquire_owned()).await;
    if let Ok(Ok(slot)) = slot {
        return Ok((slot, Time::Left));
    }
    let slot = Arc::clone(&turns.late).acquire_owned().await.map_err(|_| Unanswered::TooMany)?;
    shared.metrics.judged_late.inc();
    Ok((slot, Time::None))
}

/// One that waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(all: &'a AtomicUsize) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn review_passes(shared: &Shared, body: &[u8]) -> bool {
    Review::read(body).is_ok_and(|review| shared.judge.passes(review.request))
}

fn reviewed(shared: &Shared, body: &[u8], asked: &Asked) -> Result<Vec<u8>, Unanswered> {
    let review = Review::read(body).map_err(Unanswered::Malformed)?;
    judged(shared, &review, asked, asked.began)?.answer().map_err(Unanswered::Failed)
}

fn keys_pass(shared: &Shared, body: &[u8]) -> bool {
    gatekeeper::keys(body).is_ok_and(|keys| keys.iter().all(|key| shared.judge.passes(key)))
}

/// One after the other, until the time is up: then the others get an error each, and one line reports all of them.
fn provided(shared: &Shared, body: &[u8], asked: &Asked) -> Result<Vec<u8>, Unanswered> {
    let keys = gatekeeper::keys(body).map_err(Unanswered::Malformed)?;
    let mut first = None;
    let answered = |key: &str| {
        if asked.gone.is_cancelled() || Instant::now() >= asked.until {
            return Err(Unanswered::Late(shared.limits.timeout));
        }
        // What is wrong with a key is its own affair.
        let review = gatekeeper::review(key).map_err(Unanswered::Malformed)?;
        judged(shared, &review, asked, Instant::now())
    };
    let items = keys.iter().map(|key| {
        let answer = answered(key).map_err(|unanswered| {
            shared.metrics.unanswered(unanswered.reason());
            first.get_or_insert_with(|| not_answered(&unanswered));
            unanswered.to_string()
        });
        Item::new(key, answer)
    });
    let items: Vec<Item<'_>> = items.collect();
    if let Some(line) = first {
        log(&line);
    }
    gatekeeper::answer(&items).map_err(Unanswered::Failed)
}

fn judged(shared: &Shared, review: &Review<'_>, asked: &Asked, began: Instant) -> Result<Judged, Unanswered> {
    let judged = review.judge(&*shared.judge, &asked.lookups, shared.host).map_err(Unanswered::Failed)?;
    let (rule, took) = (judged.rule(), began.elapsed());
    shared.metrics.judged(review.kind(), &review.head.operation, judged.verdict(), rule, took);
    if !rule.is_empty() {
        log(&review.line(&judged));
    }
    Ok(judged)
}
