//! The lookup requests of Kubewarden's SDK (`host_capabilities::kubernetes`), written from borrowed words.
//!
//! The SDK's own structs want every word as an owned `String` and masks as a `BTreeSet`, which costs the module more
//! than the lookups themselves. A test holds these to the SDK's wire format.

use crate::cluster::{Access, ApiKind, List};
use autoscaler_guard_reading::Writer;

/// `GetResourceRequest`.
pub(super) fn get(kind: &ApiKind<'_>, namespace: Option<&str>, name: &str, fields: &[&str]) -> String {
    // A handover is judged by what is there now, not by what was there five seconds ago.
    let disable_cache = true;
    let request = of(kind).string("name", name).optional("namespace", namespace).flag("disable_cache", disable_cache);
    masked(request, fields)
}

/// `ListResourcesByNamespaceRequest`, or without a namespace `ListAllResourcesRequest`.
pub(super) fn list(query: &List<'_>) -> String {
    let mut request = of(query.kind);
    if let Some(namespace) = query.namespace {
        request = request.string("namespace", namespace);
    }
    masked(request.optional("label_selector", query.label_selector).optional("field_selector", None), query.fields)
}

/// `CanIRequest`.
pub(super) fn can_i(access: &Access<'_>) -> String {
    let Access { user, groups, verb, group, resource, namespace } = access;
    let attributes = Writer::default()
        .string("group", group)
        .optional("name", None)
        .optional("namespace", *namespace)
        .string("resource", resource)
        .optional("subresource", None)
        .string("verb", verb)
        .optional("version", None);
    let review = Writer::default()
        .list("groups", &mut groups.iter().copied())
        .json("resource_attributes", &attributes.text())
        .string("user", user);
    Writer::default().json("subject_access_review", &review.text()).flag("disable_cache", false).text()
}

fn of(kind: &ApiKind<'_>) -> Writer {
    Writer::default().string("api_version", &kind.api_version).string("kind", &kind.kind)
}

/// Metadata always comes whole; an empty mask would mean everything, as none does.
fn masked(request: Writer, fields: &[&str]) -> String {
    request.list("field_masks", &mut fields.iter().copied()).text()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use kubewarden_policy_sdk::host_capabilities::kubernetes as sdk;
    use serde_json::to_string;

    const MASKS: &[&str] = &["spec.a", "status.b"];
    const KIND: ApiKind<'static> =
        ApiKind { api_version: Cow::Borrowed("v"), kind: Cow::Borrowed("K"), resource: "ks" };

    fn masks() -> std::collections::BTreeSet<String> {
        MASKS.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn look_ups_are_the_sdks_to_the_letter() -> serde_json::Result<()> {
        let theirs = sdk::GetResourceRequest {
            api_version: "v".into(),
            kind: "K".into(),
            name: "n".into(),
            namespace: Some("s".into()),
            disable_cache: true,
            field_masks: Some(masks()),
        };
        assert_eq!(get(&KIND, Some("s"), "n", MASKS), to_string(&theirs)?);
        let in_namespace = List { kind: &KIND, namespace: Some("s"), label_selector: Some("l"), fields: MASKS };
        let theirs = sdk::ListResourcesByNamespaceRequest {
            api_version: "v".into(),
            kind: "K".into(),
            namespace: "s".into(),
            label_selector: Some("l".into()),
            field_selector: None,
            field_masks: Some(masks()),
        };
        assert_eq!(list(&in_namespace), to_string(&theirs)?);
        let everywhere = List { kind: &KIND, namespace: None, label_selector: None, fields: &[] };
        let theirs = sdk::ListAllResourcesRequest {
            api_version: "v".into(),
            kind: "K".into(),
            label_selector: None,
            field_selector: None,
            field_masks: None,
        };
        assert_eq!(list(&everywhere), to_string(&theirs)?);
        Ok(())
    }

    #[test]
    fn access_reviews_are_the_sdks_to_the_letter() -> serde_json::Result<()> {
        let access =
            Access { user: "u", groups: vec!["a", "b"], verb: "list", group: "g", resource: "r", namespace: Some("s") };
        let theirs = sdk::CanIRequest {
            subject_access_review: sdk::SubjectAccessReview {
                groups: Some(vec!["a".into(), "b".into()]),
                resource_attributes: sdk::ResourceAttributes {
                    group: Some("g".into()),
                    namespace: Some("s".into()),
                    resource: "r".into(),
                    verb: "list".into(),
                    ..sdk::ResourceAttributes::default()
                },
                user: "u".into(),
            },
            disable_cache: false,
        };
        assert_eq!(can_i(&access), to_string(&theirs)?);
        Ok(())
    }
}
