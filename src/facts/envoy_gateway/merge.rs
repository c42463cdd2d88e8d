//! By which EnvoyProxies a fleet runs, and what they come to together.

use std::borrow::Cow;

use super::spec::{DEPLOYMENT, EnvoyProxySpec, HPA};
use super::version::Running;
use autoscaler_guard_reading::Json;

/// The EnvoyProxies that a fleet runs by: its Gateway's own, its class's, Envoy Gateway's default, or several that are
/// merged; the nearest to the Gateway first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effective<'a> {
    levels: [Option<EnvoyProxySpec<'a>>; 3],
}

impl<'a> Effective<'a> {
    /// Each replaces the next unless it says `mergeType` (1.8). Where merging fails, defaults are left.
    pub fn new(
        own: Option<EnvoyProxySpec<'a>>,
        class: Option<EnvoyProxySpec<'a>>,
        default: Option<EnvoyProxySpec<'a>>,
    ) -> Self {
        let mut levels = [None; 3];
        for (level, spec) in levels.iter_mut().zip([own, class, default]) {
            *level = spec;
            if spec.is_some_and(|spec| !spec.is_merged()) {
                break;
            }
        }
        let all = || levels.iter().flatten();
        let fails =
            all().enumerate().any(|(at, one)| all().skip(at + 1).any(|other| one.cannot_be_merged_over(*other)));
        if fails { Self::default() } else { Self { levels } }
    }

    fn first<T>(&self, read: impl Fn(EnvoyProxySpec<'a>) -> Option<T>) -> Option<T> {
        self.levels.iter().flatten().copied().find_map(read)
    }

    /// Whether the fleet is autoscaled by Envoy Gateway.
    pub fn declares_hpa(&self) -> bool {
        self.first(|spec| spec.declares_hpa().then_some(())).is_some() && !self.is_daemon_set() && !self.is_elsewhere()
    }

    /// Whether the nearest that names a provider names another one than Kubernetes.
    fn is_elsewhere(&self) -> bool {
        self.first(EnvoyProxySpec::is_kubernetes) == Some(false)
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
        match self.patched(DEPLOYMENT, &["spec", "replicas"]) {
            Some(patched) => patched.integer(&[]),
            None => self.first(EnvoyProxySpec::replicas),
        }
    }

    /// A field of [`DEPLOYMENT`] or [`HPA`].
    pub fn field(&self, part: &str, path: &[&str]) -> Option<Json<'a>> {
        self.first(|spec| spec.kubernetes()?.at(&[part])?.at(path))
    }

    /// What the `patch` of [`DEPLOYMENT`] or [`HPA`] sets a field of the object to; `null` where it removes it. Both
    /// types of patch, `StrategicMerge` and `JSONMerge`, merge what is read here alike (api/v1alpha1,
    /// `KubernetesPatchSpec` and `ApplyMergePatch`), but for the directive `$patch`, which empties what the patch does
    /// not set.
    pub fn patched(&self, part: &str, path: &[&str]) -> Option<Json<'a>> {
        self.first(|spec| {
            let patch = spec.kubernetes()?.at(&[part, "patch"])?;
            let is_strategic = patch.string(&["type"]).as_deref() != Some("JSONMerge");
            patched_field(patch.at(&["value"])?, path, is_strategic)
        })
    }

    /// The name of [`DEPLOYMENT`] or [`HPA`] in the cluster; none when it is generated.
    pub fn name(&self, part: &str) -> Option<Cow<'a, str>> {
        let patched = self.patched(part, &["metadata", "name"]).and_then(|name| name.word(&[]));
        patched.or_else(|| self.field(part, &["name"])?.word(&[]))
    }

    /// Whether all by which fleets are made is the same: names, counts, and what patches make of them. Bounds do not
    /// matter.
    pub fn same_fleets(&self, other: &Self) -> bool {
        let paths: &[(&str, &[&str])] = &[
            (DEPLOYMENT, &["metadata", "name"]),
            (DEPLOYMENT, &["metadata", "namespace"]),
            (DEPLOYMENT, &["spec", "replicas"]),
            (HPA, &["metadata"]),
            (HPA, &["spec", "scaleTargetRef"]),
            (HPA, &["spec", "minReplicas"]),
            (HPA, &["spec", "maxReplicas"]),
        ];
        let facts = |it: &Self| (it.declares_hpa(), it.is_daemon_set(), it.replicas());
        facts(self) == facts(other)
            && self.same_names(other)
            && paths.iter().all(|(part, path)| self.patched(part, path) == other.patched(part, path))
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

/// The field of an object's patch.
fn patched_field<'a>(patch: Json<'a>, path: &[&str], is_strategic: bool) -> Option<Json<'a>> {
    let mut value = patch;
    for name in path {
        if value.text() == "null" {
            break;
        }
        let fields = value.fields()?;
        let named = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| *value);
        let empties = is_strategic && named("$patch").is_some_and(|directive| directive.text() != r#""merge""#);
        value = match named(name) {
            Some(value) => value,
            None if empties => Json::new("null"),
            None => return None,
        };
    }
    Some(value)
}
