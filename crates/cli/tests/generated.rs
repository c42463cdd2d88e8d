//! What is written from the code stands in the tree as the code says: the README's rule table, the manifests' rules.
//!
//! `AUTOSCALER_GUARD_WRITE=1 cargo test -p autoscaler-guard-cli --test generated` writes the table anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use autoscaler_guard::change::{Kind, Operation};
use autoscaler_guard::rules::RULES;
use serde_json::Value;

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
    let fresh =
        format!("{before}{begin}{}\n{end}{after}", autoscaler_guard_cli::rules::table("docs/rules/").trim_end());
    if writes() {
        std::fs::write(root().join("README.md"), &fresh).expect("README.md can be written");
    }
    assert!(readme == fresh, "README.md is stale: run this test with AUTOSCALER_GUARD_WRITE=1");
}

#[test]
fn every_rule_has_a_page_in_the_docs() {
    let mut pages = autoscaler_guard_cli::rules::pages();
    let table = autoscaler_guard_cli::rules::table("");
    pages.push(("README.md".to_owned(), format!("# Rules\n\n{table}")));
    let folder = root().join("docs/rules");
    if writes() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("docs/rules can be made");
        for (name, page) in &pages {
            std::fs::write(folder.join(name), page).expect("a page can be written");
        }
    }
    for (name, page) in &pages {
        let stands = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(&stands == page, "docs/rules/{name} is stale: run this test with AUTOSCALER_GUARD_WRITE=1");
    }
    let found = std::fs::read_dir(&folder).expect("docs/rules is there").count();
    assert_eq!(found, pages.len(), "docs/rules has pages of rules that are no more");
}

fn writes() -> bool {
    std::env::var_os("AUTOSCALER_GUARD_WRITE").is_some()
}

/// `resource operation` for all that rules watch.
fn watched() -> BTreeSet<String> {
    let resource = |kind| match kind {
        Kind::HorizontalPodAutoscaler => "horizontalpodautoscalers",
        Kind::ScaledObject => "scaledobjects",
        Kind::EnvoyProxy => "envoyproxies",
        Kind::Gateway => "gateways",
        Kind::GatewayClass => "gatewayclasses",
        Kind::CustomResourceDefinition => "customresourcedefinitions",
        Kind::Other => "none",
    };
    let operation = |operation| match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Other => "none",
    };
    let pairs = RULES.iter().flat_map(|rule| rule.watches);
    pairs
        .flat_map(|(kind, all)| all.iter().map(move |one| format!("{} {}", resource(*kind), operation(*one))))
        .collect()
}

/// The same, of the rules in a manifest.
fn registered(rules: &Value) -> BTreeSet<String> {
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut pairs = BTreeSet::new();
    for rule in rules.as_array().into_iter().flatten() {
        for resource in words(&rule["resources"]) {
            pairs.extend(words(&rule["operations"]).iter().map(|operation| format!("{resource} {operation}")));
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

#[test]
fn the_manifests_settings_are_valid() {
    for file in ["policies/guard.yaml", "policies/guard-no-repair.yaml"] {
        let manifest: Value = serde_saphyr::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let settings = manifest["spec"]["settings"].to_string();
        assert!(autoscaler_guard::Settings::from_json(&settings).is_ok(), "{file}: {settings}");
    }
}
