//! Helm 3 and 4: creates and updates first, in a fixed order of kinds; deletes last.
//!
//! After helm/helm `pkg/kube/client.go` (`update`, `createPatch`), `pkg/releaseutil/kind_sorter.go`,
//! `pkg/action/validate.go` (`existingResourceConflict`, `checkOwnership`) and `pkg/action/hooks.go`.

use std::sync::Arc;

use serde_json::Value;

use super::{Act, Change, INSTALL_ORDER, is_hook, rank, three_way, without_status};
use crate::object::{Key, annotation, label, text};
use crate::server::{Propagation, Reply, Verb, World};

/// Not quite the other way round: a Service goes before what it leads to.
const UNINSTALL_ORDER: &[&str] = &[
    "APIService",
    "Ingress",
    "Service",
    "CronJob",
    "Job",
    "StatefulSet",
    "HorizontalPodAutoscaler",
    "Deployment",
    "ReplicaSet",
    "Pod",
    "DaemonSet",
    "CustomResourceDefinition",
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "Namespace",
];

fn sorted(manifests: impl Iterator<Item = Arc<Value>>, order: &[&str]) -> Vec<Arc<Value>> {
    let mut all: Vec<Arc<Value>> = manifests.collect();
    all.sort_by(|one, other| {
        let unknown = |manifest: &Value| text(manifest, "/kind").to_owned();
        let (left, right) = (rank(order, one), rank(order, other));
        left.cmp(&right).then_with(|| {
            // Unknown kinds go by name.
            if left == order.len() { unknown(one).cmp(&unknown(other)) } else { std::cmp::Ordering::Equal }
        })
    });
    all
}

pub(super) fn plan(change: &Change) -> Vec<Act> {
    if change.after.is_empty() {
        let all = change.before.iter().filter(|manifest| !is_hook(manifest)).cloned();
        let keys = sorted(all, UNINSTALL_ORDER).into_iter().filter_map(|manifest| change.key(&manifest));
        return keys.map(|key| Act::Delete(key, Propagation::Background)).collect();
    }
    let event = if change.before.is_empty() { "install" } else { "upgrade" };
    let mut acts = hooks(change, &format!("pre-{event}"));
    let written = sorted(change.after.iter().filter(|manifest| !is_hook(manifest)).cloned(), INSTALL_ORDER);
    acts.extend(written.into_iter().map(Act::Write));
    let dropped = sorted(change.dropped().into_iter().map(|(_, manifest)| manifest), INSTALL_ORDER);
    let keys = dropped.into_iter().filter_map(|manifest| change.key(&manifest));
    acts.extend(keys.map(|key| Act::Delete(key, Propagation::Background)));
    acts.push(Act::Check);
    acts.extend(hooks(change, &format!("post-{event}")));
    acts
}

/// A hook of the last time is deleted before it is created (`before-hook-creation`, the default).
fn hooks(change: &Change, event: &str) -> Vec<Act> {
    let concerns = |manifest: &&Arc<Value>| {
        annotation(manifest, "helm.sh/hook").is_some_and(|events| events.split(',').any(|it| it.trim() == event))
    };
    let mut hooks: Vec<&Arc<Value>> = change.after.iter().filter(concerns).collect();
    let weight = |manifest: &Value| {
        annotation(manifest, "helm.sh/hook-weight").and_then(|weight| weight.parse::<i64>().ok()).unwrap_or(0)
    };
    hooks.sort_by_key(|manifest| weight(manifest));
    let acts = hooks.into_iter().filter_map(|manifest| {
        let key = change.key(manifest)?;
        let policy = annotation(manifest, "helm.sh/hook-delete-policy").unwrap_or("before-hook-creation");
        let create = Act::Create(manifest.clone());
        Some(if policy.contains("before-hook-creation") {
            vec![Act::Delete(key.clone(), Propagation::Background), Act::Check, Act::Await(key), create]
        } else {
            vec![create]
        })
    });
    acts.flatten().collect()
}

/// Whether an object that the last release does not know may be taken into this one.
pub(super) fn refuses_to_adopt(change: &Change, world: &World, key: &Key) -> Option<Reply> {
    let live = world.get(key).filter(|_| change.previous(key).is_none())?;
    let owned = label(live, "app.kubernetes.io/managed-by") == Some("Helm")
        && annotation(live, "meta.helm.sh/release-name") == Some(&*change.app)
        && annotation(live, "meta.helm.sh/release-namespace") == Some(&*change.namespace);
    (!owned).then(|| Reply::Invalid(format!("{key} exists and cannot be imported into the current release")))
}

/// Helm 3's way, and Helm 4's without server-side apply: a patch, computed here; none where nothing differs.
pub(super) fn client_side(
    change: &Change,
    world: &World,
    key: &Key,
    manifest: &Arc<Value>,
) -> Result<Option<Verb>, Reply> {
    let Some(live) = world.get(key) else { return Ok(Some(Verb::Create((**manifest).clone()))) };
    if let Some(reply) = refuses_to_adopt(change, world, key) {
        return Err(reply);
    }
    // An object that is adopted counts as applied like this before.
    let last = change.previous(key).unwrap_or(manifest);
    let is_built_in = matches!(&*key.group, "" | "apps" | "autoscaling" | "batch" | "policy" | "networking.k8s.io");
    let compared = if is_built_in { live } else { last };
    let patch = three_way(&without_status(last), &without_status(manifest), compared);
    Ok(patch.as_object().is_some_and(|patch| !patch.is_empty()).then_some(Verb::Patch(patch)))
}
