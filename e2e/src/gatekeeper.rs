//! Gatekeeper as its chart installs it, and the policy behind it as `autoscaler-guard manifests --gatekeeper` does.
//!
//! No Pods run here: processes take their place, with the arguments of the Deployments. The API server finds Gatekeeper
//! by a Service that is a name for this machine, Gatekeeper the provider by another URL.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use kube::api::DynamicObject;
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::control_plane::{ControlPlane, UNGUARDED_USER, free_ports};
use crate::objects::{self, Kind};
use crate::operators::{ENVOY_GATEWAY_NAMESPACE, listening};
use crate::process::Process;
use crate::tools::Tools;
use crate::webhook::{self, POLICY_LABEL, Subject, Webhook};

/// How long Gatekeeper may take to notice something.
const PATIENCE: Duration = Duration::from_mins(1);
/// Where Gatekeeper is.
const NAMESPACE: &str = "gatekeeper-system";
/// Where the policy is.
const POLICY_NAMESPACE: &str = "autoscaler-guard";
/// The policy's constraint that refuses.
pub const DENYING: &str = "autoscaler-guard";
/// The one that warns.
pub const WARNING: &str = "autoscaler-guard-warnings";

/// The Pod that the process stands for: what Gatekeeper says of its state belongs to it.
const POD: &str = "gatekeeper-controller-manager";
const PROVIDER: &str = "Provider";
const CONSTRAINT: Kind = ("constraints.gatekeeper.sh/v1beta1", "AutoscalerGuard");

/// Gatekeeper, and the provider that it asks.
#[derive(Debug)]
pub struct Gatekeeper {
    provider: Webhook,
    installed: Vec<Value>,
    authority: PathBuf,
    process: Process,
}

impl Gatekeeper {
    /// Installs and starts both.
    ///
    /// # Errors
    /// The API server refuses, or one of them does not start.
    pub async fn start(tools: &Tools, plane: &ControlPlane, subject: &Subject) -> Result<Self> {
        let chart =
            tools.sources("gatekeeper", "github.com/open-policy-agent/gatekeeper/v3")?.join("charts/gatekeeper");
        let rendered = rendered(tools, plane, &chart).await?;
        let [port, health, metrics] = free_ports()?;
        apply_chart(plane, &chart, &rendered, port).await?;
        let kubeconfig = plane.service_account(NAMESPACE, "gatekeeper-admin", "").await?;
        let certificates = plane.folder().join("gatekeeper");
        let cache = plane.folder().join("gatekeeper-cache");
        for folder in [&certificates, &cache] {
            std::fs::create_dir_all(folder)?;
        }
        let mut command = Command::new(tools.program("gatekeeper", "gatekeeper")?);
        command
            .args(arguments_of(&rendered)?)
            // What the other Deployment does of the chart's two.
            .args(["--operation=generate", "--operation=status", "--operation=audit", "--audit-interval=10"])
            .args(["--host=127.0.0.1".to_owned(), format!("--port={port}")])
            .args([format!("--health-addr=127.0.0.1:{health}"), format!("--prometheus-port={metrics}")])
            .args([format!("--cert-dir={}", certificates.display()), format!("--api-cache-dir={}", cache.display())])
            .envs([("POD_NAMESPACE", NAMESPACE), ("NAMESPACE", NAMESPACE), ("POD_NAME", POD)])
            .env("KUBECONFIG", kubeconfig);
        let mut process = Process::start("gatekeeper", command, &plane.logs())?;
        mount_certificates(plane, &certificates, &mut process).await?;
        listening(&mut process, port).await?;
        let (installed, provider) = install(plane, subject, &[]).await?;
        Ok(Self { provider, installed, authority: certificates.join("ca.crt"), process })
    }

    /// Installs the policy anew, printed with those further arguments, and starts its provider again.
    ///
    /// # Errors
    /// The API server refuses, or the provider does not start or is not asked.
    pub async fn install(&mut self, plane: &ControlPlane, subject: &Subject, more: &[&str]) -> Result<()> {
        (self.installed, self.provider) = install(plane, subject, more).await?;
        self.process.alive()
    }

    /// The provider.
    pub fn provider(&mut self) -> &mut Webhook {
        &mut self.provider
    }

    /// Who certifies Gatekeeper: `ca.crt` of its Secret.
    pub fn authority(&self) -> &Path {
        &self.authority
    }

    /// Has Gatekeeper ask at that port, with patience or without.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn lead_to(&self, plane: &ControlPlane, port: u16, patience: Patience) -> Result<()> {
        let provider = self.installed.iter().find(|object| object["kind"] == PROVIDER).context("no Provider")?;
        plane.apply(&local(provider, port, patience).to_string()).await?;
        until_observed(plane, provider).await
    }

    /// Installs a constraint with another value at that pointer.
    ///
    /// # Errors
    /// There is no such constraint, or the API server refuses.
    pub async fn constrain(&self, plane: &ControlPlane, name: &str, pointer: &str, value: Value) -> Result<()> {
        let is_named = |object: &&Value| object["kind"] == CONSTRAINT.1 && object["metadata"]["name"] == name;
        let mut constraint = self.installed.iter().find(is_named).context("no such constraint")?.clone();
        *constraint.pointer_mut(pointer).with_context(|| format!("no {pointer} in {name}"))? = value;
        plane.apply(&constraint.to_string()).await?;
        until_observed(plane, &constraint).await
    }

    /// How many objects Gatekeeper's audit complains of, by that constraint.
    ///
    /// # Errors
    /// It does not audit.
    pub async fn audited(&self, plane: &ControlPlane, constraint: &str) -> Result<u64> {
        let constraints = objects::api(plane.admin(), CONSTRAINT, "")?;
        let has_audited = |object: Option<&DynamicObject>| object.is_some_and(|object| violations(object).is_some());
        let audited = await_condition(constraints, constraint, has_audited);
        let audited = tokio::time::timeout(PATIENCE, audited).await.context("Gatekeeper does not audit")??;
        audited.as_ref().and_then(violations).context("the constraint vanished")
    }
}

fn violations(constraint: &DynamicObject) -> Option<u64> {
    objects::field(constraint, "/status/totalViolations")?.as_u64()
}

/// Waits until Gatekeeper goes by an object as it is now.
async fn until_observed(plane: &ControlPlane, object: &Value) -> Result<()> {
    let (api_version, kind, name) = objects::identity(object)?;
    let api = objects::api(plane.admin(), (api_version, kind), "")?;
    let generation = api.get(name).await?.metadata.generation;
    let is_observed = |object: Option<&DynamicObject>| {
        let observed = object.and_then(|object| objects::field(object, "/status/byPod/0/observedGeneration"));
        observed.and_then(Value::as_i64) >= generation
    };
    let observed = tokio::time::timeout(PATIENCE, await_condition(api, name, is_observed)).await;
    observed.with_context(|| format!("Gatekeeper does not go by {kind} {name}"))??;
    Ok(())
}

/// The values for Gatekeeper's chart that are shipped, and who is asked about here.
fn values() -> Result<Value> {
    let mut values = objects::documents(include_str!("../../policies/gatekeeper/gatekeeper-values.yaml"))?.remove(0);
    let conditions = values["validatingWebhookMatchConditions"].as_array_mut().context("no conditions")?;
    let guarded = format!("request.userInfo.username != '{UNGUARDED_USER}'");
    conditions.push(json!({"name": "guarded", "expression": guarded}));
    values["validatingWebhookExemptNamespacesLabels"] = json!({POLICY_LABEL: ["off"]});
    // The policy changes nothing by Gatekeeper.
    values["disableMutation"] = json!(true);
    // The API server's patience; see `Patience`.
    values["validatingWebhookTimeoutSeconds"] = json!(30);
    // As on a node with one CPU, where whatever waits for itself waits for ever.
    values["maxServingThreads"] = json!(1);
    Ok(values)
}

/// What Helm makes of Gatekeeper's chart with those values.
async fn rendered(tools: &Tools, plane: &ControlPlane, chart: &Path) -> Result<Vec<Value>> {
    let file = plane.folder().join("gatekeeper-values.json");
    std::fs::write(&file, values()?.to_string())?;
    let version = plane.admin().apiserver_version().await?.git_version;
    let mut command = Command::new(tools.program("helm3", "helm")?);
    command.args(["template", "gatekeeper"]).arg(chart).arg("--values").arg(file);
    command.args(["--namespace", NAMESPACE, "--no-hooks", "--kube-version", &version]);
    let output = command.kill_on_drop(true).output().await?;
    ensure!(output.status.success(), "`helm template` says {}", String::from_utf8_lossy(&output.stderr));
    objects::documents(&String::from_utf8(output.stdout)?)
}

/// What a `helm install` would create, but for what only Pods need.
async fn apply_chart(plane: &ControlPlane, chart: &Path, rendered: &[Value], port: u16) -> Result<()> {
    plane.apply_definitions(&chart.join("crds")).await?;
    plane.namespace(NAMESPACE, &json!({})).await?;
    for object in rendered {
        let mut object = object.clone();
        match object["kind"].as_str().unwrap_or_default() {
            "Deployment" | "PodDisruptionBudget" | "ResourceQuota" => continue,
            "Service" => object["spec"] = json!({"type": "ExternalName", "externalName": "localhost"}),
            "ValidatingWebhookConfiguration" => {
                let webhooks = object["webhooks"].as_array_mut().context("a configuration without webhooks")?;
                for webhook in webhooks {
                    webhook["clientConfig"]["service"]["port"] = json!(port);
                }
            }
            _ => {}
        }
        plane.apply(&object.to_string()).await?;
    }
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD, "namespace": NAMESPACE},
        "spec": {"containers": [{"name": "manager", "image": "gatekeeper"}]},
    });
    plane.apply(&pod.to_string()).await
}

/// The arguments of the chart's webhook.
fn arguments_of(rendered: &[Value]) -> Result<Vec<String>> {
    let webhook = rendered
        .iter()
        .find(|object| object["kind"] == "Deployment" && object["metadata"]["name"] == "gatekeeper-controller-manager");
    arguments(webhook.context("Gatekeeper's chart has no Deployment gatekeeper-controller-manager")?)
}

fn arguments(deployment: &Value) -> Result<Vec<String>> {
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    serde_json::from_value(arguments.clone()).context("a Deployment without arguments")
}

/// Does what the kubelet does: Gatekeeper makes its certificates, writes them into its Secret, and waits for them in
/// its folder.
async fn mount_certificates(plane: &ControlPlane, folder: &Path, process: &mut Process) -> Result<()> {
    let secrets = objects::api(plane.admin(), ("v1", "Secret"), NAMESPACE)?;
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let secret = secrets.get("gatekeeper-webhook-server-cert").await?;
        let files = ["ca.crt", "tls.key", "tls.crt"].map(|file| Some((file, secret.data["data"][file].as_str()?)));
        if let [Some(authority), Some(key), Some(certificate)] = files {
            for (file, content) in [authority, key, certificate] {
                std::fs::write(folder.join(file), BASE64_STANDARD.decode(content)?)?;
            }
            return Ok(());
        }
        process.alive()?;
        ensure!(Instant::now() < deadline, "Gatekeeper has made no certificates; see {}", process.log().display());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What `autoscaler-guard manifests --gatekeeper` prints, applied, and its provider started.
async fn install(plane: &ControlPlane, subject: &Subject, more: &[&str]) -> Result<(Vec<Value>, Webhook)> {
    let more: Vec<&str> = ["--gatekeeper"].iter().chain(more).copied().collect();
    let all = subject.manifests(&plane.folder().join("ca.crt"), &more).await?;
    let [port] = free_ports()?;
    apply_all(plane, &all, port).await?;
    let provider = start_provider(plane, subject, &all, port).await?;
    let gatekeepers = [PROVIDER, "ConstraintTemplate", CONSTRAINT.1];
    for object in all.iter().filter(|object| gatekeepers.iter().any(|kind| object["kind"] == *kind)) {
        until_observed(plane, object).await?;
    }
    // The API server has to have learnt of Gatekeeper, too.
    webhook::until_asked(plane, ENVOY_GATEWAY_NAMESPACE, true).await?;
    Ok((all, provider))
}

/// Applies all of it, and all of it again, until Gatekeeper has brought in the kind of the constraints.
async fn apply_all(plane: &ControlPlane, all: &[Value], port: u16) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut refused = None;
        for object in all {
            match plane.apply(&local(object, port, Patience::Long).to_string()).await {
                Err(error) if object["kind"] == CONSTRAINT.1 => refused = Some(error),
                applied => applied?,
            }
        }
        match refused {
            None => return Ok(()),
            Some(error) if Instant::now() > deadline => return Err(error),
            Some(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

/// How long Gatekeeper waits for its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Longer than a busy machine may stand still.
    Long,
    /// As the manifests say.
    AsShipped,
}

/// The same, but for the place of the provider, and how long it may take.
fn local(object: &Value, port: u16, patience: Patience) -> Value {
    let mut object = object.clone();
    if object["kind"] == PROVIDER {
        object["spec"]["url"] = json!(format!("https://127.0.0.1:{port}/gatekeeper"));
        if patience == Patience::Long {
            object["spec"]["timeout"] = json!(25);
        }
    }
    object
}

/// Runs what the Deployment runs, as its account.
async fn start_provider(plane: &ControlPlane, subject: &Subject, all: &[Value], port: u16) -> Result<Webhook> {
    let account = plane.service_account(POLICY_NAMESPACE, "autoscaler-guard", "").await?;
    let folder = plane.folder().join("provider");
    plane.authority().write(&folder.join("tls"), &["127.0.0.1"])?;
    if let Some(clients) = all.iter().find(|object| object["metadata"]["name"] == "autoscaler-guard-clients") {
        std::fs::create_dir_all(folder.join("clients"))?;
        std::fs::write(folder.join("clients/ca.crt"), clients["data"]["ca.crt"].as_str().unwrap_or_default())?;
    }
    let deployment = all.iter().find(|object| object["kind"] == "Deployment").context("no Deployment")?;
    let mut command = Command::new(&subject.program);
    for argument in arguments(deployment)? {
        let here = match argument.split_once('=') {
            Some(("--listen", _)) => format!("--listen=127.0.0.1:{port}"),
            Some(("--metrics-listen", _)) => "--metrics-listen=127.0.0.1:0".to_owned(),
            Some(("--timeout", _)) => "--timeout=20".to_owned(),
            Some((name, path)) if path.starts_with('/') => format!("{name}={}{path}", folder.display()),
            _ => argument,
        };
        command.arg(here);
    }
    command.arg("--kubeconfig").arg(account);
    Webhook::run(plane, "provider", command, port).await
}
