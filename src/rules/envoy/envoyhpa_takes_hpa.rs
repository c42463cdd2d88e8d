//! Envoy Gateway would take an HPA that is not its own, by name or by labels.
//!
//! ## What it protects
//! An HPA has one owner who writes it, and goes only when its own declaration does.
//!
//! ## Why
//! Envoy Gateway applies the HPA of a fleet by its name, generated or `envoyHpa.name`, and with force: an HPA of that
//! name that scales another workload is overwritten, and that workload left with none. From 1.5 on it deletes its HPAs
//! by their labels: any other HPA that carries all of them goes with the next change of envoyHpa, one of KEDA's too, as
//! KEDA copies a ScaledObject's labels to its HPA.
//!
//! ## When it fires
//! * An EnvoyProxy, Gateway or GatewayClass is created or changed so that a fleet gets an HPA, or one of another name.
//!   An HPA of that name scales another workload, or a ScaledObject owns it, or another fleet gets it, too.
//! * The same change would delete an HPA that has the fleet's labels and scales another workload.
//! * An HPA or ScaledObject is created with, or gets, all of Envoy Gateway's labels, where Envoy Gateway keeps its
//!   HPAs, unless Envoy Gateway 1.4 or older runs.
//!
//! It warns of what is not known.
//!
//! ## Overrides
//! * Give the HPA a free name (`envoyHpa.name`, from 1.5), or leave Envoy Gateway's labels out.
//! * `autoscaler-guard/allow: envoyhpa-takes-hpa` on the changed object, or on the workload whose HPA is taken.
//!
//! ## Example
//! `kubectl patch envoyproxy fleet -n envoy-gateway-system --type merge -p
//! '{"spec":{"provider":{"kubernetes":{"envoyHpa":{"name":"web"}}}}}'`, where HPA `web` scales Deployment `web`.

use crate::change::{Kind, Operation};
use crate::cluster::{Reason, api};
use crate::context::Context;
use crate::facts::autoscalers::{hpas, target_of};
use crate::facts::envoy_gateway::fleet_change::{self, FleetChange};
use crate::facts::envoy_gateway::{Effective, Fleet, HPA, has_gateway_owner, has_own_labels};
use crate::facts::hpa::scaled_object_owners;
use crate::facts::installation::Installation;
use crate::facts::owner::Owner;
use crate::finding::{Action, Finding, Help};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::rules::fleet_finding;
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::title;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "envoyhpa-takes-hpa",
    title: "Envoy Gateway takes over, or deletes, another workload's HPA",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[
        (Kind::EnvoyProxy, &[Operation::Create, Operation::Update]),
        (Kind::Gateway, &[Operation::Create, Operation::Update]),
        (Kind::GatewayClass, &[Operation::Create, Operation::Update]),
        (Kind::HorizontalPodAutoscaler, &[Operation::Create, Operation::Update]),
        (Kind::ScaledObject, &[Operation::Create, Operation::Update]),
    ],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Fleets, Lookup::List(&api::HORIZONTAL_POD_AUTOSCALER)];

const OTHERS: &str = "overwrite another HPA";

fn check(context: &Context<'_>) -> Option<Finding> {
    if matches!(context.request.kind, Kind::HorizontalPodAutoscaler | Kind::ScaledObject) {
        return labelled(context);
    }
    let changes = match fleet_change::look_up(context) {
        Ok(changes) => changes,
        Err(reason) => {
            let may = fleet_change::may_declare_hpa(context);
            return may.then(|| fleet_finding::unknown(context, RULE.id, OTHERS, &reason));
        }
    };
    let mut unknown = None;
    for change in &changes {
        let taken = shared(context, change, &changes).or_else(|| taken(context, change, &mut unknown));
        if taken.is_some() {
            return taken;
        }
    }
    unknown.map(|reason| fleet_finding::unknown(context, RULE.id, OTHERS, &reason))
}

/// Two fleets in one namespace that get an HPA of one name.
fn shared(context: &Context<'_>, change: &FleetChange<'_>, changes: &[FleetChange<'_>]) -> Option<Finding> {
    let name = change.gets_hpa()?.name(HPA)?;
    let is_other = |other: &&FleetChange<'_>| {
        let after = other.after.filter(Effective::declares_hpa);
        !other.fleet.is(&change.fleet) && after.is_some_and(|after| after.name(HPA).as_ref() == Some(&name))
    };
    let other = changes.iter().find(is_other)?;
    if change.fleet.namespace() != other.fleet.namespace() {
        return None;
    }
    let (one, other) = (change.fleet.title(), other.fleet.title());
    let outcome = format!("would give {one} and {other} one HPA, \"{name}\": each overwrites the other's");
    Some(free_name(fleet_finding::finding(context, RULE.id, Action::Reject, &outcome)))
}

/// Somebody's HPA that is overwritten or deleted when a fleet gets an HPA, one of another name, or none.
fn taken(context: &Context<'_>, change: &FleetChange<'_>, unknown: &mut Option<Reason>) -> Option<Finding> {
    let declares = |effective: &Option<Effective<'_>>| effective.is_some_and(|effective| effective.declares_hpa());
    let (had, has) = (declares(&change.before), declares(&change.after));
    let (before, after) = (change.before.unwrap_or_default(), change.after.unwrap_or_default());
    if had == has && (!has || before.name(HPA) == after.name(HPA)) {
        return None;
    }
    let fleet = &change.fleet;
    let (_, former) = fleet.hpa(&before);
    let (namespace, next) = fleet.hpa(&after);
    let deployment = fleet.deployment(&after);
    for hpa in &hpas(context, &namespace, unknown) {
        let name = hpa.object.metadata.name.as_ref();
        let workload = hpa.workload();
        let elsewhere = workload != deployment;
        let owner = scaled_object_owners(&hpa.object).next();
        let labelled = fleet.labels(&hpa.object);
        let overwritten = has && name == next && (owner.is_some() || elsewhere && !labelled);
        let foreign = name != next && name != former && elsewhere && !has_gateway_owner(&hpa.object);
        if !(overwritten || foreign && labelled && has_own_labels(&hpa.object)) {
            continue;
        }
        let fate = if overwritten { "overwrite" } else { "delete" };
        let theirs = hpa.object.title("HPA");
        let outcome = match owner {
            Some(owner) => format!("would {fate} {theirs}, which {} owns", owner.title(&namespace)),
            None => format!("would {fate} {theirs}, which scales {workload}: that would be left with no autoscaler"),
        };
        let finding = fleet_finding::finding(context, RULE.id, Action::Reject, &outcome).about(workload, theirs);
        if overwritten {
            return Some(free_name(finding));
        }
        let unlabel = Subject::new("hpa", &hpa.object.metadata).kubectl("label", &["app.kubernetes.io/managed-by-"]);
        return Some(finding.help("Take Envoy Gateway's label from it first", unlabel));
    }
    None
}

fn free_name(finding: Finding) -> Finding {
    finding.help("Give the fleet's HPA a free name (from 1.5)", Help::field("spec.provider.kubernetes.envoyHpa.name"))
}

/// An HPA or ScaledObject that gets Envoy Gateway's labels.
fn labelled(context: &Context<'_>) -> Option<Finding> {
    let new = context.change.after().filter(|new| has_own_labels(new))?;
    if context.change.before().is_some_and(has_own_labels) || has_gateway_owner(new) {
        return None;
    }
    let fleet = Fleet::labelled(Installation::standard(context), new)?;
    // Envoy Gateway's own may be put back from a backup.
    if new.metadata.name == fleet.generated_name() || fleet.namespace() != new.metadata.namespace {
        return None;
    }
    let running = fleet.home.running;
    let by = match running.deletes_by_labels() {
        Some(false) => return None,
        Some(true) => running.name(),
        None => "Envoy Gateway (from 1.5)".to_owned(),
    };
    let its = if context.request.kind == Kind::ScaledObject { "its HPA" } else { "it" };
    let outcome = format!("would let {by} delete {its}: by all its labels it is one of the HPAs of {}", fleet.title());
    let workload = WorkloadRef::new(&target_of(context, new), &new.metadata.namespace);
    let autoscaler = title(context.request.kind.name(), &new.metadata.namespace, &new.metadata.name);
    let finding = fleet_finding::finding(context, RULE.id, Action::Reject, &outcome).about(workload, autoscaler);
    Some(finding.help("Leave this label out", Help::text("app.kubernetes.io/managed-by: envoy-gateway")))
}
