//! The look-up requests of Kubewarden's SDK (`host_capabilities::kubernetes`), borrowed.
//!
//! The SDK's own structs want every word as an owned `String` and masks as a `BTreeSet`, which costs the module more than the look-ups
//! themselves. A test holds these to the SDK's wire format.

use serde::Serialize;

/// `GetResourceRequest`.
#[derive(Serialize)]
pub(super) struct GetResource<'q> {
    pub api_version: &'q str,
    pub kind: &'q str,
    pub name: &'q str,
    pub namespace: Option<&'q str>,
    pub disable_cache: bool,
    pub field_masks: Option<&'q [&'q str]>,
}

/// `ListResourcesByNamespaceRequest`.
#[derive(Serialize)]
pub(super) struct ListNamespace<'q> {
    pub api_version: &'q str,
    pub kind: &'q str,
    pub namespace: &'q str,
    pub label_selector: Option<&'q str>,
    pub field_selector: Option<&'q str>,
    pub field_masks: Option<&'q [&'q str]>,
}

/// `ListAllResourcesRequest`.
#[derive(Serialize)]
pub(super) struct ListAll<'q> {
    pub api_version: &'q str,
    pub kind: &'q str,
    pub label_selector: Option<&'q str>,
    pub field_selector: Option<&'q str>,
    pub field_masks: Option<&'q [&'q str]>,
}

/// `CanIRequest`.
#[derive(Serialize)]
pub(super) struct CanI<'q> {
    pub subject_access_review: AccessReview<'q>,
    pub disable_cache: bool,
}

/// `SubjectAccessReview`.
#[derive(Serialize)]
pub(super) struct AccessReview<'q> {
    pub groups: Option<&'q [&'q str]>,
    pub resource_attributes: ResourceAttributes<'q>,
    pub user: &'q str,
}

/// `ResourceAttributes`.
#[derive(Serialize)]
pub(super) struct ResourceAttributes<'q> {
    pub group: Option<&'q str>,
    pub name: Option<&'q str>,
    pub namespace: Option<&'q str>,
    pub resource: &'q str,
    pub subresource: Option<&'q str>,
    pub verb: &'q str,
    pub version: Option<&'q str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubewarden_policy_sdk::host_capabilities::kubernetes as sdk;
    use serde_json::to_string;

    const MASKS: Option<&[&str]> = Some(&["spec.a", "status.b"]);

    fn masks() -> Option<std::collections::BTreeSet<String>> {
        MASKS.map(|masks| masks.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn look_ups_are_the_sdks_to_the_letter() -> serde_json::Result<()> {
        let ours = GetResource {
            api_version: "v",
            kind: "K",
            name: "n",
            namespace: Some("s"),
            disable_cache: true,
            field_masks: MASKS,
        };
        let theirs = sdk::GetResourceRequest {
            api_version: "v".into(),
            kind: "K".into(),
            name: "n".into(),
            namespace: Some("s".into()),
            disable_cache: true,
            field_masks: masks(),
        };
        assert_eq!(to_string(&ours)?, to_string(&theirs)?);
        let ours = ListNamespace {
            api_version: "v",
            kind: "K",
            namespace: "s",
            label_selector: Some("l"),
            field_selector: None,
            field_masks: MASKS,
        };
        let theirs = sdk::ListResourcesByNamespaceRequest {
            api_version: "v".into(),
            kind: "K".into(),
            namespace: "s".into(),
            label_selector: Some("l".into()),
            field_selector: None,
            field_masks: masks(),
        };
        assert_eq!(to_string(&ours)?, to_string(&theirs)?);
        let ours =
            ListAll { api_version: "v", kind: "K", label_selector: None, field_selector: None, field_masks: None };
        let theirs = sdk::ListAllResourcesRequest {
            api_version: "v".into(),
            kind: "K".into(),
            label_selector: None,
            field_selector: None,
            field_masks: None,
        };
        assert_eq!(to_string(&ours)?, to_string(&theirs)?);
        Ok(())
    }

    #[test]
    fn access_reviews_are_the_sdks_to_the_letter() -> serde_json::Result<()> {
        let attributes = ResourceAttributes {
            group: Some("g"),
            name: None,
            namespace: Some("s"),
            resource: "r",
            subresource: None,
            verb: "list",
            version: None,
        };
        let review = AccessReview { groups: Some(&["a", "b"]), resource_attributes: attributes, user: "u" };
        let ours = CanI { subject_access_review: review, disable_cache: false };
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
        assert_eq!(to_string(&ours)?, to_string(&theirs)?);
        Ok(())
    }
}
