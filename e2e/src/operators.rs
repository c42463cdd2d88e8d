//! KEDA and Envoy Gateway, as the service accounts that they have in production.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::control_plane::{ControlPlane, free_ports};
use crate::objects;
use crate::process::Process;
use crate::tools::Tools;

/// Who KEDA is.
pub const KEDA_USER: &str = "system:serviceaccount:keda:keda-operator";
/// Who Envoy Gateway is.
pub const ENVOY_GATEWAY_USER: &str = "system:serviceaccount:envoy-gateway-system:envoy-gateway";
/// Where Envoy Gateway and its fleets are.
pub const ENVOY_GATEWAY_NAMESPACE: &str = "envoy-gateway-system";

/// KEDA's operator.
#[derive(Debug)]
pub struct Keda {
    binary: PathBuf,
    kubeconfig: PathBuf,
    folder: PathBuf,
    logs: PathBuf,
    process: Process,
}

impl Keda {
    /// Applies KEDA's definitions and roles, and starts the operator.
    ///
    /// # Errors
    /// The API server refuses, or it does not start.
    pub async fn start(tools: &Tools, plane: &ControlPlane) -> Result<Self> {
        keda_definitions(tools, plane).await?;
        // The chart gives the operator the rights of these roles; a cluster's administrator spares the tests to follow
        // them.
        let kubeconfig = plane.service_account("keda", "keda-operator", &all_rights("keda", "keda-operator")).await?;
        let folder = plane.folder().join("keda");
        plane.authority().write(&folder, &["keda-operator.keda.svc"])?;
        let binary = tools.program("keda", "keda")?;
        let process = run_keda(&binary, &kubeconfig, &folder, &plane.logs()).await?;
        Ok(Self { binary, kubeconfig, folder, logs: plane.logs(), process })
    }

    /// Ends the operator and starts it again.
    ///
    /// # Errors
    /// It does not end or start.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.stop(Duration::from_secs(30)).await?;
        self.process = run_keda(&self.binary, &self.kubeconfig, &self.folder, &self.logs).await?;
        Ok(())
    }

    /// Where it writes its log.
    pub fn log(&self) -> &Path {
        self.process.log()
    }
}

/// Applies KEDA's definitions.
///
/// # Errors
/// The API server refuses.
pub async fn keda_definitions(tools: &Tools, plane: &ControlPlane) -> Result<()> {
    let sources = tools.sources("keda", "github.com/kedacore/keda/v2")?;
    plane.apply_definitions(&sources.join("config/crd/bases")).await
}

/// Applies the definitions of that Envoy Gateway, and the Gateway API's.
///
/// # Errors
/// The API server refuses.
pub async fn envoy_gateway_definitions(tools: &Tools, plane: &ControlPlane, version: &str) -> Result<()> {
    let component = format!("envoy-gateway-{version}");
    let charts = tools.sources(&component, "github.com/envoyproxy/gateway")?.join("charts/gateway-helm");
    let within_chart = charts.join("charts/crds/crds");
    let definitions = if within_chart.is_dir() { within_chart } else { charts.join("crds") };
    plane.apply_definitions(&definitions.join("gatewayapi-crds.yaml")).await?;
    plane.apply_definitions(&definitions.join("generated")).await
}

async fn run_keda(binary: &Path, kubeconfig: &Path, folder: &Path, logs: &Path) -> Result<Process> {
    let [metrics, probe, service] = free_ports()?;
    let mut command = Command::new(binary);
    command
        .env("KUBECONFIG", kubeconfig)
        .envs([("POD_NAMESPACE", "keda"), ("WATCH_NAMESPACE", ""), ("KEDA_CLUSTER_OBJECT_NAMESPACE", "keda")])
        .arg(format!("--cert-dir={}", folder.display()))
        .arg(format!("--metrics-bind-address=127.0.0.1:{metrics}"))
        .arg(format!("--health-probe-bind-address=127.0.0.1:{probe}"))
        .arg(format!("--metrics-service-bind-address=127.0.0.1:{service}"))
        .args(["--enable-webhook-patching=false", "--enable-apiservice-patching=false"]);
    let mut process = Process::start("keda", command, logs)?;
    listening(&mut process, probe).await?;
    Ok(process)
}

/// Envoy Gateway, one version of it.
#[derive(Debug)]
pub struct EnvoyGateway {
    process: Process,
}

impl EnvoyGateway {
    /// Applies the definitions of that version, makes its certificates and starts it.
    ///
    /// # Errors
    /// The API server refuses, or it does not start.
    pub async fn start(tools: &Tools, plane: &ControlPlane, version: &str) -> Result<Self> {
        let component = format!("envoy-gateway-{version}");
        envoy_gateway_definitions(tools, plane, version).await?;

        let roles = all_rights(ENVOY_GATEWAY_NAMESPACE, "envoy-gateway");
        let kubeconfig = plane.service_account(ENVOY_GATEWAY_NAMESPACE, "envoy-gateway", &roles).await?;
        deployment_of_the_version(plane, version).await?;
        let binary = tools.program(&component, "envoy-gateway")?;
        make_certificates(&binary, &kubeconfig, &plane.logs()).await?;

        // Envoy Gateway reads its certificates from /certs and nowhere else, so it gets a root of its own.
        let root = plane.folder().join(&component);
        for folder in ["certs", "tmp"] {
            std::fs::create_dir_all(root.join(folder))?;
        }
        copy_certificates(plane, &root.join("certs")).await?;
        std::fs::copy(&binary, root.join("envoy-gateway")).context("copying envoy-gateway")?;
        std::fs::copy(&kubeconfig, root.join("kubeconfig"))?;
        std::fs::write(root.join("config.yaml"), CONFIG)?;

        let mut command = in_root(&root);
        command
            .args(["/envoy-gateway", "server", "--config-path", "/config.yaml"])
            .env("KUBECONFIG", "/kubeconfig")
            .env("ENVOY_GATEWAY_NAMESPACE", ENVOY_GATEWAY_NAMESPACE);
        let mut process = Process::start(&component, command, &plane.logs())?;
        // Its health probe: the port is fixed.
        listening(&mut process, 8081).await?;
        Ok(Self { process })
    }

    /// Where it writes its log.
    pub fn log(&self) -> &Path {
        self.process.log()
    }
}

const CONFIG: &str = "
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyGateway
gateway: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
provider: {type: Kubernetes, kubernetes: {leaderElection: {disable: true}}}
";

/// Policies read the version from the Deployment's image; here nobody runs it.
async fn deployment_of_the_version(plane: &ControlPlane, version: &str) -> Result<()> {
    let labels = json!({"control-plane": "envoy-gateway"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "envoy-gateway", "namespace": ENVOY_GATEWAY_NAMESPACE, "labels": labels},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "envoy-gateway", "image": format!("docker.io/envoyproxy/gateway:v{version}")}]},
        }},
    });
    plane.apply(&deployment.to_string()).await
}

async fn make_certificates(binary: &Path, kubeconfig: &Path, logs: &Path) -> Result<()> {
    let output = Command::new(binary)
        .arg("certgen")
        .env("KUBECONFIG", kubeconfig)
        .env("ENVOY_GATEWAY_NAMESPACE", ENVOY_GATEWAY_NAMESPACE)
        .kill_on_drop(true)
        .output()
        .await?;
    std::fs::write(logs.join("envoy-gateway-certgen.log"), [output.stdout, output.stderr].concat())?;
    // Later versions also patch a webhook configuration that is not there and fail then; what counts is the Secret.
    Ok(())
}

async fn copy_certificates(plane: &ControlPlane, folder: &Path) -> Result<()> {
    let secret = objects::api(plane.admin(), ("v1", "Secret"), ENVOY_GATEWAY_NAMESPACE)?.get("envoy-gateway").await;
    let secret = secret.context("`envoy-gateway certgen` made no Secret; see envoy-gateway-certgen.log")?;
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        let value = secret.data.get("data").and_then(|data| data.get(name)).and_then(Value::as_str);
        let value = value.with_context(|| format!("the Secret envoy-gateway has no {name}"))?;
        std::fs::write(folder.join(name), BASE64_STANDARD.decode(value)?)?;
    }
    Ok(())
}

/// A program with that folder as its root: root may, and anyone else in a user namespace.
fn in_root(root: &Path) -> Command {
    use std::os::unix::fs::MetadataExt as _;
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0);
    let mut command = Command::new(if is_root { "chroot" } else { "unshare" });
    if is_root {
        command.arg(root);
    } else {
        command.arg("--map-root-user").arg("--root").arg(root);
    }
    command
}

fn all_rights(namespace: &str, account: &str) -> String {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    })
    .to_string()
}

/// Waits until a component listens on a port.
///
/// # Errors
/// It has ended, or does not listen within two minutes.
pub async fn listening(process: &mut Process, port: u16) -> Result<()> {
    let deadline = Instant::now() + Duration::from_mins(2);
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        process.alive()?;
        if Instant::now() > deadline {
            bail!("nothing listens on port {port} after two minutes; the log is {}", process.log().display());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
