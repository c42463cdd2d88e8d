//! A GatewayClass is deleted while autoscaled fleets of it run.
//!
//! ## What it protects
//! The fleets of a class keep their HPAs for as long as their Gateways live.
//!
//! ## Why
//! A finalizer holds a GatewayClass that is in use, but Envoy Gateway no longer reads its `parametersRef` once deletion has begun. From 1.5
//! on the HPAs are deleted and the replica counts freeze; 1.1.3 to 1.4.x lets go of the fleets and leaves the HPAs behind. A deletion that
//! has begun cannot be taken back.
//!
//! ## When it fires
//! Someone deletes a GatewayClass of Envoy Gateway's controller, and a Gateway of the class that is not being deleted has envoyHpa by the
//! class's EnvoyProxy. Helm-managed: a warning, as `helm uninstall` deletes EnvoyProxy, Gateway and GatewayClass in that order.
//!
//! ## Ways through
//! * Delete the Gateways first, or move them to another class.
//! * From 1.5: a ScaledObject scales the fleets, or their Deployments own their count.
//! * `autoscaler-guard/allow: gatewayclass-deleted` on the GatewayClass, or on every fleet's Deployment.
//!
//! ## Example
//! `kubectl delete gatewayclass eg`

use super::envoyhpa_removed::Cause;
use super::{Default, LookUp, Rule, gatewayclass_parameters};
use crate::change::{Kind, Operation};
use crate::cluster::api;
use crate::context::Context;
use crate::gate::Passage;
use crate::kinds::envoy_gateway::GatewayClass;
use crate::kinds::helm;
use crate::verdict::{Action, Finding, Help, Subject};

pub(super) static RULE: Rule = Rule {
    id: "gatewayclass-deleted",
    title: "A GatewayClass is not deleted under its autoscaled fleets",
    default: Default::Reject,
    may_reject: true,
    since: "0.1.0",
    concerns: Passage::Judged,
    watches: &[(Kind::GatewayClass, &[Operation::Delete])],
    check,
};

pub(super) const LOOK_UPS: &[LookUp] = &[
    LookUp::Get(&api::ENVOY_PROXY),
    LookUp::Get(&api::HORIZONTAL_POD_AUTOSCALER),
    LookUp::List(&api::GATEWAY),
    LookUp::List(&api::GATEWAY_CLASS),
    LookUp::List(&api::SCALED_OBJECT),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.deleted()?;
    let class = GatewayClass::new(old.clone());
    if !class.is_envoy_gateways(context) || class.proxy.is_none() {
        return None;
    }
    let subject = Subject::new("gatewayclass", &old.metadata);
    let change = format!("deleting {}", old.title("GatewayClass"));
    let mut cause = Cause { rule: &RULE, subject, change, governing: None };
    let finding = gatewayclass_parameters::judge(context, &mut cause, &class, None);
    let mut finding = finding.unwrap_or_else(|reason| Some(cause.unknown_fleets(&reason)))?;
    let gateways = Help { purpose: "Delete or move its Gateways first", command: "kubectl get gateways -A".to_owned() };
    finding.help.insert(0, gateways);
    if matches!(finding.action, Action::Reject) && helm::softens_delete(context, old) {
        finding.action = Action::Warn;
    }
    Some(finding)
}
