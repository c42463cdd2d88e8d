//! `crates/reading` on any text, beside a full JSON parser.

use std::fmt;

use autoscaler_guard_reading::{Fields, Json, Object, Payload, Request, put};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// The members of an object, in their order, doubled ones too.
struct Members<'t>(Vec<(String, &'t str)>);

impl<'de: 't, 't> Deserialize<'de> for Members<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Collect).map(Members)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Vec<(String, &'de str)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
            members.push((key, value.get()));
        }
        Ok(members)
    }
}

/// Reads the input as everything that can be read.
///
/// # Panics
/// When this reader and `serde_json` disagree.
pub fn reading(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let ours = Json::parse(text).map(Json::text);
    let theirs = serde_json::from_str::<&RawValue>(text).map(RawValue::get);
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
        (Err(_), Err(_)) => {}
        _ => panic!("ours {ours:?}, theirs {theirs:?}"),
    }
    let object = Object::from_text(text);
    let read = [Payload::from_text(text).is_ok(), Request::from_text(text).is_ok(), object.is_ok()];
    assert!(theirs.is_ok() || read == [false; 3], "read what is no JSON");
    // None of these may care whether it is JSON.
    let _ = (Json::new(text).at(&["metadata", "name"]), Json::new(text).items(&[]), Fields::of(text));
    put(text, &["a", "b"], "1");
    let Ok(text) = theirs else { return };
    if let Ok(object) = object {
        names(&object, text);
    }
    members(text);
}

/// What is read of the metadata is what stands there.
fn names(object: &Object<'_>, text: &str) {
    // With a key twice, any of the two may count.
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    if text.matches("\"metadata\"").count() > 1 || text.matches("\"name\"").count() > 1 || text.contains('\\') {
        return;
    }
    assert_eq!(object.metadata.name, value["metadata"]["name"].as_str().unwrap_or_default());
}

/// Taking an object apart and writing it again, and setting a field.
fn members(text: &str) {
    let fields = Fields::of(text);
    if text == "null" {
        assert!(fields.is_some_and(|fields| fields.is_empty()));
        return;
    }
    let Ok(Members(theirs)) = serde_json::from_str::<Members<'_>>(text) else {
        assert!(fields.is_none(), "fields of what is no object, or has keys that are no text");
        return;
    };
    let fields = fields.expect("an object has fields");
    let again = fields.text();
    let Members(again) = serde_json::from_str(&again).expect("it is an object again");
    assert_eq!(theirs, again);
    for (key, value) in &theirs {
        let first = theirs.iter().find(|(other, _)| other == key).map(|(_, value)| *value);
        assert_eq!(Some(fields.get(key)), first);
        assert_eq!(Json::new(text).at(&[key]).map(Json::text), first.filter(|value| *value != "null"));
        let after = put(text, &[key], "[7]");
        assert_eq!(Json::new(&after).at(&[key]).map(Json::text), Some("[7]"), "instead of {value}");
        let Members(after) = serde_json::from_str(&after).expect("it is an object still");
        let others = |members: &[(String, &str)]| -> Vec<String> {
            members.iter().filter(|(other, _)| other != key).map(|(_, value)| (*value).to_owned()).collect()
        };
        assert_eq!(others(&after), others(&theirs));
        // Large objects would take the square of their size.
        if theirs.len() > 20 {
            break;
        }
    }
}
