//! What becomes of the fleets of a class when its Gateways are merged or parted.

use super::cause::{Cause, and_more, version_unknown};
use super::lost_fleet::{LostFleet, about, clean_up};
use super::references::drop_reference;
use crate::context::Context;
use crate::facts::envoy_gateway::{Effective, EnvoyProxySpec, Fleet, Removal};
use crate::finding::{Action, Finding};
use autoscaler_guard_reading::title;

/// The verdict on the fleets of a class whose EnvoyProxy changes; nothing when they are merged, or not, before and
/// after.
pub(super) fn judge<'a>(
    context: &Context<'a>,
    cause: &Cause,
    fleets: &[Fleet<'a>],
    before: Option<EnvoyProxySpec<'a>>,
    after: Option<EnvoyProxySpec<'a>>,
) -> Option<Finding> {
    let home = &fleets.first()?.home;
    if let Some(refused) = refused(context, cause, fleets, before, after) {
        return Some(refused);
    }
    let merges = |spec: Option<EnvoyProxySpec<'a>>| home.merges(spec);
    if merges(before) == merges(after) {
        return None;
    }
    let autoscaled = |fleet: &&Fleet<'a>| !fleet.is_terminating && fleet.effective(before).declares_hpa();
    let own = fleets.iter().filter(autoscaled).find(|fleet| merges(after) && fleet.has_own_proxy);
    if let Some(fleet) = own {
        return Some(drop_reference(deletes(cause, "the whole", fleet, &fleet.effective(before)), fleet));
    }
    // Without envoyHpa afterwards it is a loss, as which it is judged.
    let remade: Vec<LostFleet<'a>> =
        fleets.iter().filter_map(|fleet| LostFleet::remade(fleet, before, after)).collect();
    remake(context, cause, &remade, merges(after))
}

/// `mergeGateways` where Envoy Gateway does not take it.
fn refused<'a>(
    context: &Context<'a>,
    cause: &Cause,
    fleets: &[Fleet<'a>],
    before: Option<EnvoyProxySpec<'a>>,
    after: Option<EnvoyProxySpec<'a>>,
) -> Option<Finding> {
    let is_refused = |fleet: &Fleet<'a>, spec| fleet.home.accepted(spec).is_none();
    let was_autoscaled = |fleet: &&Fleet<'a>| {
        !fleet.is_terminating
            && is_refused(fleet, after)
            && !is_refused(fleet, before)
            && fleet.effective(before).declares_hpa()
            && !fleet.effective(after).declares_hpa()
    };
    after?;
    let fleet = fleets.iter().find(was_autoscaled)?;
    let lost = LostFleet::between(fleet.clone(), fleet.effective(before), fleet.effective(after))?;
    let deployment = lost.deployment(context);
    let outcome = if after.is_some_and(EnvoyProxySpec::merges_too_much) {
        format!(
            " would delete {deployment}: with mergeGateways beside mergeBackends Envoy Gateway accepts no Gateway of the class"
        )
    } else {
        format!(
            " would take envoyHpa from {deployment}: in gateway namespace mode Envoy Gateway refuses an EnvoyProxy with mergeGateways, and its fleets run on defaults"
        )
    };
    Some(about(cause.finding(Action::Reject, &outcome), context, &[lost]))
}

/// A Gateway with an EnvoyProxy of its own is taken out of a class whose Gateways are merged.
pub(super) fn deletes(cause: &Cause, part: &str, fleet: &Fleet<'_>, before: &Effective<'_>) -> Finding {
    let (namespace, name) = fleet.hpa(before);
    let outcome = format!(
        " would delete {part} fleet of {}: where Gateways are merged, none may have an EnvoyProxy of its own",
        fleet.title()
    );
    cause.finding(Action::Reject, &outcome).about(fleet.deployment(before), title("HPA", &namespace, &name))
}

/// Fleets that are autoscaled before and after, but not the same.
fn remake<'a>(context: &Context<'a>, cause: &Cause, remade: &[LostFleet<'a>], merged: bool) -> Option<Finding> {
    let first = remade.first()?;
    let running = first.running();
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
