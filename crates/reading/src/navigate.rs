//! JSON that stays text until a field of it is asked for.
//!
//! Rules read two or three fields of objects that have hundreds. A typed view per kind would put a parser per type into
//! the module; these few functions find a path in the text instead. What is not of the expected type counts as absent:
//! the API server refuses such objects by their schema, before or after this policy.

use std::borrow::Cow;

use crate::cursor::{Cursor, Malformed};
use crate::value::Json;

impl<'a> Json<'a> {
    /// The value that a text is, white space around it left away; an error where there is none, or more than one.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(text);
        let value = cursor.value()?;
        cursor.end().map(|()| value)
    }

    /// The value at a path of fields; `null` counts as absent.
    pub fn at(self, path: &[&str]) -> Option<Json<'a>> {
        path.iter().try_fold(self, |value, field| value.field(field)).filter(|value| value.text() != "null")
    }

    fn field(self, name: &str) -> Option<Json<'a>> {
        let mut found = None;
        // It ends in an error as soon as the field is found: the rest of the object is not worth reading.
        let _ = Cursor::new(self.text()).members(&mut |key, cursor| {
            if key != name {
                return cursor.skip();
            }
            found = Some(cursor.value()?);
            cursor.expected("nothing more")
        });
        found
    }

    /// The string at a path.
    pub fn string(self, path: &[&str]) -> Option<Cow<'a, str>> {
        self.at(path).and_then(|value| Cursor::new(value.text()).string().ok())
    }

    /// The string at a path, unless it is empty.
    pub fn word(self, path: &[&str]) -> Option<Cow<'a, str>> {
        self.string(path).filter(|text| !text.is_empty())
    }

    /// The whole number at a path.
    pub fn integer(self, path: &[&str]) -> Option<i64> {
        self.at(path).and_then(|value| value.text().parse().ok())
    }

    /// Whether `true` stands at a path.
    pub fn is_true(self, path: &[&str]) -> bool {
        self.at(path).is_some_and(|value| value.text() == "true")
    }

    /// The fields of an object, in their order; `None` where there is no object.
    pub fn fields(self) -> Option<Vec<(Cow<'a, str>, Json<'a>)>> {
        let mut fields = Vec::new();
        let mut cursor = Cursor::new(self.text());
        if cursor.null().ok()? {
            return None;
        }
        let members = cursor.members(&mut |key, cursor| {
            fields.push((key, cursor.value()?));
            Ok(())
        });
        members.ok().map(|()| fields)
    }

    /// The items of the list at a path; none where there is no list.
    pub fn items(self, path: &[&str]) -> Vec<Json<'a>> {
        let mut items = Vec::new();
        let list = self.at(path).map(|list| {
            Cursor::new(list.text()).elements(&mut |cursor| {
                items.push(cursor.value()?);
                Ok(())
            })
        });
        if matches!(list, Some(Ok(()))) { items } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_paths_and_types() {
        let json = Json::new(r#"{"a":{"b":"x\ny","n":-3,"t":true,"e":""},"l":[{"k":1},2],"z":null,"\u0065sc":"yes"}"#);
        assert_eq!(json.string(&["a", "b"]).as_deref(), Some("x\ny"));
        assert_eq!(
            (json.integer(&["a", "n"]), json.is_true(&["a", "t"]), json.word(&["a", "e"])),
            (Some(-3), true, None)
        );
        assert_eq!(json.items(&["l"]).len(), 2);
        assert_eq!(json.items(&["l"]).first().and_then(|item| item.integer(&["k"])), Some(1));
        assert_eq!(json.string(&["esc"]).as_deref(), Some("yes"));
        assert!(json.at(&["z"]).is_none() && json.at(&["a", "missing"]).is_none() && json.at(&["l", "k"]).is_none());
    }

    #[test]
    fn the_wrong_type_counts_as_absent() {
        let json = Json::new(r#"{"a":1,"b":"1","c":{}}"#);
        assert_eq!((json.string(&["a"]), json.integer(&["b"]), json.is_true(&["b"])), (None, None, false));
        assert!(json.items(&["c"]).is_empty() && json.string(&["a", "b"]).is_none());
        assert!(Json::new("not json").at(&["not"]).is_none());
    }

    #[test]
    fn of_a_doubled_key_the_first_counts() {
        assert_eq!(Json::new(r#"{"a":1,"a":2}"#).integer(&["a"]), Some(1));
    }
}
