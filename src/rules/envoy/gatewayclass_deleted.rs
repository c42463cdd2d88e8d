//! A GatewayClass is deleted while autoscaled fleets of it run.
//!
//! ## What it protects
//! The fleets of a class keep their HPAs for as long as their Gateways live.
//!
//! ## Why
//! A finalizer holds a GatewayClass that is in use, but Envoy Gateway no longer reads its `parametersRef` once deletion
//! has begun. From 1.5 on the HPAs are deleted and the replica counts freeze; 1.1.3 to 1.4.x lets go of the fleets and
//! leaves the HPAs behind. A deletion that has begun cannot be taken back.
//!
//! ## When it fires
//! Someone deletes a GatewayClass of Envoy Gateway's controller, and a Gateway of the class that is not being deleted
//! has envoyHpa by the class's EnvoyProxy. Helm-managed: a warning, as `helm uninstall` deletes EnvoyProxy, Gateway and
//! GatewayClass in that order.
//!
//! ## Overrides
//! * Delete the Gateways first, or move them to another class.
//! * From 1.5: a ScaledObject scales the fleets, or their Deployments own their count.
//! * `autoscaler-guard/allow: gatewayclass-deleted` on the GatewayClass, or on every fleet's Deployment.
//!
//! ## Example
//! `kubectl delete gatewayclass eg`

use super::cause::Cause;
use super::class;
use crate::change::{Kind, Operation};
use crate::cluster::api;
use crate::command::Command;
use crate::context::Context;
use crate::facts::application;
use crate::facts::envoy_gateway::GatewayClass;
use crate::finding::{Action, Advice, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::Subject;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "gatewayclass-deleted",
    title: "Deleting this GatewayClass takes envoyHpa from its fleets",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::GatewayClass, &[Operation::Delete])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] =
    &[Lookup::Fleets, Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER), Lookup::List(&api::SCALED_OBJECT)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.deleted()?;
    let class = GatewayClass::new(old.clone());
    if !class.is_envoy_gateways(context) {
        return None;
    }
    let subject = Subject::new("gatewayclass", &old.metadata);
    let change = format!("deleting {}", old.title("GatewayClass"));
    let mut cause = Cause { rule: RULE.id, subject, change, takes_count: false, governing: None };
    let finding = class::judge(context, &mut cause, &class, None);
    let mut finding = finding.unwrap_or_else(|reason| Some(cause.unknown_fleets(&reason)))?;
    let gateways = Advice {
        purpose: "Delete or move its Gateways first",
        help: Command::kubectl(&["get", "gateways", "-A"]).into(),
    };
    finding.help.insert(0, gateways);
    if matches!(finding.action, Action::Reject)
        && application::softens_delete(context, application::Member::changed(context))
    {
        finding.action = Action::Warn;
    }
    Some(finding)
}
