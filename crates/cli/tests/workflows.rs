//! The workflows run nothing of other people's that may change under them, and no job has rights that it does not ask
//! for.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

fn workflows() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.github/workflows");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let text =
        |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries
        .filter_map(Result::ok)
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), text(&entry.path())))
        .collect()
}

#[test]
fn actions_are_pinned_by_commit_and_named_by_version() {
    let mut pinned = 0;
    for (name, text) in workflows() {
        for (number, line) in text.lines().enumerate() {
            let Some((_, action)) = line.split_once("uses: ") else { continue };
            if action.starts_with("./") {
                continue;
            }
            let (pin, version) = action.split_once(" # v").unwrap_or((action, ""));
            let commit = pin.split_once('@').map(|(_, commit)| commit).unwrap_or_default();
            let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_commit && semver::Version::parse(version).is_ok(), "{name}:{}: {action}", number + 1);
            pinned += 1;
        }
    }
    assert!(pinned > 0);
}

#[test]
fn jobs_have_the_rights_that_they_name() {
    for (name, text) in workflows() {
        let workflow: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(workflow["permissions"], json!({}), "{name} gives rights to all of its jobs");
        for (id, job) in workflow["jobs"].as_object().unwrap_or_else(|| panic!("{name} has no jobs")) {
            assert!(job["permissions"].is_object(), "{name}: {id} does not say what rights it needs");
        }
    }
}

/// `make e2e-kwctl` passes where there is no kwctl, unless it is required.
#[test]
fn a_job_requires_kwctl_and_pins_it() {
    let workflow: Value = serde_saphyr::from_str(&workflows()["ci.yml"]).expect("ci.yml is YAML");
    let steps = workflow["jobs"]["kwctl"]["steps"].as_array().expect("it has steps");
    let version = steps.iter().find_map(|step| step["with"]["kwctl-version"].as_str()).expect("it names a version");
    assert!(version.strip_prefix('v').is_some_and(|version| semver::Version::parse(version).is_ok()), "{version}");
    let played = steps.iter().find(|step| step["run"] == "make e2e-kwctl").expect("it runs the tests");
    assert_eq!(played["env"]["KWCTL_REQUIRED"], "1");
}

/// Whether a job waits for another, at however many removes.
fn comes_after(id: &str, other: &str, needs: &dyn Fn(&str) -> Vec<String>) -> bool {
    needs(id).iter().any(|needed| needed == other || comes_after(needed, other, needs))
}

/// A job that writes to the registry, the repository or the site comes after the tests.
#[test]
fn nothing_is_published_untested() {
    let workflows = workflows();
    let release: Value = serde_saphyr::from_str(&workflows["release.yml"]).expect("release.yml is YAML");
    let jobs = release["jobs"].as_object().expect("it has jobs");
    let needs = |id: &str| -> Vec<String> {
        match &jobs[id]["needs"] {
            Value::String(one) => vec![one.clone()],
            Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    };
    let mut publishing = 0;
    for (id, job) in jobs {
        let rights = job["permissions"].as_object().expect("it says which");
        if ["contents", "packages", "pages"].iter().any(|right| rights.get(*right) == Some(&json!("write"))) {
            assert!(
                comes_after(id, "test", &needs) && comes_after(id, "tag", &needs),
                "{id} does not wait for the tests"
            );
            publishing += 1;
        }
    }
    assert!(publishing > 0);
}

/// The action is one as GitHub reads it, hands no input to a shell as code, and asks what the command line answers.
#[test]
fn the_action_is_sound() {
    use autoscaler_guard_cli::Arguments;
    use clap::Parser;

    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../action.yml"));
    let action: Value = serde_saphyr::from_str(&text.expect("it is there")).expect("it is YAML");
    for field in ["name", "description", "author"] {
        assert!(action[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
    assert!(action["branding"]["icon"].is_string() && action["branding"]["color"].is_string());
    let inputs = action["inputs"].as_object().expect("it has inputs");
    for (name, input) in inputs {
        assert!(input["description"].is_string() && input["required"].is_boolean(), "{name}");
        assert_eq!(
            input["required"] == false,
            input["default"].is_string(),
            "{name}: what is not required has a default"
        );
    }
    assert_eq!(action["runs"]["using"], "composite");
    let mut used = String::new();
    for step in action["runs"]["steps"].as_array().expect("it has steps") {
        let run = step["run"].as_str().expect("it runs something of its own");
        assert!(step["shell"] == "bash" && !run.contains("${{"), "{run}");
        let named = step["env"].as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str());
        used.extend(named);
    }
    for name in inputs.keys() {
        assert!(used.contains(&format!("${{{{ inputs.{name} }}}}")), "{name} is not used");
    }
    let default = |name: &str| inputs[name]["default"].as_str().expect("it has a default");
    let asked = [
        "autoscaler-guard",
        "preflight",
        "--git",
        "origin/main",
        "deploy/",
        "--fail-on",
        default("fail-on"),
        "--output",
        default("output"),
        "--as",
        "argocd",
        "--output-file",
        "report",
    ];
    Arguments::try_parse_from(asked).expect("it asks what can be asked");
}
