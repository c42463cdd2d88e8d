//! The workload that an autoscaler scales, and who owns its replica count.

use crate::command::Command;
use crate::subject::WorkloadRef;

use super::hpa::HorizontalPodAutoscaler;
use crate::cluster::Presence;
use crate::context::Context;
use autoscaler_guard_reading::{Json, Object, group_of};

/// On a workload, `"off"`: nobody scales it, on purpose.
pub const AUTOSCALING: &str = "autoscaler-guard/autoscaling";

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The command that says that nobody scales a workload, on purpose.
pub fn not_autoscaled(workload: &WorkloadRef) -> Command {
    let kind = workload.kind.to_ascii_lowercase();
    let kind = match group_of(&workload.api_version) {
        "" | "apps" => kind,
        group => format!("{kind}.{group}"),
    };
    Command::kubectl(&["annotate"])
        .name(format!("{kind}/{}", workload.name))
        .arg("-n")
        .name(workload.namespace.clone())
        .arg(format!("{AUTOSCALING}=off"))
}

/// Whether something is lost when a workload's autoscaler goes: `None` when it is not there, is going itself, or [owns its
/// count](owns_its_count). What cannot be read may need one; the text then says why it is not known, as the end of a sentence.
pub fn needs_autoscaler(
    workload: &WorkloadRef,
    context: &Context<'_>,
    hpa: Option<&HorizontalPodAutoscaler<'_>>,
) -> Option<String> {
    match workload.get(&context.neighbours) {
        Presence::Absent => None,
        Presence::Found(found) => (!found.metadata.is_terminating() && !owns_its_count(&found, hpa)).then(String::new),
        Presence::Unknown(reason) => Some(format!(" (whether the {} exists is not known: {reason})", workload.kind)),
    }
}

/// The workload's replica count as its spec has it.
pub fn replicas(workload: &Object<'_>) -> Option<i64> {
    workload.spec().integer(&["replicas"])
}

/// Whether someone other than that field manager applies the count server-side, so that it stays when the manager lets go of it.
pub fn is_applied_by_another(workload: &Object<'_>, manager: &str) -> bool {
    let is = |entry: &Json<'_>, field, value| entry.string(&[field]).as_deref() == Some(value);
    let applies = |entry: &Json<'_>| is(entry, "operation", "Apply") && !is(entry, "manager", manager);
    workload.metadata.managed_fields().iter().any(|entry| applies(entry) && has_replicas(entry))
}

fn has_replicas(entry: &Json<'_>) -> bool {
    entry.at(&["fieldsV1", "f:spec", "f:replicas"]).is_some()
}

/// Whether the workload says who owns its count, so that it may be left without an autoscaler.
///
/// Either annotation [`AUTOSCALING`] is `"off"`, or someone declared `spec.replicas`. A bare `f:replicas` in managedFields proves nothing:
/// the API server's defaulting gives it to whoever created the workload. It proves something in an Apply entry, or in an Update entry
/// outside the scale subresource when `hpa` had taken the field over meanwhile (it has scaled, or saw another count): then someone set
/// the count since.
pub fn owns_its_count(workload: &Object<'_>, hpa: Option<&HorizontalPodAutoscaler<'_>>) -> bool {
    workload.metadata.annotation(AUTOSCALING).as_deref() == Some("off")
        || last_applied_replicas(workload)
        || written_replicas(workload, hpa)
}

fn last_applied_replicas(workload: &Object<'_>) -> bool {
    let applied = workload.metadata.annotation(LAST_APPLIED);
    applied.is_some_and(|text| Json::new(&text).integer(&["spec", "replicas"]).is_some())
}

fn written_replicas(workload: &Object<'_>, hpa: Option<&HorizontalPodAutoscaler<'_>>) -> bool {
    let taken_over = hpa.is_some_and(|hpa| {
        let seen_otherwise =
            hpa.current_replicas().is_some_and(|seen| replicas(workload).is_some_and(|now| now != seen));
        hpa.has_scaled() || seen_otherwise
    });
    let declares = |entry: &Json<'_>| match entry.string(&["operation"]).as_deref() {
        Some("Apply") => true,
        Some("Update") => taken_over && entry.word(&["subresource"]).is_none(),
        _ => false,
    };
    workload.metadata.managed_fields().iter().any(|entry| declares(entry) && has_replicas(entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::ScaleTargetRef;
    use serde_json::{Value, json};

    const HELM_WROTE: &str =
        r#"{"manager":"helm","operation":"Update","fieldsV1":{"f:spec":{"f:replicas":{},"f:template":{}}}}"#;
    const APPLIED: &str =
        r#"{"manager":"kustomize-controller","operation":"Apply","fieldsV1":{"f:spec":{"f:replicas":{}}}}"#;
    const SCALED: &str = r#"{"manager":"kube-controller-manager","operation":"Update","subresource":"scale","fieldsV1":{"f:spec":{"f:replicas":{}}}}"#;

    fn owns(metadata: &Value, hpa: Option<&str>) -> bool {
        let workload = json!({"metadata": metadata, "spec": {"replicas": 3}}).to_string();
        let workload = Object::from_text(&workload).expect("well-formed");
        let hpa = hpa.map(|text| HorizontalPodAutoscaler::new(Object::from_text(text).expect("well-formed")));
        owns_its_count(&workload, hpa.as_ref())
    }

    fn written(entry: &str) -> Value {
        json!({"managedFields": [serde_json::from_str::<Value>(entry).expect("an entry is JSON")]})
    }

    #[test]
    fn an_annotation_says_so() {
        assert!(owns(&json!({"annotations": {AUTOSCALING: "off"}}), None));
        assert!(!owns(&json!({"annotations": {AUTOSCALING: "on"}}), None));
    }

    #[test]
    fn a_bare_field_manager_proves_nothing() {
        let idle = r#"{"status":{"currentReplicas":3}}"#;
        assert!(!owns(&written(HELM_WROTE), None));
        assert!(!owns(&written(HELM_WROTE), Some(idle)));
        assert!(!owns(&written(SCALED), Some(r#"{"status":{"lastScaleTime":"2026-11-21T17:09:40Z"}}"#)));
    }

    #[test]
    fn an_apply_or_a_write_after_the_hpa_declares() {
        assert!(owns(&written(APPLIED), None));
        assert!(owns(&written(HELM_WROTE), Some(r#"{"status":{"lastScaleTime":"2026-11-21T17:09:40Z"}}"#)));
        assert!(owns(&written(HELM_WROTE), Some(r#"{"status":{"currentReplicas":5}}"#)));
    }

    #[test]
    fn another_manager_holds_the_count_by_an_apply_only() {
        let held = |entry: &str, manager: &str| {
            let workload = json!({"metadata": written(entry)}).to_string();
            is_applied_by_another(&Object::from_text(&workload).expect("well-formed"), manager)
        };
        assert!(held(APPLIED, "envoy-gateway"));
        assert!(!held(APPLIED, "kustomize-controller"));
        assert!(!held(HELM_WROTE, "envoy-gateway") && !held(SCALED, "envoy-gateway"));
    }

    #[test]
    fn client_side_apply_declares_by_its_annotation() {
        let applied = |spec: &Value| json!({"annotations": {LAST_APPLIED: json!({"spec": spec}).to_string()}});
        assert!(owns(&applied(&json!({"replicas": 3})), None));
        assert!(!owns(&applied(&json!({"template": {}})), None));
    }

    #[test]
    fn old_versions_of_built_in_kinds_are_looked_up_as_served() {
        let target = |api_version: &'static str| ScaleTargetRef {
            api_version: api_version.into(),
            kind: "Deployment".into(),
            name: "web".into(),
        };
        assert_eq!(WorkloadRef::new(&target("extensions/v1beta1"), "shop").api_version, "apps/v1");
        assert_eq!(WorkloadRef::new(&target("argoproj.io/v1alpha1"), "shop").api_version, "argoproj.io/v1alpha1");
    }
}
