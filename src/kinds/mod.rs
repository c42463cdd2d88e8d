//! Typed views of the objects that autoscaling hangs on: just the fields that a rule reads, each fact in one place.
//!
//! A view borrows from the object's JSON text. What it does not name is skipped unread, so objects may be large, newer than this
//! policy, or carry fields of other vendors.

pub mod autoscalers;
pub mod envoy_gateway;
pub mod helm;
pub mod horizontal_pod_autoscaler;
pub mod released;
pub mod scaled_object;
pub mod workload;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cluster::{Answer, ApiKind};
use crate::context::Context;
use crate::json::Json;

/// Any Kubernetes object: its metadata read, its `spec` and `status` still text.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Object<'a> {
    /// `group/version`, or the version alone in the core group. Items of a list may lack it.
    #[serde(borrow)]
    pub api_version: Cow<'a, str>,
    /// The kind. Items of a list may lack it.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// Names, labels, owners.
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

impl<'a> Object<'a> {
    /// Reads an object's text.
    pub fn from_text(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The spec as text, to compare two of them without reading either.
    pub fn spec_text(&self) -> &'a str {
        self.spec.map_or("", RawValue::get)
    }

    /// The spec; an absent one reads as empty.
    pub fn spec(&self) -> Json<'a> {
        Json::new(self.spec.map_or("{}", RawValue::get))
    }

    /// The status; an absent one reads as empty.
    pub fn status(&self) -> Json<'a> {
        Json::new(self.status.map_or("{}", RawValue::get))
    }

    /// `Kind namespace/name`, as messages call it.
    pub fn title(&self, kind: &str) -> String {
        title(kind, &self.metadata.namespace, &self.metadata.name)
    }
}

/// `Kind namespace/name`, or `Kind name` for what lives in no namespace.
pub fn title(kind: &str, namespace: &str, name: &str) -> String {
    if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
}

/// The part of `ObjectMeta` that rules read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata<'a> {
    /// The object's name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Its namespace, empty for cluster-wide kinds.
    #[serde(borrow)]
    pub namespace: Cow<'a, str>,
    /// Its identity: another object of the same name has another one.
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    /// Counts changes of the spec, and one more when deletion begins.
    pub generation: Option<i64>,
    #[serde(borrow)]
    deletion_timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    finalizers: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
    #[serde(borrow)]
    owner_references: Option<Vec<OwnerReference<'a>>>,
    #[serde(borrow)]
    managed_fields: Option<&'a RawValue>,
}

impl<'a> Metadata<'a> {
    /// Whether deletion has begun.
    pub fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// The finalizers that hold a deletion back.
    pub fn finalizers(&self) -> &[Cow<'a, str>] {
        self.finalizers.as_deref().unwrap_or_default()
    }

    /// A label's value.
    pub fn label(&self, key: &str) -> Option<Cow<'a, str>> {
        string(self.labels, key)
    }

    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<Cow<'a, str>> {
        string(self.annotations, key)
    }

    /// Whether labels or annotations differ as text.
    pub fn same_labels_and_annotations(&self, other: &Self) -> bool {
        let text = |map: Option<&'a RawValue>| map.map_or("", RawValue::get);
        text(self.labels) == text(other.labels) && text(self.annotations) == text(other.annotations)
    }

    /// The owners: the garbage collector deletes an object whose owners are all gone.
    pub fn owner_references(&self) -> &[OwnerReference<'a>] {
        self.owner_references.as_deref().unwrap_or_default()
    }

    /// The reference to an owner of that uid, controller or not: the garbage collector follows both.
    pub fn owner_with_uid(&self, uid: &str) -> Option<&OwnerReference<'a>> {
        self.owner_references().iter().find(|owner| owner.uid == uid)
    }

    /// Who wrote which fields.
    pub fn managed_fields(&self) -> Vec<Json<'a>> {
        self.managed_fields.map(|text| Json::new(text.get()).items(&[])).unwrap_or_default()
    }
}

/// An entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference<'a> {
    /// The owner's `group/version`.
    #[serde(borrow)]
    pub api_version: Cow<'a, str>,
    /// The owner's kind.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// The owner's name; it lives in the object's own namespace, or in none.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The owner's identity. A reference to another uid is stale: the garbage collector takes the object.
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    /// Whether this owner is the one that manages the object.
    pub controller: Option<bool>,
}

impl OwnerReference<'_> {
    /// What messages call the owner of an object in `namespace`.
    pub fn title(&self, namespace: &str) -> String {
        title(&self.kind, if self.kind == "GatewayClass" { "" } else { namespace }, &self.name)
    }

    /// The owner itself, by uid: another object of the name counts as absent.
    pub fn look_up<'a>(&self, context: &Context<'a>, namespace: &str) -> Answer<Object<'a>> {
        let kind = ApiKind { api_version: self.api_version.clone(), kind: self.kind.clone(), resource: "" };
        match context.neighbours.get(&kind, namespace, &self.name, &["kind"]) {
            Answer::Found(found) if found.metadata.uid != self.uid => Answer::Absent,
            answer => answer,
        }
    }
}

/// The value of a label or annotation; what is not a string counts as absent.
fn string<'a>(map: Option<&'a RawValue>, key: &str) -> Option<Cow<'a, str>> {
    map.and_then(|map| Json::new(map.get()).string(&[key]))
}

/// The API group of an `apiVersion`, empty for the core group.
pub fn group_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// `scaleTargetRef`: what an autoscaler scales.
#[derive(Clone, Debug, Default)]
pub struct ScaleTargetRef<'a> {
    /// The target's `group/version`. Its version does not matter: the HPA controller maps by group and kind.
    pub api_version: Cow<'a, str>,
    /// The target's kind.
    pub kind: Cow<'a, str>,
    /// The target's name, in the autoscaler's namespace.
    pub name: Cow<'a, str>,
}

impl<'a> ScaleTargetRef<'a> {
    /// The reference in an autoscaler's spec.
    pub fn of_spec(spec: Json<'a>) -> Self {
        let field = |name| spec.string(&["scaleTargetRef", name]).unwrap_or_default();
        Self { api_version: field("apiVersion"), kind: field("kind"), name: field("name") }
    }

    /// Whether both aim at the same workload, whichever version they name it in.
    pub fn same_workload(&self, other: &ScaleTargetRef<'_>) -> bool {
        group_of(&self.api_version) == group_of(&other.api_version)
            && self.kind == other.kind
            && self.name == other.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_key_whatever_stands_around_it() {
        let text = r#"{"metadata":{"annotations":{"a":"autoscaler-guard/allow","autoscaler-guard/allow":"x\ny","n":{"autoscaler-guard/allow":1}}}}"#;
        let object = Object::from_text(text).expect("it is well-formed");
        assert_eq!(object.metadata.annotation("autoscaler-guard/allow").as_deref(), Some("x\ny"));
        assert_eq!(object.metadata.annotation("autoscaler-guard"), None);
        assert_eq!(object.metadata.label("a"), None);
    }

    #[test]
    fn what_is_not_a_string_counts_as_absent() {
        let object =
            Object::from_text(r#"{"metadata":{"labels":{"a":1},"annotations":[]}}"#).expect("it is well-formed");
        assert_eq!((object.metadata.label("a"), object.metadata.annotation("a")), (None, None));
    }

    #[test]
    fn versions_of_a_group_are_one_target() {
        let target = |api_version: &'static str| ScaleTargetRef {
            api_version: api_version.into(),
            kind: "Deployment".into(),
            name: "web".into(),
        };
        assert!(target("apps/v1").same_workload(&target("apps/v1beta2")));
        assert!(!target("apps/v1").same_workload(&target("example.com/v1")));
        assert_eq!(group_of("v1"), "");
    }
}
