//! Which resource serves a kind: asked once for each group and version.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::{Client, core::ApiResource};

use crate::{lookup::group_of, wording};

/// What the API server said so far. Failures are asked about again.
#[derive(Default)]
pub(super) struct Discovery {
    kinds: Mutex<HashMap<(String, String), Kind>>,
}

/// A kind that the API server serves.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub(super) resource: ApiResource,
    pub(super) namespaced: bool,
}

impl Discovery {
    /// The kind's resource; the error is a text for the guest.
    pub(super) async fn find(&self, client: &Client, api_version: &str, kind: &str) -> Result<Kind, String> {
        let key = (api_version.to_owned(), kind.to_owned());
        if let Some(known) = self.kinds().get(&key) {
            return Ok(known.clone());
        }
        let served = discover(client, api_version, kind).await?;
        let mut kinds = self.kinds();
        kinds.extend(served.into_iter().map(|kind| ((api_version.to_owned(), kind.resource.kind.clone()), kind)));
        kinds.get(&key).cloned().ok_or_else(|| wording::missing_kind(api_version, kind))
    }

    /// Forgets a kind that turns out not to be served any more.
    pub(super) fn forget(&self, api_version: &str, kind: &str) {
        self.kinds().remove(&(api_version.to_owned(), kind.to_owned()));
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<(String, String), Kind>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kinds of a group and version, those of subresources left out.
async fn discover(client: &Client, api_version: &str, kind: &str) -> Result<Vec<Kind>, String> {
    let found = if api_version == "v1" {
        client.list_core_api_resources(api_version).await.map_err(|error| wording::client_failure(&error))
    } else {
        let undiscovered = |error| wording::undiscovered(api_version, kind, &error);
        client.list_api_group_resources(api_version).await.map_err(undiscovered)
    };
    let (group, version) = (group_of(api_version), api_version.rsplit('/').next().unwrap_or_default());
    let resources = found?.resources.into_iter().filter(|resource| !resource.name.contains('/'));
    let kinds = resources.map(|resource| Kind {
        namespaced: resource.namespaced,
        resource: ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: api_version.into(),
            kind: resource.kind,
            plural: resource.name,
        },
    });
    Ok(kinds.collect())
}
