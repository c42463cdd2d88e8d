//! The policy's settings: read from a file and checked before anything is judged.

use std::path::Path;

use autoscaler_guard::Settings;
use serde_json::Value;

use super::Judge;
use crate::documents::Source;
use crate::fault::Fault;

/// Settings that the judge takes, as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsText(String);

impl Default for SettingsText {
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

impl SettingsText {
    /// Takes a settings file, or none, and checks it by the judge's own measure.
    pub fn read(path: Option<&Path>, judge: &Judge) -> Result<Self, Fault> {
        let Some(path) = path else { return Ok(Self::default()) };
        let source = Source::file(path)?;
        let settings = value(&source)?;
        Self::new(&settings, judge).map_err(|mut reasons| {
            // The order of the file is lost.
            reasons.sort();
            let fault = Fault::new(format!("the settings in {} cannot be used", source.name));
            reasons.into_iter().fold(fault, Fault::because)
        })
    }

    /// The same, for a judge that has to prove first that it can judge without settings, too.
    pub fn proven(path: Option<&Path>, judge: &Judge) -> Result<Self, Fault> {
        if path.is_none() {
            let settings = Self::new(&Value::Object(serde_json::Map::new()), judge);
            let fault = || Fault::new("the policy does not do without settings").help("name a file by --settings");
            return settings.map_err(|reasons| reasons.into_iter().fold(fault(), Fault::because));
        }
        Self::read(path, judge)
    }

    /// Takes settings, or tells all that is wrong with them.
    pub fn new(settings: &Value, judge: &Judge) -> Result<Self, Vec<String>> {
        let text = settings.to_string();
        judge.check_settings(&text)?;
        Ok(Self(text))
    }

    /// As JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account that makes look-ups in a cluster.
    pub fn service_account(&self) -> String {
        // A module may know settings that the built-in rules do not.
        let given = serde_json::from_str::<Value>(&self.0).unwrap_or_default();
        let named = given.pointer("/lookups/serviceAccount").and_then(Value::as_str);
        named.map_or_else(|| Settings::default().service_account, ToOwned::to_owned)
    }
}

fn value(source: &Source) -> Result<Value, Fault> {
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

    #[test]
    fn all_errors_come_at_once() {
        let errors = SettingsText::new(&json!({"repiar": true, "helm": 1}), &Judge::Core).unwrap_err();
        assert_eq!(errors.len(), 2);
    }

    #[test]
    fn the_account_is_the_policy_servers_unless_named() {
        let account = |settings: &Value| SettingsText::new(settings, &Judge::Core).unwrap().service_account();
        assert_eq!(account(&json!({})), "system:serviceaccount:kubewarden:policy-server");
        assert_eq!(account(&json!({"lookups": {"serviceAccount": "a"}})), "a");
    }
}
