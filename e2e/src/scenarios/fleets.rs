//! What comes between an Envoy fleet, its count and its HPA: names, labels, counts that two write, and what older
//! versions leave behind.

use anyhow::{Result, ensure};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::Scenario;
use super::deletes::ALLOW;
use super::envoy::{
    fleet, given_fleet, given_fleet_of, refused_and_alive, remove, seen, until, until_gone, until_seen,
};
use super::keda::{deployment, hpa};
use crate::objects::{self, DEPLOYMENT, ENVOY_PROXY, GATEWAY, HPA, has_condition};
use crate::operators::ENVOY_GATEWAY_NAMESPACE;
use crate::stage::{Answer, Stage};
use crate::world::Kind::{EnvoyGateway, LeakyEnvoyGateway};

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new("envoy-fleet-renamed-1.9.1", "a patch gives a fleet's Deployment another name", |stage| {
        Box::pin(renamed(stage))
    })
    .world(EnvoyGateway)
    .rules(&["envoy-fleet-renamed"]),
    Scenario::new("envoy-fleet-renamed-1.3.0", "envoyDeployment.name gives a fleet another Deployment", |stage| {
        Box::pin(renamed_leaky(stage))
    })
    .world(LeakyEnvoyGateway)
    .rules(&["envoy-fleet-renamed"]),
    Scenario::new("envoy-hpa-orphaned-1.3.0", "the Gateway of a fleet with envoyHpa is deleted", |stage| {
        Box::pin(gateway_deleted(stage))
    })
    .world(LeakyEnvoyGateway)
    .rules(&["envoy-hpa-orphaned"]),
    Scenario::new(
        "envoyhpa-acknowledged-1.3.0",
        "envoyHpa is removed with the annotation autoscaler-guard/allow",
        |stage| Box::pin(acknowledged(stage)),
    )
    .world(LeakyEnvoyGateway)
    .rules(&["envoyhpa-removed", "envoy-hpa-orphaned"]),
    Scenario::new("envoyhpa-over-replicas-1.9.1", "envoyHpa takes a fleet of 6 over from a declared count", |stage| {
        Box::pin(over_replicas(stage))
    })
    .world(EnvoyGateway)
    .rules(&["envoyhpa-over-replicas"]),
    Scenario::new("envoyhpa-with-replicas-1.3.0", "a count is declared beside envoyHpa", |stage| {
        Box::pin(with_replicas(stage))
    })
    .world(LeakyEnvoyGateway)
    .rules(&["envoyhpa-with-replicas"]),
    Scenario::new("envoyhpa-takes-hpa-1.9.1", "a fleet's HPA gets the name of another workload's", |stage| {
        Box::pin(takes_hpa(stage))
    })
    .world(EnvoyGateway)
    .rules(&["envoyhpa-takes-hpa"]),
];

fn has_count(count: u32) -> impl Fn(&DynamicObject) -> bool {
    move |fleet| objects::field(fleet, "/spec/replicas") == Some(&json!(count))
}

fn aims_at(name: &str) -> impl Fn(&DynamicObject) -> bool {
    let name = json!(name);
    move |hpa| objects::field(hpa, "/spec/scaleTargetRef/name") == Some(&name)
}

async fn change(stage: &Stage<'_>, kubernetes: &Value) -> Result<Answer> {
    stage.patch(ENVOY_PROXY, "fleet", json!({"spec": {"provider": {"kubernetes": kubernetes}}})).await
}

/// Fleets of all scenarios are in one namespace.
fn another_name(stage: &Stage<'_>) -> String {
    format!("edge-{}", stage.namespace)
}

async fn renamed(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    let edge = another_name(stage);
    let patch = json!({"type": "StrategicMerge", "value": {"metadata": {"name": edge}}});
    let answer = change(stage, &json!({"envoyDeployment": {"patch": patch}})).await?;
    if stage.guarded() {
        return refused_and_alive(stage, answer, "envoy-fleet-renamed").await;
    }
    answer.done()?;
    stage.until_in(ENVOY_GATEWAY_NAMESPACE, DEPLOYMENT, &edge, "there", |_| true).await?;
    until_gone(stage, DEPLOYMENT).await?;
    let lost = |hpa: &DynamicObject| has_condition(hpa, "AbleToScale", "False", "FailedGetScale");
    let hpa = until(stage, HPA, "unable to scale", lost).await?;
    ensure!(aims_at(&fleet(stage))(&hpa), "the HPA follows the Deployment");
    Ok("the HPA aims at nothing".into())
}

async fn renamed_leaky(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    let edge = another_name(stage);
    let answer = change(stage, &json!({"envoyDeployment": {"name": edge}})).await?;
    if stage.guarded() {
        return refused_and_alive(stage, answer, "envoy-fleet-renamed").await;
    }
    answer.done()?;
    stage.until_in(ENVOY_GATEWAY_NAMESPACE, DEPLOYMENT, &edge, "there", |_| true).await?;
    until(stage, HPA, "aimed at the new Deployment", aims_at(&edge)).await?;
    stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, DEPLOYMENT, &fleet(stage)).await?;
    Ok("the former Deployment runs on, with no autoscaler".into())
}

async fn gateway_deleted(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    stage.take_warnings();
    stage.delete(GATEWAY, "eg").await?.done()?;
    stage.warned_by("envoy-hpa-orphaned")?;
    until_gone(stage, DEPLOYMENT).await?;
    stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, HPA, &fleet(stage)).await?;
    if !stage.guarded() {
        return Ok("the HPA stays, aimed at nothing, without a word".into());
    }
    stage.delete_in(ENVOY_GATEWAY_NAMESPACE, HPA, &fleet(stage)).await?.done()?;
    until_gone(stage, HPA).await?;
    Ok("a warning names the HPA that stays, and how to delete it".into())
}

async fn acknowledged(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    if stage.guarded() {
        remove(stage).await?.refused_by("envoyhpa-removed")?;
    }
    stage.annotate(ENVOY_PROXY, "fleet", ALLOW, Some("envoyhpa-removed")).await?.done()?;
    remove(stage).await?.done()?;
    until_seen(stage).await?;
    stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, HPA, &fleet(stage)).await?;
    stage.take_warnings();
    change(stage, &json!({"envoyDeployment": {"pod": {"labels": {"seen": "again"}}}})).await?.done()?;
    stage.warned_by("envoy-hpa-orphaned")?;
    stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, HPA, &fleet(stage)).await?;
    if !stage.guarded() {
        return Ok("the HPA stays, without a word".into());
    }
    stage.delete_in(ENVOY_GATEWAY_NAMESPACE, HPA, &fleet(stage)).await?.done()?;
    stage.warned_by("hpa-deleted")?;
    until_gone(stage, HPA).await?;
    Ok("refused; once acknowledged, warned of until the HPA is deleted".into())
}

async fn over_replicas(stage: &Stage<'_>) -> Result<String> {
    const RULE: &str = "envoyhpa-over-replicas";
    given_fleet_of(stage, &json!({"envoyDeployment": {"replicas": 6}})).await?;
    until(stage, DEPLOYMENT, "of 6", has_count(6)).await?;
    let taken_over = json!({"envoyDeployment": {"replicas": null}, "envoyHpa": {"minReplicas": 2, "maxReplicas": 10}});
    if !stage.guarded() {
        stage.take_warnings();
        // It does not last, so somebody has to watch beforehand.
        let (shrunk, answer) =
            tokio::join!(until(stage, DEPLOYMENT, "restarted at 1", has_count(1)), change(stage, &taken_over));
        answer?.done()?;
        shrunk?;
        stage.warned_by(RULE)?;
        until(stage, DEPLOYMENT, "at the HPA's minimum", has_count(2)).await?;
        return Ok("6 replicas become 1, then 2".into());
    }
    let patch = json!({"spec": {"provider": {"kubernetes": taken_over}}});
    stage.try_out(ENVOY_PROXY, "fleet", &patch).await?.done()?;
    stage.warned_by(RULE)?;
    // What the warning says to do first.
    let kept = json!({
        "apiVersion": DEPLOYMENT.0, "kind": DEPLOYMENT.1, "spec": {"replicas": 6},
        "metadata": {"name": fleet(stage), "namespace": ENVOY_GATEWAY_NAMESPACE},
    });
    stage.apply_as("count", &kept.to_string()).await?.done()?;
    change(stage, &taken_over).await?.done()?;
    let warnings = stage.take_warnings();
    ensure!(warnings.is_empty(), "there are warnings still: {warnings:?}");
    // The HPA has looked at the fleet, and would have raised one of 1 to its minimum, 2.
    until(stage, HPA, "at work", |hpa| has_condition(hpa, "AbleToScale", "True", "")).await?;
    let deployment = stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, DEPLOYMENT, &fleet(stage)).await?;
    ensure!(has_count(6)(&deployment), "the fleet was restarted: {:?}", deployment.data["spec"]["replicas"]);
    Ok("a warning shows how to keep the 6, and so they are kept".into())
}

/// The HPA allows 5, so that each change shows whose count it is.
async fn with_replicas(stage: &Stage<'_>) -> Result<String> {
    const RULE: &str = "envoyhpa-with-replicas";
    given_fleet(stage).await?;
    stage.take_warnings();
    let both = json!({"envoyDeployment": {"replicas": 9}});
    if stage.guarded() {
        change(stage, &both).await?.done()?;
        stage.warned_by(RULE)?;
        let proxy = stage.until(ENVOY_PROXY, "fleet", "there", |_| true).await?;
        let replicas = objects::field(&proxy, "/spec/provider/kubernetes/envoyDeployment/replicas");
        ensure!(replicas.is_none(), "the count was not dropped: {replicas:?}");
        change(stage, &json!({"envoyDeployment": seen()})).await?.done()?;
        until_seen(stage).await?;
        let deployment = stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, DEPLOYMENT, &fleet(stage)).await?;
        ensure!(has_count(2)(&deployment), "the count is {:?}", deployment.data["spec"]["replicas"]);
        return Ok("the count is dropped, with a warning; the HPA's stays".into());
    }
    for patch in [both, json!({"envoyDeployment": seen()})] {
        // It does not last, so somebody has to watch beforehand.
        let (forced, answer) =
            tokio::join!(until(stage, DEPLOYMENT, "at the declared count", has_count(9)), change(stage, &patch));
        answer?.done()?;
        forced?;
        until(stage, DEPLOYMENT, "at the HPA's maximum", has_count(5)).await?;
    }
    stage.warned_by(RULE)?;
    Ok("the count flaps at every change: 9, 5, 9, 5".into())
}

async fn takes_hpa(stage: &Stage<'_>) -> Result<String> {
    let web = format!("web-{}", stage.namespace);
    for manifest in [deployment(&web), hpa(&web, &web, 8)] {
        let mut object = objects::documents(&manifest)?.remove(0);
        object["metadata"]["namespace"] = json!(ENVOY_GATEWAY_NAMESPACE);
        stage.given(&object.to_string()).await?;
    }
    given_fleet(stage).await?;
    let answer = change(stage, &json!({"envoyHpa": {"name": web}})).await?;
    if stage.guarded() {
        let seen = refused_and_alive(stage, answer, "envoyhpa-takes-hpa").await?;
        stage.until_in(ENVOY_GATEWAY_NAMESPACE, HPA, &web, "its own workload's", aims_at(&web)).await?;
        return Ok(seen);
    }
    answer.done()?;
    stage.until_in(ENVOY_GATEWAY_NAMESPACE, HPA, &web, "the fleet's", aims_at(&fleet(stage))).await?;
    Ok("the HPA scales the fleet, and nothing its workload".into())
}
