//! ScaledObjects and plain HPAs that get in each other's way.

use anyhow::{Result, ensure};
use kube::api::DynamicObject;
use serde_json::json;

use super::Scenario;
use super::handover::keda_has;
use crate::objects::{self, API_SERVICE, DEPLOYMENT, HPA, SCALED_OBJECT, field, has_condition};
use crate::stage::Stage;

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new("two-hpas", "a second HPA on one workload", |stage| Box::pin(two_hpas(stage)))
        .rules(&["duplicate-autoscaler"]),
    Scenario::new("hpa-retargeted", "an HPA is aimed at another workload", |stage| Box::pin(hpa_retargeted(stage)))
        .rules(&["hpa-retargeted"]),
    Scenario::new("scaledobject-retargeted", "a ScaledObject is aimed at another workload", |stage| {
        Box::pin(scaled_object_retargeted(stage))
    })
    .rules(&["scaledobject-retargeted"]),
    Scenario::new("scaledobject-takes-hpa", "a ScaledObject names another workload's HPA", |stage| {
        Box::pin(takes_hpa(stage))
    })
    .rules(&["scaledobject-takes-hpa"]),
    Scenario::new(
        "hpa-name-claimed",
        "an HPA is created under the name that a paused ScaledObject will write",
        |stage| Box::pin(name_claimed(stage)),
    )
    .rules(&["hpa-name-claimed"]),
    Scenario::new("scaledobject-hpa-renamed", "a ScaledObject's HPA gets a name that is taken", |stage| {
        Box::pin(hpa_renamed(stage))
    })
    .rules(&["scaledobject-hpa-renamed"]),
    Scenario::new("released-then-paused", "a ScaledObject is paused whose HPA was handed over", |stage| {
        Box::pin(released_then_paused(stage))
    })
    .rules(&["scaledobject-paused"]),
    Scenario::new("transfer-unnamed", "a ScaledObject takes over an HPA that it does not name", |stage| {
        Box::pin(unnamed(stage))
    })
    .rules(&["transfer-unnamed"]),
    Scenario::new("stale-owner", "an HPA is restored with an owner that is gone", |stage| Box::pin(stale_owner(stage)))
        .rules(&["hpa-owner-stale"]),
    Scenario::new("owner-dropped", "the ownerReference of KEDA's HPA is removed by hand", |stage| {
        Box::pin(owner_dropped(stage))
    })
    .rules(&["hpa-owner-changed"]),
    Scenario::new("owned-hpa-changed", "KEDA's HPA is edited by hand", |stage| Box::pin(owned_changed(stage)))
        .rules(&["owned-hpa-changed"]),
    Scenario::new("autoscaler-disabled", "an HPA gets as its minimum its maximum", |stage| Box::pin(disabled(stage)))
        .rules(&["autoscaler-disabled"]),
    Scenario::new("replicas-declared", "an HPA comes to a Deployment whose manifest declares a count", |stage| {
        Box::pin(replicas_declared(stage))
    })
    .rules(&["replicas-declared"]),
    Scenario::new("metrics-api-changed", "the API of KEDA's external metrics is deleted", |stage| {
        Box::pin(metrics_api_deleted(stage))
    })
    .rules(&["metrics-api-changed"])
    // There is one such APIService, and no namespace goes while nobody serves it.
    .alone(),
    Scenario::new("target-missing", "an HPA is aimed at nothing", |stage| Box::pin(target_missing(stage)))
        .rules(&["target-missing"]),
];

/// A Deployment without a count of its own.
pub(super) fn deployment(name: &str) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}, labels: {{app: {name}}}}},
          spec: {{selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}},
            spec: {{containers: [{{name: web, image: registry.invalid/web, resources: {{requests: {{cpu: 100m}}}}}}]}}}}}}}}\n"
    )
}

/// An HPA from 2 replicas to that many.
pub(super) fn hpa(name: &str, target: &str, max: u32) -> String {
    format!(
        "{{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {{name: {name}, labels: {{app: {target}}}}},
          spec: {{scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {target}}}, minReplicas: 2, maxReplicas: {max},
            metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 80}}}}}}]}}}}\n"
    )
}

/// A ScaledObject that calls its HPA as itself.
pub(super) fn scaled_object(name: &str, target: &str) -> String {
    scaled_object_for(name, target, name, "")
}

/// A ScaledObject, the name of its HPA and further annotations, such as `a: "b"`.
pub(super) fn scaled_object_for(name: &str, target: &str, hpa: &str, annotations: &str) -> String {
    format!(
        "{{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {{name: {name}, annotations: {{{annotations}}}}},
          spec: {{scaleTargetRef: {{name: {target}}}, minReplicaCount: 2, maxReplicaCount: 5,
            advanced: {{horizontalPodAutoscalerConfig: {{name: {hpa}}}}},
            triggers: [{{type: cpu, metricType: Utilization, metadata: {{value: \"80\"}}}}]}}}}\n"
    )
}

async fn two_hpas(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&hpa("web", "web", 5)).await?;
    let answer = stage.create(&hpa("second", "web", 8)).await?;
    if stage.guarded() {
        answer.refused_by("duplicate-autoscaler")?;
        return Ok("refused".into());
    }
    answer.done()?;
    for name in ["web", "second"] {
        stage
            .until(HPA, name, "reported as ambiguous", |hpa| {
                has_condition(hpa, "ScalingActive", "False", "AmbiguousSelector")
            })
            .await?;
    }
    Ok("both HPAs stop: AmbiguousSelector".into())
}

async fn hpa_retargeted(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&deployment("api")).await?;
    stage.given(&hpa("web", "web", 5)).await?;
    let answer = stage.patch(HPA, "web", json!({"spec": {"scaleTargetRef": {"name": "api"}}})).await?;
    lost_or_refused(stage, answer, "hpa-retargeted").await
}

async fn lost_or_refused(stage: &Stage<'_>, answer: crate::stage::Answer, rule: &str) -> Result<String> {
    if stage.guarded() {
        answer.refused_by(rule)?;
        ensure!(!stage.autoscalers_of("web").await?.is_empty(), "refused, and yet web has no autoscaler");
        return Ok("refused".into());
    }
    answer.done()?;
    ensure!(stage.autoscalers_of("web").await?.is_empty(), "something scales web after all");
    Ok("web has no autoscaler".into())
}

async fn scaled_object_retargeted(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&deployment("api")).await?;
    stage.given(&scaled_object("web", "web")).await?;
    keda_has(stage).await?;
    let answer = stage.patch(SCALED_OBJECT, "web", json!({"spec": {"scaleTargetRef": {"name": "api"}}})).await?;
    if !stage.guarded() {
        let moved = |hpa: &DynamicObject| objects::field(hpa, "/spec/scaleTargetRef/name") == Some(&json!("api"));
        stage.until(HPA, "web", "aimed at api", moved).await?;
    }
    lost_or_refused(stage, answer, "scaledobject-retargeted").await
}

async fn takes_hpa(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&deployment("api")).await?;
    stage.given(&hpa("web", "web", 5)).await?;
    let transfer = "scaledobject.keda.sh/transfer-hpa-ownership: \"true\"";
    let answer = stage.create(&scaled_object_for("api", "api", "web", transfer)).await?;
    if !stage.guarded() {
        stage.until(HPA, "web", "taken over", |hpa| objects::controller(hpa) == Some("api")).await?;
    }
    lost_or_refused(stage, answer, "scaledobject-takes-hpa").await
}

async fn name_claimed(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&scaled_object_for("web", "web", "web", "autoscaling.keda.sh/paused: \"true\"")).await?;
    stage.until(SCALED_OBJECT, "web", "paused", |object| has_condition(object, "Paused", "True", "")).await?;
    let answer = stage.create(&hpa("web", "web", 9)).await?;
    if stage.guarded() {
        answer.refused_by("hpa-name-claimed")?;
        return Ok("refused".into());
    }
    answer.done()?;
    // Any change wakes KEDA, which deletes the HPA of a paused ScaledObject by name.
    stage.annotate(SCALED_OBJECT, "web", "autoscaling.keda.sh/paused", Some("yes")).await?.done()?;
    stage.patch(SCALED_OBJECT, "web", json!({"spec": {"maxReplicaCount": 6}})).await?.done()?;
    stage.until_gone(HPA, "web").await?;
    Ok("KEDA deletes the new HPA".into())
}

async fn hpa_renamed(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&deployment("api")).await?;
    stage.given(&hpa("api", "api", 5)).await?;
    stage.given(&scaled_object("web", "web")).await?;
    keda_has(stage).await?;
    let renamed = json!({"spec": {"advanced": {"horizontalPodAutoscalerConfig": {"name": "api"}}}});
    let answer = stage.patch(SCALED_OBJECT, "web", renamed).await?;
    if !stage.guarded() {
        stage.until_gone(HPA, "web").await?;
    }
    lost_or_refused(stage, answer, "scaledobject-hpa-renamed").await
}

async fn released_then_paused(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&scaled_object("web", "web")).await?;
    keda_has(stage).await?;
    if stage.guarded() {
        stage.apply_as("kustomize-controller", &hpa("web", "web", 9)).await?.done()?;
        stage.only_hpa("web", "web").await?;
    }
    let answer = stage.annotate(SCALED_OBJECT, "web", "autoscaling.keda.sh/paused", Some("true")).await?;
    if !stage.guarded() {
        stage.until_gone(HPA, "web").await?;
    }
    lost_or_refused(stage, answer, "scaledobject-paused").await
}

async fn unnamed(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&hpa("web", "web", 5)).await?;
    let object = "{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: web, annotations: {
          scaledobject.keda.sh/transfer-hpa-ownership: \"true\"}},
          spec: {scaleTargetRef: {name: web}, minReplicaCount: 2, maxReplicaCount: 5,
            triggers: [{type: cpu, metricType: Utilization, metadata: {value: \"80\"}}]}}";
    let answer = stage.create(object).await?;
    if stage.guarded() {
        answer.refused_by("transfer-unnamed")?;
        return Ok("refused".into());
    }
    answer.done()?;
    stage.until(HPA, "keda-hpa-web", "there", |_| true).await?;
    ensure!(stage.autoscalers_of("web").await?.len() == 2, "there should be two HPAs");
    stage
        .until(HPA, "web", "reported as ambiguous", |hpa| {
            has_condition(hpa, "ScalingActive", "False", "AmbiguousSelector")
        })
        .await?;
    Ok("two HPAs, both stop: AmbiguousSelector".into())
}

async fn stale_owner(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    let mut restored = objects::documents(&hpa("web", "web", 5))?.remove(0);
    restored["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "00000000-0000-4000-8000-000000000000",
    }]);
    stage.given(&restored.to_string()).await?;
    if !stage.guarded() {
        stage.until_gone(HPA, "web").await?;
        return Ok("the HPA is garbage-collected".into());
    }
    let hpa = stage.only_hpa("web", "web").await?;
    ensure!(!objects::is_owned(&hpa), "the stale reference is still there");
    Ok("the reference is dropped, the HPA stays".into())
}

async fn owner_dropped(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&scaled_object("web", "web")).await?;
    keda_has(stage).await?;
    let answer = stage.patch(HPA, "web", json!({"metadata": {"ownerReferences": null}})).await?;
    if stage.guarded() {
        answer.refused_by("hpa-owner-changed")?;
        return Ok("refused".into());
    }
    answer.done()?;
    stage.delete(SCALED_OBJECT, "web").await?.done()?;
    stage.until_gone(SCALED_OBJECT, "web").await?;
    let hpa = stage.at_rest(HPA, "web").await?;
    ensure!(!objects::is_owned(&hpa), "KEDA took the HPA back");
    Ok("the HPA outlives its ScaledObject: orphaned".into())
}

async fn owned_changed(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&scaled_object("web", "web")).await?;
    keda_has(stage).await?;
    stage.at_rest(HPA, "web").await?;
    stage.take_warnings();
    stage.patch(HPA, "web", json!({"spec": {"maxReplicas": 20}})).await?.done()?;
    let warnings = stage.take_warnings();
    stage.until(HPA, "web", "put back", |hpa| objects::field(hpa, "/spec/maxReplicas") == Some(&json!(5))).await?;
    if stage.guarded() {
        ensure!(!warnings.is_empty(), "nobody was warned");
        return Ok("put back, after a warning".into());
    }
    ensure!(warnings.is_empty(), "somebody warned: {warnings:?}");
    Ok("put back without a word".into())
}

pub(super) async fn disabled(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&hpa("web", "web", 5)).await?;
    stage.take_warnings();
    stage.patch(HPA, "web", json!({"spec": {"minReplicas": 5}})).await?.done()?;
    warned_or_not(stage, "an HPA that cannot scale")
}

/// Each apply of the manifest puts its count back, and the HPA its minimum.
async fn replicas_declared(stage: &Stage<'_>) -> Result<String> {
    let has = |count: u64| move |web: &DynamicObject| field(web, "/spec/replicas") == Some(&json!(count));
    let declared = deployment("web").replacen("spec: {", "spec: {replicas: 1, ", 1);
    stage.apply_client_side(&declared).await?.done()?;
    stage.take_warnings();
    stage.create(&hpa("web", "web", 5)).await?.done()?;
    let outcome = warned_or_not(stage, "an HPA beside a declared count")?;
    stage.until(DEPLOYMENT, "web", "at the HPA's minimum", has(2)).await?;
    stage.apply_client_side(&declared).await?.done()?;
    stage.until(DEPLOYMENT, "web", "at the declared count", has(1)).await?;
    stage.until(DEPLOYMENT, "web", "at the HPA's minimum again", has(2)).await?;
    Ok(outcome)
}

/// Nobody serves it here: what counts is that all objects stay, and nothing says what they lost.
async fn metrics_api_deleted(stage: &Stage<'_>) -> Result<String> {
    const NAME: &str = "v1beta1.external.metrics.k8s.io";
    let cron = "{type: cron, metadata: {timezone: UTC, start: 0 6 * * *, end: 0 20 * * *, desiredReplicas: \"3\"}}";
    let cpu = "{type: cpu, metricType: Utilization, metadata: {value: \"80\"}}";
    stage.given(&deployment("web")).await?;
    stage.given(&scaled_object("web", "web").replace(cpu, cron)).await?;
    keda_has(stage).await?;
    stage.given(
        "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1beta1.external.metrics.k8s.io},
          spec: {group: external.metrics.k8s.io, version: v1beta1, groupPriorityMinimum: 100, versionPriority: 100,
            insecureSkipTLSVerify: true, service: {namespace: keda, name: keda-operator-metrics-apiserver}}}",
    )
    .await?;
    if stage.guarded() {
        stage.delete(API_SERVICE, NAME).await?.refused_by("metrics-api-changed")?;
        stage.annotate(API_SERVICE, NAME, "autoscaler-guard/allow", Some("metrics-api-changed")).await?.done()?;
    }
    stage.delete(API_SERVICE, NAME).await?.done()?;
    stage.until_gone(API_SERVICE, NAME).await?;
    if stage.guarded() {
        return Ok("refused, and let through once acknowledged".into());
    }
    stage.only_hpa("web", "web").await?;
    ensure!(stage.get(SCALED_OBJECT, "web").await?.is_some(), "the ScaledObject is gone");
    Ok("the metrics are gone, and all objects are there".into())
}

async fn target_missing(stage: &Stage<'_>) -> Result<String> {
    stage.take_warnings();
    stage.create(&hpa("web", "wbe", 5)).await?.done()?;
    let outcome = warned_or_not(stage, "an HPA aimed at nothing")?;
    stage
        .until(HPA, "web", "unable to scale", |hpa| has_condition(hpa, "AbleToScale", "False", "FailedGetScale"))
        .await?;
    ensure!(stage.get(DEPLOYMENT, "wbe").await?.is_none(), "there is a Deployment wbe");
    Ok(outcome)
}

/// What the policy only warns of happens either way.
fn warned_or_not(stage: &Stage<'_>, what: &str) -> Result<String> {
    let warnings = stage.take_warnings();
    ensure!(warnings.is_empty() != stage.guarded(), "the warnings are {warnings:?}");
    Ok(if stage.guarded() { format!("{what}, with a warning") } else { format!("{what}, without a word") })
}
