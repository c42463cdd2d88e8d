//! A cluster of 10,000 HPAs, 10,000 ScaledObjects and their workloads: how long an audit takes, and that it grows with
//! the cluster and no faster.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::time::{Duration, Instant};

use autoscaler_guard::Settings;
use autoscaler_guard_audit::{Inventory, Timestamp, audit};
use serde_json::{Value, json};

fn metadata(name: &str, index: usize, kind: &str) -> Value {
    json!({"name": name, "namespace": format!("team-{}", index % 50), "uid": format!("{kind}-{index}"), "labels": {"app": name}})
}

fn workload(name: &str, index: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(name, index, "deployment"),
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": name, "tier": "web"}},
            "template": {"metadata": {"labels": {"app": name, "tier": "web"}}},
        },
    })
}

fn hpa(name: &str, target: &str, index: usize, owners: &Value) -> Value {
    let mut metadata = metadata(name, index, "hpa");
    metadata["ownerReferences"] = owners.clone();
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata,
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "minReplicas": 2, "maxReplicas": 10,
        },
    })
}

/// So many HPAs and as many ScaledObjects, each with its workload; and one lost autoscaler, so that something is found.
fn cluster(count: usize) -> Inventory {
    let mut inventory = Inventory::default();
    let mut resources = Vec::new();
    for index in 0..count {
        let (plain, scaled) = (format!("web-{index}"), format!("worker-{index}"));
        inventory.insert(workload(&plain, index));
        inventory.insert(hpa(&plain, &plain, index, &json!([])));
        inventory.insert(workload(&scaled, index));
        inventory.insert(json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata(&scaled, index, "so"),
            "spec": {"scaleTargetRef": {"name": scaled}, "triggers": [{"type": "cpu"}]},
        }));
        let owners = json!([{
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": scaled, "uid": format!("so-{index}"),
        }]);
        inventory.insert(hpa(&format!("keda-hpa-{scaled}"), &scaled, index, &owners));
        let namespace = format!("team-{}", index % 50);
        resources.push(
            json!({"group": "apps", "kind": "Deployment", "name": plain, "namespace": namespace, "status": "Synced"}),
        );
    }
    inventory.insert(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "all", "namespace": "argocd"},
        "spec": {"destination": {"server": "https://kubernetes.default.svc"}}, "status": {"resources": resources},
    }));
    let mut lost = workload("lost", 0);
    lost["metadata"]["managedFields"] = json!([{
        "manager": "kube-controller-manager", "operation": "Update", "subresource": "scale",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }]);
    inventory.insert(lost);
    inventory
}

fn took(count: usize) -> Duration {
    let (inventory, settings) = (cluster(count), Settings::default());
    let begun = Instant::now();
    let report = audit(&inventory, &settings, Timestamp::now());
    let took = begun.elapsed();
    let ids: Vec<String> = report.findings.iter().map(autoscaler_guard_audit::Finding::id).collect();
    assert_eq!(ids, ["lost/Deployment/team-0/lost"]);
    took
}

#[test]
fn it_grows_with_the_cluster_and_no_faster() {
    // The shortest of three: other work on the machine only ever makes it longer.
    let shortest = |count| (0..3).map(|_| took(count)).min().expect("three runs");
    let (small, large) = (shortest(2_500), shortest(10_000));
    println!("10,000 HPAs, 10,000 ScaledObjects and their workloads: {large:?}; a quarter of that: {small:?}");
    assert!(large < Duration::from_secs(15), "{large:?}");
    assert!(large < small * 8, "four times the objects took {large:?} instead of {small:?}");
}
