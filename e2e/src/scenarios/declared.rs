//! An object of another operator declares an HPA, and gives it up.
//!
//! No operator of these objects runs here. The scenarios do for VictoriaMetrics' what it does to HPAs up to the mending
//! of its issue 2518: it makes one of `spec.hpa`, owned by the VMAgent, and does nothing when `spec.hpa` goes. All else
//! is real: the API server, the policy, and the garbage collector.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use kube::api::PropagationPolicy;
use serde_json::json;

use super::Scenario;
use super::deletes::ALLOW;
use super::keda::{deployment, hpa};
use crate::objects::{self, HPA, Kind};
use crate::stage::Stage;
use crate::webhook::{self, Webhook};

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new("declared-hpa-removed", "a VMAgent gives up spec.hpa; the scenario plays its operator", |stage| {
        Box::pin(removed(stage))
    })
    .rules(&["declared-hpa-removed"]),
    Scenario::new("declared-hpa-orphaned", "a VMAgent is deleted with --cascade=orphan, then one without", |stage| {
        Box::pin(orphaned(stage))
    })
    .rules(&["declared-hpa-removed"]),
];

const RULE: &str = "declared-hpa-removed";
const VM_AGENT: Kind = ("operator.victoriametrics.com/v1beta1", "VMAgent");

/// The policy that knows where a `VMAgent` declares its HPA, if requests are judged.
async fn given_policy(stage: &Stage<'_>) -> Result<Option<Webhook>> {
    let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).join("definitions");
    stage.plane.apply_definitions(&definitions).await?;
    if !stage.guarded() {
        return Ok(None);
    }
    let declaration =
        json!({"apiVersion": VM_AGENT.0, "kind": VM_AGENT.1, "pointer": "/spec/hpa", "hpa": {"name": "{name}"}});
    let account = webhook::policy_server(stage.plane).await?;
    Ok(Some(stage.own_policy(&json!({"declarations": [declaration]}), &account).await?))
}

/// A `VMAgent` with an HPA, and what its operator makes of it.
async fn given_agent(stage: &Stage<'_>, name: &str) -> Result<()> {
    let agent = json!({
        "apiVersion": VM_AGENT.0, "kind": VM_AGENT.1, "metadata": {"name": name},
        "spec": {"hpa": {"minReplicas": 2, "maxReplicas": 5}},
    });
    stage.given(&agent.to_string()).await?;
    let agent = stage.get(VM_AGENT, name).await?.context("the VMAgent is gone")?;
    let owner = json!([{
        "apiVersion": VM_AGENT.0, "kind": VM_AGENT.1, "name": name, "uid": agent.metadata.uid,
        "controller": true, "blockOwnerDeletion": true,
    }]);
    let target = format!("vmagent-{name}");
    for manifest in [deployment(&target), hpa(name, &target, 5)] {
        let mut object = objects::documents(&manifest)?.remove(0);
        object["metadata"]["namespace"] = json!(stage.namespace);
        object["metadata"]["ownerReferences"] = owner.clone();
        stage.plane.apply(&object.to_string()).await?;
    }
    Ok(())
}

async fn removed(stage: &Stage<'_>) -> Result<String> {
    let mut policy = given_policy(stage).await?;
    given_agent(stage, "main").await?;
    let without = json!({"spec": {"hpa": null}});
    let answer = stage.patch(VM_AGENT, "main", without.clone()).await?;
    let Some(policy) = policy.as_mut() else {
        answer.done()?;
        stage.only_hpa("main", "vmagent-main").await?;
        return Ok("the HPA stays, still scaling, and nothing declares it".into());
    };
    answer.refused_by(RULE)?;
    let agent = stage.get(VM_AGENT, "main").await?.context("the VMAgent is gone")?;
    ensure!(objects::field(&agent, "/spec/hpa").is_some(), "refused, and yet spec.hpa is gone");
    // What its users change otherwise is nobody's concern.
    stage.patch(VM_AGENT, "main", json!({"spec": {"hpa": {"maxReplicas": 7}}})).await?.done()?;
    stage.annotate(VM_AGENT, "main", ALLOW, Some(RULE)).await?.done()?;
    stage.patch(VM_AGENT, "main", without).await?.done()?;
    stage.delete(HPA, "main").await?.done()?;
    stage.until_gone(HPA, "main").await?;
    policy.alive()?;
    Ok("refused; once acknowledged, let through, and the HPA deleted".into())
}

async fn orphaned(stage: &Stage<'_>) -> Result<String> {
    let _policy = given_policy(stage).await?;
    for name in ["main", "other"] {
        given_agent(stage, name).await?;
    }
    stage.take_warnings();
    stage.delete_by(VM_AGENT, "main", PropagationPolicy::Orphan).await?.done()?;
    stage.warned_by(RULE)?;
    stage.until_gone(VM_AGENT, "main").await?;
    let hpa = stage.only_hpa("main", "vmagent-main").await?;
    ensure!(!objects::is_owned(&hpa), "the HPA still refers to its VMAgent");

    stage.delete(VM_AGENT, "other").await?.done()?;
    let warnings = stage.take_warnings();
    ensure!(warnings.is_empty(), "the HPA goes with its VMAgent, and yet there are warnings: {warnings:?}");
    stage.until_gone(HPA, "other").await?;
    let how = if stage.guarded() { "with a warning" } else { "without a word" };
    Ok(format!("the orphan's HPA stays, {how}; the other's is collected"))
}
