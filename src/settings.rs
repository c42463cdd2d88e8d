//! The settings of the policy: strict, so that a misspelt guard is not a silent hole.
//!
//! An unknown key, rule id, version or pattern is refused with all the errors at once, each with its path and, for a
//! near miss, the likely word.

mod catalogue;
mod declaration;
mod model;
mod reader;
#[cfg(not(target_arch = "wasm32"))]
mod schema;
pub mod table;
mod version;

pub use catalogue::Catalogue;
pub use declaration::{Declaration, Effect};
pub use model::{EnvoyGateway, EnvoyHpaRemoval, FluxPrune, HelmHpaDeletes, RuleAction, Settings};
pub use reader::SettingsError;
pub(crate) use reader::suggestion;
#[cfg(not(target_arch = "wasm32"))]
pub use schema::schema;
pub use version::Version;

use autoscaler_guard_reading::Json;
use reader::Reader;
use table::{SETTINGS, Takes};

impl Settings {
    /// Reads settings that may name the rules of a catalogue from JSON. `null` and the empty text mean the defaults, as
    /// hosts pass both for a policy without settings.
    pub fn parse(text: &str, catalogue: &Catalogue) -> Result<Self, Vec<SettingsError>> {
        if text.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        match Json::parse(text) {
            Ok(value) => Self::read(value, catalogue),
            Err(error) => Err(vec![SettingsError::new("settings", format!("not JSON: {error}"))]),
        }
    }

    /// Reads settings from a value that is known to be JSON.
    pub fn read(value: Json<'_>, catalogue: &Catalogue) -> Result<Self, Vec<SettingsError>> {
        let mut reader = Reader::new(*catalogue);
        reader.read(&Takes::Group(SETTINGS), value);
        if !reader.errors.is_empty() {
            return Err(reader.errors);
        }
        reader.draft.settings.derive();
        Ok(reader.draft.settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::CATALOGUE;
    use serde_json::{Value, json};

    /// Reads settings, and sees to it that the schema judges them alike.
    fn read(value: &Value) -> Result<Settings, Vec<SettingsError>> {
        let validator = jsonschema::draft202012::new(&schema(&CATALOGUE)).expect("the schema is one");
        let settings = Settings::parse(&value.to_string(), &CATALOGUE);
        assert_eq!(validator.is_valid(value), settings.is_ok(), "{value}: {:?}", validator.validate(value));
        settings
    }

    fn errors(value: &Value) -> Vec<String> {
        read(value).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_schema_is_a_schema() {
        assert!(jsonschema::draft202012::meta::is_valid(&schema(&CATALOGUE)));
    }

    #[test]
    fn nothing_given_means_the_defaults() {
        for text in ["", "{}", "null", " { } "] {
            assert_eq!(Settings::parse(text, &CATALOGUE), Ok(Settings::default()), "{text:?}");
        }
    }

    #[test]
    fn every_setting_is_read() {
        let settings = read(&json!({
            "repair": false,
            "rules": {"hpa-deleted": "warn", "owned-hpa-changed": "reject"},
            "handover": {"fieldManagers": ["helm", "my-*"]},
            "helm": {"hpaDeletes": "reject", "readReleases": true},
            "flux": {"prune": "reject"},
            "envoyHpaRemoval": "pin",
            "envoyGateway": {"version": "v1.4.2", "namespace": "edge", "gatewayNamespaceMode": true, "controllerName": "example.com/eg"},
            "declarations": [{"apiVersion": "operator.victoriametrics.com/v1beta1", "kind": "VMAgent", "pointer": "/spec/hpa", "hpa": {"name": "vmagent-{name}"}}],
            "exempt": {"users": ["root"], "groups": ["system:masters"]},
            "controllers": {"keda": ["system:serviceaccount:scaling:keda"], "envoyGateway": ["system:serviceaccount:edge:envoy-gateway"]},
            "lookups": {"serviceAccount": "system:serviceaccount:policies:server"},
        }))
        .expect("all of it is valid");
        assert!(!settings.repair && settings.helm_read_releases && settings.envoy_gateway.gateway_namespace_mode);
        assert_eq!(settings.rule_action("hpa-deleted"), Some(RuleAction::Warn));
        assert_eq!(settings.rule_action("owned-hpa-changed"), Some(RuleAction::Reject));
        assert!(
            settings.handover_field_managers.match_name("my-tool")
                && !settings.handover_field_managers.match_name("kapp")
        );
        assert_eq!(settings.envoy_gateway.version, Version::parse("1.4.2"));
        assert_eq!((settings.envoy_hpa_removal, settings.flux_prune), (EnvoyHpaRemoval::Pin, FluxPrune::Reject));
        assert_eq!(settings.service_account, "system:serviceaccount:policies:server");
        let declaration = settings.declarations.first().expect("it is given");
        assert_eq!((declaration.kind.as_str(), declaration.hpa_namespace.as_str()), ("VMAgent", "{namespace}"));
    }

    #[test]
    fn declarations_are_complete_and_well_formed() {
        let found = errors(&json!({"declarations": [
            {"apiVersion": "v1beta1", "kind": "vmagent", "pointer": "spec.hpa", "hpa": {"name": "vmagent-{nmae}", "namespace": ""}},
            {"apiVersion": "a/v1", "kind": "A", "pointer": "/a~2", "hpa": {"nam": "x"}},
            {"apiVersion": "a/v1", "kind": null, "pointre": "/a", "hpa": null},
            null,
            "x",
        ]}));
        let mut found: Vec<&str> = found.iter().map(String::as_str).collect();
        // Objects of serde_json may or may not keep their order, depending on who else is built.
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "declarations[0].apiVersion: \"v1beta1\" is not an API version; give group/version, such as operator.victoriametrics.com/v1beta1",
                "declarations[0].hpa.name: \"vmagent-{nmae}\" is not a template; give lower-case letters, digits, - and ., with {name} and {namespace} for the object's",
                "declarations[0].hpa.namespace: must not be empty",
                "declarations[0].kind: \"vmagent\" is not a kind; give it as objects do, such as VMAgent",
                "declarations[0].pointer: \"spec.hpa\" is not a JSON pointer; give one such as /spec/hpa",
                "declarations[1].hpa.nam: unknown; did you mean name?",
                "declarations[1].hpa.name: must be given",
                "declarations[1].pointer: \"/a~2\" is not a JSON pointer; give one such as /spec/hpa",
                "declarations[2].hpa: must be given",
                "declarations[2].kind: must be given",
                "declarations[2].pointer: must be given",
                "declarations[2].pointre: unknown; did you mean pointer?",
                "declarations[3]: expected an object, got null",
                "declarations[4]: expected an object, got a string",
            ]
        );
        assert_eq!(
            errors(&json!({"declarations": {}})),
            ["declarations: expected a list of declarations, got an object"]
        );
    }

    #[test]
    fn a_kind_with_rules_of_its_own_is_not_declared() {
        // A schema cannot say which kinds these are.
        let text = r#"{"declarations":[{"apiVersion":"keda.sh/v1alpha1","kind":"ScaledObject","pointer":"/spec","hpa":{"name":"{name}"}}]}"#;
        let errors = Settings::parse(text, &CATALOGUE).expect_err("it has rules of its own");
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors, ["declarations[0].kind: ScaledObject has rules of its own"]);
    }

    #[test]
    fn all_errors_come_at_once_with_path_and_near_miss() {
        let mut found = errors(&json!({
            "repiar": true,
            "repair": "yes",
            "rules": {"hpa-deletd": "reject", "hpa-readoption": "reject", "hpa-deleted": "rejct"},
            "handover": {"fieldManager": ["helm"], "fieldManagers": ["", "a b", 3]},
            "helm": 1,
            "envoyGateway": {"version": "latest", "namespace": ""},
            "exempt": {"users": "root"},
        }));
        // Objects of serde_json may or may not keep their order, depending on who else is built.
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "envoyGateway.namespace: must not be empty",
                "envoyGateway.version: \"latest\" is not a version; give major.minor or major.minor.patch, such as 1.4.6",
                "exempt.users: expected a list of patterns, got a string",
                "handover.fieldManager: unknown; did you mean fieldManagers?",
                "handover.fieldManagers[0]: a pattern must not be empty",
                "handover.fieldManagers[1]: \"a b\" is not a pattern: no name has spaces; give one name an entry, * for any run of characters",
                "handover.fieldManagers[2]: expected a string, got a number",
                "helm: expected an object, got a number",
                "repair: expected true or false, got a string",
                "repiar: unknown; did you mean repair?",
                "rules.hpa-deletd: unknown; did you mean hpa-deleted?",
                "rules.hpa-deleted: \"rejct\" is not one of reject, warn, off; did you mean reject?",
                "rules.hpa-readoption: hpa-readoption never rejects: it answers a controller or gives something back; use warn or off",
            ]
        );
    }

    #[test]
    fn null_means_not_given() {
        let nulls = json!({"repair": null, "rules": {"hpa-deleted": null}, "helm": null, "envoyGateway": {"version": null}, "handover": {"fieldManagers": null}});
        assert_eq!(read(&nulls), Ok(Settings::default()));
        assert_eq!(read(&Value::Null), Ok(Settings::default()));
        assert_eq!(errors(&json!({"exempt": {"users": [null]}})), ["exempt.users[0]: a pattern must not be null"]);
    }

    #[test]
    fn a_bare_off_is_explained() {
        let expected = ["rules.hpa-deleted: expected a word in quotes, got true or false"];
        assert_eq!(errors(&json!({"rules": {"hpa-deleted": false}})), expected);
    }

    #[test]
    fn what_is_not_json_or_not_an_object_is_named() {
        let message =
            |text: &str| Settings::parse(text, &CATALOGUE).err().unwrap_or_default().first().map(ToString::to_string);
        assert_eq!(message("[]").as_deref(), Some("settings: expected an object, got a list"));
        for text in
            ["{", "{} x", "{},{}", "{}],[{}", "]", ",", "{\"repair\":tru}", "{\"rules\":{\"hpa-deleted\":\"warn}}"]
        {
            assert!(message(text).is_some_and(|message| message.starts_with("settings: not JSON")), "{text}");
        }
        assert_eq!(message("{").as_deref(), Some("settings: not JSON: expected a string at byte 1"));
    }
}
