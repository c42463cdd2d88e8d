//! `autoscaler-guard review` against the live cluster answers as the webhook does.

use anyhow::{Context as _, Result, ensure};
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tokio::process::Command;

use super::Scenario;
use super::envoy::{given_fleet, remove, seen};
use super::handover::keda_has;
use super::keda::{deployment, hpa, scaled_object};
use crate::control_plane::CONTEXT;
use crate::objects::{self, ENVOY_PROXY, HPA, Kind, SCALED_OBJECT};
use crate::stage::{Answer, Stage};
use crate::webhook;
use crate::world::Kind::EnvoyGateway;

/// The field manager of the updates; one that hands over.
const MANAGER: &str = "kustomize-controller";

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new("review-agrees", "review --live answers as the webhook does", |stage| Box::pin(agrees(stage)))
        .rules(&["scaledobject-deleted", "duplicate-autoscaler", "hpa-handover"]),
    Scenario::new("review-agrees-1.9.1", "review --context answers as the webhook does", |stage| {
        Box::pin(agrees_about_fleets(stage))
    })
    .world(EnvoyGateway)
    .rules(&["envoyhpa-removed", "envoyproxy-deleted"]),
];

async fn agrees(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&scaled_object("web", "web")).await?;
    keda_has(stage).await?;

    let live = current(stage, SCALED_OBJECT, "web").await?;
    let delete = admission_review(stage, SCALED_OBJECT, "web", "DELETE", &Value::Null, &live)?;
    let second: DynamicObject = serde_json::from_value(objects::documents(&hpa("second", "web", 5))?.remove(0))?;
    let mut second = serde_json::to_value(&second)?;
    second["metadata"]["namespace"] = json!(stage.namespace);
    let create = admission_review(stage, HPA, "second", "CREATE", &second, &Value::Null)?;
    let owned = current(stage, HPA, "web").await?;
    let mut declared = owned.clone();
    declared["spec"]["maxReplicas"] = json!(9);
    let update = admission_review(stage, HPA, "web", "UPDATE", &declared, &owned)?;
    let reviewed = review(stage, &["--live"], &[create, delete, update]).await?;

    same_refusal(stage, "the create", stage.create(&hpa("second", "web", 5)).await?, &reviewed[0])?;
    same_refusal(stage, "the delete", stage.delete(SCALED_OBJECT, "web").await?, &reviewed[1])?;
    let response = &reviewed[2]["response"];
    ensure!(response["allowed"] == true && response["patch"].is_string(), "review repairs nothing: {response}");
    if !stage.guarded() {
        return Ok("review says so beforehand".into());
    }
    stage.take_warnings();
    stage.apply_as(MANAGER, &hpa("web", "web", 9)).await?.done()?;
    let warnings = stage.take_warnings().join("\n").replace("\\\"", "\"");
    let foretold: Vec<&str> = response["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    ensure!(!foretold.is_empty(), "review warns of nothing: {response}");
    for warning in foretold {
        ensure!(warnings.contains(warning), "review warns {warning:?}, but the webhook {warnings:?}");
    }
    Ok("the same answers".into())
}

async fn agrees_about_fleets(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    let live = current(stage, ENVOY_PROXY, "fleet").await?;
    let mut without = live.clone();
    without["spec"]["provider"]["kubernetes"] = json!({"envoyDeployment": seen()});
    let update = admission_review(stage, ENVOY_PROXY, "fleet", "UPDATE", &without, &live)?;
    let delete = admission_review(stage, ENVOY_PROXY, "fleet", "DELETE", &Value::Null, &live)?;
    let reviewed = review(stage, &["--context", CONTEXT], &[update, delete]).await?;
    same_refusal(stage, "the update", remove(stage).await?, &reviewed[0])?;
    same_refusal(stage, "the delete", stage.delete(ENVOY_PROXY, "fleet").await?, &reviewed[1])?;
    Ok(if stage.guarded() { "the same answers".into() } else { "review says so beforehand".into() })
}

async fn current(stage: &Stage<'_>, kind: Kind, name: &str) -> Result<Value> {
    let object = stage.get(kind, name).await?.with_context(|| format!("the {} is gone", kind.1))?;
    Ok(serde_json::to_value(&object)?)
}

/// Without the policy requests pass, and review says so beforehand what that would do.
fn same_refusal(stage: &Stage<'_>, name: &str, answer: Answer, reviewed: &Value) -> Result<()> {
    let message = reviewed
        .pointer("/response/status/message")
        .and_then(Value::as_str)
        .with_context(|| format!("{name} passes: {reviewed}"))?;
    match answer {
        Answer::Done => ensure!(!stage.guarded(), "{name} passed the webhook, but review says {message}"),
        Answer::Refused(refusal) => {
            ensure!(refusal.contains(message), "the webhook says {refusal}, but review says {message}");
        }
    }
    Ok(())
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
    let options = match operation {
        "DELETE" => json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "propagationPolicy": "Background"}),
        "UPDATE" => json!({"kind": "PatchOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": MANAGER}),
        _ => json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-create"}),
    };
    Ok(json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": format!("{operation} {name}"), "kind": types, "requestKind": types, "resource": resources, "requestResource": resources,
            "name": name, "namespace": stage.namespace, "operation": operation,
            "userInfo": {"username": stage.user(), "groups": ["developers", "system:authenticated"]},
            "object": object, "oldObject": old, "dryRun": false, "options": options,
        },
    }))
}

/// What the command line says about those requests, one answer each.
pub(super) async fn review(stage: &Stage<'_>, options: &[&str], requests: &[Value]) -> Result<Vec<Value>> {
    let file = stage.folder().join("requests.json");
    std::fs::write(&file, serde_json::to_string(requests)?)?;
    let mut command = Command::new(&stage.subject.program);
    command.arg("review").arg(&file).args(options).args(["--output", "json", "--policy"]).arg(&stage.subject.module);
    command.env("KUBECONFIG", webhook::policy_server(stage.plane).await?).kill_on_drop(true);
    let output = command.output().await?;
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("review says {}", String::from_utf8_lossy(&output.stderr)))?;
    ensure!(answers.len() == requests.len(), "review gave {} answers", answers.len());
    Ok(answers)
}
