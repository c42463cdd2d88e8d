//! `settings`: which settings there are, as a JSON Schema, and whether a file of settings is right.

mod reference;

use std::path::Path;

use autoscaler_guard::{Settings, SettingsError};
pub use reference::reference;
use serde::Serialize;
use serde_json::Value;

use crate::answer::Answer;
use crate::arguments::{CheckOptions, CheckOutput, SettingsCommand};
use crate::documents::{Source, is_stdin};
use crate::fault::Fault;
use crate::paint::{self, BAD, GOOD};

/// The exit code if anything is wrong with any settings.
const WRONG: u8 = 1;

/// Shows the schema, or checks files.
pub fn run(command: &SettingsCommand) -> Result<Answer, Fault> {
    match command {
        SettingsCommand::Schema => Ok(Answer::fine(schema())),
        SettingsCommand::Check(options) => check(options),
    }
}

/// The schema as it is printed and kept in `docs/settings.schema.json`.
pub fn schema() -> String {
    format!("{:#}\n", autoscaler_guard::settings_schema())
}

fn check(options: &CheckOptions) -> Result<Answer, Fault> {
    let checked: Result<Vec<Checked>, Fault> = options.files.iter().map(|file| Checked::file(file)).collect();
    let checked = checked?;
    let text = match options.output {
        CheckOutput::Human => checked.iter().map(Checked::worded).collect(),
        CheckOutput::Json => {
            let text = serde_json::to_string_pretty(&checked);
            text.map_err(|error| Fault::new("the answer cannot be written as JSON").because(error))? + "\n"
        }
    };
    let code = if checked.iter().all(|file| file.valid) { 0 } else { WRONG };
    Ok(Answer { text, code })
}

#[derive(Serialize)]
struct Checked {
    file: String,
    valid: bool,
    errors: Vec<Wrong>,
}

#[derive(Serialize)]
struct Wrong {
    path: String,
    problem: String,
}

impl Checked {
    fn file(path: &Path) -> Result<Self, Fault> {
        let source = if is_stdin(path) { Source::stdin("settings")? } else { Source::file(path)? };
        let settings = value(&source)?;
        let mut errors = Settings::from_json(&settings.to_string()).err().unwrap_or_default();
        // The order of the file is lost.
        errors.sort_by(|one, other| one.path.cmp(&other.path));
        let wrong = |SettingsError { path, problem }| Wrong { path, problem };
        Ok(Self { file: source.name, valid: errors.is_empty(), errors: errors.into_iter().map(wrong).collect() })
    }

    fn worded(&self) -> String {
        if self.valid {
            return format!("{}: {}\n", self.file, paint::paint(GOOD, "valid"));
        }
        let count = paint::paint(BAD, paint::count(self.errors.len(), "error"));
        let errors: Vec<String> =
            self.errors.iter().map(|wrong| format!("  {}: {}", wrong.path, wrong.problem)).collect();
        format!("{}: {count}\n{}\n", self.file, errors.join("\n"))
    }
}

/// The settings in a source: bare, or in a policy manifest.
pub fn value(source: &Source) -> Result<Value, Fault> {
    let mut documents = source.documents()?.into_iter().map(|document| document.value);
    let first = documents.next().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    match documents.count() {
        0 => Ok(of_manifest(first)),
        more => {
            let reason = format!("there are {} documents in it, and it is not clear which to take", more + 1);
            Err(Fault::new(format!("{} cannot be used as settings", source.name)).because(reason))
        }
    }
}

/// What is applied to the cluster carries the settings in its spec.
fn of_manifest(mut document: Value) -> Value {
    let is_policy = document["kind"].as_str().is_some_and(|kind| kind.ends_with("AdmissionPolicy"));
    let settings = if is_policy { document.pointer_mut("/spec/settings") } else { None };
    match settings {
        Some(settings) => settings.take(),
        None if is_policy => Value::Object(serde_json::Map::new()),
        None => document,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(text: &str) -> Source {
        Source { name: "settings.yaml".into(), text: text.into() }
    }

    #[test]
    fn settings_come_bare_or_in_a_manifest() {
        let expected = json!({"repair": false});
        for text in
            ["repair: false", "{\"repair\": false}", "kind: ClusterAdmissionPolicy\nspec: {settings: {repair: false}}"]
        {
            assert_eq!(value(&source(text)), Ok(expected.clone()), "{text}");
        }
        for text in ["", "kind: AdmissionPolicy\nspec: {}", "{}"] {
            assert_eq!(value(&source(text)), Ok(json!({})), "{text}");
        }
        assert!(value(&source("a: 1\n---\nb: 2\n")).is_err());
    }
}
