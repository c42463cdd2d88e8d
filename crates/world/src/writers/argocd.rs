//! Argo CD: within a wave it prunes before it applies; with `PruneLast=true` after everything.
//!
//! After argoproj/gitops-engine `pkg/sync/sync_context.go` (`getSyncTasks`: waves of prunes are taken in reverse among
//! themselves) and `sync_tasks.go` (the order of kinds). A refused prune fails the sync before anything is written.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Act, Change, INSTALL_ORDER, Tool, is_hook, kubectl, rank};
use crate::object::{Key, annotation};
use crate::server::{Propagation, World};

fn wave(manifest: &Value) -> i64 {
    annotation(manifest, "argocd.argoproj.io/sync-wave").and_then(|wave| wave.parse().ok()).unwrap_or(0)
}

fn prunes_last(change: &Change, manifest: &Value) -> bool {
    let options = annotation(manifest, "argocd.argoproj.io/sync-options").unwrap_or_default();
    change.tool == Tool::ArgoCdPruneLast || options.split(',').any(|option| option.trim() == "PruneLast=true")
}

pub(super) fn plan(change: &Change, world: &World, _try_number: u32) -> Vec<Act> {
    let mut dropped = change.dropped();
    dropped.retain(|(key, live)| {
        let options = annotation(live, "argocd.argoproj.io/sync-options").unwrap_or_default();
        let keeps = annotation(live, "helm.sh/resource-policy") == Some("keep");
        world.get(key).is_some() && !keeps && !options.contains("Prune=false")
    });
    // KEDA adopts an HPA of the same name: then it bears the ScaledObject's id and is no longer this application's to
    // prune.
    dropped.retain(|(key, _)| is_own(change, world, key));
    dropped.sort_by_key(|(_, manifest)| std::cmp::Reverse(rank(INSTALL_ORDER, manifest)));
    // Helm's hooks are its hooks, too: not tracked, deleted and created at every sync.
    let (hooks, mut wanted): (Vec<Arc<Value>>, Vec<_>) =
        change.after.iter().cloned().partition(|manifest| is_hook(manifest));
    wanted.sort_by_key(|manifest| (wave(manifest), rank(INSTALL_ORDER, manifest)));
    let out_of_sync = |manifest: &Arc<Value>| {
        change.key(manifest).is_some_and(|key| kubectl::apply(world.get(&key), manifest).is_some())
    };
    let mut acts = vec![Act::Record(record(change, &dropped, &out_of_sync))];
    let (last, early): (Vec<_>, Vec<_>) = dropped.into_iter().partition(|(_, manifest)| prunes_last(change, manifest));
    // The waves of prunes, in reverse among themselves.
    let of_prunes: BTreeSet<i64> = early.iter().map(|(_, manifest)| wave(manifest)).collect();
    let mirrored = |own: i64| {
        let place = of_prunes.iter().position(|other| *other == own).unwrap_or(0);
        of_prunes.iter().rev().nth(place).copied().unwrap_or(own)
    };
    let mut waves: BTreeSet<i64> = wanted.iter().map(|manifest| wave(manifest)).collect();
    waves.extend(&of_prunes);
    let has_waves = waves.len() > 1;
    for number in waves {
        let pruned = early.iter().filter(|(_, manifest)| mirrored(wave(manifest)) == number);
        let mut deletes = prune(pruned.map(|(key, _)| key));
        let writes: Vec<Act> =
            wanted.iter().filter(|manifest| wave(manifest) == number).cloned().map(Act::Write).collect();
        // Seen twice with waves: the writes follow at once, before the collector has been there. Without, seconds
        // later.
        let waits = if has_waves && !writes.is_empty() {
            deletes.iter().position(|act| matches!(act, Act::Await(_)))
        } else {
            None
        };
        let later = waits.map_or(Vec::new(), |at| deletes.split_off(at));
        acts.extend(deletes);
        acts.extend(writes);
        acts.extend(later);
        acts.push(Act::Check);
    }
    if !last.is_empty() {
        // Its status is that of after the writes.
        acts.push(Act::Record(record(change, &last, &|_| false)));
        acts.extend(prune(last.iter().map(|(key, _)| key)));
    }
    for hook in hooks {
        if let Some(key) = change.key(&hook) {
            let delete = Act::Delete(key.clone(), Propagation::Foreground);
            acts.extend([Act::Check, delete, Act::Check, Act::Await(key), Act::Create(hook)]);
        }
    }
    acts.push(Act::Record(record(change, &[], &|_| false)));
    acts
}

fn prune<'k>(keys: impl Iterator<Item = &'k Key>) -> Vec<Act> {
    let keys: Vec<&Key> = keys.collect();
    let mut acts: Vec<Act> = keys.iter().map(|key| Act::Delete((*key).clone(), Propagation::Foreground)).collect();
    acts.push(Act::Check);
    acts.extend(keys.into_iter().map(|key| Act::Await(key.clone())));
    acts
}

pub(super) fn is_own(change: &Change, world: &World, key: &Key) -> bool {
    let id = format!("{}:{}/{}:{}/{}", change.app, key.group, key.kind, key.namespace, key.name);
    world.get(key).is_some_and(|live| annotation(live, "argocd.argoproj.io/tracking-id") == Some(&*id))
}

/// The Application, as it stands during the sync.
fn record(change: &Change, pruned: &[(Key, Arc<Value>)], out_of_sync: &dyn Fn(&Arc<Value>) -> bool) -> Arc<Value> {
    let entry = |key: &Key, synced: bool| {
        json!({
            "group": *key.group, "kind": *key.kind, "namespace": *key.namespace, "name": *key.name, "version": "v1",
            "status": if synced { "Synced" } else { "OutOfSync" },
        })
    };
    let wanted = change.after.iter().filter_map(|manifest| Some(entry(&change.key(manifest)?, !out_of_sync(manifest))));
    let pruned = pruned.iter().map(|(key, _)| {
        let mut entry = entry(key, false);
        entry["requiresPruning"] = true.into();
        entry
    });
    let resources: Vec<Value> = wanted.chain(pruned).collect();
    let revision = "1111111111111111111111111111111111111111";
    Arc::new(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": *change.app, "namespace": "argocd"},
        "spec": {"destination": {"namespace": *change.namespace}, "syncPolicy": {"automated": {"prune": true, "selfHeal": false}}},
        "operation": {"sync": {"prune": true, "revision": revision}, "retry": {"limit": 5}},
        "status": {
            "resources": resources,
            "sync": {"revision": revision, "status": "OutOfSync"},
            "operationState": {"phase": "Running", "operation": {"sync": {"prune": true, "revision": revision}}},
        },
    }))
}
