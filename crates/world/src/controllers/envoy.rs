//! Envoy Gateway: writes every fleet anew whenever a Gateway, GatewayClass or EnvoyProxy changes.
//!
//! After envoyproxy/gateway `internal/gatewayapi`, `internal/infrastructure/kubernetes` and the issues named below;
//! seen with 1.3.0 and 1.9.1.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::object::{self, At, Key, label, number, text};
use crate::server::{Actor, Propagation, Reply, Request, Verb, Version, World};

const CONTROLLER: Actor = Actor {
    name: "Envoy Gateway",
    user: "system:serviceaccount:envoy-gateway-system:envoy-gateway",
    manager: "envoy-gateway",
    names_manager: true,
};

const CONTROLLER_NAME: &str = "gateway.envoyproxy.io/gatewayclass-controller";
const NAMESPACE: &str = "envoy-gateway-system";
const GATEWAY_API: &str = "gateway.networking.k8s.io";
const IN_USE: &str = "gateway-exists-finalizer.gateway.networking.k8s.io";
const OWNING_NAME: &str = "gateway.envoyproxy.io/owning-gateway-name";
const OWNING_NAMESPACE: &str = "gateway.envoyproxy.io/owning-gateway-namespace";
const OWNING_CLASS: &str = "gateway.envoyproxy.io/owning-gatewayclass";

/// What differs between versions.
impl Version {
    /// Whether an HPA stays when envoyHpa goes (pull requests 4362 and 6395).
    fn leaves_hpa(self) -> bool {
        self >= Self(1, 1, 3) && self < Self(1, 5, 0)
    }

    /// Whether it finds what it made by labels, and deletes all of it that is not wanted (pull request 6395).
    fn sweeps(self) -> bool {
        self >= Self(1, 5, 0)
    }

    /// What a class's EnvoyProxy that is missing does.
    fn missing_class_proxy(self) -> Missing {
        if self < Self(1, 3, 3) {
            Missing::FreezesAll
        } else if self < Self(1, 4, 2) {
            Missing::DropsFleets
        } else {
            Missing::Defaults
        }
    }

    /// Whether it writes `envoyDeployment.replicas` beside envoyHpa (issues 2807 and 5751, pull request 9594).
    fn forces_replicas(self) -> bool {
        self >= Self(1, 3, 0) && self < Self(1, 9, 0)
    }
}

enum Missing {
    FreezesAll,
    DropsFleets,
    Defaults,
}

/// A fleet, as the configuration wants it.
struct Fleet {
    owner: Key,
    name: String,
    kubernetes: Value,
}

/// What the configuration says.
#[derive(Default)]
struct Plan {
    fleets: Vec<Fleet>,
    /// Owners whose fleets are left as they are, with the part of the EnvoyProxy that still declares something.
    frozen: Vec<(Key, Value)>,
    /// The controller does nothing at all.
    stands_still: bool,
}

impl Fleet {
    fn labels(&self) -> Value {
        owning_labels(&self.owner)
    }

    fn deployment(&self) -> String {
        let named = text(&self.kubernetes, "/envoyDeployment/name");
        if named.is_empty() { self.name.clone() } else { named.to_owned() }
    }

    fn hpa(&self) -> Option<&Value> {
        self.kubernetes.get("envoyHpa").filter(|hpa| !hpa.is_null())
    }

    fn is_daemon_set(&self) -> bool {
        self.kubernetes.get("envoyDaemonSet").is_some_and(|set| !set.is_null())
    }

    /// The count that it writes.
    fn replicas(&self, version: Version) -> Option<i64> {
        let patched = number(&self.kubernetes, "/envoyDeployment/patch/value/spec/replicas");
        let declared = number(&self.kubernetes, "/envoyDeployment/replicas");
        patched.or_else(|| declared.filter(|_| self.hpa().is_none() || version.forces_replicas()))
    }
}

fn owning_labels(owner: &Key) -> Value {
    if &*owner.kind == "Gateway" {
        json!({OWNING_NAME: *owner.name, OWNING_NAMESPACE: *owner.namespace})
    } else {
        json!({OWNING_CLASS: *owner.name})
    }
}

/// The owner that an object's labels name.
fn owner_of(value: &Value) -> Option<Key> {
    if let Some(class) = label(value, OWNING_CLASS) {
        return Some(Key::new(GATEWAY_API, "GatewayClass", "", class));
    }
    let (name, namespace) = (label(value, OWNING_NAME)?, label(value, OWNING_NAMESPACE)?);
    Some(Key::new(GATEWAY_API, "Gateway", namespace, name))
}

/// `envoy-<namespace>-<name>-<8 hex>` (`GetHashedName`).
fn fleet_name(owner: &Key) -> String {
    let input =
        if &*owner.kind == "Gateway" { format!("{}/{}", owner.namespace, owner.name) } else { owner.name.to_string() };
    let digest = Sha256::digest(input.as_bytes());
    let hex = digest.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    let name = input.replace('/', "-");
    let cut: String = name.chars().take(48).collect();
    let cut = if name.len() > 48 { cut.strip_suffix('-').unwrap_or(&cut).to_owned() } else { cut };
    format!("envoy-{cut}-{hex:08x}")
}

/// What a reference to an EnvoyProxy leads to.
enum Proxy {
    None,
    Missing,
    /// For something else than Kubernetes.
    Other(Value),
    Found(Value),
}

fn proxy(world: &World, reference: Option<&Value>, namespace: &str) -> Proxy {
    let Some(reference) = reference else { return Proxy::None };
    let own = text(reference, "/namespace");
    let namespace = if own.is_empty() { namespace } else { own };
    let key = Key::new("gateway.envoyproxy.io", "EnvoyProxy", namespace, text(reference, "/name"));
    let is_proxy = text(reference, "/kind") == "EnvoyProxy" && text(reference, "/group") == "gateway.envoyproxy.io";
    let Some(found) = world.get(&key).filter(|_| is_proxy && world.serves(&key.group, &key.kind)) else {
        return Proxy::Missing;
    };
    let spec = found.get("spec").cloned().unwrap_or_default();
    match text(&spec, "/provider/type") {
        "" | "Kubernetes" => Proxy::Found(spec),
        _ => Proxy::Other(spec),
    }
}

fn kubernetes(spec: &Value) -> Value {
    spec.at("/provider/kubernetes").cloned().unwrap_or_else(|| json!({}))
}

fn plan(world: &World) -> Plan {
    let (mut plan, version) = (Plan::default(), world.setup.envoy_gateway);
    for (class, stored) in world.list(GATEWAY_API, "GatewayClass", None) {
        let value = &stored.value;
        if text(value, "/spec/controllerName") != CONTROLLER_NAME {
            continue;
        }
        let gateways: Vec<(&Key, &Value)> = world
            .list(GATEWAY_API, "Gateway", None)
            .map(|(key, stored)| (key, &stored.value))
            .filter(|(_, gateway)| text(gateway, "/spec/gatewayClassName") == &*class.name)
            .collect();
        let mut reference = value.at("/spec/parametersRef");
        if stored.is_terminating() {
            // Its parameters are not read any more (issue 2637); early versions let go of the whole class.
            if version < Version(1, 4, 2) {
                plan.frozen.extend(gateways.iter().map(|(key, _)| ((*key).clone(), Value::Null)));
                continue;
            }
            reference = None;
        }
        let class_spec = match proxy(world, reference, "default") {
            Proxy::None => None,
            Proxy::Found(spec) => Some(spec),
            Proxy::Other(spec) if version >= Version(1, 4, 2) => {
                plan.frozen.extend(gateways.iter().map(|(key, _)| ((*key).clone(), kubernetes(&spec))));
                continue;
            }
            Proxy::Missing | Proxy::Other(_) => match version.missing_class_proxy() {
                Missing::FreezesAll => return Plan { stands_still: true, ..Plan::default() },
                Missing::DropsFleets => continue,
                Missing::Defaults => None,
            },
        };
        let merges = class_spec.as_ref().is_some_and(|spec| spec.get("mergeGateways") == Some(&Value::Bool(true)));
        let mut shares_fleet = false;
        for (key, gateway) in gateways {
            let own = gateway.at("/spec/infrastructure/parametersRef");
            if merges {
                // A Gateway with parameters of its own is not accepted there.
                shares_fleet |= own.is_none();
                continue;
            }
            let spec = match proxy(world, own, &key.namespace) {
                Proxy::None => class_spec.clone().unwrap_or_else(|| json!({})),
                Proxy::Found(own) => over(own, class_spec.as_ref(), version),
                Proxy::Missing | Proxy::Other(_) => {
                    if version >= Version(1, 7, 0) {
                        plan.frozen.push((key.clone(), Value::Null));
                    }
                    continue;
                }
            };
            plan.fleets.push(Fleet { owner: key.clone(), name: fleet_name(key), kubernetes: kubernetes(&spec) });
        }
        if shares_fleet {
            let spec = class_spec.unwrap_or_default();
            plan.fleets.push(Fleet { owner: class.clone(), name: fleet_name(class), kubernetes: kubernetes(&spec) });
        }
    }
    plan
}

/// A Gateway's own EnvoyProxy replaces its class's, unless it says that it is merged (1.8 and later).
fn over(own: Value, class: Option<&Value>, version: Version) -> Value {
    let merges = matches!(text(&own, "/mergeType"), "StrategicMerge" | "JSONMerge") && version >= Version(1, 8, 0);
    match class.filter(|_| merges) {
        Some(class) => {
            let mut both = class.clone();
            object::merge(&mut both, &own);
            both
        }
        None => own,
    }
}

/// One reconcile.
pub fn reconcile(world: &mut World) -> Vec<Reply> {
    world.envoy_queue = false;
    let plan = plan(world);
    let mut replies = Vec::new();
    if plan.stands_still {
        return replies;
    }
    replies.extend(finalize_classes(world));
    let kept: BTreeSet<Key> = plan
        .fleets
        .iter()
        .map(|fleet| &fleet.owner)
        .chain(plan.frozen.iter().map(|(owner, _)| owner))
        .cloned()
        .collect();
    let gone: Vec<Key> = world.envoy_made.iter().filter(|owner| !kept.contains(*owner)).cloned().collect();
    for owner in gone {
        world.envoy_made.remove(&owner);
        replies.extend(delete(world, "apps", "Deployment", &owner, None));
        replies.extend(delete(world, "apps", "DaemonSet", &owner, None));
        if !world.setup.envoy_gateway.leaves_hpa() {
            replies.extend(delete(world, "autoscaling", "HorizontalPodAutoscaler", &owner, None));
        }
    }
    for fleet in &plan.fleets {
        world.envoy_made.insert(fleet.owner.clone());
        replies.extend(write(world, fleet));
    }
    // Its own writes wake it for nothing new.
    world.envoy_queue = false;
    replies
}

/// A class that Gateways use is held by a finalizer.
fn finalize_classes(world: &mut World) -> Vec<Reply> {
    let classes: Vec<(Key, Value)> = world
        .list(GATEWAY_API, "GatewayClass", None)
        .filter(|(_, stored)| text(&stored.value, "/spec/controllerName") == CONTROLLER_NAME)
        .map(|(key, stored)| (key.clone(), stored.value.clone()))
        .collect();
    let mut replies = Vec::new();
    for (key, value) in classes {
        let used = world
            .list(GATEWAY_API, "Gateway", None)
            .any(|(_, gateway)| text(&gateway.value, "/spec/gatewayClassName") == &*key.name);
        let finalizers = object::items(&value, "/metadata/finalizers");
        let held = finalizers.iter().any(|finalizer| finalizer == IN_USE);
        let is_going = value.at("/metadata/deletionTimestamp").is_some();
        if used == held || (used && is_going) {
            continue;
        }
        let mut wanted: Vec<Value> = finalizers.iter().filter(|finalizer| *finalizer != IN_USE).cloned().collect();
        if used {
            wanted.push(IN_USE.into());
        }
        let patch = json!({"metadata": {"finalizers": if wanted.is_empty() { Value::Null } else { wanted.into() }}});
        replies.push(world.request(&CONTROLLER, Request::new(key, Verb::Patch(patch))));
    }
    replies
}

fn write(world: &mut World, fleet: &Fleet) -> Vec<Reply> {
    let version = world.setup.envoy_gateway;
    let mut labels = fleet.labels();
    let own = json!({
        "app.kubernetes.io/name": "envoy", "app.kubernetes.io/component": "proxy", "app.kubernetes.io/managed-by": "envoy-gateway",
    });
    object::merge(&mut labels, &own);
    let kind = if fleet.is_daemon_set() { "DaemonSet" } else { "Deployment" };
    let mut workload = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": fleet.deployment(), "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "envoy"}]}},
        },
    });
    if let Some(replicas) = fleet.replicas(version).filter(|_| !fleet.is_daemon_set()) {
        workload["spec"]["replicas"] = replicas.into();
    }
    if let Some(patch) = fleet.kubernetes.at("/envoyDeployment/patch/value") {
        object::merge(&mut workload, patch);
    }
    let mut replies = vec![apply(world, workload.clone())];
    if version.sweeps() {
        let kept = text(&workload, "/metadata/name").to_owned();
        let keep = |same: bool| same.then_some(kept.as_str());
        replies.extend(delete(world, "apps", "Deployment", &fleet.owner, keep(kind == "Deployment")));
        replies.extend(delete(world, "apps", "DaemonSet", &fleet.owner, keep(kind == "DaemonSet")));
    }
    let Some(hpa) = fleet.hpa() else {
        if !version.leaves_hpa() {
            replies.extend(delete(world, "autoscaling", "HorizontalPodAutoscaler", &fleet.owner, None));
        }
        return replies;
    };
    let named = text(hpa, "/name");
    let name = if named.is_empty() || version < Version(1, 5, 0) { fleet.name.as_str() } else { named };
    let metrics = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
    let mut wanted = json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": if version.sweeps() { labels } else { fleet.labels() }},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": fleet.deployment()},
            "minReplicas": number(hpa, "/minReplicas").unwrap_or(1),
            "maxReplicas": number(hpa, "/maxReplicas").unwrap_or(1),
            "metrics": hpa.get("metrics").unwrap_or(&metrics),
        },
    });
    if let Some(behavior) = hpa.get("behavior") {
        wanted["spec"]["behavior"] = behavior.clone();
    }
    if let Some(patch) = hpa.at("/patch/value") {
        object::merge(&mut wanted, patch);
    }
    replies.push(apply(world, wanted.clone()));
    if version.sweeps() {
        let kept = text(&wanted, "/metadata/name").to_owned();
        replies.extend(delete(world, "autoscaling", "HorizontalPodAutoscaler", &fleet.owner, Some(&kept)));
    }
    replies
}

fn apply(world: &mut World, object: Value) -> Reply {
    let Some(key) = Key::of(&object, NAMESPACE) else { return Reply::Missing };
    world.request(&CONTROLLER, Request::new(key, Verb::Apply { object, force: true }))
}

/// Deletes what has a fleet's labels, but for one name: all that it knows a fleet's objects by.
fn delete(world: &mut World, group: &str, kind: &str, owner: &Key, except: Option<&str>) -> Vec<Reply> {
    let is_hpa = kind == "HorizontalPodAutoscaler";
    let doomed: Vec<Key> = world
        .list(group, kind, Some(NAMESPACE))
        .filter(|(key, stored)| {
            let own = label(&stored.value, "app.kubernetes.io/managed-by") == Some("envoy-gateway");
            owner_of(&stored.value).as_ref() == Some(owner) && Some(&*key.name) != except && (own || !is_hpa)
        })
        .map(|(key, _)| key.clone())
        .collect();
    let verb = || Verb::Delete { propagation: Propagation::Background, uid: None };
    doomed.into_iter().map(|key| world.request(&CONTROLLER, Request::new(key, verb()))).collect()
}

/// Whether Envoy Gateway's configuration declares an HPA of a fleet; nothing for any other HPA.
pub fn declares_hpa(world: &World, hpa: &Value) -> Option<bool> {
    let owner = owner_of(hpa)?;
    let plan = plan(world);
    if plan.stands_still {
        let mut proxies = world.list("gateway.envoyproxy.io", "EnvoyProxy", None);
        return Some(proxies.any(|(_, proxy)| proxy.value.at("/spec/provider/kubernetes/envoyHpa").is_some()));
    }
    // A patch may give it other labels; its name is that of the fleet all the same.
    let names = |fleet: &&Fleet| fleet.owner == owner || fleet.name == text(hpa, "/metadata/name");
    let fleet = plan.fleets.iter().find(names).map(|fleet| fleet.hpa().is_some());
    let frozen = plan.frozen.iter().find(|(frozen, _)| *frozen == owner);
    let frozen = frozen.map(|(_, kubernetes)| kubernetes.get("envoyHpa").is_some() || kubernetes.is_null());
    Some(fleet.or(frozen).unwrap_or(false))
}

/// Whether a workload is one of its fleets.
pub fn is_fleet(world: &World, workload: &Key) -> bool {
    world.get(workload).and_then(owner_of).is_some()
}

/// Whether an object is one that it reads its configuration from.
pub fn is_configuration(key: &Key) -> bool {
    matches!(&*key.kind, "EnvoyProxy" | "Gateway" | "GatewayClass" | "CustomResourceDefinition")
}

/// Whether it declares the count of a fleet; nothing for any other workload.
pub fn declares_count(world: &World, workload: &Key) -> Option<bool> {
    let value = world.get(workload)?;
    let owner = owner_of(value).filter(|_| &*workload.namespace == NAMESPACE)?;
    let plan = plan(world);
    let fleet = plan.fleets.iter().find(|fleet| fleet.owner == owner)?;
    let count = fleet.replicas(world.setup.envoy_gateway);
    Some(count.is_some() && count == number(value, "/spec/replicas"))
}

/// Whether Envoy Gateway does not follow its configuration for a fleet any more.
pub fn is_frozen(world: &World, workload: &Key) -> bool {
    let Some(owner) = world.get(workload).and_then(owner_of) else { return false };
    let plan = plan(world);
    plan.stands_still || plan.frozen.iter().any(|(frozen, _)| *frozen == owner)
}

/// Whether it writes a count that the HPA of the fleet takes back, at every change anywhere (issues 2807 and 5751).
pub fn fights(world: &World, workload: &Key, hpa: &Value) -> bool {
    let Some(owner) = world.get(workload).and_then(owner_of) else { return false };
    let plan = plan(world);
    let fleet = plan.fleets.iter().find(|fleet| fleet.owner == owner);
    let count = fleet.and_then(|fleet| fleet.replicas(world.setup.envoy_gateway));
    let (min, max) = (number(hpa, "/spec/minReplicas"), number(hpa, "/spec/maxReplicas"));
    count.is_some_and(|count| count > 0 && (min.is_some_and(|min| count < min) || max.is_some_and(|max| count > max)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fleets_have_the_names_that_envoy_gateway_gives() {
        let gateway = |namespace: &str, name: &str| fleet_name(&Key::new(GATEWAY_API, "Gateway", namespace, name));
        assert_eq!(gateway("default", "eg"), "envoy-default-eg-e41e7b31");
        assert!(gateway("a-namespace-with-a-long-name", "and-a-gateway-with-another").len() <= 6 + 48 + 9);
    }
}
