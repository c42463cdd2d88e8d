//! An autoscaler is there and cannot scale.
//!
//! ## Meaning
//! It may neither grow nor shrink, or the metrics that it goes by do not come.
//!
//! ## How it comes about
//! `minReplicas` equals `maxReplicas`; both policies are `Disabled`; the API that its metrics come from is not served,
//! or was pointed at another adapter, as only one can serve `external.metrics.k8s.io` in a cluster; its trigger cannot
//! be reached.
//!
//! ## What is looked at
//! Bounds and policies, but those that KEDA's pause or the policy's pin made so; conditions `ScalingActive` and Ready
//! that are False for longer than ten minutes; APIServices of metrics, where they could be read: one finding for all
//! autoscalers that stand still by it.
//!
//! ## What to do
//! `kubectl describe` shows what is missing; point the APIService back to the adapter that serves the metrics.

use crate::facts::autoscaler::{Hpa, Scaled};
use crate::facts::fleet::Labelled;
use crate::facts::time;
use crate::finding::{Finding, Found};
use crate::object::{Object, Ref};
use crate::view::View;

const PROBLEM: &str = "disabled";

/// The APIs of metrics: their group, by which types an HPA uses them, and by which reason it says that they do not
/// answer.
const APIS: &[(&str, &[&str], &[&str])] = &[
    ("external.metrics.k8s.io", &["External"], &["FailedGetExternalMetric"]),
    ("custom.metrics.k8s.io", &["Pods", "Object"], &["FailedGetPodsMetric", "FailedGetObjectMetric"]),
    (
        "metrics.k8s.io",
        &["Resource", "ContainerResource"],
        &["FailedGetResourceMetric", "FailedGetContainerResourceMetric"],
    ),
];

/// What the HPA controller says of an API that nobody serves: the API server's 404, and the custom metrics client's own
/// words.
const UNSERVED: &[&str] = &["could not find the requested resource", "no known available metric versions found"];

/// Looks for them.
pub fn check(view: &View<'_>, found: &mut Found) {
    let broken: Vec<Broken> = APIS.iter().filter_map(|api| broken(view, found, api)).collect();
    for scaled in &view.scaled_objects {
        if !found.explains(&scaled.object.key) && !scaled.is_paused() && view.workload(&scaled.target).is_some() {
            let findings = of_scaled_object(view, scaled, &broken);
            if let Some(finding) = findings {
                found.push(finding, [&scaled.hpa]);
            }
        }
    }
    for hpa in &view.hpas {
        let owner = view.scaled_object_of(hpa);
        let is_explained =
            found.explains(&hpa.object.key) || owner.is_some_and(|owner| found.explains(&owner.object.key));
        if !is_explained
            && view.workload(&hpa.target).is_some()
            && let Some(finding) = of_hpa(view, hpa, owner, &broken)
        {
            found.push(finding, []);
        }
    }
    for broken in broken {
        found.push(broken.finding, []);
    }
}

/// An API of metrics that does not answer.
struct Broken {
    finding: Finding,
    types: &'static [&'static str],
    reasons: &'static [&'static str],
}

type Api = (&'static str, &'static [&'static str], &'static [&'static str]);

fn broken(view: &View<'_>, found: &Found, (group, types, reasons): &Api) -> Option<Broken> {
    let services = || view.inventory.kind("apiregistration.k8s.io", "APIService");
    let of_group = services()
        .filter(|service| service.text("/spec/group") == *group || service.key.name.ends_with(&format!(".{group}")));
    let of_group: Vec<&Object> = of_group.filter(|service| group_of(&service.key.name) == *group).collect();
    // Those of the API server itself are there wherever all were read.
    let is_complete = services().any(|service| !service.has("/spec/service"));
    let waits = |hpa: &&Hpa<'_>| {
        hpa.metric_types().iter().any(|kind| types.contains(kind))
            && !found.explains(&hpa.object.key)
            && view.workload(&hpa.target).is_some()
    };
    let hpas = view.hpas.iter().filter(waits).count();
    let fails =
        |service: &&&Object| service.condition("Available").is_some_and(|available| available.status == "False");
    let key = Ref::new("apiregistration.k8s.io", "APIService", "", &format!("v1beta1.{group}"));
    let says_so = |hpa: &Hpa<'_>| {
        let active = hpa.object.condition("ScalingActive").filter(|active| active.status == "False");
        active.is_some_and(|active| {
            reasons.contains(&active.reason) && UNSERVED.iter().any(|words| active.message.contains(words))
        })
    };
    let is_missing = is_complete || view.hpas.iter().any(says_so);
    let (object, what, since, count) = match of_group.first() {
        None if is_missing && hpas > 0 => (key, "is not there".to_owned(), None, hpas),
        None => return None,
        Some(first) => {
            let kedas = view.scaled_objects.iter().filter(|scaled| {
                scaled.has_external_triggers() && !scaled.is_paused() && view.workload(&scaled.target).is_some()
            });
            let kedas = if *group == "external.metrics.k8s.io" { kedas.count() } else { 0 };
            let service = first.text("/spec/service/name");
            if !service.contains("keda") && kedas > 0 {
                let what =
                    format!("goes to Service {}/{service}, not to KEDA's", first.text("/spec/service/namespace"));
                (first.key.clone(), what, None, kedas)
            } else if of_group.iter().all(|service| fails(&service)) && hpas > 0 {
                let available = first.condition("Available");
                let reason = available.map_or("", |available| available.reason);
                (first.key.clone(), format!("is not available ({reason})"), available.and_then(|it| it.since), hpas)
            } else {
                return None;
            }
        }
    };
    let autoscalers = if count == 1 { "1 autoscaler stands" } else { "autoscalers stand" };
    let number = if count == 1 { String::new() } else { format!("{count} ") };
    let message = format!("{object} {what}: {number}{autoscalers} still");
    let finding = Finding::new(PROBLEM, &object, message)
        .rule("metrics-api-changed")
        .since(since)
        .command(&object.kubectl("describe"));
    Some(Broken { finding, types, reasons })
}

fn group_of(api_service: &str) -> &str {
    api_service.split_once('.').map_or("", |(_, group)| group)
}

fn of_scaled_object(view: &View<'_>, scaled: &Scaled<'_>, broken: &[Broken]) -> Option<Finding> {
    let key = &scaled.object.key;
    let finding =
        |message: String| Finding::new(PROBLEM, key, message).rule("autoscaler-disabled").workload(&scaled.target);
    if scaled.min() == scaled.max() && scaled.idle().is_none() {
        let edit = key.kubectl("edit");
        return Some(
            finding(format!("{key} cannot scale: minReplicaCount and maxReplicaCount are {}", scaled.min()))
                .command(&edit),
        );
    }
    let ready = scaled.object.condition("Ready").filter(|ready| ready.status == "False")?;
    let is_api = broken.iter().any(|broken| broken.types.contains(&"External")) && scaled.has_external_triggers();
    if is_api || !time::is_settled(ready.since, view.now) {
        return None;
    }
    let message = format!("{key} is not Ready: {}{}", ready.reason, said(ready.message));
    Some(finding(message).since(ready.since).command(&key.kubectl("describe")))
}

fn of_hpa(view: &View<'_>, hpa: &Hpa<'_>, owner: Option<&Scaled<'_>>, broken: &[Broken]) -> Option<Finding> {
    let key = &hpa.object.key;
    let finding =
        |message: String| Finding::new(PROBLEM, key, message).rule("autoscaler-disabled").workload(&hpa.target);
    let edit = key.kubectl("edit");
    let is_pinned = matches!(view.fleets.labelled(hpa.object), Some(Labelled::Fleet(fleet)) if fleet.is_pinned);
    if Some(hpa.min()) == hpa.max() && owner.is_none() && !is_pinned {
        return Some(
            finding(format!("{key} cannot scale: minReplicas and maxReplicas are {}", hpa.min())).command(&edit),
        );
    }
    if hpa.is_fixed_by_policies() && !owner.is_some_and(Scaled::is_half_paused) {
        return Some(finding(format!("{key} cannot scale: both its policies are Disabled")).command(&edit));
    }
    let active = hpa.object.condition("ScalingActive").filter(|active| active.status == "False");
    // Without a /scale, as a DaemonSet, there is nothing that it could write.
    let able =
        hpa.object.condition("AbleToScale").filter(|able| able.status == "False" && able.reason == "FailedGetScale");
    let stopped = active.filter(|active| active.reason != "ScalingDisabled").or(able)?;
    let is_api = broken.iter().any(|broken| broken.reasons.contains(&stopped.reason));
    if is_api || !time::is_settled(stopped.since, view.now) {
        return None;
    }
    let message = format!("{key} does not scale {}: {}{}", hpa.target, stopped.reason, said(stopped.message));
    Some(finding(message).since(stopped.since).command(&key.kubectl("describe")))
}

/// What a controller says, without line breaks and other control characters.
fn said(message: &str) -> String {
    let plain: String = message.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if plain.trim().is_empty() { String::new() } else { format!(" ({})", plain.trim()) }
}
