//! Which Envoy Gateway runs, and what its version does: one table, each fact with its source.

use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::settings::Version;
use autoscaler_guard_reading::{Json, Object};

/// What becomes of the HPA of a fleet that loses envoyHpa.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It stays and keeps scaling, even after the Gateway is gone (1.1.3 to 1.4.x).
    Orphans,
    /// It is deleted and the replica count freezes (before 1.1.3, and from 1.5).
    Loses,
    /// The version is not known: either may happen.
    Either,
}

/// Which Envoy Gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running(pub Option<Version>);

impl Running {
    /// The setting, else the image tag of Deployment `envoy-gateway` in Envoy Gateway's namespace.
    pub fn look_up(context: &Context<'_>) -> Self {
        let settings = &context.settings.envoy_gateway;
        Self(settings.version.or_else(|| {
            let fields = &["spec.template.spec.containers.image", "spec.template.spec.containers.name"];
            match context.neighbours.get(&api::DEPLOYMENT, &settings.namespace, "envoy-gateway", fields) {
                Presence::Found(deployment) => image_version(&deployment),
                Presence::Absent | Presence::Unknown(_) => None,
            }
        }))
    }

    /// What the removal of envoyHpa does to the HPA.
    pub fn removal(self) -> Removal {
        match self.0 {
            None => Removal::Either,
            Some(version) if version >= Version::new(1, 1, 3) && version < Version::new(1, 5, 0) => Removal::Orphans,
            Some(_) => Removal::Loses,
        }
    }

    /// Whether a Gateway whose own EnvoyProxy is missing keeps its frozen fleet (from 1.7) instead of losing all of it.
    pub fn keeps_fleet_without_proxy(self) -> Option<bool> {
        self.0.map(|version| version >= Version::new(1, 7, 0))
    }

    /// Whether it forces `envoyDeployment.replicas` on the fleet beside envoyHpa: 1.3 to 1.8 do, the others leave it out
    /// (envoyproxy/gateway issues 2807 and 5751, mended by pull request 9594).
    pub fn forces_replicas(self) -> Option<bool> {
        self.0.map(|version| version >= Version::new(1, 3, 0) && version < Version::new(1, 9, 0))
    }

    /// Whether it deletes a fleet's HPA by its name, as all did before 1.1.3, whatever its labels.
    pub fn deletes_by_name(self) -> bool {
        self.0.is_some_and(|version| version < Version::new(1, 1, 3))
    }

    /// Whether it deletes every HPA that has its labels and is not declared, instead of one by name or none (from 1.5).
    pub fn deletes_by_labels(self) -> Option<bool> {
        self.0.map(|version| version >= Version::new(1, 5, 0))
    }

    /// `Envoy Gateway 1.9.1`, or the name alone.
    pub fn name(self) -> String {
        self.0.map_or_else(|| "Envoy Gateway".to_owned(), |version| format!("Envoy Gateway {version}"))
    }
}

pub(super) fn image_version(deployment: &Object<'_>) -> Option<Version> {
    // A registry may have a port, an image may end in a digest: the tag stands behind the last slash, before any `@`.
    let version = |container: &Json<'_>| {
        let image = container.string(&["image"])?;
        let (_, tag) = image.rsplit('/').next()?.split('@').next()?.split_once(':')?;
        Version::parse(tag)
    };
    deployment.spec().items(&["template", "spec", "containers"]).iter().find_map(version)
}
