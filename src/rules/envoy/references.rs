//! References to EnvoyProxies that lead to another one, or nowhere.

use super::cause::Cause;
use crate::command::Command;
use crate::facts::envoy_gateway::{Effective, Fleet, WithoutOwnProxy};
use crate::finding::{Action, Finding};
use crate::subject::Subject;
use autoscaler_guard_reading::title;

/// A Gateway whose own EnvoyProxy is missing is not managed any more; `how` it comes to that follows the change.
pub(super) fn dangles(cause: &Cause, how: &str, fleet: &Fleet<'_>, effective: &Effective<'_>) -> Finding {
    let running = fleet.home.running;
    let (namespace, name) = fleet.hpa(effective);
    let hpa = title("HPA", &namespace, &name);
    let outcome = match running.without_own_proxy() {
        Some(WithoutOwnProxy::Freezes) => {
            format!("{how}: {} freezes its fleet, and nothing declares {hpa} any more", running.name())
        }
        Some(_) => format!("{how}: {} deletes its whole fleet", running.name()),
        None => format!(
            "{how}: Envoy Gateway deletes its whole fleet (before 1.7), or freezes it with {hpa} that nothing declares"
        ),
    };
    let mut finding = cause.finding(Action::Reject, &outcome).about(fleet.deployment(effective), hpa);
    finding.at_stake = "it";
    finding
}

/// Adds the command that takes a Gateway's reference to its own EnvoyProxy away.
pub(super) fn drop_reference(finding: Finding, fleet: &Fleet<'_>) -> Finding {
    let Some((namespace, name)) = fleet.gateway() else { return finding };
    let gateway = Subject { resource: "gateway".into(), namespace: namespace.clone(), name: name.clone() };
    let remove = &["--type", "json", "-p", r#"[{"op":"remove","path":"/spec/infrastructure/parametersRef"}]"#];
    finding.help("Take the Gateway's reference away first", gateway.kubectl("patch", remove))
}

/// Adds the command that lists the EnvoyProxies.
pub(super) fn see_proxies(finding: Finding) -> Finding {
    finding.help("See which EnvoyProxies there are", Command::kubectl(&["get", "envoyproxies", "-A"]))
}
