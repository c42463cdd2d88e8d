//! etcd, the API server and the controller manager: a control plane without nodes, on loopback, in one folder.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::certificates::Authority;
use crate::objects::{self, DEFINITION, NAMESPACE};
use crate::process::Process;
use crate::tools::Tools;

/// Whose requests are judged: the scenarios act as this user where the policy is on.
pub const GUARDED_USER: &str = "developer";
/// Whose requests are not: the scenarios act as this user where the policy is off.
pub const UNGUARDED_USER: &str = "developer-unguarded";
/// The context in every kubeconfig.
pub const CONTEXT: &str = "e2e";
/// Whoever sets things up, before the policy and beside it.
pub const ADMIN: &str = "admin";

/// The users with a token of their own, and their groups.
const USERS: &[(&str, &str)] = &[
    (ADMIN, "system:masters"),
    (GUARDED_USER, "developers"),
    (UNGUARDED_USER, "developers"),
    ("system:kube-controller-manager", "system:authenticated"),
];

/// A running control plane.
pub struct ControlPlane {
    folder: PathBuf,
    port: u16,
    authority: Authority,
    admin: Client,
    // Dropped in this order: the controllers before what they talk to.
    controller_manager: Process,
    api_server: Process,
    etcd: Process,
}

impl ControlPlane {
    /// Starts one in that folder and waits until it is ready.
    ///
    /// # Errors
    /// A component does not start or does not become ready.
    pub async fn start(tools: &Tools, folder: &Path) -> Result<Self> {
        Self::start_version(tools, folder, "kubernetes").await
    }

    /// Starts one of that component's Kubernetes.
    ///
    /// # Errors
    /// A component does not start or does not become ready.
    pub async fn start_version(tools: &Tools, folder: &Path, kubernetes: &str) -> Result<Self> {
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs)?;
        let authority = Authority::new()?;
        authority.write(&folder.join("api-server"), &["127.0.0.1", "localhost", "kubernetes.default.svc"])?;
        write_service_account_key(folder)?;
        write_users(folder)?;
        std::fs::write(folder.join("audit-policy.yaml"), AUDIT_POLICY)?;

        let [client_port, peer_port, port, manager_port] = free_ports()?;
        let mut etcd = start_etcd(tools, folder, &logs, client_port, peer_port)?;
        let mut api_server =
            start_api_server(&tools.program(kubernetes, "kube-apiserver")?, folder, &logs, client_port, port)?;
        std::fs::write(folder.join("ca.crt"), authority.certificate())?;
        let admin = client(&kubeconfig(authority.certificate(), port, &token(ADMIN)), None).await?;
        let deadline = Instant::now() + Duration::from_mins(2);
        while !ready(&admin).await {
            etcd.alive()?;
            api_server.alive()?;
            if Instant::now() > deadline {
                bail!("the API server did not become ready in two minutes; its log is {}", api_server.log().display());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let kubeconfig = kubeconfig(authority.certificate(), port, &token("system:kube-controller-manager"));
        let program = tools.program(kubernetes, "kube-controller-manager")?;
        let controller_manager = start_controller_manager(&program, folder, &logs, &kubeconfig, manager_port)?;
        let plane = Self { folder: folder.to_owned(), port, authority, admin, controller_manager, api_server, etcd };
        plane.let_developers_do_everything().await?;
        Ok(plane)
    }

    /// Its folder: the components' data and kubeconfigs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the components' logs are.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// Where the API server writes down each write of an autoscaler and the like.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// Signs the certificates of servers in this control plane.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A client that may do everything and that the policy passes over.
    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// A client of a user that may do everything, or of anyone whom that user impersonates.
    ///
    /// # Errors
    /// The client cannot be made.
    pub async fn client(&self, user: &str) -> Result<Client> {
        if USERS.iter().any(|(known, _)| *known == user) {
            return client(&kubeconfig(self.authority.certificate(), self.port, &token(user)), None).await;
        }
        client(&kubeconfig(self.authority.certificate(), self.port, &token(ADMIN)), Some(user)).await
    }

    /// The configuration that a client of that user is made of.
    ///
    /// # Errors
    /// The kubeconfig is broken.
    pub async fn config(&self, user: &str) -> Result<kube::Config> {
        config(&kubeconfig(self.authority.certificate(), self.port, &token(user))).await
    }

    /// Writes the kubeconfig of a user with a token, for programs.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig(&self, user: &str) -> Result<PathBuf> {
        self.write_kubeconfig(&user.replace(':', "-"), &token(user))
    }

    /// Makes a service account with all rights, as an operator's chart does, and writes a kubeconfig with its token.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn service_account(&self, namespace: &str, name: &str, roles: &str) -> Result<PathBuf> {
        self.namespace(namespace, &json!({})).await?;
        self.apply(&format!(
            "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: {name}, namespace: {namespace}}}}}\n---\n{roles}"
        ))
        .await?;
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(self.admin.clone(), namespace);
        let request = serde_json::from_value(json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {},
            "spec": {"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": 6 * 3600},
        }))?;
        let request = accounts.create_token_request(name, &kube::api::PostParams::default(), &request).await?;
        let token = request
            .status
            .context("a TokenRequest without an answer")?
            .token
            .context("a TokenRequest without a token")?;
        self.write_kubeconfig(&format!("{namespace}-{name}"), &token)
    }

    fn write_kubeconfig(&self, name: &str, token: &str) -> Result<PathBuf> {
        let path = self.folder.join(format!("{name}.kubeconfig"));
        // Renamed into place, as programs of other scenarios read it at any time.
        let unfinished = tempfile::NamedTempFile::new_in(&self.folder)?;
        std::fs::write(
            unfinished.path(),
            serde_json::to_string_pretty(&kubeconfig(self.authority.certificate(), self.port, token))?,
        )?;
        unfinished.persist(&path)?;
        Ok(path)
    }

    /// Applies manifests as an administrator, whom the policy passes over.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        for document in objects::documents(yaml)? {
            let (api_version, kind, name) = objects::identity(&document)?;
            let namespace = document.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default");
            objects::api(&self.admin, (api_version, kind), namespace)?
                .patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(&document))
                .await
                .with_context(|| format!("applying {kind} {name}"))?;
        }
        Ok(())
    }

    /// Applies all definitions in a folder or file and waits until they are served.
    ///
    /// # Errors
    /// One is refused or not served within a minute.
    pub async fn apply_definitions(&self, path: &Path) -> Result<()> {
        let mut files = vec![path.to_owned()];
        if path.is_dir() {
            files = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
            files.sort();
        }
        let mut definitions = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            self.apply(&text).await.with_context(|| format!("applying {}", file.display()))?;
            for document in objects::documents(&text)? {
                let (_, kind, name) = objects::identity(&document)?;
                if kind == DEFINITION.1 {
                    definitions.push(name.to_owned());
                }
            }
        }
        let api: Api<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> =
            Api::all(self.admin.clone());
        for name in definitions {
            let established = kube::runtime::wait::await_condition(
                api.clone(),
                &name,
                kube::runtime::conditions::is_crd_established(),
            );
            tokio::time::timeout(Duration::from_mins(1), established)
                .await
                .with_context(|| format!("{name} is not served"))??;
        }
        Ok(())
    }

    /// Makes a namespace with those labels.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn namespace(&self, name: &str, labels: &Value) -> Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        objects::api(&self.admin, NAMESPACE, "")?
            .patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(&namespace))
            .await?;
        Ok(())
    }

    async fn let_developers_do_everything(&self) -> Result<()> {
        self.apply(
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: developers},
              roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin},
              subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: developers}]}",
        )
        .await
    }

    /// Ends the controllers, so that objects stay as they are put.
    ///
    /// # Errors
    /// They do not end.
    pub async fn without_controllers(&mut self) -> Result<()> {
        self.controller_manager.stop(Duration::from_secs(30)).await?;
        Ok(())
    }

    /// Lets everybody do everything, whoever is impersonated.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn let_everybody_do_everything(&self) -> Result<()> {
        self.apply(
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: everybody},
              roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin},
              subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'system:authenticated'}]}",
        )
        .await
    }

    /// Fails if a component has ended.
    ///
    /// # Errors
    /// One has.
    pub fn alive(&mut self) -> Result<()> {
        self.etcd.alive()?;
        self.api_server.alive()?;
        self.controller_manager.alive()
    }
}

/// Writes of the kinds that the policy looks at, with the objects as they came to be and what admission said.
const AUDIT_POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: RequestResponse
    verbs: [create, update, patch, delete, deletecollection]
    resources:
      - {group: autoscaling, resources: [horizontalpodautoscalers]}
      - {group: keda.sh, resources: [scaledobjects]}
      - {group: gateway.envoyproxy.io, resources: [envoyproxies]}
      - {group: gateway.networking.k8s.io, resources: [gateways, gatewayclasses]}
      - {group: apiextensions.k8s.io, resources: [customresourcedefinitions]}
      - {group: apiregistration.k8s.io, resources: [apiservices]}
      - {group: operator.victoriametrics.com, resources: [vmagents]}
  - level: None
";

fn start_etcd(tools: &Tools, folder: &Path, logs: &Path, client: u16, peer: u16) -> Result<Process> {
    let mut command = Command::new(tools.program("etcd", "etcd")?);
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    command
        .arg("--data-dir")
        .arg(folder.join("etcd"))
        .args(["--name", "e2e", "--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("e2e={peer}"), "--unsafe-no-fsync"]);
    Process::start("etcd", command, logs)
}

fn start_api_server(program: &Path, folder: &Path, logs: &Path, etcd: u16, port: u16) -> Result<Process> {
    let mut command = Command::new(program);
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
    command.args([
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".into(),
        file("tls-cert-file", "api-server/tls.crt"),
        file("tls-private-key-file", "api-server/tls.key"),
        file("token-auth-file", "users.csv"),
        "--authorization-mode=RBAC".into(),
        file("service-account-key-file", "service-accounts.pub"),
        file("service-account-signing-key-file", "service-accounts.key"),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        // Pods never run here; without this plug-in they need no token.
        "--disable-admission-plugins=ServiceAccount".into(),
        file("audit-policy-file", "audit-policy.yaml"),
        file("audit-log-path", "audit.log"),
    ]);
    Process::start("kube-apiserver", command, logs)
}

fn start_controller_manager(
    program: &Path,
    folder: &Path,
    logs: &Path,
    kubeconfig: &Value,
    port: u16,
) -> Result<Process> {
    let path = folder.join("controller-manager.kubeconfig");
    std::fs::write(&path, serde_json::to_string_pretty(kubeconfig)?)?;
    let mut command = Command::new(program);
    command.args([
        format!("--kubeconfig={}", path.display()),
        format!("--service-account-private-key-file={}", folder.join("service-accounts.key").display()),
        format!("--root-ca-file={}", folder.join("ca.crt").display()),
        "--use-service-account-credentials".into(),
        "--leader-elect=false".into(),
        // Three times as often as by default: scenarios wait for what the HPA controller says.
        "--horizontal-pod-autoscaler-sync-period=5s".into(),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", folder.join("controller-manager").display()),
    ]);
    Process::start("kube-controller-manager", command, logs)
}

fn write_service_account_key(folder: &Path) -> Result<()> {
    let key = rcgen::KeyPair::generate()?;
    std::fs::write(folder.join("service-accounts.key"), key.serialize_pem())?;
    Ok(std::fs::write(folder.join("service-accounts.pub"), key.public_key_pem())?)
}

fn write_users(folder: &Path) -> Result<()> {
    let lines: Vec<String> =
        USERS.iter().map(|(user, group)| format!("{},{user},{user},\"{group}\"", token(user))).collect();
    Ok(std::fs::write(folder.join("users.csv"), lines.join("\n"))?)
}

/// No secret: the control plane listens on loopback and is gone after the run.
fn token(user: &str) -> String {
    format!("token-of-{}", user.replace(':', "-"))
}

/// With everything inside, as Envoy Gateway reads it from within a root of its own.
fn kubeconfig(authority: &str, port: u16, token: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": CONTEXT,
        "clusters": [{"name": "e2e", "cluster": {
            "server": format!("https://127.0.0.1:{port}"), "certificate-authority-data": BASE64_STANDARD.encode(authority),
        }}],
        "users": [{"name": "e2e", "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": "e2e", "user": "e2e"}}],
    })
}

async fn config(kubeconfig: &Value) -> Result<kube::Config> {
    let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig.clone())?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.proxy_url = None;
    Ok(config)
}

async fn client(kubeconfig: &Value, impersonate: Option<&str>) -> Result<Client> {
    let mut config = config(kubeconfig).await?;
    config.auth_info.impersonate = impersonate.map(str::to_owned);
    Ok(Client::try_from(config)?)
}

async fn ready(client: &Client) -> bool {
    let request = http::Request::get("/readyz").body(Vec::new());
    match request {
        Ok(request) => client.request_text(request).await.is_ok(),
        Err(_) => false,
    }
}

/// Ports that nobody listens on. Someone else may take one before it is used; then a component does not start and says
/// so.
///
/// # Errors
/// There are none.
pub fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    let listeners: Vec<TcpListener> =
        (0..COUNT).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
    let mut ports = [0; COUNT];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
