//! Reading a snapshot's files: every document, or item of a list, is an object.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::SnapshotError;
use crate::documents::{self, Document, Origin, SyntaxError};

/// Reads all objects of the files, and of the YAML and JSON files in the folders.
pub(super) fn paths<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Document>, SnapshotError> {
    let mut objects = Vec::new();
    for path in paths {
        let files = documents::files(path.as_ref());
        for file in files.map_err(|(path, cause)| SnapshotError::Unreadable { path, cause })? {
            let content =
                fs::read_to_string(&file).map_err(|cause| SnapshotError::Unreadable { path: file.clone(), cause })?;
            objects.extend(text(&file.display().to_string(), &content)?);
        }
    }
    Ok(objects)
}

/// Reads all objects of a text.
pub(super) fn text(source: &str, text: &str) -> Result<Vec<Document>, SnapshotError> {
    let syntax = |SyntaxError { origin, position, reason }| SnapshotError::Syntax { origin, position, reason };
    Ok(documents::read(source, text).map_err(syntax)?.into_iter().flat_map(items).collect())
}

/// The items of a list, which may leave `apiVersion` and `kind` to it; or the object itself.
fn items(mut document: Document) -> Vec<Document> {
    let Some(kind) = document.value["kind"].as_str().and_then(|kind| kind.strip_suffix("List")) else {
        return vec![document];
    };
    let defaults = (!kind.is_empty()).then(|| (document.value["apiVersion"].clone(), Value::from(kind)));
    let Some(Value::Array(items)) = document.value.get_mut("items").map(Value::take) else { return vec![document] };
    let origin = |index| Origin { item: Some(index + 1), ..document.origin.clone() };
    let fill = |(index, mut value): (usize, Value)| {
        if let (Some((api_version, kind)), Value::Object(fields)) = (&defaults, &mut value) {
            fields.entry("apiVersion").or_insert_with(|| api_version.clone());
            fields.entry("kind").or_insert_with(|| kind.clone());
        }
        Document { origin: origin(index), value }
    };
    items.into_iter().enumerate().map(fill).collect()
}
