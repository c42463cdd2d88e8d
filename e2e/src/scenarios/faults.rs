//! What becomes of requests when the policy, its rights or the operators fail.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::Scenario;
use super::deletes::{given_keda, hpa_deleted, no_autoscaler};
use super::keda::hpa;
use crate::control_plane::free_ports;
use crate::objects::{self, SCALED_OBJECT};
use crate::stage::{Answer, Stage};
use crate::webhook::{self, Webhook};
use crate::world::Kind::EnvoyGateway;

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new("webhook-down-fail", "no webhook answers, failurePolicy Fail", |stage| Box::pin(down_fail(stage))),
    Scenario::new("webhook-down-ignore", "no webhook answers, failurePolicy Ignore", |stage| {
        Box::pin(down_ignore(stage))
    }),
    Scenario::new("lookups-forbidden", "the policy may look up nothing", |stage| Box::pin(forbidden(stage)))
        .rules(&["scaledobject-deleted"]),
    Scenario::new("lists-forbidden", "the policy may look up single objects, but list none", |stage| {
        Box::pin(lists_forbidden(stage))
    })
    .rules(&["duplicate-autoscaler", "scaledobject-deleted"]),
    Scenario::new("two-replicas", "one of two replicas ends between the handover and the delete", |stage| {
        Box::pin(two_replicas(stage))
    })
    .rules(&["hpa-handover"]),
    Scenario::new("keda-not-installed", "the cluster has no ScaledObjects", |stage| Box::pin(hpa_deleted(stage)))
        .world(EnvoyGateway)
        .rules(&["hpa-deleted"]),
    Scenario::new("keda-restarted", "KEDA restarts between the handover and the delete", |stage| {
        Box::pin(restarted(stage))
    })
    .rules(&["hpa-handover"])
    .alone(),
];

async fn down_fail(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    if stage.guarded() {
        let [port] = free_ports()?;
        stage.own_webhook(port).await?;
    }
    let answer = stage.delete(SCALED_OBJECT, "web").await?;
    if !stage.guarded() {
        answer.done()?;
        return no_autoscaler(stage).await;
    }
    let Answer::Refused(message) = answer else { bail!("the delete passed, though nobody could judge it") };
    ensure!(message.contains("failed calling webhook"), "{message}");
    stage.only_hpa("web", "web").await?;
    Ok("the delete fails, nothing is lost".into())
}

async fn down_ignore(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    if stage.guarded() {
        let [port] = free_ports()?;
        stage.own_webhook(port).await?;
        stage.ignore_failures(port).await?;
    }
    stage.delete(SCALED_OBJECT, "web").await?.done()?;
    no_autoscaler(stage).await
}

/// How long an answer may take that needs no lookup, or none that is answered.
const AT_ONCE: Duration = Duration::from_secs(5);

async fn forbidden(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    let mut policy = None;
    if stage.guarded() {
        let nobody = stage.plane.service_account("kubewarden", "without-rights", "").await?;
        policy = Some(stage.own_policy(&json!({}), &nobody).await?);
    }
    let asked = Instant::now();
    let answer = stage.delete(SCALED_OBJECT, "web").await?;
    let took = asked.elapsed();
    let Some(mut policy) = policy else {
        answer.done()?;
        return no_autoscaler(stage).await;
    };
    policy.alive()?;
    ensure!(took < AT_ONCE, "the answer took {took:?}");
    answer.refused_by("scaledobject-deleted")?;
    stage.only_hpa("web", "web").await?;
    Ok("refused at once: unknown is not absent".into())
}

/// A host never answers a list that its account may not make, so the policy has to ask for the permission first.
async fn lists_forbidden(stage: &Stage<'_>) -> Result<String> {
    const ONLY_GETS: &str = "
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: only-gets}, rules: [
  {apiGroups: [autoscaling, keda.sh, apps, \"\"], verbs: [get],
    resources: [horizontalpodautoscalers, scaledobjects, deployments, namespaces]},
  {apiGroups: [authorization.k8s.io], resources: [subjectaccessreviews], verbs: [create]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: only-gets},
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: only-gets},
  subjects: [{kind: ServiceAccount, name: only-gets, namespace: kubewarden}]}
";
    given_keda(stage).await?;
    let mut policy = None;
    if stage.guarded() {
        let account = stage.plane.service_account("kubewarden", "only-gets", ONLY_GETS).await?;
        let settings = json!({"lookups": {"serviceAccount": "system:serviceaccount:kubewarden:only-gets"}});
        policy = Some(stage.own_policy(&settings, &account).await?);
    }
    stage.take_warnings();
    let asked = Instant::now();
    let created = stage.create(&hpa("second", "web", 5)).await?;
    let warnings = stage.take_warnings();
    let deleted = stage.delete(SCALED_OBJECT, "web").await?;
    let took = asked.elapsed();
    let Some(mut policy) = policy else {
        created.done()?;
        deleted.done()?;
        stage.until_gone(SCALED_OBJECT, "web").await?;
        return Ok("both pass".into());
    };
    policy.alive()?;
    ensure!(took < AT_ONCE, "the answers took {took:?}");
    deleted.refused_by("scaledobject-deleted")?;
    let warnings = match created {
        Answer::Refused(message) => message,
        Answer::Done => warnings.join(" "),
    };
    ensure!(warnings.contains("[duplicate-autoscaler]"), "about the second HPA the policy says {warnings:?}");
    Ok("answered at once: unknown is not absent".into())
}

async fn two_replicas(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    if !stage.guarded() {
        stage.apply_as("kustomize-controller", &hpa("web", "web", 9)).await?.done()?;
        stage.delete(SCALED_OBJECT, "web").await?.done()?;
        return no_autoscaler(stage).await;
    }
    let account = webhook::policy_server(stage.plane).await?;
    let start = |name: &'static str| {
        let name = format!("{name}-of-{}", stage.namespace);
        let (plane, subject, account) = (stage.plane, stage.subject, account.clone());
        async move { Webhook::start(plane, subject, &name, &json!({}), &account).await }
    };
    let (mut first, mut second) = (start("first").await?, start("second").await?);
    let service = Service::start([first.port(), second.port()]).await?;
    stage.own_webhook(service.port).await?;
    stage.apply_as("kustomize-controller", &hpa("web", "web", 9)).await?.done()?;
    stage.only_hpa("web", "web").await?;
    first.stop().await?;
    stage.delete(SCALED_OBJECT, "web").await?.done()?;
    stage.until_gone(SCALED_OBJECT, "web").await?;
    stage.only_hpa("web", "web").await?;
    second.alive()?;
    Ok("one HPA, the one that was applied".into())
}

/// What a Service is to its replicas: a port that leads to one of those that are up.
struct Service {
    port: u16,
    forwarding: JoinHandle<()>,
}

impl Service {
    async fn start(replicas: [u16; 2]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let forwarding = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    for replica in replicas {
                        if let Ok(mut server) = TcpStream::connect(("127.0.0.1", replica)).await {
                            // However the connection ends, it has ended.
                            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self { port, forwarding })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

async fn restarted(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    stage.apply_as("kustomize-controller", &hpa("web", "web", 9)).await?.done()?;
    stage.keda.context("there is no KEDA")?.lock().await.restart().await?;
    if !stage.guarded() {
        stage.delete(SCALED_OBJECT, "web").await?.done()?;
        return no_autoscaler(stage).await;
    }
    let hpa = stage.only_hpa("web", "web").await?;
    ensure!(objects::field(&hpa, "/spec/maxReplicas") == Some(&json!(9)), "KEDA took the HPA back");
    stage.delete(SCALED_OBJECT, "web").await?.done()?;
    stage.until_gone(SCALED_OBJECT, "web").await?;
    stage.only_hpa("web", "web").await?;
    stage.keda_is_content().await?;
    Ok("one HPA, the one that was applied".into())
}
