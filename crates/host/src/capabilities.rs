//! What a policy may ask its host for: the `kubernetes/*` host capabilities.
//!
//! Everything that answers lookups implements [`Capabilities`]: a [`Snapshot`](crate::Snapshot) of files, a
//! [`LiveCluster`](crate::LiveCluster), a [`Recorded`](crate::Recorded) one around either, or [`NoCluster`]. Requests
//! and answers are the JSON that the guest's SDK writes and reads; a failure is a text, worded as policy-server words
//! it, since policies know failures by it.

use std::{sync::Arc, time::Duration};

use crate::{
    Budget,
    lookup::{self, Lookup},
    wording,
};

/// Answers the lookups that a policy makes while it decides.
pub trait Capabilities: Send + Sync {
    /// Answers one `kubernetes/<operation>` lookup; [`Lookup::parse`] reads the request.
    ///
    /// The error is what the guest sees after `Host error: `.
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String>;

    /// The same, within a budget of time; a lookup that cannot be cut short ends when it ends.
    fn call_within(&self, operation: &str, request: &[u8], budget: &Budget) -> Result<Vec<u8>, String> {
        if budget.is_left() { self.call(operation, request) } else { Err(Budget::exhausted()) }
    }

    /// Whether lookups can be answered; the error is why not, for people.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    /// The watches that keep lists up to date, and when each was last heard of.
    fn watches(&self) -> Vec<WatchAge> {
        Vec::new()
    }

    /// Takes what the policy logs, which is dropped unless this is implemented: a line of text, or the JSON of an
    /// event as the SDK's logger writes it.
    fn log(&self, _line: &str) {}
}

/// A watch, and how long ago it was last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchAge {
    /// The kind that is watched.
    pub kind: String,
    /// The time since.
    pub age: Duration,
}

impl<C: Capabilities + ?Sized> Capabilities for Arc<C> {
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        (**self).call(operation, request)
    }

    fn call_within(&self, operation: &str, request: &[u8], budget: &Budget) -> Result<Vec<u8>, String> {
        (**self).call_within(operation, request, budget)
    }

    fn ready(&self) -> Result<(), String> {
        (**self).ready()
    }

    fn watches(&self) -> Vec<WatchAge> {
        (**self).watches()
    }

    fn log(&self, line: &str) {
        (**self).log(line);
    }
}

/// No cluster at all: every lookup fails as for a policy that was given no access.
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
