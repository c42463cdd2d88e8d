//! Manifests and clusters out of files, each object with its place.

use std::path::PathBuf;

use serde_json::Value;

use crate::documents::{self, Source, is_stdin};
use crate::fault::Fault;

/// A manifest, and where it stands.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The object.
    pub value: Value,
    /// The file.
    pub file: String,
    /// The line of its `kind`, from 1.
    pub line: usize,
}

/// Reads manifests; `what` names them where standard input would have to bring them.
pub fn manifests(paths: &[PathBuf], what: &str) -> Result<Vec<Manifest>, Fault> {
    let mut found = Vec::new();
    for path in paths {
        if is_stdin(path) {
            found.extend(of_source(&Source::stdin(what)?)?);
            continue;
        }
        for file in documents::files(path)? {
            found.extend(of_source(&Source::file(&file)?)?);
        }
    }
    Ok(found)
}

/// Reads the manifests of a text.
pub fn of_source(source: &Source) -> Result<Vec<Manifest>, Fault> {
    let mut found = Vec::new();
    let lines = lines(&source.text);
    for document in source.documents()? {
        let origin = document.origin.to_string();
        let mut values = Vec::new();
        flatten(document.value, &mut values);
        for value in values {
            let name = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            // What has a name only once it is created is new each time, and no autoscaler aims at it; a kustomization
            // is no object at all.
            let is_unnamed = !name("/metadata/generateName").is_empty() && name("/metadata/name").is_empty();
            if is_unnamed || name("/apiVersion").starts_with("kustomize.config.k8s.io/") {
                continue;
            }
            let (kind, name) = (name("/kind"), name("/metadata/name"));
            if kind.is_empty() || name.is_empty() {
                return Err(Fault::new(format!("{origin} is no Kubernetes object"))
                    .because("it has no kind, or no metadata.name")
                    .help("correct it, or leave it out"));
            }
            let line = lines.iter().find(|place| place.is(&kind, &name)).map_or(1, |place| place.line);
            found.push(Manifest { value, file: source.name.clone(), line });
        }
    }
    Ok(found)
}

/// Lists and arrays are taken apart.
fn flatten(mut value: Value, found: &mut Vec<Value>) {
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match &mut value {
        Value::Array(items) => std::mem::take(items).into_iter().for_each(|item| flatten(item, found)),
        Value::Object(fields) if is_list && fields.get("items").is_none_or(Value::is_null) => {
            // A list of nothing; what else is called so has a name.
            if fields.get("metadata").is_some_and(|metadata| !metadata["name"].is_null()) {
                found.push(value);
            }
        }
        Value::Object(fields) if is_list && fields.get("items").is_some_and(Value::is_array) => {
            flatten(fields.remove("items").unwrap_or_default(), found);
        }
        Value::Null => {}
        _ => found.push(value),
    }
}

/// Where an object of a kind and some name stands.
struct Place {
    kind: String,
    names: Vec<String>,
    line: usize,
}

impl Place {
    fn is(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.names.iter().any(|other| other == name)
    }
}

/// Every line `kind: X`, with the names that stand before the next document.
fn lines(text: &str) -> Vec<Place> {
    let word = |line: &str, key: &str| {
        let line = line.trim_start_matches([' ', '-', '{']).trim();
        let rest = line.strip_prefix(key).or_else(|| line.strip_prefix(&format!("\"{key}\"")))?;
        let value = rest.trim_start().strip_prefix(':')?.trim().trim_end_matches(',').trim_matches(['"', '\'']);
        Some(value.to_owned())
    };
    let mut places: Vec<Place> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut first = 0;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("---") {
            names.clear();
            first = places.len();
        }
        if let Some(kind) = word(line, "kind") {
            places.push(Place { kind, names: names.clone(), line: index + 1 });
        }
        if let Some(name) = word(line, "name") {
            places.iter_mut().skip(first).for_each(|place| place.names.push(name.clone()));
            names.push(name);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_keep_their_line() {
        let text = "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n---\nkind: List\nitems:\n- kind: ConfigMap\n  metadata:\n    name: b\n";
        let source = Source { name: "all.yaml".to_owned(), text: text.to_owned() };
        let places: Vec<usize> = of_source(&source).unwrap().iter().map(|manifest| manifest.line).collect();
        assert_eq!(places, [3, 9]);
    }

    #[test]
    fn what_is_no_object_is_unusable() {
        let source = Source { name: "values.yaml".to_owned(), text: "replicas: 3\n".to_owned() };
        assert!(of_source(&source).unwrap_err().to_string().contains("values.yaml is no Kubernetes object"));
    }
}
