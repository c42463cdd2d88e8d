//! Helm: its mark on what it manages, and whether a release is being uninstalled.
//!
//! Helm deletes an HPA before its Deployment in `uninstall`, so a refusal there is repeated for ever; and Helm 3 hides
//! refused deletes in `upgrade`. What is Helm's is therefore judged softer, where its rule says so.

use crate::cluster::{List, Presence, api};
use crate::context::Context;
use autoscaler_guard_reading::{Metadata, Object};

/// A Helm release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelmRelease {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// The release that manages an object, by the label and annotations Helm itself checks (`checkOwnership`).
pub fn release(metadata: &Metadata<'_>) -> Option<HelmRelease> {
    let managed = metadata.label("app.kubernetes.io/managed-by").as_deref() == Some("Helm");
    let name = metadata.annotation("meta.helm.sh/release-name").filter(|_| managed)?;
    let namespace = metadata.annotation("meta.helm.sh/release-namespace").unwrap_or_else(|| metadata.namespace.clone());
    Some(HelmRelease { name: name.into_owned(), namespace: namespace.into_owned() })
}

/// Whether Helm deletes the object and creates it anew at each upgrade: a hook bears no marks of a release, and its
/// delete policy is `before-hook-creation` where it names none (helm/helm, pkg/action/hooks.go;
/// SeleniumHQ/docker-selenium issue 2196).
pub fn is_hook(metadata: &Metadata<'_>) -> bool {
    metadata.annotation("helm.sh/hook").is_some()
}

/// Whether the deletion of a Helm-managed object is softened to a warning. With setting `helm.readReleases`, only while
/// the release is being uninstalled.
pub fn softens_delete(context: &Context<'_>, object: &Object<'_>) -> bool {
    let Some(release) = release(&object.metadata) else { return false };
    // Not known: as if releases were not read, for a stuck uninstall is worse.
    !context.settings.helm_read_releases || uninstalling(context, &release) != Presence::Found(false)
}

/// Whether Helm is known to be uninstalling the object's release; asked only with setting `helm.readReleases`.
pub fn is_uninstalling(context: &Context<'_>, object: &Object<'_>) -> bool {
    context.settings.helm_read_releases
        && release(&object.metadata).is_some_and(|release| uninstalling(context, &release) == Presence::Found(true))
}

/// Helm keeps each revision in a Secret whose label `status` says what is being done to it.
fn uninstalling(context: &Context<'_>, release: &HelmRelease) -> Presence<bool> {
    let selector = format!("owner=helm,name={},status=uninstalling", release.name);
    let query = List {
        kind: &api::SECRET,
        namespace: Some(&release.namespace),
        label_selector: Some(&selector),
        fields: &["type"],
    };
    context.neighbours.list(&query).map(|secrets| !secrets.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_needs_label_and_annotation() {
        let read = |text| Object::from_text(text).map(|object| release(&object.metadata)).expect("well-formed");
        let managed = r#"{"metadata":{"namespace":"shop","labels":{"app.kubernetes.io/managed-by":"Helm"},"annotations":{"meta.helm.sh/release-name":"web"}}}"#;
        assert_eq!(read(managed), Some(HelmRelease { name: "web".to_owned(), namespace: "shop".to_owned() }));
        assert_eq!(read(r#"{"metadata":{"annotations":{"meta.helm.sh/release-name":"web"}}}"#), None);
        assert_eq!(read(r#"{"metadata":{"labels":{"app.kubernetes.io/managed-by":"Helm"}}}"#), None);
    }
}
