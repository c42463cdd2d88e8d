//! envoyHpa takes a fleet over whose count Envoy Gateway wrote.
//!
//! ## What it protects
//! A fleet under load does not restart at 1 replica.
//!
//! ## Why
//! Envoy Gateway applies `envoyDeployment.replicas` server-side. When it lets go of the field and nobody else applies
//! it, the API server removes it and defaults it to 1: the fleet shrinks at once and only then grows as the HPA sees
//! fit (6, 1, 2 replicas on 1.9.1). A second field manager that applies the present count keeps the field, and the HPA
//! scales it from there.
//!
//! ## When it fires
//! A change takes a fleet of more than 1 replica from a count that Envoy Gateway writes to envoyHpa: `replicas` swapped
//! for envoyHpa (every version), envoyHpa added beside it (from 1.9, and before 1.3), or `replicas` dropped from beside
//! it (1.3 to 1.8). Silent when a field manager other than envoy-gateway applies the count. When which version runs is
//! not known, it counts as one that lets go.
//!
//! ## Overrides
//! * First apply the present count of each fleet as another field manager, as the warning shows.
//! * `autoscaler-guard/allow: envoyhpa-over-replicas` on the changed object.
//!
//! ## Example
//! `kubectl patch envoyproxy fleet -n envoy-gateway-system --type merge -p
//! '{"spec":{"provider":{"kubernetes":{"envoyDeployment":{"replicas":null},"envoyHpa":{"maxReplicas":10}}}}}'`

use super::cause::{and_more, version_unknown};
use crate::cluster::Presence;
use crate::context::Context;
use crate::facts::envoy_gateway::fleet_change::{self, FleetChange};
use crate::facts::envoy_gateway::{Effective, FEW, Running};
use crate::facts::workload;
use crate::finding::{Action, Advice, Finding, Help};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::rules::fleet_finding::{self, WATCHES};
use crate::subject::WorkloadRef;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "envoyhpa-over-replicas",
    title: "This fleet restarts at 1 replica when envoyHpa takes it over",
    default: DefaultAction::Warn,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: WATCHES,
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Fleets];

fn check(context: &Context<'_>) -> Option<Finding> {
    let changes = match fleet_change::look_up(context) {
        Ok(changes) => changes,
        Err(reason) => {
            let (before, after) = fleet_change::specs(context)?;
            let alone = |spec| Effective::new(Some(spec), None, None);
            lets_go(Running(context.settings.envoy_gateway.version), &alone(before?), &alone(after))?;
            return Some(fleet_finding::unknown(context, RULE.id, "restart Envoy fleets at 1 replica", &reason));
        }
    };
    // One is enough to know; all are looked up only where they are few.
    let few = if changes.len() > FEW { 1 } else { FEW };
    let restarts: Vec<Restart> = changes.iter().filter_map(|change| restart(context, change)).take(few).collect();
    let Restart { fleet, count, is_certain } = restarts.first()?;
    let fleet = format!("{fleet}{}", and_more(if changes.len() > FEW { changes.len() } else { restarts.len() }));
    let from = count.map_or_else(String::new, |count| format!(", {count} now,"));
    let restarts_at = if *is_certain { "restarts" } else { "may restart" };
    let outcome = format!(
        "{restarts_at} {fleet} at 1 replica: Envoy Gateway lets go of its count{from} before envoyHpa's HPA scales it"
    );
    let mut finding = fleet_finding::finding(context, RULE.id, Action::Warn, &outcome);
    finding.by_hand = restarts.iter().map(keep).collect();
    if !is_certain {
        finding = version_unknown(finding);
    }
    finding.workloads = restarts.into_iter().map(|restart| restart.fleet).collect();
    Some(finding)
}

/// A fleet that restarts at 1 replica.
struct Restart {
    fleet: WorkloadRef,
    /// Its present count, where it can be seen.
    count: Option<i64>,
    /// Whether the version that runs is known to do so.
    is_certain: bool,
}

fn restart(context: &Context<'_>, change: &FleetChange<'_>) -> Option<Restart> {
    let (before, after) = (change.before.as_ref()?, change.after.as_ref()?);
    let is_certain = lets_go(change.fleet.home.running, before, after)?;
    let deployment = change.fleet.deployment(before);
    // Another Deployment starts anew in any case.
    if change.fleet.deployment(after) != deployment {
        return None;
    }
    let count = match deployment.get(&context.neighbours) {
        Presence::Found(found) if workload::is_applied_by_another(&found, workload::FLEET_MANAGER) => None,
        Presence::Found(found) => workload::replicas(&found).filter(|count| *count > 1).map(Some),
        Presence::Absent => None,
        Presence::Unknown(_) => Some(None),
    }?;
    Some(Restart { fleet: deployment, count, is_certain })
}

/// Whether Envoy Gateway wrote the count and leaves it to envoyHpa's HPA from now on: certainly, or as some versions
/// do.
fn lets_go(running: Running, before: &Effective<'_>, after: &Effective<'_>) -> Option<bool> {
    let facts = |effective: &Effective<'_>| {
        (effective.declares_hpa(), effective.replicas().is_some(), effective.patched_replicas().is_some())
    };
    let declared = before.replicas().is_some() || before.patched_replicas().is_some();
    if !declared || !after.declares_hpa() || facts(before) == facts(after) {
        return None;
    }
    match (before.writes_count(running), after.writes_count(running)) {
        (Some(false), _) | (_, Some(true)) => None,
        (Some(true), Some(false)) => Some(true),
        _ => Some(false),
    }
}

/// The command that keeps the count, short enough for a warning.
fn keep(restart: &Restart) -> Advice {
    let count = restart.count.map_or_else(|| "<count>".to_owned(), |count| count.to_string());
    let WorkloadRef { namespace, name, .. } = &restart.fleet;
    let apply = format!(
        "echo '{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, spec: {{replicas: {count}}}}}' | kubectl apply --server-side --field-manager=count -n {namespace} -f -"
    );
    Advice { purpose: "First", help: Help::text(apply) }
}
