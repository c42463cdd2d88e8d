//! The Gateways of a class are merged into one fleet, or parted again.
//!
//! ## What it protects
//! No HPA is left that nothing declares, no Gateway loses its fleet, and nobody is surprised by fleets that start anew.
//!
//! ## Why
//! With `mergeGateways` all Gateways of a class share one fleet; flipped, Envoy Gateway makes other fleets and deletes the former ones. 1.1.3
//! to 1.4.x leaves their HPAs behind. From 1.5 on those go, too, and the new fleets restart at 1 replica, whatever the load is. A Gateway
//! with an EnvoyProxy of its own cannot be merged: Envoy Gateway deletes its whole fleet.
//!
//! ## When it fires
//! An update of an EnvoyProxy to which a GatewayClass refers flips `mergeGateways` (absent is false), and fleets of the class have envoyHpa
//! before and after. Refused where HPAs would stay behind, where which version runs is not known, and where a Gateway of the class would
//! lose its fleet; warned of otherwise.
//!
//! ## Ways through
//! * Take the reference to an own EnvoyProxy from each Gateway of the class first.
//! * `autoscaler-guard/allow: merge-gateways` on the EnvoyProxy, or on every fleet's Deployment; before 1.5 delete the HPAs afterwards.
//!
//! ## Example
//! `kubectl patch envoyproxy fleet -n envoy-gateway-system --type merge -p '{"spec":{"mergeGateways":true}}'`

use super::envoyhpa_removed::{Cause, LostFleet, about, and_more, clean_up, version_unknown};
use super::envoyproxy_deleted::drop_reference;
use super::{Default, LookUp, Rule};
use crate::change::{Kind, Operation};
use crate::cluster::api;
use crate::context::Context;
use crate::gate::Passage;
use crate::kinds::envoy_gateway::{Effective, EnvoyProxySpec, Estate, Fleet, Level, Removal, Running};
use crate::kinds::title;
use crate::verdict::{Action, Finding, Subject};

pub(super) static RULE: Rule = Rule {
    id: "merge-gateways",
    title: "Gateways are not merged or parted at the cost of their autoscalers",
    default: Default::Reject,
    may_reject: true,
    since: "0.1.0",
    concerns: Passage::Judged,
    watches: &[(Kind::EnvoyProxy, &[Operation::Update])],
    check,
};

pub(super) const LOOK_UPS: &[LookUp] =
    &[LookUp::Get(&api::ENVOY_PROXY), LookUp::List(&api::GATEWAY), LookUp::List(&api::GATEWAY_CLASS)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    let (before, after) = (EnvoyProxySpec::of(old), EnvoyProxySpec::of(new));
    if before.merges_gateways() == after.merges_gateways() {
        return None;
    }
    let switch = if after.merges_gateways() { "on" } else { "off" };
    let change = format!("switching mergeGateways {switch} in {}", new.title("EnvoyProxy"));
    let cause = Cause { rule: &RULE, subject: Subject::new("envoyproxy", &new.metadata), change, governing: None };
    match Estate::look_up(context).and_then(|estate| estate.governed(old, before)) {
        Ok(mut governed) => {
            governed.fleets.retain(|fleet| fleet.level == Level::Class);
            judge(context, &cause, &governed.fleets, Some(before), Some(after))
        }
        Err(reason) => Some(cause.unknown_fleets(&reason)),
    }
}

/// The verdict on the fleets of a class whose EnvoyProxy changes; nothing when they are merged, or not, before and after.
pub(super) fn judge<'a>(
    context: &Context<'a>,
    cause: &Cause,
    fleets: &[Fleet<'a>],
    before: Option<EnvoyProxySpec<'a>>,
    after: Option<EnvoyProxySpec<'a>>,
) -> Option<Finding> {
    let merges = |spec: Option<EnvoyProxySpec<'a>>| spec.is_some_and(EnvoyProxySpec::merges_gateways);
    if merges(before) == merges(after) {
        return None;
    }
    let autoscaled = |fleet: &&Fleet<'a>| !fleet.is_terminating && fleet.effective(before).declares_hpa();
    let own = fleets.iter().filter(autoscaled).find(|fleet| merges(after) && fleet.has_own_proxy);
    if let Some(fleet) = own {
        return Some(drop_reference(deletes(context, cause, "the whole", fleet, &fleet.effective(before)), fleet));
    }
    // Without envoyHpa afterwards it is a loss, as which it is judged.
    let remade: Vec<LostFleet<'a>> =
        fleets.iter().filter_map(|fleet| LostFleet::remade(fleet, before, after)).collect();
    remake(context, cause, &remade, merges(after))
}

/// A Gateway with an EnvoyProxy of its own is taken out of a class whose Gateways are merged.
pub(super) fn deletes<'a>(
    context: &Context<'a>,
    cause: &Cause,
    part: &str,
    fleet: &Fleet<'a>,
    before: &Effective<'a>,
) -> Finding {
    let (namespace, name) = fleet.hpa(before, context.settings);
    let outcome = format!(
        " would delete {part} fleet of {}: where Gateways are merged, none may have an EnvoyProxy of its own",
        fleet.title()
    );
    cause
        .finding(Action::Reject, &outcome)
        .about(fleet.deployment(before, context.settings), title("HPA", &namespace, &name))
}

/// Fleets that are autoscaled before and after, but not the same.
fn remake(context: &Context<'_>, cause: &Cause, remade: &[LostFleet<'_>], merged: bool) -> Option<Finding> {
    let first = remade.first()?;
    let running = Running::look_up(context);
    let (namespace, name) = first.hpa(context);
    let hpa = format!("{}{}", title("HPA", &namespace, &name), and_more(remade.len()));
    let fleets = if merged { "one fleet for all Gateways" } else { "a fleet for each Gateway" };
    let finding = match running.removal() {
        Removal::Loses => {
            let deployment = format!("{}{}", first.deployment(context), and_more(remade.len()));
            let outcome =
                format!(" replaces {deployment}: {} makes {fleets}, which starts at 1 replica", running.name());
            cause.finding(Action::Warn, &outcome)
        }
        Removal::Orphans => {
            let outcome =
                format!(" would orphan {hpa}: {} makes {fleets} and leaves the former HPA behind", running.name());
            let mut finding = clean_up(cause.finding(Action::Reject, &outcome), context, remade);
            finding.at_stake = "the orphan";
            finding
        }
        Removal::Either => {
            let outcome = format!(
                " would orphan {hpa}, or start at 1 replica: Envoy Gateway makes {fleets}; 1.1.3 to 1.4.x leaves the former HPA behind, from 1.5 it goes"
            );
            version_unknown(clean_up(cause.finding(Action::Reject, &outcome), context, remade))
        }
    };
    Some(about(finding, context, remade))
}
