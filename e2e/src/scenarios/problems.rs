//! `audit` finds what is wrong in a namespace of the live cluster, `fix` mends it, and `audit` finds it no more.

use anyhow::{Context as _, Result, ensure};
use kube::api::PropagationPolicy;
use serde_json::{Value, json};
use tokio::process::Command;

use super::Scenario;
use super::deletes::given_keda;
use super::keda::{deployment, hpa};
use crate::objects::{self, DEPLOYMENT, HPA, SCALED_OBJECT};
use crate::stage::Stage;

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new("problems-at-zero", "a workload at 0 beside its HPA is found and fixed", |stage| {
        Box::pin(at_zero(stage))
    }),
    Scenario::new("problems-orphaned", "an HPA that its ScaledObject left behind is found and fixed", |stage| {
        Box::pin(orphaned(stage))
    }),
    Scenario::new(
        "problems-dangling",
        "an HPA that aims at nothing is found, and one that aims well is not",
        |stage| Box::pin(dangling(stage)),
    ),
];

async fn at_zero(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("idle")).await?;
    stage.patch(DEPLOYMENT, "idle", json!({"spec": {"replicas": 0}})).await?.done()?;
    stage.given(&hpa("idle", "idle", 5)).await?;
    let id = format!("at-zero/Deployment/{}/idle", stage.namespace);
    fixed(stage, &id).await?;
    let workload = stage.get(DEPLOYMENT, "idle").await?.context("the Deployment is gone")?;
    let count = objects::field(&workload, "/spec/replicas").and_then(Value::as_i64);
    ensure!(count.is_some_and(|count| count > 0), "it is at {count:?}");
    Ok("it starts, and the audit finds nothing more".into())
}

async fn orphaned(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    finds(stage, &format!("orphaned/HPA/{}/web", stage.namespace), false).await?;
    stage.delete_by(SCALED_OBJECT, "web", PropagationPolicy::Orphan).await?.done()?;
    stage.until_gone(SCALED_OBJECT, "web").await?;
    fixed(stage, &format!("orphaned/HPA/{}/web", stage.namespace)).await?;
    ensure!(stage.get(HPA, "web").await?.is_none(), "the HPA is still there");
    finds(stage, &format!("lost/Deployment/{}/web", stage.namespace), false).await?;
    Ok("its count is declared, the HPA is gone, and nothing is lost".into())
}

async fn dangling(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&hpa("web", "web", 5)).await?;
    stage.create(&hpa("astray", "wbe", 5)).await?.done()?;
    finds(stage, &format!("dangling/HPA/{}/astray", stage.namespace), true).await?;
    finds(stage, &format!("dangling/HPA/{}/web", stage.namespace), false).await?;
    Ok("the audit finds the one that aims at nothing".into())
}

/// It is found, fixed, and found no more.
async fn fixed(stage: &Stage<'_>, id: &str) -> Result<()> {
    finds(stage, id, true).await?;
    let folder = stage.folder().to_str().context("the folder's name is no text")?;
    // With the policy a step may pass only once the one before is done.
    if !stage.guarded() {
        let tried = run(stage, &["fix", id, "--dry-run=server", "--undo-folder", folder]).await?;
        ensure!(tried.status.code() == Some(1), "a trial fixes nothing: {}", String::from_utf8_lossy(&tried.stderr));
        finds(stage, id, true).await?;
    }
    let output = run(stage, &["fix", id, "--yes", "--undo-folder", folder]).await?;
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    ensure!(output.status.success(), "it is not fixed: {}", String::from_utf8_lossy(&said));
    finds(stage, id, false).await
}

async fn finds(stage: &Stage<'_>, id: &str, expected: bool) -> Result<()> {
    let output = run(stage, &["audit", "--output", "json"]).await?;
    let answer: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("audit says {}", String::from_utf8_lossy(&output.stderr)))?;
    let findings = answer["findings"].as_array().context("it has no findings")?;
    let found = findings.iter().any(|finding| finding["id"] == id);
    ensure!(found == expected, "{id} is{} found: {findings:?}", if found { "" } else { " not" });
    Ok(())
}

async fn run(stage: &Stage<'_>, arguments: &[&str]) -> Result<std::process::Output> {
    let mut command = Command::new(&stage.subject.program);
    command.args(arguments).args(["--namespace", &stage.namespace]);
    command.arg("--kubeconfig").arg(stage.plane.kubeconfig(stage.user())?).kill_on_drop(true);
    Ok(command.output().await?)
}
