//! Which kinds a policy may look up: the `contextAwareResources` of its metadata.
//!
//! The list is exact, apiVersion and kind, and governs gets and lists; `can_i` is open to every policy.

use std::borrow::Cow;

use serde::Deserialize;

use crate::{metadata::ContextAwareResource, wording};

/// The kinds a policy was granted access to.
#[derive(Debug)]
pub(crate) struct Grants(Vec<ContextAwareResource>);

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

impl Grants {
    pub(crate) fn new(resources: &[ContextAwareResource]) -> Self {
        Self(resources.to_vec())
    }

    /// Refuses a lookup of a kind that is not granted; an unreadable request is left to whoever answers it.
    pub(crate) fn check(&self, operation: &str, request: &[u8]) -> Result<(), String> {
        if !matches!(operation, "get_resource" | "list_resources_by_namespace" | "list_resources_all") {
            return Ok(());
        }
        match serde_json::from_slice::<Asked>(request) {
            Ok(asked) if !self.include(&asked) => Err(wording::not_granted(&asked.api_version, &asked.kind)),
            _ => Ok(()),
        }
    }

    fn include(&self, asked: &Asked) -> bool {
        self.0.iter().any(|granted| granted.api_version == asked.api_version && granted.kind == asked.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_granted_version_of_a_kind_may_be_looked_up() {
        let grants = Grants::new(&[ContextAwareResource {
            api_version: "autoscaling/v2".into(),
            kind: "HorizontalPodAutoscaler".into(),
        }]);
        let request = |version: &str| {
            format!(r#"{{"api_version":"autoscaling/{version}","kind":"HorizontalPodAutoscaler","name":"web"}}"#)
        };
        assert_eq!(grants.check("get_resource", request("v2").as_bytes()), Ok(()));
        assert_eq!(
            grants.check("list_resources_all", request("v1").as_bytes()),
            Err("Policy has not been granted access to Kubernetes autoscaling/v1/HorizontalPodAutoscaler resources. The violation has been reported.".into())
        );
        assert_eq!(grants.check("can_i", b"{}"), Ok(()));
    }
}
