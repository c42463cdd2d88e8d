//! `cargo xtask annotate`: writes a policy's metadata into its module, where a policy server looks for it.
//!
//! `kwctl annotate` does the same; doing it here spares everyone who builds the policy from installing it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::metadata::{HOST_CAPABILITIES, Metadata, USAGE};
use crate::workspace::Workspace;
use crate::{build, wasm};

/// The custom section that policy servers read.
pub const SECTION: &str = "io.kubewarden.metadata";

/// What to annotate with what.
#[derive(clap::Args)]
pub struct Options {
    /// The policy's metadata
    #[arg(long, default_value = "metadata.yml")]
    metadata: PathBuf,
    /// The module to annotate
    #[arg(long, default_value = "policy.wasm")]
    wasm: PathBuf,
    /// The module to write
    #[arg(long, default_value = "annotated-policy.wasm")]
    out: PathBuf,
    /// The Markdown file with the policy's instructions
    #[arg(long, default_value = "docs/usage.md")]
    usage_path: PathBuf,
}

/// Checks the metadata and writes the annotated module.
pub fn run(options: &Options) -> Result<()> {
    let metadata = checked_metadata(&options.metadata, &options.usage_path)?;
    let module = build::read(&options.wasm)?;
    check_host_capabilities(&metadata, &module)?;
    let annotated = annotate(&module, &metadata)?;
    build::write_if_changed(&options.out, &annotated)?;
    println!("{}: {} bytes", options.out.display(), annotated.len());
    Ok(())
}

fn annotate(module: &[u8], metadata: &Metadata) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(metadata).context("cannot write the metadata as JSON")?;
    wasm::with_custom_section(module, SECTION, &json)
}

fn checked_metadata(path: &Path, usage: &Path) -> Result<Metadata> {
    let mut metadata: Metadata = serde_saphyr::from_str(&text(path)?)
        .with_context(|| format!("{} is not a policy's metadata", path.display()))?;
    metadata.annotations.insert(USAGE.to_owned(), text(usage)?);
    let problems = metadata.problems(Workspace::own()?.version_of(build::POLICY)?);
    if !problems.is_empty() {
        bail!("{} cannot be used:\n  {}", path.display(), problems.join("\n  "));
    }
    Ok(metadata)
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A host may refuse what the metadata does not declare, so that is an error; a needless declaration is not.
fn check_host_capabilities(metadata: &Metadata, module: &[u8]) -> Result<()> {
    let used = host_capabilities(module)?;
    let declared: BTreeSet<&str> = metadata.host_capabilities.iter().map(String::as_str).collect();
    for needless in declared.difference(&used) {
        eprintln!("warning: metadata declares the host capability {needless}, which the module does not use");
    }
    let undeclared: Vec<&str> = used.difference(&declared).copied().collect();
    if !undeclared.is_empty() {
        bail!(
            "the module uses host capabilities that its metadata does not declare; add to hostCapabilities: {}",
            undeclared.join(", ")
        );
    }
    Ok(())
}

/// The capabilities whose operations are named among the module's texts, which is how `kwctl annotate` finds them.
fn host_capabilities(module: &[u8]) -> Result<BTreeSet<&'static str>> {
    let data = wasm::data(module)?;
    let named = |word: &str| data.iter().any(|texts| contains(texts, word.as_bytes()));
    let used = HOST_CAPABILITIES.into_iter().filter(|capability| {
        capability.split_once('/').is_some_and(|(namespace, operation)| named(namespace) && named(operation))
    });
    Ok(used.collect())
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = include_str!("../../metadata.yml");
    const TEXTS: &str = r#"(module (memory 1) (data (i32.const 0) "kubewardenkubernetesget_resourcecan_i"))"#;

    fn module() -> Vec<u8> {
        wat::parse_str(TEXTS).unwrap()
    }

    fn metadata() -> Metadata {
        serde_saphyr::from_str(METADATA).unwrap()
    }

    fn section_of(module: &[u8]) -> Vec<String> {
        let sections = wasm::sections(module).unwrap();
        let ours = sections.iter().filter(|section| section.name == SECTION);
        ours.map(|section| String::from_utf8(section.data.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_metadata_is_added_and_the_rest_stays() {
        let annotated = annotate(&module(), &metadata()).unwrap();
        assert!(annotated.starts_with(&module()));
        assert_eq!(section_of(&annotated), [serde_json::to_string(&metadata()).unwrap()]);
    }

    #[test]
    fn annotating_again_replaces_the_metadata() {
        let once = annotate(&module(), &metadata()).unwrap();
        assert_eq!(annotate(&once, &metadata()).unwrap(), once);
    }

    #[test]
    fn the_sections_add_up_to_the_module() {
        let annotated = annotate(&module(), &metadata()).unwrap();
        let sections = wasm::sections(&annotated).unwrap();
        let magic_and_version = 8;
        assert_eq!(magic_and_version + sections.iter().map(wasm::Section::bytes).sum::<usize>(), annotated.len());
    }

    #[test]
    fn the_texts_of_a_module_name_what_it_asks_of_its_host() {
        let used = host_capabilities(&module()).unwrap();
        assert_eq!(used, BTreeSet::from(["kubernetes/can_i", "kubernetes/get_resource"]));
    }

    #[test]
    fn an_undeclared_host_capability_is_refused() {
        let mut metadata = metadata();
        metadata.host_capabilities.remove("kubernetes/can_i");
        let error = check_host_capabilities(&metadata, &module()).unwrap_err();
        assert!(error.to_string().ends_with("add to hostCapabilities: kubernetes/can_i"), "{error}");
    }

    #[test]
    fn something_else_than_a_module_is_refused() {
        let error = annotate(b"#!/bin/sh", &metadata()).unwrap_err();
        assert_eq!(error.to_string(), "this is not a WebAssembly module");
    }
}
