//! `cargo xtask build`: the policy as a WebAssembly module, from the same sources the same bytes wherever it is built.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::toolchain::StandardLibrary;
use crate::workspace::Workspace;
use crate::{process, toolchain};

/// The package that becomes the module.
pub const POLICY: &str = "autoscaler-guard";

/// Where to put the module.
#[derive(clap::Args)]
pub struct Options {
    /// The module to write
    #[arg(long, default_value = "policy.wasm")]
    out: PathBuf,
    /// The package of the workspace that becomes the module
    #[arg(long, default_value = POLICY)]
    package: String,
    /// Leave the functions' names in, and what the compiler notes down for tools that work on the module
    #[arg(long)]
    names: bool,
}

/// Builds the module and puts it where it was asked for.
pub fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::own()?;
    let recipe = Recipe { names: options.names, ..Recipe::shipped(&workspace, &options.package) };
    let module = recipe.build()?;
    write_if_changed(&options.out, &module)?;
    println!("{}: {} bytes", options.out.display(), module.len());
    Ok(())
}

/// One way to build one package as a module.
pub struct Recipe<'a> {
    /// Where the package lies.
    pub workspace: &'a Workspace,
    /// The package.
    pub package: &'a str,
    /// Leave the functions' names in, which the size report reads.
    pub names: bool,
}

impl<'a> Recipe<'a> {
    /// How the module is built that is shipped.
    pub fn shipped(workspace: &'a Workspace, package: &'a str) -> Self {
        Self { workspace, package, names: false }
    }

    /// Builds the module and gives its bytes.
    pub fn build(&self) -> Result<Vec<u8>> {
        let mut command = self.command()?;
        if toolchain::standard_library()? == StandardLibrary::FromSources {
            // The stable compiler, with the one unstable feature that is needed.
            command.args(["-Z", "build-std=std,panic_abort"]).env("RUSTC_BOOTSTRAP", "1");
        }
        process::run(&mut command)?;
        read(&self.artifact())
    }

    fn command(&self) -> Result<std::process::Command> {
        let mut command = self.workspace.cargo();
        command
            // Only as a cdylib: where a library is also built for other crates, cargo does without optimizing it as a
            // whole (LTO), which is a third of its bytes.
            .args(["rustc", "--lib", "--crate-type", "cdylib"])
            .args(["--locked", "--package", self.package])
            .args(["--target", toolchain::TARGET, "--profile", self.profile()])
            .arg("--target-dir")
            .arg(self.target())
            // Takes precedence over every other way to set flags, so that no habit of the user's gets into the bytes.
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags()?)
            .env("CARGO_INCREMENTAL", "0");
        if self.names {
            command.args(["--config", r#"profile.policy-with-names.inherits="policy""#]);
            command.args(["--config", "profile.policy-with-names.strip=false"]);
        }
        Ok(command)
    }

    fn profile(&self) -> &'static str {
        if self.names { "policy-with-names" } else { "policy" }
    }

    /// A folder of its own: these flags would otherwise have everything else compiled anew, and the other way round.
    fn target(&self) -> PathBuf {
        self.workspace.target.join("policy")
    }

    fn artifact(&self) -> PathBuf {
        let file = self.package.replace('-', "_");
        self.target().join(toolchain::TARGET).join(self.profile()).join(file).with_extension("wasm")
    }

    /// Panics name the file that they come from: every folder in those names is replaced by a fixed one. Of two
    /// prefixes that fit, the compiler takes the later.
    fn flags(&self) -> Result<OsString> {
        let workspace = self.workspace;
        let (sources, name) = toolchain::standard_library_sources()?;
        let mut prefixes = vec![(workspace.root.as_path(), "."), (&workspace.target, "target")];
        prefixes.extend(workspace.dependency_folders().into_iter().map(|folder| (folder, "registry")));
        prefixes.push((&sources, &name));
        let mut flags: Vec<OsString> = prefixes.iter().map(|(from, to)| remap(from, to)).collect();
        if !self.names {
            // Numbers in the code are padded for the linker; without the padding the module is 8 % smaller. It goes
            // with no names.
            flags.push("-Clink-arg=--compress-relocations".into());
        }
        Ok(encode(flags.into_iter()))
    }
}

fn remap(from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

/// The form of `CARGO_ENCODED_RUSTFLAGS`, in which folders may contain spaces.
fn encode(flags: impl Iterator<Item = OsString>) -> OsString {
    flags.collect::<Vec<_>>().join(std::ffi::OsStr::new("\u{1f}"))
}

/// Reads a module.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path)
        .with_context(|| format!("cannot read {}: `make annotated-policy.wasm` builds the module", path.display()))
}

/// Leaves a file alone that is as it should be, so that make does not take it for new.
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_yardsticks_are_built_with_the_profile_of_the_module() {
        let profile = |manifest: &'static str| {
            let (_, profile) = manifest.split_once("[profile.policy]\n").unwrap();
            profile.split("\n\n").next().unwrap().trim_end()
        };
        let own = profile(include_str!("../../Cargo.toml"));
        assert_eq!(profile(include_str!("../../bench/Cargo.toml")), own);
    }

    #[test]
    fn flags_may_contain_spaces() {
        let flags = [remap(Path::new("/a b"), "."), remap(Path::new("/c"), "target")];
        let encoded = encode(flags.into_iter());
        assert_eq!(encoded, "--remap-path-prefix=/a b=.\u{1f}--remap-path-prefix=/c=target");
    }
}
