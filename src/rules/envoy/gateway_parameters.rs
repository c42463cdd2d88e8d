//! A Gateway changes its EnvoyProxy or its class, so that its fleet is left without envoyHpa.
//!
//! ## What it protects
//! The Gateway's fleet stays autoscaled, and no HPA is left that nothing declares.
//!
//! ## Why
//! A Gateway's own EnvoyProxy replaces the class's, envoyHpa and all, unless it says `mergeType`; another class brings
//! another EnvoyProxy. Envoy Gateway 1.1.3 to 1.4.x leaves the HPA behind, still scaling; from 1.5 on it is deleted and
//! the replica count freezes. Without the EnvoyProxy that it refers to, or with a reference to something else, a
//! Gateway is not managed at all (from 1.3); and where the class merges Gateways, one with an EnvoyProxy of its own
//! loses its whole fleet.
//!
//! ## When it fires
//! An update of a Gateway, whose class was Envoy Gateway's (setting `envoyGateway.controllerName`), adds, moves or
//! removes `spec.infrastructure.parametersRef` or changes `gatewayClassName`, and
//!
//! * its fleet has envoyHpa before and not after, counted after merging;
//! * the EnvoyProxy or class does not exist; or
//! * the Gateway is, or gets, merged and refers to an EnvoyProxy of its own.
//!
//! To another controller's class, or to a class whose Gateways share an autoscaled fleet, it is refused only where the
//! HPA would stay behind.
//!
//! ## Overrides
//! * Declare envoyHpa in the new EnvoyProxy first, or let it be merged with the class's (`mergeType`, from 1.8).
//! * From 1.5: it declares `envoyDeployment.replicas`, or a ScaledObject scales the fleet, or the fleet's Deployment
//!   owns its count (annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` applied server-side).
//! * `autoscaler-guard/allow: gateway-parameters` on the Gateway, or on the fleet's Deployment; before 1.5 delete the
//!   HPA afterwards.
//!
//! ## Example
//! `kubectl patch gateway eg -n default --type merge -p '{"spec":{"gatewayClassName":"plain"}}'`

use super::cause::Cause;
use super::lost_fleet::{self, LostFleet};
use super::merge;
use super::references::{self, dangles, drop_reference};
use crate::change::{Kind, Operation};
use crate::cluster::{Reason, api};
use crate::command::Command;
use crate::context::Context;
use crate::facts::envoy_gateway::{
    Effective, EnvoyProxySpec, Fleet, Gateway, GatewayClass, Level, ProxyRef, Removal, WithoutOwnProxy, classes,
};
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::Subject;
use autoscaler_guard_reading::title;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "gateway-parameters",
    title: "Pointing this Gateway elsewhere takes envoyHpa from its fleet",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::Gateway, &[Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[
    Lookup::Get(&api::CONFIG_MAP),
    Lookup::Get(&api::ENVOY_PROXY),
    Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::DEPLOYMENT),
    Lookup::List(&api::GATEWAY_CLASS),
    Lookup::List(&api::SCALED_OBJECT),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    let (old, new) = (Gateway::new(old.clone()), Gateway::new(new.clone()));
    if old.class == new.class && old.own_proxy == new.own_proxy {
        return None;
    }
    let subject = Subject::new("gateway", &new.object.metadata);
    let mut cause = Cause { rule: RULE.id, subject, change: change(&old, &new), takes_count: false, governing: None };
    judge(context, &mut cause, &old, &new).unwrap_or_else(|reason| Some(cause.unknown_fleets(&reason)))
}

fn change(old: &Gateway<'_>, new: &Gateway<'_>) -> String {
    let gateway = new.object.title("Gateway");
    if old.class != new.class {
        return format!("moving {gateway} to {}", title("GatewayClass", "", &new.class));
    }
    match &new.own_proxy {
        Some(proxy) => format!("pointing {gateway} to {}", proxy.title()),
        None => format!("removing parametersRef from {gateway}"),
    }
}

fn judge<'a>(
    context: &Context<'a>,
    cause: &mut Cause,
    old: &Gateway<'a>,
    new: &Gateway<'a>,
) -> Result<Option<Finding>, Reason> {
    let classes = classes(context)?;
    let class = |name: &str| classes.iter().find(|class| class.object.metadata.name == name);
    let Some(old_class) = class(&old.class).filter(|class| class.is_envoy_gateways(context)) else { return Ok(None) };
    let before = old_class.resolve(context)?.spec();
    let home = old_class.installation(context);
    if home.merges(before) {
        return Ok(leaves_merged(cause, &Fleet::merged(home, &old.class, false), old_class, before, old, new));
    }
    let own = old.resolve(context)?;
    let fleet = old.fleet(home, Level::Gateway, None, before);
    let effective = fleet.effective(own.spec());
    // Without the EnvoyProxy that it refers to, there is no fleet to lose.
    if own.is_missing() || !effective.declares_hpa() {
        return Ok(None);
    }
    let Some(new_class) = class(&new.class) else {
        return Ok(Some(to_no_class(cause, &fleet, &effective)));
    };
    becomes(context, cause, fleet, effective, new, new_class)
}

/// The EnvoyProxy in which envoyHpa would have to be declared.
fn governing(gateway: &Gateway<'_>, class: &GatewayClass<'_>) -> Option<Subject> {
    gateway.own_proxy.as_ref().or(class.proxy.as_ref()).and_then(ProxyRef::subject)
}

/// What becomes of a fleet that has envoyHpa.
fn becomes<'a>(
    context: &Context<'a>,
    cause: &mut Cause,
    fleet: Fleet<'a>,
    before: Effective<'a>,
    new: &Gateway<'a>,
    class: &GatewayClass<'a>,
) -> Result<Option<Finding>, Reason> {
    let ours = class.is_envoy_gateways(context);
    let of_class = if ours { class.resolve(context)?.spec() } else { None };
    let merges = ours && class.installation(context).merges(of_class);
    if merges && new.own_proxy.is_some() {
        return Ok(Some(drop_reference(merge::deletes(cause, "the whole", &fleet, &before), &fleet)));
    }
    if !ours || merges && of_class.is_some_and(EnvoyProxySpec::declares_hpa) {
        // The fleet goes, as was plainly asked for; its HPA should go with it.
        let goes = fleet.home.running.removal() == Removal::Loses;
        let left = LostFleet::between(fleet, before, Effective::default()).filter(|_| !goes);
        return Ok(left.and_then(|left| lost_fleet::judge(context, cause, &[left])));
    }
    let own = new.resolve(context)?;
    let falls_back = fleet.home.running.without_own_proxy() == Some(WithoutOwnProxy::FallsBack);
    if own.is_missing() && !falls_back {
        let what = match &new.own_proxy {
            Some(proxy) if proxy.other_kind.is_some() => ", which is no EnvoyProxy, leaves it unmanaged",
            _ => ", which does not exist, leaves it unmanaged",
        };
        let finding = dangles(cause, what, &fleet, &before);
        return Ok(Some(references::see_proxies(finding)));
    }
    cause.governing = governing(new, class);
    let after = new.fleet(class.installation(context), Level::Gateway, None, of_class).effective(own.spec());
    let lost = LostFleet::between(fleet, before, after);
    Ok(lost.and_then(|lost| lost_fleet::judge(context, cause, &[lost])))
}

/// A Gateway without a fleet of its own: it has none to lose, but may not get an EnvoyProxy of its own.
fn leaves_merged<'a>(
    cause: &Cause,
    fleet: &Fleet<'a>,
    class: &GatewayClass<'a>,
    merged: Option<EnvoyProxySpec<'a>>,
    old: &Gateway<'a>,
    new: &Gateway<'a>,
) -> Option<Finding> {
    let gets_own = old.class == new.class && old.own_proxy.is_none() && new.own_proxy.is_some();
    let effective = fleet.effective(merged);
    if !gets_own || !effective.declares_hpa() {
        return None;
    }
    let finding = merge::deletes(cause, "its part of the", fleet, &effective);
    let proxy = class.proxy.as_ref().and_then(ProxyRef::subject)?;
    Some(finding.help("Configure the shared fleet instead", proxy.kubectl("edit", &[])))
}

fn to_no_class(cause: &Cause, fleet: &Fleet<'_>, before: &Effective<'_>) -> Finding {
    let (namespace, name) = fleet.hpa(before);
    let hpa = title("HPA", &namespace, &name);
    let outcome = format!(", which does not exist, leaves it unmanaged: nothing declares {hpa} any more");
    let mut finding = cause.finding(Action::Reject, &outcome).about(fleet.deployment(before), hpa);
    finding.at_stake = "it";
    finding.help("See which GatewayClasses there are", Command::kubectl(&["get", "gatewayclasses"]))
}
