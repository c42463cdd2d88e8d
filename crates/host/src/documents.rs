//! Reading documents: JSON and YAML, several in a text, files and folders. The one reader of requests, settings,
//! snapshots and sessions.
//!
//! Every document keeps its origin, so that an error can say which document of which file is meant, and where.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::de::DeserializeOwned;
use serde_json::{Deserializer, Value};

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Where from.
    pub origin: Origin,
    /// Its content.
    pub value: Value,
}

/// A document of a text, and an item of it if it is a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, or what the text is called.
    pub source: String,
    /// The document's number, and the line that it starts at, both from 1; none if there is but one.
    pub document: Option<(usize, usize)>,
    /// The list's item, from 1.
    pub item: Option<usize>,
}

impl Display for Origin {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)?;
        self.document.map_or(Ok(()), |(number, line)| write!(formatter, ", document {number} (line {line})"))?;
        self.item.map_or(Ok(()), |number| write!(formatter, ", item {number}"))
    }
}

/// A document that is neither JSON nor YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {reason}{}", at(*position))]
pub struct SyntaxError {
    /// The document.
    pub origin: Origin,
    /// The line and column in the text, from 1.
    pub position: Option<(usize, usize)>,
    /// What the parser says, without the place.
    pub reason: String,
}

/// A place, in brackets.
pub fn at(position: Option<(usize, usize)>) -> String {
    position.map(|(line, column)| format!(" (line {line}, column {column})")).unwrap_or_default()
}

/// The path itself, or the JSON and YAML files below it in a stable order. The error has the path that cannot be read.
///
/// # Errors
/// A folder cannot be read.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let failed = |cause| (path.to_path_buf(), cause);
    let entries: io::Result<Vec<_>> = fs::read_dir(path).map_err(failed)?.map(|entry| Ok(entry?.path())).collect();
    let mut entries = entries.map_err(failed)?;
    entries.retain(|entry| entry.is_dir() || is_document(entry));
    entries.sort();
    let below: Result<Vec<_>, _> = entries.iter().map(|entry| files(entry)).collect();
    Ok(below?.concat())
}

fn is_document(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["json", "yaml", "yml"].iter().any(|known| extension == *known))
}

/// All documents of a text; empty ones are left out.
///
/// # Errors
/// A document is neither JSON nor YAML.
pub fn read(source: &str, text: &str) -> Result<Vec<Document>, SyntaxError> {
    let read = if is_json(text) { json(text) } else { yaml(text) };
    let origin = |part: &Part, several: bool| Origin {
        source: source.to_owned(),
        document: several.then_some((part.number, part.line)),
        item: None,
    };
    match read {
        Ok(values) => {
            let several = values.len() > 1;
            let document = |(part, value)| Document { origin: origin(&part, several), value };
            Ok(values.into_iter().map(document).filter(|document| !document.value.is_null()).collect())
        }
        Err(Unreadable { part, position, reason }) => {
            let several = part.number > 1 || part.is_followed;
            Err(SyntaxError { origin: origin(&part, several), position, reason })
        }
    }
}

/// Reads one YAML document as a type of its own.
///
/// # Errors
/// It is no YAML, or of another shape.
pub fn of_yaml<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    // The budget is there for strangers' documents; a cluster's objects may be larger than it allows.
    let options = serde_saphyr::options! { budget: None, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options)
}

/// Which document of a text.
#[derive(Debug, Clone, Copy)]
struct Part {
    number: usize,
    line: usize,
    is_followed: bool,
}

struct Unreadable {
    part: Part,
    position: Option<(usize, usize)>,
    reason: String,
}

/// YAML's flow style also starts with a brace, but seldom goes on with a quote. What is meant as JSON is not read as
/// YAML, which would take `{"a": }` for a null.
fn is_json(text: &str) -> bool {
    let object = text.trim_start().trim_start_matches(|letter: char| letter == '[' || letter.is_whitespace());
    object.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with(['"', '}']))
}

fn json(text: &str) -> Result<Vec<(Part, Value)>, Unreadable> {
    let mut values = Deserializer::from_str(text).into_iter::<Value>();
    let (mut read, mut line, mut counted) = (Vec::new(), 1, 0);
    loop {
        let start = next_start(text, values.byte_offset());
        line += newlines(text, counted, start);
        counted = start;
        let part = Part { number: read.len() + 1, line, is_followed: false };
        match values.next() {
            None => return Ok(read),
            Some(Ok(value)) => read.push((part, value)),
            Some(Err(error)) => {
                let position = Some((error.line(), error.column()));
                return Err(Unreadable { part, position, reason: bare(&error.to_string()) });
            }
        }
    }
}

/// Where the first thing after an offset starts.
fn next_start(text: &str, offset: usize) -> usize {
    let rest = text.get(offset..).unwrap_or_default();
    offset + rest.len() - rest.trim_start().len()
}

fn newlines(text: &str, from: usize, to: usize) -> usize {
    text.get(from..to).unwrap_or_default().matches('\n').count()
}

fn yaml(text: &str) -> Result<Vec<(Part, Value)>, Unreadable> {
    let pieces = split(text);
    let count = pieces.len();
    let read = |(index, (line, text)): (usize, (usize, &str))| {
        let part = Part { number: index + 1, line, is_followed: index + 1 < count };
        of_yaml(text).map(|value| (part, value)).map_err(|error| unreadable(part, &error))
    };
    pieces.into_iter().enumerate().map(read).collect()
}

fn unreadable(part: Part, error: &serde_saphyr::Error) -> Unreadable {
    let position = error.location().and_then(|at| {
        let (line, column) = (usize::try_from(at.line()).ok()?, usize::try_from(at.column()).ok()?);
        Some((part.line + line - 1, column))
    });
    Unreadable { part, position, reason: bare(&error.without_snippet().to_string()) }
}

/// The reason without its place, which a parser counts from where it started.
fn bare(reason: &str) -> String {
    reason.split(" at line ").next().unwrap_or(reason).into()
}

/// Splits a YAML stream at its `---` lines, each part with the line that it starts at. They cannot stand inside of a
/// document, where text is indented.
fn split(text: &str) -> Vec<(usize, &str)> {
    let (mut parts, mut start, mut start_line, mut offset) = (Vec::new(), 0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            parts.push((start_line, text.get(start..offset).unwrap_or_default()));
            // What follows the dashes belongs to the new document.
            (start, start_line) = (offset + 3, index + 1);
        }
        offset += line.len();
    }
    parts.push((start_line, text.get(start..).unwrap_or_default()));
    parts.retain(|(_, text)| !is_blank(text));
    parts
}

fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "...")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(text: &str) -> Vec<(String, Value)> {
        let documents = read("input", text).unwrap_or_else(|error| panic!("{error}"));
        documents.into_iter().map(|document| (document.origin.to_string(), document.value)).collect()
    }

    #[test]
    fn json_and_yaml_are_distinguished_and_split() {
        let one = |value| vec![("input".to_owned(), value)];
        assert_eq!(values(r#" {"a": 1}"#), one(json!({"a": 1})));
        assert_eq!(values("a: 1\n"), one(json!({"a": 1})));
        assert_eq!(values("{a: 1}"), one(json!({"a": 1})));
        assert_eq!(values("[1, a]"), one(json!([1, "a"])));
        assert_eq!(values(r#"[{"a": 1}]"#), one(json!([{"a": 1}])));
        let two = |line| {
            let second = format!("input, document 2 (line {line})");
            vec![("input, document 1 (line 1)".to_owned(), json!({"a": 1})), (second, json!({"b": 2}))]
        };
        assert_eq!(values("a: 1\n---\nb: 2\n"), two(2));
        assert_eq!(values("{\"a\": 1}\n\n{\"b\": 2}\n"), two(3));
    }

    #[test]
    fn empty_texts_hold_nothing() {
        for text in ["", "\n", "# nothing\n", "---\n"] {
            assert_eq!(values(text), Vec::new(), "{text:?}");
        }
    }

    #[test]
    fn what_is_neither_is_named_with_its_place() {
        let error = |text: &str| read("input", text).unwrap_err().to_string();
        assert!(error("{\"a\": 1,\n\"b\"").ends_with("(line 2, column 3)"), "{}", error("{\"a\": 1,\n\"b\""));
        assert!(error("{\"a\": }").starts_with("input: expected value"), "{}", error("{\"a\": }"));
        let second = error("a: 1\n---\nb: [\n");
        assert!(second.starts_with("input, document 2 (line 2): ") && second.contains("(line "), "{second}");
        let first = error("b: [\n---\na: 1\n");
        assert!(first.starts_with("input, document 1 (line 1): "), "{first}");
    }
}
