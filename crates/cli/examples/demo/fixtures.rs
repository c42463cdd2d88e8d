//! The captured requests and the objects around them, as real components wrote them.

use autoscaler_guard_cli::fault::Fault;
use autoscaler_guard_cli::review::Request;
use autoscaler_guard_host::Snapshot;
use serde_json::Value;

/// A file and its text.
pub type File = (&'static str, &'static str);

macro_rules! fixture {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../../tests/fixtures/", $path)))
    };
}

pub const HPA_CREATED_BY_KEDA: File =
    fixture!("requests/keda-hpa-helm3/006-create-horizontalpodautoscaler-keda-operator.json");
pub const HPA_UPDATED_BY_HELM: File =
    fixture!("requests/keda-hpa-helm3/007-update-horizontalpodautoscaler-lab-admin.json");
pub const SCALED_OBJECT_DELETED: File = fixture!("requests/keda-hpa-helm3/008-delete-scaledobject-lab-admin.json");
pub const ENVOY_HPA_REMOVED_1_3: File = fixture!("requests/envoy-gateway-1.3.0/006-update-envoyproxy-lab-admin.json");
pub const ENVOY_HPA_REMOVED_1_9: File = fixture!("requests/envoy-gateway-1.9.1/007-update-envoyproxy-lab-admin.json");

/// What is in namespace shop before the upgrade.
pub const SHOP: &[File] = &[
    fixture!("objects/namespace-shop.yaml"),
    fixture!("objects/deployment-web.yaml"),
    fixture!("objects/scaledobject-web.yaml"),
    fixture!("objects/hpa-web-owned.yaml"),
];

/// A fleet of Envoy Gateway 1.3.0.
pub const FLEET_1_3: &[File] = &[
    fixture!("objects/namespace-envoy-gateway-system.yaml"),
    fixture!("objects/deployment-envoy-gateway-1.3.0.yaml"),
    fixture!("objects/deployment-fleet.yaml"),
    fixture!("objects/gatewayclass-eg-1.3.0.yaml"),
    fixture!("objects/gateway-eg-1.3.0.yaml"),
    fixture!("objects/envoyproxy-fleet-1.3.0.yaml"),
    fixture!("objects/hpa-fleet-1.3.0.yaml"),
];

/// A fleet of Envoy Gateway 1.9.1.
pub const FLEET_1_9: &[File] = &[
    fixture!("objects/namespace-envoy-gateway-system.yaml"),
    fixture!("objects/deployment-envoy-gateway-1.9.1.yaml"),
    fixture!("objects/deployment-fleet.yaml"),
    fixture!("objects/gatewayclass-eg-1.9.1.yaml"),
    fixture!("objects/gateway-eg-1.9.1.yaml"),
    fixture!("objects/envoyproxy-fleet-1.9.1.yaml"),
    fixture!("objects/hpa-fleet-1.9.1.yaml"),
];

/// A captured request.
pub fn request((name, text): File) -> Result<Request, Fault> {
    let value: Value = serde_json::from_str(text).map_err(|error| broken(name).because(error))?;
    Request::new(name, value).ok_or_else(|| broken(name).because("it is no admission request"))
}

/// A captured request, changed.
pub fn changed_request(file: File, change: impl FnOnce(&mut Value)) -> Result<Request, Fault> {
    let mut request = request(file)?;
    change(&mut request.value);
    Ok(request)
}

/// A cluster of these objects.
pub fn cluster(files: &[File]) -> Result<Snapshot, Fault> {
    let stream = files.iter().map(|(_, text)| *text).collect::<Vec<_>>().join("\n---\n");
    Snapshot::from_text("the demo's objects", &stream)
        .map_err(|error| Fault::new("the demo's objects are broken").because(error))
}

fn broken(name: &str) -> Fault {
    Fault::new(format!("the demo's {name} is broken"))
}
