//! What a run with Kubewarden's own controller, audit scanner and policy server has shown to go wrong, and must not
//! come back.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder with that ending, in order.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).expect("it is YAML")
}

/// The policies in `policies/`, by their file.
fn policies() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for file in ["guard", "guard-no-repair", "audit"] {
        let all = documents(&read(&root().join(format!("policies/{file}.yaml"))));
        found.extend(all.into_iter().map(|policy| (format!("{file}.yaml"), policy)));
    }
    assert_eq!(found.len(), 4, "guard, guard-no-repair and two of the audit");
    found
}

/// Where `mutating` changes under one name, Kubewarden leaves the old webhook behind, which under `Fail` blocks every
/// write for good.
#[test]
fn no_two_manifests_flip_mutating_under_one_name() {
    let mut known: BTreeMap<String, (String, Value)> = BTreeMap::new();
    for (file, policy) in policies() {
        let name = policy["metadata"]["name"].as_str().expect("a policy has a name").to_owned();
        let mutating = policy["spec"]["mutating"].clone();
        assert!(mutating.is_boolean(), "{file} does not say whether it mutates");
        if let Some((other, before)) = known.insert(name.clone(), (file.clone(), mutating.clone())) {
            assert_eq!(before, mutating, "{file} and {other} both are {name}");
        }
    }
    let is = |mutating| known.values().any(|(_, value)| *value == mutating);
    assert!(is(json!(true)) && is(json!(false)), "there is nothing to flip");
    // No patch of an example flips it either.
    for file in files("policies", ".yaml") {
        assert!(!read(&file).contains("/spec/mutating"), "{}", file.display());
    }
}

/// Kubewarden's controller drops matchLabels, and an empty selector takes all namespaces.
#[test]
fn namespaces_are_selected_by_expressions() {
    fn selectors<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("namespaceSelector"));
                found.extend(fields.get("objectSelector"));
                if fields.get("path") == Some(&json!("/spec/namespaceSelector")) {
                    found.extend(fields.get("value"));
                }
                fields.values().for_each(|value| selectors(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| selectors(item, found)),
            _ => {}
        }
    }
    let mut seen = 0;
    for file in files("policies", ".yaml") {
        for document in documents(&read(&file)) {
            // Patches are YAML in YAML.
            let patches = document["patches"].as_array().into_iter().flatten();
            let texts = patches.filter_map(|patch| patch["patch"].as_str());
            let all: Vec<Value> = texts.flat_map(documents).chain([document.clone()]).collect();
            let mut found = Vec::new();
            for value in &all {
                selectors(value, &mut found);
            }
            for selector in found {
                seen += 1;
                assert_eq!(selector["matchLabels"], Value::Null, "{}", file.display());
                assert!(
                    selector["matchExpressions"].as_array().is_some_and(|all| !all.is_empty()),
                    "{} selects everything",
                    file.display()
                );
            }
        }
    }
    assert!(seen >= 2, "the example by namespace selects namespaces");
}

/// Reports are `OpenReports`; the older kind is there only where somebody asked for it.
#[test]
fn reports_are_asked_for_by_the_name_that_they_have() {
    let mut named = 0;
    let texts = [files("docs", ".md"), files("policies", ".yaml"), vec![root().join("README.md")]].concat();
    for file in texts {
        for paragraph in read(&file).split("\n\n") {
            let says = |word: &str| paragraph.to_lowercase().contains(word);
            named += usize::from(says("reports.openreports.io"));
            let is_explained = says("installpolicyreportcrds") && says("reportcrdskind");
            assert!(!says("policyreports") || is_explained, "{}: {paragraph}", file.display());
        }
    }
    assert!(named > 0);
}

/// The scanner counts an error for each kind that is not served, unless all of its operations are named by `*`.
#[test]
fn the_scanner_passes_over_kinds_that_may_not_be_served() {
    let everywhere = ["autoscaling", "apiextensions.k8s.io", "apiregistration.k8s.io"];
    let mut optional = 0;
    for (file, policy) in policies().into_iter().filter(|(file, _)| file != "audit.yaml") {
        for rule in policy["spec"]["rules"].as_array().expect("a policy has rules") {
            let group = rule["apiGroups"][0].as_str().expect("a rule has a group");
            if !everywhere.contains(&group) {
                optional += 1;
                assert_eq!(rule["operations"], json!(["*"]), "{file}: {group}");
            }
        }
    }
    assert!(optional >= 8, "KEDA's, Envoy Gateway's and the Gateway API's kinds are optional");
    // The policies that are to report of a kind have to name CREATE; without KEDA there is one less.
    let without = read(&root().join("policies/examples/without-keda/kustomization.yaml"));
    for (file, policy) in policies().into_iter().filter(|(file, _)| file == "audit.yaml") {
        let group = policy["spec"]["rules"][0]["apiGroups"][0].as_str().expect("a rule has a group").to_owned();
        let name = policy["metadata"]["name"].as_str().expect("a policy has a name");
        let is_left_out = without.contains(&format!("name: {name}\n"));
        assert_eq!(is_left_out, !everywhere.contains(&&*group), "{file}: {name}");
    }
}

/// By itself a policy server allows 2 seconds and refuses then, whatever failurePolicy says; and it has to answer
/// before API servers give up.
#[test]
fn lookups_have_time() {
    for (file, policy) in policies() {
        let seconds = |field: &str| policy["spec"][field].as_u64().unwrap_or_else(|| panic!("{file} lacks {field}"));
        let (evaluation, webhook) = (seconds("timeoutEvalSeconds"), seconds("timeoutSeconds"));
        assert!((5..webhook).contains(&evaluation), "{file}: {evaluation} of {webhook} seconds");
    }
}

/// A policy server keeps a watch, and a connection, for each list that it was ever asked for.
#[test]
fn an_audit_lists_the_whole_cluster_once_and_no_namespace() {
    let lists = |settings: Value| {
        let object = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "shop", "uid": "1"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 3},
        });
        let request = json!({
            "uid": "1", "operation": "CREATE", "name": "web", "namespace": "shop", "object": object,
            "kind": {"group": "autoscaling", "version": "v2", "kind": "HorizontalPodAutoscaler"},
            "userInfo": {"username": ""},
        });
        let asked = RefCell::new(Vec::new());
        let call = |operation: &str, request: &[u8]| {
            if operation.starts_with("list_") {
                let request: Value = serde_json::from_slice(request).expect("it is JSON");
                let other = |namespace: &str| {
                    let mut other = object.clone();
                    other["metadata"] = json!({"name": "other", "namespace": namespace, "uid": namespace});
                    other
                };
                let of_kind =
                    if request["kind"] == "ScaledObject" { json!([]) } else { json!([object, other("elsewhere")]) };
                let list = json!({"kind": "List", "apiVersion": "v1", "items": of_kind});
                asked.borrow_mut().push((operation.to_owned(), request));
                return Ok(list.to_string().into_bytes());
            }
            if operation == "can_i" { Ok(br#"{"allowed":true}"#.to_vec()) } else { Err("no".to_owned()) }
        };
        let payload = json!({"request": request, "settings": settings}).to_string();
        let answer = autoscaler_guard::kubewarden::validate(payload.as_bytes(), &call);
        let answer: Value = serde_json::from_slice(&answer).expect("it is JSON");
        (asked.into_inner(), answer)
    };
    let (asked, answer) = lists(json!({"audit": true}));
    assert!(!asked.is_empty());
    for (operation, request) in &asked {
        assert_eq!(operation, "list_resources_all", "{request}");
        assert!(request["field_masks"].as_array().is_some_and(|masks| !masks.is_empty()), "{request}");
    }
    // What is in other namespaces is none of this one's.
    assert!(!answer.to_string().contains("duplicate-autoscaler"), "{answer}");
    let (asked, _) = lists(json!({}));
    assert!(asked.iter().all(|(operation, _)| operation == "list_resources_by_namespace"), "{asked:?}");
}

/// A policy cannot end a host's call: while one replica waits for the first list of a kind, another has to answer.
#[test]
fn the_example_of_a_policy_server_has_replicas() {
    let server = documents(&read(&root().join("policies/examples/own-policy-server/policy-server.yaml"))).remove(0);
    assert!(server["spec"]["replicas"].as_u64() >= Some(2) && server["spec"]["minAvailable"].as_u64() >= Some(1));
    let page = read(&root().join("docs/availability.md"));
    assert!(page.contains("policies/examples/own-policy-server") && page.contains("replicas"));
}

/// Reports take them from the policy in the cluster, not from the module.
#[test]
fn severity_and_category_reach_reports() {
    let metadata = documents(&read(&root().join("metadata.yml"))).remove(0);
    for key in ["io.kubewarden.policy.severity", "io.kubewarden.policy.category"] {
        let text = &metadata["annotations"][key];
        assert!(text.is_string(), "metadata.yml has no {key}");
        for (file, policy) in policies() {
            assert_eq!(&policy["metadata"]["annotations"][key], text, "{file}: {key}");
        }
    }
}
