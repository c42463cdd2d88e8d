//! What somebody said is meant to be so: `autoscaler-guard/allow` and `autoscaler-guard/autoscaling: off`, as the
//! policy takes them.

use autoscaler_guard::facts::workload::AUTOSCALING;
use autoscaler_guard::overrides::ALLOW;

use crate::finding::{Acknowledgement, Finding};
use crate::inventory::Inventory;
use crate::object::{Object, text};
use crate::view::View;

/// What is right where nobody scales a workload on purpose.
const WITHOUT_AUTOSCALER: &[&str] = &["lost", "frozen", "at-zero"];

/// The policy's rules by which a workload loses its autoscaler: who acknowledged one on the workload, meant that.
const LOSSES: &[&str] = &[
    "hpa-deleted",
    "owned-hpa-deleted",
    "released-hpa-deleted",
    "scaledobject-deleted",
    "hpa-retargeted",
    "scaledobject-retargeted",
    "scaledobject-hpa-renamed",
    "scaledobject-takes-hpa",
    "declared-hpa-removed",
    "envoyhpa-removed",
    "envoyproxy-deleted",
    "gatewayclass-parameters",
    "gateway-parameters",
    "gatewayclass-deleted",
    "merge-gateways",
    "crd-deleted",
];

/// Whether a finding is acknowledged, on its object or its workload: by its rule or its problem.
pub fn is(view: &View<'_>, finding: &Finding) -> bool {
    let objects = || [Some(&finding.object), finding.workload.as_ref()].into_iter().flatten();
    let objects = || objects().filter_map(|key| view.inventory.get(key));
    let is_loss = matches!(finding.problem, "lost" | "frozen");
    let is_meant = |id: &str| id == finding.rule || id == finding.problem || is_loss && LOSSES.contains(&id);
    let allows =
        |object: &Object| object.annotation(ALLOW).is_some_and(|ids| ids.split(',').map(str::trim).any(is_meant));
    let is_off = |object: &Object| object.annotation(AUTOSCALING) == Some("off");
    objects().any(allows) || WITHOUT_AUTOSCALER.contains(&finding.problem) && objects().any(is_off)
}

/// All that stand.
pub fn all(inventory: &Inventory) -> Vec<Acknowledgement> {
    let of = |object: &Object| {
        let acknowledgement = |annotation: &'static str| {
            let value = object.annotation(annotation)?;
            let is_one = annotation == ALLOW || value == "off";
            is_one.then(|| Acknowledgement {
                object: object.key.to_string(),
                annotation,
                value: value.to_owned(),
                since: since(object, annotation),
            })
        };
        [ALLOW, AUTOSCALING].into_iter().filter_map(acknowledgement).collect::<Vec<_>>()
    };
    inventory.objects().flat_map(of).collect()
}

fn since(object: &Object, annotation: &str) -> Option<String> {
    let pointer = format!("/fieldsV1/f:metadata/f:annotations/f:{}", annotation.replace('/', "~1"));
    let entry = object.items("/metadata/managedFields").iter().find(|entry| entry.pointer(&pointer).is_some())?;
    Some(text(entry, "/time")).filter(|time| !time.is_empty()).map(str::to_owned)
}
