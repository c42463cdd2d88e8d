//! Which fleets run by which EnvoyProxy.

use autoscaler_guard_reading::{Object, OwnerReference};

use super::binding::{Gateway, GatewayClass, Reference, classes, gateways};
use super::fleet::{Fleet, Level, OWNING_GATEWAY_CLASS, OWNING_GATEWAY_NAME, OWNING_GATEWAY_NAMESPACE};
use super::spec::EnvoyProxySpec;
use crate::cluster::{Presence, Reason, api};
use crate::context::Context;

/// Every fleet that an EnvoyProxy governs, from GatewayClasses and from Gateways.
#[derive(Clone, Debug, Default)]
pub struct Governed<'a> {
    /// The fleets.
    pub fleets: Vec<Fleet<'a>>,
    /// The GatewayClasses of the controller that refer to it.
    pub classes: Vec<String>,
    /// Whether any Gateway of the controller, of whatever class, is alive.
    pub any_gateway: bool,
}

/// All that Envoy Gateway runs.
#[derive(Debug)]
pub struct Topology<'c, 'a> {
    context: &'c Context<'a>,
    classes: Vec<GatewayClass<'a>>,
    gateways: Vec<Gateway<'a>>,
}

impl<'c, 'a> Topology<'c, 'a> {
    /// Looks up all Gateways and the classes of the controller.
    pub fn look_up(context: &'c Context<'a>) -> Result<Self, Reason> {
        let mut classes = classes(context)?;
        classes.retain(|class| class.is_envoy_gateways(context));
        Ok(Self { context, classes, gateways: gateways(context)? })
    }

    /// Which fleets an EnvoyProxy governs, given its spec before the change.
    pub fn governed(&self, proxy: &Object<'a>, spec: EnvoyProxySpec<'a>) -> Result<Governed<'a>, Reason> {
        let (namespace, name) = (proxy.metadata.namespace.as_ref(), proxy.metadata.name.as_ref());
        let mut governed = Governed { any_gateway: self.has_live_gateway(), ..Governed::default() };
        for class in &self.classes {
            if class.proxy.as_ref().is_some_and(|proxy| proxy.0 == namespace && proxy.1 == name) {
                governed.classes.push(class.object.metadata.name.clone().into_owned());
                governed.fleets.extend(self.fleets_of_class(&class.object.metadata.name, Some(spec))?);
            }
        }
        for gateway in &self.gateways {
            if gateway.object.metadata.namespace == namespace && gateway.own_proxy.as_deref() == Some(name) {
                governed.fleets.extend(self.fleet_of_gateway(gateway)?);
            }
        }
        Ok(governed)
    }

    /// Whether any Gateway of the controller, of whatever class, is alive.
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
    pub fn fleets_of_class(&self, class: &str, spec: Option<EnvoyProxySpec<'a>>) -> Result<Vec<Fleet<'a>>, Reason> {
        let gateways = || self.gateways.iter().filter(|gateway| gateway.class == class);
        if spec.is_some_and(EnvoyProxySpec::merges_gateways) {
            let is_terminating = gateways().all(|gateway| gateway.object.metadata.is_terminating());
            let merged = Fleet::merged(class, is_terminating);
            return Ok(gateways().next().map(|_| merged).into_iter().collect());
        }
        let mut fleets = Vec::new();
        for gateway in gateways() {
            let own = gateway.resolve(self.context)?;
            // A reference to nothing is no reason to fall back to the class: the Gateway is not programmed at all.
            if !own.is_missing() {
                fleets.push(gateway.fleet(Level::Class, own.spec(), None));
            }
        }
        Ok(fleets)
    }

    /// The fleet of a Gateway whose own EnvoyProxy is the governing one.
    fn fleet_of_gateway(&self, gateway: &Gateway<'a>) -> Result<Option<Fleet<'a>>, Reason> {
        let Some(class) = self.class_of(gateway) else { return Ok(None) };
        let spec = class.resolve(self.context)?.spec();
        // Gateways of a class with merged ones run by the class's EnvoyProxy alone.
        let merges = spec.is_some_and(EnvoyProxySpec::merges_gateways);
        Ok((!merges).then(|| gateway.fleet(Level::Gateway, None, spec)))
    }
}

/// Whether a Gateway or GatewayClass that owns an object in `namespace` is Envoy Gateway's, by its class's controllerName. One that is not
/// there, or cannot be read, is not known to be.
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
        return class_declares(context, &class, true);
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

/// Whether the class's EnvoyProxy declares an HPA for the fleet of all its Gateways, or for those of each.
fn class_declares(context: &Context<'_>, class: &str, merged: bool) -> Presence<bool> {
    let declares = |spec: EnvoyProxySpec<'_>| spec.declares_hpa() && spec.merges_gateways() == merged;
    let class = context.neighbours.get(&api::GATEWAY_CLASS, "", class, &["spec.controllerName", "spec.parametersRef"]);
    match class.map(|class| GatewayClass::new(class).resolve(context)) {
        Presence::Found(Ok(reference)) => Presence::Found(reference.spec().is_some_and(declares)),
        Presence::Absent => Presence::Found(false),
        Presence::Found(Err(reason)) | Presence::Unknown(reason) => Presence::Unknown(reason),
    }
}

fn gateway_declares<'a>(context: &Context<'a>, gateway: &Gateway<'a>) -> Presence<bool> {
    match gateway.resolve(context) {
        Ok(Reference::Missing) => Presence::Found(false),
        Ok(Reference::To(own)) if own.declares_hpa() || !own.is_merged() => Presence::Found(own.declares_hpa()),
        Ok(Reference::To(_) | Reference::Nothing) => class_declares(context, &gateway.class, false),
        Err(reason) => Presence::Unknown(reason),
    }
}
