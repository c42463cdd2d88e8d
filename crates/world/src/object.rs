//! Objects as the API server stores them, and their names.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use crate::fields::Managed;

/// What an object is known by: API group, kind, namespace, name. The version does not matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The API group, empty for the core group.
    pub group: Arc<str>,
    /// The kind.
    pub kind: Arc<str>,
    /// The namespace; empty for what is cluster-scoped.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

/// Kinds without a namespace, as far as this world knows any.
const CLUSTER_SCOPED: &[&str] = &[
    "Namespace",
    "GatewayClass",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "APIService",
    "PriorityClass",
    "StorageClass",
    "PersistentVolume",
    "IngressClass",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ClusterTriggerAuthentication",
    "RuntimeClass",
];

impl Key {
    /// A key out of its parts; `extensions` is the old name of `apps` for what both served.
    pub fn new(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        let group = if group == "extensions" && WORKLOADS.contains(&kind) { "apps" } else { group };
        let namespace = if CLUSTER_SCOPED.contains(&kind) { "" } else { namespace };
        Self { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }

    /// That of a manifest; `namespace` is for those that name none.
    pub fn of(manifest: &Value, namespace: &str) -> Option<Self> {
        let kind = text(manifest, "/kind");
        let name = text(manifest, "/metadata/name");
        let own = text(manifest, "/metadata/namespace");
        let namespace = if own.is_empty() { namespace } else { own };
        (!kind.is_empty() && !name.is_empty())
            .then(|| Self::new(group_of(text(manifest, "/apiVersion")), kind, namespace, name))
    }

    /// An HPA's.
    pub fn hpa(namespace: &str, name: &str) -> Self {
        Self::new("autoscaling", "HorizontalPodAutoscaler", namespace, name)
    }

    /// A ScaledObject's.
    pub fn scaled_object(namespace: &str, name: &str) -> Self {
        Self::new("keda.sh", "ScaledObject", namespace, name)
    }

    /// What an autoscaler's `scaleTargetRef` names.
    pub fn target(reference: &Value, namespace: &str) -> Self {
        let api = reference.get("apiVersion").and_then(Value::as_str).unwrap_or("apps/v1");
        let kind = reference.get("kind").and_then(Value::as_str).unwrap_or("Deployment");
        Self::new(group_of(api), kind, namespace, text(reference, "/name"))
    }

    /// Whether it is an HPA's.
    pub fn is_hpa(&self) -> bool {
        &*self.kind == "HorizontalPodAutoscaler" && &*self.group == "autoscaling"
    }

    /// Whether it is a ScaledObject's.
    pub fn is_scaled_object(&self) -> bool {
        &*self.kind == "ScaledObject" && &*self.group == "keda.sh"
    }

    /// Whether it is of a kind that may be scaled: a built-in one, or any that a definition may have given a scale
    /// subresource.
    pub fn is_workload(&self) -> bool {
        let is_others = self.group.contains('.') && !self.group.ends_with(".k8s.io");
        (&*self.group == "apps" && WORKLOADS.contains(&&*self.kind))
            || (is_others && !NOT_SCALED.contains(&&*self.group))
    }
}

/// Groups of definitions that this world knows, and that have nothing to scale.
const NOT_SCALED: &[&str] =
    &["keda.sh", "gateway.envoyproxy.io", "kustomize.toolkit.fluxcd.io", "monitoring.coreos.com", "cert-manager.io"];

/// The built-in kinds with a scale subresource.
const WORKLOADS: &[&str] = &["Deployment", "StatefulSet", "ReplicaSet"];

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_hpa() { "HPA" } else { &self.kind };
        if self.namespace.is_empty() {
            write!(formatter, "{kind} {}", self.name)
        } else {
            write!(formatter, "{kind} {}/{}", self.namespace, self.name)
        }
    }
}

/// The group of an `apiVersion`.
pub fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Values by JSON pointer. That of `serde_json` makes two strings of each part, and this is most of what a search does.
pub trait At {
    /// The value there.
    fn at(&self, pointer: &str) -> Option<&Value>;
}

impl At for Value {
    fn at(&self, pointer: &str) -> Option<&Value> {
        pointer.split('/').skip(1).try_fold(self, |value, part| match value {
            Value::Object(fields) if part.contains('~') => fields.get(&part.replace("~1", "/").replace("~0", "~")),
            Value::Object(fields) => fields.get(part),
            Value::Array(values) => values.get(part.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

/// The text at a JSON pointer, or nothing.
pub fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.at(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a JSON pointer.
pub fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.at(pointer).and_then(Value::as_i64)
}

/// Puts an HPA into the form of `autoscaling/v2`, in which the API server stores it (kubernetes
/// pkg/apis/autoscaling/v1/conversion.go).
pub fn as_v2(manifest: &mut Value) {
    let version = text(manifest, "/apiVersion").to_owned();
    if text(manifest, "/kind") != "HorizontalPodAutoscaler" || !version.starts_with("autoscaling/") {
        return;
    }
    manifest["apiVersion"] = "autoscaling/v2".into();
    if let Some(metrics) = manifest.pointer_mut("/spec/metrics").and_then(Value::as_array_mut) {
        for resource in metrics.iter_mut().filter_map(|metric| metric.get_mut("resource")?.as_object_mut()) {
            for (old, kind, new) in [
                ("targetAverageUtilization", "Utilization", "averageUtilization"),
                ("targetAverageValue", "AverageValue", "averageValue"),
            ] {
                if let Some(value) = resource.remove(old) {
                    resource.insert("target".to_owned(), json!({"type": kind, new: value}));
                }
            }
        }
    }
    if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut)
        && let Some(value) = spec.remove("targetCPUUtilizationPercentage").filter(|value| !value.is_null())
    {
        let target = json!({"type": "Utilization", "averageUtilization": value});
        spec.insert("metrics".to_owned(), json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
    }
}

/// A label.
pub fn label<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.at("/metadata/labels")?.get(key)?.as_str()
}

/// An annotation.
pub fn annotation<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.at("/metadata/annotations")?.get(key)?.as_str()
}

/// The items of the array at a JSON pointer.
pub fn items<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.at(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `metadata`, made an object if it is none.
pub fn metadata(value: &mut Value) -> &mut serde_json::Map<String, Value> {
    child(value, "metadata")
}

/// A field that holds an object; made one if it is none.
pub fn child<'v>(value: &'v mut Value, key: &str) -> &'v mut serde_json::Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    let field = &mut value[key];
    if !field.is_object() {
        *field = json!({});
    }
    #[expect(clippy::unreachable, reason = "it was made an object")]
    match field {
        Value::Object(fields) => fields,
        _ => unreachable!("it was made an object"),
    }
}

/// Sets an annotation.
pub fn annotate(value: &mut Value, key: &str, text: &str) {
    let metadata = value.as_object_mut().map(|object| object.entry("metadata").or_insert_with(|| json!({})));
    if let Some(metadata) = metadata {
        child(metadata, "annotations").insert(key.to_owned(), text.into());
    }
}

/// Sets a label.
pub fn add_label(value: &mut Value, key: &str, text: &str) {
    let metadata = value.as_object_mut().map(|object| object.entry("metadata").or_insert_with(|| json!({})));
    if let Some(metadata) = metadata {
        child(metadata, "labels").insert(key.to_owned(), text.into());
    }
}

/// Sets the value at a path of fields, making objects on the way.
pub fn set(value: &mut Value, path: &[&str], new: Value) {
    match path {
        [] => *value = new,
        [last] => {
            if !value.is_object() {
                *value = json!({});
            }
            value[*last] = new;
        }
        [first, rest @ ..] => {
            if !value.is_object() {
                *value = json!({});
            }
            set(&mut value[*first], rest, new);
        }
    }
}

/// Removes the value at a path of fields; says whether it was there.
pub fn remove(value: &mut Value, path: &[&str]) -> bool {
    match path {
        [] => false,
        [last] => value.as_object_mut().is_some_and(|fields| fields.remove(*last).is_some()),
        [first, rest @ ..] => value.get_mut(*first).is_some_and(|below| remove(below, rest)),
    }
}

/// A JSON merge patch (RFC 7386).
pub fn merge(target: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => {
            if !target.is_object() {
                *target = json!({});
            }
            let Some(object) = target.as_object_mut() else { return };
            for (key, value) in fields {
                if value.is_null() {
                    object.remove(key);
                } else {
                    merge(object.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        value => *target = value.clone(),
    }
}

/// A fast hasher for the fingerprints of states: nobody chooses what is hashed in order to make it collide.
#[derive(Debug, Default)]
pub struct Fold(u64);

impl Fold {
    fn fold(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        // The low bits of a product know little of the high ones.
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 56);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.fold(word);
    }
}

/// An object in the store: immutable, shared by all states of the world that have it.
#[derive(Debug, Default)]
pub struct Stored {
    /// The object, without `metadata.managedFields`.
    pub value: Value,
    /// Who manages its fields.
    pub managed: Managed,
    rendered: OnceLock<String>,
    digest: OnceLock<Digest>,
}

/// What a state's hash needs of an object: its content without uids, and the uids in order.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    /// Everything but uids and counters that only say how often something was written.
    pub content: u64,
    /// The uids in the order in which they occur.
    pub uids: Vec<String>,
}

impl Stored {
    /// Puts an object into the form in which it is stored.
    pub fn new(value: Value, managed: Managed) -> Self {
        Self { value, managed, rendered: OnceLock::new(), digest: OnceLock::new() }
    }

    /// The object as the API server gives it out.
    pub fn rendered(&self) -> &str {
        self.rendered.get_or_init(|| with_managed_fields(&self.value, &self.managed).to_string())
    }

    /// For the hash of a state; always asked with the key that the object is stored by.
    pub fn digest(&self, key: &Key) -> &Digest {
        self.digest.get_or_init(|| {
            let (mut hasher, mut uids) = (Fold::default(), Vec::new());
            key.hash(&mut hasher);
            digest(&self.value, "", &mut hasher, &mut uids);
            self.managed.hash(&mut hasher);
            Digest { content: hasher.finish(), uids }
        })
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        text(&self.value, "/metadata/uid")
    }

    /// Whether its deletion has begun.
    pub fn is_terminating(&self) -> bool {
        self.value.at("/metadata/deletionTimestamp").is_some()
    }
}

/// An object with its managed fields.
pub fn with_managed_fields(value: &Value, managed: &Managed) -> Value {
    let mut value = value.clone();
    if !managed.is_empty() {
        let entries = managed.to_json(text(&value, "/apiVersion"));
        metadata(&mut value).insert("managedFields".to_owned(), entries);
    }
    value
}

fn digest(value: &Value, key: &str, hasher: &mut Fold, uids: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.len().hash(hasher);
            for (key, value) in fields {
                if matches!(key.as_str(), "resourceVersion" | "creationTimestamp" | "lastScaleTime") {
                    continue;
                }
                key.hash(hasher);
                digest(value, key, hasher, uids);
            }
        }
        Value::Array(values) => {
            values.len().hash(hasher);
            for value in values {
                digest(value, "", hasher, uids);
            }
        }
        Value::String(text) if key == "uid" => uids.push(text.clone()),
        // The policy's mark: name/uid/generation.
        Value::String(text) if key == "autoscaler-guard/released-from" => {
            for (place, part) in text.split('/').enumerate() {
                if place == 1 { uids.push(part.to_owned()) } else { part.hash(hasher) }
            }
        }
        Value::String(text) => text.hash(hasher),
        other => other.to_string().hash(hasher),
    }
}
