//! A manifest declares a count beside an autoscaler: each apply puts that count back, and the autoscaler changes it
//! again.
//!
//! ## Meaning
//! Two write one field. At each deployment the workload jumps to the declared count, whatever load there is.
//!
//! ## How it comes about
//! An autoscaler came, and `replicas` stayed in the manifest. Envoy Gateway 1.3 to 1.8 forces
//! `envoyDeployment.replicas` beside envoyHpa.
//!
//! ## What is looked at
//! What was applied last, releases of Helm, and who applies the count server-side, of workloads with an autoscaler that
//! is not paused; unless the tool is set to leave the count alone: Argo CD by `ignoreDifferences`, Flux by
//! `kustomize.toolkit.fluxcd.io/ssa: IfNotPresent`. Where both counts are equal now it is only *likely*.
//!
//! ## What to do
//! Take `replicas` out of the manifest.

use crate::facts::count;
use crate::finding::{Finding, Found};
use crate::object::{Object, Ref};
use crate::view::View;

const PROBLEM: &str = "fighting";

/// Looks for them.
pub fn check(view: &View<'_>, found: &mut Found) {
    let hpas = view.hpas.iter().map(|hpa| (&hpa.target, &hpa.object.key));
    let scaled = view.scaled_objects.iter().filter(|scaled| !scaled.is_paused());
    let scaled = scaled.map(|scaled| (&scaled.target, &scaled.object.key));
    let mut all: Vec<(&Ref, &Ref)> = scaled.chain(hpas).collect();
    all.sort();
    all.dedup_by_key(|(target, _)| *target);
    for (target, autoscaler) in all {
        let Some(workload) = view.workload(target).filter(|workload| !view.holders.holds(workload)) else { continue };
        let Some((count, who)) = declared(view, workload) else { continue };
        let live = count::replicas(workload).unwrap_or(1);
        let now = if count == live { "as it has now".to_owned() } else { format!("and {live} run") };
        let message = format!("{who} declares {count} replicas for {target}, {now}, beside {autoscaler}");
        let finding = Finding::new(PROBLEM, target, message).workload(target).likely(count == live);
        found.also(finding.rule("replicas-declared").fixable());
    }
}

/// The count that somebody declares, and who: one that differs from the live one before one that does not.
fn declared(view: &View<'_>, workload: &Object) -> Option<(i64, String)> {
    let live = count::replicas(workload).unwrap_or(1);
    let mut all = Vec::new();
    if let Some(fleet) = view.fleets.of_deployment(&workload.key) {
        all.extend(fleet.forced.map(|count| (count, "its EnvoyProxy".to_owned())));
    }
    for (record, entry) in view.records.declaring(&workload.key).filter(|(record, _)| !record.is_moving) {
        all.extend(entry.replicas.map(|count| (count, record.title.clone())));
    }
    if !view.records.ignore_count(workload) {
        all.extend(
            count::last_applied(workload).map(|count| (count, "its manifest, as it was applied last,".to_owned())),
        );
        let declares =
            |manager: &str| manager.starts_with("kubectl") || view.settings.handover_field_managers.match_name(manager);
        let applied = count::applied_by(workload).filter(|written| declares(written.manager));
        all.extend(applied.map(|written| (live, written.manager.to_owned())));
    }
    let position = all.iter().position(|(count, _)| *count != live);
    let index = position.unwrap_or(0);
    (index < all.len()).then(|| all.swap_remove(index))
}
