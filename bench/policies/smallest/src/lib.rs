//! The smallest policy that Kubewarden's SDK allows: it parses the request as the SDK parses it, looks up at most one
//! object, and accepts. What it costs is the price of admission, so to speak; `make size` and `make bench` set the
//! guard beside it.

use kubewarden_policy_sdk::host_capabilities::kubernetes::{GetResourceRequest, get_resource};
use kubewarden_policy_sdk::wapc_guest::{self as guest, CallResult};
use kubewarden_policy_sdk::{
    accept_request, protocol_version_guest, request::ValidationRequest, settings::Validatable, validate_settings,
};
use serde::{Deserialize, Serialize};

/// Says whether to look anything up at all.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct Settings {
    /// The name of a Deployment in the request's namespace.
    look_up: Option<String>,
}

impl Validatable for Settings {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The handlers, under the names that the host calls them by.
#[unsafe(no_mangle)]
pub extern "C" fn wapc_init() {
    guest::register_function("validate", validate);
    guest::register_function("validate_settings", validate_settings::<Settings>);
    guest::register_function("protocol_version", protocol_version_guest);
}

fn validate(payload: &[u8]) -> CallResult {
    let review = ValidationRequest::<Settings>::new(payload)?;
    if let Some(name) = review.settings.look_up {
        look_up(name, review.request.namespace)?;
    }
    accept_request()
}

fn look_up(name: String, namespace: String) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    get_resource::<serde_json::Value>(&GetResourceRequest {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name,
        namespace: Some(namespace),
        disable_cache: false,
        field_masks: None,
    })?;
    Ok(())
}
