//! A plain HPA is deleted while its workload lives.
//!
//! ## What it protects
//! A workload that is autoscaled stays autoscaled, unless someone says so.
//!
//! ## Why
//! The deletion succeeds, the workload keeps running at the count of that moment, and nobody is warned: the loss shows
//! at the next peak. KEDA or Helm may be half-way, too: Helm deletes the HPA for a ScaledObject whose trigger KEDA
//! cannot build, or while KEDA is down.
//!
//! ## When it fires
//! Someone deletes an HPA that no controller owns. Its workload lives and does not own its count, and nothing else
//! scales it. A declared count has to be in force.
//!
//! What else may scale the workload:
//!
//! * A ScaledObject that is Ready and names this HPA or has one of its own. One of the same application and target
//!   makes it a warning, unless its Ready is False.
//! * Another HPA, unless the garbage collector is about to take it. While the workload is at 0 it is a warning, as that
//!   HPA does not start it.
//!
//! It only warns of
//!
//! * an HPA that an operator controls, deleted by a person: the operator may make it anew or not;
//! * an HPA that Envoy Gateway or KEDA left behind, with an owner that is gone or with nothing to scale by: deleting it
//!   is the cure;
//! * an HPA whose workload is at 0, where it does nothing, unless it brought the workload there itself (condition
//!   `ScaledToZero`, Kubernetes 1.37).
//!
//! A tool that deletes what it manages is not stopped in a clean-up. Where it has a record of its own, that decides:
//!
//! * Helm: a warning, as `uninstall` deletes an HPA before its Deployment (settings `helm.hpaDeletes`,
//!   `helm.readReleases`). Hooks too.
//! * Flux: silent when the Kustomization is deleted with the workload, or when a prune that failed before has taken the
//!   workload off its inventory; refused when the inventory still lists it. A first prune is a warning (setting
//!   `flux.prune`), as its outcome is not known yet.
//! * Argo CD: silent when its Application is deleted or prunes the workload too. It prunes before it writes, so it is a
//!   warning when its Application brings another autoscaler, or writes the workload, which may bring a count. It is
//!   refused when the workload stays as it is and nothing comes. With sync option `PruneLast=true` Argo CD writes
//!   first.
//! * kapp and Terraform: a warning, where HPA and workload are of one app.
//!
//! ## Overrides
//! * The workload owns its count: annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` declared by a
//!   server-side apply.
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
use crate::facts::owner::Owner;
use crate::facts::released::ReleaseMark;
use crate::facts::{envoy_gateway, scaled_object, workload};
use crate::finding::{Action, Finding, Help};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::rules::departing;
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::{Object, OwnerReference};

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
    Lookup::Owner,
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.deleted()?;
    let controller = other_controller(old).filter(|_| !envoy_gateway::has_fleet_labels(old));
    if controller.is_some_and(|owner| is_its_own_business(context, old, owner)) || has_live_scaled_object(context, old)
    {
        return None;
    }
    let hpa = HorizontalPodAutoscaler::new(old.clone());
    let scales = hpa.target();
    let target = WorkloadRef::new(&scales, &old.metadata.namespace);
    let need = workload::needs_autoscaler(&target, context, Some(&hpa))?;
    let release = ReleaseMark::of(old);
    let departing = Departing {
        object: old,
        target: &scales,
        hpa: &old.metadata.name,
        scaled_object: release.as_ref().map(|release| release.uid.as_str()),
        at_zero: need.at_zero,
    };
    let caveat = match other_autoscaler(context, &departing) {
        Replacement::Scales(_) => return None,
        Replacement::Takes(other) => return Some(left_to(old, &target, &other)),
        Replacement::Asleep(other) => return Some(asleep(old, &target, &other)),
        Replacement::Nothing(reason) => Replacement::caveat(reason.as_ref()),
    };
    let this = old.title("HPA");
    let what = format!("deleting {this} would leave {target} with no autoscaler: nothing else scales it{need}{caveat}");
    let off = workload::not_autoscaled(&target);
    let mut finding = Finding::new(RULE.id, need.soften(Action::Reject), Subject::new("hpa", &old.metadata), what)
        .about(target.clone(), this)
        .help("Say that the workload is not autoscaled", off);
    if let Some(owner) = controller {
        let owner = owner.title(&old.metadata.namespace);
        finding.notes.push(format!("{owner} controls it, and may make it anew or not: change that one instead"));
    } else if let Some(account) = operators_account(context) {
        let exempt = Help::Manifest { path: "exempt.users".into(), value: account };
        finding = finding.help("If this is an operator that deletes its own HPAs, set", exempt);
    }
    if is_left_behind(context, old) || scales_nothing(context, old) {
        return Some(Finding { action: Action::Warn, ..finding });
    }
    departing::judge(context, finding, Departure::of(context, &departing, &target))
}

/// An operator's HPA is that one's business, and gone with an owner that is not there; but a person who deletes it
/// should know that not every operator makes it anew (StarRocks/starrocks-kubernetes-operator issue 223).
fn is_its_own_business(context: &Context<'_>, hpa: &Object<'_>, owner: &OwnerReference<'_>) -> bool {
    context.is_service_account() || owner.look_up(context, &hpa.metadata.namespace).is_absent()
}

/// Who asks, if it is a service account and its name is one that settings take.
fn operators_account(context: &Context<'_>) -> Option<String> {
    let name = context.request.user.username.as_ref();
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b':');
    (context.is_service_account() && name.bytes().all(is_plain)).then(|| name.to_owned())
}

/// Helm creates first and deletes last, and does not wait for KEDA: with KEDA down, or a trigger that it cannot build,
/// nothing scales.
fn left_to(hpa: &Object<'_>, target: &WorkloadRef, other: &str) -> Finding {
    let this = hpa.title("HPA");
    let what =
        format!("deleting {this} leaves {target} to {other} of the same Helm release: check that it becomes Ready");
    Finding::new(RULE.id, Action::Warn, Subject::new("hpa", &hpa.metadata), what).about(target.clone(), this)
}

/// Another HPA is there, but the workload is at 0, from where only the HPA that brought it there starts it.
fn asleep(hpa: &Object<'_>, target: &WorkloadRef, other: &str) -> Finding {
    let this = hpa.title("HPA");
    let what = format!("deleting {this} leaves {target} at 0 replicas: {other} does not start it from there");
    let finding = Finding::new(RULE.id, Action::Warn, Subject::new("hpa", &hpa.metadata), what);
    finding.about(target.clone(), this).help("Scale it to 1, from where that one goes on", workload::wake(target))
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

/// KEDA left it behind: its owner is gone, or all that it scales by are metrics of a ScaledObject that is gone.
fn scales_nothing(context: &Context<'_>, hpa: &Object<'_>) -> bool {
    let hpa = HorizontalPodAutoscaler::new(hpa.clone());
    let gone = |name: &str| scaled_object::by_name(context, &hpa.object.metadata.namespace, name).is_absent();
    // One that still refers to a ScaledObject which is gone is collected, or kept by nothing but KEDA's absence.
    let is_left = scaled_object_owners(&hpa.object).next().is_some();
    is_left || (hpa.has_only_external_metrics() && hpa.metrics_of().is_some_and(|name| gone(&name)))
}
