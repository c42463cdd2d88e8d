//! What a change of an EnvoyProxy, a Gateway or a GatewayClass makes of Envoy Gateway's fleets.
//!
//! Nothing is looked up for a change that keeps all by which fleets are made: logging, listeners, the bounds of
//! envoyHpa.

use autoscaler_guard_reading::Object;

use super::binding::{Gateway, GatewayClass, Reference, classes};
use super::fleet::{Fleet, Level};
use super::governed::Topology;
use super::merge::Effective;
use super::spec::EnvoyProxySpec;
use crate::change::Kind;
use crate::cluster::Reason;
use crate::context::Context;

/// A fleet before and after a change.
#[derive(Clone, Debug)]
pub struct FleetChange<'a> {
    /// The fleet.
    pub fleet: Fleet<'a>,
    /// By which specs it ran; none when it comes into being, or what was there is not known.
    pub before: Option<Effective<'a>>,
    /// By which specs it will run; none when other fleets take its place.
    pub after: Option<Effective<'a>>,
}

impl<'a> FleetChange<'a> {
    /// The specs after the change, where they have envoyHpa and those before did not, or not under these names.
    pub fn gets_hpa(&self) -> Option<&Effective<'a>> {
        let after = self.after.as_ref().filter(|after| after.declares_hpa())?;
        let same = |before: &Effective<'a>| before.declares_hpa() && before.same_names(after);
        (!self.before.as_ref().is_some_and(same)).then_some(after)
    }
}

/// The specs of an EnvoyProxy that is created or updated, where they differ.
pub fn specs<'a>(context: &Context<'a>) -> Option<(Option<EnvoyProxySpec<'a>>, EnvoyProxySpec<'a>)> {
    let new = context.change.after().filter(|_| context.request.kind == Kind::EnvoyProxy)?;
    let old = context.change.before();
    let same = old.is_some_and(|old| old.spec_text() == new.spec_text());
    (!same).then(|| (old.map(EnvoyProxySpec::of), EnvoyProxySpec::of(new)))
}

/// Whether the change may give a fleet an HPA, where it is not known which fleets run by what.
pub fn may_declare_hpa(context: &Context<'_>) -> bool {
    let may = |(before, after): (Option<EnvoyProxySpec<'_>>, EnvoyProxySpec<'_>)| {
        after.declares_hpa() && !before.is_some_and(|before| same_fleets(before, after))
    };
    context.request.kind != Kind::EnvoyProxy || specs(context).is_some_and(may)
}

/// Whether fleets are made alike by both, whatever these are merged with.
fn same_fleets(before: EnvoyProxySpec<'_>, after: EnvoyProxySpec<'_>) -> bool {
    let alone = |spec| Effective::new(Some(spec), None, None);
    before.same_binding(after) && alone(before).same_fleets(&alone(after))
}

/// The fleets that the change is about. Gateways that are being deleted have none.
pub fn look_up<'a>(context: &Context<'a>) -> Result<Vec<FleetChange<'a>>, Reason> {
    let Some(new) = context.change.after() else { return Ok(Vec::new()) };
    let old = context.change.before();
    let mut changes = match context.request.kind {
        Kind::EnvoyProxy => of_proxy(context, new)?,
        Kind::Gateway => of_gateway(context, old, new)?,
        Kind::GatewayClass => of_class(context, old, new)?,
        _ => Vec::new(),
    };
    changes.retain(|change| !change.fleet.is_terminating);
    Ok(changes)
}

fn of_proxy<'a>(context: &Context<'a>, new: &Object<'a>) -> Result<Vec<FleetChange<'a>>, Reason> {
    let Some((before, after)) = specs(context) else { return Ok(Vec::new()) };
    if before.is_some_and(|before| same_fleets(before, after)) {
        return Ok(Vec::new());
    }
    let topology = Topology::look_up(context)?;
    let came = topology.governed(new, after)?.fleets;
    let went =
        before.map_or(Ok(Vec::new()), |before| topology.governed(new, before).map(|governed| governed.fleets))?;
    Ok(pairs(came, &went, before, Some(after), before.is_some()))
}

fn of_class<'a>(
    context: &Context<'a>,
    old: Option<&Object<'a>>,
    new: &Object<'a>,
) -> Result<Vec<FleetChange<'a>>, Reason> {
    let (old, new) = (old.cloned().map(GatewayClass::new), GatewayClass::new(new.clone()));
    if !new.is_envoy_gateways(context) || old.as_ref().is_some_and(|old| old.proxy == new.proxy) {
        return Ok(Vec::new());
    }
    let spec = |class: &GatewayClass<'a>| class.resolve(context).map(Reference::spec);
    let before = old.as_ref().map_or(Ok(None), spec)?;
    let after = spec(&new)?;
    let topology = Topology::look_up(context)?;
    let (came, went) = (topology.fleets_of_class(&new, after)?, topology.fleets_of_class(&new, before)?);
    Ok(pairs(came, &went, before, after, old.is_some()))
}

/// Fleets that run by another EnvoyProxy, or by a changed one. Where `mergeGateways` flips, others take their place.
fn pairs<'a>(
    came: Vec<Fleet<'a>>,
    went: &[Fleet<'a>],
    before: Option<EnvoyProxySpec<'a>>,
    after: Option<EnvoyProxySpec<'a>>,
    existed: bool,
) -> Vec<FleetChange<'a>> {
    let stays = |fleet: &Fleet<'a>, others: &[Fleet<'a>]| existed && others.iter().any(|other| other.is(fleet));
    let replaced = went.iter().filter(|fleet| existed && !stays(fleet, &came)).map(|fleet| FleetChange {
        fleet: fleet.clone(),
        before: Some(fleet.effective(before)),
        after: None,
    });
    let mut changes: Vec<FleetChange<'a>> = replaced.collect();
    changes.extend(came.into_iter().map(|fleet| FleetChange {
        before: stays(&fleet, went).then(|| fleet.effective(before)),
        after: Some(fleet.effective(after)),
        fleet,
    }));
    changes
}

fn of_gateway<'a>(
    context: &Context<'a>,
    old: Option<&Object<'a>>,
    new: &Object<'a>,
) -> Result<Vec<FleetChange<'a>>, Reason> {
    let (old, new) = (old.cloned().map(Gateway::new), Gateway::new(new.clone()));
    if old.as_ref().is_some_and(|old| old.class == new.class && old.own_proxy == new.own_proxy) {
        return Ok(Vec::new());
    }
    let Some((fleet, after)) = fleet_of(context, &new)? else { return Ok(Vec::new()) };
    let before = old.map_or(Ok(None), |old| fleet_of(context, &old))?;
    let before = before.filter(|(former, _)| former.is(&fleet)).map(|(_, before)| before);
    Ok(vec![FleetChange { fleet, before, after: Some(after) }])
}

/// The fleet of a Gateway, or of its class with merged ones; none where Envoy Gateway runs none.
fn fleet_of<'a>(context: &Context<'a>, gateway: &Gateway<'a>) -> Result<Option<(Fleet<'a>, Effective<'a>)>, Reason> {
    let classes = classes(context)?;
    let class = classes.iter().find(|class| class.object.metadata.name == gateway.class);
    let Some(class) = class.filter(|class| class.is_envoy_gateways(context)) else { return Ok(None) };
    let home = class.installation(context);
    let of_class = class.resolve(context)?.spec();
    if home.merges(of_class) {
        let fleet = Fleet::merged(home, &gateway.class, false);
        let effective = fleet.effective(of_class);
        return Ok(Some((fleet, effective)));
    }
    let own = gateway.resolve(context)?;
    if own.is_missing() || !home.watches(&gateway.object.metadata.namespace) {
        return Ok(None);
    }
    let fleet = gateway.fleet(home, Level::Gateway, None, of_class);
    let effective = fleet.effective(own.spec());
    Ok(Some((fleet, effective)))
}
