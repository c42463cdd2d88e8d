//! JSON text, written. An encoder that is generic in what it writes costs the module a copy for each type.

/// A string as JSON text.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            control if control < ' ' => {
                let digit = |value| char::from_digit(value, 16).unwrap_or_default();
                let code = u32::from(control);
                quoted.extend(['\\', 'u', '0', '0', digit(code / 16), digit(code % 16)]);
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// An object as JSON text, field after field; what is not given is `null`.
#[derive(Debug, Default)]
pub struct Writer(String);

impl Writer {
    /// A field whose value is JSON text already.
    #[must_use]
    pub fn json(mut self, name: &str, value: &str) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&quoted(name));
        self.0.push(':');
        self.0.push_str(value);
        self
    }

    /// A string.
    #[must_use]
    pub fn string(self, name: &str, value: &str) -> Self {
        self.json(name, &quoted(value))
    }

    /// A string, or `null`.
    #[must_use]
    pub fn optional(self, name: &str, value: Option<&str>) -> Self {
        self.json(name, &value.map_or_else(|| "null".to_owned(), quoted))
    }

    /// `true` or `false`.
    #[must_use]
    pub fn flag(self, name: &str, value: bool) -> Self {
        self.json(name, if value { "true" } else { "false" })
    }

    /// A list of strings; `null` for an empty one.
    #[must_use]
    pub fn list(self, name: &str, values: &mut dyn Iterator<Item = &str>) -> Self {
        let mut list = String::new();
        for value in values {
            list.push(if list.is_empty() { '[' } else { ',' });
            list.push_str(&quoted(value));
        }
        if list.is_empty() {
            return self.json(name, "null");
        }
        list.push(']');
        self.json(name, &list)
    }

    /// The object's text.
    pub fn text(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn writes_objects() {
        let writer = Writer::default().string("a", "x").flag("b", true).optional("c", None).json("d", "[1]");
        let text = writer.list("e", &mut ["x", "y\""].into_iter()).list("f", &mut std::iter::empty()).text();
        assert_eq!(text, r#"{"a":"x","b":true,"c":null,"d":[1],"e":["x","y\""],"f":null}"#);
        assert_eq!(Writer::default().text(), "{}");
    }

    proptest! {
        #[test]
        fn strings_are_what_serde_json_reads(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&quoted(&text)).ok(), Some(text));
        }

        #[test]
        fn control_characters_too(text in "[\\x00-\\x7f]{0,9}") {
            prop_assert_eq!(serde_json::from_str::<String>(&quoted(&text)).ok(), Some(text));
        }
    }
}
