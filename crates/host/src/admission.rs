//! From a policy's verdict to the API server: the `AdmissionResponse` that policy-server would send.
//!
//! A changed object becomes a JSON Patch. A policy that changes an object although its manifest says that it does not,
//! or that changes an object that is being deleted, gets the request rejected.

use std::collections::BTreeMap;

use autoscaler_guard::VerdictKind;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::patch;

/// A policy's verdict, as its SDK writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Whether the request may go on.
    pub accepted: bool,
    /// Why not.
    pub message: Option<String>,
    /// The HTTP status that the client is to see.
    pub code: Option<u16>,
    /// The object as it should be instead.
    pub mutated_object: Option<Value>,
    /// What goes into the API server's audit log.
    pub audit_annotations: Option<BTreeMap<String, String>>,
    /// The warnings that the client shows, whatever the verdict.
    pub warnings: Option<Vec<String>>,
}

/// The `admission.k8s.io/v1` `AdmissionResponse`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionResponse {
    /// The request's uid.
    pub uid: String,
    /// Whether the request may go on.
    pub allowed: bool,
    /// How to read `patch`: `JSONPatch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch_type: Option<String>,
    /// The changes to make, as base64 of a JSON Patch (RFC 6902).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// Why the request may not go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What goes into the API server's audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_annotations: Option<BTreeMap<String, String>>,
    /// The warnings that the client shows, whatever the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<String>>,
}

/// Why a request was rejected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// For the person who made the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The HTTP status; the API server takes 403 if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
}

impl AdmissionResponse {
    /// What becomes of the request.
    pub fn verdict(&self) -> VerdictKind {
        VerdictKind::new(self.allowed, self.patch.is_some(), !self.warnings().is_empty())
    }

    /// The ids of the rules that spoke, the strongest first.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.audit("rule").into_iter().flat_map(|rules| rules.split(','))
    }

    /// What the client is shown whatever the verdict.
    pub fn warnings(&self) -> &[String] {
        self.warnings.as_deref().unwrap_or_default()
    }

    /// An audit annotation.
    pub fn audit(&self, key: &str) -> Option<&str> {
        self.audit_annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// Who is asking, and for what.
#[derive(Debug, Clone, Copy)]
pub struct Review<'a> {
    /// The request's uid.
    pub uid: &'a str,
    /// The policy's name, as the rejection of a forbidden mutation gives it.
    pub policy: &'a str,
    /// The object of the request; none, or null, when it is being deleted.
    pub object: Option<&'a Value>,
    /// Whether the policy may change objects.
    pub mutating: bool,
}

/// The same, with the object as text.
#[derive(Debug, Clone, Copy)]
pub struct TextReview<'a> {
    /// The request's uid.
    pub uid: &'a str,
    /// The policy's name, as the rejection of a forbidden mutation gives it.
    pub policy: &'a str,
    /// The object of the request; none, or `null`, when it is being deleted.
    pub object: Option<&'a str>,
    /// Whether the policy may change objects.
    pub mutating: bool,
}

/// Turns a verdict into the answer for the API server.
pub fn respond(review: Review<'_>, mut response: Response) -> AdmissionResponse {
    let Review { uid, policy, object, mutating } = review;
    let object = object.filter(|object| !object.is_null());
    let patch = match (object, response.mutated_object.take()) {
        (_, None) => None,
        (None, Some(_)) => return reject(uid, MUTATION_OF_NOTHING),
        (Some(object), Some(mutated)) => encode(&json_patch::diff(object, &mutated)),
    };
    finish(uid, policy, mutating, response, patch)
}

/// Turns a verdict whose changed object is text into the answer for the API server, without a tree of either object.
pub fn respond_in_text(
    review: TextReview<'_>,
    response: Response,
    mutated: Option<&str>,
) -> serde_json::Result<AdmissionResponse> {
    let TextReview { uid, policy, object, mutating } = review;
    let object = object.filter(|object| *object != "null");
    let patch = match (object, mutated) {
        (_, None) => None,
        (None, Some(_)) => return Ok(reject(uid, MUTATION_OF_NOTHING)),
        (Some(object), Some(mutated)) => encode(&patch::between(object, mutated)?),
    };
    Ok(finish(uid, policy, mutating, response, patch))
}

fn finish(uid: &str, policy: &str, mutating: bool, response: Response, patch: Option<String>) -> AdmissionResponse {
    let Response { accepted, message, code, mutated_object: _, audit_annotations, warnings } = response;
    let answer = AdmissionResponse { uid: uid.into(), audit_annotations, warnings, ..AdmissionResponse::default() };
    if patch.is_some() && !mutating {
        return AdmissionResponse { status: status(Some(forbidden_mutation(policy)), None), ..answer };
    }
    let patch_type = patch.as_ref().map(|_| "JSONPatch".into());
    AdmissionResponse { allowed: accepted, patch_type, patch, status: status(message, code), ..answer }
}

/// The answer for a policy that gave no verdict.
pub fn internal_error(uid: &str, error: &crate::CallError) -> AdmissionResponse {
    let message = format!("internal server error: {error}");
    AdmissionResponse { uid: uid.into(), status: status(Some(message), Some(500)), ..AdmissionResponse::default() }
}

/// The operations of an answer's patch; empty where there is none, or one that is unreadable.
pub fn operations(response: &AdmissionResponse) -> Vec<json_patch::PatchOperation> {
    let decoded = response.patch.as_ref().and_then(|patch| BASE64_STANDARD.decode(patch).ok());
    let patch = decoded.and_then(|json| serde_json::from_slice::<json_patch::Patch>(&json).ok());
    patch.map(|patch| patch.0).unwrap_or_default()
}

const MUTATION_OF_NOTHING: &str = "Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed";

fn forbidden_mutation(policy: &str) -> String {
    format!(
        "Request rejected by policy {policy}. The policy attempted to mutate the request, but it is currently configured to not allow mutations."
    )
}

/// An object that was handed back unchanged makes no patch.
fn encode(patch: &json_patch::Patch) -> Option<String> {
    (!patch.0.is_empty()).then(|| BASE64_STANDARD.encode(patch.to_string()))
}

fn reject(uid: &str, message: &str) -> AdmissionResponse {
    AdmissionResponse { uid: uid.into(), status: status(Some(message.into()), None), ..AdmissionResponse::default() }
}

fn status(message: Option<String>, code: Option<u16>) -> Option<Status> {
    (message.is_some() || code.is_some()).then_some(Status { message, code })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn review(object: Option<&Value>, mutating: bool) -> Review<'_> {
        Review { uid: "u-1", policy: "autoscaler-guard", object, mutating }
    }

    fn mutation(mutated: Value) -> Response {
        Response {
            accepted: true,
            mutated_object: Some(mutated),
            warnings: Some(vec!["mind".into()]),
            audit_annotations: Some([("rule".to_owned(), "hpa-handover".to_owned())].into()),
            ..Response::default()
        }
    }

    #[test]
    fn a_mutation_becomes_a_patch_and_warnings_and_annotations_come_along() {
        let answer = respond(review(Some(&json!({"a": 1})), true), mutation(json!({"a": 2})));
        assert!(answer.allowed);
        assert_eq!(answer.patch_type.as_deref(), Some("JSONPatch"));
        assert_eq!(
            serde_json::to_value(operations(&answer)).unwrap(),
            json!([{"op": "replace", "path": "/a", "value": 2}])
        );
        assert_eq!(answer.warnings, Some(vec!["mind".into()]));
        assert_eq!(answer.audit_annotations.as_ref().map(|kept| kept["rule"].as_str()), Some("hpa-handover"));
        assert_eq!(answer.status, None);
    }

    #[test]
    fn an_unchanged_object_makes_no_patch() {
        let answer = respond(review(Some(&json!({"a": 1})), false), mutation(json!({"a": 1})));
        assert!(answer.allowed && answer.patch.is_none() && answer.patch_type.is_none());
    }

    #[test]
    fn a_mutation_that_the_manifest_rules_out_rejects_the_request() {
        let answer = respond(review(Some(&json!({"a": 1})), false), mutation(json!({"a": 2})));
        assert_eq!(
            serde_json::to_value(&answer).unwrap(),
            json!({
                "uid": "u-1", "allowed": false, "warnings": ["mind"], "auditAnnotations": {"rule": "hpa-handover"},
                "status": {"message": "Request rejected by policy autoscaler-guard. The policy attempted to mutate the request, but it is currently configured to not allow mutations."},
            })
        );
    }

    #[test]
    fn a_mutation_of_a_deletion_rejects_the_request() {
        for object in [None, Some(&Value::Null)] {
            let answer = respond(review(object, true), mutation(json!({"a": 2})));
            assert!(!answer.allowed && answer.warnings.is_none());
            assert!(answer.status.unwrap().message.unwrap().starts_with("Incoming object is null"));
        }
    }

    #[test]
    fn a_rejection_keeps_its_code() {
        let rejection = Response { message: Some("no".into()), code: Some(422), ..Response::default() };
        let answer = respond(review(None, false), rejection);
        assert_eq!(answer.status, Some(Status { message: Some("no".into()), code: Some(422) }));
    }
}
