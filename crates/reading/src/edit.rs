//! Another text of an object: fields are exchanged, every other one stays to the letter.

use std::borrow::Cow;

use crate::value::Json;
use crate::write::Writer;

/// An object taken apart into its fields, each still text.
#[derive(Clone, Debug)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Fields<'a> {
    /// Takes an object's text apart; `null` is an object without fields, anything else is none.
    pub fn of(object: &'a str) -> Option<Self> {
        let fields = Json::new(if object == "null" { "{}" } else { object }).fields()?;
        Some(Self(fields.into_iter().map(|(key, value)| (key, Cow::Borrowed(value.text()))).collect()))
    }

    /// Whether there is no field at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A field's text; an absent one is `null`.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("null", |(_, value)| value)
    }

    /// Sets a field, or removes it.
    pub fn set(&mut self, name: &'a str, value: Option<String>) {
        let place = self.0.iter().position(|(key, _)| key == name);
        match (place.and_then(|place| self.0.get_mut(place)), value) {
            (Some((_, field)), Some(value)) => *field = Cow::Owned(value),
            (None, Some(value)) => self.0.push((Cow::Borrowed(name), Cow::Owned(value))),
            (_, None) => self.0.retain(|(key, _)| key != name),
        }
    }

    /// The object's text.
    pub fn text(&self) -> String {
        self.0.iter().fold(Writer::default(), |writer, (key, value)| writer.json(key, value)).text()
    }
}

/// An object's text with another value at a path. What is no object on the way becomes one only when it is null or
/// absent.
pub fn put(object: &str, path: &[&str], value: &str) -> String {
    let [name, rest @ ..] = path else { return value.to_owned() };
    let Some(mut fields) = Fields::of(object) else { return object.to_owned() };
    let after = put(fields.get(name), rest, value);
    fields.set(name, Some(after));
    fields.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_a_field_through_missing_and_null_parents() {
        for object in ["{}", "null", r#"{"spec":null}"#, r#"{"spec":{"provider":{}}}"#] {
            assert_eq!(
                put(object, &["spec", "provider", "kubernetes"], "1"),
                r#"{"spec":{"provider":{"kubernetes":1}}}"#
            );
        }
        assert_eq!(put(r#"{"spec":"text"}"#, &["spec", "provider"], "1"), r#"{"spec":"text"}"#);
    }

    #[test]
    fn odd_keys_and_numbers_survive() {
        let object = r#"{"met\u0061":1.50,"k\"ey":"v","z":1e400}"#;
        assert_eq!(put(object, &["meta"], "2"), r#"{"meta":2,"k\"ey":"v","z":1e400}"#);
        let mut fields = Fields::of(r#"{"a":1}"#).expect("it is an object");
        fields.set("a", None);
        assert_eq!((fields.get("a"), fields.text()), ("null", "{}".to_owned()));
    }
}
