//! What a snapshot's API server serves: which kinds, in which scope, under which resource names.
//!
//! Built-in kinds are known well enough; for the others a `CustomResourceDefinition` in the snapshot is believed, and
//! without one a kind is taken for served, namespaced and regularly named.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use crate::lookup::group_of;

/// The groups that an API server has without any extension.
const BUILT_IN: [&str; 21] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Cluster-scoped kinds that neither have a definition in most snapshots nor a name that starts with `Cluster`.
const CLUSTER_SCOPED: [&str; 19] = [
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ComponentStatus",
    "CustomResourceDefinition",
    "FlowSchema",
    "GatewayClass",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "RuntimeClass",
    "StorageClass",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
];

#[derive(Debug, Clone, Default)]
pub(super) struct Schema {
    definitions: BTreeMap<(String, String), Definition>,
    not_served: BTreeSet<(String, String)>,
    not_granted: BTreeSet<(String, String)>,
}

/// What a `CustomResourceDefinition` says.
#[derive(Debug, Clone)]
struct Definition {
    namespaced: bool,
    plural: String,
    served_versions: BTreeSet<String>,
}

impl Schema {
    /// Takes note of a `CustomResourceDefinition`; of other objects there is nothing to note.
    pub(super) fn learn(&mut self, object: &Value) {
        if object["kind"] != "CustomResourceDefinition" {
            return;
        }
        let spec = &object["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let versions = spec["versions"].as_array().into_iter().flatten();
        let definition = Definition {
            namespaced: spec["scope"] != "Cluster",
            plural: text(&spec["names"]["plural"]),
            served_versions: versions
                .filter(|version| version["served"] != false)
                .map(|version| text(&version["name"]))
                .collect(),
        };
        self.definitions.insert((text(&spec["group"]), text(&spec["names"]["kind"])), definition);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.definitions.is_empty() && self.not_served.is_empty() && self.not_granted.is_empty()
    }

    pub(super) fn not_served(&mut self, api_version: &str, kind: &str) {
        self.not_served.insert((api_version.into(), kind.into()));
    }

    pub(super) fn not_granted(&mut self, api_version: &str, kind: &str) {
        self.not_granted.insert((api_version.into(), kind.into()));
    }

    pub(super) fn is_served(&self, api_version: &str, kind: &str) -> bool {
        if !self.not_served.is_empty() && self.not_served.contains(&(api_version.to_owned(), kind.to_owned())) {
            return false;
        }
        let version = api_version.rsplit('/').next().unwrap_or_default();
        self.definition(api_version, kind).is_none_or(|definition| definition.served_versions.contains(version))
    }

    pub(super) fn is_granted(&self, api_version: &str, kind: &str) -> bool {
        self.not_granted.is_empty() || !self.not_granted.contains(&(api_version.to_owned(), kind.to_owned()))
    }

    pub(super) fn is_namespaced(&self, api_version: &str, kind: &str) -> bool {
        match self.definition(api_version, kind) {
            Some(definition) => definition.namespaced,
            None => !kind.starts_with("Cluster") && !CLUSTER_SCOPED.contains(&kind),
        }
    }

    /// The resource that RBAC knows a kind by.
    pub(super) fn plural(&self, api_version: &str, kind: &str) -> String {
        match self.definition(api_version, kind) {
            Some(definition) => definition.plural.clone(),
            None => ApiResource::from_gvk(&GroupVersionKind::gvk(group_of(api_version), "", kind)).plural,
        }
    }

    fn definition(&self, api_version: &str, kind: &str) -> Option<&Definition> {
        if self.definitions.is_empty() {
            return None;
        }
        self.definitions.get(&(group_of(api_version).to_owned(), kind.to_owned()))
    }
}

pub(super) fn is_built_in(api_version: &str) -> bool {
    BUILT_IN.contains(&group_of(api_version))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plurals_are_those_that_rbac_uses() {
        let schema = Schema::default();
        for (kind, plural) in [
            ("HorizontalPodAutoscaler", "horizontalpodautoscalers"),
            ("ScaledObject", "scaledobjects"),
            ("EnvoyProxy", "envoyproxies"),
            ("Gateway", "gateways"),
            ("GatewayClass", "gatewayclasses"),
            ("Ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicies"),
        ] {
            assert_eq!(schema.plural("v1", kind), plural);
        }
    }

    #[test]
    fn a_definition_is_believed() {
        let mut schema = Schema::default();
        assert!(schema.is_namespaced("example.com/v1", "Fleet") && schema.is_served("example.com/v1", "Fleet"));
        schema.learn(&json!({
            "kind": "CustomResourceDefinition",
            "spec": {
                "group": "example.com", "scope": "Cluster", "names": {"kind": "Fleet", "plural": "armada"},
                "versions": [{"name": "v1", "served": true}, {"name": "v0", "served": false}],
            },
        }));
        assert!(!schema.is_namespaced("example.com/v1", "Fleet"));
        assert_eq!(schema.plural("example.com/v1", "Fleet"), "armada");
        assert!(schema.is_served("example.com/v1", "Fleet"));
        assert!(!schema.is_served("example.com/v0", "Fleet") && !schema.is_served("example.com/v2", "Fleet"));
    }
}
