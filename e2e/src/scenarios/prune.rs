//! GitOps by `kubectl apply --prune -l app=web`: what carries the label, was applied, and is not in the set any more is
//! deleted.
//!
//! KEDA copies the ScaledObject's labels and annotations to its HPA, which then looks as if it had been applied, too.

use anyhow::{Result, ensure};
use kube::api::DynamicObject;
use serde_json::json;

use super::Scenario;
use super::deletes::no_autoscaler;
use super::handover::{keda_has, lost_or_kept};
use super::keda::{deployment, hpa, scaled_object};
use crate::objects::{self, DEPLOYMENT, HPA, Kind, LAST_APPLIED, SCALED_OBJECT};
use crate::stage::{Answer, Stage};

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new("prune-back-to-hpa", "kubectl applies an HPA and prunes the ScaledObject by label", |stage| {
        Box::pin(back_to_hpa(stage))
    })
    .rules(&["scaledobject-deleted", "hpa-handover"]),
    Scenario::new("prune-scaledobject", "a ScaledObject is dropped from the set and pruned by label", |stage| {
        Box::pin(scaled_object_dropped(stage))
    })
    .rules(&["scaledobject-deleted", "owned-hpa-deleted"]),
    Scenario::new("prune-takes-keda-hpa", "the set has not changed, but KEDA's HPA carries its label", |stage| {
        Box::pin(takes_hpa_of_keda(stage))
    })
    .rules(&["owned-hpa-deleted"]),
];

/// The kinds to prune, as `--prune-allowlist` says.
const PRUNED: &[Kind] = &[DEPLOYMENT, HPA, SCALED_OBJECT];

/// A Deployment and a ScaledObject with the set's label.
fn with_scaled_object() -> Result<Vec<String>> {
    let mut labelled = objects::documents(&scaled_object("web", "web"))?.remove(0);
    labelled["metadata"]["labels"] = json!({"app": "web"});
    Ok(vec![deployment("web"), labelled.to_string()])
}

/// Applies the set, and returns what became of that.
async fn apply(stage: &Stage<'_>, set: &[String]) -> Result<()> {
    for manifest in set {
        stage.apply_client_side(manifest).await?.done()?;
    }
    Ok(())
}

/// Deletes what is not in the set, and returns the answer for each.
async fn prune(stage: &Stage<'_>, set: &[String]) -> Result<Vec<(Kind, Answer)>> {
    let kept: Vec<(String, String)> = set
        .iter()
        .flat_map(|manifest| objects::documents(manifest).unwrap_or_default())
        .map(|document| {
            let text = |pointer| document.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
            (text("/kind").to_owned(), text("/metadata/name").to_owned())
        })
        .collect();
    let mut answers = Vec::new();
    for kind in PRUNED {
        for object in stage.list(*kind).await?.iter().filter(|object| is_of_the_set(object)) {
            let name = object.metadata.name.clone().unwrap_or_default();
            if !kept.contains(&(kind.1.to_owned(), name.clone())) {
                answers.push((*kind, stage.delete(*kind, &name).await?));
            }
        }
    }
    Ok(answers)
}

fn all_done(answers: Vec<(Kind, Answer)>) -> Result<()> {
    answers.into_iter().try_for_each(|(_, answer)| answer.done())
}

fn is_of_the_set(object: &DynamicObject) -> bool {
    let is_web =
        |labels: &std::collections::BTreeMap<String, String>| labels.get("app").is_some_and(|app| app == "web");
    object.metadata.labels.as_ref().is_some_and(is_web)
        && object.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(LAST_APPLIED))
}

async fn given_set(stage: &Stage<'_>) -> Result<Vec<String>> {
    let set = with_scaled_object()?;
    apply(stage, &set).await?;
    keda_has(stage).await?;
    let hpa = stage.until(HPA, "web", "there", |_| true).await?;
    ensure!(is_of_the_set(&hpa), "KEDA did not copy label and annotation: {:?}", hpa.metadata);
    Ok(set)
}

async fn back_to_hpa(stage: &Stage<'_>) -> Result<String> {
    given_set(stage).await?;
    let set = [deployment("web"), hpa("web", "web", 9)];
    apply(stage, &set).await?;
    if !stage.guarded() {
        all_done(prune(stage, &set).await?)?;
        return lost_or_kept(stage, 9).await;
    }
    let answers = prune(stage, &set).await?;
    ensure!(answers.len() == 1, "the ScaledObject alone should be pruned: {answers:?}");
    for (_, answer) in answers {
        answer.refused_by("scaledobject-deleted")?;
    }
    // kubectl is no GitOps controller, so the manifest has to say that the HPA is meant to stay.
    let mut handed_over = objects::documents(&hpa("web", "web", 9))?.remove(0);
    handed_over["metadata"]["annotations"] = json!({"autoscaler-guard/handover": "web"});
    let set = [deployment("web"), handed_over.to_string()];
    apply(stage, &set).await?;
    all_done(prune(stage, &set).await?)?;
    let seen = lost_or_kept(stage, 9).await?;
    Ok(format!("refused; once the HPA's manifest says handover: {seen}"))
}

async fn scaled_object_dropped(stage: &Stage<'_>) -> Result<String> {
    given_set(stage).await?;
    let set = [deployment("web")];
    apply(stage, &set).await?;
    let answers = prune(stage, &set).await?;
    ensure!(answers.len() == 2, "the ScaledObject and KEDA's HPA should be pruned: {answers:?}");
    for (kind, answer) in answers {
        if stage.guarded() {
            answer.refused_by(if kind == HPA { "owned-hpa-deleted" } else { "scaledobject-deleted" })?;
        } else {
            answer.done()?;
        }
    }
    if stage.guarded() {
        stage.only_hpa("web", "web").await?;
        stage.keda_is_content().await?;
        return Ok("both deletes are refused".into());
    }
    no_autoscaler(stage).await
}

async fn takes_hpa_of_keda(stage: &Stage<'_>) -> Result<String> {
    let set = given_set(stage).await?;
    let before = stage.at_rest(HPA, "web").await?;
    apply(stage, &set).await?;
    let [(HPA, answer)] = <[_; 1]>::try_from(prune(stage, &set).await?).map_err(|all| anyhow::anyhow!("{all:?}"))?
    else {
        anyhow::bail!("something else than KEDA's HPA is pruned");
    };
    if !stage.guarded() {
        answer.done()?;
        stage.until(HPA, "web", "made anew", |hpa| hpa.metadata.uid != before.metadata.uid).await?;
        return Ok("a gap, until KEDA makes it anew".into());
    }
    answer.refused_by("owned-hpa-deleted")?;
    // What the refusal says helps against this.
    let excluded = "scaledobject.keda.sh/hpa-excluded-labels";
    stage.annotate(SCALED_OBJECT, "web", excluded, Some("app")).await?.done()?;
    // KEDA leaves the label on an HPA that has it, and does not bring it back once it is gone.
    stage.patch(HPA, "web", json!({"metadata": {"labels": {"app": null}}})).await?.done()?;
    let hpa = stage.at_rest(HPA, "web").await?;
    ensure!(!is_of_the_set(&hpa), "the label is back: {:?}", hpa.metadata.labels);
    let answers = prune(stage, &set).await?;
    ensure!(answers.is_empty(), "something is pruned still: {answers:?}");
    let hpa = stage.only_hpa("web", "web").await?;
    ensure!(hpa.metadata.uid == before.metadata.uid, "the HPA was made anew");
    Ok("refused; without the label on the HPA, spared".into())
}
