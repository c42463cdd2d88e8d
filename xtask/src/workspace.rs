//! A workspace as cargo sees it: where it is, where it builds, what it depends on.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// The part of `cargo metadata` that is needed here.
#[derive(Deserialize)]
pub struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// Where cargo puts what it builds, after `CARGO_TARGET_DIR` and the like.
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
    packages: Vec<Package>,
    /// Another cargo home to build with than the user's.
    #[serde(skip)]
    cargo_home: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: semver::Version,
    manifest_path: PathBuf,
    /// None for what lies in the workspace itself.
    source: Option<String>,
}

impl Workspace {
    /// The project's own workspace.
    pub fn own() -> Result<Self> {
        // As cargo says when it runs: the program may have been compiled in another clone that shares the target
        // folder.
        let xtask = env::var_os("CARGO_MANIFEST_DIR").context("this runs as `cargo xtask`")?;
        let xtask = Path::new(&xtask);
        Self::at(xtask.parent().unwrap_or(xtask))
    }

    /// The workspace of yardsticks to measure against.
    pub fn bench(&self) -> Result<Self> {
        Self::at(&self.root.join("bench"))
    }

    /// The workspace in this folder. Downloads its dependencies where they are missing.
    pub fn at(folder: &Path) -> Result<Self> {
        Self::through(folder, None)
    }

    /// The workspace in this folder, as cargo with this home sees it.
    pub fn through(folder: &Path, cargo_home: Option<PathBuf>) -> Result<Self> {
        let mut command = cargo(folder, cargo_home.as_deref());
        command.args(["metadata", "--format-version", "1", "--locked"]);
        let json = process::capture(&mut command)
            .with_context(|| format!("cannot read the workspace in {}", folder.display()))?;
        let workspace: Self = serde_json::from_str(&json)
            .with_context(|| format!("cargo describes the workspace in {} oddly", folder.display()))?;
        Ok(Self { cargo_home, ..workspace })
    }

    /// Cargo, to be run in this workspace.
    pub fn cargo(&self) -> Command {
        cargo(&self.root, self.cargo_home.as_deref())
    }

    /// The version of a package of this workspace.
    pub fn version_of(&self, name: &str) -> Result<&semver::Version> {
        let mut packages = self.packages.iter();
        packages
            .find(|package| package.name == name && package.source.is_none())
            .map(|package| &package.version)
            .with_context(|| format!("{} has no package {name}", self.root.display()))
    }

    /// The folders that hold the sources of dependencies: a registry's, or a vendored one.
    pub fn dependency_folders(&self) -> BTreeSet<&Path> {
        let dependencies = self.packages.iter().filter(|package| package.source.is_some());
        dependencies.filter_map(|package| package.manifest_path.parent()?.parent()).collect()
    }
}

/// Cargo, the one that runs this program.
fn cargo(folder: &Path, home: Option<&Path>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder);
    if let Some(home) = home {
        command.env("CARGO_HOME", home);
    }
    command
}
