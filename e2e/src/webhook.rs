//! The policy as a webhook of the API server: `autoscaler-guard serve` and the configuration that leads requests to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use kube::Client;
use kube::api::{DynamicObject, PostParams};
use kube::client::ClientBuilder;
use serde_json::{Value, json};
use tokio::process::Command;
use tower::util::MapResponseLayer;

use crate::control_plane::{ControlPlane, GUARDED_USER, UNGUARDED_USER, free_ports};
use crate::objects::{self, HPA};
use crate::operators::listening;
use crate::process::Process;

/// The label of namespaces whose requests go to a webhook; its value says which.
pub const POLICY_LABEL: &str = "autoscaler-guard-e2e/policy";
/// The value for the webhook that all scenarios share.
pub const ENFORCED: &str = "enforced";

/// What is tested: the command line and the module.
#[derive(Clone, Debug)]
pub struct Subject {
    /// `autoscaler-guard`.
    pub program: PathBuf,
    /// The annotated module.
    pub module: PathBuf,
}

impl Subject {
    /// What `autoscaler-guard manifests` prints for that authority, with further arguments.
    ///
    /// # Errors
    /// It prints none.
    pub async fn manifests(&self, authority: &Path, more: &[&str]) -> Result<Vec<Value>> {
        let mut command = Command::new(&self.program);
        command
            .args(["manifests", "--image", "autoscaler-guard", "--output", "json", "--ca-bundle"])
            .arg(authority)
            .args(more);
        let output = command.kill_on_drop(true).output().await?;
        ensure!(output.status.success(), "`manifests` failed: {}", String::from_utf8_lossy(&output.stderr));
        let list: Value = serde_json::from_slice(&output.stdout)?;
        list["items"].as_array().cloned().context("`manifests` printed no list")
    }
}

/// A running webhook.
#[derive(Debug)]
pub struct Webhook {
    process: Process,
    port: u16,
}

impl Webhook {
    /// Starts the policy with those settings and waits until it listens; by that kubeconfig it looks things up.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(
        plane: &ControlPlane,
        subject: &Subject,
        name: &str,
        settings: &Value,
        kubeconfig: &Path,
    ) -> Result<Self> {
        let folder = plane.folder().join(name);
        plane.authority().write(&folder, &["127.0.0.1"])?;
        let settings_file = folder.join("settings.json");
        std::fs::write(&settings_file, settings.to_string())?;
        let [port] = free_ports()?;
        let mut command = Command::new(&subject.program);
        command.arg("serve");
        command.arg("--policy").arg(&subject.module).arg("--settings").arg(&settings_file);
        command.arg("--kubeconfig").arg(kubeconfig);
        command.arg("--tls-cert").arg(folder.join("tls.crt")).arg("--tls-key").arg(folder.join("tls.key"));
        command.arg("--listen").arg(format!("127.0.0.1:{port}"));
        Self::run(plane, name, command, port).await
    }

    /// Runs a command that serves the policy, and waits until it listens on that port.
    ///
    /// # Errors
    /// It does not start.
    pub async fn run(plane: &ControlPlane, name: &str, command: Command, port: u16) -> Result<Self> {
        let mut process = Process::start(name, command, &plane.logs())?;
        listening(&mut process, port).await?;
        Ok(Self { process, port })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Asks it to end, as Kubernetes does, and waits for it.
    ///
    /// # Errors
    /// It does not end with success.
    pub async fn stop(&mut self) -> Result<()> {
        let status = self.process.stop(Duration::from_secs(30)).await?;
        ensure!(status.success(), "the policy ended with {status}");
        Ok(())
    }

    /// Where it writes its log.
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// Fails once it has ended.
    ///
    /// # Errors
    /// It has ended.
    pub fn alive(&mut self) -> Result<()> {
        self.process.alive()
    }
}

/// Leads the requests of namespaces with that label's value to a webhook on that port, whether one listens there or
/// not.
///
/// # Errors
/// The API server refuses.
pub async fn configure(
    plane: &ControlPlane,
    label: &str,
    port: u16,
    failure_policy: &str,
    further_rules: &[Value],
) -> Result<()> {
    let shared = label == ENFORCED;
    let name = if shared { "autoscaler-guard".to_owned() } else { format!("autoscaler-guard-{label}") };
    let mut rules = [policy_rules()?, further_rules.to_vec()].concat();
    if !shared {
        // Objects without a namespace match every namespaceSelector; they are the shared webhook's.
        for rule in &mut rules {
            rule["scope"] = json!("Namespaced");
        }
    }
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": name},
        "webhooks": [{
            "name": "autoscaler-guard.e2e.test",
            "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 10, "matchPolicy": "Equivalent",
            "failurePolicy": failure_policy,
            "clientConfig": {
                "url": format!("https://127.0.0.1:{port}/validate"),
                "caBundle": BASE64_STANDARD.encode(plane.authority().certificate()),
            },
            "namespaceSelector": {"matchLabels": {POLICY_LABEL: label}},
            // Objects without a namespace and Envoy Gateway's namespace serve the runs without the policy too.
            "matchConditions": [{"name": "guarded", "expression": format!("request.userInfo.username != '{UNGUARDED_USER}'")}],
            "rules": rules,
        }],
    });
    plane.apply(&configuration.to_string()).await
}

/// The rules of the ClusterAdmissionPolicy that is shipped.
fn policy_rules() -> Result<Vec<Value>> {
    let policy = objects::documents(include_str!("../../policies/guard.yaml"))?;
    let rules = policy.first().and_then(|policy| policy.pointer("/spec/rules")).and_then(Value::as_array);
    rules.cloned().context("policies/guard.yaml has no rules")
}

/// The rules that whoever sets `declarations` has to add, for their kinds.
///
/// # Errors
/// A declaration is none.
pub fn declared_rules(settings: &Value) -> Result<Vec<Value>> {
    let declarations = settings["declarations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rule = |declaration: &Value| {
        let text = |name: &str| declaration[name].as_str().with_context(|| format!("a declaration without {name}"));
        let resource = objects::resource(text("apiVersion")?, text("kind")?)?;
        Ok(json!({
            "apiGroups": [resource.group], "apiVersions": [resource.version], "resources": [resource.plural],
            "operations": ["UPDATE", "DELETE"],
        }))
    };
    declarations.iter().map(rule).collect()
}

/// Waits until requests for that namespace come to a webhook, or do no more: the API server learns of a configuration a
/// little later.
///
/// # Errors
/// Half a minute later it has not.
pub async fn until_asked(plane: &ControlPlane, namespace: &str, asked: bool) -> Result<()> {
    until_answered(plane, namespace, |refusal, warnings| (refusal.is_some() || !warnings.is_empty()) == asked).await
}

/// Waits until the creation of an HPA that cannot scale is answered as wanted in that namespace, by a refusal or
/// warnings.
///
/// # Errors
/// Half a minute later it is not.
pub async fn until_answered(
    plane: &ControlPlane,
    namespace: &str,
    wanted: impl Fn(Option<&str>, &[String]) -> bool,
) -> Result<()> {
    // The policy warns of an HPA that cannot scale, whatever it may look up; a webhook that is down fails the request.
    let probe: DynamicObject = serde_json::from_value(json!({
        "apiVersion": HPA.0, "kind": HPA.1, "metadata": {"name": "probe"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nothing"},
            "minReplicas": 2, "maxReplicas": 2,
        },
    }))?;
    let warnings = Warnings::default();
    let client = warnings.kept_of(plane.config(GUARDED_USER).await?)?;
    let api = objects::api(&client, HPA, namespace)?;
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let refusal = api.create(&parameters, &probe).await.err().map(|error| error.to_string());
        let warnings = warnings.take();
        if wanted(refusal.as_deref(), &warnings) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "the API server has not learnt of the webhook for {namespace}: it says {refusal:?} and warns {warnings:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The account that looks things up for the policy, with the rights of the shipped roles, and what Kubewarden's chart
/// grants.
///
/// # Errors
/// The API server refuses.
pub async fn policy_server(plane: &ControlPlane) -> Result<PathBuf> {
    const REVIEWS: &str = "
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: policy-server-reviews}, rules: [
  {apiGroups: [authorization.k8s.io], resources: [subjectaccessreviews], verbs: [create]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: policy-server-reviews},
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: policy-server-reviews},
  subjects: [{kind: ServiceAccount, name: policy-server, namespace: kubewarden}]}
";
    let roles = format!("{}{REVIEWS}", include_str!("../../policies/rbac.yaml"));
    plane.service_account("kubewarden", "policy-server", &roles).await
}

/// The warnings that came with a client's answers.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// A client that keeps the warnings of its answers here.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn kept_of(&self, config: kube::Config) -> Result<Client> {
        let kept = Arc::clone(&self.0);
        let keep = MapResponseLayer::new(move |response: http::Response<_>| {
            // Not by `to_str`: the policy's warnings are no ASCII.
            let texts = response.headers().get_all("warning").iter().map(http::HeaderValue::as_bytes);
            if let Ok(mut kept) = kept.lock() {
                kept.extend(texts.map(|text| String::from_utf8_lossy(text).into_owned()));
            }
            response
        });
        Ok(ClientBuilder::try_from(config)?.with_layer(&keep).build())
    }

    /// Those that came since they were last taken.
    pub fn take(&self) -> Vec<String> {
        self.0.lock().map(|mut warnings| std::mem::take(&mut *warnings)).unwrap_or_default()
    }
}
