//! Whole namespaces made up at random, out of the fixtures' objects, and a change to one of their objects: what must
//! hold whatever the rules are.
//!
//! "Not lost" has an oracle of its own here, [`lost`], which knows no rule: it deletes the object, lets the garbage
//! collector run, and looks whether a workload that had an HPA has no autoscaler left. It is meant to be smaller than
//! the rules and more lenient, so that what it objects to is a loss for certain.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::sync::LazyLock;

use autoscaler_guard_cases::{Outcome, World, module, object};
use autoscaler_guard_host::{Limits, Policy, Snapshot};
use proptest::prelude::*;
use serde_json::{Value, json};

const NAMESPACE: &str = "shop";
const DELETED: &str = "2026-11-21T17:10:00Z";
const RELEASED_FROM: &str = "autoscaler-guard/released-from";

/// Who changes something.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Person,
    Helm,
    Keda,
    GarbageCollector,
    NamespaceController,
    HpaController,
    EnvoyGateway,
}

impl Who {
    fn is_controller(self) -> bool {
        !matches!(self, Self::Person | Self::Helm)
    }

    fn username(self) -> &'static str {
        match self {
            Self::Person | Self::Helm => "jane",
            Self::Keda => "system:serviceaccount:keda:keda-operator",
            Self::GarbageCollector => "system:serviceaccount:kube-system:generic-garbage-collector",
            Self::NamespaceController => "system:serviceaccount:kube-system:namespace-controller",
            Self::HpaController => "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
            Self::EnvoyGateway => "system:serviceaccount:envoy-gateway-system:envoy-gateway",
        }
    }

    fn field_manager(self) -> &'static str {
        match self {
            Self::Person => "kubectl-edit",
            Self::Helm => "helm",
            _ => "controller",
        }
    }
}

#[derive(Clone, Debug)]
enum Deed {
    Create,
    /// Merge patches of the object.
    Update(Vec<Value>),
    /// By that propagation policy.
    Delete(&'static str),
}

/// A made-up world, before the change is a request.
#[derive(Clone, Debug)]
struct Made {
    objects: Vec<Value>,
    /// Which of the objects that are judged, counted round.
    changed: u16,
    deed: Deed,
    who: Who,
}

fn merged(mut object: Value, edit: &Value) -> Value {
    json_patch::merge(&mut object, edit);
    object
}

/// What any object may be: Helm's, and in the course of being deleted.
fn marks() -> impl Strategy<Value = Value> {
    let release = prop_oneof![2 => Just(None), 1 => Just(Some("one")), 1 => Just(Some("two"))];
    (release, prop::bool::weighted(0.1)).prop_map(|(release, terminating)| {
        let helm = release.map(|_| "Helm");
        let mut metadata = json!({
            "labels": {"app.kubernetes.io/managed-by": helm},
            "annotations": {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": release.map(|_| NAMESPACE)},
        });
        if terminating {
            metadata["deletionTimestamp"] = json!(DELETED);
        }
        json!({ "metadata": metadata })
    })
}

/// A fixture under another name, without what its first life left behind.
fn renamed(fixture: &str, name: &str) -> Value {
    let edit = json!({"metadata": {
        "name": name, "uid": format!("{fixture}-{name}"), "managedFields": null, "ownerReferences": null, "annotations": null, "labels": null,
    }});
    merged(object(fixture), &edit)
}

fn target_name(number: usize) -> String {
    format!("web-{number}")
}

/// Deployments and StatefulSets; one may be missing, or say that it is not autoscaled.
fn workload(number: usize) -> impl Strategy<Value = Vec<Value>> {
    (prop::bool::weighted(0.9), prop::bool::weighted(0.15), marks()).prop_map(move |(exists, off, marks)| {
        let mut workload = merged(renamed("deployment-web", &target_name(number)), &marks);
        if number == 2 {
            workload["kind"] = json!("StatefulSet");
        }
        if off {
            workload["metadata"]["annotations"]["autoscaler-guard/autoscaling"] = json!("off");
        }
        if exists { vec![workload] } else { Vec::new() }
    })
}

fn target(number: usize) -> Value {
    let kind = if number == 2 { "StatefulSet" } else { "Deployment" };
    json!({"apiVersion": "apps/v1", "kind": kind, "name": target_name(number)})
}

/// An HPA that someone declared: perhaps released from a ScaledObject of the namespace, perhaps with an owner that is
/// gone.
fn plain_hpa(number: usize) -> impl Strategy<Value = Value> {
    let released = prop_oneof![3 => Just(None), 1 => (0..3_usize, 1..3_u8).prop_map(Some)];
    (0..4_usize, released, prop::bool::weighted(0.1), marks()).prop_map(move |(aim, released, stale, marks)| {
        let mut hpa = merged(renamed("hpa-web-plain", &format!("hpa-{number}")), &marks);
        hpa["spec"]["scaleTargetRef"] = target(aim);
        if let Some((scaler, generation)) = released {
            let name = format!("scaler-{scaler}");
            hpa["metadata"]["annotations"][RELEASED_FROM] = json!(format!("{name}/scaledobject-web-{name}/{generation}"));
        }
        if stale {
            hpa["metadata"]["ownerReferences"] =
                json!([{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "gone", "uid": "gone", "controller": true}]);
        }
        hpa
    })
}

/// A ScaledObject, and the HPA that KEDA made for it, if it did.
fn scaler(number: usize) -> impl Strategy<Value = Vec<Value>> {
    let paused = prop::sample::select(vec![None, None, None, Some("paused"), Some("paused-replicas")]);
    let hpa_name = prop_oneof![
        2 => Just(None),
        1 => Just(Some(format!("scaled-{number}"))),
        1 => (0..3_usize).prop_map(|taken| Some(format!("hpa-{taken}"))),
    ];
    let ready = prop::sample::select(vec!["True", "True", "False", "Unknown"]);
    (0..4_usize, hpa_name, paused, ready, prop::bool::weighted(0.8), any::<bool>(), marks()).prop_map(
        move |(aim, hpa_name, paused, ready, has_hpa, transfer, marks)| {
            let name = format!("scaler-{number}");
            let mut scaler = merged(renamed("scaledobject-web", &name), &marks);
            scaler["spec"]["scaleTargetRef"] = target(aim);
            scaler["spec"]["advanced"]["horizontalPodAutoscalerConfig"] = json!({ "name": hpa_name });
            scaler["status"]["hpaName"] = Value::Null;
            scaler["status"]["conditions"][0]["status"] = json!(ready);
            let annotations = &mut scaler["metadata"]["annotations"];
            if transfer {
                annotations["scaledobject.keda.sh/transfer-hpa-ownership"] = json!("true");
            }
            if let Some(paused) = paused {
                annotations[format!("autoscaling.keda.sh/{paused}")] = json!("1");
            }
            let takes = hpa_name.as_ref().is_some_and(|name| name.starts_with("hpa-"));
            if !has_hpa || paused.is_some() || takes {
                return vec![scaler];
            }
            let hpa_name = hpa_name.unwrap_or_else(|| format!("keda-hpa-{name}"));
            let mut hpa = merged(renamed("hpa-web-owned", &hpa_name), &marks);
            hpa["metadata"]["deletionTimestamp"] = Value::Null;
            hpa["spec"]["scaleTargetRef"] = target(aim);
            hpa["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": name, "uid": scaler["metadata"]["uid"],
                "controller": true, "blockOwnerDeletion": true,
            }]);
            scaler["status"]["hpaName"] = json!(hpa_name);
            vec![scaler, hpa]
        },
    )
}

/// Envoy Gateway's objects: a class with an EnvoyProxy, a Gateway that may have one of its own, its fleet.
fn gateways() -> impl Strategy<Value = Vec<Value>> {
    let version = prop::sample::select(vec![None, Some("1.3.0"), Some("1.9.1")]);
    let provider = || {
        (
            any::<bool>(),
            prop::bool::weighted(0.2),
            prop::sample::select(vec![None, Some("StrategicMerge"), Some("JSONMerge")]),
            any::<bool>(),
        )
            .prop_map(|(hpa, replicas, merge_type, merge)| {
                let hpa = hpa.then(|| json!({"minReplicas": 2, "maxReplicas": 5}));
                let replicas = replicas.then(|| json!({"replicas": 3}));
                json!({"spec": {"mergeType": merge_type, "mergeGateways": merge.then_some(true),
                    "provider": {"type": "Kubernetes", "kubernetes": {"envoyHpa": hpa, "envoyDeployment": replicas}}}})
            })
    };
    (version, provider(), prop::option::of(provider()), prop::bool::weighted(0.7)).prop_map(
        |(version, class, own, has_hpa)| {
            let mut gateway = object("gateway-eg-1.9.1");
            let mut objects = vec![
                object("gatewayclass-eg-1.9.1"),
                merged(object("envoyproxy-fleet-1.9.1"), &class),
                object("deployment-fleet"),
            ];
            if let Some(own) = own {
                gateway["spec"]["infrastructure"] =
                    json!({"parametersRef": {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "own"}});
                let identity = json!({"metadata": {"name": "own", "namespace": "default", "uid": "own"}});
                objects.push(merged(merged(object("envoyproxy-fleet-1.9.1"), &own), &identity));
            }
            objects.push(gateway);
            objects.extend(version.map(|version| object(&format!("deployment-envoy-gateway-{version}"))));
            objects.extend(has_hpa.then(|| object("hpa-fleet-1.9.1")));
            objects
        },
    )
}

/// Fields that someone may change, on whatever object.
fn edits() -> impl Strategy<Value = Vec<Value>> {
    let reference = json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "scaler-0", "uid": "scaledobject-web-scaler-0", "controller": true});
    let edits = vec![
        json!({"metadata": {"ownerReferences": null}}),
        json!({"metadata": {"ownerReferences": [reference]}}),
        json!({"metadata": {"annotations": {RELEASED_FROM: null}}}),
        json!({"metadata": {"annotations": {"autoscaler-guard/handover": "scaler-0"}}}),
        json!({"metadata": {"annotations": {"autoscaling.keda.sh/paused": "true"}}}),
        json!({"metadata": {"finalizers": null}}),
        json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}),
        json!({"spec": {"maxReplicas": 9, "maxReplicaCount": 9}}),
        json!({"spec": {"scaleTargetRef": {"name": "web-1", "kind": "Deployment"}}}),
        json!({"spec": {"advanced": {"horizontalPodAutoscalerConfig": {"name": "hpa-0"}}}}),
        json!({"spec": {"provider": {"kubernetes": {"envoyHpa": null}}}}),
        json!({"spec": {"provider": {"kubernetes": {"envoyHpa": {"maxReplicas": 4}, "envoyDeployment": {"replicas": 2}}}}}),
        json!({"spec": {"provider": null}}),
        json!({"spec": {"mergeGateways": true}}),
        json!({"spec": {"mergeGateways": null, "mergeType": null}}),
        json!({"spec": {"parametersRef": null, "infrastructure": null}}),
        json!({"spec": {"parametersRef": {"name": "missing"}}}),
        json!({"spec": {"gatewayClassName": "other"}}),
    ];
    prop::collection::vec(prop::sample::select(edits), 1..3)
}

fn worlds() -> impl Strategy<Value = Made> {
    let who = prop::sample::select(vec![
        Who::Person,
        Who::Person,
        Who::Person,
        Who::Helm,
        Who::Helm,
        Who::Keda,
        Who::GarbageCollector,
        Who::NamespaceController,
        Who::HpaController,
        Who::EnvoyGateway,
    ]);
    let deed = prop_oneof![
        1 => Just(Deed::Create),
        2 => edits().prop_map(Deed::Update),
        3 => prop::sample::select(vec!["Background", "Background", "Orphan", "Foreground", ""]).prop_map(Deed::Delete),
    ];
    let shop = (
        (workload(0), workload(1), workload(2), workload(3)),
        prop::option::of(plain_hpa(0)),
        prop::option::of(plain_hpa(1)),
        prop::option::of(scaler(0)),
        prop::option::of(scaler(1)),
    );
    (shop, prop::option::weighted(0.3, gateways()), any::<u16>(), deed, who).prop_map(
        |(shop, gateways, changed, deed, who)| {
            let ((first, second, third, fourth), one_hpa, other_hpa, one_scaler, other_scaler) = shop;
            let autoscalers = [
                one_hpa.into_iter().chain(other_hpa).collect(),
                one_scaler.unwrap_or_default(),
                other_scaler.unwrap_or_default(),
            ];
            let gateways = gateways.unwrap_or_default();
            // What can be changed with any effect comes first.
            let mut objects: Vec<Value> = autoscalers.concat().into_iter().chain(gateways).collect();
            if objects.is_empty() {
                objects.push(renamed("hpa-web-plain", "hpa-0"));
            }
            objects.extend([first, second, third, fourth].concat());
            objects.push(object("namespace-shop"));
            Made { objects, changed, deed, who }
        },
    )
}

fn field<'o>(object: &'o Value, pointer: &str) -> &'o str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl Made {
    /// The object that is changed, as it is before.
    fn old(&self) -> &Value {
        let is_judged = |object: &&Value| !matches!(field(object, "/kind"), "Deployment" | "StatefulSet" | "Namespace");
        let judged: Vec<&Value> = self.objects.iter().filter(is_judged).collect();
        judged[usize::from(self.changed) % judged.len()]
    }

    fn others(&self) -> Vec<Value> {
        self.objects.iter().filter(|object| *object != self.old()).cloned().collect()
    }

    fn world(&self) -> World {
        let old = self.old();
        let (operation, new, options) = match &self.deed {
            Deed::Create => ("CREATE", old.clone(), json!({"fieldManager": self.who.field_manager()})),
            Deed::Update(edits) => {
                let new = edits.iter().fold(old.clone(), merged);
                ("UPDATE", new, json!({"fieldManager": self.who.field_manager()}))
            }
            Deed::Delete(policy) => ("DELETE", Value::Null, json!({"propagationPolicy": policy})),
        };
        let (group, version) = field(old, "/apiVersion").split_once('/').unwrap_or(("", "v1"));
        let before = if operation == "CREATE" { Value::Null } else { old.clone() };
        let request = json!({
            "uid": "319e8135-0127-49c6-8622-7639cbed069c", "operation": operation,
            "kind": {"group": group, "version": version, "kind": old["kind"]},
            "name": old["metadata"]["name"], "namespace": old["metadata"]["namespace"],
            "userInfo": {"username": self.who.username(), "groups": ["system:authenticated"]},
            "object": new, "oldObject": before, "options": options,
        });
        let objects = if operation == "CREATE" { self.others() } else { self.objects.clone() };
        World {
            request,
            settings: Value::Null,
            cluster: Snapshot::from_objects(objects).expect("objects of different names"),
        }
    }
}

/// What is there once deletions are through and the garbage collector has run.
fn settled(objects: &[Value]) -> Vec<Value> {
    let mut objects: Vec<Value> =
        objects.iter().filter(|object| object["metadata"]["deletionTimestamp"].is_null()).cloned().collect();
    loop {
        let uids: Vec<String> = objects.iter().map(|object| field(object, "/metadata/uid").to_owned()).collect();
        let before = objects.len();
        objects.retain(|object| {
            let owners = object["metadata"]["ownerReferences"].as_array().filter(|owners| !owners.is_empty());
            owners.is_none_or(|owners| owners.iter().any(|owner| uids.contains(&field(owner, "/uid").to_owned())))
        });
        if objects.len() == before {
            return objects;
        }
    }
}

fn aims_at(autoscaler: &Value, workload: &Value) -> bool {
    autoscaler["metadata"]["namespace"] == workload["metadata"]["namespace"]
        && field(autoscaler, "/spec/scaleTargetRef/kind") == field(workload, "/kind")
        && field(autoscaler, "/spec/scaleTargetRef/name") == field(workload, "/metadata/name")
}

fn has_hpa(workload: &Value, objects: &[Value]) -> bool {
    objects.iter().any(|object| object["kind"] == "HorizontalPodAutoscaler" && aims_at(object, workload))
}

/// Whether KEDA makes an HPA for it, unless it says that it cannot.
fn has_scaler(workload: &Value, objects: &[Value]) -> bool {
    objects.iter().any(|object| {
        let annotations = object["metadata"]["annotations"].as_object();
        let paused = annotations.is_some_and(|all| all.keys().any(|key| key.starts_with("autoscaling.keda.sh/paused")));
        object["kind"] == "ScaledObject"
            && !paused
            && field(object, "/status/conditions/0/status") != "False"
            && aims_at(object, workload)
    })
}

/// A workload that loses its only autoscaler by an accepted deletion, if none of the documented overrides applies.
fn lost(made: &Made) -> Option<String> {
    let Deed::Delete(policy) = made.deed else { return None };
    let deleted = made.old();
    let is_hpa = deleted["kind"] == "HorizontalPodAutoscaler";
    // The softening for Helm, which deletes an HPA before its workload.
    let is_helms = field(deleted, "/metadata/labels/app.kubernetes.io~1managed-by") == "Helm";
    if !(is_hpa && !is_helms || deleted["kind"] == "ScaledObject") || made.who.is_controller() {
        return None;
    }
    // An HPA that Envoy Gateway left behind is to be deleted; its fleets are the envoy rules' business.
    if field(deleted, "/metadata/namespace") != NAMESPACE {
        return None;
    }
    let mut after = made.others();
    if policy == "Orphan" {
        for object in &mut after {
            if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
                owners.retain(|owner| owner["uid"] != deleted["metadata"]["uid"]);
            }
        }
    }
    let (before, after) = (settled(&made.objects), settled(&after));
    let says_off = |workload: &Value| field(workload, "/metadata/annotations/autoscaler-guard~1autoscaling") == "off";
    let is_workload = |object: &&Value| matches!(field(object, "/kind"), "Deployment" | "StatefulSet");
    let mut workloads = before.iter().filter(is_workload).filter(|workload| !says_off(workload));
    let loser = workloads
        .find(|workload| has_hpa(workload, &before) && !has_hpa(workload, &after) && !has_scaler(workload, &after))?;
    Some(format!("{} {}", field(loser, "/kind"), field(loser, "/metadata/name")))
}

/// What holds for every answer to every change.
fn obeys(made: &Made, world: &World, outcome: &Outcome) -> Result<(), TestCaseError> {
    let response = &outcome.response;
    for warning in response.warnings.iter().flatten() {
        prop_assert!(warning.chars().count() <= 256 && !warning.contains('\n'), "{}", warning);
    }
    let old_or_new =
        ["object", "oldObject"].map(|name| !world.request[name]["metadata"]["deletionTimestamp"].is_null());
    if made.who.is_controller() || old_or_new.contains(&true) {
        prop_assert!(response.accepted, "{:?}", response.message);
    }
    if !response.accepted {
        let code = response.code.unwrap_or_default();
        prop_assert!((400..500).contains(&code) && code != 409, "code {}", code);
        prop_assert!(response.warnings.is_some());
        prop_assert!(response.message.as_ref().is_some_and(|message| message.contains("autoscaler-guard/allow")));
    }
    if let Some(mutated) = &response.mutated_object {
        prop_assert!(!matches!(made.deed, Deed::Delete(_)), "a delete was repaired");
        let mut again = world.clone();
        again.request["object"] = mutated.clone();
        let second = again.natively().response;
        prop_assert!(second.accepted, "the repaired request is refused: {:?}", second.message);
        let second = second.mutated_object.unwrap_or_else(|| mutated.clone());
        prop_assert_eq!(&second, mutated, "a second repair changes the first");
    }
    if response.accepted
        && let Some(workload) = lost(made)
    {
        return Err(TestCaseError::fail(format!("{workload} is lost, and nobody was stopped: {response:?}")));
    }
    Ok(())
}

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let policy = Policy::load(&module(), Limits::default()).unwrap_or_else(|error| panic!("{error}"));
    policy.with_every_kind_granted()
});

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn made_up_worlds_keep_the_laws(made in worlds()) {
        let world = made.world();
        obeys(&made, &world, &world.natively())?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn the_module_answers_as_the_core_does_in_made_up_worlds(made in worlds()) {
        let world = made.world();
        let (core, module) = (world.natively(), world.in_host(&POLICY));
        prop_assert_eq!(core.response, module.response);
        prop_assert_eq!(core.lookups, module.lookups);
    }
}

/// The oracle objects where a loss is plain, and only there.
#[test]
fn the_oracle_sees_a_loss() {
    let hpa = merged(renamed("hpa-web-plain", "hpa-0"), &json!({"spec": {"scaleTargetRef": target(0)}}));
    let workload = renamed("deployment-web", "web-0");
    let delete = |objects: &[&Value]| Made {
        objects: objects.iter().map(|object| (*object).clone()).collect(),
        changed: 0,
        deed: Deed::Delete("Background"),
        who: Who::Person,
    };
    assert!(lost(&delete(&[&hpa, &workload])).is_some());
    let second = merged(hpa.clone(), &json!({"metadata": {"name": "hpa-1", "uid": "1"}}));
    assert!(lost(&delete(&[&hpa, &second, &workload])).is_none());
    let off = merged(workload.clone(), &json!({"metadata": {"annotations": {"autoscaler-guard/autoscaling": "off"}}}));
    assert!(lost(&delete(&[&hpa, &off])).is_none());
    assert!(lost(&Made { who: Who::GarbageCollector, ..delete(&[&hpa, &workload]) }).is_none());
}
