//! The Gateways of a class are merged into one fleet, or parted again.
//!
//! ## What it protects
//! No HPA is left that nothing declares, no Gateway loses its fleet, and nobody is surprised by fleets that start anew.
//!
//! ## Why
//! With `mergeGateways` all Gateways of a class share one fleet; flipped, Envoy Gateway makes other fleets and deletes
//! the former ones. 1.1.3 to 1.4.x leaves their HPAs behind. From 1.5 on those go, too, and the new fleets restart at 1
//! replica, whatever the load is. A Gateway with an EnvoyProxy of its own cannot be merged: Envoy Gateway deletes its
//! whole fleet. Beside `mergeBackends` it accepts no Gateway of the class; in gateway namespace mode it drops the
//! class's EnvoyProxy.
//!
//! ## When it fires
//! An update of an EnvoyProxy to which a GatewayClass refers flips `mergeGateways` (absent is false), and fleets of the
//! class have envoyHpa before and after; or it is set where Envoy Gateway does not take it.
//!
//! * It is refused where HPAs would stay behind, where the version is not known, and where a Gateway of the class would
//!   lose its fleet.
//! * Otherwise it warns.
//!
//! ## Overrides
//! * Take the reference to an own EnvoyProxy from each Gateway of the class first.
//! * `autoscaler-guard/allow: merge-gateways` on the EnvoyProxy, or on every fleet's Deployment; before 1.5 delete the
//!   HPAs afterwards.
//!
//! ## Example
//! `kubectl patch envoyproxy fleet -n envoy-gateway-system --type merge -p '{"spec":{"mergeGateways":true}}'`

use super::cause::Cause;
use super::merge;
use crate::change::{Kind, Operation};
use crate::cluster::api;
use crate::context::Context;
use crate::facts::envoy_gateway::{EnvoyProxySpec, Level, Topology};
use crate::finding::Finding;
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::Subject;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "merge-gateways",
    title: "Merging or parting Gateways loses the autoscalers of their fleets",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::EnvoyProxy, &[Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] =
    &[Lookup::Fleets, Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER), Lookup::List(&api::HORIZONTAL_POD_AUTOSCALER)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    let (before, after) = (EnvoyProxySpec::of(old), EnvoyProxySpec::of(new));
    let facts = |spec: EnvoyProxySpec<'_>| (spec.merges_gateways(), spec.merges_too_much());
    if facts(before) == facts(after) {
        return None;
    }
    let this = new.title("EnvoyProxy");
    let change = match (before.merges_gateways(), after.merges_gateways()) {
        (false, true) => format!("switching mergeGateways on in {this}"),
        (true, false) => format!("switching mergeGateways off in {this}"),
        _ => format!("changing mergeBackends in {this}"),
    };
    let cause = Cause {
        rule: RULE.id,
        subject: Subject::new("envoyproxy", &new.metadata),
        change,
        takes_count: false,
        governing: None,
    };
    match Topology::look_up(context).and_then(|topology| topology.governed(old, before)) {
        Ok(mut governed) => {
            governed.fleets.retain(|fleet| fleet.level == Level::Class);
            merge::judge(context, &cause, &governed.fleets, Some(before), Some(after))
        }
        Err(reason) => Some(cause.unknown_fleets(&reason)),
    }
}
