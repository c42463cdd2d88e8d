//! A GatewayClass is pointed to another EnvoyProxy, or to none, so that fleets are left without envoyHpa.
//!
//! ## What it protects
//! The fleets of a class stay autoscaled, and no HPA is left that nothing declares.
//!
//! ## Why
//! The class's `parametersRef` decides by which EnvoyProxy its Gateways run. Envoy Gateway 1.1.3 to 1.4.x leaves the HPAs of the former one
//! behind, still scaling, and stops managing every fleet of every class when the new one does not exist. From 1.5 on the HPAs are deleted
//! and the replica counts freeze.
//!
//! ## When it fires
//! An update of a GatewayClass of Envoy Gateway's controller (setting `envoyGateway.controllerName`) adds, moves or removes
//! `spec.parametersRef`, and a live fleet of the class loses envoyHpa, counted after merging with the Gateway's own EnvoyProxy; or
//! `mergeGateways` differs between the two, as in merge-gateways; or, before 1.5, the new EnvoyProxy does not exist.
//!
//! ## Ways through
//! * Declare envoyHpa in the new EnvoyProxy first.
//! * From 1.5: it declares `envoyDeployment.replicas`, or a ScaledObject scales the fleet, or the fleet's Deployment owns its count
//!   (annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` applied server-side).
//! * `autoscaler-guard/allow: gatewayclass-parameters` on the GatewayClass, or on every fleet's Deployment; before 1.5 delete the HPA
//!   afterwards.
//!
//! ## Example
//! `kubectl patch gatewayclass eg --type json -p '[{"op":"remove","path":"/spec/parametersRef"}]'`

use super::envoyhpa_removed::{self, Cause, lost_fleets};
use super::{Default, LookUp, Rule, merge_gateways};
use crate::change::{Kind, Operation};
use crate::cluster::{Reason, api};
use crate::context::Context;
use crate::gate::Passage;
use crate::kinds::envoy_gateway::{EnvoyProxySpec, Estate, GatewayClass, Reference, Removal, Running};
use crate::kinds::title;
use crate::verdict::{Finding, Subject};

pub(super) static RULE: Rule = Rule {
    id: "gatewayclass-parameters",
    title: "A GatewayClass is not pointed away from the EnvoyProxy that autoscales its fleets",
    default: Default::Reject,
    may_reject: true,
    since: "0.1.0",
    concerns: Passage::Judged,
    watches: &[(Kind::GatewayClass, &[Operation::Update])],
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
    let (old, new) = context.change.update()?;
    let (old, new) = (GatewayClass::new(old.clone()), GatewayClass::new(new.clone()));
    if !old.is_envoy_gateways(context) || old.proxy == new.proxy {
        return None;
    }
    let subject = Subject::new("gatewayclass", &new.object.metadata);
    let mut cause = Cause { rule: &RULE, subject, change: change(&new), governing: proxy_of(&new) };
    judge(context, &mut cause, &old, Some(&new)).unwrap_or_else(|reason| Some(cause.unknown_fleets(&reason)))
}

fn change(new: &GatewayClass<'_>) -> String {
    let class = new.object.title("GatewayClass");
    match &new.proxy {
        Some((namespace, name)) => format!("pointing {class} to {}", title("EnvoyProxy", namespace, name)),
        None => format!("removing parametersRef from {class}"),
    }
}

/// The class's EnvoyProxy as kubectl addresses it.
pub(super) fn proxy_of(class: &GatewayClass<'_>) -> Option<Subject> {
    let (namespace, name) = class.proxy.as_ref()?;
    Some(Subject { resource: "envoyproxy".into(), namespace: namespace.to_string(), name: name.to_string() })
}

/// The verdict on a class that becomes `new`, or that is deleted.
pub(super) fn judge<'a>(
    context: &Context<'a>,
    cause: &mut Cause,
    old: &GatewayClass<'a>,
    new: Option<&GatewayClass<'a>>,
) -> Result<Option<Finding>, Reason> {
    let estate = Estate::look_up(context)?;
    if !estate.has_live_gateway() {
        return Ok(None);
    }
    let before = old.resolve(context)?;
    let after = new.map_or(Ok(Reference::Nothing), |new| new.resolve(context))?;
    if after.is_missing() {
        cause.is_to_nothing();
        let running = Running::look_up(context);
        if !before.is_missing() && running.removal() != Removal::Loses {
            return Ok(Some(see_proxies(cause.freezes_all(running, ""))));
        }
    }
    let lost = fate(context, cause, &estate, old, before.spec(), after.spec())?;
    Ok(if after.is_missing() { lost.map(see_proxies) } else { lost })
}

/// What becomes of the fleets of a class.
fn fate<'a>(
    context: &Context<'a>,
    cause: &Cause,
    estate: &Estate<'_, 'a>,
    class: &GatewayClass<'a>,
    before: Option<EnvoyProxySpec<'a>>,
    after: Option<EnvoyProxySpec<'a>>,
) -> Result<Option<Finding>, Reason> {
    let fleets = estate.fleets_of_class(&class.object.metadata.name, before)?;
    let merged = merge_gateways::judge(context, cause, &fleets, before, after);
    Ok(merged.or_else(|| envoyhpa_removed::judge(context, cause, &lost_fleets(fleets, before, after))))
}

/// Adds the command that tells which EnvoyProxies there are.
pub(super) fn see_proxies(finding: Finding) -> Finding {
    finding.help("See which EnvoyProxies there are", "kubectl get envoyproxies -A".to_owned())
}
