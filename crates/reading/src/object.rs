//! Kubernetes objects: metadata read in one pass, `spec` and `status` left as text.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Json;

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

/// The value of a label or annotation; what is not a string counts as absent.
fn string<'a>(map: Option<&'a RawValue>, key: &str) -> Option<Cow<'a, str>> {
    // Most keys that rules ask for are not there; only an escaped spelling could hide one from a plain search.
    let text = map.map(RawValue::get).filter(|text| text.contains(key) || text.contains('\\'))?;
    Json::new(text).string(&[key])
}

/// The API group of an `apiVersion`, empty for the core group.
pub fn group_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
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
}
