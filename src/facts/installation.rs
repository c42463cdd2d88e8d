//! Which Envoy Gateways there are, and how each is configured: read from their Deployments and ConfigMaps. Settings
//! override.
//!
//! Facts from envoyproxy/gateway: charts/gateway-helm (names and labels), api/v1alpha1 `EnvoyGateway` (the
//! configuration), the page on deployment modes (several side by side), pull requests 7698 and 8169 (a default
//! EnvoyProxy).

use std::rc::Rc;

use autoscaler_guard_reading::{Json, Object};

use super::envoy_gateway::spec::EnvoyProxySpec;
use super::envoy_gateway::version::{CONTAINER, Running, image_version};
use super::yaml;
use crate::cluster::{List, Presence, Reason, api};
use crate::context::Context;
use crate::settings::EnvoyGateway;

/// What the chart calls the ConfigMap, and the file in it.
const CONFIG_MAP: &str = "envoy-gateway-config";
const FILE: &str = "envoy-gateway.yaml";

/// The label that the chart gives Envoy Gateway's Deployment, whatever the release is called.
const SELECTOR: &str = "control-plane=envoy-gateway";

const FIELDS: &[&str] = &["spec.template.spec.containers.image", "spec.template.spec.containers.name"];

/// One Envoy Gateway.
#[derive(Clone, Debug)]
pub struct Installation<'a> {
    /// Where its controller runs, and its fleets, unless in gateway namespace mode.
    pub namespace: String,
    /// Which version it is.
    pub running: Running,
    /// Whether fleets live in their Gateway's namespace.
    pub gateway_namespace_mode: bool,
    /// The EnvoyProxy by which fleets run that none refers to; unknown where its configuration cannot be read.
    pub default_proxy: Presence<EnvoyProxySpec<'a>>,
    /// Whether all this was read or set: if not, it is a guess where its fleets are.
    pub is_known: bool,
    controller: Option<String>,
    watches: Option<Vec<String>>,
}

impl<'a> Installation<'a> {
    /// The Envoy Gateway that runs GatewayClasses with this controllerName.
    pub fn of(context: &Context<'a>, controller: &str) -> Rc<Self> {
        let settings = &context.settings.envoy_gateway;
        let namespace = settings.namespace.as_str();
        let deployment = context.neighbours.get(&api::DEPLOYMENT, namespace, CONTAINER, FIELDS);
        let here = |deployment| Self::read(context, namespace, deployment);
        let is_set = *namespace != EnvoyGateway::default().namespace;
        let found = match deployment {
            Presence::Found(deployment) => {
                let here = here(Some(&deployment));
                if is_set || here.controller.as_deref().is_none_or(|name| name == controller) {
                    return Rc::new(here);
                }
                elsewhere(context).unwrap_or_default()
            }
            Presence::Absent if !is_set => elsewhere(context).unwrap_or_default(),
            Presence::Absent | Presence::Unknown(_) => return Rc::new(Self { is_known: is_set, ..here(None) }),
        };
        let read = found.iter().map(|found| Self::read(context, &found.metadata.namespace, Some(found)));
        let mut all: Vec<Self> = read.collect();
        all.retain(|one| one.controller.as_deref().is_none_or(|name| name == controller));
        // Which of several it is, is not known.
        let alone = if all.len() == 1 { all.pop() } else { None };
        Rc::new(alone.unwrap_or_else(|| Self::unknown(context)))
    }

    /// The one that settings name, or the standard one.
    pub fn standard(context: &Context<'a>) -> Rc<Self> {
        Self::of(context, &context.settings.envoy_gateway.controller_name)
    }

    /// The Envoy Gateway whose Deployment that is, in that namespace.
    fn read(context: &Context<'a>, namespace: &str, deployment: Option<&Object<'a>>) -> Self {
        let settings = &context.settings.envoy_gateway;
        let version = settings.version.or_else(|| deployment.and_then(image_version));
        let found = Self { namespace: namespace.to_owned(), running: Running(version), ..Self::unknown(context) };
        let map = context.neighbours.get(&api::CONFIG_MAP, namespace, CONFIG_MAP, &["data"]);
        let file = map.map(|map| Json::new(map.text()).string(&["data", FILE]).unwrap_or_default().into_owned());
        match file {
            Presence::Found(file) => match yaml::to_json(&file) {
                Some(json) => found.configured(context, Json::new(context.neighbours.keep(json))),
                None => found.unread(Reason::Failed(format!("{CONFIG_MAP} cannot be read"))),
            },
            // Without a file there is nothing but defaults.
            Presence::Absent if deployment.is_some() => found.configured(context, Json::new("{}")),
            Presence::Absent => found,
            Presence::Unknown(reason) => found.unread(reason),
        }
    }

    fn configured(mut self, context: &Context<'_>, file: Json<'a>) -> Self {
        let settings = &context.settings.envoy_gateway;
        let controller = file.word(&["gateway", "controllerName"]);
        self.controller = Some(controller.map_or_else(|| EnvoyGateway::default().controller_name, Into::into));
        let provider = file.at(&["provider", "kubernetes"]);
        let text = |path: &[&str]| provider.and_then(|provider| provider.string(path));
        self.gateway_namespace_mode =
            settings.gateway_namespace_mode || text(&["deploy", "type"]).as_deref() == Some("GatewayNamespace");
        self.watches =
            provider.filter(|_| text(&["watch", "type"]).as_deref() != Some("NamespaceSelector")).and_then(|it| {
                let names = it.items(&["watch", "namespaces"]);
                let names: Vec<String> = names.iter().filter_map(|name| name.string(&[])).map(Into::into).collect();
                (!names.is_empty()).then_some(names)
            });
        self.default_proxy =
            file.at(&["envoyProxy"]).map_or(Presence::Absent, |spec| Presence::Found(EnvoyProxySpec::new(spec)));
        self.is_known = true;
        self
    }

    fn unread(mut self, reason: Reason) -> Self {
        let has_none = self.running.has_default_proxy() == Some(false);
        self.default_proxy = if has_none { Presence::Absent } else { Presence::Unknown(reason) };
        self
    }

    /// What settings say where nothing can be read.
    fn unknown(context: &Context<'_>) -> Self {
        let EnvoyGateway { version, namespace, gateway_namespace_mode, .. } = &context.settings.envoy_gateway;
        Self {
            namespace: namespace.clone(),
            running: Running(*version),
            gateway_namespace_mode: *gateway_namespace_mode,
            default_proxy: Presence::Unknown(Reason::Failed("no Envoy Gateway was found".to_owned())),
            is_known: false,
            controller: None,
            watches: None,
        }
    }

    /// Whether it looks at a namespace's Gateways.
    pub fn watches(&self, namespace: &str) -> bool {
        self.watches.as_ref().is_none_or(|names| names.iter().any(|name| name == namespace))
    }

    /// A class's EnvoyProxy, where its controller takes it: with `mergeGateways` neither beside `mergeBackends` nor in
    /// gateway namespace mode (internal/gatewayapi, 1.9.0).
    pub fn accepted(&self, class: Option<EnvoyProxySpec<'a>>) -> Option<EnvoyProxySpec<'a>> {
        let merges = |spec: &EnvoyProxySpec<'a>| self.gateway_namespace_mode && spec.merges_gateways();
        class.filter(|spec| !spec.merges_too_much() && !merges(spec))
    }

    /// Whether the Gateways of a class with this EnvoyProxy share one fleet.
    pub fn merges(&self, class: Option<EnvoyProxySpec<'a>>) -> bool {
        self.accepted(class.or_else(|| self.default_spec())).is_some_and(EnvoyProxySpec::merges_gateways)
    }

    /// The default EnvoyProxy, where one is known.
    pub fn default_spec(&self) -> Option<EnvoyProxySpec<'a>> {
        match self.default_proxy {
            Presence::Found(spec) => Some(spec),
            Presence::Absent | Presence::Unknown(_) => None,
        }
    }
}

/// Whether an Envoy Gateway runs GatewayClasses with this controllerName, which is not the standard one; `None` where
/// that cannot be read.
pub fn runs(context: &Context<'_>, controller: &str) -> Option<bool> {
    let mut is_known = true;
    for found in elsewhere(context)? {
        match Installation::read(context, &found.metadata.namespace, Some(&found)).controller {
            Some(name) if name == controller => return Some(true),
            Some(_) => {}
            None => is_known = false,
        }
    }
    is_known.then_some(false)
}

/// The Deployments of all Envoy Gateways, as far as they may be listed.
fn elsewhere<'a>(context: &Context<'a>) -> Option<Vec<Object<'a>>> {
    let query = List { kind: &api::DEPLOYMENT, namespace: None, label_selector: Some(SELECTOR), fields: FIELDS };
    match context.neighbours.list(&query) {
        Presence::Found(found) => Some(found),
        Presence::Absent | Presence::Unknown(_) => None,
    }
}
