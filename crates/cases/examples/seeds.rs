//! Writes what the fuzz targets start from, a folder each: the cases of the test pages and the fixtures.
//!
//! `cargo run --package autoscaler-guard-cases --example seeds -- fuzz/seeds`

#![allow(clippy::restriction, reason = "the demo may panic")]

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use autoscaler_guard_cases::{Case, pages};
use serde_json::Value;

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).ok_or_else(|| io::Error::other("where to? For instance fuzz/seeds"))?;
    let folder = PathBuf::from(folder);
    for target in ["evaluate", "settings", "repair", "reading"] {
        fs::create_dir_all(folder.join(target))?;
    }
    for page in pages() {
        for (index, case) in page.cases.iter().enumerate() {
            write(&folder, &format!("{}-{index}", page.rule), case)?;
        }
    }
    Ok(())
}

fn write(folder: &Path, name: &str, case: &Case) -> io::Result<()> {
    let world = case.world();
    let payload = world.payload();
    fs::write(folder.join("evaluate").join(name), &payload)?;
    if world.natively().response.mutated_object.is_some() {
        fs::write(folder.join("repair").join(name), &payload)?;
    }
    if world.settings.is_object() {
        fs::write(folder.join("settings").join(name), world.settings.to_string())?;
    }
    for object in ["object", "oldObject"] {
        if let Some(object @ Value::Object(_)) = world.request.get(object) {
            fs::write(folder.join("reading").join(name), object.to_string())?;
        }
    }
    Ok(())
}
