//! Repairs: small edits of the object's own text, so that every field survives to the letter that this policy does not
//! know.

use autoscaler_guard_reading::{Fields, Json, put, quoted};

/// One change to the object of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Drop the references to this owner.
    RemoveOwner {
        /// The owner's uid.
        uid: String,
    },
    /// Add a reference to this owner, unless there is one.
    AddOwner {
        /// The owner's uid.
        uid: String,
        /// The reference, as JSON text.
        reference: String,
    },
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
        /// Its new value, as JSON text.
        value: String,
    },
    /// Remove a field, where it is there.
    Remove(&'static [&'static str]),
}

/// The text of `new` after the edits; `old` is the object before the change. Applying them twice changes nothing more.
///
/// Object and metadata are taken apart once and put together once: they are large.
pub fn apply(edits: &[Edit], old: &str, new: &str) -> String {
    let Some(mut object) = Fields::of(new) else { return new.to_owned() };
    let metadata = object.get("metadata").to_owned();
    let Some(mut metadata) = Fields::of(&metadata) else { return new.to_owned() };
    for edit in edits {
        match edit {
            Edit::RemoveOwner { uid } => {
                edit_owners(&mut metadata, |owners| owners.retain(|owner| !is_owner(owner, uid)));
            }
            Edit::AddOwner { uid, reference } => edit_owners(&mut metadata, |owners| {
                if !owners.iter().any(|owner| is_owner(owner, uid)) {
                    owners.push(reference.clone());
                }
            }),
            Edit::Annotate { key, value } => {
                let annotations = put(metadata.get("annotations"), &[key], &quoted(value));
                metadata.set("annotations", Some(annotations));
            }
            Edit::KeepOld(paths) => paths.iter().for_each(|path| keep_old(path, old, &mut object, &mut metadata)),
            Edit::Set { path, value } => {
                if let [name, rest @ ..] = path {
                    let after = put(object.get(name), rest, value);
                    object.set(name, Some(after));
                }
            }
            Edit::Remove(path) => remove(&mut object, path),
        }
    }
    if object.get("metadata") != "null" || !metadata.is_empty() {
        object.set("metadata", Some(metadata.text()));
    }
    object.text()
}

fn remove(object: &mut Fields<'_>, path: &[&'static str]) {
    let [name, rest @ ..] = path else { return };
    let parent = object.get(name).to_owned();
    let inner = Fields::of(&parent).filter(|inner| !rest.is_empty() && !inner.is_empty());
    match inner {
        Some(mut inner) => {
            remove(&mut inner, rest);
            object.set(name, Some(inner.text()));
        }
        None if rest.is_empty() => object.set(name, None),
        None => {}
    }
}

fn keep_old(path: &[&'static str], old: &str, object: &mut Fields<'_>, metadata: &mut Fields<'_>) {
    let before = Json::new(old).at(path).map(|before| before.text().to_owned());
    match path {
        ["metadata", name] => metadata.set(name, before),
        [name] => object.set(name, before),
        _ => {}
    }
}

fn edit_owners(metadata: &mut Fields<'_>, edit: impl FnOnce(&mut Vec<String>)) {
    let owners = Json::new(metadata.get("ownerReferences")).items(&[]);
    let mut owners: Vec<String> = owners.into_iter().map(|owner| owner.text().to_owned()).collect();
    edit(&mut owners);
    let list = format!("[{}]", owners.join(","));
    metadata.set("ownerReferences", Some(list).filter(|_| !owners.is_empty()));
}

fn is_owner(owner: &str, uid: &str) -> bool {
    Json::new(owner).string(&["uid"]).as_deref() == Some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(edits: &[Edit], old: &str, new: &str) -> String {
        let once = apply(edits, old, new);
        assert_eq!(once, apply(edits, old, &once), "a repair must be stable");
        once
    }

    #[test]
    fn drops_one_owner_and_leaves_the_others() {
        let edits = [Edit::RemoveOwner { uid: "a".to_owned() }];
        let two = r#"{"metadata":{"ownerReferences":[{"uid":"a"},{"uid":"b","unknown":1.50}]}}"#;
        assert_eq!(applied(&edits, "{}", two), r#"{"metadata":{"ownerReferences":[{"uid":"b","unknown":1.50}]}}"#);
        let last = r#"{"metadata":{"name":"web","ownerReferences":[{"uid":"a"}]}}"#;
        assert_eq!(applied(&edits, "{}", last), r#"{"metadata":{"name":"web"}}"#);
        assert_eq!(applied(&edits, "{}", r#"{"metadata":{"name":"web"}}"#), r#"{"metadata":{"name":"web"}}"#);
    }

    #[test]
    fn adds_an_owner_once() {
        let edits = [Edit::AddOwner { uid: "a".to_owned(), reference: r#"{"uid":"a"}"#.to_owned() }];
        assert_eq!(applied(&edits, "{}", r#"{"metadata":{}}"#), r#"{"metadata":{"ownerReferences":[{"uid":"a"}]}}"#);
    }

    #[test]
    fn keeps_old_parts_and_their_absence() {
        let old = r#"{"metadata":{"labels":{"a":"b"}},"spec":{"x":1}}"#;
        let new = r#"{"metadata":{"labels":{"c":"d"},"annotations":{"e":"f"},"resourceVersion":"2"},"spec":{"x":2}}"#;
        let edits = [Edit::KeepOld(&[
            &["spec"],
            &["metadata", "labels"],
            &["metadata", "annotations"],
            &["metadata", "finalizers"],
        ])];
        assert_eq!(
            applied(&edits, old, new),
            r#"{"metadata":{"labels":{"a":"b"},"resourceVersion":"2"},"spec":{"x":1}}"#
        );
    }

    #[test]
    fn sets_a_field_through_missing_and_null_parents() {
        let edits = [Edit::Set { path: &["spec", "provider", "kubernetes"], value: "1".to_owned() }];
        for new in ["{}", r#"{"spec":null}"#, r#"{"spec":{"provider":{}}}"#] {
            assert_eq!(applied(&edits, "{}", new), r#"{"spec":{"provider":{"kubernetes":1}}}"#);
        }
        assert_eq!(applied(&edits, "{}", r#"{"spec":"text"}"#), r#"{"spec":"text"}"#);
    }

    #[test]
    fn removes_a_field_and_nothing_else() {
        let edits = [Edit::Remove(&["spec", "provider", "replicas"])];
        for (new, after) in [
            (
                r#"{"spec":{"provider":{"replicas":3,"name":"a"},"x":1.50}}"#,
                r#"{"spec":{"provider":{"name":"a"},"x":1.50}}"#,
            ),
            (r#"{"spec":{"provider":{"replicas":3}}}"#, r#"{"spec":{"provider":{}}}"#),
            (r#"{"spec":{"provider":{}}}"#, r#"{"spec":{"provider":{}}}"#),
            (r#"{"spec":null}"#, r#"{"spec":null}"#),
            (r#"{"spec":"text"}"#, r#"{"spec":"text"}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(applied(&edits, "{}", new), after);
        }
    }

    #[test]
    fn annotations_are_quoted_and_odd_keys_survive() {
        let edits = [Edit::Annotate { key: "a", value: "\"\n".to_owned() }];
        let new = r#"{"met\u0061data":{"annotations":{"k\"ey":"v","a":"old"}},"z":1e400}"#;
        assert_eq!(applied(&edits, "{}", new), r#"{"metadata":{"annotations":{"k\"ey":"v","a":"\"\n"}},"z":1e400}"#);
    }
}
