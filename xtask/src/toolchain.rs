//! The Rust compiler's WebAssembly target: whether it is there, and getting it where it is not.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// What the policy is compiled for: no system interface at all, so nothing that a host would have to provide.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Sees to it that the target's standard library is installed.
pub fn ensure_target() -> Result<()> {
    if has_standard_library()? {
        return Ok(());
    }
    eprintln!("The compiler has no standard library for {TARGET}: asking rustup for it.");
    match process::run(Command::new("rustup").args(["target", "add", TARGET])) {
        Ok(()) if has_standard_library()? => Ok(()),
        Ok(()) => bail!("{}", advice("rustup added it to another toolchain than the one that runs here")),
        Err(error) => bail!("{}", advice(&format!("{error:#}"))),
    }
}

/// The compiler knows the target always; its standard library comes apart.
fn has_standard_library() -> Result<bool> {
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
         - with a compiler and its sources (rustup component rust-src, or the distribution's package) and nothing else:\n  \
           cargo xtask build --build-std, which compiles the standard library too"
    )
}

/// Where the compiler has the standard library's sources, if they are installed, and the name that it gives them
/// where they are not.
pub fn standard_library_sources() -> Result<(PathBuf, String)> {
    let folder = Path::new(&rustc(&["--print", "sysroot"])?).join("lib/rustlib/src/rust");
    let version = rustc(&["-vV"])?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
    Ok((folder, format!("/rustc/{}", commit.unwrap_or("unknown"))))
}

fn rustc(arguments: &[&str]) -> Result<String> {
    let program = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = process::capture(Command::new(program).args(arguments))?;
    Ok(output.trim_end().to_owned())
}
