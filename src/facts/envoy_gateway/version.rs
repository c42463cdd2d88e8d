//! Which Envoy Gateway runs, and what its version does: one table, each fact with its source.

use crate::settings::Version;
use autoscaler_guard_reading::{Json, Object};

/// What the chart calls Envoy Gateway's Deployment and its container (charts/gateway-helm).
pub const CONTAINER: &str = "envoy-gateway";

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

/// What becomes of a GatewayClass whose EnvoyProxy is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutClassProxy {
    /// The controller stops reconciling, all classes' fleets alike (to 1.3.2; run with 1.3.0).
    FreezesAll,
    /// All that the class's Gateways run by is deleted (1.3.3 to 1.4.1).
    DeletesFleets,
    /// The class's fleets run on defaults, without envoyHpa (from 1.4.2).
    Defaults,
}

/// What becomes of a Gateway whose own EnvoyProxy is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutOwnProxy {
    /// It runs by its class's (before 1.3).
    FallsBack,
    /// Its fleet is deleted (1.3 to 1.6).
    DeletesFleet,
    /// Its fleet stays as it is, unmanaged (from 1.7).
    Freezes,
}

/// Which Envoy Gateway runs.
///
/// | from | what changes | source in envoyproxy/gateway |
/// |---|---|---|
/// | 1.1.3 | an HPA that is no longer declared stays | pull request 4362 |
/// | 1.3.0 | a Gateway whose own EnvoyProxy is missing gets no infrastructure; `replicas` is forced beside envoyHpa |
/// issues 2807, 5751; run with 1.3.0 |
/// | 1.3.3 | a class whose EnvoyProxy is missing is skipped, no longer all | internal/gatewayapi,
/// `processGatewayClassParamsRef` |
/// | 1.4.2 | such a class falls back to defaults | the same |
/// | 1.5.0 | HPAs are deleted by labels, all of them; names in gateway namespace mode are the Gateways' | pull request
/// 6395 |
/// | 1.7.0 | the configuration may have a default EnvoyProxy | pull requests 7698 and 8169 |
/// | 1.7.0 | such a Gateway's fleet is left as it is | internal/gatewayapi, `processGatewayParamsRef`; run with 1.9.1 |
/// | 1.9.0 | `replicas` is left out beside envoyHpa | pull request 9594 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running(pub Option<Version>);

impl Running {
    /// What the removal of envoyHpa does to the HPA.
    pub fn removal(self) -> Removal {
        match self.0 {
            None => Removal::Either,
            Some(version) if version >= Version::new(1, 1, 3) && version < Version::new(1, 5, 0) => Removal::Orphans,
            Some(_) => Removal::Loses,
        }
    }

    /// What a class without the EnvoyProxy that it refers to comes to.
    pub fn without_class_proxy(self) -> Option<WithoutClassProxy> {
        self.0.map(|version| match version {
            _ if version < Version::new(1, 3, 3) => WithoutClassProxy::FreezesAll,
            _ if version < Version::new(1, 4, 2) => WithoutClassProxy::DeletesFleets,
            _ => WithoutClassProxy::Defaults,
        })
    }

    /// What a Gateway without the EnvoyProxy that it refers to comes to.
    pub fn without_own_proxy(self) -> Option<WithoutOwnProxy> {
        self.0.map(|version| match version {
            _ if version < Version::new(1, 3, 0) => WithoutOwnProxy::FallsBack,
            _ if version < Version::new(1, 7, 0) => WithoutOwnProxy::DeletesFleet,
            _ => WithoutOwnProxy::Freezes,
        })
    }

    /// Whether its configuration may have a default EnvoyProxy (from 1.7).
    pub fn has_default_proxy(self) -> Option<bool> {
        self.0.map(|version| version >= Version::new(1, 7, 0))
    }

    /// Whether fleets in gateway namespace mode are called as their Gateways are (from 1.5).
    pub fn has_plain_names(self) -> bool {
        self.0.is_none_or(|version| version >= Version::new(1, 5, 0))
    }

    /// Whether it forces `envoyDeployment.replicas` on the fleet beside envoyHpa: 1.3 to 1.8 do, the others leave it
    /// out (envoyproxy/gateway issues 2807 and 5751, mended by pull request 9594).
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

/// The version in the image of Envoy Gateway's Deployment: of the container that is called so, whatever side-cars there
/// are.
pub fn image_version(deployment: &Object<'_>) -> Option<Version> {
    // A registry may have a port, an image may end in a digest: the tag stands behind the last slash, before any `@`.
    let version = |container: Json<'_>| {
        let image = container.string(&["image"])?;
        let (_, tag) = image.rsplit('/').next()?.split('@').next()?.split_once(':')?;
        Version::parse(tag)
    };
    let containers = deployment.spec().items(&["template", "spec", "containers"]);
    let named = containers.iter().find(|container| container.string(&["name"]).as_deref() == Some(CONTAINER));
    version(*named.or_else(|| containers.first().filter(|_| containers.len() == 1))?)
}
