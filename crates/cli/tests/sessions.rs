//! Sessions: recorded against files, replayed without them, and checked in for kwctl in `e2e/sessions`.
//!
//! `AUTOSCALER_GUARD_WRITE=1 cargo test -p autoscaler-guard-cli --test sessions` writes those anew.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use autoscaler_guard_cases::{around, requests};
use autoscaler_guard_cli::review::{Judge, Judgement, Neighbours, Request, SettingsText};
use autoscaler_guard_host::{Limits, Session, Snapshot};
use serde_json::{Value, json};

/// What becomes of each request, for kwctl.bats.
const TABLE: &str = "verdicts.tsv";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn module() -> String {
    std::env::var("AUTOSCALER_GUARD_MODULE")
        .expect("AUTOSCALER_GUARD_MODULE names the module; `make test` builds it and sets it")
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autoscaler-guard"));
    command.current_dir(root()).args(arguments).env("NO_COLOR", "1").output().expect("the program starts")
}

fn judgements(arguments: &[&str]) -> Value {
    let output = run(&[&["review", "--output", "json"], arguments].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

fn objects(request: &str) -> Vec<String> {
    around(request).iter().map(|object| format!("tests/fixtures/objects/{object}.yaml")).collect()
}

/// The options that name the objects around a request.
fn clusters(request: &str) -> Vec<String> {
    objects(request).iter().map(|object| format!("--cluster={object}")).collect()
}

/// The files of `e2e/sessions` as they should be, by name: a session a request, and a table of what becomes of each.
/// What is repaired is there a second time, judged by a policy that may not.
fn fresh() -> BTreeMap<String, String> {
    let module = Judge::load(Some(Path::new(&module())), Limits::default()).expect("the module can be used");
    let mut files = BTreeMap::new();
    let mut table = Vec::new();
    let mut take = |name: &str, file: String, settings: Value| {
        let (session, recorded) = record(name, &settings, &module);
        let verdict = if recorded.response.allowed { "allowed" } else { "rejected" };
        let patched = recorded.response.patch.is_some();
        let word = if patched { "patched" } else { "as it is" };
        table.push(format!("{name}\t{file}\t{settings}\t{verdict}\t{word}\n"));
        files.insert(file, session);
        patched
    };
    for name in requests() {
        if take(&name, format!("{name}.yml"), json!({})) {
            take(&name, format!("{name}.no-repair.yml"), json!({"repair": false}));
        }
    }
    files.insert(TABLE.to_owned(), table.concat());
    files
}

/// Judges a request by the module, and replays the session to the module and to the built-in rules.
fn record(name: &str, settings: &Value, module: &Judge) -> (String, Judgement) {
    let request = fs::read_to_string(root().join(format!("tests/fixtures/requests/{name}.json")));
    let request = serde_json::from_str(&request.expect("it can be read")).expect("it is JSON");
    let request = Request::new(name, request).expect("it is a request");
    let objects: Vec<PathBuf> = objects(name).iter().map(|object| root().join(object)).collect();
    let snapshot = Snapshot::from_paths(&objects).expect("the objects can be read");
    let settings = SettingsText::new(settings, module).expect("the settings are right");
    let judge = |judge: &Judge, neighbours: &Neighbours| {
        Judgement::of(judge, &request, &settings, neighbours).expect("there is a verdict")
    };
    let recorded = judge(module, &Neighbours::snapshot(snapshot));
    let session = Session::of(&recorded.lookups).expect("all can be written").to_string();
    for judged_by in [module, &Judge::Core] {
        let neighbours = Neighbours::session(Session::read(&session).expect("it is a session"));
        assert_eq!(judge(judged_by, &neighbours).response, recorded.response, "{name}");
        let replay = neighbours.replay.expect("a session answers");
        assert_eq!(replay.finish(), Ok(Vec::new()), "{name}");
    }
    (session, recorded)
}

#[test]
fn sessions_give_the_recorded_verdicts_and_those_for_kwctl_are_current() {
    let fresh = fresh();
    let folder = root().join("e2e/sessions");
    if std::env::var_os("AUTOSCALER_GUARD_WRITE").is_some() {
        let _ = fs::remove_dir_all(&folder);
        for (name, text) in &fresh {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().expect("it is in a folder")).expect("a folder can be made");
            fs::write(file, text).expect("a session can be written");
        }
    }
    for (name, text) in &fresh {
        let found = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(&found == text, "e2e/sessions/{name} is stale: run this test with AUTOSCALER_GUARD_WRITE=1");
    }
    let folders = fs::read_dir(&folder).expect("there are sessions").map(|entry| entry.expect("it can be read").path());
    let found: usize = folders.map(|path| fs::read_dir(path).map_or(1, Iterator::count)).sum();
    assert_eq!(found, fresh.len(), "e2e/sessions has files of requests that are no more");
    let some = |word: &str| fresh[TABLE].lines().any(|line| line.contains(word));
    assert!(
        some("\tallowed\tas it is") && some("\tallowed\tpatched") && some("\trejected\t"),
        "the verdicts are all alike"
    );
}

/// What kwctl and its policy-evaluator declare, as far as it is about clusters: `proxy.rs` and
/// `callback_requests.rs`.
mod kwctl {
    #![allow(dead_code, reason = "they are read, and that is all")]

    use std::collections::BTreeSet;

    use kubewarden_policy_sdk::host_capabilities::kubernetes::SubjectAccessReview;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(tag = "type")]
    pub struct Exchange {
        pub request: String,
        pub response: Response,
    }

    #[derive(Deserialize)]
    #[serde(tag = "type")]
    pub enum Response {
        Success { payload: String },
        Error { message: String },
    }

    #[derive(Deserialize)]
    pub enum CallbackRequestType {
        KubernetesListResourceNamespace {
            api_version: String,
            kind: String,
            namespace: String,
            label_selector: Option<String>,
            field_selector: Option<String>,
            #[serde(default)]
            disable_cache: bool,
            field_masks: Option<BTreeSet<String>>,
        },
        KubernetesListResourceAll {
            api_version: String,
            kind: String,
            label_selector: Option<String>,
            field_selector: Option<String>,
            #[serde(default)]
            disable_cache: bool,
            field_masks: Option<BTreeSet<String>>,
        },
        KubernetesGetResource {
            api_version: String,
            kind: String,
            name: String,
            namespace: Option<String>,
            disable_cache: bool,
            field_masks: Option<BTreeSet<String>>,
        },
        KubernetesCanI {
            request: SubjectAccessReview,
            disable_cache: bool,
        },
    }
}

/// By kwctl's own reader: all four lookups, found and failed, are among them.
#[test]
fn kwctl_reads_the_sessions() {
    use kwctl::CallbackRequestType::{
        KubernetesCanI, KubernetesGetResource, KubernetesListResourceAll, KubernetesListResourceNamespace,
    };

    let mut seen = [0; 4];
    let mut failed = 0;
    for (name, text) in fresh().iter().filter(|(name, _)| *name != TABLE) {
        let exchanges: Vec<kwctl::Exchange> =
            serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        for exchange in exchanges {
            let request = serde_yaml::from_str(&exchange.request);
            let kind = match request.unwrap_or_else(|error| panic!("{name}: {error}: {}", exchange.request)) {
                KubernetesGetResource { .. } => 0,
                KubernetesListResourceNamespace { .. } => 1,
                KubernetesListResourceAll { .. } => 2,
                KubernetesCanI { .. } => 3,
            };
            seen[kind] += 1;
            match exchange.response {
                kwctl::Response::Success { payload } => {
                    serde_json::from_str::<Value>(&payload).unwrap_or_else(|error| panic!("{name}: {error}"));
                }
                kwctl::Response::Error { message } => {
                    assert!(!message.starts_with("Callback evaluation failure"), "{name}: kwctl adds that");
                    failed += 1;
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0) && failed > 0, "{seen:?} {failed}");
}

#[test]
fn several_requests_share_a_session_in_their_order() {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let file = scratch.path().join("session.yml");
    let session = file.to_str().expect("the path is UTF-8");
    let requests = "tests/fixtures/requests/keda-hpa-helm3";
    let clusters = clusters("keda-hpa-helm3");
    let around: Vec<&str> = clusters.iter().map(String::as_str).collect();
    let recorded = judgements(&[&[requests, "--record", session], &around[..]].concat());
    assert_eq!(judgements(&[requests, "--replay", session]), recorded);
}

#[test]
fn a_session_of_other_requests_is_no_answer() {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let file = scratch.path().join("session.yml");
    let session = file.to_str().expect("the path is UTF-8");
    let request = |name: &str| format!("tests/fixtures/requests/keda-hpa-helm3/{name}.json");
    let clusters = clusters("keda-hpa-helm3");
    let around: Vec<&str> = clusters.iter().map(String::as_str).collect();
    let write = request("007-update-horizontalpodautoscaler-lab-admin");
    judgements(&[&[write.as_str(), "--record", session], &around[..]].concat());
    let output = |name: &str| run(&["review", &request(name), "--replay", session]);
    let Output { status, stdout, stderr } = output("008-delete-scaledobject-lab-admin");
    let text = String::from_utf8_lossy(&stderr);
    assert_eq!((status.code(), stdout.as_slice()), (Some(2), &b""[..]), "{text}");
    assert!(text.contains("session.yml does not fit: lookup 1: the session has: "), "{text}");
    // This one asks nothing, and so leaves everything.
    let Output { status, stderr, .. } = output("003-update-scaledobject-keda-operator");
    let text = String::from_utf8_lossy(&stderr);
    assert!(status.success() && text.starts_with("warning: ") && text.contains(" went unused: get "), "{text}");
}

#[test]
fn what_cannot_be_recorded_or_replayed_is_refused() {
    let request = "tests/fixtures/requests/keda-hpa-helm3/008-delete-scaledobject-lab-admin.json";
    let refused = |arguments: &[&str]| {
        let Output { status, stdout, stderr } = run(&[&["review", request], arguments].concat());
        let text = String::from_utf8_lossy(&stderr).into_owned();
        assert_eq!((status.code(), stdout.as_slice()), (Some(2), &b""[..]), "{text}");
        text
    };
    assert!(refused(&["--record", "session.yml"]).contains("--cluster <PATH>"));
    assert!(
        refused(&["--replay", "Cargo.toml"])
            .contains("the session Cargo.toml cannot be used: it is no list of exchanges")
    );
    let nowhere =
        refused(&["--cluster", "tests/fixtures/objects/deployment-web.yaml", "--record", "no/such/session.yml"]);
    assert!(nowhere.contains("error: no/such/session.yml cannot be written: "), "{nowhere}");
}
