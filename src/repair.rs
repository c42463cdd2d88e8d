//! Repairs: small edits of the raw object, so that every field survives that this policy does not know.

use serde_json::{Map, Value, json};

/// One change to the object of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Drop the references to this owner.
    RemoveOwner {
        /// The owner's uid.
        uid: String,
    },
    /// Add a reference to this owner, unless there is one.
    AddOwner(Value),
    /// Set an annotation.
    Annotate {
        /// Its key.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// Take these parts from the object as it was, absent ones included.
    KeepOld(&'static [&'static [&'static str]]),
    /// Set a field, making the objects on its path.
    Set {
        /// The field's path.
        path: &'static [&'static str],
        /// Its new value.
        value: Value,
    },
}

/// Applies edits to `new`; `old` is the object before the change. Applying them twice changes nothing more.
pub fn apply(edits: &[Edit], old: Option<&Value>, new: &mut Value) {
    for edit in edits {
        match edit {
            Edit::RemoveOwner { uid } => remove_owner(new, uid),
            Edit::AddOwner(owner) => add_owner(new, owner),
            Edit::Annotate { key, value } => set(new, &["metadata", "annotations", key], json!(value)),
            Edit::KeepOld(paths) => paths.iter().for_each(|path| keep_old(path, old, new)),
            Edit::Set { path, value } => set(new, path, value.clone()),
        }
    }
}

fn remove_owner(object: &mut Value, uid: &str) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(owners) = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut) else { return };
    owners.retain(|owner| owner.get("uid").and_then(Value::as_str) != Some(uid));
    if owners.is_empty() {
        metadata.remove("ownerReferences");
    }
}

fn add_owner(object: &mut Value, owner: &Value) {
    let owners = entry(object, &["metadata", "ownerReferences"], || json!([]));
    if let Some(owners) = owners.and_then(Value::as_array_mut)
        && !owners.iter().any(|known| known.get("uid") == owner.get("uid"))
    {
        owners.push(owner.clone());
    }
}

fn keep_old(path: &[&str], old: Option<&Value>, new: &mut Value) {
    let before = path.iter().try_fold(old.unwrap_or(&Value::Null), |value, field| value.get(field));
    match (before, path) {
        (Some(before), _) => set(new, path, before.clone()),
        (None, [parents @ .., field]) => {
            let parent = parents.iter().try_fold(new, |value, field| value.get_mut(*field));
            if let Some(parent) = parent.and_then(Value::as_object_mut) {
                parent.remove(*field);
            }
        }
        (None, []) => {}
    }
}

fn set(object: &mut Value, path: &[&str], value: Value) {
    if let Some(field) = entry(object, path, || Value::Null) {
        *field = value;
    }
}

/// The field at a path, made when it is not there; nothing where a parent is something else than an object.
fn entry<'v>(object: &'v mut Value, path: &[&str], default: impl FnOnce() -> Value) -> Option<&'v mut Value> {
    let [parents @ .., field] = path else { return Some(object) };
    let mut parent = object;
    for name in parents {
        parent = fields(parent)?.entry(*name).or_insert(Value::Null);
    }
    Some(fields(parent)?.entry(*field).or_insert_with(default))
}

fn fields(value: &mut Value) -> Option<&mut Map<String, Value>> {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(edits: &[Edit], old: &Value, new: &Value) -> Value {
        let mut once = new.clone();
        apply(edits, Some(old), &mut once);
        let mut twice = once.clone();
        apply(edits, Some(old), &mut twice);
        assert_eq!(once, twice, "a repair must be stable");
        once
    }

    #[test]
    fn drops_one_owner_and_leaves_the_others() {
        let new = json!({"metadata": {"ownerReferences": [{"uid": "a"}, {"uid": "b", "unknown": 1}]}});
        let edits = [Edit::RemoveOwner { uid: "a".to_owned() }];
        assert_eq!(applied(&edits, &Value::Null, &new), json!({"metadata": {"ownerReferences": [{"uid": "b", "unknown": 1}]}}));
        let last = json!({"metadata": {"name": "web", "ownerReferences": [{"uid": "a"}]}});
        assert_eq!(applied(&edits, &Value::Null, &last), json!({"metadata": {"name": "web"}}));
    }

    #[test]
    fn adds_an_owner_once() {
        let owner = json!({"uid": "a"});
        let edits = [Edit::AddOwner(owner.clone())];
        assert_eq!(applied(&edits, &Value::Null, &json!({"metadata": {}})), json!({"metadata": {"ownerReferences": [owner]}}));
    }

    #[test]
    fn keeps_old_parts_and_their_absence() {
        let old = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}});
        let new = json!({"metadata": {"labels": {"c": "d"}, "annotations": {"e": "f"}, "resourceVersion": "2"}, "spec": {"x": 2}});
        let edits = [Edit::KeepOld(&[&["spec"], &["metadata", "labels"], &["metadata", "annotations"]])];
        assert_eq!(applied(&edits, &old, &new), json!({"metadata": {"labels": {"a": "b"}, "resourceVersion": "2"}, "spec": {"x": 1}}));
    }

    #[test]
    fn sets_a_field_through_missing_and_null_parents() {
        let edits = [Edit::Set { path: &["spec", "provider", "kubernetes"], value: json!(1) }];
        for new in [json!({}), json!({"spec": null}), json!({"spec": {"provider": {}}})] {
            assert_eq!(applied(&edits, &Value::Null, &new), json!({"spec": {"provider": {"kubernetes": 1}}}));
        }
        let odd = json!({"spec": "text"});
        assert_eq!(applied(&edits, &Value::Null, &odd), odd);
    }
}
