//! What `kwctl push` says of a policy in its manifest.

use std::collections::BTreeMap;

/// Where registries look for the source code.
const OCI_SOURCE: &str = "org.opencontainers.image.source";

/// Where a policy's metadata names it.
const POLICY_SOURCE: &str = "io.kubewarden.policy.source";

/// The annotations of a policy's manifest, made of those in its metadata as kwctl makes them: OCI has them on one line
/// each, so that longer ones, such as the usage, stay in the module.
pub fn annotations(metadata: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let short = metadata.iter().filter(|(_, text)| text.lines().count() <= 1);
    let mut annotations: BTreeMap<String, String> =
        short.map(|(key, text)| (key.clone(), text.trim().to_owned())).collect();
    if let Some(source) = annotations.get(POLICY_SOURCE).cloned() {
        annotations.entry(OCI_SOURCE.to_owned()).or_insert(source);
    }
    annotations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(key, text)| (key.to_owned(), text.to_owned())).collect()
    }

    #[test]
    fn short_annotations_and_the_source_are_those_of_kwctl() {
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
}
