//! How much of an object a policy gets to see: field masks, and what lists leave out.
//!
//! A mask keeps the fields it names, as dotted paths, and everything below them; arrays are transparent. `apiVersion`,
//! `kind` and `metadata` are never pruned. Lists drop `managedFields` and the `last-applied-configuration` annotation.
//! All of it happens while the object is written out, so that nothing is copied.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use crate::wording;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The fields to keep, as a tree; a leaf keeps all below it.
#[derive(Debug, Default)]
pub(crate) struct Mask {
    children: BTreeMap<String, Mask>,
}

impl Mask {
    pub(crate) fn new(paths: Option<&BTreeSet<String>>) -> Self {
        let mut root = Self::default();
        for path in paths.into_iter().flatten() {
            path.split('.').fold(&mut root, |node, part| node.children.entry(part.into()).or_default());
        }
        root
    }

    fn keeps_all(&self) -> bool {
        self.children.is_empty()
    }
}

/// An object as a lookup answers with it.
pub(crate) struct View<'a> {
    pub(crate) object: &'a Value,
    pub(crate) mask: &'a Mask,
    pub(crate) place: Place,
}

/// Where an object stands in an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On its own.
    Alone,
    /// In a list.
    Listed,
    /// In a list whose items carry no `apiVersion` and `kind`.
    ListedUntyped,
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Value::Object(fields) = self.object else { return self.object.serialize(serializer) };
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("apiVersion" | "kind", _) if self.place == Place::ListedUntyped => {}
                ("metadata", Value::Object(metadata)) if self.place != Place::Alone => {
                    map.serialize_entry(key, &ListedMetadata(metadata))?;
                }
                ("apiVersion" | "kind" | "metadata", _) => map.serialize_entry(key, value)?,
                _ => self.mask.serialize_kept(&mut map, key, value)?,
            }
        }
        map.end()
    }
}

/// A list as the answer to a lookup.
pub(crate) fn write_list<'a>(
    api_version: &str,
    kind: &str,
    items: impl Iterator<Item = View<'a>>,
) -> Result<Vec<u8>, String> {
    let items: Result<Vec<String>, _> = items.map(|item| serde_json::to_string(&item)).collect();
    let items = items.map_err(|error| wording::failure(&error.to_string()))?;
    Ok(join_list(api_version, kind, items.iter().map(String::as_str)))
}

/// The same, of items that are JSON text already.
pub(crate) fn join_list<'a>(api_version: &str, kind: &str, items: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let head = json!({"apiVersion": api_version, "kind": format!("{kind}List"), "metadata": {}});
    let mut answer = head.to_string().into_bytes();
    answer.pop();
    answer.extend_from_slice(br#","items":["#);
    for (index, item) in items.enumerate() {
        if index > 0 {
            answer.push(b',');
        }
        answer.extend_from_slice(item.as_bytes());
    }
    answer.extend_from_slice(b"]}");
    answer
}

/// An object as the answer to a lookup.
pub(crate) fn write(answer: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(answer).map_err(|error| wording::failure(&error.to_string()))
}

impl Mask {
    fn serialize_kept<M: SerializeMap>(&self, map: &mut M, key: &str, value: &Value) -> Result<(), M::Error> {
        if self.keeps_all() {
            return map.serialize_entry(key, value);
        }
        match self.children.get(key) {
            Some(mask) => map.serialize_entry(key, &Masked { value, mask }),
            None => Ok(()),
        }
    }
}

struct Masked<'a> {
    value: &'a Value,
    mask: &'a Mask,
}

impl Serialize for Masked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mask = self.mask;
        match self.value {
            Value::Object(fields) if !mask.keeps_all() => {
                let mut map = serializer.serialize_map(None)?;
                fields.iter().try_for_each(|(key, value)| mask.serialize_kept(&mut map, key, value))?;
                map.end()
            }
            Value::Array(items) if !mask.keeps_all() => {
                serializer.collect_seq(items.iter().map(|value| Masked { value, mask }))
            }
            value => value.serialize(serializer),
        }
    }
}

struct ListedMetadata<'a>(&'a Map<String, Value>);

impl Serialize for ListedMetadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kept = self.0.iter().filter(|(key, _)| *key != "managedFields");
        serializer.collect_map(kept.map(|(key, value)| (key, ListedField { key, value })))
    }
}

struct ListedField<'a> {
    key: &'a str,
    value: &'a Value,
}

impl Serialize for ListedField<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Object(annotations) if self.key == "annotations" => {
                serializer.collect_map(annotations.iter().filter(|(key, _)| *key != LAST_APPLIED))
            }
            value => value.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(object: &Value, masks: &[&str], place: Place) -> Value {
        let masks = masks.iter().map(ToString::to_string).collect();
        let mask = Mask::new(Some(&masks));
        serde_json::to_value(View { object, mask: &mask, place }).unwrap()
    }

    fn deployment() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "managedFields": [{}], "annotations": {LAST_APPLIED: "{}", "kept": "yes"}},
            "spec": {"replicas": 3, "template": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "ports": [1]}]}},
            "status": {"replicas": 3},
        })
    }

    #[test]
    fn a_mask_keeps_what_it_names_through_arrays_and_always_the_metadata() {
        let object = deployment();
        let seen = view(&object, &["spec.template.containers.name", "spec.replicas.below", "missing"], Place::Alone);
        assert_eq!(
            seen,
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": object["metadata"],
                "spec": {"replicas": 3, "template": {"containers": [{"name": "a"}, {"name": "b"}]}},
            })
        );
    }

    #[test]
    fn a_shorter_path_does_not_widen_a_longer_one() {
        let object = json!({"spec": {"a": 1, "b": 2}});
        assert_eq!(view(&object, &["spec", "spec.a"], Place::Alone), json!({"spec": {"a": 1}}));
    }

    #[test]
    fn no_mask_keeps_everything() {
        assert_eq!(view(&deployment(), &[], Place::Alone), deployment());
    }

    #[test]
    fn lists_drop_managed_fields_and_the_last_applied_configuration() {
        let seen = view(&deployment(), &["status"], Place::Listed);
        assert_eq!(
            seen,
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "annotations": {"kept": "yes"}}, "status": {"replicas": 3},
            })
        );
        assert!(view(&deployment(), &[], Place::ListedUntyped).get("kind").is_none());
    }
}
