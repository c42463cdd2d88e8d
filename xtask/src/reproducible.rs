//! `cargo xtask reproducible`: proof that the module's bytes come from its sources alone.
//!
//! The module is built in place, as it is shipped, and once more from a copy of the sources in another folder with a
//! longer path, through another path to cargo's home; the two must not differ in a byte.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use ignore::WalkBuilder;
use sha2::{Digest, Sha256};

use crate::build::{self, Recipe};
use crate::wasm::{self, Section};
use crate::workspace::Workspace;

/// Where to build the second time.
#[derive(clap::Args)]
pub struct Options {
    /// The folder for the copy; kept, so that the next run has less to build [default: in cargo's target folder]
    #[arg(long)]
    elsewhere: Option<PathBuf>,
}

/// Builds twice and compares.
pub fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::own()?;
    let here = Recipe::shipped(&workspace, build::POLICY).build()?;
    let elsewhere = options.elsewhere.clone().unwrap_or_else(|| workspace.target.join("elsewhere"));
    let there = build_elsewhere(&workspace, &elsewhere)?;
    if here != there {
        bail!("{}", difference(&here, &there)?);
    }
    println!("Built here and in {}, the module has the same {} bytes.", elsewhere.display(), here.len());
    println!("sha256 {:x}", Sha256::digest(&here));
    Ok(())
}

fn build_elsewhere(workspace: &Workspace, elsewhere: &Path) -> Result<Vec<u8>> {
    let folder = elsewhere.join("a folder with spaces and a name that is much longer").join("autoscaler-guard");
    copy_sources(&workspace.root, &folder)?;
    let mut copy = Workspace::through(&folder, Some(another_path_to_cargo_home(elsewhere)?))?;
    // Nothing that the first build did may be of use to the second.
    copy.target = elsewhere.join("target");
    Recipe::shipped(&copy, build::POLICY).build()
}

/// The user's cargo home under another name, so that nothing has to be downloaded again.
fn another_path_to_cargo_home(elsewhere: &Path) -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let home = home.context("there is no cargo home: set CARGO_HOME")?;
    let link = elsewhere.join("another-cargo-home");
    if fs::read_link(&link).is_ok_and(|target| target == home) {
        return Ok(link);
    }
    symlink(&home, &link).with_context(|| format!("cannot link {} to {}", link.display(), home.display()))?;
    Ok(link)
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

/// Brings the copy up to date. Files that are as they should be stay untouched, as cargo goes by their dates.
fn copy_sources(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let sources = files(from)?;
    for file in &sources {
        copy_if_changed(&from.join(file), &to.join(file))?;
    }
    for gone in files(to)?.difference(&sources) {
        let gone = to.join(gone);
        fs::remove_file(&gone).with_context(|| format!("cannot remove {}", gone.display()))?;
    }
    Ok(())
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let contents = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    build::write_if_changed(to, &contents)
}

/// What belongs to the project: all that no .gitignore names, whether git is there or not.
fn files(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut walk = WalkBuilder::new(root);
    walk.hidden(false).require_git(false).git_global(false).git_exclude(false).parents(false);
    walk.filter_entry(|entry| entry.file_name() != ".git");
    let mut files = BTreeSet::new();
    for entry in walk.build() {
        let entry = entry.with_context(|| format!("cannot list the files in {}", root.display()))?;
        if entry.file_type().is_some_and(|kind| kind.is_file()) {
            files.insert(entry.path().strip_prefix(root)?.to_owned());
        }
    }
    Ok(files)
}

/// In which sections the two differ, and around what: mostly a path that got in.
fn difference(here: &[u8], there: &[u8]) -> Result<String> {
    let (ours, theirs) = (wasm::sections(here)?, wasm::sections(there)?);
    let mut text =
        format!("the module depends on where it is built: {} bytes here, {} elsewhere", here.len(), there.len());
    for (one, other) in ours.iter().zip(&theirs).filter(|(one, other)| one.data != other.data) {
        text.push_str(&section_difference(one, other));
    }
    if ours.len() != theirs.len() {
        text.push_str("\n  and in what sections there are");
    }
    Ok(text)
}

fn section_difference(one: &Section, other: &Section) -> String {
    let same = one.data.iter().zip(other.data).take_while(|(one, other)| one == other).count();
    format!(
        "\n  section {}: {} bytes here, {} elsewhere, the same up to byte {same}\n    here      {}\n    elsewhere {}",
        one.name,
        one.data.len(),
        other.data.len(),
        excerpt(one.data, same),
        excerpt(other.data, same),
    )
}

/// The bytes around a place, readable.
fn excerpt(data: &[u8], place: usize) -> String {
    let around = place.saturating_sub(40)..data.len().min(place + 60);
    data.get(around).unwrap_or_default().escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(text: &str) -> Vec<u8> {
        wat::parse_str(format!(r#"(module (memory 1) (data (i32.const 0) "{text}"))"#)).unwrap()
    }

    #[test]
    fn a_difference_is_shown_by_section_with_what_stands_around_it() {
        let text = difference(&module("at /home/one/lib.rs"), &module("at /home/two/lib.rs")).unwrap();
        assert!(text.contains("section data: 25 bytes here, 25 elsewhere, the same up to byte 15"), "{text}");
        assert!(text.contains("at /home/one/lib.rs") && text.contains("at /home/two/lib.rs"), "{text}");
        assert!(!text.contains("section memory"), "{text}");
    }

    #[test]
    fn the_copy_follows_its_original_and_leaves_ignored_files_out() {
        let folder = env::temp_dir().join(format!("xtask-copy-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        fs::create_dir_all(from.join("src")).unwrap();
        let write = |file: &str| fs::write(from.join(file), file).unwrap();
        ["src/kept.rs", "gone.rs", "ignored.wasm"].into_iter().for_each(write);
        fs::write(from.join(".gitignore"), "*.wasm").unwrap();
        copy_sources(&from, &to).unwrap();
        fs::remove_file(from.join("gone.rs")).unwrap();
        copy_sources(&from, &to).unwrap();
        let copied = files(&to).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(copied, BTreeSet::from([".gitignore".into(), "src/kept.rs".into()]));
    }
}
