//! What a module says of itself: the JSON that `kwctl annotate` puts into its custom section.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use wasmparser::{Parser, Payload};

const SECTION: &str = "io.kubewarden.metadata";

/// A policy's metadata, as in its `metadata.yml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// The protocol that the policy speaks: `v1`.
    pub protocol_version: Option<String>,
    /// The requests it wants to see, as in a webhook's configuration.
    pub rules: Vec<Value>,
    /// Whether it may change objects.
    pub mutating: bool,
    /// Whether the audit scanner runs it.
    pub background_audit: bool,
    /// The kinds it may look up.
    pub context_aware_resources: Vec<ContextAwareResource>,
    /// How it is run: `kubewarden-wapc`.
    pub execution_mode: Option<String>,
    /// The oldest Kubewarden that runs it.
    pub minimum_kubewarden_version: Option<String>,
    /// Title, version, author and the like.
    pub annotations: BTreeMap<String, String>,
}

/// A kind that a policy may look up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContextAwareResource {
    /// `v1`, or group and version: `apps/v1`.
    pub api_version: String,
    /// The kind: `Deployment`.
    pub kind: String,
}

/// Reads the metadata of a module; none where it was not annotated. The module itself is checked elsewhere.
pub(crate) fn read(module: &[u8]) -> Result<Option<Metadata>, serde_json::Error> {
    let mut payloads = Parser::new(0).parse_all(module).map_while(Result::ok);
    let section = payloads.find_map(|payload| match payload {
        Payload::CustomSection(section) if section.name() == SECTION => Some(section.data()),
        _ => None,
    });
    section.map(serde_json::from_slice).transpose()
}
