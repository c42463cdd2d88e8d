//! What Gatekeeper's constraints say of the policy: which kinds it is asked about, and who need not ask.

use autoscaler_guard::Settings;
use autoscaler_guard::gate::KUBERNETES_CONTROLLERS;
use autoscaler_guard::pattern::Patterns;
use autoscaler_guard_host::yaml;
use autoscaler_guard_reading::group_of;

use super::conditions::regular;
use crate::needs;

/// The kinds that rules watch, those that settings name, and where not to look, as `match` of a constraint, in YAML.
/// There is no choosing by operation.
pub(super) fn matched(settings: &Settings, namespace: &str) -> String {
    let watched =
        needs::watched().into_iter().map(|watched| (watched.api.group.to_owned(), watched.api.kind.to_owned()));
    let declared = settings.declarations.iter();
    let declared = declared.map(|declared| (group_of(&declared.api_version).to_owned(), declared.kind.clone()));
    let mut kinds: Vec<(String, String)> = Vec::new();
    for kind in watched.chain(declared) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let kind = |(group, kind): &(String, String)| {
        format!("  - apiGroups: [{}]\n    kinds: [{}]\n", yaml::scalar(group), yaml::scalar(kind))
    };
    let kinds: String = kinds.iter().map(kind).collect();
    format!("kinds:\n{kinds}excludedNamespaces: [kube-system, {namespace}]\n")
}

/// Who is never refused, so that they can go on while the provider is down, as parameters of a constraint, in YAML.
pub(super) fn exempt(settings: &Settings) -> String {
    let users = [&settings.envoy_gateway_controllers, &settings.keda_controllers, &settings.exempt_users];
    let users = KUBERNETES_CONTROLLERS.iter().copied().chain(users.into_iter().flat_map(Patterns::iter));
    "# Kubernetes' own controllers, Envoy Gateway, KEDA, and who is exempt by the settings: none of them is ever refused.\n"
        .to_owned()
        + &list("exemptUsers", users)
        + &list("exemptGroups", settings.exempt_groups.iter())
}

fn list<'a>(name: &str, patterns: impl Iterator<Item = &'a str>) -> String {
    let line = |pattern: &str| format!("  - {}\n", yaml::scalar(&regular(pattern)));
    let lines: String = patterns.map(line).collect();
    if lines.is_empty() { format!("{name}: []\n") } else { format!("{name}:\n{lines}") }
}
