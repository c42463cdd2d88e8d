//! What is kept of an object: a cluster has tens of thousands, of which an audit reads a few fields each.

use serde_json::{Map, Value, json};

use crate::object::{LAST_APPLIED, text};

/// Drops what no problem looks at.
pub fn trim(object: &mut Value) {
    let kind = text(object, "/kind").to_owned();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if let Some(entries) = metadata.get_mut("managedFields") {
            *entries = managers(entries);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            shorten_last_applied(&kind, annotations);
        }
    }
    match kind.as_str() {
        "Deployment" | "StatefulSet" | "ReplicaSet" | "Rollout" => workload(object),
        "CustomResourceDefinition" => definition(object),
        "ConfigMap"
            if text(object, "/metadata/name") != "envoy-gateway-config" && !is_release(object)
            // Argo CD's ConfigMap may make it ignore counts; others say nothing of autoscaling.
            && text(object, "/metadata/name") != "argocd-cm" =>
        {
            drop_fields(object, &["data", "binaryData"]);
        }
        "Secret" if !is_release(object) => drop_fields(object, &["data", "stringData"]),
        _ => {}
    }
}

fn is_release(object: &Value) -> bool {
    text(object, "/metadata/name").starts_with("sh.helm.release.v1.")
}

fn drop_fields(object: &mut Value, names: &[&str]) {
    if let Some(fields) = object.as_object_mut() {
        for name in names {
            fields.remove(*name);
        }
    }
}

/// Who wrote something of the spec, who the count, and who the acknowledgements.
fn managers(entries: &Value) -> Value {
    let kept = |entry: &Value| {
        let acknowledgements: Map<String, Value> = entry
            .pointer("/fieldsV1/f:metadata/f:annotations")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(key, _)| key.starts_with("f:autoscaler-guard/"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let spec = entry.pointer("/fieldsV1/f:spec");
        if spec.is_none() && acknowledgements.is_empty() {
            return None;
        }
        let mut fields = Map::new();
        if let Some(spec) = spec {
            let count = if spec.get("f:replicas").is_some() { json!({"f:replicas": {}}) } else { json!({}) };
            fields.insert("f:spec".to_owned(), count);
        }
        if !acknowledgements.is_empty() {
            fields.insert("f:metadata".to_owned(), json!({"f:annotations": acknowledgements}));
        }
        let mut short = Map::new();
        for field in ["manager", "operation", "subresource", "time"] {
            if let Some(value) = entry.get(field) {
                short.insert(field.to_owned(), value.clone());
            }
        }
        short.insert("fieldsV1".to_owned(), Value::Object(fields));
        Some(Value::Object(short))
    };
    Value::Array(entries.as_array().into_iter().flatten().filter_map(kept).collect())
}

/// Of what was applied last the count matters, and of an autoscaler that it was applied as one.
fn shorten_last_applied(kind: &str, annotations: &mut Map<String, Value>) {
    let Some(applied) = annotations.get(LAST_APPLIED).and_then(Value::as_str) else { return };
    let applied: Value = serde_json::from_str(applied).unwrap_or_default();
    let short = match kind {
        "Deployment" | "StatefulSet" | "Rollout" | "HorizontalPodAutoscaler" | "ScaledObject" => {
            let replicas = applied.pointer("/spec/replicas").map_or(json!({}), |count| json!({"replicas": count}));
            json!({"kind": applied["kind"], "spec": replicas})
        }
        _ => return,
    };
    annotations.insert(LAST_APPLIED.to_owned(), Value::String(short.to_string()));
}

/// Labels of pods, and names and images of containers: by these Envoy Gateway's version is known.
fn workload(object: &mut Value) {
    if let Some(template) = object.pointer_mut("/spec/template") {
        let labels = template.pointer("/metadata/labels").cloned().unwrap_or(json!({}));
        let containers = template.pointer("/spec/containers").and_then(Value::as_array).cloned().unwrap_or_default();
        let containers: Vec<Value> =
            containers.iter().map(|one| json!({"name": one["name"], "image": one["image"]})).collect();
        let account = template.pointer("/spec/serviceAccountName").cloned().unwrap_or(Value::Null);
        *template = json!({
            "metadata": {"labels": labels},
            "spec": {"containers": containers, "serviceAccountName": account},
        });
    }
    drop_fields(object, &["status"]);
}

fn definition(object: &mut Value) {
    for version in object.pointer_mut("/spec/versions").and_then(Value::as_array_mut).into_iter().flatten() {
        drop_fields(version, &["schema", "additionalPrinterColumns"]);
    }
    drop_fields(object, &["status"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_kept() {
        let mut object = json!({
            "kind": "Deployment",
            "metadata": {
                "name": "web",
                "annotations": {LAST_APPLIED: r#"{"kind":"Deployment","spec":{"replicas":3,"template":{}}}"#},
                "managedFields": [
                    {"manager": "helm", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {}}}},
                    {"manager": "kube-controller-manager", "subresource": "status", "fieldsV1": {"f:status": {}}},
                ],
            },
            "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"volumes": [1]}}},
            "status": {"replicas": 2},
        });
        trim(&mut object);
        assert_eq!(
            object.pointer("/metadata/managedFields"),
            Some(&json!([
                {"manager": "helm", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            ]))
        );
        assert_eq!(object["spec"]["replicas"], 2);
        assert_eq!(object["spec"]["template"]["metadata"]["labels"]["app"], "web");
        assert!(object["spec"]["template"]["spec"].get("volumes").is_none() && object.get("status").is_none());
        let applied = object["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap_or_default();
        assert_eq!(applied, r#"{"kind":"Deployment","spec":{"replicas":3}}"#);
    }
}
