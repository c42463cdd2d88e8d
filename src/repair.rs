//! Repairs: small edits of the object's own text, so that every field survives to the letter that this policy does not know.

use std::borrow::Cow;

use crate::json::{Json, quoted};

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
}

const OWNERS: &[&str] = &["metadata", "ownerReferences"];

/// The text of `new` after the edits; `old` is the object before the change. Applying them twice changes nothing more.
pub fn apply(edits: &[Edit], old: &str, new: &str) -> String {
    edits.iter().fold(new.to_owned(), |object, edit| edited(&object, old, edit))
}

fn edited(object: &str, old: &str, edit: &Edit) -> String {
    match edit {
        Edit::RemoveOwner { uid } => owners_edited(object, |owners| owners.retain(|owner| !is_owner(owner, uid))),
        Edit::AddOwner { uid, reference } => owners_edited(object, |owners| {
            if !owners.iter().any(|owner| is_owner(owner, uid)) {
                owners.push(reference);
            }
        }),
        Edit::Annotate { key, value } => put(object, &["metadata", "annotations", key], Some(&quoted(value))),
        Edit::KeepOld(paths) => paths
            .iter()
            .fold(object.to_owned(), |object, path| put(&object, path, Json::new(old).at(path).map(Json::text))),
        Edit::Set { path, value } => put(object, path, Some(value)),
    }
}

fn is_owner(owner: &str, uid: &str) -> bool {
    Json::new(owner).string(&["uid"]).as_deref() == Some(uid)
}

fn owners_edited<'o>(object: &'o str, edit: impl FnOnce(&mut Vec<&'o str>)) -> String {
    let mut owners = Json::new(object).items(OWNERS).into_iter().map(Json::text).collect();
    edit(&mut owners);
    let list = format!("[{}]", owners.join(","));
    put(object, OWNERS, Some(&list).filter(|_| !owners.is_empty()).map(String::as_str))
}

/// The object's text with another value at a path, or without it. What is no object on the way becomes one only when it is null or absent.
pub(crate) fn put(object: &str, path: &[&str], value: Option<&str>) -> String {
    let [name, rest @ ..] = path else { return value.unwrap_or("null").to_owned() };
    let Some(mut fields) = Json::new(if object == "null" { "{}" } else { object }).fields() else {
        return object.to_owned();
    };
    let before = fields.iter().find(|(key, _)| key == name).map_or("null", |(_, before)| before.text());
    if value.is_none() && before == "null" {
        fields.retain(|(key, _)| key != name);
        return object_text(&fields);
    }
    let after = (value.is_some() || !rest.is_empty()).then(|| put(before, rest, value));
    match (after.as_deref(), fields.iter_mut().find(|(key, _)| key == name)) {
        (Some(after), Some((_, field))) => *field = Json::new(after),
        (Some(after), None) => fields.push((Cow::Borrowed(name), Json::new(after))),
        (None, _) => fields.retain(|(key, _)| key != name),
    }
    object_text(&fields)
}

fn object_text(fields: &[(Cow<'_, str>, Json<'_>)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{}:{}", quoted(key), value.text())).collect();
    format!("{{{}}}", fields.join(","))
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
    fn annotations_are_quoted_and_odd_keys_survive() {
        let edits = [Edit::Annotate { key: "a", value: "\"\n".to_owned() }];
        let new = r#"{"met\u0061data":{"annotations":{"k\"ey":"v","a":"old"}},"z":1e400}"#;
        assert_eq!(applied(&edits, "{}", new), r#"{"metadata":{"annotations":{"k\"ey":"v","a":"\"\n"}},"z":1e400}"#);
    }
}
