//! KEDA: its operator, and its admission webhook.
//!
//! After kedacore/keda 2.21: `controllers/keda/{scaledobject_controller,hpa,scaledobject_finalizer}.go`,
//! `pkg/scaling/executor`, `apis/keda/v1alpha1/scaledobject_webhook.go`.

use serde_json::{Value, json};

use crate::object::{self, At, Key, annotation, number, text};
use crate::server::{Actor, Propagation, Reply, Request, Verb, World, owners};

/// KEDA's operator.
pub const KEDA: Actor =
    Actor { name: "KEDA", user: "system:serviceaccount:keda:keda-operator", manager: "keda", names_manager: false };

const FINALIZER: &str = "finalizer.keda.sh";
const PAUSED: &str = "autoscaling.keda.sh/paused";
const PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";
const TRANSFER: &str = "scaledobject.keda.sh/transfer-hpa-ownership";

/// The HPA's name that a ScaledObject asks for.
pub fn hpa_name(scaled_object: &Value) -> String {
    let named = text(scaled_object, "/spec/advanced/horizontalPodAutoscalerConfig/name");
    if named.is_empty() { format!("keda-hpa-{}", text(scaled_object, "/metadata/name")) } else { named.to_owned() }
}

/// What a ScaledObject scales.
pub fn target(scaled_object: &Value) -> Key {
    let reference = scaled_object.at("/spec/scaleTargetRef").unwrap_or(&Value::Null);
    Key::target(reference, text(scaled_object, "/metadata/namespace"))
}

/// Whether the next reconcile deletes the HPA: any value but a parsable false pauses.
pub fn is_paused(scaled_object: &Value) -> bool {
    let paused = annotation(scaled_object, PAUSED)
        .is_some_and(|value| !matches!(value, "false" | "False" | "FALSE" | "f" | "F" | "0"));
    paused || annotation(scaled_object, PAUSED_REPLICAS).is_some()
}

/// Whether KEDA says that all is well with it.
pub fn is_ready(scaled_object: &Value) -> bool {
    let conditions = object::items(scaled_object, "/status/conditions");
    conditions.iter().any(|it| text(it, "/type") == "Ready" && text(it, "/status") == "True")
}

fn ready(status: &str) -> Value {
    json!({"conditions": [{"type": "Ready", "status": status}]})
}

/// Whether KEDA can build a ScaledObject's triggers.
fn is_buildable(scaled_object: &Value) -> bool {
    let triggers = object::items(scaled_object, "/spec/triggers");
    !triggers.is_empty()
        && triggers.iter().all(|trigger| !text(trigger, "/type").is_empty() && trigger.get("metadata").is_some())
}

/// Which ScaledObjects a change makes KEDA look at (the predicates of `SetupWithManager`).
pub fn woken_by(key: &Key, old: Option<&Value>, new: Option<&Value>) -> Vec<Key> {
    if key.is_scaled_object() {
        let part = |value: Option<&Value>, pointer: &str| value.and_then(|value| value.at(pointer)).cloned();
        let pause = |value: Option<&Value>| {
            let read = |key| value.and_then(|value| annotation(value, key)).unwrap_or_default().to_owned();
            (read(PAUSED), read(PAUSED_REPLICAS))
        };
        let changes = ["/spec", "/metadata/deletionTimestamp"].iter().any(|at| part(old, at) != part(new, at));
        return if new.is_some() && (changes || pause(old) != pause(new)) { vec![key.clone()] } else { Vec::new() };
    }
    if !key.is_hpa() {
        return Vec::new();
    }
    let part = |value: Option<&Value>, pointer: &str| value.and_then(|value| value.at(pointer)).cloned();
    let changes =
        ["/spec", "/metadata/labels", "/metadata/annotations"].iter().any(|at| part(old, at) != part(new, at));
    if !changes && old.is_some() == new.is_some() {
        return Vec::new();
    }
    let controllers =
        [old, new].into_iter().flatten().flat_map(owners).filter(|owner| {
            text(owner, "/kind") == "ScaledObject" && owner.get("controller") == Some(&Value::Bool(true))
        });
    controllers.map(|owner| Key::scaled_object(&key.namespace, text(owner, "/name"))).collect()
}

/// The HPA that KEDA makes of a ScaledObject (`newHPAForScaledObject`).
pub fn new_hpa(scaled_object: &Value) -> Value {
    let name = text(scaled_object, "/metadata/name");
    let reference = scaled_object.at("/spec/scaleTargetRef").cloned().unwrap_or_default();
    let part = |key: &str, default: &str| {
        let given = reference.get(key).and_then(Value::as_str).filter(|given| !given.is_empty());
        given.unwrap_or(default).to_owned()
    };
    let triggers = object::items(scaled_object, "/spec/triggers");
    let metrics: Vec<Value> =
        triggers.iter().enumerate().map(|(index, trigger)| metric(name, index, trigger)).collect();
    let config = scaled_object.at("/spec/advanced/horizontalPodAutoscalerConfig");
    let mut spec = json!({
        "scaleTargetRef": {"apiVersion": part("apiVersion", "apps/v1"), "kind": part("kind", "Deployment"), "name": part("name", "")},
        "minReplicas": number(scaled_object, "/spec/minReplicaCount").filter(|min| *min > 0).unwrap_or(1),
        "maxReplicas": number(scaled_object, "/spec/maxReplicaCount").unwrap_or(100),
        "metrics": metrics,
    });
    let mut behavior = config.and_then(|config| config.get("behavior")).cloned().unwrap_or(Value::Null);
    for (key, way) in [("paused-scale-in", "scaleDown"), ("paused-scale-out", "scaleUp")] {
        if annotation(scaled_object, &format!("autoscaling.keda.sh/{key}")) == Some("true") {
            object::set(&mut behavior, &[way, "selectPolicy"], "Disabled".into());
        }
    }
    if !behavior.is_null() {
        spec["behavior"] = behavior;
    }
    let hpa = hpa_name(scaled_object);
    let mut labels = json!({
        "app.kubernetes.io/name": hpa, "app.kubernetes.io/version": "2.21.0", "app.kubernetes.io/part-of": name,
        "app.kubernetes.io/managed-by": "keda-operator",
    });
    let excluded = annotation(scaled_object, "scaledobject.keda.sh/hpa-excluded-labels").unwrap_or_default();
    let own = scaled_object.at("/metadata/labels").and_then(Value::as_object);
    for (key, value) in
        own.into_iter().flatten().filter(|(key, _)| !excluded.split(',').any(|other| other.trim() == *key))
    {
        labels[key] = value.clone();
    }
    let mut made = json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": hpa,
            "namespace": text(scaled_object, "/metadata/namespace"),
            "labels": labels,
            "ownerReferences": [{
                "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": name, "uid": text(scaled_object, "/metadata/uid"),
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": spec,
    });
    if let Some(annotations) = scaled_object.at("/metadata/annotations") {
        made["metadata"]["annotations"] = annotations.clone();
    }
    made
}

fn metric(name: &str, index: usize, trigger: &Value) -> Value {
    let kind = text(trigger, "/type");
    let value = text(trigger, "/metadata/value").parse::<i64>().unwrap_or(80);
    if matches!(kind, "cpu" | "memory") {
        let by_value = text(trigger, "/metricType") == "AverageValue";
        let target = if by_value {
            json!({"type": "AverageValue", "averageValue": text(trigger, "/metadata/value")})
        } else {
            json!({"type": "Utilization", "averageUtilization": value})
        };
        return json!({"type": "Resource", "resource": {"name": kind, "target": target}});
    }
    json!({"type": "External", "external": {
        "metric": {"name": format!("s{index}-{kind}"), "selector": {"matchLabels": {"scaledobject.keda.sh/name": name}}},
        "target": {"type": "AverageValue", "averageValue": "1"},
    }})
}

/// What KEDA itself scales: to 0, and up from 0.
pub fn wants_to_scale(world: &World, scaled_object: &Value) -> Option<(Key, i64)> {
    if !is_ready(scaled_object) || is_paused(scaled_object) || scaled_object.at("/metadata/deletionTimestamp").is_some()
    {
        return None;
    }
    let target = target(scaled_object);
    let current = number(world.get(&target)?, "/spec/replicas").unwrap_or(1);
    let min = number(scaled_object, "/spec/minReplicaCount").unwrap_or(0);
    let triggers = object::items(scaled_object, "/spec/triggers");
    // By processor and memory alone nothing is ever inactive.
    let resources_only = triggers.iter().all(|trigger| matches!(text(trigger, "/type"), "cpu" | "memory"));
    let is_active = resources_only || world.setup.demand.get(&target).is_none_or(|demand| *demand > 0);
    match (current, is_active) {
        (0, true) => Some((target, min.max(1))),
        (0, false) if min > 0 => Some((target, min)),
        (1.., false) if min == 0 => Some((target, 0)),
        _ => None,
    }
}

/// One reconcile.
pub fn reconcile(world: &mut World, key: &Key) -> Vec<Reply> {
    world.keda_queue.remove(key);
    let mut replies = Vec::new();
    let Some(mut scaled_object) = world.get(key).cloned() else { return replies };
    let mut ask = |world: &mut World, key: Key, verb: Verb| {
        let reply = world.request(&KEDA, Request::new(key, verb));
        replies.push(reply.clone());
        reply
    };
    let has_finalizer = object::items(&scaled_object, "/metadata/finalizers").iter().any(|it| it == FINALIZER);
    if scaled_object.at("/metadata/deletionTimestamp").is_some() {
        if has_finalizer {
            let restores = scaled_object.at("/spec/advanced/restoreToOriginalReplicaCount") == Some(&Value::Bool(true));
            if let Some(count) = number(&scaled_object, "/status/originalReplicaCount").filter(|_| restores) {
                ask(world, target(&scaled_object), Verb::Scale(count));
            }
            let kept: Vec<&Value> =
                object::items(&scaled_object, "/metadata/finalizers").iter().filter(|it| *it != FINALIZER).collect();
            let patch = json!({"metadata": {"finalizers": if kept.is_empty() { Value::Null } else { json!(kept) }}});
            ask(world, key.clone(), Verb::Patch(patch));
        }
        return replies;
    }
    if !has_finalizer {
        let mut finalizers = object::items(&scaled_object, "/metadata/finalizers").to_vec();
        finalizers.push(FINALIZER.into());
        let patch = json!({"metadata": {"finalizers": finalizers, "labels": {"scaledobject.keda.sh/name": *key.name}}});
        ask(world, key.clone(), Verb::Patch(patch));
        scaled_object = world.get(key).cloned().unwrap_or_default();
    }
    let wanted_name = hpa_name(&scaled_object);
    let known_name = text(&scaled_object, "/status/hpaName").to_owned();
    let current_name = if known_name.is_empty() { wanted_name.clone() } else { known_name };
    if is_paused(&scaled_object) {
        let current = Key::hpa(&key.namespace, &current_name);
        if world.get(&current).is_some() {
            let verb = Verb::Delete { propagation: Propagation::Background, uid: None };
            ask(world, current, verb);
        }
        if let Some(count) = annotation(&scaled_object, PAUSED_REPLICAS).and_then(|count| count.parse().ok()) {
            ask(world, target(&scaled_object), Verb::Scale(count));
        }
        world.set_status(key, &ready("Unknown"));
        world.keda_queue.remove(key);
        return replies;
    }
    let aims_at = target(&scaled_object);
    let Some(workload) = world.get(&aims_at).filter(|_| aims_at.is_workload()) else {
        world.set_status(key, &ready("False"));
        return replies;
    };
    if !is_buildable(&scaled_object) {
        world.set_status(key, &ready("False"));
        return replies;
    }
    if number(&scaled_object, "/status/originalReplicaCount").is_none() {
        let count = number(workload, "/spec/replicas").unwrap_or(1);
        world.set_status(key, &json!({"originalReplicaCount": count}));
    }
    let wanted = new_hpa(&scaled_object);
    let wanted_key = Key::hpa(&key.namespace, &wanted_name);
    let mut fine = true;
    if wanted_name == current_name {
        match world.get(&wanted_key) {
            None => fine = ask(world, wanted_key, Verb::Create(wanted)).is_done(),
            Some(found) if differs(&wanted, found) => fine = ask(world, wanted_key, Verb::Update(wanted)).is_done(),
            Some(_) => {}
        }
    } else {
        let old = Key::hpa(&key.namespace, &current_name);
        if world.get(&old).is_some() {
            ask(world, old, Verb::Delete { propagation: Propagation::Background, uid: None });
        }
        fine = ask(world, wanted_key, Verb::Create(wanted)).is_done();
    }
    let mut status = ready(if fine { "True" } else { "False" });
    if fine {
        status["hpaName"] = wanted_name.into();
    }
    world.set_status(key, &status);
    if let Some((target, count)) = world.get(key).and_then(|scaled_object| wants_to_scale(world, scaled_object)) {
        ask(world, target, Verb::Scale(count));
    }
    // Its own writes are no news to it.
    world.keda_queue.remove(key);
    replies
}

/// Whether KEDA would write the HPA anew: what it wants and does not find. Owners are never compared.
fn differs(wanted: &Value, found: &Value) -> bool {
    let count = |value: &Value| object::items(value, "/spec/metrics").len();
    let part = |value: &Value, pointer: &str| value.at(pointer).cloned().unwrap_or_default();
    count(wanted) != count(found)
        || ["/spec", "/metadata/labels", "/metadata/annotations"]
            .iter()
            .any(|pointer| !is_contained(&part(wanted, pointer), &part(found, pointer)))
}

fn is_contained(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Null, _) => true,
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.iter().all(|(key, value)| found.get(key).is_some_and(|other| is_contained(value, other)))
        }
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| is_contained(wanted, found))
        }
        (wanted, found) => wanted == found,
    }
}

/// What KEDA's webhook objects to about a ScaledObject that is created or changed (`verifyHpas`,
/// `verifyScaledObjects`).
pub fn objects_to(world: &World, key: &Key, old: &Value, new: &Value) -> Option<String> {
    let finalizers = |value: &Value| object::items(value, "/metadata/finalizers").len();
    if old.get("spec") == new.get("spec")
        && (finalizers(new) < finalizers(old) || new.at("/metadata/deletionTimestamp").is_some())
    {
        return None;
    }
    let (target, name) = (target(new), hpa_name(new));
    let kind = format!("{}.{}", text(new, "/spec/scaleTargetRef/apiVersion"), target.kind);
    let transfers = annotation(new, TRANSFER) == Some("true");
    for (hpa, stored) in world.hpas(&key.namespace) {
        let owned = owners(&stored.value)
            .any(|owner| text(owner, "/kind") == "ScaledObject" && text(owner, "/name") == &*key.name);
        let skipped = annotation(&stored.value, "validations.keda.sh/hpa-ownership") == Some("false");
        if super::hpa::target(hpa, &stored.value) != target || owned || skipped {
            continue;
        }
        if !transfers {
            let message =
                format!("the workload '{}' of type '{kind}' is already managed by the hpa '{}'", target.name, hpa.name);
            return Some(message);
        }
        if *hpa.name != name {
            return Some(format!(
                "the existing hpa '{}' for workload '{}' of type '{kind}' must be specified by name in advanced settings to enable ownership transfer",
                hpa.name, target.name
            ));
        }
    }
    for (other, stored) in world.scaled_objects(&key.namespace).filter(|(other, _)| *other != key) {
        if self::target(&stored.value) == target {
            let message = format!(
                "the workload '{}' of type '{kind}' is already managed by the ScaledObject '{}'",
                target.name, other.name
            );
            return Some(message);
        }
        if hpa_name(&stored.value) == name {
            return Some(format!("the HPA '{name}' is already managed by the ScaledObject '{}'", other.name));
        }
    }
    None
}
