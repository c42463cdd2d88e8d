//! The JSON Patch between two texts of an object.
//!
//! A policy changes little of an object, and what it leaves alone it leaves alone to the letter. So texts are compared,
//! and only what differs is read into trees, which take many times the memory of a text. API servers send no key twice.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation, jsonptr::PointerBuf};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};

/// The operations that make one text of the other: those of [`json_patch::diff`] between their trees.
pub(crate) fn between(from: &str, to: &str) -> serde_json::Result<Patch> {
    let mut operations = Vec::new();
    compare(&mut PointerBuf::new(), from, to, &mut operations)?;
    Ok(Patch(operations))
}

fn compare(at: &mut PointerBuf, from: &str, to: &str, into: &mut Vec<PatchOperation>) -> serde_json::Result<()> {
    if from == to {
        return Ok(());
    }
    if !is_object(from) || !is_object(to) {
        let (from, to): (Value, Value) = (serde_json::from_str(from)?, serde_json::from_str(to)?);
        if from.is_array() && to.is_array() {
            for mut operation in json_patch::diff(&from, &to).0 {
                below(at, &mut operation);
                into.push(operation);
            }
        } else if from != to {
            into.push(PatchOperation::Replace(ReplaceOperation { path: at.clone(), value: to }));
        }
        return Ok(());
    }
    let (Members(before), Members(after)) = (serde_json::from_str(from)?, serde_json::from_str(to)?);
    let (before, after) = differing(&before, &after);
    let (before, after) = (by_key(before), by_key(after));
    for (key, text) in &before {
        at.push_back(*key);
        match after.get(key) {
            Some(other) => compare(at, text.get(), other.get(), into)?,
            None => into.push(PatchOperation::Remove(RemoveOperation { path: at.clone() })),
        }
        at.pop_back();
    }
    for (key, text) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
        at.push_back(*key);
        let value = serde_json::from_str(text.get())?;
        into.push(PatchOperation::Add(AddOperation { path: at.clone(), value }));
        at.pop_back();
    }
    Ok(())
}

type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// The members of an object, in their order.
struct Members<'a>(Vec<Member<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;

        impl<'de> Visitor<'de> for Of {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Key(key), text)) = map.next_entry()? {
                    members.push((key, text));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Of)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Both without what they begin and end with alike, so that looking for a key costs no more than the change is large.
fn differing<'m, 'a>(before: &'m [Member<'a>], after: &'m [Member<'a>]) -> (&'m [Member<'a>], &'m [Member<'a>]) {
    let same = |(one, other): &(&Member<'_>, &Member<'_>)| one.0 == other.0 && one.1.get() == other.1.get();
    let start = before.iter().zip(after).take_while(same).count();
    let (before, after) = (&before[start..], &after[start..]);
    let end = before.iter().rev().zip(after.iter().rev()).take_while(same).count();
    (&before[..before.len() - end], &after[..after.len() - end])
}

fn by_key<'m>(members: &'m [Member<'m>]) -> BTreeMap<&'m str, &'m RawValue> {
    members.iter().map(|(key, text)| (key.as_ref(), *text)).collect()
}

fn is_object(text: &str) -> bool {
    text.starts_with('{')
}

fn below(at: &PointerBuf, operation: &mut PatchOperation) {
    let path = match operation {
        PatchOperation::Add(add) => &mut add.path,
        PatchOperation::Remove(remove) => &mut remove.path,
        PatchOperation::Replace(replace) => &mut replace.path,
        // A difference is made of nothing else.
        PatchOperation::Move(_) | PatchOperation::Copy(_) | PatchOperation::Test(_) => return,
    };
    *path = at.concat(path);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(from: &Value, to: &Value) {
        let patch = between(&from.to_string(), &to.to_string()).unwrap();
        let mut made = from.clone();
        json_patch::patch(&mut made, &patch).unwrap();
        assert_eq!(&made, to, "{patch}");
        let sorted = |patch: &Patch| {
            let mut operations: Vec<String> = patch.iter().map(|one| serde_json::to_string(one).unwrap()).collect();
            operations.sort();
            operations
        };
        assert_eq!(sorted(&patch), sorted(&json_patch::diff(from, to)));
    }

    #[test]
    fn a_patch_is_that_of_the_trees() {
        let object = json!({"a": 1, "b": {"c": [1, 2, {"d": 3}], "e/f~g": null}, "h": "x"});
        for other in [
            json!({"a": 1, "b": {"c": [1, 2, {"d": 3}], "e/f~g": null}, "h": "x"}),
            json!({"a": 2, "b": {"c": [1, 2, {"d": 4}], "e/f~g": "y"}, "h": "x"}),
            json!({"b": {"c": [2], "new": {"x": 1}}, "h": {"not": "text"}}),
            json!({"a": [1], "b": {}, "i": 1}),
            json!({}),
        ] {
            check(&object, &other);
            check(&other, &object);
        }
        check(&json!([1, 2]), &json!([2]));
        check(&json!(1), &json!({"a": 1}));
    }

    #[test]
    fn white_space_and_spelling_are_no_difference() {
        assert_eq!(between(r#"{"a": [1], "b":"x"}"#, r#"{"a":[ 1],"b":"\u0078"}"#).unwrap(), Patch(Vec::new()));
    }
}
