//! An autoscaler refers to an owner that is gone: the garbage collector deletes it, now or when it next looks.
//!
//! ## Meaning
//! An ownerReference of an HPA or ScaledObject names an object that does not exist, or one of another uid: an object of
//! that name that was made anew is another one.
//!
//! ## How it comes about
//! A backup is restored with the references of then; an operator is removed with its kinds, so that the collector does
//! not know; a manifest was exported from one cluster and applied to another.
//!
//! ## What is looked at
//! `metadata.ownerReferences` of HPAs and ScaledObjects. Owners of kinds of which nothing is known are not judged.
//!
//! ## What to do
//! Drop the reference; `fix` does, if that is still the object.

use crate::finding::{Finding, Found};
use crate::object::{Object, Owner};
use crate::view::View;

const PROBLEM: &str = "stale-owner";

/// Kinds that every audit reads, where they are served.
const READ: &[(&str, &str)] = &[
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("keda.sh", "ScaledObject"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("gateway.envoyproxy.io", "EnvoyProxy"),
];

/// Looks for them.
pub fn check(view: &View<'_>, found: &mut Found) {
    let hpas = view.hpas.iter().map(|hpa| (hpa.object, &hpa.target));
    let scaled = view.scaled_objects.iter().map(|scaled| (scaled.object, &scaled.target));
    for (object, target) in hpas.chain(scaled) {
        if found.explains(&object.key) {
            continue;
        }
        let Some((owner, why)) = object
            .owners()
            .find_map(|owner| Some((stale(view, object, &owner)?, owner)).map(|(why, owner)| (owner, why)))
        else {
            continue;
        };
        let message = format!(
            "{} is owned by {} of uid {}, {why}: the garbage collector deletes it",
            object.key, owner.key, owner.uid
        );
        let finding = Finding::new(PROBLEM, &object.key, message).rule("hpa-owner-stale").workload(target).fixable();
        found.push(finding, []);
    }
}

fn stale(view: &View<'_>, object: &Object, owner: &Owner) -> Option<&'static str> {
    match view.inventory.owner(&owner.key) {
        Some(found) if found.uid() == owner.uid || owner.uid.is_empty() => None,
        Some(_) => Some("and the object of that name is another one"),
        None => {
            let (group, kind) = (owner.key.group.as_str(), owner.key.kind.as_str());
            let is_read = READ.contains(&(group, kind)) || view.inventory.knows(group, kind);
            let is_gone = is_read && view.inventory.can_read(kind, &object.key.namespace);
            is_gone.then_some("which is not there")
        }
    }
}
