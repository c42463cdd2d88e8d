//! The marks that tools leave on what they manage, and what belongs together by them.

use std::borrow::Cow;

use autoscaler_guard_reading::{Metadata, Object};

use super::helm;
use crate::change::Kind;
use crate::context::Context;
use crate::facts::hpa::scaled_object_owners;
use crate::subject::WorkloadRef;
use autoscaler_guard_reading::group_of;

/// What manages objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Helm, Flux's helm-controller too.
    Helm,
    /// Flux's kustomize-controller.
    Flux,
    /// Argo CD.
    ArgoCd,
    /// kapp.
    Kapp,
    /// Terraform or Pulumi.
    Terraform,
    /// An operator, by its ownerReference.
    Operator,
}

/// What a tool manages as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// The tool.
    pub tool: Tool,
    /// The namespace of its record, where the mark names it.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// An object as the tools that manage it know it. Items of a list may lack their kind, so whoever has one says what it
/// is.
#[derive(Clone, Copy, Debug)]
pub struct Member<'o, 'a> {
    /// The API group.
    pub group: &'o str,
    /// The kind.
    pub kind: &'o str,
    /// The object.
    pub object: &'o Object<'a>,
}

impl<'o, 'a> Member<'o, 'a> {
    /// An HPA.
    pub fn hpa(object: &'o Object<'a>) -> Self {
        Self { group: "autoscaling", kind: "HorizontalPodAutoscaler", object }
    }

    /// A ScaledObject.
    pub fn scaled_object(object: &'o Object<'a>) -> Self {
        Self { group: "keda.sh", kind: "ScaledObject", object }
    }

    /// An HPA or a ScaledObject.
    pub fn autoscaler(kind: Kind, object: &'o Object<'a>) -> Self {
        if kind == Kind::ScaledObject { Self::scaled_object(object) } else { Self::hpa(object) }
    }

    /// The object that the request changes or deletes.
    pub fn changed(context: &'o Context<'a>) -> Self {
        Self::of_request(context, context.change.object())
    }

    /// An object of the request's kind.
    pub fn of_request(context: &'o Context<'_>, object: &'o Object<'a>) -> Self {
        let api = &context.request.api;
        Self { group: &api.group, kind: &api.kind, object }
    }

    /// A workload.
    pub fn workload(workload: &'o WorkloadRef, object: &'o Object<'a>) -> Self {
        Self { group: group_of(&workload.api_version), kind: &workload.kind, object }
    }

    fn metadata(self) -> &'o Metadata<'a> {
        &self.object.metadata
    }

    /// The applications that the object belongs to: a chart of Helm's may be Flux's as well.
    pub fn applications(self) -> Vec<Application> {
        let helm = helm::release(self.metadata()).map(|release| Application {
            tool: Tool::Helm,
            namespace: release.namespace,
            name: release.name,
        });
        let first = [self.argo_cd(), self.flux(), self.helm_release()].into_iter();
        first.chain([helm, self.kapp(), self.terraform(), self.operator()]).flatten().collect()
    }

    /// The application of a tool.
    pub fn application(self, tool: Tool) -> Option<Application> {
        self.applications().into_iter().find(|application| application.tool == tool)
    }

    /// KEDA copies labels and annotations of a ScaledObject to its HPA, marks of other tools too (kedacore/keda,
    /// controllers/keda/hpa.go, `newHPAForScaledObject`).
    fn is_kedas(self) -> bool {
        self.kind == "HorizontalPodAutoscaler" && scaled_object_owners(self.object).next().is_some()
    }

    fn label(self, key: &str) -> Option<Cow<'a, str>> {
        self.metadata().label(key).filter(|value| !value.is_empty() && !self.is_kedas())
    }

    /// Argo CD's `<application>:<group>/<kind>:<namespace>/<name>`, where the application may be `<its
    /// namespace>_<name>` (argoproj/argo-cd, `util/argo/resource_tracking.go`). What else it names than this object, it
    /// was copied from.
    fn argo_cd(self) -> Option<Application> {
        let id = self.metadata().annotation("argocd.argoproj.io/tracking-id")?;
        let (application, rest) = id.split_once(':')?;
        let metadata = self.metadata();
        let own = format!("{}/{}:{}/{}", self.group, self.kind, metadata.namespace, metadata.name);
        if rest != own {
            return None;
        }
        let (namespace, name) = application.split_once('_').unwrap_or(("", application));
        Some(Application { tool: Tool::ArgoCd, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// The same by a label, Argo CD's default before 3.0; charts set it too, so it counts only where Argo CD asks.
    pub fn argo_cd_by_label(self) -> Option<Application> {
        let name = self.label("argocd.argoproj.io/instance").or_else(|| self.label("app.kubernetes.io/instance"))?;
        Some(Application { tool: Tool::ArgoCd, namespace: String::new(), name: name.into_owned() })
    }

    /// Flux's kustomize-controller (fluxcd/pkg, `ssa/owner_labels.go`). They name no object, so on KEDA's HPA they are
    /// a copy.
    fn flux(self) -> Option<Application> {
        self.flux_labels().filter(|_| !self.is_kedas())
    }

    /// The Kustomization that labels name, copied ones too.
    pub fn flux_labels(self) -> Option<Application> {
        let label = |key| self.metadata().label(key).filter(|value| !value.is_empty()).map(Cow::into_owned);
        let name = label("kustomize.toolkit.fluxcd.io/name")?;
        let namespace = label("kustomize.toolkit.fluxcd.io/namespace")?;
        Some(Application { tool: Tool::Flux, namespace, name })
    }

    /// Flux's helm-controller (fluxcd/helm-controller, `internal/postrender/origin_labels.go`).
    fn helm_release(self) -> Option<Application> {
        let name = self.label("helm.toolkit.fluxcd.io/name")?.into_owned();
        let namespace = self.label("helm.toolkit.fluxcd.io/namespace")?.into_owned();
        Some(Application { tool: Tool::Helm, namespace, name })
    }

    /// kapp's label (carvel-dev/kapp, `pkg/kapp/app/recorded_app.go`).
    fn kapp(self) -> Option<Application> {
        let name = self.label("kapp.k14s.io/app")?.into_owned();
        Some(Application { tool: Tool::Kapp, namespace: String::new(), name })
    }

    /// Terraform leaves no mark but its name in managedFields: `Terraform` from `kubernetes_manifest`, `HashiCorp`, out
    /// of its user agent, from all other resources (hashicorp/terraform-provider-kubernetes). Pulumi gives each object
    /// a name of its own (pulumi/pulumi-kubernetes, `pulumi-kubernetes-<hash>`). What one of them wrote in a namespace
    /// counts as one.
    fn terraform(self) -> Option<Application> {
        let tool = |manager: &str| match manager {
            "Terraform" | "HashiCorp" => Some("terraform"),
            _ => manager.starts_with("pulumi-kubernetes").then_some("pulumi"),
        };
        let entries = self.metadata().managed_fields();
        let mut declared = entries.iter().filter(|entry| entry.at(&["fieldsV1", "f:spec"]).is_some());
        let name = declared.find_map(|entry| tool(&entry.string(&["manager"])?))?.to_owned();
        let namespace = self.metadata().namespace.clone().into_owned();
        Some(Application { tool: Tool::Terraform, namespace, name })
    }

    fn operator(self) -> Option<Application> {
        let owner = self.metadata().owner_references().iter().find(|owner| owner.controller == Some(true))?;
        Some(Application { tool: Tool::Operator, namespace: String::new(), name: owner.uid.clone().into_owned() })
    }
}

/// Whether a tool manages both as one.
pub fn of_one_application(one: Member<'_, '_>, other: Member<'_, '_>) -> bool {
    let others = other.applications();
    one.applications().iter().any(|application| others.contains(application))
}

/// Whether Flux or Argo CD manages both as one.
pub fn of_one_record(one: Member<'_, '_>, other: Member<'_, '_>) -> bool {
    let same = |tool| one.application(tool).is_some_and(|found| other.application(tool) == Some(found));
    same(Tool::Flux) || same(Tool::ArgoCd)
}

/// Whether one operator makes both, for one object.
pub fn of_one_operator(one: Member<'_, '_>, other: Member<'_, '_>) -> bool {
    one.application(Tool::Operator).is_some_and(|owner| other.application(Tool::Operator) == Some(owner))
}

/// Whether a tool manages both as one, or both bear one app's label, which charts and GitOps tools share; but not where
/// they come from two charts of an umbrella chart, which has one name for all of them.
pub fn belong_together(one: Member<'_, '_>, other: Member<'_, '_>) -> bool {
    let app = |member: Member<'_, '_>| member.metadata().label("app.kubernetes.io/instance").map(Cow::into_owned);
    let same = of_one_application(one, other) || app(one).is_some_and(|name| app(other) == Some(name));
    same && !of_two_charts(one.metadata(), other.metadata())
}

/// By label `helm.sh/chart`, without the version, else by the app's name.
fn of_two_charts(one: &Metadata<'_>, other: &Metadata<'_>) -> bool {
    let differ = |key: &str, part: fn(&str) -> &str| match (one.label(key), other.label(key)) {
        (Some(one), Some(other)) => Some(part(&one) != part(&other)),
        _ => None,
    };
    let by_chart = differ("helm.sh/chart", chart_name);
    by_chart.or_else(|| differ("app.kubernetes.io/name", |name| name)).unwrap_or_default()
}

/// `web-ui` of `web-ui-1.2.0`.
fn chart_name(chart: &str) -> &str {
    let is_version = |text: &str| {
        let digits = text.trim_start_matches(|character: char| character.is_ascii_digit());
        digits.len() < text.len() && digits.starts_with('.')
    };
    let mut dashes = chart.match_indices('-');
    let version = dashes.find(|(at, _)| chart.get(at + 1..).is_some_and(is_version));
    version.and_then(|(at, _)| chart.get(..at)).unwrap_or(chart)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object<'_> {
        Object::from_text(text).expect("well-formed")
    }

    #[test]
    fn a_tracking_id_counts_where_it_names_the_object() {
        let tracked = |id: &str| {
            let text = format!(
                r#"{{"metadata":{{"name":"web","namespace":"shop","annotations":{{"argocd.argoproj.io/tracking-id":"{id}"}}}}}}"#
            );
            let object = object(&text);
            Member::hpa(&object).argo_cd().map(|application| (application.namespace, application.name))
        };
        let found = |namespace: &str, name: &str| Some((namespace.to_owned(), name.to_owned()));
        assert_eq!(tracked("app:autoscaling/HorizontalPodAutoscaler:shop/web"), found("", "app"));
        assert_eq!(tracked("team_app:autoscaling/HorizontalPodAutoscaler:shop/web"), found("team", "app"));
        for copied in ["app:keda.sh/ScaledObject:shop/web", "app:autoscaling/HorizontalPodAutoscaler:shop/api", "app"] {
            assert_eq!(tracked(copied), None, "{copied}");
        }
    }

    #[test]
    fn what_keda_copied_is_no_mark_of_its_hpa() {
        let labels = r#""labels":{"kustomize.toolkit.fluxcd.io/name":"apps","kustomize.toolkit.fluxcd.io/namespace":"flux-system","kapp.k14s.io/app":"1"}"#;
        let (plain, kedas) = (
            format!(r#"{{"metadata":{{{labels}}}}}"#),
            format!(
                r#"{{"metadata":{{{labels},"ownerReferences":[{{"apiVersion":"keda.sh/v1alpha1","kind":"ScaledObject","name":"web","uid":"1","controller":true}}]}}}}"#
            ),
        );
        let (plain, kedas) = (object(&plain), object(&kedas));
        let tools = |member: Member<'_, '_>| {
            member.applications().iter().map(|application| application.tool).collect::<Vec<_>>()
        };
        assert_eq!(tools(Member::hpa(&plain)), [Tool::Flux, Tool::Kapp]);
        assert_eq!(tools(Member::hpa(&kedas)), [Tool::Operator]);
        assert!(of_one_application(Member::hpa(&plain), Member::scaled_object(&plain)));
        assert!(!of_one_application(Member::hpa(&plain), Member::hpa(&kedas)));
    }

    #[test]
    fn two_charts_of_an_umbrella_are_two_apps() {
        let of = |chart: &str, name: &str| {
            format!(
                r#"{{"metadata":{{"labels":{{"app.kubernetes.io/instance":"platform","helm.sh/chart":"{chart}","app.kubernetes.io/name":"{name}"}}}}}}"#
            )
        };
        let together = |one: &str, other: &str| {
            let (one, other) = (object(one), object(other));
            belong_together(Member::hpa(&one), Member::hpa(&other))
        };
        assert!(together(&of("web-ui-2-1.2.0", "a"), &of("web-ui-2-1.3.0-rc.1", "b")));
        assert!(!together(&of("web-1.2.0", "a"), &of("api-2.0.1", "a")));
        let label = |name: &str| {
            format!(
                r#"{{"metadata":{{"labels":{{"app.kubernetes.io/instance":"p","app.kubernetes.io/name":"{name}"}}}}}}"#
            )
        };
        assert!(together(&label("a"), &label("a")) && !together(&label("a"), &label("b")));
    }

    #[test]
    fn terraform_is_known_by_what_it_wrote() {
        let text = r#"{"metadata":{"namespace":"shop","managedFields":[{"manager":"HashiCorp","operation":"Update","fieldsV1":{"f:spec":{"f:replicas":{}}}}]}}"#;
        let object = object(text);
        assert_eq!(
            Member::hpa(&object).application(Tool::Terraform).map(|found| found.namespace).as_deref(),
            Some("shop")
        );
    }
}
