//! The policy as a webhook of the API server: `autoscaler-guard serve` and the configuration that leads requests to it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::control_plane::{ControlPlane, UNGUARDED_USER, free_ports};
use crate::objects;
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

/// A running webhook.
#[derive(Debug)]
pub struct Webhook {
    process: Process,
    port: u16,
}

impl Webhook {
    /// Starts the policy with those settings and waits until it listens.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(plane: &ControlPlane, subject: &Subject, name: &str, settings: &Value) -> Result<Self> {
        let folder = plane.folder().join(name);
        plane.authority().write(&folder, &["127.0.0.1"])?;
        let settings_file = folder.join("settings.json");
        std::fs::write(&settings_file, settings.to_string())?;
        let [port] = free_ports()?;
        let mut command = Command::new(&subject.program);
        command.arg("serve");
        command.arg("--policy").arg(&subject.module).arg("--settings").arg(&settings_file);
        command.arg("--kubeconfig").arg(policy_server(plane).await?);
        command.arg("--tls-cert").arg(folder.join("tls.crt")).arg("--tls-key").arg(folder.join("tls.key"));
        command.arg("--listen").arg(format!("127.0.0.1:{port}"));
        let mut process = Process::start(name, command, &plane.logs())?;
        listening(&mut process, port).await?;
        Ok(Self { process, port })
    }

    /// Leads the requests of namespaces with that label's value to it.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn configure(&self, plane: &ControlPlane, label: &str, failure_policy: &str) -> Result<()> {
        configure(plane, label, self.port, failure_policy).await
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

/// Leads the requests of namespaces with that label's value to a webhook on that port, whether one listens there or not.
///
/// # Errors
/// The API server refuses.
pub async fn configure(plane: &ControlPlane, label: &str, port: u16, failure_policy: &str) -> Result<()> {
    let shared = label == ENFORCED;
    let name = if shared { "autoscaler-guard".to_owned() } else { format!("autoscaler-guard-{label}") };
    let mut rules = policy_rules()?;
    if !shared {
        // Objects without a namespace match every namespaceSelector; they are the shared webhook's.
        rules.iter_mut().for_each(|rule| rule["scope"] = json!("Namespaced"));
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

/// The account that looks things up for the policy, with the rights of the shipped roles and no others.
async fn policy_server(plane: &ControlPlane) -> Result<PathBuf> {
    plane.service_account("kubewarden", "policy-server", include_str!("../../policies/rbac.yaml")).await
}
