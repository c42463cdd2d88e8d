//! `settings`: which settings there are, as a JSON Schema, and whether a file of settings is right.

mod reference;

use autoscaler_guard::{Settings, SettingsError};
pub use reference::reference;
use serde::Serialize;
use serde_json::Value;

use crate::answer::Answer;
use crate::arguments::{CheckOptions, CheckOutput, SettingsCommand};
use crate::documents::{self, Document, Source, is_stdin};
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
    let (mut checked, mut faults) = (Vec::new(), Vec::new());
    let files: Vec<_> = options.files.iter().chain(&options.filename).collect();
    for path in &files {
        let sources = if is_stdin(path) {
            vec![Source::stdin("settings")]
        } else {
            match documents::files(path) {
                Ok(files) => files.iter().map(|file| Source::file(file)).collect(),
                Err(fault) => vec![Err(fault)],
            }
        };
        for source in sources {
            match source.and_then(|source| Checked::all(&source)) {
                Ok(all) => checked.extend(all),
                Err(fault) => faults.push(fault),
            }
        }
    }
    if checked.is_empty() && !faults.is_empty() {
        return Ok(Answer { text: String::new(), code: WRONG, faults });
    }
    if checked.is_empty() {
        let names = files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(Fault::new(format!("there are no settings in {names}")).help(WHAT_HAS_SETTINGS));
    }
    let text = match options.output {
        CheckOutput::Human => checked.iter().map(Checked::worded).collect(),
        CheckOutput::Json => {
            let text = serde_json::to_string_pretty(&checked);
            text.map_err(|error| Fault::new("the answer cannot be written as JSON").because(error))? + "\n"
        }
    };
    let code = if checked.iter().all(|file| file.valid) { 0 } else { WRONG };
    Ok(Answer { text, code, faults })
}

const WHAT_HAS_SETTINGS: &str =
    "settings are bare, in a ClusterAdmissionPolicy, or in the ConfigMap that `autoscaler-guard manifests` writes";

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
    /// Checks all settings in a source; of a folder's other manifests nothing is said.
    fn all(source: &Source) -> Result<Vec<Self>, Fault> {
        let mut checked = Vec::new();
        let documents = source.documents()?;
        if documents.is_empty() {
            let nothing = Wrong { path: String::new(), problem: format!("the file is empty; {WHAT_HAS_SETTINGS}") };
            return Ok(vec![Self::new(source.name.clone(), vec![nothing])]);
        }
        for Document { origin, value } in documents {
            let items = match value.get("items") {
                Some(Value::Array(items)) if value["kind"] == "List" => items.clone(),
                _ => vec![value],
            };
            for item in items {
                if let Some((settings, mut errors)) = found(item) {
                    errors.extend(problems(&settings));
                    checked.push(Self::new(origin.to_string(), errors));
                }
            }
        }
        Ok(checked)
    }

    fn new(file: String, errors: Vec<Wrong>) -> Self {
        Self { file, valid: errors.is_empty(), errors }
    }

    fn worded(&self) -> String {
        if self.valid {
            return format!("{}: {}\n", self.file, paint::paint(GOOD, "valid"));
        }
        let count = paint::paint(BAD, paint::count(self.errors.len(), "error"));
        let errors: Vec<String> = self
            .errors
            .iter()
            .map(|Wrong { path, problem }| match path.as_str() {
                "" => format!("  {problem}"),
                path => format!("  {path}: {problem}"),
            })
            .collect();
        format!("{}: {count}\n{}\n", self.file, errors.join("\n"))
    }
}

/// What is wrong with settings, in the order of their paths, as that of the file is lost.
fn problems(settings: &Value) -> Vec<Wrong> {
    let mut errors = Settings::from_json(&settings.to_string()).err().unwrap_or_default();
    errors.sort_by(|one, other| one.path.cmp(&other.path));
    errors.into_iter().map(|SettingsError { path, problem }| Wrong { path, problem }).collect()
}

/// The settings in a document, and what contradicts them around them; none where it is an object without any.
fn found(document: Value) -> Option<(Value, Vec<Wrong>)> {
    let kind = document["kind"].as_str().unwrap_or_default().to_owned();
    if is_policy(&kind) {
        let contradictions = contradictions(&kind, &document);
        return Some((of_manifest(document), contradictions));
    }
    if kind == "ConfigMap" {
        let text = document.pointer("/data/settings.yaml")?.as_str()?.to_owned();
        let source = Source { name: "settings.yaml".to_owned(), text };
        return Some(match value(&source) {
            Ok(settings) => (settings, Vec::new()),
            Err(fault) => {
                let problem = fault.to_string();
                (Value::Null, vec![Wrong { path: "data.settings.yaml".to_owned(), problem }])
            }
        });
    }
    let is_object = !kind.is_empty() && document["apiVersion"].is_string();
    (!is_object).then_some((document, Vec::new()))
}

/// What in a policy's manifest goes against its settings, or keeps it from judging anything.
fn contradictions(kind: &str, policy: &Value) -> Vec<Wrong> {
    let spec = &policy["spec"];
    let settings = Settings::from_json(&spec["settings"].to_string()).unwrap_or_default();
    let mut wrong = Vec::new();
    let mut say = |path: &str, problem: &str| {
        wrong.push(Wrong { path: path.to_owned(), problem: problem.to_owned() });
    };
    if kind != "ClusterAdmissionPolicy" {
        say("kind", "the policy has to be a ClusterAdmissionPolicy: only those may look at other objects");
    }
    if !spec["module"].as_str().is_some_and(|module| module.contains("autoscaler-guard") || !module.contains("://")) {
        say("spec.module", "this is the manifest of another policy");
    }
    if spec["rules"].as_array().is_none_or(Vec::is_empty) {
        say("spec.rules", "there are none, so the policy is asked about nothing");
    }
    if settings.repair && !settings.audit && spec["mutating"] != true {
        say(
            "spec.mutating",
            "without it the policy server refuses what the policy repairs; set it, or settings.repair: false",
        );
    }
    wrong
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

fn is_policy(kind: &str) -> bool {
    kind.ends_with("AdmissionPolicy")
}

/// What is applied to the cluster carries the settings in its spec.
fn of_manifest(mut document: Value) -> Value {
    let is_policy = document["kind"].as_str().is_some_and(is_policy);
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

    fn wrong(text: &str) -> Vec<Vec<String>> {
        let checked = Checked::all(&source(text)).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        checked.into_iter().map(|file| file.errors.into_iter().map(|wrong| wrong.path).collect()).collect()
    }

    const POLICY: &str = "kind: ClusterAdmissionPolicy\napiVersion: policies.kubewarden.io/v1\nspec:\n  module: registry://ghcr.io/a/autoscaler-guard:v1\n  mutating: true\n  rules: [{apiGroups: [autoscaling]}]\n";

    #[test]
    fn contradictions_around_settings_are_named() {
        let none: Vec<Vec<String>> = vec![vec![]];
        assert_eq!(wrong(POLICY), none);
        for (from, to, path) in [
            ("mutating: true", "mutating: false", "spec.mutating"),
            ("[{apiGroups: [autoscaling]}]", "[]", "spec.rules"),
            ("kind: Cluster", "kind: ", "kind"),
            ("a/autoscaler-guard", "a/pod-privileged", "spec.module"),
        ] {
            assert_eq!(wrong(&POLICY.replace(from, to)), [[path]], "{to}");
        }
        assert_eq!(wrong(&POLICY.replace("mutating: true", "mutating: false\n  settings: {repair: false}")), none);
        assert_eq!(wrong(""), [[""]]);
    }

    #[test]
    fn all_documents_of_a_file_are_checked() {
        let map = "kind: ConfigMap\napiVersion: v1\ndata:\n  settings.yaml: 'repiar: true'\n";
        let other = "kind: Service\napiVersion: v1\n";
        let expected: Vec<Vec<String>> = vec![vec![], vec!["repiar".to_owned()]];
        assert_eq!(wrong(&format!("{POLICY}---\n{map}---\n{other}")), expected);
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
