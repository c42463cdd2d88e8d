//! What a policy's manifest says: the module's digest, and what `kwctl push` tells about it.

use std::collections::BTreeMap;

use oci_client::manifest::{OciDescriptor, OciImageManifest, WASM_LAYER_MEDIA_TYPE};

use crate::{Error, Reference};

/// Where registries look for the source code.
const OCI_SOURCE: &str = "org.opencontainers.image.source";

/// Where a policy's metadata names it.
const POLICY_SOURCE: &str = "io.kubewarden.policy.source";

/// The annotations of a policy's manifest, made of those in its metadata as kwctl makes them: OCI has them on one line each, so
/// that longer ones, such as the usage, stay in the module.
pub fn annotations(metadata: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let short = metadata.iter().filter(|(_, text)| text.lines().count() <= 1);
    let mut annotations: BTreeMap<String, String> =
        short.map(|(key, text)| (key.clone(), text.trim().to_owned())).collect();
    if let Some(source) = annotations.get(POLICY_SOURCE).cloned() {
        annotations.entry(OCI_SOURCE.to_owned()).or_insert(source);
    }
    annotations
}

/// Finds the module: the first layer. All have to be modules, as for kwctl.
pub(crate) fn module(manifest: &[u8], reference: &Reference) -> Result<OciDescriptor, Error> {
    let no_policy = |found: String| Error::NotAPolicy { reference: reference.to_string(), found };
    let read: Result<OciImageManifest, _> = serde_json::from_slice(manifest);
    let manifest = read.map_err(|_| no_policy("its manifest is no image manifest".to_owned()))?;
    if let Some(other) = manifest.layers.iter().find(|layer| layer.media_type != WASM_LAYER_MEDIA_TYPE) {
        return Err(no_policy(format!("it has a layer of type {}", other.media_type)));
    }
    manifest.layers.into_iter().next().ok_or_else(|| no_policy("it has no layers".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(key, text)| (key.to_owned(), text.to_owned())).collect()
    }

    #[test]
    fn short_annotations_and_the_source_are_told_as_kwctl_tells_them() {
        let metadata = map(&[
            (POLICY_SOURCE, "https://example.com/source"),
            ("io.kubewarden.policy.usage", "one\ntwo"),
            ("io.kubewarden.policy.description", "a line with its end\n"),
        ]);
        let expected = map(&[
            (POLICY_SOURCE, "https://example.com/source"),
            (OCI_SOURCE, "https://example.com/source"),
            ("io.kubewarden.policy.description", "a line with its end"),
        ]);
        assert_eq!(annotations(&metadata), expected);
    }

    #[test]
    fn a_source_of_its_own_stays() {
        let metadata = map(&[(POLICY_SOURCE, "https://example.com/source"), (OCI_SOURCE, "https://example.com/oci")]);
        assert_eq!(annotations(&metadata), metadata);
    }

    #[test]
    fn what_is_no_policy_is_told_by_what_it_is() {
        let reference = "registry://a.io/b:1".parse().unwrap();
        let found = |manifest: &str| module(manifest.as_bytes(), &reference).unwrap_err().to_string();
        let image = r#"{"schemaVersion":2,"config":{"mediaType":"a","digest":"b","size":1},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"c","size":1}]}"#;
        assert_eq!(
            found(image),
            "registry://a.io/b:1 is no policy: it has a layer of type application/vnd.oci.image.layer.v1.tar+gzip"
        );
        assert!(
            found(r#"{"schemaVersion":2,"manifests":[]}"#).ends_with("is no policy: its manifest is no image manifest")
        );
        let empty = r#"{"schemaVersion":2,"config":{"mediaType":"a","digest":"b","size":1},"layers":[]}"#;
        assert!(found(empty).ends_with("is no policy: it has no layers"));
    }
}
