//! The lookups a policy can make, as the guest's SDK writes them.
//!
//! The two list operations are one here: a list without a namespace is one of the whole cluster.

use std::{
    collections::BTreeSet,
    fmt::{self, Display, Formatter},
};

use serde::{Deserialize, Deserializer};

use crate::wording;

/// One lookup, read from the operation's name and its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// `get_resource`: one object by name.
    Get(Get),
    /// `list_resources_by_namespace` and `list_resources_all`: objects of a kind.
    List(List),
    /// `can_i`: may someone do something?
    CanI(CanI),
}

/// Asks for one object by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Get {
    /// `v1`, or group and version: `apps/v1`.
    pub api_version: String,
    /// The kind, as in the object: `Deployment`.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// Its namespace; none for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Policy-server keeps answers for five seconds unless this is set; the hosts here never do.
    pub disable_cache: bool,
    /// The fields to answer with, as dotted paths; all of them when none is named.
    pub field_masks: Option<BTreeSet<String>>,
}

/// Asks for the objects of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct List {
    /// `v1`, or group and version: `apps/v1`.
    pub api_version: String,
    /// The kind, as in the objects: `Deployment`.
    pub kind: String,
    /// The namespace; none asks for those of the whole cluster.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Only objects whose labels match.
    pub label_selector: Option<String>,
    /// Only objects whose fields match.
    pub field_selector: Option<String>,
    /// The fields to answer with, as dotted paths; all of them when none is named.
    pub field_masks: Option<BTreeSet<String>>,
}

/// Asks whether someone may do something.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CanI {
    /// Who, and what.
    pub subject_access_review: SubjectAccessReview,
    /// Policy-server keeps answers for five seconds unless this is set; the hosts here never do.
    pub disable_cache: bool,
}

/// Who wants to do what, as in `authorization.k8s.io/v1` `SubjectAccessReview`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SubjectAccessReview {
    /// The user's groups.
    pub groups: Option<Vec<String>>,
    /// What is to be done.
    pub resource_attributes: ResourceAttributes,
    /// The user's name.
    pub user: String,
}

/// An action on a resource. Absent fields are empty: the core group, all namespaces, any name, no subresource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(default)]
pub struct ResourceAttributes {
    /// The API group.
    #[serde(deserialize_with = "empty_for_null")]
    pub group: String,
    /// The object's name.
    #[serde(deserialize_with = "empty_for_null")]
    pub name: String,
    /// The namespace.
    #[serde(deserialize_with = "empty_for_null")]
    pub namespace: String,
    /// The resource, in plural and lower case: `deployments`.
    pub resource: String,
    /// The subresource: `scale`.
    #[serde(deserialize_with = "empty_for_null")]
    pub subresource: String,
    /// What to do with it: `get`, `list`, `delete`.
    pub verb: String,
    /// The API version.
    #[serde(deserialize_with = "empty_for_null")]
    pub version: String,
}

impl Lookup {
    /// Reads a lookup; the error is policy-server's, for the guest.
    pub fn parse(operation: &str, request: &[u8]) -> Result<Self, String> {
        match operation {
            "get_resource" => read(request).map(Lookup::Get),
            "list_resources_by_namespace" => read::<ListInNamespace>(request).map(|list| Lookup::List(list.into())),
            "list_resources_all" => read(request).map(|list| Lookup::List(List { namespace: None, ..list })),
            "can_i" => read(request).map(Lookup::CanI),
            other => Err(wording::unknown_operation(other)),
        }
    }
}

/// How a lookup came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is an answer.
    Answered,
    /// The object does not exist.
    Absent,
    /// The API server does not serve the kind.
    NotServed,
    /// There is no answer: not permitted, or it failed.
    Failed,
}

impl Outcome {
    /// The outcome behind what a guest gets, which is a text when there is no answer.
    pub fn of(answer: &Result<Vec<u8>, String>) -> Self {
        match answer {
            Ok(_) => Self::Answered,
            Err(failure) if wording::is_absence(failure) => Self::Absent,
            Err(failure) if wording::is_unserved(failure) => Self::NotServed,
            Err(_) => Self::Failed,
        }
    }
}

impl Display for Lookup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Lookup::Get(get) => {
                let within = get.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
                write!(f, "get {} {} {within}{}", get.api_version, get.kind, get.name)
            }
            Lookup::List(list) => {
                let within =
                    list.namespace.as_deref().map_or("all namespaces".into(), |name| format!("namespace {name}"));
                write!(f, "list {} {} in {within}", list.api_version, list.kind)
            }
            Lookup::CanI(can_i) => write!(f, "may {}", can_i.subject_access_review),
        }
    }
}

impl Display for SubjectAccessReview {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let action = &self.resource_attributes;
        write!(f, "{} {} {}", self.user, action.verb, action.resource)?;
        for (part, before) in
            [(&action.subresource, "/"), (&action.group, "."), (&action.name, " "), (&action.namespace, " in ")]
        {
            if !part.is_empty() {
                write!(f, "{before}{part}")?;
            }
        }
        Ok(())
    }
}

/// The list request that must name its namespace.
#[derive(Deserialize)]
struct ListInNamespace {
    api_version: String,
    kind: String,
    namespace: String,
    label_selector: Option<String>,
    field_selector: Option<String>,
    field_masks: Option<BTreeSet<String>>,
}

impl From<ListInNamespace> for List {
    fn from(list: ListInNamespace) -> Self {
        let ListInNamespace { api_version, kind, namespace, label_selector, field_selector, field_masks } = list;
        Self { api_version, kind, namespace: Some(namespace), label_selector, field_selector, field_masks }
    }
}

fn read<'a, T: Deserialize<'a>>(request: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(request).map_err(|error| error.to_string())
}

fn empty_for_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The API group of an apiVersion: empty for `v1`.
pub(crate) fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(operation: &str, request: &serde_json::Value) -> Result<Lookup, String> {
        Lookup::parse(operation, request.to_string().as_bytes())
    }

    #[test]
    fn lookups_read_well() {
        let get = json!({"api_version": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "shop", "disable_cache": true});
        assert_eq!(parse("get_resource", &get).unwrap().to_string(), "get apps/v1 Deployment shop/web");
        let list = json!({"api_version": "v1", "kind": "Pod", "namespace": "shop"});
        assert_eq!(parse("list_resources_by_namespace", &list).unwrap().to_string(), "list v1 Pod in namespace shop");
        assert_eq!(parse("list_resources_all", &list).unwrap().to_string(), "list v1 Pod in all namespaces");
        let can_i = json!({"disable_cache": false, "subject_access_review": {"user": "jane", "groups": null,
            "resource_attributes": {"group": "apps", "resource": "deployments", "subresource": "scale", "verb": "update", "namespace": "shop", "name": null, "version": null}}});
        assert_eq!(parse("can_i", &can_i).unwrap().to_string(), "may jane update deployments/scale.apps in shop");
    }

    #[test]
    fn unreadable_lookups_are_refused_as_policy_server_refuses_them() {
        assert_eq!(parse("delete_resource", &json!({})), Err("unknown operation: delete_resource".into()));
        let no_kind = json!({"api_version": "v1", "name": "web", "disable_cache": true});
        assert!(parse("get_resource", &no_kind).unwrap_err().starts_with("missing field `kind`"));
        let no_namespace = json!({"api_version": "v1", "kind": "Pod"});
        assert!(
            parse("list_resources_by_namespace", &no_namespace).unwrap_err().starts_with("missing field `namespace`")
        );
    }
}
