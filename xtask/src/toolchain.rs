//! The Rust compiler's WebAssembly target: whether it is there, and getting it where it is not.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// What the policy is compiled for: no system interface at all, so nothing that a host would have to provide.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Where the standard library for the target comes from.
#[derive(Clone, Copy, PartialEq)]
pub enum StandardLibrary {
    /// It is installed.
    Installed,
    /// It has to be compiled along, from the sources that came with the compiler. Nobody else gets the same bytes.
    FromSources,
}

/// Sees to it that there is a standard library for the target.
pub fn standard_library() -> Result<StandardLibrary> {
    if is_installed()? {
        return Ok(StandardLibrary::Installed);
    }
    eprintln!("The compiler has no standard library for {TARGET}: asking rustup for it.");
    let added = process::run(Command::new("rustup").args(["target", "add", TARGET]));
    if is_installed()? {
        return Ok(StandardLibrary::Installed);
    }
    if sources()?.is_dir() {
        eprintln!("It could not be added, but its sources are there: compiling it along.");
        return Ok(StandardLibrary::FromSources);
    }
    let another = || "rustup added it to another toolchain than the one that runs here".to_owned();
    bail!("{}", advice(&added.err().map_or_else(another, |error| format!("{error:#}"))))
}

/// The compiler knows the target always; its standard library comes apart.
fn is_installed() -> Result<bool> {
    let folder = rustc(&["--print", "target-libdir", "--target", TARGET])?;
    let Ok(entries) = Path::new(&folder).read_dir() else {
        return Ok(false);
    };
    let mut names = entries.flatten().map(|entry| entry.file_name());
    Ok(names.any(|name| name.to_string_lossy().starts_with("libstd-")))
}

fn advice(why: &str) -> String {
    format!(
        "the compiler cannot build for {TARGET}: its standard library is missing and could not be added\n\
         ({why})\n\n\
         Any one of these helps:\n\
         - with rustup, on a machine that is connected: rustup target add {TARGET}\n\
         - with the compiler of a distribution, its package: Debian and Ubuntu libstd-rust-dev-wasm32,\n  \
           Fedora rust-std-static-{TARGET}\n\
         - where neither is to be had, the standard library's sources, to be compiled along: rustup component add\n  \
           rust-src, or the distribution's package, rust-src"
    )
}

/// Where the compiler has the standard library's sources, if they are installed.
fn sources() -> Result<PathBuf> {
    Ok(Path::new(&rustc(&["--print", "sysroot"])?).join("lib/rustlib/src/rust"))
}

/// The folder of the standard library's sources, and the name that the compiler gives it where they are not installed.
pub fn standard_library_sources() -> Result<(PathBuf, String)> {
    let version = rustc(&["-vV"])?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
    Ok((sources()?, format!("/rustc/{}", commit.unwrap_or("unknown"))))
}

fn rustc(arguments: &[&str]) -> Result<String> {
    let program = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = process::capture(Command::new(program).args(arguments))?;
    Ok(output.trim_end().to_owned())
}
