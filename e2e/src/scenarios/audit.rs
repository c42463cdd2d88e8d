//! What is wrong already, as Kubewarden's audit scanner sees it: objects are replayed as created, by nobody.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Scenario;
use super::deletes::given_keda;
use super::envoy::{self, given_fleet};
use super::keda::hpa;
use super::review::review;
use crate::objects::{self, HPA, Kind, SCALED_OBJECT};
use crate::operators::ENVOY_GATEWAY_NAMESPACE;
use crate::stage::Stage;
use crate::world::Kind::LeakyEnvoyGateway;

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new("audit-released", "an audit after a handover whose ScaledObject is still there", |stage| {
        Box::pin(released(stage))
    })
    .rules(&["hpa-handover", "released-hpa-deleted"])
    .audits(&["handover-unfinished", "scaledobject-without-hpa"]),
    Scenario::new("audit-aimed", "an audit of two HPAs on one workload, and of one without", |stage| {
        Box::pin(aimed(stage))
    })
    .rules(&["duplicate-autoscaler", "target-missing"])
    .audits(&["duplicate-autoscaler", "target-missing"]),
    Scenario::new("audit-orphaned-1.3.0", "an audit after envoyHpa was removed", |stage| Box::pin(orphaned(stage)))
        .world(LeakyEnvoyGateway)
        .rules(&["envoyhpa-removed"])
        .audits(&["envoy-hpa-orphaned"]),
];

async fn released(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    audited(stage, &[]).await?;
    if !stage.guarded() {
        // What the policy does at a handover, done by hand, and then what it refuses.
        stage.patch(HPA, "web", json!({"metadata": {"ownerReferences": null}})).await?.done()?;
        stage.at_rest(HPA, "web").await?;
        stage.delete(HPA, "web").await?.done()?;
        stage.until_gone(HPA, "web").await?;
        audited(stage, &["scaledobject-without-hpa"]).await?;
        return Ok("no autoscaler left, and the audit says so".into());
    }
    stage.apply_as("kustomize-controller", &hpa("web", "web", 9)).await?.done()?;
    stage.delete(HPA, "web").await?.refused_by("released-hpa-deleted")?;
    audited(stage, &["handover-unfinished"]).await?;
    stage.delete(SCALED_OBJECT, "web").await?.done()?;
    stage.until_gone(SCALED_OBJECT, "web").await?;
    stage.only_hpa("web", "web").await?;
    audited(stage, &[]).await?;
    Ok("the audit reports it until the ScaledObject is deleted".into())
}

async fn aimed(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    stage.create(&hpa("astray", "wbe", 5)).await?.done()?;
    let second = stage.create(&hpa("second", "web", 5)).await?;
    if stage.guarded() {
        second.refused_by("duplicate-autoscaler")?;
        audited(stage, &["target-missing"]).await?;
        return Ok("the second is refused; the audit reports the one without a workload".into());
    }
    second.done()?;
    // Of all three on the workload, KEDA's HPA among them.
    audited(stage, &["duplicate-autoscaler", "duplicate-autoscaler", "duplicate-autoscaler", "target-missing"]).await?;
    Ok("neither scales, and the audit says so".into())
}

async fn orphaned(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    let fleet = envoy::fleet(stage);
    let reports = async |rules: &[&str]| {
        let hpa = objects::api(stage.plane.admin(), HPA, ENVOY_GATEWAY_NAMESPACE)?.get(&fleet).await?;
        same(&audit(stage, &[replayed(HPA, &hpa)?]).await?, rules)
    };
    reports(&[]).await?;
    let answer = envoy::remove(stage).await?;
    if stage.guarded() {
        answer.refused_by("envoyhpa-removed")?;
        reports(&[]).await?;
        return Ok("refused".into());
    }
    answer.done()?;
    envoy::until_seen(stage).await?;
    reports(&["envoy-hpa-orphaned"]).await?;
    Ok("the HPA stays, and the audit says so".into())
}

/// The rules that an audit of the namespace's autoscalers reports, in order of their names.
async fn audited(stage: &Stage<'_>, expected: &[&str]) -> Result<()> {
    let mut objects = Vec::new();
    for kind in [HPA, SCALED_OBJECT] {
        for object in stage.list(kind).await? {
            objects.push(replayed(kind, &object)?);
        }
    }
    same(&audit(stage, &objects).await?, expected)
}

fn same(found: &[String], expected: &[&str]) -> Result<()> {
    ensure!(found == expected, "the audit reports {found:?} instead of {expected:?}");
    Ok(())
}

async fn audit(stage: &Stage<'_>, reviews: &[Value]) -> Result<Vec<String>> {
    let settings = stage.folder().join("audit.json");
    std::fs::write(&settings, json!({"audit": true}).to_string())?;
    let settings = settings.to_str().context("the folder's name is no text")?;
    let answers = review(stage, &["--live", "--settings", settings], reviews).await?;
    let rejected = answers.iter().filter(|answer| answer["verdict"] == "rejected");
    let rules = rejected.flat_map(|answer| answer["rules"].as_array().into_iter().flatten());
    let mut rules: Vec<String> = rules.filter_map(Value::as_str).map(str::to_owned).collect();
    rules.sort_unstable();
    Ok(rules)
}

fn replayed((api_version, kind): Kind, object: &kube::api::DynamicObject) -> Result<Value> {
    let mut object = serde_json::to_value(object)?;
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind);
    Ok(autoscaler_guard_cases::replayed(&object))
}
