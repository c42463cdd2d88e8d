//! Which EnvoyProxy a Gateway or a GatewayClass refers to (envoyproxy/gateway, internal/gatewayapi: `parametersRef`).

use std::borrow::Cow;
use std::rc::Rc;

use autoscaler_guard_reading::Object;

use super::spec::EnvoyProxySpec;
use crate::cluster::{ApiKind, List, Presence, Reason, api};
use crate::context::Context;
use crate::facts::installation::{self, Installation};
use crate::settings::EnvoyGateway;
use crate::subject::Subject;
use autoscaler_guard_reading::{Json, title};

/// The API group of EnvoyProxy.
pub const GROUP: &str = "gateway.envoyproxy.io";

const PROXY_FIELDS: &[&str] = &[
    "spec.mergeType",
    "spec.mergeGateways",
    "spec.mergeBackends",
    "spec.provider.type",
    "spec.provider.kubernetes.envoyDeployment",
    "spec.provider.kubernetes.envoyDaemonSet",
    "spec.provider.kubernetes.envoyHpa",
];

/// A `parametersRef`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRef<'a> {
    /// The EnvoyProxy's namespace.
    pub namespace: Cow<'a, str>,
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it refers to instead of an EnvoyProxy: to Envoy Gateway that is as if the EnvoyProxy were missing
    /// (internal/gatewayapi, `processGatewayParamsRef`).
    pub other_kind: Option<String>,
}

impl<'a> ProxyRef<'a> {
    fn read(reference: Json<'a>, namespace: Cow<'a, str>) -> Self {
        let text = |field| reference.string(&[field]).unwrap_or_default();
        let (group, kind) = (text("group"), text("kind"));
        let other_kind = (group != GROUP || kind != "EnvoyProxy").then(|| format!("{kind}.{group}"));
        Self { namespace, name: text("name"), other_kind }
    }

    /// What it refers to, as messages call it.
    pub fn title(&self) -> String {
        let kind = self.other_kind.as_ref().map_or("EnvoyProxy", |kind| kind.as_str());
        title(kind, &self.namespace, &self.name)
    }

    /// Whether it refers to the EnvoyProxy of that name.
    pub fn is_to(&self, proxy: &Object<'_>) -> bool {
        self.other_kind.is_none() && self.namespace == proxy.metadata.namespace && self.name == proxy.metadata.name
    }

    /// The EnvoyProxy as kubectl addresses it.
    pub fn subject(&self) -> Option<Subject> {
        let (namespace, name) = (self.namespace.to_string(), self.name.to_string());
        self.other_kind.is_none().then(|| Subject { resource: "envoyproxy".into(), namespace, name })
    }
}

/// A Gateway.
#[derive(Clone, Debug)]
pub struct Gateway<'a> {
    /// The object itself.
    pub object: Object<'a>,
    /// Its GatewayClass, by name.
    pub class: Cow<'a, str>,
    /// Its own EnvoyProxy, which lives in its namespace.
    pub own_proxy: Option<ProxyRef<'a>>,
}

impl<'a> Gateway<'a> {
    /// The Gateway that an object is.
    pub fn new(object: Object<'a>) -> Self {
        let spec = object.spec();
        let reference = spec.at(&["infrastructure", "parametersRef"]);
        let own_proxy = reference.map(|reference| ProxyRef::read(reference, object.metadata.namespace.clone()));
        Self { class: spec.string(&["gatewayClassName"]).unwrap_or_default(), own_proxy, object }
    }

    /// Looks its own EnvoyProxy up.
    pub fn resolve(&self, context: &Context<'a>) -> Result<Reference<'a>, Reason> {
        Reference::resolve(context, self.own_proxy.as_ref())
    }
}

/// A GatewayClass.
#[derive(Clone, Debug)]
pub struct GatewayClass<'a> {
    /// The object itself.
    pub object: Object<'a>,
    /// Who runs it.
    pub controller: Cow<'a, str>,
    /// The class's EnvoyProxy, in namespace `default` when none is given.
    pub proxy: Option<ProxyRef<'a>>,
}

impl<'a> GatewayClass<'a> {
    /// The GatewayClass that an object is.
    pub fn new(object: Object<'a>) -> Self {
        let spec = object.spec();
        let proxy = spec.at(&["parametersRef"]).map(|reference| {
            ProxyRef::read(reference, reference.word(&["namespace"]).unwrap_or(Cow::Borrowed("default")))
        });
        Self { controller: spec.string(&["controllerName"]).unwrap_or_default(), proxy, object }
    }

    /// Whether an Envoy Gateway runs it: by its controllerName; where no configuration says, because no other takes an
    /// EnvoyProxy.
    pub fn is_envoy_gateways(&self, context: &Context<'_>) -> bool {
        let named = &context.settings.envoy_gateway.controller_name;
        let is_default = *named == EnvoyGateway::default().controller_name;
        let takes_proxy = || self.proxy.as_ref().is_some_and(|proxy| proxy.other_kind.is_none());
        self.controller == *named
            || is_default && installation::runs(context, &self.controller).unwrap_or_else(takes_proxy)
    }

    /// The Envoy Gateway that runs it.
    pub fn installation(&self, context: &Context<'a>) -> Rc<Installation<'a>> {
        Installation::of(context, &self.controller)
    }

    /// Looks its EnvoyProxy up.
    pub fn resolve(&self, context: &Context<'a>) -> Result<Reference<'a>, Reason> {
        Reference::resolve(context, self.proxy.as_ref())
    }
}

/// What a reference to an EnvoyProxy leads to.
#[derive(Clone, Copy, Debug)]
pub enum Reference<'a> {
    /// There is no reference.
    Nothing,
    /// The EnvoyProxy does not exist.
    Missing,
    /// This EnvoyProxy's spec.
    To(EnvoyProxySpec<'a>),
}

impl<'a> Reference<'a> {
    fn resolve(context: &Context<'a>, reference: Option<&ProxyRef<'a>>) -> Result<Self, Reason> {
        let Some(ProxyRef { namespace, name, other_kind }) = reference else { return Ok(Self::Nothing) };
        if other_kind.is_some() {
            return Ok(Self::Missing);
        }
        match context.neighbours.get(&api::ENVOY_PROXY, namespace, name, PROXY_FIELDS) {
            Presence::Found(proxy) => Ok(Self::To(EnvoyProxySpec::of(&proxy))),
            // A kind that is not served has no objects.
            Presence::Absent | Presence::Unknown(Reason::NotServed(_)) => Ok(Self::Missing),
            Presence::Unknown(reason) => Err(reason),
        }
    }

    /// The same, out of a list of all EnvoyProxies.
    fn find(proxies: &[Object<'a>], reference: Option<&ProxyRef<'a>>) -> Self {
        match reference {
            None => Self::Nothing,
            Some(reference) => proxies
                .iter()
                .find(|proxy| reference.is_to(proxy))
                .map_or(Self::Missing, |proxy| Self::To(EnvoyProxySpec::of(proxy))),
        }
    }

    /// Whether it leads nowhere.
    pub fn is_missing(self) -> bool {
        matches!(self, Self::Missing)
    }

    /// The spec, where there is one.
    pub fn spec(self) -> Option<EnvoyProxySpec<'a>> {
        match self {
            Self::To(spec) => Some(spec),
            Self::Nothing | Self::Missing => None,
        }
    }
}

/// Looks up the EnvoyProxies of these Gateways: one by one where they are few, else in a list.
pub fn resolve_all<'a>(context: &Context<'a>, gateways: &[&Gateway<'a>]) -> Result<Vec<Reference<'a>>, Reason> {
    let referring = gateways.iter().filter(|gateway| gateway.own_proxy.is_some()).count();
    if referring > FEW {
        let query = List { kind: &api::ENVOY_PROXY, namespace: None, label_selector: None, fields: PROXY_FIELDS };
        if let Presence::Found(proxies) = context.neighbours.list(&query) {
            return Ok(gateways.iter().map(|it| Reference::find(&proxies, it.own_proxy.as_ref())).collect());
        }
    }
    gateways.iter().map(|gateway| gateway.resolve(context)).collect()
}

/// So many objects are looked up one by one: a list takes three questions.
pub const FEW: usize = 2;

/// Lists a kind of the Gateway API, in v1beta1 where the cluster is too old for v1.
fn list<'a>(context: &Context<'a>, kind: &ApiKind<'static>, fields: &[&str]) -> Presence<Vec<Object<'a>>> {
    let query = |kind| List { kind, namespace: None, label_selector: None, fields };
    match context.neighbours.list(&query(kind)) {
        Presence::Unknown(Reason::NotServed(_)) => {
            let beta = ApiKind { api_version: "gateway.networking.k8s.io/v1beta1".into(), ..kind.clone() };
            let query = List { kind: &beta, namespace: None, label_selector: None, fields };
            match context.neighbours.list(&query) {
                // A kind that is not served has no objects.
                Presence::Unknown(Reason::NotServed(_)) => Presence::Absent,
                answer => answer,
            }
        }
        answer => answer,
    }
}

/// Every GatewayClass, of whatever controller.
pub fn classes<'a>(context: &Context<'a>) -> Result<Vec<GatewayClass<'a>>, Reason> {
    match list(context, &api::GATEWAY_CLASS, &["spec.controllerName", "spec.parametersRef"]) {
        Presence::Found(classes) => Ok(classes.into_iter().map(GatewayClass::new).collect()),
        Presence::Absent => Ok(Vec::new()),
        Presence::Unknown(reason) => Err(reason),
    }
}

/// Every Gateway, of whatever class.
pub fn gateways<'a>(context: &Context<'a>) -> Result<Vec<Gateway<'a>>, Reason> {
    match list(context, &api::GATEWAY, &["spec.gatewayClassName", "spec.infrastructure"]) {
        Presence::Found(gateways) => Ok(gateways.into_iter().map(Gateway::new).collect()),
        Presence::Absent => Ok(Vec::new()),
        Presence::Unknown(reason) => Err(reason),
    }
}
