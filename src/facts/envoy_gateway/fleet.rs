//! Envoy's fleets: what their objects are called and labelled.
//!
//! A *fleet* is the Envoy Deployment of one Gateway, or of all Gateways of a class when its EnvoyProxy says
//! `mergeGateways`. Facts from envoyproxy/gateway: names from internal/infrastructure/kubernetes/resource
//! (`GetHashedName`).

use std::borrow::Cow;
use std::rc::Rc;

use autoscaler_guard_reading::{Object, group_of, title};
use sha2::{Digest, Sha256};

use super::binding::Gateway;
use super::merge::Effective;
use super::spec::{DEPLOYMENT, EnvoyProxySpec, HPA};
use crate::cluster::{List, Presence, api};
use crate::context::Context;
use crate::facts::hpa;
use crate::facts::installation::Installation;
use crate::subject::WorkloadRef;

/// On an HPA of a fleet: the Gateway's name.
pub const OWNING_GATEWAY_NAME: &str = "gateway.envoyproxy.io/owning-gateway-name";
/// On an HPA of a fleet: the Gateway's namespace.
pub const OWNING_GATEWAY_NAMESPACE: &str = "gateway.envoyproxy.io/owning-gateway-namespace";
/// On an HPA of a merged fleet: the GatewayClass.
pub const OWNING_GATEWAY_CLASS: &str = "gateway.envoyproxy.io/owning-gatewayclass";

/// What Envoy Gateway itself puts on every HPA from 1.5 on, and deletes HPAs by, together with the owning Gateway or
/// class.
pub const OWN_LABELS: &[(&str, &str)] = &[
    ("app.kubernetes.io/managed-by", "envoy-gateway"),
    ("app.kubernetes.io/name", "envoy"),
    ("app.kubernetes.io/component", "proxy"),
];

/// Where in the binding the EnvoyProxy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A GatewayClass refers to it.
    Class,
    /// A Gateway refers to it.
    Gateway,
}

/// One fleet that an EnvoyProxy governs.
#[derive(Clone, Debug)]
pub struct Fleet<'a> {
    /// `<namespace>/<name>` of the Gateway, or the class's name when Gateways are merged.
    owner: String,
    gateway: Option<(String, String)>,
    /// Through which reference.
    pub level: Level,
    /// Whether all its Gateways are being deleted.
    pub is_terminating: bool,
    /// Whether its Gateway refers to an EnvoyProxy of its own.
    pub has_own_proxy: bool,
    /// The EnvoyProxies other than the governing one that take part.
    own: Option<EnvoyProxySpec<'a>>,
    class: Option<EnvoyProxySpec<'a>>,
    /// Whose it is.
    pub home: Rc<Installation<'a>>,
}

impl<'a> Gateway<'a> {
    /// Its fleet, in a class that does not merge Gateways.
    pub fn fleet(
        &self,
        home: Rc<Installation<'a>>,
        level: Level,
        own: Option<EnvoyProxySpec<'a>>,
        class: Option<EnvoyProxySpec<'a>>,
    ) -> Fleet<'a> {
        let metadata = &self.object.metadata;
        let (namespace, name) = (metadata.namespace.clone().into_owned(), metadata.name.clone().into_owned());
        Fleet {
            owner: format!("{namespace}/{name}"),
            gateway: Some((namespace, name)),
            level,
            is_terminating: metadata.is_terminating(),
            has_own_proxy: self.own_proxy.is_some(),
            own,
            class,
            home,
        }
    }
}

impl<'a> Fleet<'a> {
    /// The one fleet of a class that merges its Gateways.
    pub fn merged(home: Rc<Installation<'a>>, class: &str, is_terminating: bool) -> Self {
        let (owner, level) = (class.to_owned(), Level::Class);
        Self { owner, gateway: None, level, is_terminating, has_own_proxy: false, own: None, class: None, home }
    }

    /// The fleet to which an object belongs, by its labels.
    pub fn labelled(home: Rc<Installation<'a>>, object: &Object<'_>) -> Option<Self> {
        let (kind, namespace, name) = labelled_owner(object)?;
        if kind == "GatewayClass" {
            return Some(Self::merged(home, &name, false));
        }
        let owner = format!("{namespace}/{name}");
        Some(Self { owner, gateway: Some((namespace, name)), ..Self::merged(home, "", false) })
    }

    /// By which specs it runs when the governing EnvoyProxy has this one; `None` when it is deleted.
    pub fn effective(&self, governing: Option<EnvoyProxySpec<'a>>) -> Effective<'a> {
        let default = self.home.default_spec();
        match self.level {
            Level::Class => Effective::new(self.own, self.home.accepted(governing), default),
            Level::Gateway => Effective::new(governing, self.home.accepted(self.class), default),
        }
    }

    /// The fleet's Deployment.
    pub fn deployment(&self, effective: &Effective<'_>) -> WorkloadRef {
        let name = effective.name(DEPLOYMENT).map_or_else(|| self.generated_name(), Cow::into_owned);
        WorkloadRef::deployment(&self.namespace(), &name)
    }

    /// The fleet's HPA, by namespace and name.
    pub fn hpa(&self, effective: &Effective<'_>) -> (String, String) {
        let name = effective.name(HPA).map_or_else(|| self.generated_name(), Cow::into_owned);
        (self.namespace(), name)
    }

    /// The HPAs of all fleets like it, wherever they are: those with the label that all versions give them.
    pub fn all_hpas(&self, context: &Context<'a>) -> Presence<Vec<Object<'a>>> {
        let selector = if self.gateway.is_some() { OWNING_GATEWAY_NAME } else { OWNING_GATEWAY_CLASS };
        let kind = &api::HORIZONTAL_POD_AUTOSCALER;
        context.neighbours.list(&List { kind, namespace: None, label_selector: Some(selector), fields: hpa::FIELDS })
    }

    /// Whether it is the same fleet.
    pub fn is(&self, other: &Self) -> bool {
        self.owner == other.owner && self.gateway.is_none() == other.gateway.is_none()
    }

    /// Whether an HPA carries the labels of this fleet, which all versions put on it.
    pub fn labels(&self, hpa: &Object<'_>) -> bool {
        let is = |key, value: &str| hpa.metadata.label(key).as_deref() == Some(value);
        match &self.gateway {
            Some((namespace, name)) => is(OWNING_GATEWAY_NAME, name) && is(OWNING_GATEWAY_NAMESPACE, namespace),
            None => is(OWNING_GATEWAY_CLASS, &self.owner),
        }
    }

    /// Its Gateway, by namespace and name; none when Gateways are merged.
    pub fn gateway(&self) -> Option<&(String, String)> {
        self.gateway.as_ref()
    }

    /// Its GatewayClass when Gateways are merged.
    pub fn class(&self) -> Option<&str> {
        self.gateway.is_none().then_some(&self.owner)
    }

    /// Whose fleet it is, as messages call it.
    pub fn title(&self) -> String {
        match &self.gateway {
            Some((namespace, name)) => title("Gateway", namespace, name),
            None => title("GatewayClass", "", &self.owner),
        }
    }

    /// The namespace of its objects, as its Envoy Gateway is known to be configured.
    pub fn namespace(&self) -> String {
        match &self.gateway {
            Some((namespace, _)) if self.home.gateway_namespace_mode => namespace.clone(),
            _ => self.home.namespace.clone(),
        }
    }

    /// What its objects are called unless the EnvoyProxy says otherwise.
    pub fn generated_name(&self) -> String {
        match &self.gateway {
            Some((_, name)) if self.home.gateway_namespace_mode && self.home.running.has_plain_names() => name.clone(),
            _ => generated_name(&self.owner),
        }
    }
}

/// What Envoy Gateway calls the objects of a fleet: `envoy-`, the owner with `-` for `/`, cut to 48 characters, and the
/// first 8 hex digits of the SHA-256 of the whole owner. The owner is `<namespace>/<name>` of a Gateway, or the name of
/// a class with merged Gateways.
pub fn generated_name(owner: &str) -> String {
    let readable: String = owner.chars().map(|character| if character == '/' { '-' } else { character }).collect();
    let readable = match readable.get(..48) {
        Some(cut) if readable.len() > 48 => cut.strip_suffix('-').unwrap_or(cut),
        _ => &readable,
    };
    let digest = Sha256::digest(owner.as_bytes());
    let hash = digest.iter().take(4).fold(0_u32, |hash, byte| (hash << 8) | u32::from(*byte));
    format!("envoy-{readable}-{hash:08x}")
}

/// Whose fleet an object belongs to by its labels: kind, namespace and name of the Gateway, or of the class that merges
/// them.
pub fn labelled_owner(object: &Object<'_>) -> Option<(&'static str, String, String)> {
    let label = |key| object.metadata.label(key).map(Cow::into_owned);
    if let Some(class) = label(OWNING_GATEWAY_CLASS) {
        return Some(("GatewayClass", String::new(), class));
    }
    Some(("Gateway", label(OWNING_GATEWAY_NAMESPACE)?, label(OWNING_GATEWAY_NAME)?))
}

/// Whether an HPA carries the labels that Envoy Gateway gives the HPA of a fleet.
pub fn has_fleet_labels(hpa: &Object<'_>) -> bool {
    labelled_owner(hpa).is_some()
}

/// Whether an object carries all the labels by which Envoy Gateway 1.5 and later deletes HPAs.
pub fn has_own_labels(object: &Object<'_>) -> bool {
    has_fleet_labels(object)
        && OWN_LABELS.iter().all(|(key, value)| object.metadata.label(key).as_deref() == Some(*value))
}

/// Whether an HPA has an owner of the Gateway API, as Envoy Gateway gives its own since 1.5.
pub fn has_gateway_owner(object: &Object<'_>) -> bool {
    let is_gateways = |api_version: &str| group_of(api_version) == "gateway.networking.k8s.io";
    object.metadata.owner_references().iter().any(|owner| is_gateways(&owner.api_version))
}

/// The keys of all labels by which Envoy Gateway knows its HPAs.
pub fn label_keys() -> impl Iterator<Item = &'static str> {
    let owning = [OWNING_GATEWAY_NAME, OWNING_GATEWAY_NAMESPACE, OWNING_GATEWAY_CLASS];
    owning.into_iter().chain(OWN_LABELS.iter().map(|(key, _)| *key))
}
