//! What becomes of the fleets of a GatewayClass whose EnvoyProxy changes, or that goes.

use super::cause::Cause;
use super::lost_fleet::{self, lost_fleets};
use super::merge;
use super::references::see_proxies;
use crate::cluster::Reason;
use crate::context::Context;
use crate::facts::envoy_gateway::{EnvoyProxySpec, GatewayClass, Reference, Topology, WithoutClassProxy};
use crate::finding::Finding;

/// The verdict on a class that becomes `new`, or that is deleted.
pub(super) fn judge<'a>(
    context: &Context<'a>,
    cause: &mut Cause,
    old: &GatewayClass<'a>,
    new: Option<&GatewayClass<'a>>,
) -> Result<Option<Finding>, Reason> {
    let topology = Topology::look_up(context)?;
    if !topology.has_live_gateway() {
        return Ok(None);
    }
    let before = old.resolve(context)?;
    let after = new.map_or(Ok(Reference::Nothing), |new| new.resolve(context))?;
    if after.is_missing() {
        cause.is_to_nothing();
        let running = old.installation(context).running;
        let has_fleets = || topology.fleets_of_class(old, before.spec()).is_ok_and(|fleets| !fleets.is_empty());
        let concerns = running.without_class_proxy() != Some(WithoutClassProxy::DeletesFleets) || has_fleets();
        if let Some(finding) = cause.without_class_proxy(running, "").filter(|_| !before.is_missing() && concerns) {
            return Ok(Some(see_proxies(finding)));
        }
    }
    let lost = fate(context, cause, &topology, old, before.spec(), after.spec())?;
    Ok(if after.is_missing() { lost.map(see_proxies) } else { lost })
}

/// What becomes of the fleets of a class.
fn fate<'a>(
    context: &Context<'a>,
    cause: &Cause,
    topology: &Topology<'_, 'a>,
    class: &GatewayClass<'a>,
    before: Option<EnvoyProxySpec<'a>>,
    after: Option<EnvoyProxySpec<'a>>,
) -> Result<Option<Finding>, Reason> {
    let fleets = topology.fleets_of_class(class, before)?;
    let merged = merge::judge(context, cause, &fleets, before, after);
    Ok(merged.or_else(|| lost_fleet::judge(context, cause, &lost_fleets(fleets, before, after))))
}
