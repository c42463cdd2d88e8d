//! Which EnvoyProxy a Gateway or a GatewayClass refers to (envoyproxy/gateway, internal/gatewayapi: `parametersRef`).

use std::borrow::Cow;

use autoscaler_guard_reading::Object;

use super::spec::EnvoyProxySpec;
use crate::cluster::{ApiKind, List, Presence, Reason, api};
use crate::context::Context;
use autoscaler_guard_reading::Json;

/// The API group of EnvoyProxy.
pub const GROUP: &str = "gateway.envoyproxy.io";

const PROXY_FIELDS: &[&str] = &[
    "spec.mergeType",
    "spec.mergeGateways",
    "spec.provider.type",
    "spec.provider.kubernetes.envoyDeployment",
    "spec.provider.kubernetes.envoyDaemonSet",
    "spec.provider.kubernetes.envoyHpa",
];

/// The name in a reference, when it is an EnvoyProxy's.
fn envoy_proxy_name(parameters_ref: Json<'_>) -> Option<Cow<'_, str>> {
    let is = |field, value| parameters_ref.string(&[field]).as_deref() == Some(value);
    parameters_ref.string(&["name"]).filter(|_| is("group", GROUP) && is("kind", "EnvoyProxy"))
}

/// A Gateway.
#[derive(Clone, Debug)]
pub struct Gateway<'a> {
    /// The object itself.
    pub object: Object<'a>,
    /// Its GatewayClass, by name.
    pub class: Cow<'a, str>,
    /// Its own EnvoyProxy, by name; it lives in the Gateway's namespace.
    pub own_proxy: Option<Cow<'a, str>>,
}

impl<'a> Gateway<'a> {
    /// The Gateway that an object is.
    pub fn new(object: Object<'a>) -> Self {
        let spec = object.spec();
        let own_proxy = spec.at(&["infrastructure", "parametersRef"]).and_then(envoy_proxy_name);
        Self { class: spec.string(&["gatewayClassName"]).unwrap_or_default(), own_proxy, object }
    }

    /// Looks its own EnvoyProxy up.
    pub fn resolve(&self, context: &Context<'a>) -> Result<Reference<'a>, Reason> {
        Reference::resolve(context, &self.object.metadata.namespace, self.own_proxy.as_deref())
    }
}

/// A GatewayClass.
#[derive(Clone, Debug)]
pub struct GatewayClass<'a> {
    /// The object itself.
    pub object: Object<'a>,
    controller: Cow<'a, str>,
    /// The class's EnvoyProxy, by namespace (`default` when not given) and name.
    pub proxy: Option<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> GatewayClass<'a> {
    /// The GatewayClass that an object is.
    pub fn new(object: Object<'a>) -> Self {
        let spec = object.spec();
        let proxy = spec.at(&["parametersRef"]).and_then(|reference| {
            let namespace = reference.word(&["namespace"]).unwrap_or(Cow::Borrowed("default"));
            envoy_proxy_name(reference).map(|name| (namespace, name))
        });
        Self { controller: spec.string(&["controllerName"]).unwrap_or_default(), proxy, object }
    }

    /// Whether Envoy Gateway runs it.
    pub fn is_envoy_gateways(&self, context: &Context<'_>) -> bool {
        self.controller == context.settings.envoy_gateway.controller_name
    }

    /// Looks its EnvoyProxy up.
    pub fn resolve(&self, context: &Context<'a>) -> Result<Reference<'a>, Reason> {
        let (namespace, name) =
            self.proxy.as_ref().map_or(("", None), |(namespace, name)| (namespace.as_ref(), Some(name.as_ref())));
        Reference::resolve(context, namespace, name)
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
    fn resolve(context: &Context<'a>, namespace: &str, name: Option<&str>) -> Result<Self, Reason> {
        let Some(name) = name else { return Ok(Self::Nothing) };
        match context.neighbours.get(&api::ENVOY_PROXY, namespace, name, PROXY_FIELDS) {
            Presence::Found(proxy) => Ok(Self::To(EnvoyProxySpec::of(&proxy))),
            Presence::Absent => Ok(Self::Missing),
            Presence::Unknown(reason) => Err(reason),
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

/// Lists a kind of the Gateway API, in v1beta1 where the cluster is too old for v1.
fn list<'a>(context: &Context<'a>, kind: &ApiKind<'static>, fields: &[&str]) -> Presence<Vec<Object<'a>>> {
    let query = |kind| List { kind, namespace: None, label_selector: None, fields };
    match context.neighbours.list(&query(kind)) {
        Presence::Unknown(Reason::NotServed(_)) => {
            let beta = ApiKind { api_version: "gateway.networking.k8s.io/v1beta1".into(), ..kind.clone() };
            let query = List { kind: &beta, namespace: None, label_selector: None, fields };
            context.neighbours.list(&query)
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
