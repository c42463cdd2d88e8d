//! Reading files: JSON and YAML, several documents in each, folders, standard input.
//!
//! Every document keeps its origin, so that whatever is wrong with it can be told with its place.

use std::fmt::{self, Display, Formatter};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::{fs, str};

use serde_json::{Deserializer, Value};
use tempfile::NamedTempFile;

use crate::fault::Fault;

/// Standard input's name on the command line.
pub const STDIN: &str = "-";

/// A text and what to call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as it was given, or `standard input`.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Where from.
    pub origin: Origin,
    /// Its content.
    pub value: Value,
}

/// A document of a source, and an item of it if it is a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source's name.
    pub source: String,
    /// The document's number, from 1; none if there is but one.
    pub document: Option<usize>,
    /// The list's item, from 1.
    pub item: Option<usize>,
}

impl Display for Origin {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)?;
        self.document.map_or(Ok(()), |number| write!(formatter, ", document {number}"))?;
        self.item.map_or(Ok(()), |number| write!(formatter, ", item {number}"))
    }
}

impl Source {
    /// Reads standard input; `what` it should bring is told where a person would have to type it.
    pub fn stdin(what: &str) -> Result<Self, Fault> {
        let name = "standard input".to_owned();
        let mut stdin = io::stdin().lock();
        if stdin.is_terminal() {
            let fault = Fault::new(format!("{what} would be read from standard input, which is a terminal"));
            return Err(fault.help("name files, or pipe something in; --help has examples"));
        }
        let mut bytes = Vec::new();
        stdin.read_to_end(&mut bytes).map_err(|error| unreadable(&name, &error))?;
        Self::new(name, bytes)
    }

    /// Reads a file.
    pub fn file(path: &Path) -> Result<Self, Fault> {
        let name = path.display().to_string();
        let bytes = fs::read(path).map_err(|error| unreadable(&name, &error))?;
        Self::new(name, bytes)
    }

    fn new(name: String, bytes: Vec<u8>) -> Result<Self, Fault> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { name, text }),
            Err(error) => {
                let reason = format!("it is not UTF-8 text (byte {})", error.utf8_error().valid_up_to());
                Err(Fault::new(format!("{name} cannot be read")).because(reason))
            }
        }
    }

    /// All documents; empty ones are left out.
    pub fn documents(&self) -> Result<Vec<Document>, Fault> {
        let values = values(&self.text).map_err(|reason| {
            Fault::new(format!("{} is neither JSON nor YAML", self.name))
                .because(reason)
                .help("correct it, or leave it out")
        })?;
        let several = values.len() > 1;
        let origin = |index| Origin { source: self.name.clone(), document: several.then_some(index + 1), item: None };
        let numbered = values.into_iter().enumerate();
        Ok(numbered
            .map(|(index, value)| Document { origin: origin(index), value })
            .filter(|it| !it.value.is_null())
            .collect())
    }
}

/// Writes a file in one go, so that nobody ever sees half of it.
pub fn write(path: &Path, content: &[u8]) -> Result<(), Fault> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = half_file(folder).and_then(|mut file| {
        file.write_all(content)?;
        Ok(file.persist(path)?)
    });
    written.map(drop).map_err(|error| {
        Fault::new(format!("{} cannot be written", path.display()))
            .because(error)
            .help("check the path and its permissions")
    })
}

fn half_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // As readable as any other file; the umask has the last word.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn unreadable(name: &str, error: &io::Error) -> Fault {
    Fault::new(format!("{name} cannot be read")).because(error).help("check the path and its permissions")
}

/// The path itself, or the JSON and YAML files below it in a stable order.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, Fault> {
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let entries =
        fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>());
    let mut entries = entries.map_err(|error| unreadable(&path.display().to_string(), &error))?;
    entries.retain(|entry| entry.is_dir() || is_document(entry));
    entries.sort();
    let below: Result<Vec<_>, Fault> = entries.iter().map(|entry| files(entry)).collect();
    Ok(below?.concat())
}

fn is_document(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["json", "yaml", "yml"].iter().any(|known| extension == *known))
}

fn values(text: &str) -> Result<Vec<Value>, String> {
    if !text.trim_start().starts_with(['{', '[']) {
        return yaml(text);
    }
    let json = Deserializer::from_str(text).into_iter::<Value>().collect::<Result<Vec<_>, _>>();
    // YAML's flow style starts like JSON; what is neither was most likely meant to be JSON.
    json.or_else(|error| yaml(text).map_err(|_| error.to_string()))
}

fn yaml(text: &str) -> Result<Vec<Value>, String> {
    // The budget is there for strangers' documents; a cluster's objects may be larger than it allows.
    let options = serde_saphyr::options! { budget: None, with_snippet: false };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.without_snippet().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Vec<(String, Value)>, Fault> {
        let source = Source { name: "input".into(), text: text.into() };
        let documents = source.documents()?;
        Ok(documents.into_iter().map(|document| (document.origin.to_string(), document.value)).collect())
    }

    #[test]
    fn json_and_yaml_are_told_apart_and_split() {
        let one = |value| Ok(vec![("input".to_owned(), value)]);
        assert_eq!(read(r#" {"a": 1}"#), one(json!({"a": 1})));
        assert_eq!(read("a: 1\n"), one(json!({"a": 1})));
        assert_eq!(read("{a: 1}"), one(json!({"a": 1})));
        let two =
            vec![("input, document 1".to_owned(), json!({"a": 1})), ("input, document 2".to_owned(), json!({"b": 2}))];
        assert_eq!(read("a: 1\n---\nb: 2\n").as_ref(), Ok(&two));
        assert_eq!(read("{\"a\": 1}\n{\"b\": 2}\n"), Ok(two));
    }

    #[test]
    fn empty_texts_hold_nothing() {
        for text in ["", "\n", "# nothing\n", "---\n"] {
            assert_eq!(read(text), Ok(Vec::new()), "{text:?}");
        }
    }

    #[test]
    fn what_is_neither_is_told_with_its_place() {
        let json = read("{\"a\": 1,\n\"b\"").unwrap_err().to_string();
        assert!(json.starts_with("error: input is neither JSON nor YAML: ") && json.contains("line 2"), "{json}");
        let yaml = read("a: 1\n  b: [\n").unwrap_err().to_string();
        assert!(yaml.contains("line "), "{yaml}");
    }
}
