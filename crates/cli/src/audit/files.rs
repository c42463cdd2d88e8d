//! Objects out of files.

use std::path::PathBuf;

use autoscaler_guard::Settings;
use autoscaler_guard_audit::{Inventory, Unread};
use autoscaler_guard_host::Snapshot;
use autoscaler_guard_reading::group_of;

use super::live::kinds;
use crate::documents::{self, Source};
use crate::fault::Fault;

/// Reads them; what files say of permissions and kinds that are not served counts as in a cluster.
pub fn inventory(paths: &[PathBuf], settings: &Settings) -> Result<Inventory, Fault> {
    let snapshot = if paths.iter().any(|path| documents::is_stdin(path)) {
        if paths.len() > 1 {
            return Err(Fault::new("--cluster - cannot be combined with other paths")
                .help("put everything into one stream, or into files"));
        }
        let Source { name, text } = Source::stdin("the cluster's objects")?;
        Snapshot::from_text(&name, &text)
    } else {
        Snapshot::from_paths(paths)
    };
    let snapshot = snapshot.map_err(|error| Fault::new("the cluster's objects cannot be used").because(error))?;
    if snapshot.objects().next().is_none() {
        return Err(Fault::new("there is no object in what --cluster names")
            .help("name files that `kubectl get -o yaml` printed, or leave it out to look at a cluster"));
    }
    let mut inventory = Inventory::of(snapshot.objects().cloned());
    for kind in kinds(settings) {
        if !snapshot.serves(&kind.api_version, &kind.kind) {
            inventory.not_served(group_of(&kind.api_version), &kind.kind);
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
    Ok(inventory)
}
