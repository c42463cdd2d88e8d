//! Objects as JSON, read by pointers; and what they are called.

use std::fmt;

use autoscaler_guard::command::Command;
use autoscaler_guard_reading::group_of;
use serde_json::Value;

/// An object's address: the version of its API does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ref {
    /// The API group, empty for the core.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace, empty for what lives in none.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// The API group of HPAs.
pub const AUTOSCALING: &str = "autoscaling";
/// The kind that messages call HPA.
pub const HPA: &str = "HorizontalPodAutoscaler";

impl Ref {
    /// The object of that address.
    pub fn new(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        let [group, kind, namespace, name] = [group, kind, namespace, name].map(str::to_owned);
        Self { group, kind, namespace, name }
    }

    /// An HPA.
    pub fn hpa(namespace: &str, name: &str) -> Self {
        Self::new(AUTOSCALING, HPA, namespace, name)
    }

    /// A ScaledObject.
    pub fn scaled_object(namespace: &str, name: &str) -> Self {
        Self::new("keda.sh", "ScaledObject", namespace, name)
    }

    /// A Deployment.
    pub fn deployment(namespace: &str, name: &str) -> Self {
        Self::new("apps", "Deployment", namespace, name)
    }

    /// Whether it is an HPA or a ScaledObject.
    pub fn is_autoscaler(&self) -> bool {
        matches!((&*self.group, &*self.kind), (AUTOSCALING, HPA) | ("keda.sh", "ScaledObject"))
    }

    /// The kind in messages and in ids of findings.
    pub fn short_kind(&self) -> &str {
        if self.kind == HPA { "HPA" } else { &self.kind }
    }

    /// `<kind>/<namespace>/<name>`, without the namespace where there is none.
    pub fn path(&self) -> String {
        let (kind, namespace, name) = (self.short_kind(), &self.namespace, &self.name);
        if namespace.is_empty() { format!("{kind}/{name}") } else { format!("{kind}/{namespace}/{name}") }
    }

    /// The resource as kubectl takes it.
    pub fn resource(&self) -> String {
        match (&*self.group, &*self.kind) {
            (_, HPA) => "hpa".to_owned(),
            ("" | "apps" | "keda.sh", kind) => kind.to_ascii_lowercase(),
            (group, kind) => format!("{}.{group}", kind.to_ascii_lowercase()),
        }
    }

    /// `kubectl <verb> <resource> <name> -n <namespace>`.
    pub fn kubectl(&self, verb: &'static str) -> Command {
        let command = Command::kubectl(&[verb]).name(self.resource()).name(self.name.clone());
        if self.namespace.is_empty() { command } else { command.arg("-n").name(self.namespace.clone()) }
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&autoscaler_guard_reading::title(self.short_kind(), &self.namespace, &self.name))
    }
}

/// An object.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its address.
    pub key: Ref,
    /// All of it that is kept.
    pub value: Value,
}

/// An entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The owner's address; its namespace is the object's, though it may live in none.
    pub key: Ref,
    /// Its identity.
    pub uid: String,
    /// Whether it manages the object.
    pub is_controller: bool,
}

/// An entry of `status.conditions`.
#[derive(Clone, Copy, Debug)]
pub struct Condition<'o> {
    /// `True`, `False` or `Unknown`.
    pub status: &'o str,
    /// Why, in a word.
    pub reason: &'o str,
    /// Why, in a sentence.
    pub message: &'o str,
    /// Since when.
    pub since: Option<&'o str>,
}

/// Text at a pointer, empty where there is none.
pub fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list at a pointer.
pub fn items<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl Object {
    /// An object, by what it says of itself; none where it has no kind or no name.
    pub fn new(value: Value) -> Option<Self> {
        let group = group_of(text(&value, "/apiVersion"));
        let (kind, name) = (text(&value, "/kind"), text(&value, "/metadata/name"));
        if kind.is_empty() || name.is_empty() {
            return None;
        }
        let key = Ref::new(group, kind, text(&value, "/metadata/namespace"), name);
        Some(Self { key, value })
    }

    /// Text at a pointer, empty where there is none.
    pub fn text(&self, pointer: &str) -> &str {
        text(&self.value, pointer)
    }

    /// A number at a pointer.
    pub fn number(&self, pointer: &str) -> Option<i64> {
        self.value.pointer(pointer)?.as_i64()
    }

    /// The items of a list at a pointer.
    pub fn items(&self, pointer: &str) -> &[Value] {
        items(&self.value, pointer)
    }

    /// Whether something is at a pointer.
    pub fn has(&self, pointer: &str) -> bool {
        self.value.pointer(pointer).is_some_and(|value| !value.is_null())
    }

    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.value.get("metadata")?.get("labels")?.get(key)?.as_str()
    }

    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.value.get("metadata")?.get("annotations")?.get(key)?.as_str()
    }

    /// Its identity.
    pub fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    /// When it came into being.
    pub fn created(&self) -> Option<&str> {
        Some(self.text("/metadata/creationTimestamp")).filter(|time| !time.is_empty())
    }

    /// Whether deletion has begun.
    pub fn is_terminating(&self) -> bool {
        self.has("/metadata/deletionTimestamp")
    }

    /// Its owners.
    pub fn owners(&self) -> impl Iterator<Item = Owner> + '_ {
        self.items("/metadata/ownerReferences").iter().map(|owner| Owner {
            key: Ref::new(
                group_of(text(owner, "/apiVersion")),
                text(owner, "/kind"),
                &self.key.namespace,
                text(owner, "/name"),
            ),
            uid: text(owner, "/uid").to_owned(),
            is_controller: owner["controller"] == true,
        })
    }

    /// The owner that manages it.
    pub fn controller(&self) -> Option<Owner> {
        self.owners().find(|owner| owner.is_controller)
    }

    /// A condition of its status.
    pub fn condition(&self, kind: &str) -> Option<Condition<'_>> {
        let found = self.items("/status/conditions").iter().find(|condition| text(condition, "/type") == kind)?;
        Some(Condition {
            status: text(found, "/status"),
            reason: text(found, "/reason"),
            message: text(found, "/message"),
            since: Some(text(found, "/lastTransitionTime")).filter(|time| !time.is_empty()),
        })
    }

    /// What `kubectl apply` applied last.
    pub fn last_applied(&self) -> Option<Value> {
        serde_json::from_str(self.annotation(LAST_APPLIED)?).ok()
    }
}

/// Where `kubectl apply` keeps what it applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
