//! Controllers run free: one gate in front of all rules.
//!
//! A guard that blocks clean-up is worse than none. What passes here is never refused, whatever the rules say.

use crate::change::{Attributes, Change, Kind, Operation};
use crate::facts::released::{RELEASED_FROM, ReleaseMark};
use crate::settings::Settings;

/// Who judges a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// No rule judges it: it passes.
    Exempt,
    /// KEDA updates an HPA that it has released: this may be made a no-op, but never refused.
    KedaUpdatesReleased,
    /// The rules judge it.
    Judged,
}

/// The controllers of Kubernetes itself that delete, update or scale what others declared.
pub const KUBERNETES_CONTROLLERS: &[&str] = &[
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
    // All controllers at once, where they have no service accounts of their own.
    "system:kube-controller-manager",
];

/// What the attributes say, before the objects are read. KEDA's update of an HPA has to be looked at further.
pub fn before_reading(request: &Attributes<'_>, settings: &Settings) -> Scope {
    let is_known = request.kind != Kind::Other || settings.declarations.iter().any(|known| known.concerns(request));
    if !request.sub_resource.is_empty() || request.operation == Operation::Other || !is_known {
        return Scope::Exempt;
    }
    // Changes are the guard's, objects that are there the audit's: each is a policy of its own.
    if settings.audit != (request.operation == Operation::Audit) {
        return Scope::Exempt;
    }
    let user = request.user.username.as_ref();
    let exempt_group = request.user.groups.iter().any(|group| settings.exempt_groups.match_name(group));
    if KUBERNETES_CONTROLLERS.contains(&user)
        || settings.envoy_gateway_controllers.match_name(user)
        || settings.exempt_users.match_name(user)
        || exempt_group
    {
        return Scope::Exempt;
    }
    if settings.keda_controllers.match_name(user) {
        let updates_hpa = request.kind == Kind::HorizontalPodAutoscaler && request.operation == Operation::Update;
        return if updates_hpa { Scope::KedaUpdatesReleased } else { Scope::Exempt };
    }
    Scope::Judged
}

/// What the objects say: deletion under way, a finalizer removed, an HPA that KEDA never released.
pub fn after_reading(request: &Attributes<'_>, change: &Change<'_>, scope: Scope) -> Scope {
    if change.object().metadata.is_terminating() || only_removes_finalizers(change) {
        return Scope::Exempt;
    }
    let Some((old, new)) = change.update() else { return scope };
    let release = || ReleaseMark::of(old);
    if scope == Scope::KedaUpdatesReleased {
        return if release().is_some() { scope } else { Scope::Exempt };
    }
    // KEDA is known by what it writes, wherever it runs: the mark goes and the very owner comes back. It names no field
    // manager (kedacore/keda controllers/keda/hpa.go); a person's giveback, which looks like it when it is judged
    // again, comes from kubectl.
    let takes_back = || {
        let back = matches!(request.field_manager.as_ref(), "" | "keda")
            && release().is_some_and(|release| new.metadata.owner_with_uid(&release.uid).is_some());
        back && new.metadata.annotation(RELEASED_FROM).is_none()
    };
    if takes_back() { Scope::KedaUpdatesReleased } else { scope }
}

/// Whether nothing but finalizers goes. With a changed spec, owner or annotation in the same request it is judged like
/// any other.
fn only_removes_finalizers(change: &Change<'_>) -> bool {
    let Some((old, new)) = change.update() else { return false };
    let (before, after) = (old.metadata.finalizers(), new.metadata.finalizers());
    after.len() < before.len()
        && after.iter().all(|finalizer| before.contains(finalizer))
        && old.spec_text() == new.spec_text()
        && old.metadata.owner_references() == new.metadata.owner_references()
        && old.metadata.same_labels_and_annotations(&new.metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::AdmissionRequest;
    use serde_json::{Value, json};

    fn scope_of(request: &Value, settings: &Value) -> Scope {
        let settings = Settings::from_json(&settings.to_string()).expect("the settings are valid");
        let text = request.to_string();
        let request = AdmissionRequest::from_text(&text).expect("the request is well-formed");
        let scope = before_reading(&request.attributes, &settings);
        if scope == Scope::Exempt {
            return scope;
        }
        let (request, change) = request.change();
        let change = change.expect("the objects are well-formed").expect("the operation is judged");
        after_reading(&request, &change, scope)
    }

    fn request(edit: &Value) -> Value {
        let mut request = json!({
            "operation": "UPDATE",
            "kind": {"group": "autoscaling", "version": "v2", "kind": "HorizontalPodAutoscaler"},
            "userInfo": {"username": "jane", "groups": ["system:authenticated"]},
            "object": {"metadata": {"name": "web", "finalizers": ["a"]}, "spec": {"maxReplicas": 3}},
            "oldObject": {"metadata": {"name": "web", "finalizers": ["a"]}, "spec": {"maxReplicas": 2}},
        });
        merge(&mut request, edit);
        request
    }

    fn merge(target: &mut Value, edit: &Value) {
        match edit {
            Value::Object(fields) => {
                if !target.is_object() {
                    *target = json!({});
                }
                for (key, value) in fields {
                    merge(&mut target[key], value);
                }
            }
            value => *target = value.clone(),
        }
    }

    #[test]
    fn a_person_is_judged() {
        assert_eq!(scope_of(&request(&json!({})), &json!({})), Scope::Judged);
    }

    #[test]
    fn controllers_pass() {
        for user in [
            "system:serviceaccount:keda:keda-operator",
            "system:serviceaccount:kube-system:keda-operator",
            "system:serviceaccount:envoy-gateway-system:envoy-gateway",
            "system:serviceaccount:kube-system:generic-garbage-collector",
            "system:serviceaccount:kube-system:namespace-controller",
            "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
            "system:kube-controller-manager",
        ] {
            for operation in ["CREATE", "UPDATE", "DELETE"] {
                let edit = json!({"operation": operation, "userInfo": {"username": user}});
                assert_eq!(scope_of(&request(&edit), &json!({})), Scope::Exempt, "{user} {operation}");
            }
        }
    }

    #[test]
    fn a_service_account_that_only_sounds_like_a_controller_is_judged() {
        let edit = json!({"userInfo": {"username": "system:serviceaccount:shop:keda-operator"}});
        assert_eq!(scope_of(&request(&edit), &json!({})), Scope::Judged);
    }

    #[test]
    fn settings_name_other_controllers_and_exempt_users() {
        let by = |user: &str| request(&json!({"userInfo": {"username": user, "groups": ["admins"]}}));
        let keda = json!({"controllers": {"keda": ["system:serviceaccount:scaling:*"]}});
        assert_eq!(scope_of(&by("system:serviceaccount:scaling:keda"), &keda), Scope::Exempt);
        assert_eq!(scope_of(&by("root"), &json!({"exempt": {"users": ["root"]}})), Scope::Exempt);
        assert_eq!(scope_of(&by("jane"), &json!({"exempt": {"groups": ["admins"]}})), Scope::Exempt);
    }

    #[test]
    fn only_the_update_of_a_released_hpa_holds_keda_up() {
        let released = json!({"annotations": {"autoscaler-guard/released-from": "web/uid-1/2"}});
        let by_keda = json!({"userInfo": {"username": "system:serviceaccount:keda:keda-operator"}, "oldObject": {"metadata": released}});
        assert_eq!(scope_of(&request(&by_keda), &json!({})), Scope::KedaUpdatesReleased);
    }

    #[test]
    fn sub_resources_and_other_operations_and_kinds_pass() {
        for edit in [
            json!({"subResource": "status"}),
            json!({"subResource": "scale"}),
            json!({"operation": "CONNECT"}),
            json!({"kind": {"group": "", "kind": "Pod"}}),
            json!({"kind": {"group": "example.com", "kind": "HorizontalPodAutoscaler"}}),
        ] {
            assert_eq!(scope_of(&request(&edit), &json!({})), Scope::Exempt, "{edit}");
        }
    }

    #[test]
    fn only_kinds_that_settings_declare_are_judged_besides() {
        let settings = json!({"declarations": [{"apiVersion": "a.example/v1", "kind": "Agent", "pointer": "/spec/hpa", "hpa": {"name": "{name}"}}]});
        let of = |group: &str, kind: &str| request(&json!({"kind": {"group": group, "version": "v2", "kind": kind}}));
        assert_eq!(scope_of(&of("a.example", "Agent"), &settings), Scope::Judged);
        assert_eq!(scope_of(&of("a.example", "Agent"), &json!({})), Scope::Exempt);
        for (group, kind) in [("b.example", "Agent"), ("a.example", "Other"), ("", "Agent")] {
            assert_eq!(scope_of(&of(group, kind), &settings), Scope::Exempt, "{group} {kind}");
        }
    }

    #[test]
    fn objects_being_deleted_pass() {
        let terminating = json!({"metadata": {"deletionTimestamp": "2026-11-21T17:09:40Z"}});
        assert_eq!(scope_of(&request(&json!({"object": terminating})), &json!({})), Scope::Exempt);
        assert_eq!(
            scope_of(&request(&json!({"operation": "DELETE", "oldObject": terminating})), &json!({})),
            Scope::Exempt
        );
        // Only the old object is terminating in no real request; a new one without the timestamp is judged.
        assert_eq!(scope_of(&request(&json!({"oldObject": terminating})), &json!({})), Scope::Judged);
    }

    #[test]
    fn a_finalizer_may_go_but_not_hide_another_change() {
        let without = json!({"object": {"metadata": {"finalizers": []}, "spec": {"maxReplicas": 2}}});
        assert_eq!(scope_of(&request(&without), &json!({})), Scope::Exempt);
        for hidden in [
            json!({"object": {"metadata": {"finalizers": []}, "spec": {"maxReplicas": 3}}}),
            json!({"object": {"metadata": {"finalizers": ["b"]}, "spec": {"maxReplicas": 2}}}),
            json!({"object": {"metadata": {"finalizers": [], "ownerReferences": [{"uid": "x"}]}, "spec": {"maxReplicas": 2}}}),
            json!({"object": {"metadata": {"finalizers": [], "annotations": {"x": "y"}}, "spec": {"maxReplicas": 2}}}),
        ] {
            assert_eq!(scope_of(&request(&hidden), &json!({})), Scope::Judged, "{hidden}");
        }
    }
}
