//! Someone changes the spec of an HPA that a controller writes.
//!
//! ## What it protects
//! Nobody believes that an edit holds which the operator will undo.
//!
//! ## Why
//! KEDA rewrites the HPA of its ScaledObject, Envoy Gateway the HPAs of its fleets: the edit is gone at their next
//! reconcile. It must stay possible all the same, for an emergency while the operator is down.
//!
//! ## When it fires
//! The spec of an HPA changes that a live ScaledObject owns, or that carries Envoy Gateway's labels, by anyone but its
//! controller, and it is no handover. It warns.
//!
//! ## Overrides
//! * It only warns. Change the ScaledObject or the EnvoyProxy instead.
//! * `rules: {owned-hpa-changed: reject}` refuses such edits; `autoscaler-guard/allow: owned-hpa-changed` on the HPA or
//!   its workload then lets one through.
//!
//! ## Example
//! `kubectl patch hpa keda-hpa-web -n shop --type merge -p '{"spec":{"maxReplicas":20}}'`

use super::handover::is_handover;
use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::command::Command;
use crate::context::Context;
use crate::facts::hpa::{HorizontalPodAutoscaler, scaled_object_owners};
use crate::facts::{envoy_gateway, scaled_object};
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::title;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "owned-hpa-changed",
    title: "The controller of this HPA undoes the change",
    default: DefaultAction::Warn,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Get(&api::SCALED_OBJECT)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    if old.spec_text() == new.spec_text() || is_handover(context) {
        return None;
    }
    let (what, resource, name) = if let Some(owner) = scaled_object_owners(old).next() {
        let from = title("ScaledObject", &old.metadata.namespace, &owner.name);
        let what_happens = match scaled_object::with_uid(context, &old.metadata.namespace, &owner.name, &owner.uid) {
            Presence::Absent => return None,
            Presence::Found(_) => format!("KEDA puts it back as {from} declares it; change that instead"),
            Presence::Unknown(reason) => {
                format!("KEDA puts it back if {from} still declares it, which could not be read ({reason})")
            }
        };
        (what_happens, "scaledobject", owner.name.to_string())
    } else if envoy_gateway::has_fleet_labels(old) {
        let what_happens = "Envoy Gateway puts the fields it declares back at the next change of any Gateway or EnvoyProxy; change envoyHpa instead".to_owned();
        (what_happens, "envoyproxy", String::new())
    } else {
        return None;
    };
    let hpa = HorizontalPodAutoscaler::new(new.clone());
    let this = old.title("HPA");
    let target = WorkloadRef::new(&hpa.target(), &old.metadata.namespace);
    let finding = Finding::new(
        RULE.id,
        Action::Warn,
        Subject::new("hpa", &old.metadata),
        format!("the spec of {this} changes, but {what}"),
    );
    let declared = if name.is_empty() {
        Command::kubectl(&["get", "envoyproxy", "--all-namespaces"])
    } else {
        Subject { resource: resource.into(), namespace: old.metadata.namespace.to_string(), name }.kubectl("edit", &[])
    };
    Some(finding.about(target, this).help("Change what declares it", declared))
}
