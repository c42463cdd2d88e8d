//! A server that runs as a process, a small API server for it, and a client.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures");

/// A captured request of a workload that goes from KEDA to a plain HPA.
pub fn fixture(name: &str) -> String {
    fs::read_to_string(format!("{FIXTURES}/requests/keda-hpa-helm3/{name}.json")).expect("the fixture is there")
}

fn object(name: &str) -> String {
    let text = fs::read_to_string(format!("{FIXTURES}/objects/{name}.yaml")).expect("the fixture is there");
    serde_yaml::from_str::<Value>(&text).expect("it is YAML").to_string()
}

/// Waits until it holds.
#[track_caller]
pub fn eventually(mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(30), "it never came to hold");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An API server with a workload that KEDA scales, as the fixtures have it.
pub struct Api;

/// What is answered instead: a status and a body.
type Instead = dyn Fn(&str) -> Option<(u16, String)> + Send + Sync;

impl Api {
    /// Starts one; the answer is its port.
    pub fn start() -> u16 {
        Self::of(|_| None)
    }

    /// One that answers some paths in another way.
    pub fn of(instead: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static) -> u16 {
        Self::serve(TcpListener::bind("127.0.0.1:0").expect("there is a free port"), Arc::new(instead))
    }

    /// One at that port.
    pub fn start_at(port: u16) -> u16 {
        Self::serve(TcpListener::bind(("127.0.0.1", port)).expect("the port is free"), Arc::new(|_: &str| None))
    }

    fn serve(listener: TcpListener, instead: Arc<Instead>) -> u16 {
        let port = listener.local_addr().expect("it listens").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let instead = Arc::clone(&instead);
                std::thread::spawn(move || Self::converse(stream, &instead));
            }
        });
        port
    }

    fn converse(stream: TcpStream, instead: &Arc<Instead>) -> Option<()> {
        let mut input = BufReader::new(stream.try_clone().ok()?);
        let mut output = stream;
        loop {
            let (line, body) = read(&mut input)?;
            let path = line.split(' ').nth(1)?;
            let (status, text) = instead(path).unwrap_or_else(|| answer(path.split('?').next().unwrap_or(path), &body));
            let head = "content-type: application/json\r\nretry-after: 1";
            write!(output, "HTTP/1.1 {status} X\r\n{head}\r\ncontent-length: {}\r\n\r\n{text}", text.len()).ok()?;
        }
    }
}

/// The first line of a message, and its body.
fn read(input: &mut impl BufRead) -> Option<(String, String)> {
    let (mut first, mut length) = (String::new(), 0);
    input.read_line(&mut first).ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(given) = line.strip_prefix("content-length:") {
            length = given.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some((first.trim().to_owned(), String::from_utf8(body).ok()?))
}

fn answer(path: &str, body: &str) -> (u16, String) {
    let resources = |kinds: &[(&str, &str, bool)]| {
        let one = |(name, kind, namespaced): &(&str, &str, bool)| json!({"name": name, "kind": kind, "namespaced": namespaced, "singularName": "", "verbs": []});
        let resources: Vec<Value> = kinds.iter().map(one).collect();
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "", "resources": resources}).to_string()
    };
    let text = match path {
        "/version" => json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}).to_string(),
        "/api/v1" => resources(&[("namespaces", "Namespace", false)]),
        "/apis/apps/v1" => resources(&[("deployments", "Deployment", true)]),
        "/apis/keda.sh/v1alpha1" => resources(&[("scaledobjects", "ScaledObject", true)]),
        "/apis/autoscaling/v2" => resources(&[("horizontalpodautoscalers", "HorizontalPodAutoscaler", true)]),
        "/api/v1/namespaces/shop" => object("namespace-shop"),
        "/apis/apps/v1/namespaces/shop/deployments/web" => object("deployment-web"),
        "/apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects/web" => object("scaledobject-web"),
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" | "/apis/authorization.k8s.io/v1/subjectaccessreviews" => {
            json!({"status": {"allowed": !body.contains("bypass")}}).to_string()
        }
        "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web" => object("hpa-web-owned"),
        _ if path.ends_with("horizontalpodautoscalers") || path.ends_with("scaledobjects") => {
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}).to_string()
        }
        _ => return (404, json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "not found"}).to_string()),
    };
    (200, text)
}

/// Files of one test, in a folder that goes with it.
pub struct Files(pub PathBuf);

impl Files {
    /// A certificate, and a kubeconfig for an API server on that port.
    pub fn new(test: &str, port: u16) -> Self {
        let folder = std::env::temp_dir().join(format!("autoscaler-guard-serve-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder can be made");
        let files = Self(folder);
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be issued");
        files.write("tls.crt", &issued.cert.pem());
        files.write("tls.key", &issued.signing_key.serialize_pem());
        files.write("kubeconfig", &kubeconfig(port));
        files
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("the folder can be written to");
    }

    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_autoscaler-guard"));
        command.current_dir(&self.0).env("NO_COLOR", "1");
        command.args(["serve", "--tls-cert", "tls.crt", "--tls-key", "tls.key", "--kubeconfig", "kubeconfig"]);
        command.args(["--listen", "127.0.0.1:0"]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A client that trusts the certificate, connected.
    pub fn client(&self, address: &str) -> Client {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(self.0.join("tls.crt")).expect("the certificate is there");
        roots.add(certificate).expect("it can be trusted");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("there are versions").with_root_certificates(roots).with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().expect("it is a name"));
        let stream = TcpStream::connect(address).expect("it listens");
        Client(BufReader::new(StreamOwned::new(connection.expect("it can connect"), stream)))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A connection by TLS that is kept.
pub struct Client(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Client {
    /// The status and the answer of a review.
    pub fn validate(&mut self, body: &str) -> (u16, Value) {
        let head = "POST /validate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
        let output = self.0.get_mut();
        write!(output, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).expect("it takes the request");
        output.flush().expect("it takes the request");
        let (line, body) = read(&mut self.0).expect("it answers");
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("it has a status");
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }
}

pub fn kubeconfig(port: u16) -> String {
    format!(
        "
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]
users: [{{name: u, user: {{}}}}]
contexts: [{{name: lab, context: {{cluster: c, user: u}}}}]
current-context: lab
"
    )
}

/// A running server, which does not outlive its test.
pub struct Running {
    pub child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    pub fn start(files: &Files, more: &[&str]) -> Self {
        Self::of(files.command(more))
    }

    pub fn of(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        Self { child, output }
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it says something");
        line
    }

    /// Where it listens, and where it serves metrics if it does.
    pub fn addresses(&mut self) -> (String, String) {
        let listening = self.line();
        let address = listening.trim().strip_prefix("listening on https://").expect(&listening).to_owned();
        // Whoever asked for metrics gets a second line.
        let metrics = if self.observed() { self.line() } else { String::new() };
        let metrics = metrics.trim().strip_prefix("metrics on http://").and_then(|rest| rest.strip_suffix("/metrics"));
        (address, metrics.unwrap_or_default().to_owned())
    }

    fn observed(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/cmdline", self.child.id()))
            .is_ok_and(|line| line.contains("--metrics-listen"))
    }

    /// The most memory that it had.
    pub fn peak_kilobytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux has it");
        peak.trim().trim_end_matches(" kB").parse().expect("it is a number")
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    pub fn ended(&mut self) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status of a plain GET.
pub fn status(address: &str, path: &str) -> Option<u16> {
    get(address, path)?.split(' ').nth(1)?.parse().ok()
}

pub fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
