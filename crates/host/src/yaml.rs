//! Writing YAML, the way kubectl prints it: objects as lines, each with its depth, and scalars for templates. The one
//! writer of differences, sessions and manifests.
//!
//! A library would write the same text, but not say which lines belong to which.

use serde_json::{Map, Value};

/// A line of YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How deep it is in the object; the lines around it of lesser depth say where it belongs.
    pub depth: usize,
    /// The line, indented.
    pub text: String,
}

/// Writes a value; keys are sorted, so that equal values make equal lines.
pub fn lines(value: &Value) -> Vec<Line> {
    let mut writer = Writer::default();
    writer.value(Place::default(), value);
    writer.lines
}

/// Writes a value as a document.
pub fn document(value: &Value) -> String {
    lines(value).into_iter().map(|line| line.text + "\n").collect()
}

/// Where a value starts.
#[derive(Debug, Clone, Default)]
struct Place {
    depth: usize,
    /// What the first line starts with: spaces, and a dash for each list that the value is the first of.
    lead: String,
    /// How far the lines after the first are indented.
    indent: usize,
}

impl Place {
    fn new(depth: usize, indent: usize) -> Self {
        Self { depth, lead: " ".repeat(indent), indent }
    }
}

#[derive(Debug, Default)]
struct Writer {
    lines: Vec<Line>,
}

impl Writer {
    fn value(&mut self, place: Place, value: &Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() => self.object(place, fields),
            Value::Array(items) if !items.is_empty() => self.array(place, items),
            Value::String(string) if is_block(string) => self.block(place.depth, &place.lead, place.indent, string),
            scalar => self.line(place.depth, place.lead + &inline(scalar)),
        }
    }

    /// A text of several lines, each on one of its own.
    fn block(&mut self, depth: usize, lead: &str, indent: usize, string: &str) {
        self.line(depth, format!("{lead}|"));
        for line in string.lines() {
            let indent = if line.is_empty() { 0 } else { indent + 2 };
            self.line(depth + 1, format!("{:indent$}{line}", ""));
        }
    }

    fn object(&mut self, first: Place, fields: &Map<String, Value>) {
        let mut sorted: Vec<_> = fields.iter().collect();
        sorted.sort_by_key(|(key, _)| *key);
        // The line with the dash stands for its item: the item's other fields are below it.
        let below = first.depth + usize::from(first.lead.ends_with("- "));
        let others = Place::new(below, first.indent);
        let places = std::iter::once(first).chain(std::iter::repeat(others));
        for (place, (key, value)) in places.zip(sorted) {
            self.field(place, key, value);
        }
    }

    fn field(&mut self, place: Place, key: &str, value: &Value) {
        let Place { depth, lead, indent } = place;
        let key = scalar(key);
        let below = depth + 1 + usize::from(lead.ends_with("- "));
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                self.line(depth, format!("{lead}{key}:"));
                self.object(Place::new(below, indent + 2), fields);
            }
            Value::Array(items) if !items.is_empty() => {
                self.line(depth, format!("{lead}{key}:"));
                self.array(Place::new(below, indent), items);
            }
            Value::String(string) if is_block(string) => self.block(depth, &format!("{lead}{key}: "), indent, string),
            scalar => self.line(depth, format!("{lead}{key}: {}", inline(scalar))),
        }
    }

    fn array(&mut self, first: Place, items: &[Value]) {
        let others = Place::new(first.depth, first.indent);
        let places = std::iter::once(first).chain(std::iter::repeat(others));
        for (place, item) in places.zip(items) {
            let Place { depth, lead, indent } = place;
            self.value(Place { depth, lead: lead + "- ", indent: indent + 2 }, item);
        }
    }

    fn line(&mut self, depth: usize, text: String) {
        self.lines.push(Line { depth, text });
    }
}

/// A scalar, or something empty.
fn inline(value: &Value) -> String {
    match value {
        Value::String(string) => scalar(string),
        other => other.to_string(),
    }
}

/// A text on one line: plain where YAML reads it as the same string; in single quotes where it has quotes of its own,
/// as JSON has; else as JSON would have it, which YAML understands.
pub fn scalar(string: &str) -> String {
    if is_plain(string) {
        string.to_owned()
    } else if string.contains(['"', '\\']) && !string.contains(is_escaped) {
        format!("'{}'", string.replace('\'', "''"))
    } else {
        printable(&Value::from(string).to_string())
    }
}

/// What YAML has in no text but escaped.
fn is_escaped(letter: char) -> bool {
    letter.is_control() || letter == '\u{feff}'
}

/// Escapes what JSON may have in a string, but YAML not.
fn printable(json: &str) -> String {
    let letter = |letter: char| match letter {
        '\u{7f}'..='\u{9f}' | '\u{feff}' => format!("\\u{:04x}", u32::from(letter)),
        letter => letter.to_string(),
    };
    json.chars().map(letter).collect()
}

/// Whether a text can be written line by line, and reads back as the same: its last line ends, and the first begins
/// with no space, by which YAML would measure the others.
fn is_block(string: &str) -> bool {
    let ends = string.ends_with('\n') && !string.ends_with("\n\n") && string.len() > 1;
    ends && !string.starts_with([' ', '\n', '\t']) && !string.contains(|letter| letter != '\n' && is_escaped(letter))
}

fn is_plain(string: &str) -> bool {
    let starts_plain = string.starts_with(|first: char| first.is_alphanumeric() || matches!(first, '/' | '_' | '.'));
    let ends_plain = !string.ends_with([':', ' ']);
    let reads_as_text = !string.contains(": ") && !string.contains(" #") && !string.contains(is_escaped);
    starts_plain && ends_plain && reads_as_text && !is_another_type(string)
}

/// Whether YAML 1.1 or 1.2 takes a plain text for a number, a boolean, a date or null.
fn is_another_type(string: &str) -> bool {
    let word = string.to_ascii_lowercase();
    let is_word =
        ["null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf"].contains(&word.as_str());
    let numeric = |character: char| character.is_ascii_digit() || "+-.:_eETZ ".contains(character);
    let is_number = string.starts_with("0x") || (string.starts_with(starts_number) && string.chars().all(numeric));
    is_word || is_number
}

fn starts_number(first: char) -> bool {
    first.is_ascii_digit() || first == '.'
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(value: &Value) -> String {
        let lines: Vec<String> =
            lines(value).iter().map(|line| [&line.depth.to_string(), " ", &line.text, "\n"].concat()).collect();
        lines.concat()
    }

    #[test]
    fn objects_and_lists_nest_as_kubectl_prints_them() {
        let object = json!({"spec": {"metrics": [{"type": "Resource", "resource": {"name": "cpu"}}, 1], "empty": {}, "none": []}, "kind": "X"});
        let expected = "\
0 kind: X
0 spec:
1   empty: {}
1   metrics:
2   - resource:
4       name: cpu
3     type: Resource
2   - 1
1   none: []
";
        assert_eq!(written(&object), expected);
        assert_eq!(written(&json!([[1, 2], [{"a": [3]}]])), "0 - - 1\n0   - 2\n0 - - a:\n2     - 3\n");
    }

    #[test]
    fn texts_of_several_lines_have_a_line_each() {
        let expected = "0 - a: |\n1     b\n1 \n1     c\n";
        assert_eq!(written(&json!([{"a": "b\n\nc\n"}])), expected);
    }

    #[test]
    fn strings_are_quoted_where_yaml_would_read_something_else() {
        for plain in ["web", "apps/v1", "25%", "keda-hpa-web", "a b", "docker.io/x:1.2", "62f7a3a1-38c5-4b67"] {
            assert_eq!(scalar(plain), plain);
        }
        for quoted in [
            "",
            "1",
            "1.5",
            "true",
            "No",
            "null",
            "2026-11-21T17:09:40Z",
            "a: b",
            "a #b",
            "*",
            "- a",
            "a\nb",
            "0x1f",
            "{}",
            "a:",
        ] {
            assert!(scalar(quoted).starts_with('"'), "{quoted}");
        }
        assert_eq!(scalar(r#"{"a": "it's"}"#), r#"'{"a": "it''s"}'"#);
        assert_eq!(scalar("a\u{85}\"b"), r#""a\u0085\"b""#);
    }

    #[test]
    fn what_is_written_reads_back_as_the_same() {
        let object = json!({
            "a": ["1", 1, null, true, "true", {"b": "x: y", "c": [[], {}]}], "d e": "2026-11-21", "f": {"g.h/i": "l\nm", "j": 1.5},
            "k": ["a\n\n  b: c\n", {"l": "#m\n"}, " n\n", "\n", "o\n\n"], "p": "{\"q\": \"it's\"}", "r": "\u{85}\u{feff}\"",
        });
        let text = document(&object);
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, object, "{text}");
    }
}
