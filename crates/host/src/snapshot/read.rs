//! Reading a snapshot's files: YAML and JSON, several documents, lists, folders.
//!
//! Every document keeps its origin, so that an error can say which document of which file is meant, and where.

use std::{
    fmt::{self, Display, Formatter},
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Deserializer, Value};

use super::SnapshotError;

/// An object and where it comes from.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) origin: Origin,
    pub(super) object: Value,
}

/// A document of a file, and an item of it if it is a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, or what the text was called.
    pub source: String,
    /// The document's number in it, from 1.
    pub document: usize,
    /// The line that the document starts at, from 1.
    pub line: usize,
    /// The number of the list's item, from 1.
    pub item: Option<usize>,
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {} (line {})", self.source, self.document, self.line)?;
        self.item.map_or(Ok(()), |item| write!(f, ", item {item}"))
    }
}

/// Reads all objects of the files, and of the YAML and JSON files in the folders.
pub(super) fn paths<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Document>, SnapshotError> {
    let mut documents = Vec::new();
    for path in paths {
        let path = path.as_ref();
        for file in files(path).map_err(|(path, cause)| SnapshotError::Unreadable { path, cause })? {
            let content =
                fs::read_to_string(&file).map_err(|cause| SnapshotError::Unreadable { path: file.clone(), cause })?;
            documents.extend(text(&file.display().to_string(), &content)?);
        }
    }
    Ok(documents)
}

type Unreadable = (PathBuf, io::Error);

/// The path itself, or the files below it in a stable order.
fn files(path: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let failed = |cause| (path.to_path_buf(), cause);
    let entries: io::Result<Vec<_>> = fs::read_dir(path).map_err(failed)?.map(|entry| Ok(entry?.path())).collect();
    let mut entries = entries.map_err(failed)?;
    entries.retain(|entry| entry.is_dir() || is_manifest(entry));
    entries.sort();
    let below: Result<Vec<_>, _> = entries.iter().map(|entry| files(entry)).collect();
    Ok(below?.concat())
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
}

/// Reads all objects of a text.
pub(super) fn text(source: &str, text: &str) -> Result<Vec<Document>, SnapshotError> {
    let documents = if is_json(text) { json(source, text) } else { yaml(source, text) }?;
    Ok(documents.into_iter().flat_map(items).collect())
}

/// YAML's flow style also starts with a brace, but seldom goes on with a quote.
fn is_json(text: &str) -> bool {
    text.trim_start().strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with(['"', '}']))
}

fn json(source: &str, text: &str) -> Result<Vec<Document>, SnapshotError> {
    let mut values = Deserializer::from_str(text).into_iter::<Value>();
    let (mut documents, mut line, mut counted) = (Vec::new(), 1, 0);
    loop {
        let start = next_start(text, values.byte_offset());
        line += newlines(text, counted, start);
        counted = start;
        let origin = Origin { source: source.into(), document: documents.len() + 1, line, item: None };
        match values.next() {
            None => return Ok(documents),
            Some(Ok(object)) => documents.push(Document { origin, object }),
            Some(Err(error)) => {
                let position = Some((error.line(), error.column()));
                return Err(SnapshotError::Syntax { origin, position, reason: bare(&error.to_string()) });
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

fn yaml(source: &str, text: &str) -> Result<Vec<Document>, SnapshotError> {
    let mut documents = Vec::new();
    for (index, part) in split(text).into_iter().enumerate() {
        let origin = Origin { source: source.into(), document: index + 1, line: part.line, item: None };
        match parse(part.text) {
            Ok(Value::Null) => {}
            Ok(object) => documents.push(Document { origin, object }),
            Err(error) => return Err(syntax(origin, &error)),
        }
    }
    Ok(documents)
}

fn parse(text: &str) -> Result<Value, serde_saphyr::Error> {
    // The budget is there for strangers' documents; a cluster's listing is larger than it allows.
    let options = serde_saphyr::options! { budget: None, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options)
}

fn syntax(origin: Origin, error: &serde_saphyr::Error) -> SnapshotError {
    let position = error.location().and_then(|at| {
        let (line, column) = (usize::try_from(at.line()).ok()?, usize::try_from(at.column()).ok()?);
        Some((origin.line + line - 1, column))
    });
    SnapshotError::Syntax { origin, position, reason: bare(&error.without_snippet().to_string()) }
}

/// The reason without its place, which a parser counts from where it started.
fn bare(reason: &str) -> String {
    reason.split(" at line ").next().unwrap_or(reason).into()
}

struct Part<'a> {
    line: usize,
    text: &'a str,
}

/// Splits a YAML stream at its `---` lines. They cannot stand inside of a document, where text is indented.
fn split(text: &str) -> Vec<Part<'_>> {
    let (mut parts, mut start, mut start_line, mut offset) = (Vec::new(), 0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            parts.push(Part { line: start_line, text: &text[start..offset] });
            // What follows the dashes belongs to the new document.
            (start, start_line) = (offset + 3, index + 1);
        }
        offset += line.len();
    }
    parts.push(Part { line: start_line, text: &text[start..] });
    parts.retain(|part| !is_blank(part.text));
    parts
}

fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "...")
}

/// The items of a list, which may leave `apiVersion` and `kind` to it; or the object itself.
fn items(mut document: Document) -> Vec<Document> {
    let Some(kind) = document.object["kind"].as_str().and_then(|kind| kind.strip_suffix("List")) else {
        return vec![document];
    };
    let defaults = (!kind.is_empty()).then(|| (document.object["apiVersion"].clone(), Value::from(kind)));
    let Some(Value::Array(items)) = document.object.get_mut("items").map(Value::take) else { return vec![document] };
    let origin = |index| Origin { item: Some(index + 1), ..document.origin.clone() };
    let fill = |(index, mut object): (usize, Value)| {
        if let (Some((api_version, kind)), Value::Object(fields)) = (&defaults, &mut object) {
            fields.entry("apiVersion").or_insert_with(|| api_version.clone());
            fields.entry("kind").or_insert_with(|| kind.clone());
        }
        Document { origin: origin(index), object }
    };
    items.into_iter().enumerate().map(fill).collect()
}
