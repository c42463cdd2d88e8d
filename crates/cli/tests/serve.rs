//! `serve` from outside: what it refuses to start with, where it says that it listens, how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Files of one test, in a folder that goes with it.
struct Files(PathBuf);

impl Files {
    /// A certificate, and a kubeconfig for an API server that only greets.
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("autoscaler-guard-serve-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder can be made");
        let files = Self(folder);
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be issued");
        files.write("tls.crt", &issued.cert.pem());
        files.write("tls.key", &issued.signing_key.serialize_pem());
        files.write("kubeconfig", &kubeconfig(api_server()));
        files
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("the folder can be written to");
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_autoscaler-guard"));
        command.current_dir(&self.0).env("NO_COLOR", "1");
        command.args(["serve", "--tls-cert", "tls.crt", "--tls-key", "tls.key", "--kubeconfig", "kubeconfig"]);
        command.args(["--listen", "127.0.0.1:0"]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What it says when it does not start.
    fn refused(&self, more: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(more).output().expect("the program starts");
        let text = String::from_utf8_lossy(&stderr).into_owned();
        assert_eq!((status.code(), stdout.as_slice()), (Some(2), &b""[..]), "{text}");
        text
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn kubeconfig(port: u16) -> String {
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

/// Answers every request with a version.
fn api_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it listens").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let version = r#"{"major":"1","minor":"36","gitVersion":"v1.36.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let _ = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{version}", version.len());
        }
    });
    port
}

/// A running server, which does not outlive its test.
struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(files: &Files, more: &[&str]) -> Self {
        let mut child = files.command(more).spawn().expect("the program starts");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        Self { child, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it says something");
        line
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    fn ended(&mut self) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(20) {
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
fn status(address: &str, path: &str) -> Option<u16> {
    get(address, path)?.split(' ').nth(1)?.parse().ok()
}

fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn it_says_where_it_listens_and_ends_by_sigterm() {
    let files = Files::new("ends");
    let mut server = Running::start(&files, &["--metrics-listen", "127.0.0.1:0", "--drain", "3"]);
    let listening = server.line();
    let address = listening.strip_prefix("listening on https://127.0.0.1:").expect(&listening).trim();
    assert!(address.parse::<u16>().is_ok_and(|port| port > 0), "{listening}");
    let metrics = server.line();
    let metrics = metrics.trim().strip_prefix("metrics on http://").and_then(|rest| rest.strip_suffix("/metrics"));
    let metrics = metrics.expect("it says where metrics are").to_owned();
    for path in ["/readyz", "/livez", "/metrics"] {
        assert_eq!(status(&metrics, path), Some(200), "{path}");
    }
    assert_eq!(status(&metrics, "/validate"), Some(404), "reviews come by HTTPS only");
    server.signal("TERM");
    let started = Instant::now();
    while status(&metrics, "/readyz") != Some(503) {
        assert!(started.elapsed() < Duration::from_secs(20), "it is still ready");
    }
    assert_eq!(server.ended(), Some(0));
}

#[test]
fn it_may_be_gatekeepers_provider() {
    let files = Files::new("gatekeeper");
    let more = ["--gatekeeper", "--client-ca", "tls.crt", "--metrics-listen", "127.0.0.1:0"];
    let mut server = Running::start(&files, &more);
    assert!(server.line().starts_with("listening on https://"));
    let metrics = server.line();
    let metrics = metrics.trim().strip_prefix("metrics on http://").and_then(|rest| rest.strip_suffix("/metrics"));
    let text = get(metrics.expect("it says where metrics are"), "/metrics").expect("it answers");
    assert!(text.contains("autoscaler_guard_requests_in_flight{host=\"gatekeeper\"} 0"), "{text}");
    let refused = files.refused(&["--gatekeeper", "--client-ca", "tls.key"]);
    assert!(refused.starts_with("error: the certificate cannot be used: tls.key has no certificate"), "{refused}");
}

#[test]
fn what_is_broken_is_told_before_it_listens() {
    let files = Files::new("broken");
    files.write("settings.yaml", "repiar: true\nhelm: 1\n");
    files.write("module.wasm", "repair: false\n");
    files.write("empty.wasm", "\0asm\u{1}\0\0\0");
    let settings = files.refused(&["--settings", "settings.yaml"]);
    assert_eq!(
        settings,
        "error: the settings in settings.yaml cannot be used\n  helm: expected an object, got a number\n  repiar: unknown; did you mean repair?\n"
    );
    assert!(files.refused(&["--policy", "module.wasm"]).starts_with("error: the module module.wasm cannot be used: "));
    assert!(files.refused(&["--policy", "empty.wasm"]).contains("the module exports no `"));
    fs::copy(files.0.join("tls.key"), files.0.join("tls.crt")).expect("the folder can be written to");
    let certificate = files.refused(&[]);
    assert!(
        certificate.starts_with("error: the certificate cannot be used: tls.crt has no certificate"),
        "{certificate}"
    );
}

#[test]
fn a_module_that_traps_does_not_begin_to_serve() {
    let files = Files::new("traps");
    let module = r#"(module (memory (export "memory") 1)
        (func (export "__guest_call") (param i32 i32) (result i32) unreachable))"#;
    fs::write(files.0.join("trap.wasm"), wat::parse_str(module).expect("it is a module")).expect("it can be written");
    let trap = files.refused(&["--policy", "trap.wasm"]);
    assert!(trap.contains("the policy crashed during `validate_settings`"), "{trap}");
}

#[test]
fn without_a_cluster_or_an_address_it_does_not_begin_to_serve() {
    let files = Files::new("address");
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it listens").to_string();
    let text = files.refused(&["--metrics-listen", &address]);
    assert!(text.contains("cannot be listened on: Address already in use"), "{text}");
    files.write("kubeconfig", &kubeconfig(1));
    let text = files.refused(&[]);
    assert!(
        text.starts_with("error: the cluster cannot be asked: the API server http://127.0.0.1:1/ cannot be asked"),
        "{text}"
    );
}

#[test]
fn a_module_serves_as_the_built_in_rules_do() {
    let module = std::env::var_os("AUTOSCALER_GUARD_MODULE").map(PathBuf::from);
    let module = module.expect("AUTOSCALER_GUARD_MODULE names the module; `make test` builds it and sets it");
    let files = Files::new("module");
    let module = Path::new(&module).to_str().expect("the path is UTF-8");
    let mut server = Running::start(&files, &["--policy", module, "--drain", "0"]);
    assert!(server.line().starts_with("listening on https://"));
    server.signal("INT");
    assert_eq!(server.ended(), Some(0));
}
