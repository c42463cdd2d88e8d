//! Requests as an API server sent them while Helm 3 took a chart from an HPA to a `ScaledObject` and back, and what is
//! made of them here: an edit that concerns nobody, in three sizes.

use serde_json::{Value, json};

macro_rules! capture {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/requests/keda-hpa-helm3/", $name, ".json"))
    };
}

/// KEDA labels a `ScaledObject`.
const KEDA_UPDATES_SCALED_OBJECT: &str = capture!("005-update-scaledobject-keda-operator");
/// Helm writes an HPA that KEDA owns.
const HELM_UPDATES_HPA: &str = capture!("007-update-horizontalpodautoscaler-lab-admin");
/// Helm deletes the `ScaledObject` that owns it.
const HELM_DELETES_SCALED_OBJECT: &str = capture!("008-delete-scaledobject-lab-admin");

/// What the guard should answer; a bench that measured something else would be no use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expected {
    /// It passes as it is.
    Passed,
    /// It passes changed.
    Repaired,
    /// It is refused.
    Rejected,
}

/// A request to measure.
pub struct Request {
    /// The name in the report.
    pub name: &'static str,
    /// The `AdmissionRequest`, as JSON.
    pub json: String,
    /// What the guard should answer.
    pub expected: Expected,
}

/// All requests, the quickest first.
pub fn all() -> Vec<Request> {
    let request = |name, expected, request: Value| Request { name, json: request.to_string(), expected };
    vec![
        request("controller-update", Expected::Passed, parse(KEDA_UPDATES_SCALED_OBJECT)),
        request("unrelated-edit", Expected::Passed, unrelated_edit(0)),
        request("unrelated-edit-10-kb", Expected::Passed, unrelated_edit(10_000)),
        request("unrelated-edit-100-kb", Expected::Passed, unrelated_edit(100_000)),
        request("handover", Expected::Repaired, parse(HELM_UPDATES_HPA)),
        request("delete", Expected::Rejected, parse(HELM_DELETES_SCALED_OBJECT)),
    ]
}

/// The HPA that KEDA owns, before Helm writes it.
pub fn owned_hpa() -> Value {
    parse(HELM_UPDATES_HPA)["oldObject"].take()
}

/// The `ScaledObject` that owns it, before Helm deletes it.
pub fn scaled_object() -> Value {
    parse(HELM_DELETES_SCALED_OBJECT)["oldObject"].take()
}

fn parse(review: &str) -> Value {
    let mut review: Value = serde_json::from_str(review).expect("a capture is JSON");
    review["request"].take()
}

/// Somebody labels an HPA of so many bytes.
fn unrelated_edit(bytes: usize) -> Value {
    let mut request = parse(HELM_UPDATES_HPA);
    let mut hpa = grown(request["oldObject"].take(), bytes);
    request["oldObject"] = hpa.clone();
    hpa["metadata"]["labels"]["team"] = "checkout".into();
    request["object"] = hpa;
    request["options"]["fieldManager"] = "kubectl-label".into();
    request
}

/// The object, made this large by what makes objects large: the records of who wrote which field.
fn grown(mut object: Value, bytes: usize) -> Value {
    let mut writer = 0;
    while object.to_string().len() < bytes {
        writer += 1;
        let entry = managed_fields(&format!("controller-{writer}"));
        object["metadata"]["managedFields"].as_array_mut().expect("the capture has managedFields").push(entry);
    }
    object
}

fn managed_fields(manager: &str) -> Value {
    json!({
        "manager": manager,
        "operation": "Update",
        "apiVersion": "autoscaling/v2",
        "time": "2026-11-21T17:09:40Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {
            "f:annotations": {format!("f:{manager}.example.com/checksum"): {}, format!("f:{manager}.example.com/last-seen"): {}},
            "f:labels": {format!("f:{manager}.example.com/managed"): {}},
        }},
    })
}
