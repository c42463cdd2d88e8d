//! What is written from the code stands in the tree as the code says: the README's rule table, the manifests' rules.
//!
//! `AUTOSCALER_GUARD_WRITE=1 cargo test -p autoscaler-guard-cli --test generated` writes the table anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use autoscaler_guard_server::needs::{self, Watched};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn the_readme_lists_the_rules() {
    let (begin, end) = ("<!-- rules:begin -->\n", "<!-- rules:end -->");
    let readme = read("README.md");
    let (before, rest) = readme.split_once(begin).expect("README.md has the marker rules:begin");
    let (_, after) = rest.split_once(end).expect("README.md has the marker rules:end");
    let fresh = format!("{before}{begin}{}\n{end}{after}", autoscaler_guard_cli::rules::table().trim_end());
    if std::env::var_os("AUTOSCALER_GUARD_WRITE").is_some() {
        std::fs::write(root().join("README.md"), &fresh).expect("README.md can be written");
    }
    assert_eq!(readme, fresh, "README.md is stale: run this test with AUTOSCALER_GUARD_WRITE=1");
}

/// `apiVersion resource operation` for all that rules watch.
fn watched() -> BTreeSet<String> {
    let pairs = |watched: Watched| {
        let of = move |one| format!("{}/{} {} {one}", watched.api.group, watched.api.version, watched.api.resource);
        watched.operations.into_iter().map(of)
    };
    needs::watched().into_iter().flat_map(pairs).collect()
}

/// The same, of the rules in a manifest.
fn registered(rules: &Value) -> BTreeSet<String> {
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut pairs = BTreeSet::new();
    for rule in rules.as_array().into_iter().flatten() {
        for group in words(&rule["apiGroups"]) {
            for version in words(&rule["apiVersions"]) {
                for resource in words(&rule["resources"]) {
                    let of = |operation| format!("{group}/{version} {resource} {operation}");
                    pairs.extend(words(&rule["operations"]).iter().map(of));
                }
            }
        }
    }
    pairs
}

#[test]
fn manifests_register_what_the_rules_watch() {
    for (file, at) in [
        ("metadata.yml", "/rules"),
        ("policies/guard.yaml", "/spec/rules"),
        ("policies/guard-no-repair.yaml", "/spec/rules"),
    ] {
        let manifest: Value = serde_saphyr::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(registered(manifest.pointer(at).unwrap_or(&Value::Null)), watched(), "{file}");
    }
}

#[test]
fn manifests_grant_no_look_up_that_the_metadata_does_not_name() {
    let kinds = |manifest: &Value, at: &str| -> BTreeSet<String> {
        let kinds = manifest.pointer(at).and_then(Value::as_array).cloned().unwrap_or_default();
        kinds.iter().map(|kind| format!("{} {}", kind["apiVersion"], kind["kind"])).collect()
    };
    let metadata: Value = serde_saphyr::from_str(&read("metadata.yml")).expect("metadata.yml is YAML");
    let known = kinds(&metadata, "/contextAwareResources");
    assert!(!known.is_empty());
    for file in ["policies/guard.yaml", "policies/guard-no-repair.yaml"] {
        let manifest: Value = serde_saphyr::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let granted = kinds(&manifest, "/spec/contextAwareResources");
        assert!(!granted.is_empty() && granted.is_subset(&known), "{file}: {:?}", granted.difference(&known));
    }
}

/// The webhook's manifests are made of the same facts.
#[test]
fn the_policy_server_is_permitted_what_rules_look_up() {
    let role: Vec<Value> =
        serde_saphyr::from_multiple(&read("policies/rbac.yaml")).expect("policies/rbac.yaml is YAML");
    let rules = role[0]["rules"].as_array().expect("the first document is the role");
    let mut granted = BTreeSet::new();
    for rule in rules {
        for resource in rule["resources"].as_array().expect("a rule names resources") {
            granted.insert(format!("{} {resource} {}", rule["apiGroups"], rule["verbs"]));
        }
    }
    let of = |one: &needs::LookedUp| {
        format!("{} {} {}", json!([one.api.group]), json!(one.api.resource), json!(one.verbs()))
    };
    assert_eq!(granted, needs::LOOKED_UP.iter().map(of).collect());
    let metadata: Value = serde_saphyr::from_str(&read("metadata.yml")).expect("metadata.yml is YAML");
    for one in needs::LOOKED_UP {
        let group = if one.api.group.is_empty() { String::new() } else { format!("{}/", one.api.group) };
        let kind = json!({"apiVersion": format!("{group}{}", one.api.version), "kind": one.api.kind});
        let named = metadata["contextAwareResources"].as_array().is_some_and(|kinds| kinds.contains(&kind));
        assert!(named, "metadata.yml does not name {kind}");
    }
}

#[test]
fn the_manifests_settings_are_valid() {
    for file in ["policies/guard.yaml", "policies/guard-no-repair.yaml"] {
        let manifest: Value = serde_saphyr::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let settings = manifest["spec"]["settings"].to_string();
        assert!(autoscaler_guard::Settings::from_json(&settings).is_ok(), "{file}: {settings}");
    }
}
