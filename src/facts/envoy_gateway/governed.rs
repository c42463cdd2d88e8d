//! Which fleets run by which EnvoyProxy.

use autoscaler_guard_reading::{Object, OwnerReference};

use super::binding::{Gateway, GatewayClass, Reference, classes, gateways, resolve_all};
use super::fleet::{Fleet, Level, OWNING_GATEWAY_CLASS, OWNING_GATEWAY_NAME, OWNING_GATEWAY_NAMESPACE};
use super::merge::Effective;
use super::spec::EnvoyProxySpec;
use crate::cluster::{Presence, Reason, api};
use crate::context::Context;

/// Every fleet that an EnvoyProxy governs, from GatewayClasses and from Gateways.
#[derive(Clone, Debug, Default)]
pub struct Governed<'a> {
    /// The fleets.
    pub fleets: Vec<Fleet<'a>>,
    /// The GatewayClasses of the controller that refer to it.
    pub classes: Vec<GatewayClass<'a>>,
    /// Whether any Gateway of the controller, of whatever class, is alive.
    pub any_gateway: bool,
}

/// All that Envoy Gateways run.
#[derive(Debug)]
pub struct Topology<'c, 'a> {
    context: &'c Context<'a>,
    classes: Vec<GatewayClass<'a>>,
    gateways: Vec<Gateway<'a>>,
}

impl<'c, 'a> Topology<'c, 'a> {
    /// Looks up all Gateways and the classes that are Envoy Gateway's.
    pub fn look_up(context: &'c Context<'a>) -> Result<Self, Reason> {
        let mut classes = classes(context)?;
        let gateways = gateways(context)?;
        // Whose a class is, matters only where it has Gateways.
        let is_used = |class: &GatewayClass<'a>| gateways.iter().any(|it| it.class == class.object.metadata.name);
        classes.retain(|class| (is_used(class) || class.proxy.is_some()) && class.is_envoy_gateways(context));
        Ok(Self { context, classes, gateways })
    }

    /// Which fleets an EnvoyProxy governs, given its spec before the change.
    pub fn governed(&self, proxy: &Object<'a>, spec: EnvoyProxySpec<'a>) -> Result<Governed<'a>, Reason> {
        let mut governed = Governed { any_gateway: self.has_live_gateway(), ..Governed::default() };
        for class in &self.classes {
            if class.proxy.as_ref().is_some_and(|reference| reference.is_to(proxy)) {
                governed.classes.push(class.clone());
                governed.fleets.extend(self.fleets_of_class(class, Some(spec))?);
            }
        }
        for gateway in &self.gateways {
            if gateway.own_proxy.as_ref().is_some_and(|reference| reference.is_to(proxy)) {
                governed.fleets.extend(self.fleet_of_gateway(gateway)?);
            }
        }
        Ok(governed)
    }

    /// Whether any Gateway of a controller of ours, of whatever class, is alive.
    pub fn has_live_gateway(&self) -> bool {
        let is_live =
            |gateway: &Gateway<'a>| !gateway.object.metadata.is_terminating() && self.class_of(gateway).is_some();
        self.gateways.iter().any(is_live)
    }

    /// Whether its class has another Gateway that is alive.
    pub fn has_other_gateway(&self, gateway: &Gateway<'a>) -> bool {
        let is_other = |other: &&Gateway<'a>| {
            other.class == gateway.class && other.object.metadata.uid != gateway.object.metadata.uid
        };
        self.gateways.iter().filter(is_other).any(|other| !other.object.metadata.is_terminating())
    }

    fn class_of(&self, gateway: &Gateway<'a>) -> Option<&GatewayClass<'a>> {
        self.classes.iter().find(|class| class.object.metadata.name == gateway.class)
    }

    /// The fleets of a class whose EnvoyProxy, the governing one, has this spec.
    pub fn fleets_of_class(
        &self,
        class: &GatewayClass<'a>,
        spec: Option<EnvoyProxySpec<'a>>,
    ) -> Result<Vec<Fleet<'a>>, Reason> {
        let name = class.object.metadata.name.as_ref();
        let of_class = || self.gateways.iter().filter(|gateway| gateway.class == name);
        if of_class().next().is_none() {
            return Ok(Vec::new());
        }
        let home = class.installation(self.context);
        if home.merges(spec) {
            let is_terminating = of_class().all(|gateway| gateway.object.metadata.is_terminating());
            return Ok(vec![Fleet::merged(home, name, is_terminating)]);
        }
        let watched: Vec<&Gateway<'a>> =
            of_class().filter(|gateway| home.watches(&gateway.object.metadata.namespace)).collect();
        let own = resolve_all(self.context, &watched)?;
        // A reference to nothing is no reason to fall back to the class: the Gateway is not programmed at all.
        let programmed = watched.into_iter().zip(own).filter(|(_, own)| !own.is_missing());
        Ok(programmed.map(|(gateway, own)| gateway.fleet(home.clone(), Level::Class, own.spec(), None)).collect())
    }

    /// The fleet of a Gateway whose own EnvoyProxy is the governing one.
    fn fleet_of_gateway(&self, gateway: &Gateway<'a>) -> Result<Option<Fleet<'a>>, Reason> {
        let Some(class) = self.class_of(gateway) else { return Ok(None) };
        let home = class.installation(self.context);
        let spec = class.resolve(self.context)?.spec();
        // Gateways of a class with merged ones run by the class's EnvoyProxy alone.
        Ok((!home.merges(spec)).then(|| gateway.fleet(home, Level::Gateway, None, spec)))
    }
}

/// Whether a Gateway or GatewayClass that owns an object in `namespace` is Envoy Gateway's, by its class's
/// controllerName. One that is not there, or cannot be read, is not known to be.
pub fn is_run_by_envoy_gateway(context: &Context<'_>, namespace: &str, owner: &OwnerReference<'_>) -> bool {
    let class = if owner.kind == "GatewayClass" {
        Presence::Found(owner.name.to_string())
    } else {
        let fields = &["spec.gatewayClassName", "spec.infrastructure"];
        let gateway = context.neighbours.get(&api::GATEWAY, namespace, &owner.name, fields);
        gateway.map(|gateway| Gateway::new(gateway).class.into_owned())
    };
    let Presence::Found(class) = class else { return false };
    let fields = &["spec.controllerName", "spec.parametersRef"];
    let found = context.neighbours.get(&api::GATEWAY_CLASS, "", &class, fields).map(GatewayClass::new);
    matches!(found, Presence::Found(class) if class.is_envoy_gateways(context))
}

/// Whether some EnvoyProxy still declares the HPA of that fleet: the one that its labels name.
pub fn declares_fleet_hpa(context: &Context<'_>, hpa: &Object<'_>) -> Presence<bool> {
    let label = |key| hpa.metadata.label(key).unwrap_or_default();
    if let Some(class) = hpa.metadata.label(OWNING_GATEWAY_CLASS) {
        return class_declares(context, &class, true, Reference::Nothing);
    }
    let gateway = context.neighbours.get(
        &api::GATEWAY,
        &label(OWNING_GATEWAY_NAMESPACE),
        &label(OWNING_GATEWAY_NAME),
        &["spec.gatewayClassName", "spec.infrastructure"],
    );
    match gateway.map(Gateway::new) {
        Presence::Found(gateway) => gateway_declares(context, &gateway),
        Presence::Absent => Presence::Found(false),
        Presence::Unknown(reason) => Presence::Unknown(reason),
    }
}

/// Whether the EnvoyProxies of a class declare an HPA for the fleet of all its Gateways, or for that of one with this
/// EnvoyProxy.
fn class_declares<'a>(context: &Context<'a>, class: &str, merged: bool, own: Reference<'a>) -> Presence<bool> {
    let fields = &["spec.controllerName", "spec.parametersRef"];
    let class = match context.neighbours.get(&api::GATEWAY_CLASS, "", class, fields) {
        Presence::Found(class) => GatewayClass::new(class),
        Presence::Absent => return Presence::Found(false),
        Presence::Unknown(reason) => return Presence::Unknown(reason),
    };
    let of_class = match class.resolve(context) {
        Ok(reference) => reference.spec(),
        Err(reason) => return Presence::Unknown(reason),
    };
    if Effective::new(own.spec(), of_class, None).declares_hpa()
        && of_class.is_some_and(EnvoyProxySpec::merges_gateways) == merged
    {
        return Presence::Found(true);
    }
    let home = class.installation(context);
    let reaches_default = |spec: Option<EnvoyProxySpec<'_>>| spec.is_none_or(EnvoyProxySpec::is_merged);
    match &home.default_proxy {
        // What cannot be read may declare it.
        Presence::Unknown(reason) if reaches_default(own.spec()) && reaches_default(of_class) => {
            Presence::Unknown(reason.clone())
        }
        _ => {
            let effective = Effective::new(own.spec(), home.accepted(of_class), home.default_spec());
            Presence::Found(effective.declares_hpa() && home.merges(of_class) == merged)
        }
    }
}

fn gateway_declares<'a>(context: &Context<'a>, gateway: &Gateway<'a>) -> Presence<bool> {
    match gateway.resolve(context) {
        Ok(Reference::Missing) => Presence::Found(false),
        Ok(own) => class_declares(context, &gateway.class, false, own),
        Err(reason) => Presence::Unknown(reason),
    }
}
