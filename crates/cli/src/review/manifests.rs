//! Requests made of plain manifests.

use std::path::PathBuf;

use autoscaler_guard_world::Key;
use serde_json::{Map, Value, json};

use super::request::Request;
use crate::arguments::ReviewOptions;
use crate::fault::Fault;
use crate::preflight::input::{self, Manifest};
use crate::sources::Operation;

/// Who is taken to ask, where nothing says.
const SOMEBODY: &str = "somebody";

/// A request for each manifest, and what cannot be one.
pub fn requests(options: &ReviewOptions, operation: Operation) -> Result<(Vec<Request>, Vec<Fault>), Fault> {
    let named = super::input::named(options);
    let files = if named.is_empty() { vec![PathBuf::from("-")] } else { named };
    let manifests = input::manifests(&files, "manifests")?;
    let old = if options.sources.old.is_empty() { &options.cluster } else { &options.sources.old };
    let old = input::manifests(old, "the manifests as they are now")?;
    let namespace = options.namespace.as_deref().unwrap_or_default();
    let (mut requests, mut faults) = (Vec::new(), Vec::new());
    for Manifest { value, file, line } in manifests {
        let origin = format!("{file}, line {line}");
        let key = Key::of(&value, namespace);
        let known = old.iter().find(|other| Key::of(&other.value, namespace) == key).map(|other| &other.value);
        match (operation, known) {
            (Operation::Update, None) => faults.push(
                Fault::new(format!("{origin}: nothing says what is there now"))
                    .help("--old names the manifest as it is now, or --cluster has the object"),
            ),
            (Operation::Create, _) => requests.extend(request(origin, "CREATE", None, Some(&value))),
            (Operation::Update, Some(old)) => {
                let new = if options.sources.old.is_empty() { applied(old, value) } else { identified(old, value) };
                requests.extend(request(origin, "UPDATE", Some(old), Some(&new)));
            }
            (Operation::Delete, known) => {
                let old = known.cloned().unwrap_or(value);
                requests.extend(request(origin, "DELETE", Some(&old), None));
            }
        }
    }
    if requests.is_empty() && faults.is_empty() {
        return Err(Fault::new("there is no manifest in what was named"));
    }
    Ok((requests, faults))
}

/// A manifest over what is there, as `kubectl apply` writes it: what it does not say stays.
fn applied(old: &Value, manifest: Value) -> Value {
    fn over(old: &mut Value, new: Value) {
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => {
                for (key, value) in new {
                    over(old.entry(key).or_insert(Value::Null), value);
                }
            }
            (old, new) => *old = new,
        }
    }
    let mut new = old.clone();
    over(&mut new, manifest);
    new
}

/// A manifest with what an API server keeps of the object: identity, owners and status.
fn identified(old: &Value, mut manifest: Value) -> Value {
    let own: Map<String, Value> = manifest["metadata"].as_object().cloned().unwrap_or_default();
    let kept = ["uid", "creationTimestamp", "generation", "resourceVersion", "ownerReferences", "finalizers"];
    for field in kept.into_iter().filter(|field| !own.contains_key(*field)) {
        if let Some(value) = old["metadata"].get(field) {
            manifest["metadata"][field] = value.clone();
        }
    }
    if manifest.get("status").is_none() && old.get("status").is_some() {
        manifest["status"] = old["status"].clone();
    }
    manifest
}

fn request(origin: String, operation: &str, old: Option<&Value>, new: Option<&Value>) -> Option<Request> {
    let object = new.or(old)?;
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let (user, manager) = writer(object);
    let options = match operation {
        "DELETE" => json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "propagationPolicy": "Background"}),
        _ => json!({"fieldManager": manager}),
    };
    let value = json!({
        "uid": "",
        "kind": {"group": group, "version": version, "kind": text("/kind")},
        "operation": operation,
        "name": text("/metadata/name"),
        "namespace": text("/metadata/namespace"),
        "userInfo": {"username": user, "groups": ["system:authenticated"]},
        "options": options,
        "object": new,
        "oldObject": old,
    });
    Request::new(origin, value)
}

/// Who writes a manifest with such marks, and as which field manager.
fn writer(manifest: &Value) -> (&'static str, &'static str) {
    let has = |place: &str, key: &str| manifest["metadata"][place].get(key).is_some();
    let managed = manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"].as_str();
    if has("annotations", "argocd.argoproj.io/tracking-id") {
        ("system:serviceaccount:argocd:argocd-application-controller", "argocd-controller")
    } else if has("labels", "kustomize.toolkit.fluxcd.io/name") {
        ("system:serviceaccount:flux-system:kustomize-controller", "kustomize-controller")
    } else if managed.is_some_and(|name| name.eq_ignore_ascii_case("helm")) || has("labels", "helm.sh/chart") {
        (SOMEBODY, "helm")
    } else {
        (SOMEBODY, "kubectl-client-side-apply")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_manifest_does_not_say_stays() {
        let old = json!({"metadata": {"uid": "1", "labels": {"a": "b"}}, "spec": {"minReplicas": 1, "maxReplicas": 5}});
        let new = json!({"metadata": {}, "spec": {"maxReplicas": 7}});
        let over = applied(&old, new.clone());
        assert_eq!(
            (&over["spec"], &over["metadata"]["labels"]["a"]),
            (&json!({"minReplicas": 1, "maxReplicas": 7}), &json!("b"))
        );
        let instead = identified(&old, new);
        assert_eq!((&instead["spec"], &instead["metadata"]), (&json!({"maxReplicas": 7}), &json!({"uid": "1"})));
    }

    #[test]
    fn the_writer_is_known_by_its_marks() {
        let marked = |key: &str, value: &str| json!({"metadata": {"labels": {key: value}}});
        assert_eq!(writer(&marked("app.kubernetes.io/managed-by", "Helm")).1, "helm");
        assert_eq!(writer(&marked("kustomize.toolkit.fluxcd.io/name", "apps")).1, "kustomize-controller");
        assert_eq!(writer(&marked("app", "web")).1, "kubectl-client-side-apply");
    }
}
