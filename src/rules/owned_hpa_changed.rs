//! Someone changes the spec of an HPA that a controller writes.
//!
//! ## What it protects
//! Nobody believes that an edit holds which the operator will undo.
//!
//! ## Why
//! KEDA rewrites the HPA of its ScaledObject, Envoy Gateway the HPAs of its fleets: the edit is gone at their next reconcile. It must stay
//! possible all the same, for an emergency while the operator is down.
//!
//! ## When it fires
//! The spec of an HPA changes that a live ScaledObject owns, or that carries Envoy Gateway's labels, by anyone but its controller, and it
//! is no hand-over. It warns.
//!
//! ## Ways through
//! * It only warns. Change the ScaledObject or the EnvoyProxy instead.
//! * `rules: {owned-hpa-changed: reject}` refuses such edits; `autoscaler-guard/allow: owned-hpa-changed` on the HPA or its workload then lets
//!   one through.
//!
//! ## Example
//! `kubectl patch hpa keda-hpa-web -n shop --type merge -p '{"spec":{"maxReplicas":20}}'`

use super::{Default, LookUp, Rule, hpa_handover};
use crate::change::{Kind, Operation};
use crate::cluster::{Answer, api};
use crate::context::Context;
use crate::gate::Passage;
use crate::kinds::horizontal_pod_autoscaler::{HorizontalPodAutoscaler, scaled_object_owners};
use crate::kinds::workload::WorkloadRef;
use crate::kinds::{envoy_gateway, scaled_object, title};
use crate::verdict::{Action, Finding, Subject};

pub(super) static RULE: Rule = Rule {
    id: "owned-hpa-changed",
    title: "An edit that the HPA's controller will undo is told",
    default: Default::Warn,
    may_reject: true,
    since: "0.1.0",
    concerns: Passage::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Update])],
    check,
};

pub(super) const LOOK_UPS: &[LookUp] = &[LookUp::Get(&api::SCALED_OBJECT)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    if old.spec_text() == new.spec_text() || hpa_handover::is_hand_over(context) {
        return None;
    }
    let (what, resource, name) = if let Some(owner) = scaled_object_owners(old).next() {
        let from = title("ScaledObject", &old.metadata.namespace, &owner.name);
        let told = match scaled_object::with_uid(context, &old.metadata.namespace, &owner.name, &owner.uid) {
            Answer::Absent => return None,
            Answer::Found(_) => format!("KEDA puts it back as {from} declares it; change that instead"),
            Answer::Unknown(reason) => {
                format!("KEDA puts it back if {from} still declares it, which could not be read ({reason})")
            }
        };
        (told, "scaledobject", owner.name.to_string())
    } else if envoy_gateway::has_fleet_labels(old) {
        let told = "Envoy Gateway puts the fields it declares back at the next change of any Gateway or EnvoyProxy; change envoyHpa instead".to_owned();
        (told, "envoyproxy", String::new())
    } else {
        return None;
    };
    let hpa = HorizontalPodAutoscaler::new(new.clone());
    let this = old.title("HPA");
    let target = WorkloadRef::new(&hpa.target(), &old.metadata.namespace);
    let finding = Finding::new(
        &RULE,
        Action::Warn,
        Subject::new("hpa", &old.metadata),
        format!("the spec of {this} changes, but {what}"),
    );
    let declared = if name.is_empty() {
        "kubectl get envoyproxy --all-namespaces".to_owned()
    } else {
        Subject { resource: resource.into(), namespace: old.metadata.namespace.to_string(), name }.kubectl("edit", "")
    };
    Some(finding.about(target, this).help("Change what declares it", declared))
}
