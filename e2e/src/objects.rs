//! Objects as the API server has them, without a Rust type per kind.

use anyhow::{Context as _, Result};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::core::TypeMeta;
use serde_json::Value;

/// A kind that the scenarios work with.
pub type Kind = (&'static str, &'static str);

/// Kubernetes' own autoscaler.
pub const HPA: Kind = ("autoscaling/v2", "HorizontalPodAutoscaler");
/// KEDA's.
pub const SCALED_OBJECT: Kind = ("keda.sh/v1alpha1", "ScaledObject");
/// What they scale.
pub const DEPLOYMENT: Kind = ("apps/v1", "Deployment");
/// Envoy Gateway's configuration of a fleet.
pub const ENVOY_PROXY: Kind = ("gateway.envoyproxy.io/v1alpha1", "EnvoyProxy");
/// A gateway: Envoy Gateway runs a fleet for it.
pub const GATEWAY: Kind = ("gateway.networking.k8s.io/v1", "Gateway");
/// A class of gateways.
pub const GATEWAY_CLASS: Kind = ("gateway.networking.k8s.io/v1", "GatewayClass");
/// A namespace.
pub const NAMESPACE: Kind = ("v1", "Namespace");
/// A policy that the API server evaluates by itself, and that refuses or warns.
pub const VALIDATING_POLICY: Kind = ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy");
/// A definition of a kind.
pub const DEFINITION: Kind = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");

/// Who serves an API of its own.
pub const API_SERVICE: Kind = ("apiregistration.k8s.io/v1", "APIService");

/// The annotation in which `kubectl apply` keeps what it applied.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

const CLUSTER_WIDE: &[&str] = &[
    "Namespace",
    "CustomResourceDefinition",
    "APIService",
    "GatewayClass",
    "ClusterRole",
    "ClusterRoleBinding",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "Provider",
    "ConstraintTemplate",
    "AutoscalerGuard",
];

/// What the client has to know about a kind.
///
/// # Errors
/// `apiVersion` is none.
pub fn resource(api_version: &str, kind: &str) -> Result<ApiResource> {
    let types = TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() };
    let kind: GroupVersionKind = (&types).try_into().with_context(|| format!("{api_version} is no apiVersion"))?;
    if kind.group == "constraints.gatekeeper.sh" {
        // Gatekeeper names these resources as their kind.
        return Ok(ApiResource::from_gvk_with_plural(&kind, &kind.kind.to_lowercase()));
    }
    Ok(ApiResource::from_gvk(&kind))
}

/// The API of a kind, in a namespace where it has one.
///
/// # Errors
/// `apiVersion` is none.
pub fn api(client: &Client, (api_version, kind): (&str, &str), namespace: &str) -> Result<Api<DynamicObject>> {
    let resource = resource(api_version, kind)?;
    Ok(if CLUSTER_WIDE.contains(&kind) {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    })
}

/// All documents of a YAML text.
///
/// # Errors
/// It is no YAML.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    let documents = autoscaler_guard_host::documents::read("the manifests", yaml)?;
    Ok(documents.into_iter().map(|document| document.value).collect())
}

/// The type, namespace and name that a document says.
///
/// # Errors
/// It lacks one.
pub fn identity(document: &Value) -> Result<(&str, &str, &str)> {
    let text = |pointer: &str| {
        document.pointer(pointer).and_then(Value::as_str).with_context(|| format!("no {pointer} in {document}"))
    };
    Ok((text("/apiVersion")?, text("/kind")?, text("/metadata/name")?))
}

/// The value at a JSON pointer of an object's spec, status and so on.
pub fn field<'a>(object: &'a DynamicObject, pointer: &str) -> Option<&'a Value> {
    object.data.pointer(pointer)
}

/// Whether a condition of that type, status and reason is set; an empty reason is any.
pub fn has_condition(object: &DynamicObject, kind: &str, status: &str, reason: &str) -> bool {
    let conditions = field(object, "/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == kind
            && condition["status"] == status
            && (reason.is_empty() || condition["reason"] == reason)
    })
}

/// The name of the controller that owns an object.
pub fn controller(object: &DynamicObject) -> Option<&str> {
    let owners = object.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.name.as_str())
}

/// Whether any ownerReference is left.
pub fn is_owned(object: &DynamicObject) -> bool {
    object.metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty())
}
