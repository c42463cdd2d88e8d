//! By which EnvoyProxies a fleet runs, and what they come to together.

use std::borrow::Cow;

use super::spec::{DEPLOYMENT, EnvoyProxySpec, HPA};
use super::version::Running;
use autoscaler_guard_reading::Json;

/// The EnvoyProxies that a fleet runs by: its Gateway's own, its class's, or both when they are merged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effective<'a> {
    own: Option<EnvoyProxySpec<'a>>,
    class: Option<EnvoyProxySpec<'a>>,
}

impl<'a> Effective<'a> {
    /// A Gateway's own EnvoyProxy replaces the class's unless it says `mergeType`.
    pub fn new(own: Option<EnvoyProxySpec<'a>>, class: Option<EnvoyProxySpec<'a>>) -> Self {
        let class = class.filter(|_| own.is_none_or(EnvoyProxySpec::is_merged));
        Self { own, class }
    }

    fn first<T>(&self, read: impl Fn(EnvoyProxySpec<'a>) -> Option<T>) -> Option<T> {
        self.own.and_then(&read).or_else(|| self.class.and_then(&read))
    }

    /// Whether the fleet is autoscaled by Envoy Gateway.
    pub fn declares_hpa(&self) -> bool {
        self.first(|spec| spec.declares_hpa().then_some(())).is_some()
    }

    /// Whether the fleet is a DaemonSet.
    pub fn is_daemon_set(&self) -> bool {
        self.first(|spec| spec.is_daemon_set().then_some(())).is_some()
    }

    /// The envoyHpa by which the fleet is autoscaled, as JSON text.
    pub fn hpa_text(&self) -> Option<&'a str> {
        self.field(HPA, &[]).map(Json::text)
    }

    /// The count that is declared for the fleet.
    pub fn replicas(&self) -> Option<i64> {
        self.first(EnvoyProxySpec::replicas)
    }

    /// A field of [`DEPLOYMENT`] or [`HPA`].
    pub fn field(&self, part: &str, path: &[&str]) -> Option<Json<'a>> {
        self.first(|spec| spec.kubernetes()?.at(&[part])?.at(path))
    }

    /// What the `patch` of [`DEPLOYMENT`] or [`HPA`] sets a field of the object to; `null` where it removes it. Both types of patch,
    /// `StrategicMerge` and `JSONMerge`, merge what is read here alike (api/v1alpha1, `KubernetesPatchSpec` and `ApplyMergePatch`).
    pub fn patched(&self, part: &str, path: &[&str]) -> Option<Json<'a>> {
        let mut value = self.field(part, &["patch", "value"])?;
        for name in path {
            if value.text() == "null" {
                break;
            }
            value = value.fields()?.into_iter().find(|(field, _)| field == name)?.1;
        }
        Some(value)
    }

    /// The name of [`DEPLOYMENT`] or [`HPA`] in the cluster; none when it is generated.
    pub fn name(&self, part: &str) -> Option<Cow<'a, str>> {
        let patched = self.patched(part, &["metadata", "name"]).and_then(|name| name.word(&[]));
        patched.or_else(|| self.field(part, &["name"])?.word(&[]))
    }

    /// Whether Deployment and HPA are called alike by both.
    pub fn same_names(&self, other: &Self) -> bool {
        [DEPLOYMENT, HPA].iter().all(|part| self.name(part) == other.name(part))
    }

    /// The Deployment that the HPA aims at; none when its name is generated. The Deployment's patch does not count
    /// (envoyproxy/gateway issue 4894).
    pub fn target_name(&self) -> Option<Cow<'a, str>> {
        let patched = self.patched(HPA, &["spec", "scaleTargetRef", "name"]).and_then(|name| name.word(&[]));
        patched.or_else(|| self.field(DEPLOYMENT, &["name"])?.word(&[]))
    }

    /// The count that `envoyDeployment.patch` forces on the fleet, whichever version runs.
    pub fn patched_replicas(&self) -> Option<i64> {
        self.patched(DEPLOYMENT, &["spec", "replicas"])?.integer(&[])
    }

    /// Whether Envoy Gateway writes the fleet's count; `None` where which version runs decides and is not known.
    pub fn writes_count(&self, running: Running) -> Option<bool> {
        if self.patched_replicas().is_some() {
            Some(true)
        } else if self.replicas().is_none() {
            Some(false)
        } else if self.declares_hpa() {
            running.forces_replicas()
        } else {
            Some(true)
        }
    }
}
