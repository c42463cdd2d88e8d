//! The workload that an autoscaler scales, and who owns its replica count.

use std::fmt;

use super::hpa::{HorizontalPodAutoscaler, scaled_object_owners};
use crate::cluster::{Presence, Reason};
use crate::command::Command;
use crate::context::Context;
use crate::finding::Action;
use crate::subject::WorkloadRef;
use autoscaler_guard_reading::{Json, Object, group_of};

/// On a workload, `"off"`: nobody scales it, on purpose.
pub const AUTOSCALING: &str = "autoscaler-guard/autoscaling";

/// The field manager with which Envoy Gateway applies its fleets.
pub const FLEET_MANAGER: &str = "envoy-gateway";

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The kinds of workloads that the policy's manifests let it read.
const READ_BY_DEFAULT: &[&str] = &["apps", "argoproj.io"];

/// The command that says that nobody scales a workload, on purpose.
pub fn not_autoscaled(workload: &WorkloadRef) -> Command {
    command("annotate", workload).arg(format!("{AUTOSCALING}=off"))
}

/// The command that gives a workload at 0 a first pod, from which an HPA goes on.
pub fn wake(workload: &WorkloadRef) -> Command {
    command("scale", workload).arg("--replicas=1")
}

fn command(verb: &'static str, workload: &WorkloadRef) -> Command {
    let kind = workload.kind.to_ascii_lowercase();
    let kind = match group_of(&workload.api_version) {
        "" | "apps" => kind,
        group => format!("{kind}.{group}"),
    };
    Command::kubectl(&[verb]).name(format!("{kind}/{}", workload.name)).arg("-n").name(workload.namespace.clone())
}

/// That something is lost when a workload's autoscaler goes.
#[derive(Debug, Default)]
pub struct Need {
    /// What is not known, or what else is to be said of it, as the end of a sentence.
    caveat: String,
    /// Whether a warning is enough: an HPA does nothing to a workload at 0, or the policy may not read its kind.
    is_mild: bool,
    /// Whether the workload is at 0.
    pub at_zero: bool,
}

impl Need {
    /// A rejection, or what is enough here.
    pub fn soften(&self, action: Action) -> Action {
        if self.is_mild { Action::Warn } else { action }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.caveat)
    }
}

/// Whether something is lost when a workload's autoscaler goes: `None` when it is not there, is about to go itself, or
/// [owns its count](owns_its_count). What cannot be read may need one.
pub fn needs_autoscaler(
    workload: &WorkloadRef,
    context: &Context<'_>,
    hpa: Option<&HorizontalPodAutoscaler<'_>>,
) -> Option<Need> {
    match workload.get(&context.neighbours) {
        Presence::Absent => None,
        Presence::Found(found) if found.metadata.is_terminating() || owns_its_count(&found, hpa) => None,
        Presence::Found(found) => Some(need(&found, hpa)),
        Presence::Unknown(reason) => Some(unread(workload, &reason)),
    }
}

fn need(workload: &Object<'_>, hpa: Option<&HorizontalPodAutoscaler<'_>>) -> Need {
    let live = replicas(workload);
    let at_zero = live == Some(0);
    // KEDA starts a workload from 0, and so does the HPA that brought it there.
    let sleeps = at_zero
        && hpa.is_some_and(|hpa| !hpa.has_scaled_to_zero() && scaled_object_owners(&hpa.object).next().is_none());
    let declared = last_applied_replicas(workload);
    let caveat = match (declared, live) {
        _ if sleeps => " (it is at 0 replicas, where an HPA does nothing)".to_owned(),
        (Some(declared), Some(live)) if declared != live => {
            format!(" (its manifest says {declared} replicas, but {live} run: the next apply puts {declared} back)")
        }
        _ => String::new(),
    };
    Need { caveat, is_mild: sleeps, at_zero }
}

fn unread(workload: &WorkloadRef, reason: &Reason) -> Need {
    let WorkloadRef { api_version, kind, .. } = workload;
    let is_mild = !READ_BY_DEFAULT.contains(&group_of(api_version));
    let add = if is_mild {
        format!("; add {api_version} {kind} to contextAwareResources to have it looked up")
    } else {
        String::new()
    };
    Need { caveat: format!(" (whether the {kind} exists is not known: {reason}{add})"), is_mild, at_zero: false }
}

/// The workload's replica count as its spec has it.
pub fn replicas(workload: &Object<'_>) -> Option<i64> {
    workload.spec().integer(&["replicas"])
}

/// Whether a workload's selector fits the pods that another one makes.
pub fn selects(workload: &Object<'_>, other: &Object<'_>) -> bool {
    let selector = workload.spec().at(&["selector"]);
    let pods = other.spec().at(&["template", "metadata", "labels"]);
    let (Some(selector), Some(pods)) = (selector, pods) else { return false };
    let labels = selector.at(&["matchLabels"]).and_then(Json::fields).unwrap_or_default();
    let expressions = selector.items(&["matchExpressions"]);
    let has = |key: &str, value: &Json<'_>| pods.string(&[key]) == value.string(&[]);
    (!labels.is_empty() || !expressions.is_empty())
        && labels.iter().all(|(key, value)| has(key, value))
        && expressions.iter().all(|expression| fits(expression, pods))
}

fn fits(expression: &Json<'_>, pods: Json<'_>) -> bool {
    let value = pods.string(&[&expression.string(&["key"]).unwrap_or_default()]);
    let listed = || value.is_some() && expression.items(&["values"]).iter().any(|one| one.string(&[]) == value);
    match expression.string(&["operator"]).as_deref() {
        Some("In") => listed(),
        Some("NotIn") => !listed(),
        Some("Exists") => value.is_some(),
        Some("DoesNotExist") => value.is_none(),
        _ => false,
    }
}

/// Whether someone other than that field manager applies the count server-side, so that it stays when the manager lets
/// go of it.
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
/// Either annotation [`AUTOSCALING`] is `"off"`, or someone declared `spec.replicas` and that is in force: the live
/// count is the declared one, and was not set through the scale subresource since. A bare `f:replicas` in managedFields
/// proves nothing: the API server's defaulting gives it to whoever created the workload. It proves something in an
/// Apply entry, or in an Update entry outside the scale subresource when `hpa` had taken the field over meanwhile (it
/// has scaled, or saw another count): then someone set the count since.
pub fn owns_its_count(workload: &Object<'_>, hpa: Option<&HorizontalPodAutoscaler<'_>>) -> bool {
    workload.metadata.annotation(AUTOSCALING).as_deref() == Some("off") || declares_in_force(workload, hpa)
}

fn declares_in_force(workload: &Object<'_>, hpa: Option<&HorizontalPodAutoscaler<'_>>) -> bool {
    let declared = last_applied_replicas(workload);
    let entries = workload.metadata.managed_fields();
    let applied_and_live = declared.is_some() && declared == replicas(workload) && !entries.iter().any(is_scaled);
    applied_and_live || entries.iter().any(|entry| is_applied(entry) || is_written_since(entry, workload, hpa))
}

/// The count that someone declared for a workload, in force or not: applied, or set to something that is no default.
pub fn declared_replicas(workload: &Object<'_>) -> Option<i64> {
    let live = || replicas(workload);
    let set = |entry: &Json<'_>| is_update(entry) && has_replicas(entry) && live() != Some(1);
    let written = || workload.metadata.managed_fields().iter().any(|entry| is_applied(entry) || set(entry));
    last_applied_replicas(workload).or_else(|| live().filter(|_| written()))
}

fn last_applied_replicas(workload: &Object<'_>) -> Option<i64> {
    Json::new(&workload.metadata.annotation(LAST_APPLIED)?).integer(&["spec", "replicas"])
}

/// Applied server-side, by somebody else than the controller of Envoy's fleets: that applies what an EnvoyProxy says,
/// and no longer (envoyproxy/gateway, internal/infrastructure/kubernetes, field manager `envoy-gateway`).
fn is_applied(entry: &Json<'_>) -> bool {
    let is_fleets = entry.string(&["manager"]).as_deref() == Some(FLEET_MANAGER);
    entry.string(&["operation"]).as_deref() == Some("Apply") && has_replicas(entry) && !is_fleets
}

fn is_update(entry: &Json<'_>) -> bool {
    entry.string(&["operation"]).as_deref() == Some("Update") && entry.word(&["subresource"]).is_none()
}

/// Set through the scale subresource. Such entries may be missing or have no time, so only that one is there says
/// something.
fn is_scaled(entry: &Json<'_>) -> bool {
    entry.string(&["subresource"]).as_deref() == Some("scale") && has_replicas(entry)
}

/// Written after the HPA had taken the field over. An entry as old as the workload is its creator's, and an HPA that
/// scaled another workload of that name, before, took nothing over.
fn is_written_since(entry: &Json<'_>, workload: &Object<'_>, hpa: Option<&HorizontalPodAutoscaler<'_>>) -> bool {
    let created = Json::new(workload.text()).string(&["metadata", "creationTimestamp"]);
    let taken_over = |hpa: &HorizontalPodAutoscaler<'_>| {
        let scaled = hpa.last_scale_time();
        let seen_otherwise =
            hpa.current_replicas().is_some_and(|seen| replicas(workload).is_some_and(|now| now != seen));
        scaled.is_some_and(|time| created.as_ref().is_none_or(|created| time > *created)) || seen_otherwise
    };
    let is_creators = created.is_some() && entry.string(&["time"]) == created;
    is_update(entry) && has_replicas(entry) && !is_creators && hpa.is_some_and(taken_over)
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
        assert_eq!(WorkloadRef::new(&target("apps/v1beta2"), "shop").api_version, "apps/v1");
        assert_eq!(WorkloadRef::new(&target("extensions/v1beta1"), "shop").api_version, "extensions/v1beta1");
        assert_eq!(WorkloadRef::new(&target("argoproj.io/v1alpha1"), "shop").api_version, "argoproj.io/v1alpha1");
    }
}
