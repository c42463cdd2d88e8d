//! A handover between KEDA and whoever declares the HPA stopped half way: two declare one HPA.
//!
//! ## Meaning
//! autoscaler-guard released an HPA from its ScaledObject, as another tool declares the HPA now; but the ScaledObject
//! is still there. Or a ScaledObject was asked to take an HPA over, and KEDA never did.
//!
//! ## How it comes about
//! The tool that applied the HPA failed before it deleted the ScaledObject, or does not prune. KEDA was down, or the
//! ScaledObject cannot become Ready, while it was to take the HPA over.
//!
//! ## What is looked at
//! HPAs with annotation `autoscaler-guard/released-from` whose ScaledObject lives, with that very uid; ScaledObjects
//! with `scaledobject.keda.sh/transfer-hpa-ownership: "true"` that are not Ready, while the HPA that they name has no
//! owner.
//!
//! ## What to do
//! Delete the ScaledObject: the HPA stays. Or take the mark off, and KEDA adopts the HPA again.

use autoscaler_guard::facts::released::RELEASED_FROM;

use crate::facts::time;
use crate::finding::{Finding, Found};
use crate::object::Ref;
use crate::view::View;

const PROBLEM: &str = "unfinished";
const RULE: &str = "handover-unfinished";

/// Looks for them.
pub fn check(view: &View<'_>, found: &mut Found) {
    for hpa in &view.hpas {
        let Some(mark) = hpa.object.annotation(RELEASED_FROM) else { continue };
        let mut parts = mark.split('/');
        let (Some(name), Some(uid)) = (parts.next(), parts.next()) else { continue };
        let from = Ref::scaled_object(&hpa.object.key.namespace, name);
        let lives = view.inventory.get(&from).is_some_and(|it| !it.is_terminating() && it.uid() == uid);
        // Given back, and not yet rewritten.
        if !lives || hpa.object.owners().any(|owner| owner.uid == uid) {
            continue;
        }
        let key = &hpa.object.key;
        let message =
            format!("{key} was handed over from {from}, which is still there: both declare how {} scales", hpa.target);
        let finding = Finding::new(PROBLEM, key, message)
            .rule(RULE)
            .workload(&hpa.target)
            .command(&from.kubectl("delete"))
            .command(&key.kubectl("annotate").arg(format!("{RELEASED_FROM}-")));
        found.push(finding, [&from]);
    }
    transfers(view, found);
}

/// KEDA never took over.
fn transfers(view: &View<'_>, found: &mut Found) {
    for scaled in &view.scaled_objects {
        let object = scaled.object;
        let is_asked = object.annotation("scaledobject.keda.sh/transfer-hpa-ownership") == Some("true");
        let ready = object.condition("Ready");
        let is_ready = ready.is_some_and(|ready| ready.status == "True");
        let since = ready.and_then(|ready| ready.since).or_else(|| object.created());
        if !is_asked || is_ready || scaled.is_paused() || !time::is_settled(since, view.now) {
            continue;
        }
        let Some(hpa) = view.inventory.get(&scaled.hpa).filter(|hpa| hpa.owners().next().is_none()) else { continue };
        if hpa.annotation(RELEASED_FROM).is_some() || found.explains(&hpa.key) {
            continue;
        }
        let message =
            format!("{} was to take over {}, and has not: KEDA does not say that it is Ready", object.key, hpa.key);
        let finding = Finding::new(PROBLEM, &object.key, message)
            .rule(RULE)
            .workload(&scaled.target)
            .since(since)
            .command(&object.key.kubectl("describe"));
        found.push(finding, [&hpa.key]);
    }
}
