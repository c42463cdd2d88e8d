//! `autoscaler-guard review` against the live cluster answers as the webhook does.

use anyhow::{Context as _, Result, ensure};
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tokio::process::Command;

use super::Scenario;
use super::handover::keda_has;
use super::keda::{deployment, hpa, scaled_object};
use crate::objects::{self, HPA, Kind, SCALED_OBJECT};
use crate::stage::{Answer, Stage};
use crate::webhook;

pub(super) static SCENARIOS: &[Scenario] =
    &[Scenario::new("review-agrees", "review --live answers as the webhook does", |stage| Box::pin(agrees(stage)))
        .rules(&["scaledobject-deleted", "duplicate-autoscaler"])];

async fn agrees(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&scaled_object("web", "web")).await?;
    keda_has(stage).await?;

    let live = stage.get(SCALED_OBJECT, "web").await?.context("the ScaledObject is gone")?;
    let delete = admission_review(stage, SCALED_OBJECT, "web", "DELETE", &Value::Null, &serde_json::to_value(&live)?)?;
    let second: DynamicObject = serde_json::from_value(objects::documents(&hpa("second", "web", 5))?.remove(0))?;
    let mut second = serde_json::to_value(&second)?;
    second["metadata"]["namespace"] = json!(stage.namespace);
    let create = admission_review(stage, HPA, "second", "CREATE", &second, &Value::Null)?;
    let reviewed = review(stage, &json!([delete, create])).await?;

    let asked = [stage.create(&hpa("second", "web", 5)).await?, stage.delete(SCALED_OBJECT, "web").await?];
    let [created, deleted] = asked;
    for (name, answer, said) in [("the delete", deleted, &reviewed[0]), ("the create", created, &reviewed[1])] {
        let message = said
            .pointer("/response/status/message")
            .and_then(Value::as_str)
            .with_context(|| format!("{name} passes: {said}"))?;
        match answer {
            // Without the policy the requests pass, and review tells beforehand what that would do.
            Answer::Done => ensure!(!stage.guarded(), "{name} passed the webhook, but review says {message}"),
            Answer::Refused(refusal) => {
                ensure!(refusal.contains(message), "the webhook says {refusal}, but review says {message}");
            }
        }
    }
    Ok(if stage.guarded() { "the same answers".into() } else { "review tells beforehand".into() })
}

fn admission_review(
    stage: &Stage<'_>,
    kind: Kind,
    name: &str,
    operation: &str,
    object: &Value,
    old: &Value,
) -> Result<Value> {
    let resource = objects::resource(kind.0, kind.1)?;
    let types = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let resources = json!({"group": resource.group, "version": resource.version, "resource": resource.plural});
    let options = if operation == "DELETE" {
        json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "propagationPolicy": "Background"})
    } else {
        json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-create"})
    };
    Ok(json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": operation, "kind": types, "requestKind": types, "resource": resources, "requestResource": resources,
            "name": name, "namespace": stage.namespace, "operation": operation,
            "userInfo": {"username": stage.user(), "groups": ["developers", "system:authenticated"]},
            "object": object, "oldObject": old, "dryRun": false, "options": options,
        },
    }))
}

/// What the command line says about those requests, one answer each.
async fn review(stage: &Stage<'_>, requests: &Value) -> Result<Vec<Value>> {
    let file = stage.folder().join("requests.json");
    std::fs::write(&file, requests.to_string())?;
    let mut command = Command::new(&stage.subject.program);
    command.arg("review").arg(&file).args(["--live", "--output", "json", "--policy"]).arg(&stage.subject.module);
    command.env("KUBECONFIG", webhook::policy_server(stage.plane).await?).kill_on_drop(true);
    let output = command.output().await?;
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("review says {}", String::from_utf8_lossy(&output.stderr)))?;
    ensure!(answers.len() == 2, "review gave {} answers", answers.len());
    Ok(answers)
}
