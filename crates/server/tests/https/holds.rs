//! What must not cost a verdict: load, faults and hostile input. Each test names its line of docs/serve.md, "What it
//! withstands".

use std::sync::atomic::{AtomicUsize, Ordering};

use autoscaler_guard_host::Budget;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

const DELETE: &str = "keda-hpa-helm3/008-delete-scaledobject-lab-admin";

fn port(lab: &Lab) -> u16 {
    lab.address.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// A connection by TLS, with what it says of its protocol.
async fn raw(lab: &Lab, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut tls = client(&lab.trusted, &[&TLS13], None);
    tls.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(("127.0.0.1", port(lab))).await.unwrap();
    TlsConnector::from(Arc::new(tls)).connect("localhost".try_into().unwrap(), stream).await.unwrap()
}

fn head(length: u64) -> String {
    format!(
        "POST /validate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// What comes until the other side ends.
async fn rest(stream: &mut TlsStream<TcpStream>) -> String {
    let mut answer = Vec::new();
    // An end without farewell is one, too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// What comes until nothing does for a moment.
async fn some(stream: &mut TlsStream<TcpStream>) -> String {
    let mut answer = vec![0; 1 << 16];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

/// Lets some pass at once, and takes its time for the others.
#[derive(Default)]
struct Busy {
    takes: Duration,
    judged: AtomicUsize,
}

impl Judge for Busy {
    fn judge(&self, request: &str, _: &Arc<dyn Capabilities>) -> Result<Verdict, String> {
        self.judged.fetch_add(1, Ordering::Relaxed);
        if !self.passes(request) {
            std::thread::sleep(self.takes);
        }
        Ok(allowed())
    }

    fn passes(&self, request: &str) -> bool {
        request.contains("system:kube-controller-manager")
    }

    fn may_change(&self) -> bool {
        false
    }
}

/// Answers a lookup only when there is no time left.
struct Slow;

impl Capabilities for Slow {
    fn call(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, String> {
        panic!("it is asked within a budget")
    }

    fn call_within(&self, _: &str, _: &[u8], budget: &Budget) -> Result<Vec<u8>, String> {
        while budget.is_left() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(Budget::exhausted())
    }
}

fn refusal(answer: &Answer) -> String {
    let response = answer.response();
    assert_eq!(response["allowed"], false, "{response}");
    response["status"]["message"].as_str().unwrap().to_owned()
}

/// Many requests at once, each by a connection of its own.
async fn at_once(lab: &Lab, count: usize, body: &str) -> Vec<Answer> {
    let asked: Vec<_> = (0..count).map(|_| lab.validate_later(body.to_owned())).collect();
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap().unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn line_02_nothing_is_shed_while_there_is_time_to_wait() {
    let judge = Arc::new(Busy { takes: Duration::from_millis(5), ..Busy::default() });
    let limits = Limits { in_flight: 4, timeout: Duration::from_mins(1), ..Limits::default() };
    let lab = Lab::start(judge.clone(), Arc::new(NoCluster), limits);
    let answers = at_once(&lab, 120, &fixture(DELETE)).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(judge.judged.load(Ordering::Relaxed), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn line_02_whose_turn_does_not_come_is_judged_without_lookups() {
    let limits = Limits { in_flight: 2, ..Limits::default() };
    let lab = Lab::start(Arc::new(Core), Arc::new(Slow), limits);
    for answer in at_once(&lab, 12, &fixture(DELETE)).await {
        let message = refusal(&answer);
        assert!(message.contains("there was no time left to look it up"), "{message}");
    }
    let text = lab.get("/metrics").await.text;
    let late = text.lines().find_map(|line| line.strip_prefix("autoscaler_guard_requests_without_lookups_total"));
    assert!(late.is_some_and(|late| !late.ends_with(" 0")), "{text}");
}

/// Opens a gate at the end of a test, however it ends: a server that is dropped waits for what it judges.
struct Opened(Arc<Gate>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn line_02_what_is_shed_was_read_and_what_is_not_judged_needs_no_turn() {
    let gate = Arc::new(Gate::default());
    let limits = Limits { in_flight: 1, timeout: Duration::from_mins(5), ..Limits::default() };
    let lab = Lab::start(gate.clone(), Arc::new(NoCluster), limits);
    let opened = Opened(gate);
    let held = lab.validate_later(fixture(DELETE));
    eventually(|| lab.metric("autoscaler_guard_requests_in_flight{host=\"webhook\"} 1")).await;

    // As many as may wait, and one more, whichever comes last.
    let waiting: Vec<_> = (0..33).map(|_| lab.validate_later(fixture(DELETE))).collect();
    eventually(|| lab.metric(r#"autoscaler_guard_unanswered_requests_total{host="webhook",reason="too_many"} 1"#))
        .await;
    let shed = lab.validate(fixture(DELETE)).await;
    assert_eq!(shed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(shed.text.contains("see --max-in-flight"), "{}", shed.text);
    assert_eq!(lab.get("/readyz").await.status, StatusCode::OK);

    // A caller that is answered before it has sent everything may take that for a broken connection.
    let body = fixture(DELETE);
    let (first, second) = body.split_at(body.len() / 2);
    let mut stream = raw(&lab, b"http/1.1").await;
    stream.write_all((head(body.len() as u64) + first).as_bytes()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(500), some(&mut stream)).await;
    assert!(early.is_err(), "{early:?}");
    stream.write_all(second.as_bytes()).await.unwrap();
    let late = some(&mut stream).await;
    assert!(late.starts_with("HTTP/1.1 503 ") && late.contains("\r\nretry-after: 1\r\n"), "{late}");

    // The only turn is taken, and nobody else may wait.
    let free = fixture(DELETE).replace("lab-admin", "system:kube-controller-manager");
    assert_eq!(lab.validate(free).await.status, StatusCode::OK);

    drop(opened);
    let mut statuses = Vec::new();
    for answer in waiting.into_iter().chain([held]) {
        statuses.push(answer.await.unwrap().unwrap().status);
    }
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((count(StatusCode::OK), count(StatusCode::SERVICE_UNAVAILABLE)), (33, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn line_03_bodies_that_do_not_arrive_take_no_turn() {
    let limits = Limits { in_flight: 2, ..Limits::default() };
    let lab = Lab::start(Arc::new(Core), Arc::new(NoCluster), limits);
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut stream = raw(&lab, b"http/1.1").await;
        stream.write_all((head(1000) + "{").as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let (mut streams, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        TokioIo::new(raw(&lab, b"h2").await),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let mut bodiless = Vec::new();
    for _ in 0..100 {
        let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let request = Request::builder().method("POST").uri(format!("{}/validate", lab.address)).body(body).unwrap();
        streams.ready().await.unwrap();
        bodiless.push(tokio::spawn(streams.send_request(request)));
    }
    refusal(&lab.validate(fixture(DELETE)).await);
    assert!(rest(&mut slow[0]).await.starts_with("HTTP/1.1 408 "));
    let late = bodiless.remove(0).await.unwrap().unwrap();
    assert_eq!(late.status(), StatusCode::REQUEST_TIMEOUT);
    eventually(|| lab.metric(r#"autoscaler_guard_unanswered_requests_total{host="webhook",reason="slow"} 140"#)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_04_idle_connections_make_room() {
    let lab = Lab::core();
    let mut idle = vec![raw(&lab, b"h2").await];
    for number in 1..600 {
        if number % 50 == 0 {
            idle.push(raw(&lab, if number % 100 == 0 { b"h2" } else { b"http/1.1" }).await);
        } else {
            // Not even a handshake.
            drop(lab.get("/livez"));
            let stream = TcpStream::connect(("127.0.0.1", port(&lab))).await.unwrap();
            tokio::spawn(async move {
                let _stream = stream;
                std::future::pending::<()>().await;
            });
        }
    }
    assert_eq!(lab.validate(fixture(HANDOVER)).await.status, StatusCode::OK);
    assert!(!rest(&mut idle[0]).await.contains("HTTP/1.1"), "the first has made room");
    let text = lab.get("/metrics").await.text;
    assert!(text.contains(r#"autoscaler_guard_connections_ended_total{host="webhook",reason="evicted"}"#), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn line_05_lookups_share_one_budget_and_what_it_does_not_suffice_for_is_unknown() {
    let lab = Lab::start(Arc::new(Core), Arc::new(Slow), Limits::default());
    let message = refusal(&lab.validate(fixture(DELETE)).await);
    assert!(message.contains("there was no time left to look it up"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn line_05_work_ends_once_the_caller_has_gone() {
    let lab =
        Lab::start(Arc::new(Core), Arc::new(Slow), Limits { timeout: Duration::from_mins(1), ..Limits::default() });
    for protocol in [&b"http/1.1"[..], b"h2"] {
        let asking: JoinHandle<()> = if protocol == b"h2" {
            let io = TokioIo::new(raw(&lab, protocol).await);
            let (mut streams, connection) =
                hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
            let request = Request::builder().method("POST").uri(format!("{}/validate", lab.address));
            let request = request.body(Body::from(fixture(DELETE))).unwrap();
            tokio::spawn(async move {
                let answer = streams.send_request(request);
                tokio::select! { _ = answer => {}, _ = connection => {} }
            })
        } else {
            let mut stream = raw(&lab, protocol).await;
            let body = fixture(DELETE);
            stream.write_all((head(body.len() as u64) + &body).as_bytes()).await.unwrap();
            tokio::spawn(async move { drop(rest(&mut stream).await) })
        };
        eventually(|| lab.metric("autoscaler_guard_requests_in_flight{host=\"webhook\"} 1")).await;
        asking.abort();
        eventually(|| lab.metric("autoscaler_guard_requests_in_flight{host=\"webhook\"} 0")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn line_08_gatekeeper_may_ask_about_a_few_at_a_time() {
    let lab = provider(Arc::new(Core), Limits::default());
    let keys = |count: usize, key: &str| asking(&vec![key; count]);
    for body in [keys(2_700_000, ""), keys(10_000, "{}"), keys(17, &key())] {
        let (status, response) = lab.provide(body).await;
        assert_eq!((status, &response["items"]), (StatusCode::BAD_REQUEST, &json!([])));
        let error = response["systemError"].as_str().unwrap();
        assert!(error.contains("there are more than 16 keys") && error.len() < 200, "{error}");
    }
    let (status, response) = lab.provide(keys(16, "")).await;
    assert_eq!((status, response["items"].as_array().map(Vec::len)), (StatusCode::OK, Some(16)));
}

#[tokio::test(flavor = "multi_thread")]
async fn line_08_there_is_one_time_for_all_keys() {
    let judge = Arc::new(Busy { takes: Duration::from_millis(700), ..Busy::default() });
    let lab = provider(judge.clone(), Limits { timeout: Duration::from_secs(2), ..Limits::default() });
    let key = key();
    let (status, _) = lab.provide(asking(&[key.as_str(); 16])).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    eventually(|| lab.metric("autoscaler_guard_requests_in_flight{host=\"gatekeeper\"} 0")).await;
    assert!(judge.judged.load(Ordering::Relaxed) < 6, "it goes on after its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn line_10_whoever_is_connected_learns_of_the_end_at_once() {
    let lab = Lab::core();
    let mut old = raw(&lab, b"http/1.1").await;
    old.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(!some(&mut old).await.to_lowercase().contains("connection: close"));
    let (mut streams, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        TokioIo::new(raw(&lab, b"h2").await),
    )
    .await
    .unwrap();
    let connection = tokio::spawn(connection);
    let request = || Request::builder().uri(format!("{}/livez", lab.address)).body(Body::empty()).unwrap();
    assert_eq!(streams.send_request(request()).await.unwrap().status(), StatusCode::OK);

    let (address, trusted) = (lab.address.clone(), lab.trusted.clone());
    lab.end.send(Duration::from_secs(5)).unwrap();
    // GOAWAY: the client is done with this connection, without an error.
    connection.await.unwrap().unwrap();
    old.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let answer = rest(&mut old).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
    // New ones are still answered, so long as somebody may not know.
    let late = send(&trusted, "POST", &format!("{address}/validate"), fixture(HANDOVER)).await.unwrap();
    assert_eq!(late.response()["allowed"], true);
    lab.running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn line_14_an_acknowledged_change_is_counted_with_its_rule() {
    let world = snapshot(&["hpa-web-owned", "scaledobject-web", "deployment-web", "namespace-shop"]);
    let lab = Lab::start(Arc::new(Core), world, Limits::default());
    let mut review: Value = serde_json::from_str(&fixture(DELETE)).unwrap();
    review["request"]["oldObject"]["metadata"]["annotations"]["autoscaler-guard/allow"] = json!("scaledobject-deleted");
    assert_eq!(lab.validate(review.to_string()).await.response()["allowed"], true);
    let line = r#"autoscaler_guard_requests_total{host="webhook",kind="ScaledObject",operation="DELETE",verdict="acknowledged",rule="scaledobject-deleted"} 1"#;
    assert!(lab.metric(line).await, "{}", lab.get("/metrics").await.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn line_14_a_body_that_says_it_is_endless_is_not_waited_for() {
    let lab = Lab::core();
    let mut stream = raw(&lab, b"http/1.1").await;
    stream.write_all((head(1 << 63) + "{").as_bytes()).await.unwrap();
    assert!(some(&mut stream).await.starts_with("HTTP/1.1 413 "));
}
