//! What a policy may ask its host for: the `kubernetes/*` host capabilities.
//!
//! Everything that answers look-ups implements [`Capabilities`]: a [`Snapshot`](crate::Snapshot) of files, a
//! [`LiveCluster`](crate::LiveCluster), a [`Recorded`](crate::Recorded) one around either, or [`NoCluster`]. Requests
//! and answers are the JSON that the guest's SDK writes and reads; a failure is a text, worded as policy-server words
//! it, since policies tell failures apart by it.

use std::sync::Arc;

use crate::{
    lookup::{self, Lookup},
    wording,
};

/// Answers the look-ups that a policy makes while it decides.
pub trait Capabilities: Send + Sync {
    /// Answers one `kubernetes/<operation>` look-up; [`Lookup::parse`] reads the request.
    ///
    /// The error is what the guest sees after `Host error: `.
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String>;

    /// Takes what the policy logs, which is dropped unless this is implemented: a line of text, or the JSON of an
    /// event as the SDK's logger writes it.
    fn log(&self, _line: &str) {}
}

impl<C: Capabilities + ?Sized> Capabilities for Arc<C> {
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        (**self).call(operation, request)
    }

    fn log(&self, line: &str) {
        (**self).log(line);
    }
}

/// No cluster at all: every look-up fails as for a policy that was given no access.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCluster;

impl Capabilities for NoCluster {
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        match Lookup::parse(operation, request)? {
            Lookup::Get(lookup::Get { api_version, kind, .. })
            | Lookup::List(lookup::List { api_version, kind, .. }) => Err(wording::not_granted(&api_version, &kind)),
            Lookup::CanI(_) => Err(wording::no_client()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn without_a_cluster_every_lookup_is_refused_as_not_granted() {
        let get =
            json!({"api_version": "v1", "kind": "Pod", "name": "web", "namespace": "shop", "disable_cache": true});
        assert_eq!(
            NoCluster.call("get_resource", get.to_string().as_bytes()),
            Err("Policy has not been granted access to Kubernetes v1/Pod resources. The violation has been reported."
                .into())
        );
        let can_i = json!({
            "subject_access_review": {"groups": null, "user": "jane", "resource_attributes": {"resource": "pods", "verb": "list"}},
            "disable_cache": true,
        });
        assert_eq!(
            NoCluster.call("can_i", can_i.to_string().as_bytes()),
            Err("Callback evaluation failure: kube::Client was not initialized properly".into())
        );
    }
}
