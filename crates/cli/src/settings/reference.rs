//! The settings for documentation: each with what it is for, what it takes, its default and an example.
//!
//! Purpose, form and default come from the table of settings and its schema; the examples are here, as only this page
//! has them.

use autoscaler_guard::settings::table::{Form, RULE_ACTIONS, SETTINGS, Setting, Takes, VERSION};
use serde_json::Value;

/// What people set, by the setting's path; a group has none of its own.
const EXAMPLES: &[(&str, &str)] = &[
    ("repair", "repair: false"),
    ("audit", "audit: true"),
    ("maxAction", "maxAction: warn"),
    ("rules", "rules:\n  owned-hpa-changed: reject\n  hpa-deleted: \"off\" # with quotes: a bare off is false in YAML"),
    ("handover.fieldManagers", "handover:\n  fieldManagers: [helm, kustomize-controller, \"our-deployer*\"]"),
    ("helm.hpaDeletes", "helm:\n  hpaDeletes: reject"),
    ("helm.readReleases", "helm:\n  readReleases: true"),
    ("flux.prune", "flux:\n  prune: reject"),
    ("envoyHpaRemoval", "envoyHpaRemoval: pin"),
    (
        "envoyGateway.version",
        "envoyGateway:\n  version: \"1.4.6\" # with quotes: a bare 1.10 is the number 1.1 in YAML",
    ),
    ("envoyGateway.namespace", "envoyGateway:\n  namespace: gateways"),
    ("envoyGateway.gatewayNamespaceMode", "envoyGateway:\n  gatewayNamespaceMode: true"),
    ("envoyGateway.controllerName", "envoyGateway:\n  controllerName: example.com/gateways"),
    (
        "declarations",
        "declarations:\n  - apiVersion: operator.victoriametrics.com/v1beta1\n    kind: VMAgent\n    pointer: /spec/hpa\n    hpa:\n      name: \"{name}\"\n      namespace: \"{namespace}\"",
    ),
    ("exempt.users", "exempt:\n  users: [\"system:serviceaccount:platform:deployer\"]"),
    ("exempt.groups", "exempt:\n  groups: [\"autoscaling-team\"]"),
    ("controllers.keda", "controllers:\n  keda: [\"system:serviceaccount:scaling:keda-operator\"]"),
    ("controllers.envoyGateway", "controllers:\n  envoyGateway: [\"system:serviceaccount:gateways:envoy-gateway\"]"),
    ("lookups.serviceAccount", "lookups:\n  serviceAccount: \"system:serviceaccount:kubewarden:policy-server-prod\""),
];

/// All settings, in the order of the table.
pub fn reference() -> String {
    let schema = autoscaler_guard::settings_schema();
    let sections: Vec<String> = SETTINGS
        .iter()
        .map(|setting| section(setting, setting.name, "##", &schema["properties"][setting.name]))
        .collect();
    sections.join("\n")
}

fn section(setting: &Setting, path: &str, heading: &str, schema: &Value) -> String {
    let head = format!("{heading} {path}\n\n{}\n", setting.about);
    match setting.takes {
        Takes::Group(inside) => {
            let below = |one: &Setting| {
                let path = format!("{path}.{}", one.name);
                format!("\n{}", section(one, &path, &format!("{heading}#"), &schema["properties"][one.name]))
            };
            head + &inside.iter().map(below).collect::<String>()
        }
        Takes::Declarations(inside) => format!("{head}{}{}{}", facts(setting, schema), fields(inside), example(path)),
        _ => format!("{head}{}{}", facts(setting, schema), example(path)),
    }
}

fn facts(setting: &Setting, schema: &Value) -> String {
    format!("\n| | |\n|---|---|\n| Takes | {} |\n| Default | {} |\n", form(&setting.takes), default(schema))
}

/// The fields of an item, as a table.
fn fields(settings: &[Setting]) -> String {
    let rows: String = rows(settings, "").concat();
    format!("\nIn each item:\n\n| field | what it is | takes | |\n|---|---|---|---|\n{rows}")
}

fn rows(settings: &[Setting], around: &str) -> Vec<String> {
    let rows = |setting: &Setting| {
        let Setting { name, takes, about, required } = setting;
        if let Takes::Group(inside) = takes {
            return rows(inside, &format!("{around}{name}."));
        }
        let needed = if *required { "required" } else { "optional" };
        vec![format!("| `{around}{name}` | {about} | {} | {needed} |\n", form(takes))]
    };
    settings.iter().flat_map(rows).collect()
}

/// What a setting takes, in words.
fn form(takes: &Takes) -> String {
    match takes {
        Takes::Group(_) => "an object".to_owned(),
        Takes::Flag(_) => "`true` or `false`".to_owned(),
        Takes::Word(words, _) => format!("one of {}", listed(words)),
        Takes::Text(None, _) => "a text".to_owned(),
        Takes::Text(Some(form), _) => described(form),
        Takes::Version(_) => described(&VERSION),
        Takes::Patterns(_) => "a list of patterns, in which `*` stands for any run of characters".to_owned(),
        Takes::Rules => {
            format!("an object: ids of [rules](rules/README.md), each with one of {}", listed(RULE_ACTIONS))
        }
        Takes::Declarations(_) => "a list of objects".to_owned(),
    }
}

/// Errors go on after "is not": with what is wanted, then how to write it.
fn described(form: &Form) -> String {
    form.what.replacen("; give ", ": ", 1)
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn default(schema: &Value) -> String {
    match &schema["default"] {
        Value::Null => "none".to_owned(),
        Value::Array(items) if !items.is_empty() => listed(&items.iter().filter_map(Value::as_str).collect::<Vec<_>>()),
        Value::String(text) => format!("`{text}`"),
        default => format!("`{default}`"),
    }
}

fn example(path: &str) -> String {
    let example = EXAMPLES.iter().find(|(of, _)| *of == path).map(|(_, example)| *example).unwrap_or_default();
    format!("\n```yaml settings\n{example}\n```\n")
}

#[cfg(test)]
mod tests {
    use autoscaler_guard::Settings;

    use super::*;

    fn leaves(settings: &[Setting], around: &str) -> Vec<String> {
        let leaves = |setting: &Setting| match setting.takes {
            Takes::Group(inside) => leaves(inside, &format!("{around}{}.", setting.name)),
            _ => vec![format!("{around}{}", setting.name)],
        };
        settings.iter().flat_map(leaves).collect()
    }

    #[test]
    fn every_setting_has_an_example_that_sets_it_to_something_else() {
        let listed: Vec<&str> = EXAMPLES.iter().map(|(path, _)| *path).collect();
        assert_eq!(listed, leaves(SETTINGS, ""), "EXAMPLES has one for each setting, in the table's order");
        for (path, example) in EXAMPLES {
            let value: Value = serde_saphyr::from_str(example).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(value.pointer(&format!("/{}", path.replace('.', "/"))).is_some(), "{path}: it sets something else");
            let settings =
                Settings::from_json(&value.to_string()).unwrap_or_else(|errors| panic!("{path}: {errors:?}"));
            assert!(settings != Settings::default(), "{path}: it sets the default");
        }
    }

    #[test]
    fn a_section_has_all_that_there_is_to_a_setting() {
        let reference = reference();
        let section = reference.split_once("### helm.hpaDeletes\n").map(|(_, rest)| rest).unwrap_or_default();
        let section = section.split_once("\n### ").map(|(section, _)| section).unwrap_or_default();
        let expected = "
What happens when a Helm-managed HPA is deleted and its workload would be left without an autoscaler.

| | |
|---|---|
| Takes | one of `warn`, `reject` |
| Default | `warn` |

```yaml settings
helm:
  hpaDeletes: reject
```
";
        assert_eq!(section, expected);
        assert!(
            reference.contains(
                "| `hpa.namespace` | The HPA's namespace, written likewise. | a template: lower-case letters"
            )
        );
    }
}
