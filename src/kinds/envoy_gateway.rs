//! Envoy Gateway: which fleets an EnvoyProxy governs, what their objects are called, and which version runs.
//!
//! A *fleet* is the Envoy Deployment of one Gateway, or of all Gateways of a class when its EnvoyProxy says `mergeGateways`. Facts from
//! envoyproxy/gateway: names from internal/infrastructure/kubernetes/resource (`GetHashedName`), binding from
//! internal/gatewayapi (`parametersRef`, `mergeType`).

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::workload::WorkloadRef;
use super::{Object, group_of, title};
use crate::cluster::{Answer, List, Reason, api};
use crate::context::Context;
use crate::json::Json;
use crate::settings::{EnvoyGateway, Settings, Version};

/// The API group of EnvoyProxy.
pub const GROUP: &str = "gateway.envoyproxy.io";

/// On an HPA of a fleet: the Gateway's name.
pub const OWNING_GATEWAY_NAME: &str = "gateway.envoyproxy.io/owning-gateway-name";
/// On an HPA of a fleet: the Gateway's namespace.
pub const OWNING_GATEWAY_NAMESPACE: &str = "gateway.envoyproxy.io/owning-gateway-namespace";
/// On an HPA of a merged fleet: the GatewayClass.
pub const OWNING_GATEWAY_CLASS: &str = "gateway.envoyproxy.io/owning-gatewayclass";

/// What Envoy Gateway itself puts on every HPA from 1.5 on, and deletes HPAs by, together with the owning Gateway or class.
const OWN_LABELS: &[(&str, &str)] = &[
    ("app.kubernetes.io/managed-by", "envoy-gateway"),
    ("app.kubernetes.io/name", "envoy"),
    ("app.kubernetes.io/component", "proxy"),
];

/// The part of an EnvoyProxy that describes the fleet's Deployment.
pub const DEPLOYMENT: &str = "envoyDeployment";
/// The part of an EnvoyProxy that describes the fleet's HPA.
pub const HPA: &str = "envoyHpa";

const PROXY_FIELDS: &[&str] = &[
    "spec.mergeType",
    "spec.mergeGateways",
    "spec.provider.type",
    "spec.provider.kubernetes.envoyDeployment",
    "spec.provider.kubernetes.envoyDaemonSet",
    "spec.provider.kubernetes.envoyHpa",
];

/// What becomes of the HPA of a fleet that loses envoyHpa.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It stays and keeps scaling, even after the Gateway is gone (1.1.3 to 1.4.x).
    Orphans,
    /// It is deleted and the replica count freezes (before 1.1.3, and from 1.5).
    Loses,
    /// The version is not known: either may happen.
    Either,
}

/// Which Envoy Gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running(pub Option<Version>);

impl Running {
    /// The setting, else the image tag of Deployment `envoy-gateway` in Envoy Gateway's namespace.
    pub fn look_up(context: &Context<'_>) -> Self {
        let settings = &context.settings.envoy_gateway;
        Self(settings.version.or_else(|| {
            let fields = &["spec.template.spec.containers.image", "spec.template.spec.containers.name"];
            match context.neighbours.get(&api::DEPLOYMENT, &settings.namespace, "envoy-gateway", fields) {
                Answer::Found(deployment) => image_version(&deployment),
                Answer::Absent | Answer::Unknown(_) => None,
            }
        }))
    }

    /// What the removal of envoyHpa does to the HPA.
    pub fn removal(self) -> Removal {
        match self.0 {
            None => Removal::Either,
            Some(version) if version >= Version::new(1, 1, 3) && version < Version::new(1, 5, 0) => Removal::Orphans,
            Some(_) => Removal::Loses,
        }
    }

    /// Whether a Gateway whose own EnvoyProxy is missing keeps its frozen fleet (from 1.7) instead of losing all of it.
    pub fn keeps_fleet_without_proxy(self) -> Option<bool> {
        self.0.map(|version| version >= Version::new(1, 7, 0))
    }

    /// Whether it forces `envoyDeployment.replicas` on the fleet beside envoyHpa: 1.3 to 1.8 do, the others leave it out
    /// (envoyproxy/gateway issues 2807 and 5751, mended by pull request 9594).
    pub fn forces_replicas(self) -> Option<bool> {
        self.0.map(|version| version >= Version::new(1, 3, 0) && version < Version::new(1, 9, 0))
    }

    /// Whether it deletes a fleet's HPA by its name, as all did before 1.1.3, whatever its labels.
    pub fn deletes_by_name(self) -> bool {
        self.0.is_some_and(|version| version < Version::new(1, 1, 3))
    }

    /// Whether it deletes every HPA that has its labels and is not declared, instead of one by name or none (from 1.5).
    pub fn deletes_by_labels(self) -> Option<bool> {
        self.0.map(|version| version >= Version::new(1, 5, 0))
    }

    /// `Envoy Gateway 1.9.1`, or the name alone.
    pub fn name(self) -> String {
        self.0.map_or_else(|| "Envoy Gateway".to_owned(), |version| format!("Envoy Gateway {version}"))
    }
}

fn image_version(deployment: &Object<'_>) -> Option<Version> {
    // A registry may have a port, an image may end in a digest: the tag stands behind the last slash, before any `@`.
    let version = |container: &Json<'_>| {
        let image = container.string(&["image"])?;
        let (_, tag) = image.rsplit('/').next()?.split('@').next()?.split_once(':')?;
        Version::parse(tag)
    };
    deployment.spec().items(&["template", "spec", "containers"]).iter().find_map(version)
}

/// An EnvoyProxy's spec, as far as it decides about autoscaling.
#[derive(Clone, Copy, Debug)]
pub struct EnvoyProxySpec<'a>(Json<'a>);

impl<'a> EnvoyProxySpec<'a> {
    /// The spec of an EnvoyProxy.
    pub fn of(proxy: &Object<'a>) -> Self {
        Self(proxy.spec())
    }

    fn kubernetes(self) -> Option<Json<'a>> {
        let provider = self.0.at(&["provider"])?;
        provider.at(&["kubernetes"]).filter(|_| provider.string(&["type"]).as_deref() == Some("Kubernetes"))
    }

    /// Whether it declares envoyHpa itself.
    pub fn declares_hpa(self) -> bool {
        self.kubernetes().is_some_and(|kubernetes| kubernetes.at(&["envoyHpa"]).is_some())
    }

    /// Whether it makes the fleet a DaemonSet.
    pub fn is_daemon_set(self) -> bool {
        self.kubernetes().is_some_and(|kubernetes| kubernetes.at(&["envoyDaemonSet"]).is_some())
    }

    /// Whether it is for something else than Kubernetes, where there are no HPAs.
    pub fn is_other_provider(self) -> bool {
        self.0.at(&["provider"]).is_some_and(|provider| provider.string(&["type"]).as_deref() != Some("Kubernetes"))
    }

    /// Whether it is merged over the class's EnvoyProxy instead of replacing it (`spec.mergeType`, 1.8 and later).
    pub fn is_merged(self) -> bool {
        matches!(self.0.string(&["mergeType"]).as_deref(), Some("StrategicMerge" | "JSONMerge"))
    }

    /// Whether all Gateways of a class share one fleet; read from the class's EnvoyProxy only.
    pub fn merges_gateways(self) -> bool {
        self.0.is_true(&["mergeGateways"])
    }

    /// The count it declares for the fleet.
    pub fn replicas(self) -> Option<i64> {
        self.kubernetes()?.integer(&["envoyDeployment", "replicas"])
    }

    /// Whether both ask for the same fleets: names, patches, the declared count, and whether there is an HPA; its bounds do not matter.
    pub fn same_fleets(self, other: Self) -> bool {
        let facts: &[&[&str]] = &[&["mergeType"], &["provider", "type"]];
        let parts: &[&[&str]] = &[
            &[DEPLOYMENT, "name"],
            &[DEPLOYMENT, "replicas"],
            &[DEPLOYMENT, "patch"],
            &[HPA, "name"],
            &[HPA, "patch"],
        ];
        let part = |spec: Self, path: &[&str]| spec.kubernetes().and_then(|kubernetes| kubernetes.at(path));
        facts.iter().all(|path| self.0.at(path) == other.0.at(path))
            && parts.iter().all(|path| part(self, path) == part(other, path))
            && (self.declares_hpa(), self.is_daemon_set(), self.merges_gateways())
                == (other.declares_hpa(), other.is_daemon_set(), other.merges_gateways())
    }
}

/// The EnvoyProxies that a fleet runs by: its Gateway's own, its class's, or both when they are merged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effective<'a> {
    own: Option<EnvoyProxySpec<'a>>,
    class: Option<EnvoyProxySpec<'a>>,
}

impl<'a> Effective<'a> {
    /// A Gateway's own EnvoyProxy replaces the class's unless it says `mergeType`.
    pub fn new(own: Option<EnvoyProxySpec<'a>>, class: Option<EnvoyProxySpec<'a>>) -> Self {
        let class = class.filter(|_| own.is_none_or(EnvoyProxySpec::is_merged));
        Self { own, class }
    }

    fn first<T>(&self, read: impl Fn(EnvoyProxySpec<'a>) -> Option<T>) -> Option<T> {
        self.own.and_then(&read).or_else(|| self.class.and_then(&read))
    }

    /// Whether the fleet is autoscaled by Envoy Gateway.
    pub fn declares_hpa(&self) -> bool {
        self.first(|spec| spec.declares_hpa().then_some(())).is_some()
    }

    /// Whether the fleet is a DaemonSet.
    pub fn is_daemon_set(&self) -> bool {
        self.first(|spec| spec.is_daemon_set().then_some(())).is_some()
    }

    /// The envoyHpa by which the fleet is autoscaled, as JSON text.
    pub fn hpa_text(&self) -> Option<&'a str> {
        self.field(HPA, &[]).map(Json::text)
    }

    /// The count that is declared for the fleet.
    pub fn replicas(&self) -> Option<i64> {
        self.first(EnvoyProxySpec::replicas)
    }

    /// A field of [`DEPLOYMENT`] or [`HPA`].
    pub fn field(&self, part: &str, path: &[&str]) -> Option<Json<'a>> {
        self.first(|spec| spec.kubernetes()?.at(&[part])?.at(path))
    }

    /// What the `patch` of [`DEPLOYMENT`] or [`HPA`] sets a field of the object to; `null` where it removes it. Both types of patch,
    /// `StrategicMerge` and `JSONMerge`, merge what is read here alike (api/v1alpha1, `KubernetesPatchSpec` and `ApplyMergePatch`).
    pub fn patched(&self, part: &str, path: &[&str]) -> Option<Json<'a>> {
        let mut value = self.field(part, &["patch", "value"])?;
        for name in path {
            if value.text() == "null" {
                break;
            }
            value = value.fields()?.into_iter().find(|(field, _)| field == name)?.1;
        }
        Some(value)
    }

    /// The name of [`DEPLOYMENT`] or [`HPA`] in the cluster; none when it is generated.
    pub fn name(&self, part: &str) -> Option<Cow<'a, str>> {
        let patched = self.patched(part, &["metadata", "name"]).and_then(|name| name.word(&[]));
        patched.or_else(|| self.field(part, &["name"])?.word(&[]))
    }

    /// Whether Deployment and HPA are called alike by both.
    pub fn same_names(&self, other: &Self) -> bool {
        [DEPLOYMENT, HPA].iter().all(|part| self.name(part) == other.name(part))
    }

    /// The Deployment that the HPA aims at; none when its name is generated. The Deployment's patch does not count
    /// (envoyproxy/gateway issue 4894).
    pub fn target_name(&self) -> Option<Cow<'a, str>> {
        let patched = self.patched(HPA, &["spec", "scaleTargetRef", "name"]).and_then(|name| name.word(&[]));
        patched.or_else(|| self.field(DEPLOYMENT, &["name"])?.word(&[]))
    }

    /// The count that `envoyDeployment.patch` forces on the fleet, whichever version runs.
    pub fn patched_replicas(&self) -> Option<i64> {
        self.patched(DEPLOYMENT, &["spec", "replicas"])?.integer(&[])
    }

    /// Whether Envoy Gateway writes the fleet's count; `None` where which version runs decides and is not known.
    pub fn writes_count(&self, running: Running) -> Option<bool> {
        if self.patched_replicas().is_some() {
            Some(true)
        } else if self.replicas().is_none() {
            Some(false)
        } else if self.declares_hpa() {
            running.forces_replicas()
        } else {
            Some(true)
        }
    }
}

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

    /// Its fleet, in a class that does not merge Gateways.
    pub fn fleet(&self, level: Level, own: Option<EnvoyProxySpec<'a>>, class: Option<EnvoyProxySpec<'a>>) -> Fleet<'a> {
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
        }
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
            Answer::Found(proxy) => Ok(Self::To(EnvoyProxySpec::of(&proxy))),
            Answer::Absent => Ok(Self::Missing),
            Answer::Unknown(reason) => Err(reason),
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
}

impl<'a> Fleet<'a> {
    /// The one fleet of a class that merges its Gateways.
    pub fn merged(class: &str, is_terminating: bool) -> Self {
        let (owner, level) = (class.to_owned(), Level::Class);
        Self { owner, gateway: None, level, is_terminating, has_own_proxy: false, own: None, class: None }
    }

    /// The fleet whose HPA an object is, by its labels.
    pub fn labelled(object: &Object<'_>) -> Option<Self> {
        let label = |key| object.metadata.label(key).map(Cow::into_owned);
        if let Some(class) = label(OWNING_GATEWAY_CLASS) {
            return Some(Self::merged(&class, false));
        }
        let gateway = (label(OWNING_GATEWAY_NAMESPACE)?, label(OWNING_GATEWAY_NAME)?);
        Some(Self { owner: format!("{}/{}", gateway.0, gateway.1), gateway: Some(gateway), ..Self::merged("", false) })
    }

    /// By which specs it runs when the governing EnvoyProxy has this one; `None` when it is deleted.
    pub fn effective(&self, governing: Option<EnvoyProxySpec<'a>>) -> Effective<'a> {
        match self.level {
            Level::Class => Effective::new(self.own, governing),
            Level::Gateway => Effective::new(governing, self.class),
        }
    }

    /// The fleet's Deployment.
    pub fn deployment(&self, effective: &Effective<'_>, settings: &Settings) -> WorkloadRef {
        let name = effective.name(DEPLOYMENT).map_or_else(|| self.generated_name(settings), Cow::into_owned);
        WorkloadRef::deployment(&self.namespace(settings), &name)
    }

    /// The fleet's HPA, by namespace and name.
    pub fn hpa(&self, effective: &Effective<'_>, settings: &Settings) -> (String, String) {
        let name = effective.name(HPA).map_or_else(|| self.generated_name(settings), Cow::into_owned);
        (self.namespace(settings), name)
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

    /// The namespace of its objects.
    pub fn namespace(&self, settings: &Settings) -> String {
        match &self.gateway {
            Some((namespace, _)) if settings.envoy_gateway.gateway_namespace_mode => namespace.clone(),
            _ => settings.envoy_gateway.namespace.clone(),
        }
    }

    /// What its objects are called unless the EnvoyProxy says otherwise.
    pub fn generated_name(&self, settings: &Settings) -> String {
        let EnvoyGateway { gateway_namespace_mode, version, .. } = &settings.envoy_gateway;
        match &self.gateway {
            // Plain names came with 1.5.
            Some((_, name))
                if *gateway_namespace_mode && version.is_none_or(|version| version >= Version::new(1, 5, 0)) =>
            {
                name.clone()
            }
            _ => generated_name(&self.owner),
        }
    }
}

/// What Envoy Gateway calls the objects of a fleet: `envoy-`, the owner with `-` for `/`, cut to 48 characters, and the first 8 hex digits
/// of the SHA-256 of the whole owner. The owner is `<namespace>/<name>` of a Gateway, or the name of a class with merged Gateways.
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

/// Lists a kind of the Gateway API, in v1beta1 where the cluster is too old for v1.
fn list<'a>(
    context: &Context<'a>,
    kind: &crate::cluster::ApiKind<'static>,
    fields: &[&str],
) -> Answer<Vec<Object<'a>>> {
    let query = |kind| List { kind, namespace: None, label_selector: None, fields };
    match context.neighbours.list(&query(kind)) {
        Answer::Unknown(Reason::NotServed(_)) => {
            let beta =
                crate::cluster::ApiKind { api_version: "gateway.networking.k8s.io/v1beta1".into(), ..kind.clone() };
            let query = List { kind: &beta, namespace: None, label_selector: None, fields };
            context.neighbours.list(&query)
        }
        answer => answer,
    }
}

/// Every GatewayClass, of whatever controller.
pub fn classes<'a>(context: &Context<'a>) -> Result<Vec<GatewayClass<'a>>, Reason> {
    match list(context, &api::GATEWAY_CLASS, &["spec.controllerName", "spec.parametersRef"]) {
        Answer::Found(classes) => Ok(classes.into_iter().map(GatewayClass::new).collect()),
        Answer::Absent => Ok(Vec::new()),
        Answer::Unknown(reason) => Err(reason),
    }
}

fn gateways<'a>(context: &Context<'a>) -> Result<Vec<Gateway<'a>>, Reason> {
    match list(context, &api::GATEWAY, &["spec.gatewayClassName", "spec.infrastructure"]) {
        Answer::Found(gateways) => Ok(gateways.into_iter().map(Gateway::new).collect()),
        Answer::Absent => Ok(Vec::new()),
        Answer::Unknown(reason) => Err(reason),
    }
}

/// All that Envoy Gateway runs.
#[derive(Debug)]
pub struct Estate<'c, 'a> {
    context: &'c Context<'a>,
    classes: Vec<GatewayClass<'a>>,
    gateways: Vec<Gateway<'a>>,
}

impl<'c, 'a> Estate<'c, 'a> {
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

/// Whether an HPA carries the labels that Envoy Gateway gives the HPA of a fleet.
pub fn has_fleet_labels(hpa: &Object<'_>) -> bool {
    Fleet::labelled(hpa).is_some()
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

/// Whether some EnvoyProxy still declares the HPA of that fleet: the one that its labels name.
pub fn declares_fleet_hpa(context: &Context<'_>, hpa: &Object<'_>) -> Answer<bool> {
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
        Answer::Found(gateway) => gateway_declares(context, &gateway),
        Answer::Absent => Answer::Found(false),
        Answer::Unknown(reason) => Answer::Unknown(reason),
    }
}

/// Whether the class's EnvoyProxy declares an HPA for the fleet of all its Gateways, or for those of each.
fn class_declares(context: &Context<'_>, class: &str, merged: bool) -> Answer<bool> {
    let declares = |spec: EnvoyProxySpec<'_>| spec.declares_hpa() && spec.merges_gateways() == merged;
    let class = context.neighbours.get(&api::GATEWAY_CLASS, "", class, &["spec.controllerName", "spec.parametersRef"]);
    match class.map(|class| GatewayClass::new(class).resolve(context)) {
        Answer::Found(Ok(reference)) => Answer::Found(reference.spec().is_some_and(declares)),
        Answer::Absent => Answer::Found(false),
        Answer::Found(Err(reason)) | Answer::Unknown(reason) => Answer::Unknown(reason),
    }
}

fn gateway_declares<'a>(context: &Context<'a>, gateway: &Gateway<'a>) -> Answer<bool> {
    match gateway.resolve(context) {
        Ok(Reference::Missing) => Answer::Found(false),
        Ok(Reference::To(own)) if own.declares_hpa() || !own.is_merged() => Answer::Found(own.declares_hpa()),
        Ok(Reference::To(_) | Reference::Nothing) => class_declares(context, &gateway.class, false),
        Err(reason) => Answer::Unknown(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_generated_as_envoy_gateway_does() {
        assert_eq!(generated_name("default/eg"), "envoy-default-eg-e41e7b31");
        // Merged Gateways: the class's name alone.
        assert!(generated_name("eg").starts_with("envoy-eg-"));
        let long = generated_name(&format!("{}/{}", "n".repeat(30), "g".repeat(30)));
        assert_eq!(long.len(), "envoy-".len() + 48 + "-".len() + 8);
        // The cut falls behind the separator, which goes too.
        let trimmed = generated_name(&format!("{}/{}", "n".repeat(47), "gateway"));
        assert!(
            trimmed.starts_with(&format!("envoy-{}-", "n".repeat(47))) && trimmed.len() == 6 + 47 + 1 + 8,
            "{trimmed}"
        );
    }

    #[test]
    fn versions_decide_what_a_removal_does() {
        let removal = |text: &str| Running(Version::parse(text)).removal();
        for (text, expected) in [
            ("1.1.2", Removal::Loses),
            ("1.1.3", Removal::Orphans),
            ("1.3.0", Removal::Orphans),
            ("1.4.6", Removal::Orphans),
            ("1.5.0", Removal::Loses),
            ("1.9.1", Removal::Loses),
            ("latest", Removal::Either),
        ] {
            assert_eq!(removal(text), expected, "{text}");
        }
    }

    #[test]
    fn versions_decide_what_is_deleted() {
        let deletes = |text: &str| {
            let running = Running(Version::parse(text));
            (running.deletes_by_name(), running.deletes_by_labels())
        };
        for (text, expected) in [
            ("1.1.2", (true, Some(false))),
            ("1.1.3", (false, Some(false))),
            ("1.4.6", (false, Some(false))),
            ("1.5.0", (false, Some(true))),
            ("latest", (false, None)),
        ] {
            assert_eq!(deletes(text), expected, "{text}");
        }
    }

    #[test]
    fn the_version_is_read_from_the_image() {
        let version = |image: &str| {
            let text = format!(r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"image":"{image}"}}]}}}}}}}}"#);
            image_version(&Object::from_text(&text).expect("well-formed"))
        };
        assert_eq!(version("docker.io/envoyproxy/gateway:v1.4.2"), Some(Version::new(1, 4, 2)));
        assert_eq!(version("mirror.example:5000/envoyproxy/gateway:v1.9.1@sha256:0123"), Some(Version::new(1, 9, 1)));
        assert_eq!(version("mirror.example:5000/envoyproxy/gateway@sha256:0123"), None);
        assert_eq!(version("envoyproxy/gateway:latest"), None);
    }

    fn spec(text: &str) -> EnvoyProxySpec<'_> {
        EnvoyProxySpec(Json::new(text))
    }

    const WITH: &str = r#"{"provider":{"type":"Kubernetes","kubernetes":{"envoyHpa":{"maxReplicas":5}}}}"#;
    const WITHOUT: &str = r#"{"provider":{"type":"Kubernetes","kubernetes":{"envoyDeployment":{"replicas":3}}}}"#;
    const MERGED: &str = r#"{"mergeType":"StrategicMerge","provider":{"type":"Kubernetes","kubernetes":{"envoyDeployment":{"replicas":3}}}}"#;

    #[test]
    fn patches_rename_and_force() {
        let text = r#"{"provider":{"type":"Kubernetes","kubernetes":{
            "envoyDeployment":{"name":"edge","replicas":3,"patch":{"type":"JSONMerge","value":{"metadata":{"name":"other"},"spec":{"replicas":4}}}},
            "envoyHpa":{"maxReplicas":5,"patch":{"value":{"metadata":{"labels":null},"spec":{"scaleTargetRef":{"name":"third"}}}}}}}}"#;
        let effective = Effective::new(Some(spec(text)), None);
        assert_eq!(effective.name(DEPLOYMENT).as_deref(), Some("other"));
        assert_eq!((effective.name(HPA), effective.target_name().as_deref()), (None, Some("third")));
        assert_eq!((effective.replicas(), effective.patched_replicas()), (Some(3), Some(4)));
        let label = effective.patched(HPA, &["metadata", "labels", OWNING_GATEWAY_NAME]);
        assert_eq!(label.map(Json::text), Some("null"));
        assert!(effective.patched(HPA, &["metadata", "annotations"]).is_none());
        let unpatched = Effective::new(Some(spec(WITHOUT)), None);
        assert_eq!(
            (unpatched.name(DEPLOYMENT), unpatched.target_name(), unpatched.patched_replicas()),
            (None, None, None)
        );
    }

    #[test]
    fn versions_decide_who_writes_the_count() {
        const BOTH: &str =
            r#"{"provider":{"type":"Kubernetes","kubernetes":{"envoyDeployment":{"replicas":3},"envoyHpa":{}}}}"#;
        let writes = |text: &'static str, version: &str| {
            Effective::new(Some(spec(text)), None).writes_count(Running(Version::parse(version)))
        };
        for (version, expected) in [
            ("1.2.8", Some(false)),
            ("1.3.0", Some(true)),
            ("1.8.3", Some(true)),
            ("1.9.0", Some(false)),
            ("latest", None),
        ] {
            assert_eq!(writes(BOTH, version), expected, "{version}");
            assert_eq!((writes(WITHOUT, version), writes(WITH, version)), (Some(true), Some(false)), "{version}");
        }
    }

    #[test]
    fn bounds_and_logging_do_not_make_other_fleets() {
        let with = |text| spec(text);
        let more = r#"{"logging":{},"provider":{"type":"Kubernetes","kubernetes":{"envoyHpa":{"maxReplicas":9}}}}"#;
        assert!(with(WITH).same_fleets(with(more)) && !with(WITH).same_fleets(with(WITHOUT)));
        let named = r#"{"provider":{"type":"Kubernetes","kubernetes":{"envoyHpa":{"maxReplicas":5,"name":"edge"}}}}"#;
        assert!(!with(WITH).same_fleets(with(named)) && !with(WITHOUT).same_fleets(with(MERGED)));
    }

    #[test]
    fn labels_tell_whose_an_hpa_is() {
        let read = |text| Object::from_text(text).expect("well-formed");
        let old = r#"{"metadata":{"labels":{"gateway.envoyproxy.io/owning-gateway-name":"eg","gateway.envoyproxy.io/owning-gateway-namespace":"default"}}}"#;
        let new = r#"{"metadata":{"labels":{"gateway.envoyproxy.io/owning-gatewayclass":"eg","app.kubernetes.io/name":"envoy",
            "app.kubernetes.io/component":"proxy","app.kubernetes.io/managed-by":"envoy-gateway"}}}"#;
        assert!(has_fleet_labels(&read(old)) && !has_own_labels(&read(old)) && has_own_labels(&read(new)));
        let owned = r#"{"metadata":{"ownerReferences":[{"apiVersion":"gateway.networking.k8s.io/v1","kind":"GatewayClass","name":"eg","uid":"1"}]}}"#;
        assert!(has_gateway_owner(&read(owned)) && !has_gateway_owner(&read(old)));
        let gateway = Gateway::new(read(r#"{"metadata":{"name":"eg","namespace":"default"}}"#));
        let fleet = gateway.fleet(Level::Gateway, None, None);
        assert!(fleet.labels(&read(old)) && !fleet.labels(&read(new)));
        let labelled = |object| Fleet::labelled(&read(object)).map(|fleet| fleet.title());
        assert_eq!(labelled(old).as_deref(), Some("Gateway default/eg"));
        assert_eq!((labelled(new).as_deref(), labelled("{}")), (Some("GatewayClass eg"), None));
        assert!(Fleet::merged("eg", false).labels(&read(new)) && !Fleet::merged("eg", false).labels(&read(old)));
    }

    #[test]
    fn a_gateways_own_proxy_replaces_the_class_unless_merged() {
        let declares = |own: Option<&'static str>, class: Option<&'static str>| {
            Effective::new(own.map(spec), class.map(spec)).declares_hpa()
        };
        assert!(declares(None, Some(WITH)) && declares(Some(WITH), None) && declares(Some(WITH), Some(WITHOUT)));
        assert!(!declares(Some(WITHOUT), Some(WITH)));
        assert!(declares(Some(MERGED), Some(WITH)));
        assert_eq!(Effective::new(Some(spec(MERGED)), Some(spec(WITH))).replicas(), Some(3));
        assert!(!declares(Some(r#"{"mergeType":"Replace"}"#), Some(WITH)));
        assert!(!declares(Some(r#"{"provider":{"type":"Host","kubernetes":{"envoyHpa":{}}}}"#), None));
    }
}
