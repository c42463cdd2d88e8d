//! What has to go on working with the policy enforcing and failurePolicy Fail.

use anyhow::{Result, ensure};
use serde_json::json;

use super::Scenario;
use super::handover::keda_has;
use super::keda::{deployment, hpa, scaled_object, scaled_object_for};
use crate::objects::{self, DEPLOYMENT, HPA, NAMESPACE, SCALED_OBJECT};
use crate::stage::Stage;

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new("helm3-uninstall-hpa", "Helm 3 uninstalls a chart with an HPA", |stage| {
        Box::pin(uninstall(stage, 3, "hpa"))
    })
    .helm(3)
    .rules(&["hpa-deleted"]),
    Scenario::new("helm3-uninstall-keda", "Helm 3 uninstalls a chart with a ScaledObject", |stage| {
        Box::pin(uninstall(stage, 3, "keda"))
    })
    .helm(3),
    Scenario::new("helm4-uninstall-hpa", "Helm 4 uninstalls a chart with an HPA", |stage| {
        Box::pin(uninstall(stage, 4, "hpa"))
    })
    .helm(4)
    .rules(&["hpa-deleted"]),
    Scenario::new("helm4-uninstall-keda", "Helm 4 uninstalls a chart with a ScaledObject", |stage| {
        Box::pin(uninstall(stage, 4, "keda"))
    })
    .helm(4),
    Scenario::new("namespace-deleted", "a namespace with ScaledObject, HPA and Deployments goes away", |stage| {
        Box::pin(namespace_deleted(stage))
    }),
    Scenario::new("keda-lives", "KEDA creates, updates, pauses, renames and finalizes", |stage| {
        Box::pin(keda_lives(stage))
    }),
    Scenario::new("keda-adopts", "KEDA takes a plain HPA over that is meant for it", |stage| Box::pin(adopts(stage))),
];

pub(super) async fn uninstall(stage: &Stage<'_>, major: u8, autoscaler: &str) -> Result<String> {
    let helm = stage.helm(major)?;
    helm.upgrade(&[&format!("autoscaler={autoscaler}")], &[]).await?.succeeded()?;
    if autoscaler == "keda" {
        keda_has(stage).await?;
    }
    helm.uninstall().await?.succeeded()?;
    for (kind, name) in [(SCALED_OBJECT, "web"), (HPA, "web"), (DEPLOYMENT, "web")] {
        stage.until_gone(kind, name).await?;
    }
    Ok("all gone".into())
}

pub(super) async fn namespace_deleted(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&scaled_object("web", "web")).await?;
    stage.given(&deployment("api")).await?;
    stage.given(&hpa("api", "api", 5)).await?;
    keda_has(stage).await?;
    stage.delete(NAMESPACE, &stage.namespace).await?.done()?;
    stage.until_gone(NAMESPACE, &stage.namespace).await?;
    Ok("the namespace is gone".into())
}

pub(super) async fn keda_lives(stage: &Stage<'_>) -> Result<String> {
    keda_lives_and(stage, async |_| Ok(())).await
}

/// The same, with something between the end of the workload and that of the ScaledObject, whose HPA is called `renamed`
/// by then.
pub(super) async fn keda_lives_and(
    stage: &Stage<'_>,
    target_gone: impl AsyncFnOnce(&Stage<'_>) -> Result<()>,
) -> Result<String> {
    const PAUSED: &str = "autoscaling.keda.sh/paused";
    stage.given(&deployment("web")).await?;
    stage.given(&scaled_object("web", "web")).await?;
    keda_has(stage).await?;
    stage.patch(SCALED_OBJECT, "web", json!({"spec": {"maxReplicaCount": 7}})).await?.done()?;
    stage.until(HPA, "web", "updated", |hpa| objects::field(hpa, "/spec/maxReplicas") == Some(&json!(7))).await?;
    stage.annotate(SCALED_OBJECT, "web", PAUSED, Some("true")).await?.done()?;
    stage.until_gone(HPA, "web").await?;
    stage.annotate(SCALED_OBJECT, "web", PAUSED, None).await?.done()?;
    keda_has(stage).await?;
    let renamed = json!({"spec": {"advanced": {"horizontalPodAutoscalerConfig": {"name": "renamed"}}}});
    stage.patch(SCALED_OBJECT, "web", renamed).await?.done()?;
    stage.until(HPA, "renamed", "KEDA's", |hpa| objects::controller(hpa) == Some("web")).await?;
    stage.until_gone(HPA, "web").await?;
    stage.delete(DEPLOYMENT, "web").await?.done()?;
    stage.until_gone(DEPLOYMENT, "web").await?;
    target_gone(stage).await?;
    stage.delete(SCALED_OBJECT, "web").await?.done()?;
    stage.until_gone(HPA, "renamed").await?;
    ensure!(stage.list(HPA).await?.is_empty(), "an HPA is left");
    Ok("each step is done".into())
}

async fn adopts(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&hpa("web", "web", 9)).await?;
    let before = stage.only_hpa("web", "web").await?;
    let transfer = "scaledobject.keda.sh/transfer-hpa-ownership: \"true\"";
    stage.given(&scaled_object_for("web", "web", "web", transfer)).await?;
    keda_has(stage).await?;
    let hpa = stage.only_hpa("web", "web").await?;
    ensure!(hpa.metadata.uid == before.metadata.uid, "the HPA was made anew");
    ensure!(objects::field(&hpa, "/spec/maxReplicas") == Some(&json!(5)), "the HPA is not KEDA's: {:?}", hpa.data);
    stage.keda_is_content().await?;
    Ok("one HPA, KEDA's".into())
}
