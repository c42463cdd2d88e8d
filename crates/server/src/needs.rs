//! What the policy needs of a cluster: the requests to be asked about, and the lookups that its rules make.
//!
//! The one source of the webhook's manifests; the manifests in `policies/` and `metadata.yml` are checked against it.

use std::collections::BTreeMap;

use autoscaler_guard::change::{Kind, Operation};
use autoscaler_guard::cluster::{ApiKind, api};
use autoscaler_guard::rule::Lookup;
use autoscaler_guard::rules::{LOOKUPS, RULES};

/// A kind as the API server serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Api {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The version that rules read.
    pub version: &'static str,
    /// The resource's plural name.
    pub resource: &'static str,
    /// The kind.
    pub kind: &'static str,
}

impl Api {
    /// Group and version, as an object has them in `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

pub(crate) const fn kind_of(
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    kind: &'static str,
) -> Api {
    Api { group, version, resource, kind }
}

pub(crate) const HPA: Api = kind_of("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler");
pub(crate) const SCALED_OBJECT: Api = kind_of("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject");
pub(crate) const ENVOY_PROXY: Api = kind_of("gateway.envoyproxy.io", "v1alpha1", "envoyproxies", "EnvoyProxy");
pub(crate) const GATEWAY: Api = kind_of("gateway.networking.k8s.io", "v1", "gateways", "Gateway");
pub(crate) const GATEWAY_CLASS: Api = kind_of("gateway.networking.k8s.io", "v1", "gatewayclasses", "GatewayClass");
pub(crate) const CRD: Api =
    kind_of("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition");
const API_SERVICE: Api = kind_of("apiregistration.k8s.io", "v1", "apiservices", "APIService");

/// Changes of a kind that some rule watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The kind.
    pub api: Api,
    /// `CREATE`, `UPDATE` and `DELETE`, or some of them, in this order.
    pub operations: Vec<&'static str>,
}

/// All changes that rules watch, in the order of the rules that do first.
pub fn watched() -> Vec<Watched> {
    registered(&[(Operation::Create, "CREATE"), (Operation::Update, "UPDATE"), (Operation::Delete, "DELETE")])
}

/// All objects that rules audit, in the same order: the audit scanner replays them as CREATE.
pub fn audited() -> Vec<Watched> {
    registered(&[(Operation::Audit, "CREATE")])
}

/// The kinds of which rules watch one of these operations, with the names of those.
fn registered(names: &[(Operation, &'static str)]) -> Vec<Watched> {
    let mut order = Vec::new();
    let mut all: BTreeMap<Api, Vec<Operation>> = BTreeMap::new();
    for (kind, operations) in RULES.iter().flat_map(|rule| rule.watches) {
        let Some(api) = served(*kind) else { continue };
        if !order.contains(&api) {
            order.push(api);
        }
        all.entry(api).or_default().extend(*operations);
    }
    let those = |api: &Api| {
        let has = |wanted: &(Operation, &str)| all.get(api).is_some_and(|operations| operations.contains(&wanted.0));
        names.iter().filter(|wanted| has(wanted)).map(|(_, name)| *name).collect()
    };
    let watched = order.iter().map(|api| Watched { api: *api, operations: those(api) });
    watched.filter(|watched| !watched.operations.is_empty()).collect()
}

fn served(kind: Kind) -> Option<Api> {
    match kind {
        Kind::HorizontalPodAutoscaler => Some(HPA),
        Kind::ScaledObject => Some(SCALED_OBJECT),
        Kind::EnvoyProxy => Some(ENVOY_PROXY),
        Kind::Gateway => Some(GATEWAY),
        Kind::GatewayClass => Some(GATEWAY_CLASS),
        Kind::CustomResourceDefinition => Some(CRD),
        Kind::ApiService => Some(API_SERVICE),
        // An add-on that few have: whoever does registers it, as docs/operators.md says.
        Kind::HttpScaledObject | Kind::Other => None,
    }
}

/// A kind that rules look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookedUp {
    /// The kind.
    pub api: Api,
    /// Whether lists of it are asked for, beside single objects.
    pub listed: bool,
    /// What rules want to know of it.
    pub why: &'static str,
}

/// The only ConfigMap that is read.
const CONFIG_MAP: &str = "envoy-gateway-config";

const OTHER_AUTOSCALERS: &str =
    "What else scales a workload. Lists are kept up to date by a watch, so both verbs are needed.";
const GATEWAYS: &str = "Which fleets run by an EnvoyProxy.";
const CONFIGURATION: &str =
    "How Envoy Gateway is configured, as its ConfigMap envoy-gateway-config says; no other is read.";
const WORKLOADS: &str =
    "Whether the workload is there, and who owns its replica count. Add the kinds of your own that HPAs scale.";
const RECORDS: &str =
    "What Flux or Argo CD is about to do, where it is installed: one object is read, when it deletes an autoscaler.";
const NAMESPACES: &str = "Whether a namespace is being deleted.";

/// The kinds of workloads that HPAs scale, beside Deployments.
const MORE_WORKLOADS: &[Api] = &[
    kind_of("apps", "v1", "replicasets", "ReplicaSet"),
    kind_of("apps", "v1", "statefulsets", "StatefulSet"),
    kind_of("argoproj.io", "v1alpha1", "rollouts", "Rollout"),
];

/// All that rules look up, but for Secrets, which they do only with setting `helm.readReleases`: what their `LOOKUPS`
/// declare, the workloads that autoscalers aim at, and the namespace of whatever is about to be refused.
pub fn looked_up() -> Vec<LookedUp> {
    let declared = || LOOKUPS.iter().flat_map(|(_, lookups)| *lookups).flat_map(Lookup::each);
    let is = |one: &ApiKind<'_>, other: &ApiKind<'_>| one.resource == other.resource;
    let mut all = Vec::new();
    for kind in api::ALL {
        let is_workload = is(kind, &api::DEPLOYMENT);
        let listed = declared().any(|one| matches!(one, Lookup::List(listed) if is(listed, kind)));
        let gotten = declared().any(|one| matches!(one, Lookup::Get(gotten) if is(gotten, kind)));
        if listed || gotten || is_workload || is(kind, &api::NAMESPACE) {
            all.push(LookedUp { api: served_as(kind), listed, why: why(kind) });
        }
        if is_workload {
            all.extend(MORE_WORKLOADS.iter().map(|api| LookedUp { api: *api, listed: false, why: WORKLOADS }));
        }
    }
    all
}

/// What rules want to know of a kind.
fn why(kind: &ApiKind<'_>) -> &'static str {
    match kind.resource {
        "horizontalpodautoscalers" | "scaledobjects" => OTHER_AUTOSCALERS,
        "gateways" | "gatewayclasses" | "envoyproxies" => GATEWAYS,
        "configmaps" => CONFIGURATION,
        "deployments" => WORKLOADS,
        "kustomizations" | "applications" => RECORDS,
        "namespaces" => NAMESPACES,
        _ => "What rules look up.",
    }
}

fn served_as(kind: &'static ApiKind<'static>) -> Api {
    let (group, version) = kind.api_version.split_once('/').unwrap_or(("", &kind.api_version));
    kind_of(group, version, kind.resource, &kind.kind)
}

impl LookedUp {
    /// The names that are enough; none where all may be asked for.
    pub fn names(&self) -> &'static [&'static str] {
        if self.api.resource == "configmaps" { &[CONFIG_MAP] } else { &[] }
    }

    /// The verbs to be granted for it.
    pub fn verbs(&self) -> &'static [&'static str] {
        if self.listed { &["get", "list", "watch"] } else { &["get"] }
    }
}

/// The kinds that the policy knows by name.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    let looked_up = looked_up().into_iter().map(|known| known.api.kind);
    looked_up.chain([CRD.kind, API_SERVICE.kind, "Secret", "SubjectAccessReview"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_asked_about_all_that_it_watches() {
        let watched = watched();
        for rule in RULES {
            // Which other kinds there are, only settings know.
            for (kind, operations) in
                rule.watches.iter().filter(|(kind, _)| !matches!(kind, Kind::Other | Kind::HttpScaledObject))
            {
                let api = served(*kind).unwrap_or_else(|| panic!("{} watches a kind without a resource", rule.id));
                let registered = watched.iter().find(|watched| watched.api == api).unwrap();
                let changes = operations.iter().filter(|operation| **operation != Operation::Audit).count();
                assert!(changes <= registered.operations.len(), "{}", rule.id);
            }
        }
        assert_eq!(watched[0].operations, ["CREATE", "UPDATE", "DELETE"]);
    }

    #[test]
    fn what_rules_look_up_is_granted_and_nothing_is_granted_in_vain() {
        let granted: Vec<&str> = looked_up().iter().map(|known| known.api.resource).collect();
        for lookup in LOOKUPS.iter().flat_map(|(_, lookups)| *lookups).flat_map(Lookup::each) {
            let (Lookup::Get(kind) | Lookup::List(kind)) = lookup else { continue };
            assert!(granted.contains(&kind.resource), "{} is not in cluster::api::ALL", kind.resource);
        }
        assert!(!granted.contains(&"secrets"), "releases are read by opt-in");
        let reasons = looked_up();
        assert!(reasons.iter().all(|known| known.why != "What rules look up."), "say why: {reasons:?}");
    }

    #[test]
    fn every_kind_that_is_watched_has_a_name_in_metrics() {
        for Watched { api, .. } in watched() {
            assert!(kinds().any(|kind| kind == api.kind), "{}", api.kind);
        }
    }
}
