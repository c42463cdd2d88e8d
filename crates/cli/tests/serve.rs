//! `serve` from outside: what it refuses to start with, where it says that it listens, how it ends.

#![allow(clippy::restriction, reason = "a test may panic")]

mod serving;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use serving::{Api, Running, get, status};

/// Files of one test, with an API server.
fn files(test: &str) -> serving::Files {
    serving::Files::new(test, Api::start())
}

/// What it says when it does not start.
fn refused(files: &serving::Files, more: &[&str]) -> String {
    let Output { status, stdout, stderr } = files.command(more).output().expect("the program starts");
    let text = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!((status.code(), stdout.as_slice()), (Some(2), &b""[..]), "{text}");
    text
}

#[test]
fn it_says_where_it_listens_and_ends_by_sigterm() {
    let files = files("ends");
    let mut server = Running::start(&files, &["--metrics-listen", "127.0.0.1:0", "--drain", "3"]);
    let listening = server.line();
    let address = listening.strip_prefix("listening on https://127.0.0.1:").expect(&listening).trim();
    assert!(address.parse::<u16>().is_ok_and(|port| port > 0), "{listening}");
    let metrics = server.line();
    let metrics = metrics.trim().strip_prefix("metrics on http://").and_then(|rest| rest.strip_suffix("/metrics"));
    let metrics = metrics.expect("it says where metrics are").to_owned();
    // It listens before it is ready.
    let started = Instant::now();
    while status(&metrics, "/readyz") != Some(200) {
        assert!(started.elapsed() < Duration::from_secs(20), "it does not become ready");
    }
    for path in ["/livez", "/metrics"] {
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
    let files = files("gatekeeper");
    let more = ["--gatekeeper", "--client-ca", "tls.crt", "--metrics-listen", "127.0.0.1:0"];
    let mut server = Running::start(&files, &more);
    assert!(server.line().starts_with("listening on https://"));
    let metrics = server.line();
    let metrics = metrics.trim().strip_prefix("metrics on http://").and_then(|rest| rest.strip_suffix("/metrics"));
    let text = get(metrics.expect("it says where metrics are"), "/metrics").expect("it answers");
    assert!(text.contains("autoscaler_guard_requests_in_flight{host=\"gatekeeper\"} 0"), "{text}");
    let refused = refused(&files, &["--gatekeeper", "--client-ca", "tls.key"]);
    assert!(refused.starts_with("error: the certificate cannot be used: tls.key has no certificate"), "{refused}");
}

#[test]
fn what_is_broken_is_reported_before_it_listens() {
    let files = files("broken");
    files.write("settings.yaml", "repiar: true\nhelm: 1\n");
    files.write("module.wasm", "repair: false\n");
    files.write("empty.wasm", "\0asm\u{1}\0\0\0");
    let settings = refused(&files, &["--settings", "settings.yaml"]);
    assert_eq!(
        settings,
        "error: the settings in settings.yaml cannot be used\n  helm: expected an object, got a number\n  repiar: unknown; did you mean repair?\n"
    );
    assert!(
        refused(&files, &["--policy", "module.wasm"]).starts_with("error: the module module.wasm cannot be used: ")
    );
    assert!(refused(&files, &["--policy", "empty.wasm"]).contains("the module exports no `"));
    fs::copy(files.0.join("tls.key"), files.0.join("tls.crt")).expect("the folder can be written to");
    let certificate = refused(&files, &[]);
    assert!(
        certificate.starts_with("error: the certificate cannot be used: tls.crt has no certificate"),
        "{certificate}"
    );
}

#[test]
fn a_module_that_traps_does_not_begin_to_serve() {
    let files = files("traps");
    let module = r#"(module (memory (export "memory") 1)
        (func (export "__guest_call") (param i32 i32) (result i32) unreachable))"#;
    fs::write(files.0.join("trap.wasm"), wat::parse_str(module).expect("it is a module")).expect("it can be written");
    let trap = refused(&files, &["--policy", "trap.wasm"]);
    assert!(trap.contains("the policy crashed during `validate_settings`"), "{trap}");
}

#[test]
fn without_a_kubeconfig_or_an_address_it_does_not_begin_to_serve() {
    let files = files("address");
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it listens").to_string();
    let text = refused(&files, &["--metrics-listen", &address]);
    assert!(text.contains("cannot be listened on: another program listens there"), "{text}");
    files.write("kubeconfig", "clusters: 3");
    let text = refused(&files, &[]);
    assert!(text.starts_with("error: there is no cluster to ask: the kubeconfig kubeconfig cannot be used"), "{text}");
}

#[test]
fn a_module_serves_as_the_built_in_rules_do() {
    let module = std::env::var_os("AUTOSCALER_GUARD_MODULE").map(PathBuf::from);
    let module = module.expect("AUTOSCALER_GUARD_MODULE names the module; `make test` builds it and sets it");
    let files = files("module");
    let module = Path::new(&module).to_str().expect("the path is UTF-8");
    let mut server = Running::start(&files, &["--policy", module, "--drain", "0"]);
    assert!(server.line().starts_with("listening on https://"));
    server.signal("INT");
    assert_eq!(server.ended(), Some(0));
}
