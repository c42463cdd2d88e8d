//! Someone else than its controller changes who owns an HPA.
//!
//! ## What it protects
//! An HPA has one owner who writes it, and goes when that owner goes: not before, not never.
//!
//! ## Why
//! Without the ownerReference KEDA no longer watches the HPA and the garbage collector no longer takes it: it scales on
//! with nobody behind it. Without `controller: true` the collector still follows the reference, but KEDA does not. And
//! an HPA that refers to a ScaledObject or Gateway that does not declare it is deleted with that one.
//!
//! ## When it fires
//! * An update drops the reference to a ScaledObject, Gateway or GatewayClass that lives and is not being deleted,
//!   changes its name or kind, or takes `controller` from it.
//! * Somebody sets the mark of a handover (`autoscaler-guard/released-from`) by hand.
//! * A create or update adds a reference to a ScaledObject that names another HPA, or to a Gateway or GatewayClass
//!   whose EnvoyProxy declares no HPA.
//!
//! Gateways count where Envoy Gateway runs their class, or the HPA has its labels. A handover (hpa-handover) and a
//! giveback (hpa-giveback) are not reported.
//!
//! ## Overrides
//! * A handover: annotate the HPA with `autoscaler-guard/handover: "<scaledobject>"` instead.
//! * `autoscaler-guard/allow: hpa-owner-changed` on the HPA or its workload.
//!
//! ## Example
//! `kubectl patch hpa keda-hpa-web -n shop --type json -p '[{"op":"remove","path":"/metadata/ownerReferences"}]'`

use super::handover::{HANDOVER, is_handover};
use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::facts::envoy_gateway;
use crate::facts::hpa::HorizontalPodAutoscaler;
use crate::facts::owner::{Owner, is_same, is_scaled_object};
use crate::facts::released::ReleaseMark;
use crate::facts::scaled_object::{self, ScaledObject};
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::{Object, OwnerReference, group_of, title};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "hpa-owner-changed",
    title: "Somebody other than its controller changes who owns this HPA",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Create, Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[
    Lookup::Get(&api::GATEWAY),
    Lookup::Get(&api::GATEWAY_CLASS),
    Lookup::Get(&api::SCALED_OBJECT),
    Lookup::List(&api::DEPLOYMENT),
    Lookup::Owner,
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let new = context.change.after()?;
    let no_owners = Vec::new();
    let before = context.change.before().map_or(no_owners.as_slice(), |old| old.metadata.owner_references());
    let after = new.metadata.owner_references();
    let marked = ReleaseMark::written(new) != context.change.before().and_then(ReleaseMark::written);
    if (before == after && !marked) || is_handover(context) {
        return None;
    }
    let dropped = before.iter().find_map(|owner| lost(context, new, owner));
    let what = dropped
        .or_else(|| forges_mark(context, new))
        .or_else(|| after.iter().filter(|owner| !has(before, owner)).find_map(|owner| gained(context, new, owner)))?;
    let hpa = HorizontalPodAutoscaler::new(new.clone());
    let mut finding = Finding::new(RULE.id, Action::Reject, Subject::new("hpa", &new.metadata), what)
        .about(WorkloadRef::new(&hpa.target(), &new.metadata.namespace), new.title("HPA"));
    finding.at_stake = "it";
    let scaled_object = before.iter().find(|owner| is_scaled_object(&owner.api_version, &owner.kind));
    if let Some(owner) = scaled_object.filter(|owner| !has(after, owner)) {
        let hand_over = finding.annotate.kubectl("annotate", &[]).name(format!("{}={}", HANDOVER, owner.name));
        finding = finding.help("Hand the HPA over instead", hand_over);
    }
    Some(finding)
}

fn has(owners: &[OwnerReference<'_>], owner: &OwnerReference<'_>) -> bool {
    owners.iter().any(|other| other.uid == owner.uid)
}

/// The owners whose HPAs this policy knows; other operators' references are theirs to change. A Gateway is one if Envoy
/// Gateway runs it: those of Istio, NGINX Gateway Fabric and others own HPAs that no EnvoyProxy declares.
fn is_known(context: &Context<'_>, hpa: &Object<'_>, owner: &OwnerReference<'_>) -> bool {
    let of_gateway_api = group_of(&owner.api_version) == "gateway.networking.k8s.io";
    let may_be_envoys = of_gateway_api && matches!(owner.kind.as_ref(), "Gateway" | "GatewayClass");
    is_scaled_object(&owner.api_version, &owner.kind)
        || (may_be_envoys
            && (envoy_gateway::has_fleet_labels(hpa)
                || envoy_gateway::is_run_by_envoy_gateway(context, &hpa.metadata.namespace, owner)))
}

/// What is wrong when somebody marks an HPA as handed over: only rule hpa-handover does, and takes the owner away in
/// the same change.
fn forges_mark(context: &Context<'_>, new: &Object<'_>) -> Option<String> {
    let mark = ReleaseMark::written(new)?;
    let old = context.change.before()?;
    if ReleaseMark::written(old).as_ref() == Some(&mark) {
        return None;
    }
    let namespace = &new.metadata.namespace;
    let caveat = match scaled_object::with_uid(context, namespace, &mark.scaled_object, &mark.uid) {
        Presence::Absent => return None,
        Presence::Found(_) => String::new(),
        Presence::Unknown(reason) => format!(" (whether it lives is not known: {reason})"),
    };
    let (this, from) = (new.title("HPA"), title("ScaledObject", namespace, &mark.scaled_object));
    Some(format!(
        "changing {this} marks it by hand as handed over from {from}{caveat}: KEDA would not manage it any more, though nobody took it over"
    ))
}

/// What is wrong when `owner` was there before and is no longer, or no longer as controller.
fn lost(context: &Context<'_>, new: &Object<'_>, owner: &OwnerReference<'_>) -> Option<String> {
    let now = new.metadata.owner_with_uid(&owner.uid);
    let how = match now {
        None => "drops its reference to",
        Some(now) if owner.controller == Some(true) && now.controller != Some(true) => {
            "takes controller from its reference to"
        }
        // The garbage collector looks for the owner by its name and kind, then compares the uid.
        Some(now) if !is_same(now, owner) => "changes the name or kind in its reference to",
        Some(_) => return None,
    };
    if !is_known(context, new, owner) {
        return None;
    }
    let caveat = match owner.look_up(context, &new.metadata.namespace) {
        Presence::Found(found) if found.metadata.is_terminating() => return None,
        Presence::Absent => return None,
        Presence::Found(_) => String::new(),
        Presence::Unknown(reason) => format!(" (whether it lives is not known: {reason})"),
    };
    let (this, from) = (new.title("HPA"), owner.title(&new.metadata.namespace));
    Some(format!(
        "changing {this} {how} {from}: its controller no longer sees it, and it may outlive what declares it{caveat}"
    ))
}

/// What is wrong when `owner` is new.
fn gained(context: &Context<'_>, new: &Object<'_>, owner: &OwnerReference<'_>) -> Option<String> {
    if !is_known(context, new, owner)
        || ReleaseMark::of_change(context.change).is_some_and(|release| release.uid == owner.uid)
    {
        return None;
    }
    let (this, to) = (new.title("HPA"), owner.title(&new.metadata.namespace));
    let declared = if is_scaled_object(&owner.api_version, &owner.kind) {
        let found =
            context.neighbours.get(&api::SCALED_OBJECT, &new.metadata.namespace, &owner.name, scaled_object::FIELDS);
        found.map(|found| found.metadata.uid != owner.uid || ScaledObject::new(found).hpa_name() == new.metadata.name)
    } else if envoy_gateway::has_fleet_labels(new) {
        envoy_gateway::declares_fleet_hpa(context, new)
    } else {
        Presence::Found(false)
    };
    // A stale owner is hpa-owner-stale's; what cannot be read may well declare it.
    (declared == Presence::Found(false))
        .then(|| format!("making {to} an owner of {this}, which it does not declare, has the HPA deleted with it"))
}
