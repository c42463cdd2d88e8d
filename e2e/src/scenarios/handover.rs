//! Incident 1: a chart or manifests go back from KEDA to a plain HPA of the same name, and the HPA is collected.

use anyhow::{Result, ensure};
use serde_json::json;

use super::Scenario;
use crate::helm::{Helm, Output};
use crate::objects::{self, DEPLOYMENT, HPA, SCALED_OBJECT};
use crate::stage::Stage;

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new("helm3-back-to-hpa", "Helm 3: HPA, upgraded to KEDA, upgraded back, forth and back again", |stage| {
        Box::pin(upgrade_back(stage, 3, DIFFERENT, &[]))
    })
    .helm(3)
    .rules(&["hpa-handover", "hpa-readoption"]),
    Scenario::new("helm3-rollback-to-hpa", "Helm 3: HPA, upgraded to KEDA, rolled back", |stage| {
        Box::pin(roll_back(stage, 3))
    })
    .helm(3)
    .rules(&["hpa-handover"]),
    Scenario::new("helm3-back-to-contained-hpa", "Helm 3 sends no request for an HPA that equals KEDA's", |stage| {
        Box::pin(contained(stage))
    })
    .helm(3)
    .rules(&["scaledobject-deleted"]),
    Scenario::new("helm3-back-to-equal-hpa", "Helm 3 with the spec that KEDA's HPA has", |stage| {
        Box::pin(upgrade_back(stage, 3, EQUAL, &[]))
    })
    .helm(3)
    .rules(&["hpa-handover"]),
    Scenario::new("helm4-back-to-hpa-forced", "Helm 4 with --force-conflicts and another spec", |stage| {
        Box::pin(upgrade_back(stage, 4, DIFFERENT, &["--force-conflicts"]))
    })
    .helm(4)
    .rules(&["hpa-handover", "hpa-readoption"]),
    Scenario::new("helm4-back-to-equal-hpa", "Helm 4 with the spec that KEDA's HPA has", |stage| {
        Box::pin(upgrade_back(stage, 4, EQUAL, &[]))
    })
    .helm(4)
    .rules(&["hpa-handover"]),
    Scenario::new("helm4-back-to-hpa-client-side", "Helm 4 with --server-side=false and another spec", |stage| {
        Box::pin(upgrade_back(stage, 4, DIFFERENT, &["--server-side=false"]))
    })
    .helm(4)
    .rules(&["hpa-handover", "hpa-readoption"]),
    Scenario::new("helm4-rollback-to-hpa", "Helm 4: HPA, upgraded to KEDA, rolled back by force", |stage| {
        Box::pin(roll_back(stage, 4))
    })
    .helm(4)
    .rules(&["hpa-handover"]),
    Scenario::new("helm4-half-failed", "Helm 4: the way back to an HPA fails half-way and is rolled back", |stage| {
        Box::pin(half_failed(stage, 4))
    })
    .helm(4)
    .rules(&["hpa-handover"]),
    Scenario::new("helm3-half-failed", "Helm 3: the way back to an HPA fails half-way and is rolled back", |stage| {
        Box::pin(half_failed(stage, 3))
    })
    .helm(3)
    .rules(&["hpa-handover"]),
    Scenario::new("helm3-to-nothing", "Helm 3: a chart drops its ScaledObject and declares no count", |stage| {
        Box::pin(to_nothing(stage, 3))
    })
    .helm(3)
    .rules(&["scaledobject-deleted"]),
    Scenario::new("helm4-to-nothing", "Helm 4: a chart drops its ScaledObject and declares no count", |stage| {
        Box::pin(to_nothing(stage, 4))
    })
    .helm(4)
    .rules(&["scaledobject-deleted"]),
    Scenario::new("helm3-hpa-to-nothing", "Helm 3: a chart drops its HPA and declares no count", |stage| {
        Box::pin(hpa_to_nothing(stage))
    })
    .helm(3)
    .rules(&["hpa-deleted"]),
    Scenario::new("helm3-to-replicas", "Helm 3: a chart replaces its ScaledObject by a count", |stage| {
        Box::pin(to_replicas(stage))
    })
    .helm(3),
    Scenario::new(
        "helm4-conflict",
        "Helm 4 with another spec stops at a field conflict, and nothing is lost",
        |stage| Box::pin(conflict(stage)),
    )
    .helm(4),
    Scenario::new(
        "kustomize-back-to-hpa",
        "Flux's field manager applies the HPA and prunes the ScaledObject",
        |stage| Box::pin(apply_back(stage, "kustomize-controller")),
    )
    .rules(&["hpa-handover"]),
    Scenario::new(
        "argocd-back-to-hpa",
        "Argo CD's field manager applies the HPA and prunes the ScaledObject",
        |stage| Box::pin(apply_back(stage, "argocd-controller")),
    )
    .rules(&["hpa-handover"]),
    Scenario::new("handover-by-annotation", "kubectl hands the HPA over by annotation, then gives it back", |stage| {
        Box::pin(by_annotation_and_back(stage))
    })
    .rules(&["hpa-handover", "hpa-giveback"]),
];

/// The chart's HPA differs from KEDA's.
pub(super) const DIFFERENT: &[&str] = &["autoscaler=hpa", "hpa.max=9"];
/// The chart's HPA is KEDA's to the letter, but for a label.
const EQUAL: &[&str] = &["autoscaler=hpa", "label=equal"];
pub(super) const KEDA: &[&str] = &["autoscaler=keda"];
/// Two seconds between Helm's requests about one object.
///
/// A rollback of Helm 3 takes the ownerReference from the HPA by itself, and deletes the ScaledObject right after. Only
/// if KEDA is quicker than that does it take the HPA back, and the HPA is collected. In a big chart it is.
const SLOWLY: &[&str] = &["--burst-limit", "1", "--qps", "0.5"];

/// Waits until KEDA has the HPA.
pub(super) async fn keda_has(stage: &Stage<'_>) -> Result<()> {
    stage.until(HPA, "web", "KEDA's", |hpa| objects::controller(hpa) == Some("web")).await?;
    Ok(())
}

pub(super) async fn upgrade_to_keda(stage: &Stage<'_>, helm: &Helm) -> Result<()> {
    helm.upgrade(KEDA, &[]).await?.succeeded()?;
    keda_has(stage).await
}

/// After the chart went back to an HPA: without the policy it is collected, with it it stays, and the chart's spec with
/// it.
pub(super) async fn lost_or_kept(stage: &Stage<'_>, max: u32) -> Result<String> {
    stage.until_gone(SCALED_OBJECT, "web").await?;
    if !stage.guarded() {
        stage.until_gone(HPA, "web").await?;
        ensure!(stage.autoscalers_of("web").await?.is_empty(), "something scales web after all");
        return Ok("no autoscaler left".into());
    }
    let hpa = stage.only_hpa("web", "web").await?;
    ensure!(!objects::is_owned(&hpa), "the HPA is still owned: {:?}", hpa.metadata.owner_references);
    ensure!(
        objects::field(&hpa, "/spec/maxReplicas") == Some(&json!(max)),
        "the HPA is not the chart's: {:?}",
        hpa.data
    );
    stage.keda_is_content().await?;
    Ok("one HPA, the chart's, owned by nobody".into())
}

pub(super) async fn upgrade_back(stage: &Stage<'_>, major: u8, values: &[&str], flags: &[&str]) -> Result<String> {
    let helm = stage.helm(major)?;
    let max = if values.contains(&"hpa.max=9") { 9 } else { 5 };
    helm.upgrade(&["autoscaler=hpa"], &[]).await?.succeeded()?;
    upgrade_to_keda(stage, &helm).await?;
    deployed(helm.upgrade(values, flags).await?.succeeded()?)?;
    let seen = lost_or_kept(stage, max).await?;
    if stage.guarded() {
        // Once more: the mark of the first handover must not get in the way.
        upgrade_to_keda(stage, &helm).await?;
        helm.upgrade(values, flags).await?.succeeded()?;
        return lost_or_kept(stage, max).await;
    }
    Ok(seen)
}

pub(super) async fn roll_back(stage: &Stage<'_>, major: u8) -> Result<String> {
    let helm = stage.helm(major)?;
    helm.upgrade(DIFFERENT, &[]).await?.succeeded()?;
    upgrade_to_keda(stage, &helm).await?;
    let flags = if major == 4 { &["--force-conflicts"] } else { SLOWLY };
    helm.rollback(1, flags).await?.succeeded()?;
    lost_or_kept(stage, 9).await
}

pub(super) async fn contained(stage: &Stage<'_>) -> Result<String> {
    let helm = stage.helm(3)?;
    helm.upgrade(KEDA, &[]).await?.succeeded()?;
    keda_has(stage).await?;
    let output = helm.upgrade(&["autoscaler=hpa"], &[]).await?;
    deployed(output.succeeded()?)?;
    if !stage.guarded() {
        return lost_or_kept(stage, 5).await;
    }
    warned(&output)?;
    ensure!(stage.get(SCALED_OBJECT, "web").await?.is_some(), "the ScaledObject was deleted");
    let hpa = stage.only_hpa("web", "web").await?;
    ensure!(objects::controller(&hpa) == Some("web"), "the HPA is not KEDA's any more");
    stage.keda_is_content().await?;
    Ok("ScaledObject kept, Helm prints the warning".into())
}

async fn half_failed(stage: &Stage<'_>, major: u8) -> Result<String> {
    let helm = stage.helm(major)?;
    let flags: &[&str] = if major == 4 { &["--force-conflicts"] } else { &[] };
    helm.upgrade(KEDA, &[]).await?.succeeded()?;
    keda_has(stage).await?;
    let broken = helm.upgrade(&["autoscaler=hpa", "hpa.max=9", "broken=true"], flags).await?;
    ensure!(!broken.success, "the broken release went through: {}", broken.text);
    // Helm 3.22 cannot always do this: it trips over a ScaledObject that is still there.
    helm.rollback(1, flags).await?;
    // Nor does Helm 4 without harm: it deletes KEDA's HPA, which KEDA makes anew.
    stage.until(HPA, "web", "there", |_| true).await?;
    stage.only_hpa("web", "web").await?;
    ensure!(stage.get(SCALED_OBJECT, "web").await?.is_some(), "the ScaledObject was deleted");
    helm.upgrade(KEDA, flags).await?.succeeded()?;
    stage.only_hpa("web", "web").await?;
    helm.upgrade(DIFFERENT, flags).await?.succeeded()?;
    lost_or_kept(stage, 9).await
}

async fn to_nothing(stage: &Stage<'_>, major: u8) -> Result<String> {
    let helm = stage.helm(major)?;
    helm.upgrade(KEDA, &[]).await?.succeeded()?;
    keda_has(stage).await?;
    let output = helm.upgrade(&["autoscaler=none"], &[]).await?;
    if !stage.guarded() {
        deployed(output.succeeded()?)?;
        return lost_or_kept(stage, 5).await;
    }
    let hpa = stage.only_hpa("web", "web").await?;
    ensure!(objects::controller(&hpa) == Some("web"), "the HPA is not KEDA's any more");
    if major == 4 {
        ensure!(!output.success && output.text.contains("scaledobject-deleted"), "Helm says {}", output.text);
        return Ok("ScaledObject kept, Helm fails with the refusal".into());
    }
    deployed(output.succeeded()?)?;
    warned(&output)?;
    Ok("ScaledObject kept, Helm prints the warning".into())
}

/// Refused, the deletion would stop every `helm uninstall` of a chart with an HPA, so this is only warned of.
async fn hpa_to_nothing(stage: &Stage<'_>) -> Result<String> {
    let helm = stage.helm(3)?;
    helm.upgrade(DIFFERENT, &[]).await?.succeeded()?;
    let output = helm.upgrade(&["autoscaler=none"], &[]).await?;
    deployed(output.succeeded()?)?;
    stage.until_gone(HPA, "web").await?;
    let warned = output.text.contains("hpa-deleted");
    ensure!(warned == stage.guarded(), "Helm says {}", output.text);
    let seen = if warned { "no autoscaler left, and Helm prints the warning" } else { "no autoscaler left" };
    Ok(seen.into())
}

async fn to_replicas(stage: &Stage<'_>) -> Result<String> {
    let helm = stage.helm(3)?;
    helm.upgrade(KEDA, &[]).await?.succeeded()?;
    keda_has(stage).await?;
    // Once the HPA has scaled, a count in the chart is a declaration, and not what the API server filled in at first.
    stage
        .until(DEPLOYMENT, "web", "scaled to the minimum", |web| {
            objects::field(web, "/spec/replicas") == Some(&json!(2))
        })
        .await?;
    // More than the HPA's maximum it would take back while it lasts.
    helm.upgrade(&["autoscaler=none", "replicas=4"], &[]).await?.succeeded()?;
    stage.until_gone(SCALED_OBJECT, "web").await?;
    stage.until_gone(HPA, "web").await?;
    stage
        .until(DEPLOYMENT, "web", "at its count", |web| objects::field(web, "/spec/replicas") == Some(&json!(4)))
        .await?;
    Ok("the count is the declared one".into())
}

/// Helm swallows the refusal of a delete, but not its warning.
fn warned(output: &Output) -> Result<()> {
    let warned =
        output.text.lines().any(|line| line.to_lowercase().contains("warning:") && line.contains("ScaledObject"));
    ensure!(warned, "Helm did not print the policy's warning: {}", output.text);
    Ok(())
}

async fn conflict(stage: &Stage<'_>) -> Result<String> {
    let helm = stage.helm(4)?;
    helm.upgrade(KEDA, &[]).await?.succeeded()?;
    keda_has(stage).await?;
    let output = helm.upgrade(DIFFERENT, &[]).await?;
    ensure!(!output.success && output.text.contains("conflict"), "Helm did not stop at a conflict: {}", output.text);
    stage.only_hpa("web", "web").await?;
    ensure!(stage.get(SCALED_OBJECT, "web").await?.is_some(), "the ScaledObject was deleted");
    Ok("Helm stops, KEDA's HPA stays".into())
}

pub(super) async fn apply_back(stage: &Stage<'_>, manager: &str) -> Result<String> {
    stage.apply_as(manager, &super::keda::deployment("web")).await?.done()?;
    stage.apply_as(manager, &super::keda::scaled_object("web", "web")).await?.done()?;
    keda_has(stage).await?;
    stage.apply_as(manager, &super::keda::hpa("web", "web", 9)).await?.done()?;
    stage.delete(SCALED_OBJECT, "web").await?.done()?;
    lost_or_kept(stage, 9).await
}

pub(super) async fn by_annotation_and_back(stage: &Stage<'_>) -> Result<String> {
    stage.given(&super::keda::deployment("web")).await?;
    stage.given(&super::keda::scaled_object("web", "web")).await?;
    keda_has(stage).await?;
    let handover =
        json!({"metadata": {"annotations": {"autoscaler-guard/handover": "web"}}, "spec": {"maxReplicas": 9}});
    stage.patch(HPA, "web", handover).await?.done()?;
    if !stage.guarded() {
        // Nobody minds the annotation: KEDA puts its own spec back, and the HPA goes with the ScaledObject.
        stage
            .until(HPA, "web", "KEDA's again", |hpa| objects::field(hpa, "/spec/maxReplicas") == Some(&json!(5)))
            .await?;
        stage.delete(SCALED_OBJECT, "web").await?.done()?;
        return lost_or_kept(stage, 9).await;
    }
    let hpa = stage.only_hpa("web", "web").await?;
    ensure!(objects::field(&hpa, "/spec/maxReplicas") == Some(&json!(9)), "KEDA took the HPA back");
    stage.annotate(HPA, "web", "autoscaler-guard/released-from", None).await?.done()?;
    stage.until(HPA, "web", "KEDA's again", |hpa| objects::field(hpa, "/spec/maxReplicas") == Some(&json!(5))).await?;
    keda_has(stage).await?;
    Ok("handed over, then given back to KEDA".into())
}

fn deployed(output: &Output) -> Result<()> {
    ensure!(output.text.contains("STATUS: deployed"), "Helm does not say that it is deployed: {}", output.text);
    Ok(())
}
