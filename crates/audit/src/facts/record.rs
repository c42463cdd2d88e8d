//! What tools' own records declare: Helm's releases, Argo CD's Applications, Flux's Kustomizations.

use std::collections::BTreeMap;

use autoscaler_guard_reading::group_of;
use serde_json::Value;

use super::helm::{self, Revision};
use crate::inventory::Inventory;
use crate::object::{Object, Ref, items, text};

/// Whose record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// A release.
    Helm,
    /// An Application.
    ArgoCd,
    /// A Kustomization.
    Flux,
}

/// An object of a record.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its address.
    pub key: Ref,
    /// What it scales, where the record says.
    pub target: Option<Ref>,
    /// The count that it declares, where the record says.
    pub replicas: Option<i64>,
    /// Whether it should be there by now.
    pub is_due: bool,
}

/// A tool's record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whose.
    pub tool: Tool,
    /// The record: an Application or Kustomization; of a release there is only the name.
    pub key: Ref,
    /// What messages call it.
    pub title: String,
    /// Since when it says so.
    pub since: Option<String>,
    /// Whether the tool is at work, so that what is missing may be about to come.
    pub is_moving: bool,
    /// The objects.
    pub entries: Vec<Entry>,
    ignored: Vec<Ignored>,
    manifests: Vec<(Ref, Value)>,
}

impl Record {
    /// The manifest of an autoscaler, where the record has it.
    pub fn manifest(&self, key: &Ref) -> Option<&Value> {
        self.manifests.iter().find(|(known, _)| known == key).map(|(_, manifest)| manifest)
    }
}

/// An item of `ignoreDifferences` about counts; what it does not name, it means all of.
#[derive(Clone, Debug)]
struct Ignored {
    kind: String,
    namespace: String,
    name: String,
}

/// All records.
#[derive(Debug, Default)]
pub struct Records {
    /// The records.
    pub all: Vec<Record>,
    ignored_everywhere: Vec<String>,
    /// Where each object is declared: by which record, as which of its entries.
    places: BTreeMap<Ref, Vec<(usize, usize)>>,
}

impl Records {
    /// Reads them.
    pub fn of(inventory: &Inventory) -> Self {
        let releases = helm::deployed(inventory).into_iter().map(|revision| release(inventory, revision));
        let applications = inventory.kind("argoproj.io", "Application").filter_map(application);
        let kustomizations = inventory.kind("kustomize.toolkit.fluxcd.io", "Kustomization").filter_map(kustomization);
        let all: Vec<Record> = releases.chain(applications).chain(kustomizations).collect();
        let mut places: BTreeMap<Ref, Vec<(usize, usize)>> = BTreeMap::new();
        for (record, entries) in all.iter().map(|record| &record.entries).enumerate() {
            for (entry, declared) in entries.iter().enumerate() {
                places.entry(declared.key.clone()).or_default().push((record, entry));
            }
        }
        Self { all, ignored_everywhere: ignored_everywhere(inventory), places }
    }

    /// The records that declare an object.
    pub fn declaring(&self, key: &Ref) -> impl Iterator<Item = (&Record, &Entry)> {
        let of = |(record, entry): &(usize, usize)| {
            let record = self.all.get(*record)?;
            Some((record, record.entries.get(*entry)?))
        };
        self.places.get(key).into_iter().flatten().filter_map(of)
    }

    /// Whether the tool that declares a workload is set to leave its count alone.
    pub fn ignore_count(&self, workload: &Object) -> bool {
        let key = &workload.key;
        let by_argo_cd = self.declaring(key).any(|(record, _)| {
            record.tool == Tool::ArgoCd
                && (record.ignored.iter().any(|ignored| ignored.covers(key))
                    || self.ignored_everywhere.iter().any(|kind| kind == "all" || *kind == key.kind))
        });
        by_argo_cd || is_left_alone_by_flux(workload)
    }
}

/// fluxcd/kustomize-controller, docs/spec/v1/kustomizations.md: what is only created, or not touched at all.
fn is_left_alone_by_flux(object: &Object) -> bool {
    matches!(object.annotation("kustomize.toolkit.fluxcd.io/ssa"), Some("IfNotPresent" | "Ignore"))
        || object.annotation("kustomize.toolkit.fluxcd.io/reconcile") == Some("disabled")
}

impl Ignored {
    fn covers(&self, key: &Ref) -> bool {
        let is = |wanted: &str, is: &str| wanted.is_empty() || wanted == "*" || wanted == is;
        is(&self.kind, &key.kind) && is(&self.namespace, &key.namespace) && is(&self.name, &key.name)
    }
}

/// The kinds that live in no namespace do not matter here; what names none is in the release's.
fn release(inventory: &Inventory, revision: Revision) -> Record {
    let entry = |object: &Value| {
        let named = text(object, "/metadata/namespace");
        let namespace = if named.is_empty() { &revision.namespace } else { named };
        let group = group_of(text(object, "/apiVersion"));
        let key = Ref::new(group, text(object, "/kind"), namespace, text(object, "/metadata/name"));
        let target = key.is_autoscaler().then(|| release_target(object, namespace));
        let replicas = object.pointer("/spec/replicas").and_then(Value::as_i64);
        Entry { key, target, replicas, is_due: true }
    };
    let title = format!("Helm release {}/{} (revision {})", revision.namespace, revision.release, revision.number);
    let key = Ref::new("", "Secret", &revision.namespace, &revision.release);
    let is_gone =
        inventory.get(&Ref::new("", "Namespace", "", &revision.namespace)).is_some_and(Object::is_terminating);
    Record {
        tool: Tool::Helm,
        key,
        title,
        since: revision.since,
        is_moving: revision.is_moving || is_gone,
        manifests: revision
            .objects
            .iter()
            .map(|object| (entry(object).key, object.clone()))
            .filter(|(key, _)| key.is_autoscaler())
            .collect(),
        entries: revision.objects.iter().map(entry).collect(),
        ignored: Vec::new(),
    }
}

fn release_target(object: &Value, namespace: &str) -> Ref {
    let reference = object.pointer("/spec/scaleTargetRef").unwrap_or(&Value::Null);
    let (api_version, kind) = (text(reference, "/apiVersion"), text(reference, "/kind"));
    let api_version = if api_version.is_empty() { "apps/v1" } else { api_version };
    let kind = if kind.is_empty() { "Deployment" } else { kind };
    Ref::new(group_of(api_version), kind, namespace, text(reference, "/name"))
}

/// An Application of this cluster; what lives elsewhere is none of ours.
fn application(object: &Object) -> Option<Record> {
    let (server, name) = (object.text("/spec/destination/server"), object.text("/spec/destination/name"));
    let is_here = matches!((server, name), ("https://kubernetes.default.svc", _) | ("", "in-cluster" | ""));
    if object.is_terminating() || !is_here {
        return None;
    }
    let phase = object.text("/status/operationState/phase");
    let is_moving = object.has("/operation") || matches!(phase, "Running" | "Terminating");
    let entry = |resource: &Value| {
        let key = Ref::new(
            text(resource, "/group"),
            text(resource, "/kind"),
            text(resource, "/namespace"),
            text(resource, "/name"),
        );
        // Since 3.0 there is no health per resource: what is out of sync and absent is missing.
        let is_missing = text(resource, "/health/status") == "Missing" || text(resource, "/status") == "OutOfSync";
        let is_due = is_missing && resource["hook"] != true;
        (resource["requiresPruning"] != true).then_some(Entry { key, target: None, replicas: None, is_due })
    };
    let counts = object.items("/spec/ignoreDifferences").iter().filter(|item| is_about_counts(item));
    Some(Record {
        tool: Tool::ArgoCd,
        key: object.key.clone(),
        title: object.key.to_string(),
        since: Some(object.text("/status/reconciledAt")).filter(|time| !time.is_empty()).map(str::to_owned),
        is_moving,
        entries: object.items("/status/resources").iter().filter_map(entry).collect(),
        ignored: counts
            .map(|item| Ignored {
                kind: text(item, "/kind").to_owned(),
                namespace: text(item, "/namespace").to_owned(),
                name: text(item, "/name").to_owned(),
            })
            .collect(),
        manifests: Vec::new(),
    })
}

/// By pointer, by a path of jq, or by who manages the field (argo-cd, docs/user-guide/diffing.md).
fn is_about_counts(item: &Value) -> bool {
    let says = |list: &str, wanted: &str| {
        items(item, list).iter().any(|one| one.as_str().is_some_and(|it| it.contains(wanted)))
    };
    says("/jsonPointers", "/spec/replicas")
        || says("/jqPathExpressions", ".spec.replicas")
        || says("/managedFieldsManagers", "kube-controller-manager")
}

/// The kinds whose counts all Applications ignore, by ConfigMap argocd-cm; `all` for every kind.
fn ignored_everywhere(inventory: &Inventory) -> Vec<String> {
    let about_counts = |text: &str| {
        ["/spec/replicas", ".spec.replicas", "kube-controller-manager"].iter().any(|wanted| text.contains(wanted))
    };
    let mut kinds = Vec::new();
    for map in inventory.kind("", "ConfigMap").filter(|map| map.key.name == "argocd-cm") {
        for (key, value) in map.value["data"].as_object().into_iter().flatten() {
            let Some(named) = key.strip_prefix("resource.customizations.ignoreDifferences.") else { continue };
            if value.as_str().is_some_and(about_counts) {
                kinds.push(named.rsplit('_').next().unwrap_or(named).to_owned());
            }
        }
    }
    kinds
}

/// A Kustomization of this cluster. While its reconciliation is not done, its inventory may be the last one's.
fn kustomization(object: &Object) -> Option<Record> {
    if object.is_terminating() || object.has("/spec/kubeConfig") {
        return None;
    }
    let ready = object.condition("Ready");
    // Namespace, name, group and kind, joined by `_` (fluxcd/cli-utils, pkg/object/objmetadata.go).
    let entry = |entry: &Value| {
        let parts: Vec<&str> = text(entry, "/id").split('_').collect();
        let [namespace, name, group, kind] = parts[..] else { return None };
        let name = name.replace("__", ":");
        Some(Entry { key: Ref::new(group, kind, namespace, &name), target: None, replicas: None, is_due: true })
    };
    Some(Record {
        tool: Tool::Flux,
        key: object.key.clone(),
        title: object.key.to_string(),
        since: ready.and_then(|ready| ready.since).map(str::to_owned),
        is_moving: ready.is_some_and(|ready| ready.status == "Unknown"),
        entries: object.items("/status/inventory/entries").iter().filter_map(entry).collect(),
        ignored: Vec::new(),
        manifests: Vec::new(),
    })
}
