//! Envoy Gateway left an HPA behind that no EnvoyProxy declares.
//!
//! ## What it protects
//! An HPA lives as long as something declares it, and no longer.
//!
//! ## Why
//! Envoy Gateway 1.1.3 to 1.4.x neither deletes the HPA of a fleet that loses envoyHpa nor that of a Gateway that is
//! deleted (envoyproxy/gateway issue 5357). It keeps scaling, or aims at nothing; and it lacks the labels by which
//! later versions delete, so that no upgrade ever takes it away.
//!
//! ## When it fires
//! * An EnvoyProxy is changed whose fleets have no envoyHpa, and there is an HPA with a fleet's labels, but not with
//!   all that Envoy Gateway gives since 1.5.
//! * A Gateway is deleted whose HPA is such.
//! * In an audit: an HPA with a fleet's labels that no EnvoyProxy declares, neither the Gateway's nor the class's nor
//!   the default one in Envoy Gateway's configuration. Where that configuration cannot be read, no HPA is reported.
//!
//! It does not warn on a guess. Deleting what was left behind is the cure, for which hpa-deleted only warns.
//!
//! ## Overrides
//! * Delete the HPA, as the warning shows; or declare envoyHpa again, which adopts it.
//! * `autoscaler-guard/allow: envoy-hpa-orphaned` on the changed object.
//!
//! ## Example
//! `kubectl delete gateway eg -n default`, on Envoy Gateway 1.3.0

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::facts::autoscalers::hpas;
use crate::facts::envoy_gateway::{
    EnvoyProxySpec, Fleet, Gateway, Level, Topology, classes, declares_fleet_hpa, fleet_change, has_fleet_labels,
    has_own_labels,
};
use crate::facts::hpa::HorizontalPodAutoscaler;
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::rules::fleet_finding;
use crate::subject::Subject;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "envoy-hpa-orphaned",
    title: "Envoy Gateway left this HPA behind",
    default: DefaultAction::Warn,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[
        (Kind::EnvoyProxy, &[Operation::Update]),
        (Kind::Gateway, &[Operation::Delete]),
        (Kind::HorizontalPodAutoscaler, &[Operation::Audit]),
    ],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[
    Lookup::Fleets,
    Lookup::Get(&api::GATEWAY),
    Lookup::Get(&api::GATEWAY_CLASS),
    Lookup::List(&api::HORIZONTAL_POD_AUTOSCALER),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    if context.change.is_audit() {
        return in_audit(context);
    }
    match context.change.deleted() {
        Some(gateway) => at_deletion(context, &Gateway::new(gateway.clone())),
        None => at_update(context),
    }
}

fn in_audit(context: &Context<'_>) -> Option<Finding> {
    let hpa = HorizontalPodAutoscaler::new(context.change.after()?.clone());
    if !has_fleet_labels(&hpa.object) || declares_fleet_hpa(context, &hpa.object) != Presence::Found(false) {
        return None;
    }
    let (this, workload) = (hpa.object.title("HPA"), hpa.workload());
    let what = format!("Envoy Gateway left {this} behind: no EnvoyProxy declares it, and it still scales {workload}");
    let subject = Subject::new("hpa", &hpa.object.metadata);
    let delete = subject.kubectl("delete", &[]);
    let mut finding =
        Finding::new(RULE.id, Action::Reject, subject, what).about(workload, this).help("Delete it", delete);
    finding.at_stake = "the orphan";
    Some(finding)
}

fn at_update(context: &Context<'_>) -> Option<Finding> {
    let (before, after) = fleet_change::specs(context)?;
    // Of a fleet that loses envoyHpa in this change, envoyhpa-removed reports.
    if after.declares_hpa() || before.is_some_and(EnvoyProxySpec::declares_hpa) {
        return None;
    }
    let topology = Topology::look_up(context).ok()?;
    let governed = topology.governed(context.change.after()?, after).ok()?;
    let undeclared = |fleet: &&Fleet<'_>| !fleet.is_terminating && !fleet.effective(Some(after)).declares_hpa();
    let left = governed.fleets.iter().filter(undeclared).find_map(|fleet| left_behind(context, fleet))?;
    Some(finding(context, &left, "as before: nothing declares it, and it still scales"))
}

fn at_deletion<'a>(context: &Context<'a>, gateway: &Gateway<'a>) -> Option<Finding> {
    let class = classes(context).ok()?.into_iter().find(|class| class.object.metadata.name == gateway.class)?;
    if !class.is_envoy_gateways(context) {
        return None;
    }
    let home = class.installation(context);
    let fleet = gateway.fleet(home.clone(), Level::Gateway, None, None);
    let merged = || {
        let left = left_behind(context, &Fleet::merged(home.clone(), &gateway.class, false))?;
        let others = Topology::look_up(context).ok()?.has_other_gateway(gateway);
        (!others).then_some(left)
    };
    let left = left_behind(context, &fleet).or_else(merged)?;
    // In the Gateway's own namespace the garbage collector takes it.
    let collected = left.object.metadata.owner_with_uid(&gateway.object.metadata.uid).is_some();
    let goes = collected || home.running.deletes_by_name();
    (!goes).then(|| finding(context, &left, "behind: Envoy Gateway does not delete it, and it keeps aiming at"))
}

/// An HPA of the fleet as Envoy Gateway made it before 1.5.
fn left_behind<'a>(context: &Context<'a>, fleet: &Fleet<'_>) -> Option<HorizontalPodAutoscaler<'a>> {
    let of_fleet = |hpa: &HorizontalPodAutoscaler<'_>| {
        fleet.labels(&hpa.object) && !has_own_labels(&hpa.object) && !hpa.object.metadata.is_terminating()
    };
    hpas(context, &fleet.namespace(), &mut None).into_iter().find(of_fleet)
}

fn finding(context: &Context<'_>, hpa: &HorizontalPodAutoscaler<'_>, fate: &str) -> Finding {
    let metadata = &hpa.object.metadata;
    let (theirs, workload) = (hpa.object.title("HPA"), hpa.workload());
    let outcome = format!("leaves {theirs} {fate} {workload}");
    let delete = Subject::new("hpa", metadata).kubectl("delete", &[]);
    fleet_finding::finding(context, RULE.id, Action::Warn, &outcome)
        .about(workload, theirs)
        .by_hand("Delete it", delete)
}
