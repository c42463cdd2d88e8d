//! What a fuzzer found once, in `fuzz/regressions/<target>/`, stays mended; and the cases of the test pages pass the
//! fuzz targets, too.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use autoscaler_guard_cases::{Case, pages};
use autoscaler_guard_fuzzing::TARGETS;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.flatten().map(|entry| entry.path()).collect()
}

#[test]
fn finds_stay_mended() {
    for (target, check) in TARGETS {
        for find in entries(&folder().join("regressions").join(target)) {
            println!("{}", find.display());
            check(&fs::read(&find).unwrap_or_else(|error| panic!("{}: {error}", find.display())));
        }
    }
}

#[test]
fn every_target_has_its_program_and_its_finds() {
    let names = |folder: &str| {
        let mut names: Vec<String> = entries(&self::folder().join(folder))
            .iter()
            .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
            .collect();
        names.sort();
        names
    };
    let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("regressions"), targets);
}

#[test]
fn the_cases_pass_the_targets() {
    let cases = pages().into_iter().flat_map(|page| page.cases);
    let payloads: Vec<String> = cases.map(|case: Case| case.world().payload()).collect();
    for payload in &payloads {
        for (_, check) in TARGETS {
            check(payload.as_bytes());
        }
    }
    // A few choices after the payload: answers that go wrong, objects that are damaged.
    for (seed, payload) in payloads.iter().enumerate() {
        let choices: Vec<u8> =
            (0..64_usize).map(|index| u8::try_from((seed + 1) * (index + 7) % 251).unwrap_or_default()).collect();
        let input = [payload.as_bytes(), b"\0", &choices].concat();
        for (_, check) in TARGETS {
            check(&input);
        }
    }
}
