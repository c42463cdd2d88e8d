//! Policies that behave and policies that do not, as guests of the host.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use autoscaler_guard_host::{CallError, Capabilities, Limits, LoadError, NoCluster, Policy, Recorded, Snapshot};
use serde_json::json;

mod guests;

use guests::{annotated, answering, asking, guest};

fn load(module: &[u8]) -> Policy {
    let limits = Limits { time: Duration::from_millis(200), memory: 4 << 20 };
    Policy::load(module, limits).unwrap()
}

fn refused(module: &[u8]) -> String {
    Policy::load(module, Limits::default()).unwrap_err().to_string()
}

fn failure(policy: &Policy) -> CallError {
    let capabilities: Arc<dyn Capabilities> = Arc::new(NoCluster);
    policy.validate("{}", "0", &capabilities).unwrap_err()
}

fn get_namespace(name: &str) -> String {
    json!({"api_version": "v1", "kind": "Namespace", "name": name, "namespace": null, "disable_cache": true, "field_masks": null}).to_string()
}

fn shop() -> Arc<dyn Capabilities> {
    Arc::new(Snapshot::from_text("shop", "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}").unwrap())
}

#[test]
fn a_verdict_is_handed_on_whole() {
    let policy = load(&answering(
        r#"{"accepted":false,"message":"no","code":422,"mutated_object":null,"audit_annotations":{"rule":"r"},"warnings":["w"]}"#,
    ));
    let capabilities: Arc<dyn Capabilities> = Arc::new(NoCluster);
    let response = policy.validate("{}", "{}", &capabilities).unwrap();
    assert!(!response.accepted);
    assert_eq!((response.message.as_deref(), response.code), (Some("no"), Some(422)));
    assert_eq!(response.warnings, Some(vec!["w".to_owned()]));
    assert_eq!(response.audit_annotations, Some([("rule".to_owned(), "r".to_owned())].into()));
}

#[test]
fn settings_and_protocol_version_are_asked_for() {
    let settings = load(&answering(r#"{"valid":false,"message":"which?"}"#)).validate_settings("{}").unwrap();
    assert_eq!((settings.valid, settings.message.as_deref()), (false, Some("which?")));
    assert_eq!(load(&answering(r#""v1""#)).protocol_version().unwrap(), "v1");
}

#[test]
fn lookups_reach_the_capabilities_and_come_back() {
    let policy = load(&asking("kubernetes", "get_resource"));
    let recorded = Arc::new(Recorded::new(shop()));
    let capabilities: Arc<dyn Capabilities> = recorded.clone();
    let response = policy.validate(&get_namespace("shop"), "0", &capabilities).unwrap();
    assert_eq!(
        response.mutated_object,
        Some(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}))
    );
    let error = policy.validate(&get_namespace("bank"), "0", &capabilities).unwrap_err().to_string();
    assert_eq!(
        error,
        "the policy failed at `validate`: Callback evaluation failure: Cannot find v1/Namespace named 'bank' inside of namespace 'None'; check the request and the settings it was given"
    );
    let calls: Vec<String> = recorded.take().iter().map(ToString::to_string).collect();
    assert_eq!(calls[0], "get v1 Namespace shop: 65 bytes");
    assert_eq!(calls.len(), 2);
}

#[test]
fn unknown_capabilities_are_refused_as_policy_server_refuses_them() {
    let error = |namespace, operation| match failure(&load(&asking(namespace, operation))) {
        CallError::Guest { message, .. } => message,
        other => panic!("{other}"),
    };
    assert_eq!(error("kubernetes", "delete_resource"), "unknown operation: delete_resource");
    assert_eq!(error("tracing", "emit"), "unknown operation: emit");
    assert_eq!(error("storage", "get"), "unknown namespace: storage");
    assert!(error("oci", "v1/verify").starts_with("oci/v1/verify is not offered by this host"));
}

#[test]
fn metadata_is_read_and_gates_lookups() {
    let policy = load(&annotated(
        r#"{"protocolVersion":"v1","mutating":true,"rules":[],"contextAwareResources":[{"apiVersion":"v1","kind":"Namespace"}]}"#,
    ));
    let metadata = policy.metadata().unwrap();
    assert!(metadata.mutating);
    assert_eq!(metadata.protocol_version.as_deref(), Some("v1"));
    assert!(policy.validate(&get_namespace("shop"), "0", &shop()).is_ok());
    let error = policy.validate(&get_namespace("shop").replace("Namespace", "Secret"), "0", &shop()).unwrap_err();
    assert!(
        error.to_string().contains(
            "Policy has not been granted access to Kubernetes v1/Secret resources. The violation has been reported."
        ),
        "{error}"
    );
    assert!(load(&asking("kubernetes", "get_resource")).metadata().is_none());
    assert!(refused(&annotated("{")).starts_with("the module's `io.kubewarden.metadata` section is unreadable: "));
}

#[test]
fn an_endless_loop_is_stopped_in_time_and_harms_nobody_after() {
    let policy = load(&guest("", "(loop $forever (br $forever)) (i32.const 1)"));
    let started = Instant::now();
    let error = failure(&policy);
    assert!(matches!(error, CallError::TimeLimit { operation: "validate", .. }), "{error}");
    let took = started.elapsed();
    assert!((Duration::from_millis(150)..Duration::from_secs(20)).contains(&took), "{took:?}");
    assert!(error.to_string().starts_with("the policy was stopped after 200ms during `validate`"), "{error}");
    assert!(matches!(failure(&policy), CallError::TimeLimit { .. }));
}

#[test]
fn an_endless_start_is_stopped_too() {
    let policy = load(&guest(r#"(func (export "wapc_init") (loop $forever (br $forever)))"#, "(i32.const 1)"));
    assert!(matches!(failure(&policy), CallError::TimeLimit { .. }));
}

#[test]
fn the_clock_stops_with_its_policy() {
    let threads = || std::fs::read_dir("/proc/self/task").map(Iterator::count);
    let Ok(before) = threads() else { return };
    // Other tests' policies come and go meanwhile, but not fifty of them.
    drop((0..50).map(|_| load(&answering("{}"))).collect::<Vec<_>>());
    assert!(threads().unwrap() < before + 50);
}

#[test]
fn hunger_for_memory_is_no_crash() {
    let grow = "(loop $more (drop (memory.grow (i32.const 16))) (br $more)) (i32.const 1)";
    let error = failure(&load(&guest("", grow)));
    assert!(matches!(error, CallError::MemoryLimit { limit: 4_194_304, .. }), "{error}");
    let error = failure(&load(&guest("", "unreachable")));
    assert!(matches!(error, CallError::Trap { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "the policy crashed during `validate`: wasm trap: wasm `unreachable` instruction executed; this is a defect of the policy: report it with the request that caused it"
    );
}

#[test]
fn a_module_that_starts_out_too_large_is_refused() {
    let limits = Limits { memory: 1 << 16, ..Limits::default() };
    let error = failure(&Policy::load(&answering("{}"), limits).unwrap());
    assert!(matches!(error, CallError::MemoryLimit { limit: 65536, .. }), "{error}");
}

#[test]
fn a_crash_shows_what_was_logged_last() {
    let body = "(call $console_log (i32.const 0) (i32.const 4)) unreachable";
    let error = failure(&load(&guest(r#"(data (i32.const 0) "oops")"#, body))).to_string();
    assert!(error.contains("(it last logged: oops)"), "{error}");
}

#[test]
fn a_range_outside_of_memory_is_a_crash_of_the_guest_not_of_the_host() {
    for body in [
        "(call $guest_response (i32.const -8) (i32.const 4)) (i32.const 1)",
        "(call $guest_request (i32.const 0) (i32.const 131070)) (i32.const 1)",
        "(call $guest_error (i32.const 0) (i32.const -1)) (i32.const 0)",
    ] {
        let error = failure(&load(&guest("", body))).to_string();
        assert!(error.contains("the guest named a range outside its memory"), "{error}");
    }
}

#[test]
fn an_answer_that_is_no_verdict_is_shown() {
    let error = failure(&load(&answering("[true]"))).to_string();
    assert!(
        error.starts_with("the policy's answer to `validate` is unreadable: ") && error.ends_with(": [true]"),
        "{error}"
    );
    let error = failure(&load(&guest("", "(i32.const 0)"))).to_string();
    assert!(error.contains("it gave neither an answer nor an error"), "{error}");
}

#[test]
fn logs_reach_the_capabilities() {
    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);
    impl Capabilities for Log {
        fn call(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, String> {
            Err("nothing to look up".into())
        }
        fn log(&self, line: &str) {
            self.0.lock().unwrap().push(line.into());
        }
    }
    let log = Arc::new(Log::default());
    let capabilities: Arc<dyn Capabilities> = log.clone();
    let _unreadable = load(&asking("tracing", "log")).validate(r#"{"level":"INFO"}"#, "0", &capabilities);
    assert_eq!(*log.0.lock().unwrap(), [r#"{"level":"INFO"}"#]);
}

#[test]
fn what_is_no_policy_is_refused_with_the_reason() {
    assert_eq!(
        refused(b"kind: Pod"),
        "this is not a WebAssembly module: it starts with \"kind: Po\", not with \"\\0asm\"; pass the .wasm file of a policy"
    );
    assert!(refused(b"\0asm\x01\0\0\0\xff").starts_with("the module cannot be compiled: "));
    let module = |source: &str| wat::parse_str(source).unwrap();
    assert_eq!(
        refused(&module(r#"(module (memory (export "memory") 1))"#)),
        "the module exports no `__guest_call`: it is not a Kubewarden policy in execution mode kubewarden-wapc; build it as a cdylib with the Kubewarden SDK, for wasm32-unknown-unknown"
    );
    assert!(
        refused(&module(r#"(module (func (export "opa_eval_ctx_new")))"#))
            .ends_with("which only policy-server and kwctl run")
    );
    let wasi = module(
        r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1) (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 1)))"#,
    );
    assert_eq!(
        refused(&wasi),
        "the module imports `wasi_snapshot_preview1.fd_write`, which nobody provides: it is built for WASI; build it for wasm32-unknown-unknown, or run it in policy-server or kwctl"
    );
    let incompatible = module(
        r#"(module (import "wapc" "__console_log" (func (param i64)))
            (memory (export "memory") 1) (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 1)))"#,
    );
    assert!(matches!(Policy::load(&incompatible, Limits::default()), Err(LoadError::Incompatible { .. })));
}

#[test]
fn one_policy_answers_on_many_threads() {
    let policy = load(&asking("kubernetes", "get_resource"));
    let shop = shop();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| assert!(policy.validate(&get_namespace("shop"), "0", &shop).is_ok())));
        }
    });
}
