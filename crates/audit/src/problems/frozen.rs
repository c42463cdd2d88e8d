//! Nothing scales a workload any more, and nobody declares its count: it stays as it is, whatever comes.
//!
//! ## Meaning
//! The count is neither an autoscaler's nor anybody's manifest's; or a fleet of Envoy Gateway is not kept up by its
//! controller, so that whatever is changed about it has no effect.
//!
//! ## How it comes about
//! A workload was applied server-side without `replicas`, as one does beside an HPA, and the HPA is gone. A Gateway
//! refers to an EnvoyProxy that is not there: from Envoy Gateway 1.7 on its fleet is left as it is.
//!
//! ## What is looked at
//! Workloads that somebody applies server-side, with a count that nobody has in managedFields and that is not 1; a
//! person may have scaled them, so this is only *likely*. Gateways and GatewayClasses whose EnvoyProxy is missing, or
//! that Envoy Gateway does not accept (`InvalidParameters`), while the fleet is there.
//!
//! ## What to do
//! Declare the count, or an autoscaler; put the EnvoyProxy back, or point the Gateway to one that is there.

use crate::facts::count;
use crate::finding::{Finding, Found};
use crate::view::View;

const PROBLEM: &str = "frozen";

/// The fleets that nobody keeps up.
pub fn fleets(view: &View<'_>, found: &mut Found) {
    for fleet in view.fleets.all() {
        let Some((why, since)) = &fleet.broken else { continue };
        let message = format!("{} is not kept up by Envoy Gateway: {why}", fleet.deployment);
        let finding = Finding::new(PROBLEM, &fleet.deployment, message)
            .workload(&fleet.deployment)
            .since(since.as_deref())
            .likely(fleet.is_guess);
        let hpas: Vec<_> = view.hpas_on(&fleet.deployment).map(|hpa| hpa.object.key.clone()).collect();
        found.push(finding, &hpas);
    }
}

/// The kinds of workloads that are applied with a count.
const WORKLOADS: &[(&str, &str)] = &[("apps", "Deployment"), ("apps", "StatefulSet"), ("argoproj.io", "Rollout")];

/// The counts that are nobody's.
pub fn counts(view: &View<'_>, found: &mut Found) {
    for workload in WORKLOADS.iter().flat_map(|(group, kind)| view.inventory.kind(group, kind)) {
        let count = count::replicas(workload).unwrap_or(1);
        let is_nobodys = count != 1 && count::is_nobodys(workload) && count::last_applied(workload).is_none();
        if !is_nobodys || found.explains(&workload.key) || workload.is_terminating() {
            continue;
        }
        // What an operator makes of its own object it keeps up; a fleet is known here.
        if workload.owners().next().is_some() && view.fleets.of_deployment(&workload.key).is_none() {
            continue;
        }
        let is_declared = view.records.declaring(&workload.key).any(|(_, entry)| entry.replicas.is_some())
            || view.fleets.of_deployment(&workload.key).is_some_and(|fleet| fleet.forced.is_some());
        if is_declared || view.is_autoscaled(&workload.key) || view.holders.holds(workload) {
            continue;
        }
        let message = format!(
            "{} has {count} replicas that nobody declares and nothing scales: something scaled it once, and is gone",
            workload.key
        );
        let finding = Finding::new(PROBLEM, &workload.key, message).workload(&workload.key).likely(true);
        let off = workload.key.kubectl("annotate").arg("autoscaler-guard/autoscaling=off");
        found.push(finding.command(&off), []);
    }
}
