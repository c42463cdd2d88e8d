//! How findings are fixed: as requests with preconditions, each with what undoes it; or as the change to make where a
//! tool would put it back.

use autoscaler_guard::Settings;
use autoscaler_guard::facts::released::RELEASED_FROM;
use serde_json::{Value, json};

use crate::Timestamp;
use crate::facts::count;
use crate::facts::record::Tool;
use crate::finding::Finding;
use crate::inventory::Inventory;
use crate::object::{Object, Ref, text};
use crate::view::View;

/// The field manager by which a count is declared.
pub const FIELD_MANAGER: &str = "autoscaler-guard-fix";

/// What a step does to its object.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Deletes it; what it owns stays.
    Delete,
    /// A merge patch.
    Patch(Value),
    /// Applies these fields server-side, as [`FIELD_MANAGER`].
    Apply(Value),
    /// Makes it.
    Create(Value),
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// On which object.
    pub object: Ref,
    /// Its group and version.
    pub api_version: String,
    /// What to do to it.
    pub change: Change,
    /// Only if it still is this object.
    pub uid: Option<String>,
    /// Only if nobody has changed it since.
    pub resource_version: Option<String>,
}

/// How a finding is fixed.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The finding's id.
    pub id: String,
    /// What is done, in a sentence; or why nothing can be.
    pub what: String,
    /// The requests, in order; none where it has to be done by hand, or in Git.
    pub steps: Vec<Step>,
    /// What to change in Git, where a tool would put back what is changed in the cluster; or what to do by hand.
    pub by_hand: Option<String>,
}

/// Plans for findings.
pub fn plans(inventory: &Inventory, settings: &Settings, now: Timestamp, findings: &[Finding]) -> Vec<Plan> {
    let view = View::new(inventory, settings, now);
    findings.iter().map(|finding| plan(&view, finding)).collect()
}

fn plan(view: &View<'_>, finding: &Finding) -> Plan {
    let planned = match finding.problem {
        "orphaned" => orphaned(view, finding),
        "stale-owner" => stale_owner(view, finding),
        "unfinished" => unfinished(view, finding),
        "at-zero" => at_zero(view, finding),
        "lost" => lost(view, finding),
        "fighting" => Some(in_git(finding, "take `spec.replicas` out of the manifest of", &finding.object)),
        _ => None,
    };
    let plan = planned.unwrap_or_else(|| by_hand(finding));
    let managed = plan.steps.iter().find_map(|step| gitops(view, step).map(|who| (who, step)));
    match managed {
        // What Helm made, Helm knows by its marks; what Flux or Argo CD manages, they would put back.
        Some((who, step)) => Plan { steps: Vec::new(), by_hand: Some(advice(&who, step)), ..plan },
        None => plan,
    }
}

fn by_hand(finding: &Finding) -> Plan {
    let commands = finding.commands.join("\n");
    let text = if commands.is_empty() { "look at it by hand".to_owned() } else { commands };
    Plan { id: finding.id(), what: finding.message.clone(), steps: Vec::new(), by_hand: Some(text) }
}

fn in_git(finding: &Finding, what: &str, object: &Ref) -> Plan {
    Plan { by_hand: Some(format!("{what} {object}")), ..by_hand(finding) }
}

/// Who would put back a change of an object: the Kustomization, `HelmRelease` or Application that manages it.
fn gitops(view: &View<'_>, step: &Step) -> Option<String> {
    let by_record = view.records.declaring(&step.object).find(|(record, _)| record.tool != Tool::Helm);
    if let Some((record, _)) = by_record {
        return Some(record.title.clone());
    }
    let object = view.inventory.get(&step.object)?;
    let flux = ["kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"].iter().find_map(|domain| {
        let (namespace, name) =
            (object.label(&format!("{domain}/namespace"))?, object.label(&format!("{domain}/name"))?);
        let kind = if domain.starts_with("helm") { "HelmRelease" } else { "Kustomization" };
        Some(format!("{kind} {namespace}/{name}"))
    });
    let id = object.annotation("argocd.argoproj.io/tracking-id").and_then(|id| id.split_once(':'));
    let is_own = |rest: &str| {
        rest.ends_with(&format!("{}/{}", object.key.namespace, object.key.name)) && rest.contains(&object.key.kind)
    };
    let argo = id.filter(|(_, rest)| is_own(rest)).map(|(application, _)| format!("Application {application}"));
    // KEDA copies such marks to its HPA.
    let is_kedas = object.key.kind == crate::object::HPA && object.label("scaledobject.keda.sh/name").is_some();
    flux.filter(|_| !is_kedas).or(argo)
}

fn advice(who: &str, step: &Step) -> String {
    let object = &step.object;
    match &step.change {
        Change::Delete => format!("{who} manages {object}: remove it from Git"),
        Change::Create(_) => format!("{who} manages {object}: sync it"),
        Change::Patch(fields) | Change::Apply(fields) => {
            format!("{who} manages {object}: set in Git {fields}")
        }
    }
}

fn step(object: &Object, change: Change) -> Step {
    let version = Some(object.text("/metadata/resourceVersion")).filter(|version| !version.is_empty());
    // An apply names its fields only, and those whose value is the live one: others may have changed meanwhile.
    let version = version.filter(|_| !matches!(change, Change::Apply(_)));
    Step {
        object: object.key.clone(),
        api_version: object.text("/apiVersion").to_owned(),
        change,
        uid: Some(object.uid()).filter(|uid| !uid.is_empty()).map(str::to_owned),
        resource_version: version.map(str::to_owned),
    }
}

fn steps(finding: &Finding, what: String, steps: Vec<Step>) -> Plan {
    Plan { id: finding.id(), what, steps, by_hand: None }
}

/// The count stays as it is, and is somebody's, before the HPA goes.
fn orphaned(view: &View<'_>, finding: &Finding) -> Option<Plan> {
    let hpa = view.inventory.get(&finding.object)?;
    let workload = finding.workload.as_ref().and_then(|workload| view.workload(workload));
    let others = finding.workload.as_ref().map(|workload| view.hpas_on(workload).count()).unwrap_or_default();
    let declare = workload.filter(|_| others < 2).and_then(|workload| {
        let count = count::replicas(workload)?;
        Some((step(workload, Change::Apply(json!({"spec": {"replicas": count}}))), count))
    });
    let what = match &declare {
        Some((step, count)) => format!("declares {count} replicas for {}, then deletes {}", step.object, hpa.key),
        None => format!("deletes {}", hpa.key),
    };
    let all = declare.map(|(step, _)| step).into_iter().chain([step(hpa, Change::Delete)]).collect();
    Some(steps(finding, what, all))
}

fn stale_owner(view: &View<'_>, finding: &Finding) -> Option<Plan> {
    let object = view.inventory.get(&finding.object)?;
    let lives = |owner: &Value| {
        let group = autoscaler_guard_reading::group_of(text(owner, "/apiVersion"));
        let key = Ref::new(group, text(owner, "/kind"), &object.key.namespace, text(owner, "/name"));
        let is_unknown = !view.inventory.knows(group, &key.kind);
        is_unknown && !finding.message.contains(&format!("{key} of uid"))
            || view.inventory.owner(&key).is_some_and(|found| found.uid() == text(owner, "/uid"))
    };
    let kept: Vec<&Value> = object.items("/metadata/ownerReferences").iter().filter(|owner| lives(owner)).collect();
    let patch = json!({"metadata": {"ownerReferences": if kept.is_empty() { Value::Null } else { json!(kept) }}});
    let what = format!("drops the owner of {} that is gone", object.key);
    Some(steps(finding, what, vec![step(object, Change::Patch(patch))]))
}

/// The ScaledObject goes, and the HPA stays.
fn unfinished(view: &View<'_>, finding: &Finding) -> Option<Plan> {
    let hpa = view.inventory.get(&finding.object)?;
    let name = hpa.annotation(RELEASED_FROM)?.split('/').next()?;
    let from = view.inventory.get(&Ref::scaled_object(&hpa.key.namespace, name))?;
    let what = format!("deletes {}; {} stays", from.key, hpa.key);
    Some(steps(finding, what, vec![step(from, Change::Delete)]))
}

fn at_zero(view: &View<'_>, finding: &Finding) -> Option<Plan> {
    let workload = view.inventory.get(&finding.object)?;
    let what = format!("scales {} to 1, from where its HPA goes on", workload.key);
    Some(steps(finding, what, vec![step(workload, Change::Patch(json!({"spec": {"replicas": 1}})))]))
}

/// What the newest release declares is made anew, with Helm's marks, so that the next upgrade finds it.
fn lost(view: &View<'_>, finding: &Finding) -> Option<Plan> {
    let (record, _) = view.records.declaring(&finding.object).next()?;
    if record.tool != Tool::Helm {
        return Some(in_git(finding, &format!("sync {}, which declares", record.title), &finding.object));
    }
    let mut manifest = record.manifest(&finding.object)?.clone();
    manifest["metadata"]["namespace"] = Value::from(finding.object.namespace.as_str());
    let metadata = manifest.get_mut("metadata")?.as_object_mut()?;
    let mut put = |field: &str, key: &str, value: &str| {
        metadata.entry(field).or_insert_with(|| json!({}))[key] = Value::from(value);
    };
    put("labels", "app.kubernetes.io/managed-by", "Helm");
    put("annotations", "meta.helm.sh/release-name", &record.key.name);
    put("annotations", "meta.helm.sh/release-namespace", &record.key.namespace);
    let api_version = text(&manifest, "/apiVersion").to_owned();
    let what = format!("makes {} anew, as {} declares it", finding.object, record.title);
    let create = Step {
        object: finding.object.clone(),
        api_version,
        change: Change::Create(manifest),
        uid: None,
        resource_version: None,
    };
    Some(steps(finding, what, vec![create]))
}

impl Step {
    /// The request, as people read it.
    pub fn request(&self) -> String {
        let place = |verb: &str| format!("{verb} {}", self.object);
        let mut conditions = Vec::new();
        conditions.extend(self.uid.as_ref().map(|uid| format!("uid {uid}")));
        conditions.extend(self.resource_version.as_ref().map(|version| format!("resourceVersion {version}")));
        let only = if conditions.is_empty() { String::new() } else { format!(" (only if {})", conditions.join(", ")) };
        match &self.change {
            Change::Delete => format!("{}{only}; what it owns stays", place("DELETE")),
            Change::Patch(fields) => format!("{} {fields}{only}", place("PATCH")),
            Change::Apply(fields) => format!("{} {fields}{only}, as field manager {FIELD_MANAGER}", place("APPLY")),
            Change::Create(_) => format!("{} (only if it is not there)", place("CREATE")),
        }
    }

    /// The object before and after, as far as it changes.
    pub fn difference(&self, before: Option<&Value>) -> (Value, Value) {
        match &self.change {
            Change::Delete => (before.cloned().unwrap_or(Value::Null), Value::Null),
            Change::Create(object) => (Value::Null, object.clone()),
            Change::Patch(fields) | Change::Apply(fields) => {
                let old = before.map_or(Value::Null, |before| same_fields(before, fields));
                (old, fields.clone())
            }
        }
    }
}

/// What an object has where a patch has something.
fn same_fields(object: &Value, patch: &Value) -> Value {
    match patch.as_object() {
        Some(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), object.get(key).map_or(Value::Null, |own| same_fields(own, value))))
            .collect(),
        None => object.clone(),
    }
}
