//! What an EnvoyProxy says about autoscaling.

use autoscaler_guard_reading::Object;

use autoscaler_guard_reading::Json;

/// The part of an EnvoyProxy that describes the fleet's Deployment.
pub const DEPLOYMENT: &str = "envoyDeployment";
/// The part of an EnvoyProxy that describes the fleet's HPA.
pub const HPA: &str = "envoyHpa";

/// All parts of an EnvoyProxy that take a patch.
const COMPONENTS: &[&str] = &[DEPLOYMENT, HPA, "envoyDaemonSet", "envoyPDB", "envoyService", "envoyServiceAccount"];

/// An EnvoyProxy's spec, as far as it decides about autoscaling.
#[derive(Clone, Copy, Debug)]
pub struct EnvoyProxySpec<'a>(pub(super) Json<'a>);

impl<'a> EnvoyProxySpec<'a> {
    /// The spec of an EnvoyProxy.
    pub fn of(proxy: &Object<'a>) -> Self {
        Self(proxy.spec())
    }

    /// A spec that stands on its own, as in Envoy Gateway's configuration.
    pub fn new(spec: Json<'a>) -> Self {
        Self(spec)
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

    /// Whether the provider that it names is Kubernetes; `None` where it names none.
    pub(super) fn is_kubernetes(self) -> Option<bool> {
        Some(self.0.at(&["provider"])?.string(&["type"]).as_deref() == Some("Kubernetes"))
    }

    /// Whether it is for something else than Kubernetes, where there are no HPAs.
    pub fn is_other_provider(self) -> bool {
        self.0.at(&["provider"]).is_some_and(|provider| provider.string(&["type"]).as_deref() != Some("Kubernetes"))
    }

    /// Whether it is merged over the class's EnvoyProxy instead of replacing it (`spec.mergeType`, 1.8 and later).
    pub fn is_merged(self) -> bool {
        matches!(self.0.string(&["mergeType"]).as_deref(), Some("StrategicMerge" | "JSONMerge"))
    }

    /// Whether merging it over another fails: a strategic merge of two patches of one component does, as a patch is no
    /// object to Go (run with Envoy Gateway's own merge, 1.9).
    pub(super) fn cannot_be_merged_over(self, other: Self) -> bool {
        let patches =
            |spec: Self, part: &str| spec.kubernetes().is_some_and(|it| it.at(&[part, "patch", "value"]).is_some());
        self.0.string(&["mergeType"]).as_deref() == Some("StrategicMerge")
            && COMPONENTS.iter().any(|part| patches(self, part) && patches(other, part))
    }

    /// Whether Envoy Gateway refuses it for a whole class: `mergeGateways` goes neither with `mergeBackends` nor with
    /// gateway namespace mode (internal/gatewayapi, `processGatewayClassParamsRef`, 1.9.0).
    pub fn merges_too_much(self) -> bool {
        self.merges_gateways() && self.0.at(&["mergeBackends"]).is_some()
    }

    /// Whether all Gateways of a class share one fleet; read from the class's EnvoyProxy only.
    pub fn merges_gateways(self) -> bool {
        self.0.is_true(&["mergeGateways"])
    }

    /// The count it declares for the fleet.
    pub fn replicas(self) -> Option<i64> {
        self.kubernetes()?.integer(&["envoyDeployment", "replicas"])
    }

    /// Whether the fleets that run by it are made alike by both, whatever they are merged with.
    pub fn same_binding(self, other: Self) -> bool {
        let facts =
            |spec: Self| (spec.merges_gateways(), spec.merges_too_much(), spec.is_kubernetes(), spec.is_daemon_set());
        let merge_type = |spec: Self| spec.0.at(&["mergeType"]);
        let is_patched =
            |spec: Self, part: &&str| spec.kubernetes().is_some_and(|it| it.at(&[part, "patch", "value"]).is_some());
        let patches = COMPONENTS.iter().all(|part| is_patched(self, part) == is_patched(other, part));
        merge_type(self) == merge_type(other) && facts(self) == facts(other) && patches
    }
}
