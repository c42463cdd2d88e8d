//! What the Helm chart takes from the code, as one file of it: what is asked about, what is looked up, who need not
//! ask. Its templates put the settings in, as `conditions.rs` and `gatekeeper.rs` do here.

use autoscaler_guard::Settings;
use autoscaler_guard::gate::KUBERNETES_CONTROLLERS;
use autoscaler_guard_host::documents;
use serde_json::{Value, json};

use super::{MAY_ASK, MAY_READ_RELEASES, REGO, conditions, permissions};
use crate::needs;

/// The content of `charts/autoscaler-guard/files/policy.json`.
pub fn facts() -> Value {
    let defaults = Settings::default();
    let list = |yaml: &str| {
        let read = documents::read("a part of the manifests", yaml).ok();
        read.and_then(|documents| documents.into_iter().next()).map_or(Value::Null, |document| document.value)
    };
    let rules = needs::watched().into_iter().map(|watched| {
        json!({
            "apiGroups": [watched.api.group], "apiVersions": [watched.api.version],
            "resources": [watched.api.resource], "operations": watched.operations, "scope": "*",
        })
    });
    let kinds =
        needs::watched().into_iter().map(|watched| json!({"group": watched.api.group, "kind": watched.api.kind}));
    json!({
        "about": "Written from the code: AUTOSCALER_GUARD_WRITE=1 cargo test --workspace --test generated",
        "rules": rules.collect::<Vec<_>>(),
        "kinds": kinds.collect::<Vec<_>>(),
        "permissions": list(&(permissions() + MAY_ASK)),
        "readReleases": list(MAY_READ_RELEASES),
        "expressions": {
            "notTerminating": folded(conditions::NOT_TERMINATING),
            "released": folded(&conditions::released_update()),
            "touches": folded(conditions::TOUCHES),
        },
        "accounts": {
            "kubernetes": KUBERNETES_CONTROLLERS,
            "keda": defaults.keda_controllers.iter().collect::<Vec<_>>(),
            "envoyGateway": defaults.envoy_gateway_controllers.iter().collect::<Vec<_>>(),
            "envoyGatewayNamespace": defaults.envoy_gateway.namespace,
        },
        "rego": REGO,
    })
}

/// As YAML reads it: a line break in an expression is a space.
fn folded(expression: &str) -> String {
    expression.replace('\n', " ")
}
