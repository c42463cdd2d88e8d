//! `cargo xtask push`: puts the module into a registry, as `kwctl push` does.
//!
//! A feature, on by default: `cargo xtask` for everything else is compiled without the registry's client.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use autoscaler_guard_registry::{self as registry, Error, Reference};
use serde::Deserialize;

use crate::{annotate, build, wasm};

/// What to push, and where to.
#[derive(clap::Args)]
pub struct Options {
    /// The annotated module
    #[arg(long, default_value = "annotated-policy.wasm")]
    module: PathBuf,
    /// Where to: <registry://HOST/REPOSITORY:TAG>
    reference: Reference,
}

/// Pushes the module and prints the reference that names it for good.
pub fn run(options: &Options) -> Result<()> {
    let Options { module: path, reference } = options;
    let module = build::read(path)?;
    let annotations = annotations(&module, path)?;
    let pushed =
        registry::push(&module, registry::annotations(&annotations), reference, registry::docker_folder().as_deref());
    let pinned = pushed.map_err(|error| {
        let help = help(&error);
        anyhow::Error::new(error).context(format!("{} cannot be pushed to {reference}{help}", path.display()))
    })?;
    println!("pushed {} to {reference}", path.display());
    println!("pinned: {pinned}");
    Ok(())
}

/// What to do about it, in brackets.
fn help(error: &Error) -> String {
    match error {
        Error::Unauthorized { registry, .. } | Error::Credentials { registry, .. } => {
            format!(" (`docker login {registry}` keeps the credentials where this program finds them)")
        }
        Error::Client { .. } => {
            " (install the system's certificates, or name a file of them by SSL_CERT_FILE)".to_owned()
        }
        _ => String::new(),
    }
}

/// The part of a policy's metadata that a manifest repeats.
#[derive(Deserialize)]
struct Metadata {
    annotations: BTreeMap<String, String>,
}

/// The annotations of the module's metadata, without which no policy server runs it.
fn annotations(module: &[u8], path: &Path) -> Result<BTreeMap<String, String>> {
    let sections = wasm::sections(module).with_context(|| format!("{} cannot be pushed", path.display()))?;
    let metadata = sections.iter().find(|section| section.name == annotate::SECTION).with_context(|| {
        format!("{} has no metadata; `make annotated-policy.wasm` writes it into the module", path.display())
    })?;
    let read: Metadata = serde_json::from_slice(metadata.data)
        .with_context(|| format!("the metadata in {} cannot be read", path.display()))?;
    Ok(read.annotations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_pushed_with_the_annotations_of_its_metadata() {
        let bare = wat::parse_str("(module)").unwrap();
        let error = annotations(&bare, Path::new("policy.wasm")).unwrap_err().to_string();
        assert_eq!(error, "policy.wasm has no metadata; `make annotated-policy.wasm` writes it into the module");
        let json = br#"{"protocolVersion": "v1", "annotations": {"io.kubewarden.policy.title": "guard"}}"#;
        let annotated = wasm::with_custom_section(&bare, annotate::SECTION, json).unwrap();
        let annotations = annotations(&annotated, Path::new("policy.wasm")).unwrap();
        assert_eq!(annotations["io.kubewarden.policy.title"], "guard");
    }

    #[test]
    fn what_is_no_module_is_not_pushed() {
        assert!(annotations(b"kind: Deployment", Path::new("web.yaml")).is_err());
    }
}
