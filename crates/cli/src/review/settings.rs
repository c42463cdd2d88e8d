//! The policy's settings: read from a file and checked before anything is judged.

use std::path::Path;

use autoscaler_guard::Settings;
use serde_json::Value;

use super::judge::Judge;
use crate::documents::Source;
use crate::fault::Fault;
use crate::settings::value;

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

    /// Takes settings, or lists all that is wrong with them.
    pub fn new(settings: &Value, judge: &Judge) -> Result<Self, Vec<String>> {
        let text = settings.to_string();
        judge.check_settings(&text)?;
        Ok(Self(text))
    }

    /// The same, for a host that cannot change requests.
    pub fn without_repair(&self, judge: &Judge) -> Result<Self, Vec<String>> {
        let mut settings: Value = serde_json::from_str(&self.0).map_err(|error| vec![error.to_string()])?;
        settings["repair"] = Value::Bool(false);
        Self::new(&settings, judge)
    }

    /// What the built-in rules read of them; a module may know more.
    pub fn known(&self) -> Settings {
        Settings::from_json(&self.0).unwrap_or_default()
    }

    /// As JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account that makes lookups in a cluster.
    pub fn service_account(&self) -> String {
        // A module may know settings that the built-in rules do not.
        let given = serde_json::from_str::<Value>(&self.0).unwrap_or_default();
        let named = given.pointer("/lookups/serviceAccount").and_then(Value::as_str);
        named.map_or_else(|| Settings::default().service_account, ToOwned::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_errors_come_at_once() {
        let errors = SettingsText::new(&json!({"repiar": true, "helm": 1}), &Judge::Core).unwrap_err();
        assert_eq!(errors.len(), 2);
    }

    #[test]
    fn repairs_can_be_ruled_out() {
        for settings in [json!({}), json!({"repair": true}), json!({"repair": false})] {
            let without = SettingsText::new(&settings, &Judge::Core).unwrap().without_repair(&Judge::Core).unwrap();
            assert_eq!(without.as_str(), r#"{"repair":false}"#);
        }
    }

    #[test]
    fn the_account_is_the_policy_servers_unless_named() {
        let account = |settings: &Value| SettingsText::new(settings, &Judge::Core).unwrap().service_account();
        assert_eq!(account(&json!({})), "system:serviceaccount:kubewarden:policy-server");
        assert_eq!(account(&json!({"lookups": {"serviceAccount": "a"}})), "a");
    }
}
