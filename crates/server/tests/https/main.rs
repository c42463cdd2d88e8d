//! Round trips by real HTTPS: what an API server would see.

#![allow(clippy::restriction, reason = "a test may panic")]

mod holds;
mod hosts;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use autoscaler_guard_host::{Capabilities, NoCluster, Response, Snapshot};
use autoscaler_guard_server::{Certificate, CertificateFiles, Host, Judge, Limits, Options, Server, Verdict};
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use base64::Engine;
use http_body_util::BodyExt;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures");
const HANDOVER: &str = "keda-hpa-helm3/007-update-horizontalpodautoscaler-lab-admin";

/// The rules that are built in.
struct Core;

fn judged(request: &str, settings: &Value, lookups: &Arc<dyn Capabilities>) -> Result<Verdict, String> {
    let payload = format!(r#"{{"request":{request},"settings":{settings}}}"#);
    let call = |operation: &str, request: &[u8]| lookups.call(operation, request);
    let answer = autoscaler_guard::kubewarden::validate(payload.as_bytes(), &call);
    serde_json::from_slice::<Response>(&answer).map(Verdict::from).map_err(|error| error.to_string())
}

impl Judge for Core {
    fn judge(&self, request: &str, lookups: &Arc<dyn Capabilities>) -> Result<Verdict, String> {
        judged(request, &json!({}), lookups)
    }

    fn may_change(&self) -> bool {
        true
    }
}

fn allowed() -> Verdict {
    Response { accepted: true, ..Response::default() }.into()
}

/// Judges nothing until it is let go.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl Judge for Gate {
    fn judge(&self, request: &str, _: &Arc<dyn Capabilities>) -> Result<Verdict, String> {
        if !self.passes(request) {
            let open = self.open.lock().unwrap();
            drop(self.opened.wait_while(open, |open| !*open).unwrap());
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

/// Has no verdict.
struct Broken;

impl Judge for Broken {
    fn judge(&self, request: &str, _: &Arc<dyn Capabilities>) -> Result<Verdict, String> {
        assert!(!request.contains("panic"), "as the request says");
        Err("the policy crashed".into())
    }

    fn may_change(&self) -> bool {
        false
    }
}

/// A certificate in files of its own.
struct Files {
    folder: PathBuf,
    files: CertificateFiles,
}

impl Files {
    fn new() -> Self {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("autoscaler-guard-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = CertificateFiles {
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
            client_authority: None,
        };
        Self { folder, files }
    }

    /// Writes a new certificate, and returns what a client has to trust.
    fn issue(&self) -> CertificateDer<'static> {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&self.files.certificate, issued.cert.pem()).unwrap();
        std::fs::write(&self.files.key, issued.signing_key.serialize_pem()).unwrap();
        issued.cert.der().clone()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Lab {
    files: Files,
    trusted: CertificateDer<'static>,
    address: String,
    end: oneshot::Sender<Duration>,
    running: JoinHandle<std::io::Result<()>>,
}

struct Answer {
    status: StatusCode,
    text: String,
}

impl Answer {
    fn response(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        let review: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!(
            (&review["apiVersion"], &review["kind"]),
            (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
        );
        review["response"].clone()
    }
}

impl Answer {
    /// The response to a request of Gatekeeper's.
    fn provided(&self) -> (StatusCode, Value) {
        let body: Value = serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text));
        assert_eq!(body["apiVersion"], "externaldata.gatekeeper.sh/v1beta1");
        assert_eq!(body["kind"], "ProviderResponse");
        (self.status, body["response"].clone())
    }
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{FIXTURES}/requests/{name}.json")).unwrap()
}

fn snapshot(objects: &[&str]) -> Arc<dyn Capabilities> {
    let paths: Vec<PathBuf> = objects.iter().map(|name| format!("{FIXTURES}/objects/{name}.yaml").into()).collect();
    Arc::new(Snapshot::from_paths(&paths).unwrap())
}

impl Lab {
    fn start(judge: Arc<dyn Judge>, lookups: Arc<dyn Capabilities>, limits: Limits) -> Self {
        Self::start_for(Host::ApiServer, Files::new(), judge, lookups, limits)
    }

    fn start_for(
        host: Host,
        files: Files,
        judge: Arc<dyn Judge>,
        lookups: Arc<dyn Capabilities>,
        limits: Limits,
    ) -> Self {
        let trusted = files.issue();
        let options = Options {
            host,
            listen: "127.0.0.1:0".parse().unwrap(),
            metrics_listen: None,
            certificate: Certificate::load(files.files.clone(), host).unwrap(),
            certificate_check: Duration::from_millis(20),
            limits,
            drain: Duration::ZERO,
        };
        let server = Server::bind(options, judge, lookups).unwrap();
        let address = format!("https://localhost:{}", server.address().unwrap().port());
        let (end, ended) = oneshot::channel();
        let running = tokio::spawn(server.run(async move { ended.await.unwrap_or_default() }));
        Self { files, trusted, address, end, running }
    }

    fn core() -> Self {
        Self::start(
            Arc::new(Core),
            snapshot(&["scaledobject-web", "deployment-web", "namespace-shop"]),
            Limits::default(),
        )
    }

    /// A request by a new connection; the error is that of the connection.
    async fn ask(&self, method: &str, path: &str, body: String) -> Result<Answer, String> {
        send(&self.trusted, method, &format!("{}{path}", self.address), body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, String::new()).await.unwrap()
    }

    async fn validate(&self, body: impl Into<String>) -> Answer {
        self.ask("POST", "/validate", body.into()).await.unwrap()
    }

    /// The same, to be waited for later.
    fn validate_later(&self, body: String) -> JoinHandle<Result<Answer, String>> {
        let (trusted, address) = (self.trusted.clone(), format!("{}/validate", self.address));
        tokio::spawn(async move { send(&trusted, "POST", &address, body).await })
    }

    async fn metric(&self, line: &str) -> bool {
        self.get("/metrics").await.text.lines().any(|known| known == line)
    }
}

async fn send(trusted: &CertificateDer<'static>, method: &str, address: &str, body: String) -> Result<Answer, String> {
    send_by(client(trusted, &[&TLS13, &TLS12], None), method, address, body).await
}

/// What a client trusts, speaks and proves itself with.
fn client(
    trusted: &CertificateDer<'static>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    identity: Option<&rcgen::CertifiedKey<rcgen::KeyPair>>,
) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let tls = tls.with_root_certificates(roots);
    match identity {
        None => tls.with_no_client_auth(),
        Some(issued) => {
            let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
            tls.with_client_auth_cert(vec![issued.cert.der().clone()], key).unwrap()
        }
    }
}

type Connected = Client<HttpsConnector<HttpConnector>, Body>;

async fn send_by(tls: rustls::ClientConfig, method: &str, address: &str, body: String) -> Result<Answer, String> {
    send_over(&connected(tls), method, address, body).await
}

/// A client that keeps its connections.
fn connected(tls: rustls::ClientConfig) -> Connected {
    let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
    Client::builder(TokioExecutor::new()).build(connector)
}

async fn send_over(client: &Connected, method: &str, address: &str, body: String) -> Result<Answer, String> {
    let request = Request::builder().method(method).uri(address).header("content-type", "application/json");
    let answer = client.request(request.body(Body::from(body)).unwrap()).await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status();
    let text: Bytes = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok(Answer { status, text: String::from_utf8(text.to_vec()).unwrap() })
}

async fn eventually<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(20), "it never came to hold");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_is_answered_with_a_patch_that_makes_it_one() {
    let lab = Lab::core();
    let review: Value = serde_json::from_str(&fixture(HANDOVER)).unwrap();
    let response = lab.validate(review.to_string()).await.response();
    assert_eq!((&response["uid"], &response["allowed"]), (&review["request"]["uid"], &json!(true)));
    assert_eq!(response["patchType"], "JSONPatch");
    assert_eq!(response["auditAnnotations"]["rule"], "hpa-handover");
    let patch = base64::prelude::BASE64_STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut object = review["request"]["object"].clone();
    json_patch::patch(&mut object, &patch).unwrap();
    assert!(object["metadata"].get("ownerReferences").is_none());
    assert_eq!(
        object["metadata"]["annotations"]["autoscaler-guard/released-from"],
        "web/62f7a3a1-38c5-4b67-9160-861463955b7a/2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_review_gets_400() {
    let lab = Lab::core();
    let mut beta: Value = serde_json::from_str(&fixture(HANDOVER)).unwrap();
    beta["apiVersion"] = json!("admission.k8s.io/v1beta1");
    for body in [String::new(), "{".into(), "[]".into(), "{}".into(), beta.to_string()] {
        let answer = lab.validate(body.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer.text.starts_with("autoscaler-guard: the body is "), "{}", answer.text);
    }
    assert!(lab.metric(r#"autoscaler_guard_unanswered_requests_total{host="webhook",reason="malformed"} 5"#).await);
    assert_eq!(lab.get("/validate").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(lab.get("/").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_gets_413() {
    let request = fixture(HANDOVER);
    let limits = Limits { request_bytes: request.len(), ..Limits::default() };
    let lab = Lab::start(Arc::new(Core), Arc::new(NoCluster), limits);
    assert_eq!(lab.validate(request.clone()).await.status, StatusCode::OK);
    let answer = lab.validate(format!("{request} ")).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.text.contains("see --max-request-bytes"), "{}", answer.text);
    assert!(lab.metric(r#"autoscaler_guard_unanswered_requests_total{host="webhook",reason="too_large"} 1"#).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_verdict_in_time_the_failure_policy_decides() {
    let gate = Arc::new(Gate::default());
    let limits = Limits { in_flight: 1, timeout: Duration::from_millis(200), ..Limits::default() };
    let lab = Lab::start(gate.clone(), Arc::new(NoCluster), limits);
    let late = lab.validate(fixture(HANDOVER)).await;
    assert_eq!(late.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(late.text, "autoscaler-guard: there was no verdict within 200ms; see --timeout\n");
    gate.open();
    eventually(async || lab.validate(fixture(HANDOVER)).await.status == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_without_verdict_is_no_verdict() {
    let lab = Lab::start(Arc::new(Broken), Arc::new(NoCluster), Limits::default());
    let failed = lab.validate(fixture(HANDOVER)).await;
    assert_eq!(failed.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(failed.text, "autoscaler-guard: there is no verdict: the policy crashed\n");
    let crashed = lab.validate(fixture(HANDOVER).replace("\"lab-admin\"", "\"panic\"")).await;
    assert_eq!(crashed.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(crashed.text.contains("the judge crashed"), "{}", crashed.text);
    assert!(lab.metric(r#"autoscaler_guard_unanswered_requests_total{host="webhook",reason="failed"} 2"#).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_is_finished_and_nothing_new_is_taken() {
    let gate = Arc::new(Gate::default());
    let lab = Lab::start(gate.clone(), Arc::new(NoCluster), Limits::default());
    let in_flight = lab.validate_later(fixture(HANDOVER));
    eventually(|| lab.metric("autoscaler_guard_requests_in_flight{host=\"webhook\"} 1")).await;
    let Lab { files: _files, trusted, address, end, running } = lab;
    end.send(Duration::from_secs(3)).unwrap();
    let ready = || async {
        let answer = send(&trusted, "GET", &format!("{address}/readyz"), String::new()).await;
        answer.is_ok_and(|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE)
    };
    eventually(ready).await;
    eventually(|| async { send(&trusted, "GET", &format!("{address}/livez"), String::new()).await.is_err() }).await;
    assert!(!running.is_finished(), "it waits for the request");
    gate.open();
    assert_eq!(in_flight.await.unwrap().unwrap().response()["allowed"], true);
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_is_served_and_a_broken_one_is_not() {
    let mut lab = Lab::core();
    assert_eq!(lab.get("/livez").await.status, StatusCode::OK);
    std::fs::write(&lab.files.files.certificate, "half a certif").unwrap();
    eventually(|| lab.metric(r#"autoscaler_guard_certificate_reloads_total{host="webhook",outcome="failed"} 1"#)).await;
    let old = std::mem::replace(&mut lab.trusted, lab.files.issue());
    eventually(async || lab.ask("GET", "/livez", String::new()).await.is_ok()).await;
    assert!(lab.metric(r#"autoscaler_guard_certificate_reloads_total{host="webhook",outcome="loaded"} 1"#).await);
    let by_old_trust = send(&old, "GET", &format!("{}/livez", lab.address), String::new()).await;
    let error = by_old_trust.err().unwrap_or_default();
    assert!(error.contains("InvalidCertificate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_requests_rules_and_lookups() {
    let lab = Lab::core();
    lab.validate(fixture(HANDOVER)).await;
    let mut foreign: Value = serde_json::from_str(&fixture(HANDOVER)).unwrap();
    foreign["request"]["kind"] = json!({"group": "example.com", "version": "v1", "kind": "Anything"});
    lab.validate(foreign.to_string()).await;
    let text = lab.get("/metrics").await.text;
    for line in [
        "# TYPE autoscaler_guard_requests counter",
        r#"autoscaler_guard_requests_total{host="webhook",kind="HorizontalPodAutoscaler",operation="UPDATE",verdict="repaired",rule="hpa-handover"} 1"#,
        r#"autoscaler_guard_requests_total{host="webhook",kind="other",operation="UPDATE",verdict="allowed",rule=""} 1"#,
        "# TYPE autoscaler_guard_request_duration_seconds histogram",
        r#"autoscaler_guard_request_duration_seconds_count{host="webhook",kind="HorizontalPodAutoscaler",operation="UPDATE"} 1"#,
        r#"autoscaler_guard_lookups_total{host="webhook",operation="get",kind="ScaledObject",outcome="answered"} 1"#,
        r#"autoscaler_guard_requests_in_flight{host="webhook"} 0"#,
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is missing in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_lookups_are_counted() {
    let lab = Lab::start(Arc::new(Core), Arc::new(NoCluster), Limits::default());
    lab.validate(fixture(HANDOVER)).await;
    let failed =
        r#"autoscaler_guard_lookups_total{host="webhook",operation="get",kind="ScaledObject",outcome="failed"} 1"#;
    assert!(lab.metric(failed).await, "{}", lab.get("/metrics").await.text);
}

#[test]
fn a_certificate_that_cannot_be_used_is_reported_with_its_file() {
    let files = Files::new();
    let load = |certificate: &Path, key: &Path| {
        let files = CertificateFiles { certificate: certificate.into(), key: key.into(), client_authority: None };
        Certificate::load(files, Host::ApiServer).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let (certificate, key) = (&files.files.certificate, &files.files.key);
    assert!(load(certificate, key).contains("tls.crt cannot be read: No such file"));
    files.issue();
    assert_eq!(load(certificate, key), "");
    assert!(load(key, certificate).contains("tls.key has no certificate in PEM format"));
    assert!(load(certificate, certificate).contains("tls.crt has no private key in PEM format"));
    let other = Files::new();
    other.issue();
    assert!(load(certificate, &other.files.key).contains("check that the key is that of the first certificate"));
}

/// The server as Gatekeeper's provider.
fn provider(judge: Arc<dyn Judge>, limits: Limits) -> Lab {
    let lookups = snapshot(&["scaledobject-web", "deployment-web", "namespace-shop"]);
    Lab::start_for(Host::Gatekeeper, Files::new(), judge, lookups, limits)
}

fn asking(keys: &[&str]) -> String {
    let request = json!({"keys": keys});
    json!({"apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderRequest", "request": request})
        .to_string()
}

fn key() -> String {
    serde_json::from_str::<Value>(&fixture(HANDOVER)).unwrap()["request"].to_string()
}

impl Lab {
    async fn provide(&self, body: String) -> (StatusCode, Value) {
        self.ask("POST", "/gatekeeper", body).await.unwrap().provided()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gatekeepers_keys_are_answered_in_order_and_a_bad_one_by_itself() {
    let lab = provider(Arc::new(Core), Limits::default());
    let passing = key().replace("\"lab-admin\"", "\"system:kube-controller-manager\"");
    let keys = [key(), "{".to_owned(), passing, key()];
    let (status, response) = lab.provide(asking(&keys.each_ref().map(String::as_str))).await;
    assert_eq!((status, &response["idempotent"]), (StatusCode::OK, &json!(false)));
    assert!(response.get("systemError").is_none(), "{response}");
    let items = response["items"].as_array().unwrap();
    let answered: Vec<&str> = items.iter().filter_map(|item| item["key"].as_str()).collect();
    assert_eq!(answered, keys);
    let error = items[1]["error"].as_str().unwrap();
    assert!(error.starts_with("the key is no review in JSON: EOF") && items[1].get("value").is_none(), "{error}");
    let allowed: Vec<&Value> = items.iter().map(|item| &item["value"]["allowed"]).collect();
    // The first is a repair, which Gatekeeper could not make, by settings that `serve --gatekeeper` never has.
    assert_eq!(allowed, [&json!(false), &Value::Null, &json!(true), &json!(false)]);
    assert_eq!(items[0]["value"]["rules"], json!(["hpa-handover"]));
    assert_eq!(items[2]["value"], json!({"allowed": true, "message": "", "warnings": [], "rules": []}));
    for line in [
        r#"autoscaler_guard_requests_total{host="gatekeeper",kind="HorizontalPodAutoscaler",operation="UPDATE",verdict="rejected",rule="hpa-handover"} 2"#,
        r#"autoscaler_guard_unanswered_requests_total{host="gatekeeper",reason="malformed"} 1"#,
    ] {
        assert!(lab.metric(line).await, "{}", lab.get("/metrics").await.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_verdict_is_no_verdict() {
    let lab = provider(Arc::new(Broken), Limits::default());
    let (status, response) = lab.provide(asking(&[&key()])).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(response["items"][0]["error"], "there is no verdict: the policy crashed");
    let (status, response) = lab.provide(asking(&[&key().replace("\"lab-admin\"", "\"panic\"")])).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(response["systemError"].as_str().unwrap().contains("the judge crashed"), "{response}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_of_gatekeeper_is_a_system_error() {
    let lab = provider(Arc::new(Core), Limits::default());
    let (status, response) = lab.provide(asking(&[])).await;
    assert_eq!((status, response), (StatusCode::OK, json!({"idempotent": false, "items": []})));
    for body in [String::new(), asking(&[&key()]).replace("v1beta1", "v1alpha1"), fixture(HANDOVER)] {
        let (status, response) = lab.provide(body).await;
        assert_eq!((status, &response["items"]), (StatusCode::BAD_REQUEST, &json!([])));
        assert!(response["systemError"].as_str().unwrap().starts_with("the body is "), "{response}");
    }
    assert_eq!(lab.ask("POST", "/validate", fixture(HANDOVER)).await.unwrap().status, StatusCode::NOT_FOUND);
    let webhook = Lab::core();
    assert_eq!(webhook.ask("POST", "/gatekeeper", asking(&[])).await.unwrap().status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn gatekeeper_is_held_to_the_limits() {
    let gate = Arc::new(Gate::default());
    let body = asking(&[&key()]);
    let limits = Limits { request_bytes: body.len(), in_flight: 1, timeout: Duration::from_millis(500) };
    let lab = provider(gate.clone(), limits);
    let (status, response) = lab.provide(format!("{body} ")).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(response["systemError"].as_str().unwrap().contains("see --max-request-bytes"), "{response}");
    let (status, response) = lab.provide(body.clone()).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response["systemError"], "there was no verdict within 500ms; see --timeout");
    gate.open();
    eventually(async || lab.provide(body.clone()).await.0 == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gatekeeper_has_to_speak_tls_1_3() {
    let lab = provider(Arc::new(Core), Limits::default());
    let address = format!("{}/gatekeeper", lab.address);
    let by = async |version| send_by(client(&lab.trusted, &[version], None), "POST", &address, asking(&[])).await;
    assert_eq!(by(&TLS13).await.unwrap().status, StatusCode::OK);
    let error = by(&TLS12).await.err().unwrap_or_default();
    assert!(error.contains("ProtocolVersion"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_clients_have_to_be_certified_nobody_else_may_ask() {
    let issue = || rcgen::generate_simple_self_signed(["gatekeeper".to_owned()]).unwrap();
    let (gatekeeper, stranger, renewed) = (issue(), issue(), issue());
    let mut files = Files::new();
    let authority = files.folder.join("client.crt");
    std::fs::write(&authority, gatekeeper.cert.pem()).unwrap();
    files.files.client_authority = Some(authority.clone());
    let lab = Lab::start_for(Host::Gatekeeper, files, Arc::new(Core), Arc::new(NoCluster), Limits::default());
    let address = format!("{}/gatekeeper", lab.address);
    let by = |identity| send_by(client(&lab.trusted, &[&TLS13], identity), "POST", &address, asking(&[]));
    assert_eq!(by(Some(&gatekeeper)).await.unwrap().status, StatusCode::OK);
    let error = by(None).await.err().unwrap_or_default();
    assert!(error.contains("CertificateRequired"), "{error}");
    assert!(by(Some(&stranger)).await.is_err());
    std::fs::write(&authority, renewed.cert.pem()).unwrap();
    eventually(async || by(Some(&renewed)).await.is_ok()).await;
    assert!(by(Some(&gatekeeper)).await.is_err());
}

#[test]
fn an_authority_that_cannot_be_used_is_reported_with_its_file() {
    let mut files = Files::new();
    files.issue();
    files.files.client_authority = Some(files.files.key.clone());
    let load =
        |files: &Files| Certificate::load(files.files.clone(), Host::Gatekeeper).err().map(|error| error.to_string());
    let error = load(&files).unwrap_or_default();
    assert!(error.contains("tls.key has no certificate in PEM format"), "{error}");
    files.files.client_authority = Some(files.folder.join("gone.crt"));
    assert!(load(&files).unwrap_or_default().contains("gone.crt cannot be read: No such file"));
}
