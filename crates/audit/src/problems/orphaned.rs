//! An HPA scales a workload, and nothing declares it: nobody will change or delete it.
//!
//! ## Meaning
//! What made the HPA does not declare it any more and has not deleted it.
//!
//! ## How it comes about
//! Envoy Gateway 1.1.3 to 1.4.x deletes neither the HPA of a fleet that loses envoyHpa nor that of a Gateway that is
//! deleted (envoyproxy/gateway issue 5357), and no later version does it for them. A ScaledObject was deleted with
//! `--cascade=orphan`, or its HPA restored from a backup without it. Some operators forget the HPA when the part of
//! their object goes that declared it.
//!
//! ## What is looked at
//! HPAs with the labels of a fleet that no EnvoyProxy declares, by the rules of the Envoy Gateway that runs; those with
//! KEDA's marks, without owner and without a ScaledObject that writes them, unless a release, an Application, an
//! inventory or autoscaler-guard's own mark claims them; those of operators' objects (setting `declarations`, and the
//! table in docs/operators.md) that declare none. Where Envoy Gateway's configuration cannot be read, nothing is said.
//!
//! ## What to do
//! Declare the count, then delete the HPA; `fix` does both.

use autoscaler_guard::facts::released::RELEASED_FROM;

use crate::facts::autoscaler::Hpa;
use crate::facts::fleet::Labelled;
use crate::facts::record::Tool;
use crate::finding::{Finding, Found};
use crate::object::text;
use crate::view::View;

const PROBLEM: &str = "orphaned";

/// Looks for them.
pub fn check(view: &View<'_>, found: &mut Found) {
    for hpa in &view.hpas {
        let is_kedas = view.scaled_object_of(hpa).is_some();
        if found.explains(&hpa.object.key) || is_kedas {
            continue;
        }
        let finding = of_fleet(view, hpa).or_else(|| of_keda(view, hpa)).or_else(|| of_operator(view, hpa));
        if let Some(finding) = finding.filter(|_| !is_claimed(view, hpa)) {
            found.push(finding.workload(&hpa.target).fixable(), []);
        }
    }
}

/// Whether something else than what made it declares it: a tool's record, or what applied it.
fn is_claimed(view: &View<'_>, hpa: &Hpa<'_>) -> bool {
    let object = hpa.object;
    let by_record = view.records.declaring(&object.key).next().is_some();
    // KEDA copies what was applied last from its ScaledObject.
    let applied = object.last_applied().is_some_and(|applied| text(&applied, "/kind") == object.key.kind);
    by_record || applied || object.annotation(RELEASED_FROM).is_some() || is_written_by_a_tool(view, hpa)
}

/// A tool that declares wrote its spec. Helm's entry may be older than KEDA's adoption, so where its release can be
/// read, that decides.
fn is_written_by_a_tool(view: &View<'_>, hpa: &Hpa<'_>) -> bool {
    let release = hpa.object.annotation("meta.helm.sh/release-name");
    let is_read = view
        .records
        .all
        .iter()
        .any(|record| record.tool == Tool::Helm && release.is_some_and(|release| record.key.name == release));
    let entries = hpa.object.items("/metadata/managedFields").iter();
    let mut managers =
        entries.filter(|entry| entry.pointer("/fieldsV1/f:spec").is_some()).map(|entry| text(entry, "/manager"));
    managers.any(|manager| view.settings.handover_field_managers.match_name(manager) && !(manager == "helm" && is_read))
}

fn of_fleet(view: &View<'_>, hpa: &Hpa<'_>) -> Option<Finding> {
    let key = &hpa.object.key;
    let (why, is_guess) = match view.fleets.labelled(hpa.object)? {
        Labelled::Unknown => return None,
        Labelled::Nothing => {
            ("its Gateway or GatewayClass is not there, or not Envoy Gateway's any more".to_owned(), false)
        }
        Labelled::Fleet(fleet) => match fleet.declares? {
            false => (format!("no EnvoyProxy declares an HPA for {}", fleet.title), fleet.is_guess),
            // Another name: the one that is declared is there, too.
            true if *key != fleet.hpa && view.inventory.get(&fleet.hpa).is_some() => {
                (format!("{} is the one that is declared for {}", fleet.hpa, fleet.title), fleet.is_guess)
            }
            true => return None,
        },
    };
    let message = format!("Envoy Gateway left {key} behind: {why}");
    Some(Finding::new(PROBLEM, key, message).rule("envoy-hpa-orphaned").likely(is_guess))
}

fn of_keda(view: &View<'_>, hpa: &Hpa<'_>) -> Option<Finding> {
    let (key, name) = (&hpa.object.key, hpa.kedas()?);
    let is_owned = hpa.object.owners().next().is_some();
    let is_read = view.inventory.can_read("ScaledObject", &key.namespace);
    if is_owned || !is_read || view.scaled_object_for(key).is_some() {
        return None;
    }
    let message =
        format!("{key} was made by KEDA for ScaledObject {}/{name}, which does not declare it", key.namespace);
    Some(Finding::new(PROBLEM, key, message))
}

fn of_operator(view: &View<'_>, hpa: &Hpa<'_>) -> Option<Finding> {
    let key = &hpa.object.key;
    let is_of = |uid: &str| hpa.object.owners().any(|owner| owner.uid == uid);
    let of_name = view.declared.iter().filter(|declared| declared.hpa == *key || is_of(declared.object.uid()));
    let mut of_name: Vec<_> = of_name.collect();
    if of_name.iter().any(|declared| declared.now) {
        return None;
    }
    of_name.retain(|declared| is_of(declared.object.uid()) || declared.applied);
    let declared = of_name.first()?;
    let message = format!("{key} was made for {}, which declares none any more", declared.object.key);
    Some(Finding::new(PROBLEM, key, message).rule("declared-hpa-removed"))
}
