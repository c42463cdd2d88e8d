//! Kubernetes objects: metadata read in one pass, `spec` and `status` left as text.

use std::borrow::Cow;

use crate::cursor::{Cursor, Malformed, Read};
use crate::value::Json;

/// Any Kubernetes object: its metadata read, its `spec` and `status` still text.
#[derive(Clone, Debug, Default)]
pub struct Object<'a> {
    /// `group/version`, or the version alone in the core group. Items of a list may lack it.
    pub api_version: Cow<'a, str>,
    /// The kind. Items of a list may lack it.
    pub kind: Cow<'a, str>,
    /// Names, labels, owners.
    pub metadata: Metadata<'a>,
    text: &'a str,
    spec: Option<Json<'a>>,
    status: Option<Json<'a>>,
}

impl<'a> Object<'a> {
    /// Reads an object's text.
    pub fn from_text(text: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(text);
        let object = Self::read(&mut cursor)?;
        cursor.end().map(|()| Self { text, ..object })
    }

    /// Reads the objects of a list in one pass, as a namespace may have thousands; one that cannot be read is left out.
    pub fn list(text: &'a str) -> Result<Vec<Self>, Malformed> {
        let (mut objects, mut cursor) = (None, Cursor::new(text));
        cursor.members(&mut |key, cursor| {
            if key != "items" {
                return cursor.skip();
            }
            if !cursor.null()? {
                let objects = objects.get_or_insert_with(Vec::new);
                cursor.elements(&mut |cursor| {
                    objects.extend(Self::read_in_place(cursor)?.and_then(Result::ok));
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        cursor.end()?;
        objects.map_or_else(|| cursor.expected("a list of objects"), Ok)
    }

    /// Reads an object while the text around it is read: another pass would cost as much as this one. `None` for
    /// `null`; one that cannot be read is passed over, with the reason.
    pub(crate) fn read_in_place(cursor: &mut Cursor<'a>) -> Read<Option<Result<Self, Malformed>>> {
        if cursor.null()? {
            return Ok(None);
        }
        let mut after = cursor.clone();
        Ok(Some(match Self::read(&mut after) {
            Ok(object) => Ok(Self { text: cursor.up_to(&after), ..object }),
            Err(error) => {
                cursor.value()?;
                Err(error)
            }
        }))
    }

    fn read(cursor: &mut Cursor<'a>) -> Read<Self> {
        let mut object = Self::default();
        cursor.members(&mut |key, cursor| {
            match key.as_ref() {
                "apiVersion" => object.api_version = cursor.word()?,
                "kind" => object.kind = cursor.word()?,
                "metadata" => object.metadata = Metadata::read(cursor)?,
                "spec" => object.spec = cursor.present()?,
                "status" => object.status = cursor.present()?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        Ok(object)
    }

    /// The whole object as text, as it stands in the request or the answer that it was read from.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The spec as text, to compare two of them without reading either.
    pub fn spec_text(&self) -> &'a str {
        self.spec.map_or("", Json::text)
    }

    /// The spec; an absent one reads as empty.
    pub fn spec(&self) -> Json<'a> {
        self.spec.unwrap_or(Json::new("{}"))
    }

    /// The status; an absent one reads as empty.
    pub fn status(&self) -> Json<'a> {
        self.status.unwrap_or(Json::new("{}"))
    }

    /// The object with the status of another, or without any: what a writer puts into `status` is dropped where it is a
    /// sub-resource.
    #[must_use]
    pub fn with_status_of(mut self, other: Option<&Self>) -> Self {
        self.status = other.and_then(|other| other.status);
        self
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
#[derive(Clone, Debug, Default)]
pub struct Metadata<'a> {
    /// The object's name.
    pub name: Cow<'a, str>,
    /// Its namespace, empty for cluster-wide kinds.
    pub namespace: Cow<'a, str>,
    /// Its identity: another object of the same name has another one.
    pub uid: Cow<'a, str>,
    /// Counts changes of the spec, and one more when deletion begins.
    pub generation: Option<i64>,
    deletion_timestamp: Option<Json<'a>>,
    finalizers: Vec<Cow<'a, str>>,
    labels: Option<Json<'a>>,
    annotations: Option<Json<'a>>,
    owner_references: Vec<OwnerReference<'a>>,
    managed_fields: Option<Json<'a>>,
}

impl<'a> Metadata<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Read<Self> {
        let mut metadata = Self::default();
        cursor.members(&mut |key, cursor| {
            match key.as_ref() {
                "name" => metadata.name = cursor.word()?,
                "namespace" => metadata.namespace = cursor.word()?,
                "uid" => metadata.uid = cursor.word()?,
                "generation" => metadata.generation = cursor.value()?.integer(&[]),
                "deletionTimestamp" => metadata.deletion_timestamp = cursor.present()?,
                "finalizers" => cursor.elements(&mut |cursor| {
                    metadata.finalizers.push(cursor.string()?);
                    Ok(())
                })?,
                "labels" => metadata.labels = cursor.present()?,
                "annotations" => metadata.annotations = cursor.present()?,
                "ownerReferences" => cursor.elements(&mut |cursor| {
                    metadata.owner_references.push(OwnerReference::read(cursor)?);
                    Ok(())
                })?,
                "managedFields" => metadata.managed_fields = cursor.present()?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        Ok(metadata)
    }

    /// Whether deletion has begun.
    pub fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// The finalizers that hold a deletion back.
    pub fn finalizers(&self) -> &[Cow<'a, str>] {
        &self.finalizers
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
        self.labels == other.labels && self.annotations == other.annotations
    }

    /// The owners: the garbage collector deletes an object whose owners are all gone.
    pub fn owner_references(&self) -> &[OwnerReference<'a>] {
        &self.owner_references
    }

    /// The reference to an owner of that uid, controller or not: the garbage collector follows both.
    pub fn owner_with_uid(&self, uid: &str) -> Option<&OwnerReference<'a>> {
        self.owner_references().iter().find(|owner| owner.uid == uid)
    }

    /// Who wrote which fields.
    pub fn managed_fields(&self) -> Vec<Json<'a>> {
        self.managed_fields.map(|entries| entries.items(&[])).unwrap_or_default()
    }
}

/// An entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerReference<'a> {
    /// The owner's `group/version`.
    pub api_version: Cow<'a, str>,
    /// The owner's kind.
    pub kind: Cow<'a, str>,
    /// The owner's name; it lives in the object's own namespace, or in none.
    pub name: Cow<'a, str>,
    /// The owner's identity. A reference to another uid is stale: the garbage collector takes the object.
    pub uid: Cow<'a, str>,
    /// Whether this owner is the one that manages the object.
    pub controller: Option<bool>,
}

impl<'a> OwnerReference<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Read<Self> {
        let mut owner = Self::default();
        cursor.members(&mut |key, cursor| {
            match key.as_ref() {
                "apiVersion" => owner.api_version = cursor.word()?,
                "kind" => owner.kind = cursor.word()?,
                "name" => owner.name = cursor.word()?,
                "uid" => owner.uid = cursor.word()?,
                "controller" => owner.controller = cursor.bool()?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        Ok(owner)
    }
}

/// The value of a label or annotation; what is not a string counts as absent.
fn string<'a>(map: Option<Json<'a>>, key: &str) -> Option<Cow<'a, str>> {
    // Most keys that rules ask for are not there; only an escaped spelling could hide one from a plain search.
    map.filter(|map| map.text().contains(key) || map.text().contains('\\'))?.string(&[key])
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
    fn a_list_leaves_out_what_is_no_object() {
        let names = |text| -> Option<Vec<String>> {
            let objects = Object::list(text).ok()?;
            Some(objects.iter().map(|object| object.metadata.name.to_string()).collect())
        };
        let list = r#"{"metadata":{},"items":[{"metadata":{"name":"a"}},3,{"metadata":[{}]},null,{"metadata":{"name":"b"}}],"x":1}"#;
        assert_eq!(names(list), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(names(r#"{"items":[]}"#), Some(Vec::new()));
        for text in ["", "{}", r#"{"items":null}"#, r#"{"items":{}}"#, r#"{"items":[{"a":}]}"#, r#"{"items":[]}}"#] {
            assert_eq!(names(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_string_counts_as_absent() {
        let object =
            Object::from_text(r#"{"metadata":{"labels":{"a":1},"annotations":[]}}"#).expect("it is well-formed");
        assert_eq!((object.metadata.label("a"), object.metadata.annotation("a")), (None, None));
    }
}
