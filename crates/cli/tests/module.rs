//! The module in the embedded host says what the built-in rules say. `make test` builds it and names it in
//! `AUTOSCALER_GUARD_MODULE`.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

use autoscaler_guard_cli::{Answer, Arguments, answer};
use clap::Parser;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures");

fn module() -> PathBuf {
    let module = std::env::var_os("AUTOSCALER_GUARD_MODULE");
    module.map(PathBuf::from).expect("AUTOSCALER_GUARD_MODULE names the module; `make test` builds it and sets it")
}

fn review(arguments: &[&str]) -> Vec<serde_json::Value> {
    let words = ["autoscaler-guard", "review", "--output", "json"].iter().chain(arguments);
    let arguments = Arguments::try_parse_from(words).expect("the arguments are sound");
    let Answer { text, .. } = answer(&arguments.command).expect("everything can be used");
    serde_json::from_str(&text).expect("the output is JSON")
}

#[test]
fn module_and_built_in_rules_give_the_same_output() {
    let module = module();
    let module = module.to_str().expect("the path is UTF-8");
    let no_repair = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/inputs/no-repair.yaml");
    for (folder, objects) in [
        ("keda-hpa-helm3", &["scaledobject-web", "hpa-web-owned", "deployment-web", "namespace-shop"][..]),
        ("envoy-gateway-1.3.0", &["gatewayclass-eg-1.3.0", "gateway-eg-1.3.0", "deployment-envoy-gateway-1.3.0"]),
        ("envoy-gateway-1.9.1", &["gatewayclass-eg-1.9.1", "gateway-eg-1.9.1", "deployment-envoy-gateway-1.9.1"]),
    ] {
        let requests = format!("{FIXTURES}/requests/{folder}");
        let cluster: Vec<String> =
            objects.iter().map(|object| format!("--cluster={FIXTURES}/objects/{object}.yaml")).collect();
        let given = std::iter::once(requests.as_str()).chain(cluster.iter().map(String::as_str));
        let given: Vec<&str> = given.collect();
        for more in [&[][..], &["--settings", no_repair]] {
            let arguments = [&given[..], more].concat();
            let with_module = review(&[&arguments[..], &["--policy", module]].concat());
            for (built_in, by_module) in review(&arguments).iter().zip(&with_module) {
                assert_eq!(built_in, by_module);
            }
            assert!(!with_module.is_empty());
        }
    }
}

#[test]
fn both_refuse_the_same_settings_with_the_same_words() {
    let module = module();
    let module = module.to_str().expect("the path is UTF-8");
    let request = format!("{FIXTURES}/requests/keda-hpa-helm3/001-create-horizontalpodautoscaler-lab-admin.json");
    let wrong = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/inputs/wrong-settings.yaml");
    let fault = |more: &[&str]| {
        let words = [&["autoscaler-guard", "review", &request, "--settings", wrong], more].concat();
        let arguments = Arguments::try_parse_from(words).expect("the arguments are sound");
        answer(&arguments.command).expect_err("the settings are wrong").to_string()
    };
    assert_eq!(fault(&[]), fault(&["--policy", module]));
}

#[test]
fn the_demo_shows_what_it_claims() {
    let module = module();
    let folder = Path::new(env!("CARGO_BIN_EXE_autoscaler-guard")).parent().expect("the program is in a folder");
    let demo = folder.join("examples/demo");
    assert!(demo.exists(), "the demo is not built: `cargo build -p autoscaler-guard-cli --example demo` does it");
    let output = Command::new(demo).arg(module).output().expect("the demo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
