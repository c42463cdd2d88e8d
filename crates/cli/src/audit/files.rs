//! Objects out of files.

use std::path::PathBuf;

use autoscaler_guard::Settings;
use autoscaler_guard_audit::object::text;
use autoscaler_guard_audit::{Inventory, Unread};
use autoscaler_guard_reading::group_of;

use super::live::kinds;
use crate::documents;
use crate::fault::Fault;

/// Reads them; what files say of permissions and kinds that are not served counts as in a cluster.
pub fn inventory(paths: &[PathBuf], settings: &Settings) -> Result<Inventory, Fault> {
    let snapshot = documents::cluster(paths)?;
    if snapshot.objects().next().is_none() {
        return Err(Fault::new("there is no object in what --cluster names")
            .help("name files that `kubectl get -o yaml` printed, or leave it out to look at a cluster"));
    }
    let mut inventory = Inventory::of(snapshot.objects().cloned());
    for kind in kinds(settings) {
        let group = group_of(&kind.api_version);
        if !snapshot.serves(&kind.api_version, &kind.kind) {
            // Objects may be there in another version.
            if inventory.kind(group, &kind.kind).next().is_none() {
                inventory.not_served(group, &kind.kind);
            }
        } else if let Some(reason) = snapshot.why_unread(&kind.api_version, &kind.kind) {
            // ConfigMaps say what Envoy Gateway is configured for, where there is one.
            let says_nothing = kind.kind == "ConfigMap"
                && inventory.kind("gateway.networking.k8s.io", "GatewayClass").next().is_none();
            if says_nothing {
                continue;
            }
            inventory.unread(Unread { kind: kind.kind, namespace: None, reason });
        }
    }
    let unserved: Vec<(String, String)> = inventory
        .objects()
        .filter(|object| object.key.is_autoscaler())
        .flat_map(|object| {
            object.items("/metadata/ownerReferences").iter().chain(object.value.pointer("/spec/scaleTargetRef"))
        })
        .map(|reference| (text(reference, "/apiVersion").to_owned(), text(reference, "/kind").to_owned()))
        .filter(|(api_version, kind)| !api_version.is_empty() && !snapshot.serves(api_version, kind))
        .collect();
    for (api_version, kind) in unserved {
        if inventory.kind(group_of(&api_version), &kind).next().is_none() {
            inventory.not_served(group_of(&api_version), &kind);
        }
    }
    Ok(inventory)
}
