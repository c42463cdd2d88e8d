//! What an EnvoyProxy says about autoscaling.

use autoscaler_guard_reading::Object;

use autoscaler_guard_reading::Json;

/// The part of an EnvoyProxy that describes the fleet's Deployment.
pub const DEPLOYMENT: &str = "envoyDeployment";
/// The part of an EnvoyProxy that describes the fleet's HPA.
pub const HPA: &str = "envoyHpa";

/// An EnvoyProxy's spec, as far as it decides about autoscaling.
#[derive(Clone, Copy, Debug)]
pub struct EnvoyProxySpec<'a>(pub(super) Json<'a>);

impl<'a> EnvoyProxySpec<'a> {
    /// The spec of an EnvoyProxy.
    pub fn of(proxy: &Object<'a>) -> Self {
        Self(proxy.spec())
    }

    /// The Kubernetes provider, where it is that one.
    pub(super) fn kubernetes(self) -> Option<Json<'a>> {
        let provider = self.0.at(&["provider"])?;
        provider.at(&["kubernetes"]).filter(|_| provider.string(&["type"]).as_deref() == Some("Kubernetes"))
    }

    /// Whether it declares envoyHpa itself.
    pub fn declares_hpa(self) -> bool {
        self.kubernetes().is_some_and(|kubernetes| kubernetes.at(&["envoyHpa"]).is_some())
    }

    /// Whether it makes the fleet a DaemonSet.
    pub fn is_daemon_set(self) -> bool {
        self.kubernetes().is_some_and(|kubernetes| kubernetes.at(&["envoyDaemonSet"]).is_some())
    }

    /// Whether it is for something else than Kubernetes, where there are no HPAs.
    pub fn is_other_provider(self) -> bool {
        self.0.at(&["provider"]).is_some_and(|provider| provider.string(&["type"]).as_deref() != Some("Kubernetes"))
    }

    /// Whether it is merged over the class's EnvoyProxy instead of replacing it (`spec.mergeType`, 1.8 and later).
    pub fn is_merged(self) -> bool {
        matches!(self.0.string(&["mergeType"]).as_deref(), Some("StrategicMerge" | "JSONMerge"))
    }

    /// Whether all Gateways of a class share one fleet; read from the class's EnvoyProxy only.
    pub fn merges_gateways(self) -> bool {
        self.0.is_true(&["mergeGateways"])
    }

    /// The count it declares for the fleet.
    pub fn replicas(self) -> Option<i64> {
        self.kubernetes()?.integer(&["envoyDeployment", "replicas"])
    }

    /// Whether both ask for the same fleets: names, patches, the declared count, and whether there is an HPA; its bounds do not matter.
    pub fn same_fleets(self, other: Self) -> bool {
        let facts: &[&[&str]] = &[&["mergeType"], &["provider", "type"]];
        let parts: &[&[&str]] = &[
            &[DEPLOYMENT, "name"],
            &[DEPLOYMENT, "replicas"],
            &[DEPLOYMENT, "patch"],
            &[HPA, "name"],
            &[HPA, "patch"],
        ];
        let part = |spec: Self, path: &[&str]| spec.kubernetes().and_then(|kubernetes| kubernetes.at(path));
        facts.iter().all(|path| self.0.at(path) == other.0.at(path))
            && parts.iter().all(|path| part(self, path) == part(other, path))
            && (self.declares_hpa(), self.is_daemon_set(), self.merges_gateways())
                == (other.declares_hpa(), other.is_daemon_set(), other.merges_gateways())
    }
}
