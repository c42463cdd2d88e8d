//! What runs while a scenario plays: a control plane, the policy behind it, and operators.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use tokio::sync::Mutex;

use crate::control_plane::ControlPlane;
use crate::gatekeeper::Gatekeeper;
use crate::native;
use crate::operators::{self, ENVOY_GATEWAY_NAMESPACE, EnvoyGateway, Keda};
use crate::scenarios::native::BESIDE;
use crate::tools::Tools;
use crate::webhook::{self, ENFORCED, POLICY_LABEL, Subject, Webhook};

/// The worlds; scenarios of one share its control plane. They run one after the other, as Envoy Gateway's ports are
/// fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// With KEDA.
    Keda,
    /// With Envoy Gateway 1.9.1, which deletes an HPA that is not declared any more.
    EnvoyGateway,
    /// With Envoy Gateway 1.3.0, which leaves it behind.
    LeakyEnvoyGateway,
    /// With KEDA, Envoy Gateway 1.9.1, and the policy behind Gatekeeper.
    Gatekeeper,
    /// With KEDA and no server: the API server guards by itself.
    Native,
    /// With Envoy Gateway 1.9.1, likewise.
    NativeEnvoyGateway,
    /// With KEDA, on Kubernetes 1.37, and no server.
    Native137,
    /// Nothing but etcd and the API server, which guards by itself: for objects that stay as they are put.
    NativeLaw,
}

/// All worlds, in the order in which they run.
pub const KINDS: &[Kind] = &[
    Kind::Keda,
    Kind::EnvoyGateway,
    Kind::LeakyEnvoyGateway,
    Kind::Gatekeeper,
    Kind::Native,
    Kind::NativeEnvoyGateway,
    Kind::NativeLaw,
    Kind::Native137,
];

impl Kind {
    /// Its name: the folder of its logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keda => "keda",
            Self::EnvoyGateway => "envoy-gateway-1.9.1",
            Self::LeakyEnvoyGateway => "envoy-gateway-1.3.0",
            Self::Gatekeeper => "gatekeeper",
            Self::Native => "native",
            Self::NativeEnvoyGateway => "native-envoy-gateway",
            Self::Native137 => "native-1.37",
            Self::NativeLaw => "native-law",
        }
    }

    /// The world of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self, String> {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name()).collect();
        let found = KINDS.iter().copied().find(|kind| kind.name() == name);
        found.ok_or_else(|| format!("the worlds are {}", names.join(", ")))
    }

    /// Whether `make test` plays it; `make e2e-all` plays the others, too.
    pub fn is_in_test(self) -> bool {
        matches!(self, Self::Keda | Self::EnvoyGateway | Self::Native)
    }

    /// How long it takes at the worst, in minutes: on two busy cores, with hazards that need three attempts.
    pub fn longest(self) -> u64 {
        match self {
            Self::Keda => 15,
            Self::EnvoyGateway | Self::LeakyEnvoyGateway => 9,
            Self::Gatekeeper | Self::NativeLaw => 12,
            Self::Native => 10,
            Self::NativeEnvoyGateway | Self::Native137 => 6,
        }
    }

    /// The components that have to be built for it.
    pub fn components(self) -> &'static [&'static str] {
        match self {
            Self::Keda | Self::Native => &["etcd", "kubernetes", "keda"],
            Self::EnvoyGateway | Self::NativeEnvoyGateway => &["etcd", "kubernetes", "envoy-gateway-1.9.1"],
            Self::LeakyEnvoyGateway => &["etcd", "kubernetes", "envoy-gateway-1.3.0"],
            // Helm renders Gatekeeper's chart.
            Self::Gatekeeper => &["etcd", "kubernetes", "keda", "envoy-gateway-1.9.1", "helm3", "gatekeeper"],
            Self::Native137 => &["etcd", "kubernetes-1.37", "keda"],
            Self::NativeLaw => &["etcd", "kubernetes"],
        }
    }

    /// Whether the API server guards by itself.
    pub fn guards_itself(self) -> bool {
        matches!(self, Self::Native | Self::NativeEnvoyGateway | Self::Native137 | Self::NativeLaw)
    }

    fn kubernetes(self) -> &'static str {
        if self == Self::Native137 { "kubernetes-1.37" } else { "kubernetes" }
    }

    fn has_keda(self) -> bool {
        matches!(self, Self::Keda | Self::Gatekeeper | Self::Native | Self::Native137)
    }

    fn envoy_gateway(self) -> Option<&'static str> {
        match self {
            Self::Keda | Self::Native | Self::Native137 | Self::NativeLaw => None,
            Self::EnvoyGateway | Self::Gatekeeper | Self::NativeEnvoyGateway => Some("1.9.1"),
            Self::LeakyEnvoyGateway => Some("1.3.0"),
        }
    }
}

/// A running world. What is declared first is dropped, that is ended, first.
pub struct World {
    /// Envoy Gateway, where it runs.
    pub envoy_gateway: Option<EnvoyGateway>,
    /// KEDA, where it runs.
    pub keda: Option<Mutex<Keda>>,
    /// The policy, unless no scenario plays with it or it is behind Gatekeeper.
    pub webhook: Option<Webhook>,
    /// Gatekeeper with the policy behind it, where it runs.
    pub gatekeeper: Option<Mutex<Gatekeeper>>,
    /// What they talk to.
    pub plane: ControlPlane,
}

impl World {
    /// Starts everything in that folder; the policy only if there is one to test.
    ///
    /// # Errors
    /// A component does not start.
    pub async fn start(kind: Kind, tools: &Tools, folder: &Path, subject: Option<&Subject>) -> Result<Self> {
        let plane = ControlPlane::start_version(tools, folder, kind.kubernetes()).await?;
        let keda = if kind.has_keda() { Some(Mutex::new(Keda::start(tools, &plane).await?)) } else { None };
        let envoy_gateway = match kind.envoy_gateway() {
            Some(version) => Some(EnvoyGateway::start(tools, &plane, version).await?),
            None => None,
        };
        // The policy comes last: it looks up which kinds there are when it starts.
        let (mut policy, mut gatekeeper) = (None, None);
        if let Some(subject) = subject.filter(|_| kind == Kind::Gatekeeper) {
            gatekeeper = Some(Mutex::new(Gatekeeper::start(tools, &plane, subject).await?));
        } else if kind == Kind::NativeLaw {
            // Its scenario sets up what it needs.
        } else if let Some(subject) = subject.filter(|_| kind.guards_itself()) {
            // All kinds that policies look at have to be served: what cannot be evaluated is refused here.
            match kind {
                Kind::NativeEnvoyGateway => operators::keda_definitions(tools, &plane).await?,
                _ => operators::envoy_gateway_definitions(tools, &plane, "1.9.1").await?,
            }
            let policies = native::policies(subject, folder).await?;
            native::install(&plane, &policies, &[ENFORCED, BESIDE]).await?;
            plane.namespace(ENVOY_GATEWAY_NAMESPACE, &json!({POLICY_LABEL: ENFORCED})).await?;
            webhook::until_asked(&plane, ENVOY_GATEWAY_NAMESPACE, true).await?;
        } else if let Some(subject) = subject {
            let account = webhook::policy_server(&plane).await?;
            let started = Webhook::start(&plane, subject, "autoscaler-guard", &json!({}), &account).await?;
            webhook::configure(&plane, ENFORCED, started.port(), "Fail", &[]).await?;
            plane.namespace(ENVOY_GATEWAY_NAMESPACE, &json!({POLICY_LABEL: ENFORCED})).await?;
            webhook::until_asked(&plane, ENVOY_GATEWAY_NAMESPACE, true).await?;
            policy = Some(started);
        }
        Ok(Self { envoy_gateway, keda, webhook: policy, gatekeeper, plane })
    }
}
