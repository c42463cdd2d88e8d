//! Helm, by its binary.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use tokio::process::Command;

/// A Helm of some version, for one namespace and user.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
    folder: PathBuf,
}

/// What Helm said.
#[derive(Clone, Debug)]
pub struct Output {
    /// Whether it ended with success.
    pub success: bool,
    /// What it printed, with its warnings.
    pub text: String,
}

impl Helm {
    pub(crate) fn new(program: PathBuf, kubeconfig: PathBuf, namespace: String, folder: PathBuf) -> Result<Self> {
        ensure!(program.is_file(), "{} is not there; `make e2e-tools` builds it", program.display());
        Ok(Self { program, kubeconfig, namespace, folder })
    }

    /// Installs or upgrades release `web` to chart `web` with those values, such as `autoscaler=keda`.
    ///
    /// # Errors
    /// Helm cannot be run.
    pub async fn upgrade(&self, values: &[&str], flags: &[&str]) -> Result<Output> {
        self.upgrade_to("web", values, flags).await
    }

    /// Installs or upgrades release `web` to a chart in `e2e/charts` with those values.
    ///
    /// # Errors
    /// Helm cannot be run.
    pub async fn upgrade_to(&self, chart: &str, values: &[&str], flags: &[&str]) -> Result<Output> {
        let chart = format!("{}/charts/{chart}", env!("CARGO_MANIFEST_DIR"));
        let mut arguments = vec!["upgrade", "--install", "web", chart.as_str()];
        for value in values {
            arguments.extend(["--set", value]);
        }
        arguments.extend(flags);
        self.run(&arguments).await
    }

    /// Rolls release `web` back to that revision.
    ///
    /// # Errors
    /// Helm cannot be run.
    pub async fn rollback(&self, revision: u32, flags: &[&str]) -> Result<Output> {
        let revision = revision.to_string();
        self.run(&[&["rollback", "web", revision.as_str()], flags].concat()).await
    }

    /// Uninstalls release `web`.
    ///
    /// # Errors
    /// Helm cannot be run.
    pub async fn uninstall(&self) -> Result<Output> {
        self.run(&["uninstall", "web"]).await
    }

    async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .args(["--namespace", &self.namespace])
            .env("KUBECONFIG", &self.kubeconfig)
            .kill_on_drop(true);
        for (variable, folder) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            command.env(variable, self.folder.join(folder));
        }
        let output = command.output().await?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ok(Output { success: output.status.success(), text })
    }
}

impl Output {
    /// Fails unless Helm succeeded.
    ///
    /// # Errors
    /// It did not.
    pub fn succeeded(&self) -> Result<&Self> {
        ensure!(self.success, "helm failed: {}", self.text);
        Ok(self)
    }
}
