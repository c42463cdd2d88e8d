//! Deletes that leave a workload without an autoscaler, and the overrides.

use anyhow::{Result, ensure};
use kube::api::PropagationPolicy;

use super::Scenario;
use super::handover::keda_has;
use super::keda::{deployment, hpa, scaled_object};
use crate::objects::{self, DEFINITION, DEPLOYMENT, HPA, SCALED_OBJECT};
use crate::stage::Stage;

/// Acknowledges the rules that it names.
pub(super) const ALLOW: &str = "autoscaler-guard/allow";

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new("hpa-deleted", "a plain HPA is deleted while its workload lives", |stage| {
        Box::pin(hpa_deleted(stage))
    })
    .rules(&["hpa-deleted"]),
    Scenario::new("scaledobject-deleted", "a ScaledObject is deleted while its workload lives", |stage| {
        Box::pin(scaled_object_deleted(stage))
    })
    .rules(&["scaledobject-deleted"]),
    Scenario::new("scaledobject-orphaned", "a ScaledObject is deleted with --cascade=orphan", |stage| {
        Box::pin(orphaned(stage))
    }),
    Scenario::new("deletes-acknowledged", "deletes with the annotation autoscaler-guard/allow", |stage| {
        Box::pin(acknowledged(stage))
    })
    .rules(&["hpa-deleted", "scaledobject-deleted"]),
    Scenario::new("deletes-by-bypass", "deletes by someone who may bypass the rules", |stage| {
        Box::pin(bypassed(stage))
    })
    .rules(&["hpa-deleted", "scaledobject-deleted"]),
    Scenario::new("target-deleted-first", "deletes after the workload is gone", |stage| Box::pin(target_first(stage))),
    Scenario::new("owned-hpa-deleted", "KEDA's HPA is deleted", |stage| Box::pin(owned_deleted(stage)))
        .rules(&["owned-hpa-deleted"]),
    Scenario::new("released-hpa-deleted", "an HPA that was handed over is deleted before its ScaledObject", |stage| {
        Box::pin(released_deleted(stage))
    })
    .rules(&["released-hpa-deleted"]),
    Scenario::new("crd-deleted", "KEDA's definition of ScaledObjects is deleted", |stage| {
        Box::pin(definition_deleted(stage))
    })
    .rules(&["crd-deleted"])
    .alone(),
];

pub(super) async fn hpa_deleted(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&hpa("web", "web", 5)).await?;
    let answer = stage.delete(HPA, "web").await?;
    if stage.guarded() {
        answer.refused_by("hpa-deleted")?;
        stage.only_hpa("web", "web").await?;
        return Ok("refused".into());
    }
    answer.done()?;
    no_autoscaler(stage).await
}

pub(super) async fn no_autoscaler(stage: &Stage<'_>) -> Result<String> {
    stage.until_gone(HPA, "web").await?;
    ensure!(stage.autoscalers_of("web").await?.is_empty(), "something scales web after all");
    Ok("no autoscaler left".into())
}

pub(super) async fn given_keda(stage: &Stage<'_>) -> Result<()> {
    stage.given(&deployment("web")).await?;
    stage.given(&scaled_object("web", "web")).await?;
    keda_has(stage).await
}

async fn scaled_object_deleted(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    let answer = stage.delete(SCALED_OBJECT, "web").await?;
    if stage.guarded() {
        answer.refused_by("scaledobject-deleted")?;
        stage.only_hpa("web", "web").await?;
        return Ok("refused".into());
    }
    answer.done()?;
    no_autoscaler(stage).await
}

pub(super) async fn orphaned(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    stage.take_warnings();
    stage.delete_by(SCALED_OBJECT, "web", PropagationPolicy::Orphan).await?.done()?;
    let warnings = stage.take_warnings();
    stage.until_gone(SCALED_OBJECT, "web").await?;
    let hpa = stage.only_hpa("web", "web").await?;
    ensure!(!objects::is_owned(&hpa), "the HPA still refers to its ScaledObject");
    ensure!(warnings.is_empty() != stage.guarded(), "the warnings are {warnings:?}");
    Ok(if stage.guarded() { "the HPA stays, with a warning".into() } else { "the HPA stays, without a word".into() })
}

pub(super) async fn acknowledged(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    if stage.guarded() {
        stage.delete(SCALED_OBJECT, "web").await?.refused_by("scaledobject-deleted")?;
    }
    stage.annotate(SCALED_OBJECT, "web", ALLOW, Some("scaledobject-deleted")).await?.done()?;
    stage.delete(SCALED_OBJECT, "web").await?.done()?;
    no_autoscaler(stage).await?;
    stage.given(&hpa("web", "web", 5)).await?;
    if stage.guarded() {
        stage.delete(HPA, "web").await?.refused_by("hpa-deleted")?;
    }
    stage.annotate(HPA, "web", ALLOW, Some("hpa-deleted")).await?.done()?;
    stage.delete(HPA, "web").await?.done()?;
    no_autoscaler(stage).await?;
    Ok(if stage.guarded() { "refused, then let through".into() } else { "no autoscaler left".into() })
}

/// Someone with the right to delete, and the right to bypass two rules; both in this namespace only.
pub(super) async fn on_call(stage: &Stage<'_>) -> Result<String> {
    let on_call = format!("on-call-of-{}", stage.namespace);
    stage
        .plane
        .apply(&format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {{name: on-call, namespace: {namespace}}}, rules: [
               {{apiGroups: [autoscaling], resources: [horizontalpodautoscalers], verbs: [get, delete]}},
               {{apiGroups: [keda.sh], resources: [scaledobjects], verbs: [get, delete]}},
               {{apiGroups: [autoscaler-guard], resources: [hpa-deleted, scaledobject-deleted], verbs: [bypass]}}]}}
---
{{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: on-call, namespace: {namespace}}},
  roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: on-call}},
  subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {on_call}}}]}}",
            namespace = stage.namespace
        ))
        .await?;
    Ok(on_call)
}

pub(super) async fn bypassed(stage: &Stage<'_>) -> Result<String> {
    let on_call = on_call(stage).await?;
    given_keda(stage).await?;
    if stage.guarded() {
        stage.delete(SCALED_OBJECT, "web").await?.refused_by("scaledobject-deleted")?;
    }
    stage.delete_as(&on_call, SCALED_OBJECT, "web").await?.done()?;
    no_autoscaler(stage).await?;
    stage.given(&hpa("web", "web", 5)).await?;
    if stage.guarded() {
        stage.delete(HPA, "web").await?.refused_by("hpa-deleted")?;
    }
    stage.delete_as(&on_call, HPA, "web").await?.done()?;
    no_autoscaler(stage).await?;
    Ok(if stage.guarded() { "refused to others, let through".into() } else { "no autoscaler left".into() })
}

pub(super) async fn target_first(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    stage.given(&deployment("api")).await?;
    stage.given(&hpa("api", "api", 5)).await?;
    for name in ["web", "api"] {
        stage.delete(DEPLOYMENT, name).await?.done()?;
        stage.until_gone(DEPLOYMENT, name).await?;
    }
    stage.delete(SCALED_OBJECT, "web").await?.done()?;
    stage.delete(HPA, "api").await?.done()?;
    stage.until_gone(HPA, "web").await?;
    stage.until_gone(HPA, "api").await?;
    Ok("all gone".into())
}

async fn owned_deleted(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    let before = stage.at_rest(HPA, "web").await?;
    let answer = stage.delete(HPA, "web").await?;
    if stage.guarded() {
        answer.refused_by("owned-hpa-deleted")?;
        stage.only_hpa("web", "web").await?;
        return Ok("refused".into());
    }
    answer.done()?;
    // KEDA makes it anew, which is a gap.
    stage.until(HPA, "web", "made anew", |hpa| hpa.metadata.uid != before.metadata.uid).await?;
    Ok("a gap, until KEDA makes it anew".into())
}

async fn released_deleted(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    if !stage.guarded() {
        // What the policy does at a handover, done by hand: KEDA watches an HPA by its ownerReference.
        stage.patch(HPA, "web", serde_json::json!({"metadata": {"ownerReferences": null}})).await?.done()?;
        stage.at_rest(HPA, "web").await?;
        stage.delete(HPA, "web").await?.done()?;
        return no_autoscaler(stage).await;
    }
    stage.apply_as("kustomize-controller", &hpa("web", "web", 9)).await?.done()?;
    stage.only_hpa("web", "web").await?;
    stage.delete(HPA, "web").await?.refused_by("released-hpa-deleted")?;
    stage.only_hpa("web", "web").await?;
    Ok("refused".into())
}

pub(super) async fn definition_deleted(stage: &Stage<'_>) -> Result<String> {
    const NAME: &str = "scaledobjects.keda.sh";
    given_keda(stage).await?;
    if stage.guarded() {
        stage.delete(DEFINITION, NAME).await?.refused_by("crd-deleted")?;
        stage.only_hpa("web", "web").await?;
        return Ok("refused".into());
    }
    stage.delete(DEFINITION, NAME).await?.done()?;
    no_autoscaler(stage).await?;
    stage.until_gone(DEFINITION, NAME).await?;
    // Whoever plays next finds it again.
    let sources = stage.tools.sources("keda", "github.com/kedacore/keda/v2")?;
    stage.plane.apply_definitions(&sources.join("config/crd/bases")).await?;
    if let Some(keda) = stage.keda {
        keda.lock().await.restart().await?;
    }
    Ok("every ScaledObject and its HPA is gone".into())
}
