//! A GatewayClass is pointed to another EnvoyProxy, or to none, so that fleets are left without envoyHpa.
//!
//! ## What it protects
//! The fleets of a class stay autoscaled, and no HPA is left that nothing declares.
//!
//! ## Why
//! The class's `parametersRef` decides by which EnvoyProxy its Gateways run. Envoy Gateway 1.1.3 to 1.4.x leaves the
//! HPAs of the former one behind, still scaling; from 1.5 on the HPAs are deleted and the replica counts freeze. When
//! the new one does not exist, or is no EnvoyProxy, it stops managing every fleet of every class (to 1.3.2) or deletes
//! those of the class (1.3.3 to 1.4.1). An EnvoyProxy at the class takes the place of the default one in Envoy
//! Gateway's configuration.
//!
//! ## When it fires
//! An update of a GatewayClass of an Envoy Gateway (by its configuration, or setting `envoyGateway.controllerName`)
//! adds, moves or removes `spec.parametersRef`, and a live fleet of the class loses envoyHpa, counted after merging
//! with the Gateway's own EnvoyProxy; or `mergeGateways` differs between the two, as in merge-gateways; or, before
//! 1.4.2, the new EnvoyProxy does not exist.
//!
//! ## Overrides
//! * Declare envoyHpa in the new EnvoyProxy first.
//! * From 1.5: it declares `envoyDeployment.replicas`, or a ScaledObject scales the fleet, or the fleet's Deployment
//!   owns its count (annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` applied server-side).
//! * `autoscaler-guard/allow: gatewayclass-parameters` on the GatewayClass, or on every fleet's Deployment; before 1.5
//!   delete the HPA afterwards.
//!
//! ## Example
//! `kubectl patch gatewayclass eg --type json -p '[{"op":"remove","path":"/spec/parametersRef"}]'`

use super::cause::Cause;
use super::class;
use crate::change::{Kind, Operation};
use crate::cluster::api;
use crate::context::Context;
use crate::facts::envoy_gateway::{GatewayClass, ProxyRef};
use crate::finding::Finding;
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::Subject;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "gatewayclass-parameters",
    title: "Pointing this GatewayClass elsewhere takes envoyHpa from its fleets",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::GatewayClass, &[Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] =
    &[Lookup::Fleets, Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER), Lookup::List(&api::SCALED_OBJECT)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    let (old, new) = (GatewayClass::new(old.clone()), GatewayClass::new(new.clone()));
    if !old.is_envoy_gateways(context) || old.proxy == new.proxy {
        return None;
    }
    let subject = Subject::new("gatewayclass", &new.object.metadata);
    let governing = new.proxy.as_ref().and_then(ProxyRef::subject);
    let mut cause = Cause { rule: RULE.id, subject, change: change(&new), takes_count: false, governing };
    class::judge(context, &mut cause, &old, Some(&new)).unwrap_or_else(|reason| Some(cause.unknown_fleets(&reason)))
}

fn change(new: &GatewayClass<'_>) -> String {
    let class = new.object.title("GatewayClass");
    match &new.proxy {
        Some(proxy) => format!("pointing {class} to {}", proxy.title()),
        None => format!("removing parametersRef from {class}"),
    }
}
