//! Flux's kustomize-controller: everything as a dry run, then what differs, then the prune, in the reverse of its
//! order.
//!
//! Seen with kustomize-controller 1.9.6: a refused dry run stops the reconcile; a refused prune is tried again.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Act, Change, rank};
use crate::object::Key;
use crate::server::{Propagation, World};

/// fluxcd/pkg ssa/sort.go: what others need first; autoscalers come after workloads.
const ORDER: &[&str] = &[
    "CustomResourceDefinition",
    "Namespace",
    "GatewayClass",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "Service",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "Job",
    "DaemonSet",
];

pub(super) fn plan(change: &Change, world: &World, try_number: u32) -> Vec<Act> {
    let mut wanted: Vec<Arc<Value>> = change.after.to_vec();
    wanted.sort_by_key(|manifest| rank(ORDER, manifest));
    let mut dropped = change.dropped();
    dropped.sort_by_key(|(_, manifest)| std::cmp::Reverse(rank(ORDER, manifest)));
    let inventory: Vec<Key> = if try_number == 0 {
        change.keys_before()
    } else {
        // What was refused is put back, so that the inventory is exact.
        let left = dropped.iter().map(|(key, _)| key).filter(|key| world.get(key).is_some()).cloned();
        change.keys_after().into_iter().chain(left).collect()
    };
    let mut acts = vec![Act::Record(record(change, &inventory, try_number))];
    acts.extend(wanted.iter().cloned().map(Act::Try));
    acts.push(Act::Check);
    acts.extend(wanted.into_iter().map(Act::Write));
    acts.push(Act::Check);
    acts.extend(dropped.into_iter().map(|(key, _)| Act::Delete(key, Propagation::Background)));
    acts.push(Act::Check);
    acts.push(Act::Record(record(change, &change.keys_after(), 0)));
    acts
}

/// The Kustomization, as it stands while it prunes.
fn record(change: &Change, inventory: &[Key], try_number: u32) -> Arc<Value> {
    let entries: Vec<Value> = inventory
        .iter()
        .map(|key| json!({"id": format!("{}_{}_{}_{}", key.namespace, key.name, key.group, key.kind), "v": "v1"}))
        .collect();
    let status = if try_number == 0 { "ReconciliationSucceeded" } else { "PruneFailed" };
    let revision = if try_number == 0 { "main@sha1:1" } else { "main@sha1:2" };
    Arc::new(json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": *change.app, "namespace": "flux-system"},
        "spec": {"interval": "10m", "prune": true, "path": "./", "sourceRef": {"kind": "GitRepository", "name": "apps"}},
        "status": {
            "inventory": {"entries": entries},
            "lastAppliedRevision": "main@sha1:1",
            "lastAttemptedRevision": "main@sha1:2",
            "history": [{"lastReconciledStatus": status, "metadata": {"revision": revision}}],
            "conditions": [
                {"type": "Reconciling", "status": "True", "reason": "Progressing"},
                {"type": "Ready", "status": "Unknown", "reason": "Progressing"},
            ],
        },
    }))
}
