//! Envoy Gateway's fleets: what the core knows of versions, names and merging, asked for every Gateway of a cluster.

use std::collections::{BTreeMap, BTreeSet};

use autoscaler_guard::cluster::{Neighbours, Presence};
use autoscaler_guard::context::Context;
use autoscaler_guard::facts::envoy_gateway::{
    Effective, EnvoyProxySpec, Fleet as Shape, Gateway, GatewayClass, Level, OWNING_GATEWAY_CLASS, OWNING_GATEWAY_NAME,
    OWNING_GATEWAY_NAMESPACE, Reference, WithoutClassProxy, WithoutOwnProxy,
};
use autoscaler_guard::facts::installation::Installation;
use autoscaler_guard::settings::EnvoyHpaRemoval;
use autoscaler_guard::{AdmissionRequest, Settings};
use autoscaler_guard_reading::{Json, Object as Text};
use typed_arena::Arena;

use crate::inventory::Inventory;
use crate::object::{Object, Ref};

/// The API groups of Gateways and of EnvoyProxies.
pub const GATEWAY: &str = "gateway.networking.k8s.io";
/// EnvoyProxy's group.
pub const ENVOY: &str = "gateway.envoyproxy.io";

/// Whose a fleet is: a Gateway's, or a class's that merges its Gateways.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Namespace and name of the Gateway.
    Gateway(String, String),
    /// The class.
    Class(String),
}

/// A fleet.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// What messages call its owner.
    pub title: String,
    /// Its Deployment; by its labels, else by the name that it should have.
    pub deployment: Ref,
    /// The HPA that Envoy Gateway would make.
    pub hpa: Ref,
    /// Whether an EnvoyProxy declares that HPA; none where that is not known.
    pub declares: Option<bool>,
    /// Whether an EnvoyProxy declared it when it was applied last, and does not any more.
    pub declared_before: bool,
    /// Whether which Envoy Gateway runs is a guess.
    pub is_guess: bool,
    /// Why its controller does not keep it up, and since when.
    pub broken: Option<(String, Option<String>)>,
    /// The count that Envoy Gateway forces on it beside any autoscaler.
    pub forced: Option<i64>,
    /// Whether the policy pinned envoyHpa instead of letting it go.
    pub is_pinned: bool,
    /// The EnvoyProxies by which it runs.
    pub proxies: Vec<Ref>,
}

/// What an HPA's labels lead to.
#[derive(Clone, Copy, Debug)]
pub enum Labelled<'f> {
    /// This fleet.
    Fleet(&'f Fleet),
    /// No Gateway or class that an Envoy Gateway runs.
    Nothing,
    /// Nobody knows.
    Unknown,
}

/// All fleets.
#[derive(Debug, Default)]
pub struct Fleets {
    by_owner: BTreeMap<Owner, Fleet>,
    by_deployment: BTreeMap<Ref, Owner>,
    /// Gateways and classes that may be another controller's.
    foreign: BTreeSet<Owner>,
    is_readable: bool,
}

impl Fleets {
    /// Finds them.
    pub fn of(inventory: &Inventory, settings: &Settings) -> Self {
        let kinds = [(GATEWAY, "Gateway"), (GATEWAY, "GatewayClass"), (ENVOY, "EnvoyProxy")];
        let is_readable = kinds.iter().all(|(_, kind)| inventory.can_read(kind, ""));
        let mut fleets = Self { is_readable, ..Self::default() };
        if !is_readable {
            return fleets;
        }
        let deployments = deployments(inventory);
        for gateway in inventory.kind(GATEWAY, "Gateway") {
            if gateway.is_terminating() {
                // Its objects go with it, in a moment.
                fleets.foreign.insert(Owner::Gateway(gateway.key.namespace.clone(), gateway.key.name.clone()));
                continue;
            }
            let finder = Finder { inventory, settings, deployments: &deployments, gateway };
            asked(inventory, settings, |context| finder.add(context, &mut fleets));
        }
        fleets
    }

    /// The fleets.
    pub fn all(&self) -> impl Iterator<Item = &Fleet> {
        self.by_owner.values()
    }

    /// The fleet whose Deployment that is.
    pub fn of_deployment(&self, workload: &Ref) -> Option<&Fleet> {
        let owner = self.by_deployment.get(workload)?;
        self.by_owner.get(owner)
    }

    /// What an HPA's labels lead to; none where it has no such labels.
    pub fn labelled(&self, object: &Object) -> Option<Labelled<'_>> {
        let owner = owner(object)?;
        if !self.is_readable || self.foreign.contains(&owner) {
            return Some(Labelled::Unknown);
        }
        Some(self.by_owner.get(&owner).map_or(Labelled::Nothing, Labelled::Fleet))
    }
}

/// Whose fleet an object is part of, by its labels.
pub fn owner(object: &Object) -> Option<Owner> {
    if let Some(class) = object.label(OWNING_GATEWAY_CLASS) {
        return Some(Owner::Class(class.to_owned()));
    }
    let (namespace, name) = (object.label(OWNING_GATEWAY_NAMESPACE)?, object.label(OWNING_GATEWAY_NAME)?);
    Some(Owner::Gateway(namespace.to_owned(), name.to_owned()))
}

fn deployments(inventory: &Inventory) -> BTreeMap<Owner, Ref> {
    let labelled = |object: &Object| Some((owner(object)?, object.key.clone()));
    inventory.kind("apps", "Deployment").filter_map(labelled).collect()
}

/// Any request will do: only its neighbours are asked for.
const REQUEST: &str =
    r#"{"operation":"CREATE","kind":{"group":"autoscaling","kind":"HorizontalPodAutoscaler"},"object":{}}"#;

/// Asks the core; each time anew, as it answers a bounded number of questions.
fn asked(inventory: &Inventory, settings: &Settings, work: impl FnOnce(&Context<'_>)) {
    let Ok(request) = AdmissionRequest::from_text(REQUEST) else { return };
    let (request, change) = request.change();
    let Ok(Some(change)) = change else { return };
    let texts = Arena::new();
    let neighbours = Neighbours::new(inventory, &texts, &settings.service_account);
    work(&Context { request: &request, change: &change, neighbours, settings });
}

struct Finder<'i> {
    inventory: &'i Inventory,
    settings: &'i Settings,
    deployments: &'i BTreeMap<Owner, Ref>,
    gateway: &'i Object,
}

impl Finder<'_> {
    fn read<'a>(context: &Context<'a>, object: &Object) -> Option<Text<'a>> {
        Text::from_text(context.neighbours.keep(object.value.to_string())).ok()
    }

    fn add(&self, context: &Context<'_>, fleets: &mut Fleets) {
        let Some(gateway) = Self::read(context, self.gateway).map(Gateway::new) else { return };
        let own = Owner::Gateway(self.gateway.key.namespace.clone(), self.gateway.key.name.clone());
        let class_key = Ref::new(GATEWAY, "GatewayClass", "", &gateway.class);
        // Without its class nobody runs it.
        let Some(class_object) = self.inventory.get(&class_key) else { return };
        let Some(class) = Self::read(context, class_object).map(GatewayClass::new) else { return };
        if !class.is_envoy_gateways(context) {
            fleets.foreign.insert(own);
            fleets.foreign.insert(Owner::Class(class_key.name));
            return;
        }
        let home = class.installation(context);
        let references = (class.resolve(context), gateway.resolve(context));
        let (Ok(of_class), Ok(of_gateway), true) =
            (references.0, references.1, home.watches(&self.gateway.key.namespace))
        else {
            fleets.foreign.insert(own);
            return;
        };
        let is_merged = home.merges(of_class.spec());
        let owner = if is_merged { Owner::Class(class_key.name.clone()) } else { own };
        if fleets.by_owner.contains_key(&owner) {
            return;
        }
        let (mut of_gateway, spec) = (of_gateway, of_class.spec());
        if is_merged {
            of_gateway = Reference::Nothing;
        }
        let shape = if is_merged {
            Shape::merged(home.clone(), &class_key.name, false)
        } else {
            gateway.fleet(home.clone(), Level::Class, of_gateway.spec(), None)
        };
        let effective = shape.effective(spec);
        let computed = shape.deployment(&effective);
        let deployment = self.deployments.get(&owner).cloned();
        let deployment = deployment.unwrap_or_else(|| Ref::deployment(&computed.namespace, &computed.name));
        let (hpa_namespace, hpa_name) = shape.hpa(&effective);
        let hpa = Ref::hpa(&hpa_namespace, &hpa_name);
        let is_there = self.inventory.get(&deployment).is_some();
        let proxies = Self::proxies(&gateway, &class);
        let kept = self.kept(&home, of_gateway, of_class, class_object, is_there && self.inventory.get(&hpa).is_some());
        let broken = kept.broken.filter(|_| is_there);
        let declares =
            if kept.deletes_fleet { Some(false) } else { self.declares(&home, &effective, of_gateway.spec(), spec) };
        let writes = effective.writes_count(home.running).unwrap_or_default();
        let live = || self.inventory.get(&deployment).and_then(|it| it.number("/spec/replicas"));
        let fleet = Fleet {
            title: shape.title(),
            declared_before: declares == Some(false) && self.declared_before(&proxies, &home),
            forced: effective.replicas().filter(|_| writes).or_else(|| live().filter(|_| writes)),
            is_pinned: self.is_pinned(&proxies),
            is_guess: !home.is_known,
            deployment,
            hpa,
            declares,
            broken,
            proxies,
        };
        fleets.by_deployment.insert(fleet.deployment.clone(), owner.clone());
        fleets.by_owner.insert(owner, fleet);
    }

    fn proxies(gateway: &Gateway<'_>, class: &GatewayClass<'_>) -> Vec<Ref> {
        let references = [gateway.own_proxy.as_ref(), class.proxy.as_ref()].into_iter().flatten();
        let proxies = references.filter(|reference| reference.other_kind.is_none());
        proxies.map(|reference| Ref::new(ENVOY, "EnvoyProxy", &reference.namespace, &reference.name)).collect()
    }

    /// Whether an EnvoyProxy declares the HPA; one that nobody can read may.
    fn declares(
        &self,
        home: &Installation<'_>,
        effective: &Effective<'_>,
        own: Option<EnvoyProxySpec<'_>>,
        class: Option<EnvoyProxySpec<'_>>,
    ) -> Option<bool> {
        if effective.declares_hpa() {
            return Some(true);
        }
        let reaches_default = |spec: Option<EnvoyProxySpec<'_>>| spec.is_none_or(EnvoyProxySpec::is_merged);
        let is_unknown = matches!(home.default_proxy, Presence::Unknown(_));
        (!is_unknown || !reaches_default(own) || !reaches_default(class) || self.has_no_default(home)).then_some(false)
    }

    /// Where no Envoy Gateway was found, though it would have been, there is no default either, unless some
    /// configuration names one.
    fn has_no_default(&self, home: &Installation<'_>) -> bool {
        let is_readable = self.inventory.can_read("ConfigMap", "") && self.inventory.can_read("Deployment", "");
        let names_one = |map: &Object| {
            map.value["data"].as_object().is_some_and(|data| {
                data.values().any(|file| file.as_str().is_some_and(|file| file.contains("envoyProxy:")))
            })
        };
        let maps = || self.inventory.kind("", "ConfigMap").filter(|map| map.key.name == "envoy-gateway-config");
        !home.is_known && is_readable && !maps().any(names_one)
    }

    /// Whether the controller keeps the fleet up, by what it is referred to and by what the controller says itself.
    fn kept(
        &self,
        home: &Installation<'_>,
        own: Reference<'_>,
        class: Reference<'_>,
        class_object: &Object,
        has_hpa: bool,
    ) -> Kept {
        let refused =
            self.gateway.condition("Accepted").filter(|it| it.status == "False" && it.reason == "InvalidParameters");
        if let Some(refused) = refused {
            let why = format!("{} is not accepted ({})", self.gateway.key, refused.reason);
            return Kept { broken: Some((why, refused.since.map(str::to_owned))), deletes_fleet: false };
        }
        if own.is_missing() {
            let why = format!("{} refers to an EnvoyProxy that is not there", self.gateway.key);
            return match home.running.without_own_proxy() {
                Some(WithoutOwnProxy::FallsBack) => Kept::default(),
                Some(WithoutOwnProxy::DeletesFleet) => Kept { broken: None, deletes_fleet: true },
                Some(WithoutOwnProxy::Freezes) | None => Kept { broken: Some((why, None)), deletes_fleet: true },
            };
        }
        let refused =
            class_object.condition("Accepted").filter(|it| it.status == "False" && it.reason == "InvalidParameters");
        if !class.is_missing() && refused.is_none() {
            return Kept::default();
        }
        let since = refused.and_then(|refused| refused.since).map(str::to_owned);
        let why = format!("{} refers to an EnvoyProxy that is not there or not valid", class_object.key);
        match home.running.without_class_proxy() {
            Some(WithoutClassProxy::FreezesAll) => Kept { broken: Some((why, since)), deletes_fleet: false },
            Some(WithoutClassProxy::DeletesFleets) => Kept { broken: None, deletes_fleet: true },
            // It would run on defaults, without the HPA: where that is there, nothing was done yet.
            Some(WithoutClassProxy::Defaults) | None if has_hpa => {
                Kept { broken: Some((why, since)), deletes_fleet: false }
            }
            Some(WithoutClassProxy::Defaults) | None => Kept::default(),
        }
    }

    /// An EnvoyProxy's manifest as it was applied last has envoyHpa, and the object has not.
    fn declared_before(&self, proxies: &[Ref], home: &Installation<'_>) -> bool {
        let objects = proxies.iter().filter_map(|proxy| self.inventory.get(proxy));
        let had = |object: &Object| {
            let applied = object.last_applied().map(|applied| applied["spec"].to_string());
            applied.is_some_and(|spec| {
                Effective::new(Some(EnvoyProxySpec::new(Json::new(&spec))), None, home.default_spec()).declares_hpa()
            })
        };
        objects.into_iter().any(had)
    }

    /// The policy pins by putting envoyHpa with min = max where whoever wrote has none.
    fn is_pinned(&self, proxies: &[Ref]) -> bool {
        let pinned = |object: &Object| {
            let bound = |name| object.number(&format!("/spec/provider/kubernetes/envoyHpa/{name}"));
            let applied = object.last_applied();
            let has_none =
                applied.as_ref().is_some_and(|applied| applied.pointer("/spec/provider/kubernetes/envoyHpa").is_none());
            let may_be = applied.is_none() && self.settings.envoy_hpa_removal == EnvoyHpaRemoval::Pin;
            bound("maxReplicas").is_some() && bound("minReplicas") == bound("maxReplicas") && (has_none || may_be)
        };
        proxies.iter().filter_map(|proxy| self.inventory.get(proxy)).any(pinned)
    }
}

#[derive(Default)]
struct Kept {
    broken: Option<(String, Option<String>)>,
    deletes_fleet: bool,
}
