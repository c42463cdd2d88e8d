//! A plain HPA is deleted while its workload lives.
//!
//! ## What it protects
//! A workload that is autoscaled stays autoscaled, unless someone says so.
//!
//! ## Why
//! The deletion succeeds, the workload keeps running at the count of that moment, and nobody is told: the loss shows at the next peak. KEDA
//! or Helm may be half-way, too: Helm deletes the HPA for a ScaledObject whose trigger KEDA cannot build, or while KEDA is down.
//!
//! ## When it fires
//! Someone deletes an HPA that no controller owns, its target lives and does not own its count, and nothing else scales it. A ScaledObject
//! counts as something else if it is Ready and names this HPA or has one of its own; one of the same Helm release and target unless its
//! Ready is False; an HPA, unless the garbage collector is about to take it. An HPA that Envoy Gateway left behind gets a warning: deleting
//! it is the cure.
//!
//! A tool that deletes what it manages is not stopped in a clean-up; its own record is asked where there is one:
//!
//! * Helm: a warning, as `uninstall` deletes an HPA before its Deployment (settings `helm.hpaDeletes`, `helm.readReleases`). Hooks too.
//! * Flux: silent when the Kustomization is deleted with the workload, or when a prune that failed before has taken the workload off its
//!   inventory; refused when that still lists it. A first prune is a warning (setting `flux.prune`), as nothing tells its outcome.
//! * Argo CD: silent when its Application is deleted or prunes the workload too. It prunes before it writes: a warning when its Application
//!   brings another autoscaler, or writes the workload, which may bring a count; refused when the workload stays as it is and nothing comes.
//!   With sync option `PruneLast=true` it writes first.
//! * kapp and Terraform: a warning, where HPA and workload are of one app.
//!
//! ## Overrides
//! * The workload owns its count: annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` declared by a server-side apply.
//! * Delete the workload first, or declare another autoscaler first. To replace the HPA, change it in place.
//! * `autoscaler-guard/allow: hpa-deleted` on the HPA or its workload.
//!
//! ## Example
//! `kubectl delete hpa web -n shop`

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::facts::autoscalers::{Departing, Replacement, other_autoscaler};
use crate::facts::departure::Departure;
use crate::facts::hpa::{HorizontalPodAutoscaler, other_controller, scaled_object_owners};
use crate::facts::released::ReleaseMark;
use crate::facts::{envoy_gateway, scaled_object, workload};
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::rules::departing;
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::Object;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "hpa-deleted",
    title: "Deleting this HPA removes the workload's only autoscaler",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Delete])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[
    Lookup::Get(&api::APPLICATION),
    Lookup::Get(&api::ENVOY_PROXY),
    Lookup::Get(&api::GATEWAY),
    Lookup::Get(&api::GATEWAY_CLASS),
    Lookup::Get(&api::KUSTOMIZATION),
    Lookup::Get(&api::SCALED_OBJECT),
    Lookup::List(&api::DEPLOYMENT),
    Lookup::List(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::SCALED_OBJECT),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.deleted()?;
    if other_controller(old).is_some_and(|_| !envoy_gateway::has_fleet_labels(old))
        || has_live_scaled_object(context, old)
    {
        return None;
    }
    let hpa = HorizontalPodAutoscaler::new(old.clone());
    let scales = hpa.target();
    let target = WorkloadRef::new(&scales, &old.metadata.namespace);
    let unseen = workload::needs_autoscaler(&target, context, Some(&hpa))?;
    let release = ReleaseMark::of(old);
    let going = Departing {
        object: old,
        target: &scales,
        hpa: &old.metadata.name,
        scaled_object: release.as_ref().map(|release| release.uid.as_str()),
    };
    let caveat = match other_autoscaler(context, &going) {
        Replacement::Scales(_) | Replacement::Takes(_) => return None,
        Replacement::Nothing(reason) => Replacement::caveat(reason.as_ref()),
    };
    let this = old.title("HPA");
    let what =
        format!("deleting {this} would leave {target} with no autoscaler: nothing else scales it{unseen}{caveat}");
    let off = workload::not_autoscaled(&target);
    let finding = Finding::new(RULE.id, Action::Reject, Subject::new("hpa", &old.metadata), what)
        .about(target.clone(), this)
        .help("Say that the workload is not autoscaled", off);
    if is_left_behind(context, old) {
        return Some(Finding { action: Action::Warn, ..finding });
    }
    departing::judge(context, finding, Departure::of(context, &going, &target))
}

/// Owned or released by a ScaledObject that lives, it is another rule's: owned-hpa-deleted, released-hpa-deleted.
fn has_live_scaled_object(context: &Context<'_>, hpa: &Object<'_>) -> bool {
    let found = |name: &str, uid: &str| {
        scaled_object::with_uid(context, &hpa.metadata.namespace, name, uid)
            .map(|owner| owner.object.metadata.is_terminating())
    };
    // With an owner that is being deleted the HPA goes anyway; the loss was judged with the owner.
    let owned =
        scaled_object_owners(hpa).next().is_some_and(|owner| found(&owner.name, &owner.uid) != Presence::Absent);
    let released = |release: ReleaseMark| {
        !matches!(found(&release.scaled_object, &release.uid), Presence::Absent | Presence::Found(true))
    };
    owned || ReleaseMark::of(hpa).is_some_and(released)
}

/// Envoy Gateway left it behind: deleting it is the cure.
fn is_left_behind(context: &Context<'_>, hpa: &Object<'_>) -> bool {
    envoy_gateway::has_fleet_labels(hpa) && envoy_gateway::declares_fleet_hpa(context, hpa) == Presence::Found(false)
}
