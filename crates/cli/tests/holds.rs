//! `serve` as a process: what must not cost a verdict, and what it must not take. Each test names its line of
//! docs/serve.md, "What it withstands".

#![allow(clippy::restriction, reason = "a test may panic")]

mod serving;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::{Value, json};
use serving::{Api, Files, Running, eventually, fixture, status};

const HANDOVER: &str = "007-update-horizontalpodautoscaler-lab-admin";
const DELETE: &str = "008-delete-scaledobject-lab-admin";
const OBSERVED: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];

#[track_caller]
fn refused(answer: &Value) -> String {
    assert_eq!(answer["response"]["allowed"], false, "{answer}");
    answer["response"]["status"]["message"].as_str().unwrap().to_owned()
}

/// Nobody reads it, its reader is gone, or there is no more room: to each request its answer, and an end.
#[test]
fn line_01_a_log_that_cannot_be_written_costs_no_answer() {
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    for (case, stderr) in [("unread", Stdio::piped()), ("gone", Stdio::piped()), ("full", full())] {
        let files = Files::new(&format!("log-{case}"), Api::start());
        let mut command = files.command(&["--metrics-listen", "127.0.0.1:0", "--drain", "0"]);
        command.stderr(stderr);
        let mut server = Running::of(command);
        if case == "gone" {
            drop(server.child.stderr.take());
        }
        let (address, metrics) = server.addresses();
        let mut client = files.client(&address);
        let mut review: Value = serde_json::from_str(&fixture(DELETE)).unwrap();
        review["request"]["userInfo"]["username"] = json!("x".repeat(3000));
        // More than a pipe holds.
        for _ in 0..60 {
            refused(&client.validate(&review.to_string()).1);
        }
        assert_eq!(status(&metrics, "/livez"), Some(200), "{case}");
        server.signal("TERM");
        assert_eq!(server.ended(), Some(0), "{case}");
    }
}

/// The API server asks to come again for ever.
#[test]
fn line_05_an_api_server_that_is_overloaded_costs_no_refusal() {
    for code in [429, 503] {
        let api = Api::of(move |path| if path == "/version" { None } else { Some((code, String::new())) });
        let files = Files::new(&format!("overloaded-{code}"), api);
        let mut server = Running::start(&files, &["--timeout", "8"]);
        let (address, _) = server.addresses();
        let message = refused(&files.client(&address).validate(&fixture(DELETE)).1);
        assert!(message.contains("there was no time left to look it up"), "{message}");
    }
}

/// More than it takes at a time: the others wait.
#[test]
fn line_07_the_longest_handovers_fit_the_manifests_limit() {
    const OBJECT: usize = 3 << 19;
    let files = Files::new("memory", Api::start());
    let mut server = Running::start(&files, &["--timeout", "60"]);
    let (address, _) = server.addresses();
    let mut review: Value = serde_json::from_str(&fixture(HANDOVER)).unwrap();
    for object in ["object", "oldObject"] {
        review["request"][object]["metadata"]["annotations"]["filler"] = json!("x".repeat(OBJECT));
    }
    let body = review.to_string();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let (status, answer) = files.client(&address).validate(&body);
                assert_eq!((status, &answer["response"]["patchType"]), (200, &json!("JSONPatch")), "{answer}");
            });
        }
    });
    let peak = server.peak_kilobytes();
    assert!(peak < 512 << 10, "{peak} kB");
    println!("peak of 32 handovers of {} kB: {peak} kB", body.len() >> 10);
}

#[test]
fn line_09_a_certificate_that_expires_is_reported() {
    let files = Files::new("expired", Api::start());
    let certify = |until: (i32, u8, u8)| {
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        let key = rcgen::KeyPair::generate().unwrap();
        files.write("tls.crt", &parameters.self_signed(&key).unwrap().pem());
        files.write("tls.key", &key.serialize_pem());
    };
    certify((2021, 2, 3));
    let mut server = Running::start(&files, &OBSERVED);
    let (_, metrics) = server.addresses();
    let mut log = BufReader::new(server.child.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    assert!(line.contains(" error the certificate has expired"), "{line}");
    let gauge = "autoscaler_guard_certificate_expiry_timestamp_seconds{host=\"webhook\"} 1612310400";
    assert!(serving::get(&metrics, "/metrics").unwrap().contains(gauge));
    assert!(serving::get(&metrics, "/readyz").unwrap().ends_with("the certificate has expired\n"));
    assert_eq!((status(&metrics, "/readyz"), status(&metrics, "/livez")), (Some(503), Some(200)));
    certify((4000, 1, 1));
    eventually(|| status(&metrics, "/readyz") == Some(200));
}

#[test]
fn line_12_an_api_server_may_come_later() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let files = Files::new("later", free);
    let mut server = Running::start(&files, &OBSERVED);
    let (address, metrics) = server.addresses();
    let mut log = BufReader::new(server.child.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    assert!(line.contains(" warn  not ready reason=\"the API server http://127.0.0.1:"), "{line}");
    assert!(serving::get(&metrics, "/readyz").unwrap().ends_with("the API server has not answered yet\n"));
    assert_eq!((status(&metrics, "/readyz"), status(&metrics, "/livez")), (Some(503), Some(200)));
    // What would lose something is refused all the while.
    refused(&files.client(&address).validate(&fixture(DELETE)).1);
    Api::start_at(free);
    eventually(|| status(&metrics, "/readyz") == Some(200));
    server.signal("INT");
    assert_eq!(server.ended(), Some(0));
}

/// The name of a target, of which the API server would take one part for the name and the other for something else.
#[test]
fn line_13_names_are_no_paths() {
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&asked);
    let api = Api::of(move |path| {
        seen.lock().unwrap().push(path.to_owned());
        None
    });
    let files = Files::new("paths", api);
    let mut server = Running::start(&files, &[]);
    let (address, _) = server.addresses();
    for name in ["web?x=1#y", "web/scale", "../web", "web%2Fscale"] {
        let mut review: Value = serde_json::from_str(&fixture("001-create-horizontalpodautoscaler-lab-admin")).unwrap();
        review["request"]["object"]["spec"]["scaleTargetRef"]["name"] = json!(name);
        let (status, answer) = files.client(&address).validate(&review.to_string());
        // Deployment "web" is there, these are not.
        assert_eq!(status, 200);
        assert!(answer.to_string().contains("target-missing"), "{name}: {answer}");
    }
    let asked = asked.lock().unwrap();
    let of_targets: Vec<&String> = asked.iter().filter(|path| path.contains("/deployments/")).collect();
    assert!(of_targets.iter().all(|path| path.ends_with("/deployments/web%3Fx%3D1%23y")), "{of_targets:?}");
}

#[test]
fn line_14_a_log_of_strangers_words_has_an_end() {
    let files = Files::new("words", Api::start());
    let mut server = Running::start(&files, &[]);
    let (address, _) = server.addresses();
    let mut review: Value = serde_json::from_str(&fixture(DELETE)).unwrap();
    review["request"]["userInfo"]["username"] = json!("x\u{1b}[31m\u{202e}".repeat(10_000));
    let answer = files.client(&address).validate(&review.to_string()).1;
    let message = refused(&answer);
    assert!(!message.contains(['\u{1b}', '\u{202e}']), "{message}");
    server.signal("INT");
    let mut log = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains(" info  judged verdict=\"rejected\"") && !log.contains(['\u{1b}', '\u{202e}']), "{log}");
    assert!(log.lines().all(|line| line.len() < 2100), "{log}");
}
