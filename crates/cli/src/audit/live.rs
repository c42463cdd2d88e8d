//! Objects out of a cluster: whole lists, page by page, of the kinds that problems are about.

use std::collections::BTreeSet;

use autoscaler_guard::Settings;
use autoscaler_guard_audit::facts::operator::declarations;
use autoscaler_guard_audit::object::text;
use autoscaler_guard_audit::{Inventory, Unread, trim};
use autoscaler_guard_host::{LiveCluster, LiveOptions, Unlisted, Wanted};
use autoscaler_guard_reading::group_of;
use serde_json::Value;

use crate::arguments::Place;
use crate::fault::Fault;

/// A kind that is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Group and version.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// Whether it is read in all namespaces even where only one is looked at, as its objects say something of others.
    is_everywhere: bool,
}

/// The kinds that problems are about; those that are not served are none.
const KINDS: &[(&str, &str, bool)] = &[
    ("autoscaling/v2", "HorizontalPodAutoscaler", false),
    ("keda.sh/v1alpha1", "ScaledObject", false),
    ("apps/v1", "Deployment", false),
    ("apps/v1", "StatefulSet", false),
    ("argoproj.io/v1alpha1", "Rollout", false),
    ("flagger.app/v1beta1", "Canary", false),
    ("argoproj.io/v1alpha1", "Application", true),
    ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", true),
    ("gateway.networking.k8s.io/v1", "Gateway", true),
    ("gateway.networking.k8s.io/v1", "GatewayClass", true),
    ("gateway.envoyproxy.io/v1alpha1", "EnvoyProxy", true),
    ("apiregistration.k8s.io/v1", "APIService", true),
];

/// The kinds that problems are about, those of operators included.
pub fn kinds(settings: &Settings) -> Vec<Kind> {
    let kind = |api_version: &str, kind: &str, is_everywhere| Kind {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        is_everywhere,
    };
    let mut kinds: Vec<Kind> = KINDS.iter().map(|(api, name, everywhere)| kind(api, name, *everywhere)).collect();
    for declaration in declarations(settings) {
        if !kinds.iter().any(|known| known.kind == declaration.kind) {
            kinds.push(kind(&declaration.api_version, &declaration.kind, false));
        }
    }
    kinds.push(kind("v1", "ConfigMap", true));
    kinds
}

/// The ConfigMaps that say something of autoscaling: Envoy Gateway's and Argo CD's configuration.
const ENVOY_GATEWAYS: &str = "metadata.name=envoy-gateway-config";
const ARGO_CDS: &str = "metadata.name=argocd-cm";

/// The states in which Helm's revisions say what is declared, or that it is at work.
const REVISIONS: &str = "owner=helm,status in (deployed,pending-install,pending-upgrade,pending-rollback,uninstalling)";

/// Connects to a context, or the current one.
pub fn connect(kubeconfig: Option<&std::path::Path>, context: Option<&str>) -> Result<LiveCluster, Fault> {
    let options = LiveOptions {
        context: context.map(str::to_owned),
        kubeconfig: kubeconfig.map(Into::into),
        timeout: std::time::Duration::from_mins(1),
        ..LiveOptions::default()
    };
    LiveCluster::connect(options).map_err(|error| {
        Fault::new("the cluster cannot be asked")
            .because(error)
            .help("name a context, or objects in files by --cluster")
    })
}

/// Reads all objects.
pub fn inventory(cluster: &LiveCluster, options: &Place, settings: &Settings) -> Inventory {
    let namespaces = if options.all_namespaces {
        Vec::new()
    } else if options.namespace.is_empty() {
        vec![cluster.default_namespace().to_owned()]
    } else {
        options.namespace.clone()
    };
    let mut reader = Reader { cluster, namespaces, inventory: Inventory::default() };
    for kind in kinds(settings).iter().filter(|kind| kind.kind != "ConfigMap") {
        reader.read(kind, None, None);
    }
    let everywhere = |api_version: &str, kind: &str| Kind {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        is_everywhere: true,
    };
    let maps = everywhere("v1", "ConfigMap");
    if reader.inventory.kind("gateway.networking.k8s.io", "GatewayClass").next().is_some() {
        reader.read(&maps, None, Some(ENVOY_GATEWAYS));
    }
    // Without these it is only less exact.
    let _ = reader.may_read(&everywhere("v1", "Namespace"), None);
    if reader.inventory.kind("argoproj.io", "Application").next().is_some() {
        let _ = reader.may_read(&maps, Some(ARGO_CDS.to_owned()));
    }
    if !reader.namespaces.is_empty() && !reader.inventory.is_not_served("gateway.envoyproxy.io", "EnvoyProxy") {
        // What is declared depends on which Envoy Gateways run, wherever they are.
        reader.read(&everywhere("apps/v1", "Deployment"), Some("control-plane=envoy-gateway"), None);
    }
    if options.helm_secrets {
        let kind = Kind { api_version: "v1".to_owned(), kind: "Secret".to_owned(), is_everywhere: false };
        reader.read(&kind, Some(REVISIONS), None);
    }
    reader.read_references();
    reader.inventory
}

struct Reader<'c> {
    cluster: &'c LiveCluster,
    namespaces: Vec<String>,
    inventory: Inventory,
}

/// Older versions, where the newest is not served.
const OLDER: &[(&str, &str)] = &[
    ("gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"),
    ("kustomize.toolkit.fluxcd.io/v1", "kustomize.toolkit.fluxcd.io/v1beta2"),
    ("opentelemetry.io/v1beta1", "opentelemetry.io/v1alpha1"),
];

impl Reader<'_> {
    fn read(&mut self, kind: &Kind, label_selector: Option<&str>, field_selector: Option<&str>) {
        let everywhere = kind.is_everywhere || self.namespaces.is_empty();
        let places = if everywhere { vec![None] } else { self.namespaces.iter().cloned().map(Some).collect() };
        for namespace in places {
            let wanted = Wanted {
                api_version: kind.api_version.clone(),
                kind: kind.kind.clone(),
                namespace,
                label_selector: label_selector.map(str::to_owned),
                field_selector: field_selector.map(str::to_owned),
            };
            match self.list(&wanted) {
                Ok(()) => self.inventory.know(group_of(&kind.api_version), &kind.kind),
                Err(Unlisted::NotServed) => return self.inventory.not_served(group_of(&kind.api_version), &kind.kind),
                Err(Unlisted::Failed(reason)) => {
                    self.inventory.unread(Unread { kind: kind.kind.clone(), namespace: wanted.namespace, reason });
                }
            }
        }
    }

    fn list(&mut self, wanted: &Wanted) -> Result<(), Unlisted> {
        let older = OLDER.iter().find(|(newest, _)| *newest == wanted.api_version).map(|(_, older)| *older);
        let answer = match (self.cluster.read_all(wanted, trim), older) {
            (Err(Unlisted::NotServed), Some(older)) => {
                self.cluster.read_all(&Wanted { api_version: older.to_owned(), ..wanted.clone() }, trim)
            }
            (answer, _) => answer,
        };
        answer?.into_iter().for_each(|object| self.inventory.insert(object));
        Ok(())
    }

    /// The same, where it does not matter whether it may be read.
    fn may_read(&mut self, kind: &Kind, field_selector: Option<String>) -> Result<(), Unlisted> {
        let (api_version, kind) = (kind.api_version.clone(), kind.kind.clone());
        self.list(&Wanted { api_version, kind, field_selector, ..Wanted::default() })
    }

    /// The kinds that autoscalers aim at or are owned by, and that were not read yet.
    fn read_references(&mut self) {
        let mut found: BTreeSet<(String, String)> = BTreeSet::new();
        let mut owners: BTreeSet<(String, String)> = BTreeSet::new();
        for object in self.inventory.objects().filter(|object| object.key.is_autoscaler()) {
            let target = object.value.pointer("/spec/scaleTargetRef").unwrap_or(&Value::Null);
            let of =
                |reference: &Value| (text(reference, "/apiVersion").to_owned(), text(reference, "/kind").to_owned());
            found.insert(of(target));
            owners.extend(object.items("/metadata/ownerReferences").iter().map(of));
        }
        let is_new = |inventory: &Inventory, (api_version, kind): &(String, String)| {
            !api_version.is_empty() && !kind.is_empty() && !inventory.knows(group_of(api_version), kind)
        };
        found.retain(|kind| is_new(&self.inventory, kind));
        for (api_version, kind) in found {
            self.read(&Kind { api_version, kind, is_everywhere: false }, None, None);
        }
        owners.retain(|kind| is_new(&self.inventory, kind));
        for (api_version, kind) in owners {
            let (group, name) = (group_of(&api_version).to_owned(), kind.clone());
            // Of owners that may not be read nothing is said.
            match self.may_read(&Kind { api_version, kind, is_everywhere: true }, None) {
                Ok(()) => self.inventory.know(&group, &name),
                Err(Unlisted::NotServed) => self.inventory.not_served(&group, &name),
                Err(Unlisted::Failed(_)) => {}
            }
        }
    }
}
