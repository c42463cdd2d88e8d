//! The policy as `autoscaler-guard manifests` installs it: with that account, and asked about what its matchConditions
//! let through.

use anyhow::{Context as _, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;

use super::Scenario;
use super::handover::keda_has;
use super::keda::{deployment, hpa, scaled_object};
use crate::objects::{HPA, SCALED_OBJECT};
use crate::stage::Stage;
use crate::webhook::{POLICY_LABEL, Webhook};

pub(super) static SCENARIOS: &[Scenario] =
    &[Scenario::new("manifests", "a handover with the policy as `autoscaler-guard manifests` installs it", |stage| {
        Box::pin(installed(stage))
    })
    .rules(&["hpa-handover", "hpa-readoption", "duplicate-autoscaler", "hpa-deleted"])];

async fn installed(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&scaled_object("web", "web")).await?;
    keda_has(stage).await?;
    let mut policy = if stage.guarded() { Some(install(stage).await?) } else { None };
    stage.apply_as("kustomize-controller", &hpa("web", "web", 9)).await?.done()?;
    if stage.guarded() {
        stage.only_hpa("web", "web").await?;
    }
    stage.delete(SCALED_OBJECT, "web").await?.done()?;
    stage.until_gone(SCALED_OBJECT, "web").await?;
    let Some(policy) = policy.as_mut() else {
        stage.until_gone(HPA, "web").await?;
        return Ok("no autoscaler left".into());
    };
    stage.only_hpa("web", "web").await?;
    // This one needs a list.
    stage.create(&hpa("second", "web", 5)).await?.refused_by("duplicate-autoscaler")?;
    stage.delete(HPA, "web").await?.refused_by("hpa-deleted")?;
    policy.alive()?;
    Ok("one HPA, the one that was applied".into())
}

/// What the manifests say, but for the Pods, which would not run here: a process takes their place.
async fn install(stage: &Stage<'_>) -> Result<Webhook> {
    let authority = stage.folder().join("ca.crt");
    std::fs::write(&authority, stage.plane.authority().certificate())?;
    let all = stage.subject.manifests(&authority, &["--failure-policy", "Fail"]).await?;
    let of_kind = |kind: &'static str| all.iter().filter(move |object| object["kind"] == kind);
    for object in ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"].into_iter().flat_map(of_kind) {
        stage.plane.apply(&object.to_string()).await?;
    }
    let account = stage.plane.service_account("autoscaler-guard", "autoscaler-guard", "").await?;
    let name = format!("policy-of-{}", stage.namespace);
    let policy = Webhook::start(stage.plane, stage.subject, &name, &json!({}), &account).await?;

    let mut configuration = of_kind("MutatingWebhookConfiguration").next().context("no webhook configuration")?.clone();
    configuration["metadata"]["name"] = json!(format!("autoscaler-guard-{}", stage.namespace));
    let webhook = &mut configuration["webhooks"][0];
    webhook["clientConfig"] = json!({
        "url": format!("https://127.0.0.1:{}/validate", policy.port()),
        "caBundle": BASE64_STANDARD.encode(stage.plane.authority().certificate()),
    });
    let here = json!({"key": POLICY_LABEL, "operator": "In", "values": [stage.namespace]});
    let selector = webhook["namespaceSelector"]["matchExpressions"].as_array_mut().context("no namespaceSelector")?;
    selector.push(here);
    for rule in webhook["rules"].as_array_mut().context("no rules")? {
        rule["scope"] = json!("Namespaced");
    }
    stage.own_configuration(&configuration).await?;
    Ok(policy)
}
