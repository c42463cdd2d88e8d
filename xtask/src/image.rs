//! `cargo xtask image`: puts static programs into an image from scratch, as an OCI layout, and pushes it where it
//! is asked to.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use autoscaler_guard_registry::{self as registry, Image, Program, Reference};
use serde_json::json;

/// Which programs, and where to.
#[derive(clap::Args)]
pub struct Options {
    /// A static program with its architecture, as in amd64=target/…/autoscaler-guard; may be repeated
    #[arg(long, required = true, value_parser = program, value_name = "ARCHITECTURE=FILE")]
    program: Vec<(String, PathBuf)>,
    /// Where to write the layout
    #[arg(long, default_value = "target/image")]
    out: PathBuf,
    /// Where to push it to: <registry://HOST/REPOSITORY:TAG>
    #[arg(long)]
    push: Option<Reference>,
    /// The commit that it was built of
    #[arg(long, default_value = "")]
    revision: String,
}

fn program(text: &str) -> Result<(String, PathBuf), String> {
    let (architecture, file) = text.split_once('=').ok_or("it is named like amd64=FILE")?;
    Ok((architecture.to_owned(), file.into()))
}

/// Puts the image together and prints what names it.
pub fn run(options: &Options) -> Result<()> {
    let mut programs = Vec::new();
    for (architecture, file) in &options.program {
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        check(architecture, &bytes)
            .with_context(|| format!("{} cannot be in an image from scratch", file.display()))?;
        programs.push(Program { architecture: architecture.clone(), bytes });
    }
    let labels = json!({
        "org.opencontainers.image.title": "autoscaler-guard-server",
        "org.opencontainers.image.description": "autoscaler-guard as an admission webhook, or behind Gatekeeper",
        "org.opencontainers.image.source": env!("CARGO_PKG_REPOSITORY"),
        "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
        "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
        "org.opencontainers.image.revision": options.revision,
    });
    let image = Image::of(&programs, "autoscaler-guard", &labels);
    if options.out.exists() {
        std::fs::remove_dir_all(&options.out)?;
    }
    image.write(&options.out).with_context(|| format!("cannot write {}", options.out.display()))?;
    println!("{}: {}", options.out.display(), image.digest());
    if let Some(reference) = &options.push {
        let pinned = image.push(reference, registry::docker_folder().as_deref());
        println!("pinned: {}", pinned.with_context(|| format!("the image cannot be pushed to {reference}"))?);
    }
    Ok(())
}

/// Whether a program is for that architecture, and needs no loader: there is none in the image.
fn check(architecture: &str, program: &[u8]) -> Result<()> {
    let half = |at: usize| u16::from_le_bytes([program[at], program[at + 1]]);
    ensure!(program.len() > 64 && program.starts_with(b"\x7fELF\x02\x01"), "it is no program for 64-bit Linux");
    let machine = match half(18) {
        62 => "amd64",
        183 => "arm64",
        _ => "another architecture",
    };
    ensure!(machine == architecture, "it is for {machine}, not for {architecture}");
    let start = usize::try_from(u64::from_le_bytes(program[32..40].try_into()?))?;
    let (size, count) = (usize::from(half(54)), usize::from(half(56)));
    let interpreted = (0..count).any(|index| {
        let at = start + index * size;
        program.get(at..at + 4).is_some_and(|kind| kind == 3_u32.to_le_bytes())
    });
    ensure!(!interpreted, "it is linked dynamically");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_static_programs_of_the_architecture_are_taken() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let wrong = |architecture: &str, bytes: &[u8]| check(architecture, bytes).unwrap_err().to_string();
        assert_eq!(wrong("amd64", b"#!/bin/sh"), "it is no program for 64-bit Linux");
        if cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
            assert_eq!(wrong("amd64", &this), "it is linked dynamically");
            assert_eq!(wrong("arm64", &this), "it is for amd64, not for arm64");
        }
    }
}
