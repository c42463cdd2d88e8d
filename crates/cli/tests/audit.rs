//! `audit` on clusters made of files: each problem, and clusters in which all is well; and all the ways in which it answers.
//!
//! A cluster's file says in comments what is to be found: `# expect: <id>`, with `likely` or `acknowledged` behind it where it is so, or
//! `# expect: unread <kind>`. The whole answer stands beside it as JSON; `AUTOSCALER_GUARD_WRITE=1` writes that anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn clusters() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../audit/tests/clusters")
}

/// Every cluster, as `<folder>/<name>`.
fn all() -> Vec<String> {
    let entries = |path: &Path| {
        let entries = std::fs::read_dir(path).expect("the folder can be read");
        entries.map(|entry| entry.expect("the entry can be read").path()).collect::<Vec<_>>()
    };
    let mut names = Vec::new();
    for file in entries(&clusters()).iter().flat_map(|folder| entries(folder)) {
        if file.extension().is_some_and(|extension| extension == "yaml") {
            let path = file.strip_prefix(clusters()).expect("it is below").with_extension("");
            names.push(path.to_string_lossy().into_owned());
        }
    }
    names.sort();
    assert!(names.len() > 80, "{} clusters", names.len());
    names
}

fn file(name: &str) -> PathBuf {
    clusters().join(format!("{name}.yaml"))
}

fn audit(name: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_autoscaler-guard"))
        .args(["audit", "--cluster"])
        .arg(file(name))
        .args(more)
        .output()
        .expect("the program runs")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it is text")
}

fn expected(name: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file(name)).expect("the file can be read");
    text.lines().filter_map(|line| line.strip_prefix("# expect: ")).map(str::to_owned).collect()
}

fn found(answer: &Value) -> BTreeSet<String> {
    let list = |name: &str| answer[name].as_array().expect("it is a list").clone();
    let finding = |finding: &Value| {
        let mut line = finding["id"].as_str().expect("an id").to_owned();
        if finding["certainty"] == "likely" {
            line.push_str(" likely");
        }
        if finding["acknowledged"] == true {
            line.push_str(" acknowledged");
        }
        line
    };
    let findings = list("findings");
    let unread = list("unread");
    let unread = unread.iter().map(|unread| format!("unread {}", unread["kind"].as_str().expect("a kind")));
    findings.iter().map(finding).chain(unread).collect()
}

#[test]
fn every_cluster_has_what_it_says_and_nothing_else() {
    let mut wrong = Vec::new();
    for name in all() {
        let output = audit(&name, &["--output", "json"]);
        let answer = json(&output);
        let (expected, found) = (expected(&name), found(&answer));
        if expected != found {
            wrong.push(format!("{name}\n  expected {expected:?}\n  found    {found:?}"));
        }
        let counts = |line: &&String| !line.ends_with(" acknowledged");
        let code = if found.iter().any(|line| line.starts_with("unread ")) {
            2
        } else {
            i32::from(found.iter().any(|line| counts(&line)))
        };
        assert_eq!(output.status.code(), Some(code), "{name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_whole_answers_are_kept() {
    for name in all() {
        let fresh = text(&audit(&name, &["--output", "json"]));
        let kept = clusters().join(format!("{name}.json"));
        if std::env::var_os("AUTOSCALER_GUARD_WRITE").is_some() {
            std::fs::write(&kept, &fresh).expect("the answer can be written");
        }
        let known = std::fs::read_to_string(&kept).unwrap_or_default();
        assert!(known == fresh, "{name}.json is stale: run this test with AUTOSCALER_GUARD_WRITE=1\n{fresh}");
    }
}

#[test]
fn json_is_what_its_schema_says() {
    let schema = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/audit.schema.json"));
    let schema: Value = serde_json::from_str(&schema.expect("there is a schema")).expect("it is JSON");
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    for name in all() {
        let answer = json(&audit(&name, &["--output", "json"]));
        let errors: Vec<String> = validator.iter_errors(&answer).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
    let without_id = serde_json::json!({"findings": [{"problem": "lost"}], "unread": [], "acknowledgements": []});
    assert!(!validator.is_valid(&without_id));
}

#[test]
fn every_problem_is_found_and_has_a_healthy_counterpart() {
    let names = all();
    for problem in autoscaler_guard_audit::problems::PROBLEMS {
        let of = |name: &&String| name.starts_with(&format!("{}/", problem.id));
        let finds = |name: &&String| expected(name).iter().any(|line| line.starts_with(&format!("{}/", problem.id)));
        assert!(names.iter().filter(of).any(|name| finds(&name)), "{} is never found", problem.id);
        assert!(names.iter().filter(of).any(|name| expected(name).is_empty()), "{} is never silent", problem.id);
    }
}

const LOST: &str = "lost/scaled-by-an-hpa";
const DANGLING: &str = "dangling/hpa";

#[test]
fn exit_codes_follow_fail_on_and_the_baseline() {
    for (name, more, code) in [
        (LOST, &[][..], 1),
        (LOST, &["--fail-on", "lost"], 1),
        (LOST, &["--fail-on", "never"], 0),
        (DANGLING, &["--fail-on", "lost"], 0),
        ("healthy/keda", &[], 0),
        ("unread/hpas", &["--fail-on", "never"], 2),
        (LOST, &["-n", "elsewhere"], 0),
        (LOST, &["--fail-on", "sometimes"], 2),
    ] {
        assert_eq!(audit(name, more).status.code(), Some(code), "{name} {more:?}");
    }
    let folder = tempfile::tempdir().expect("there is a folder");
    let baseline = folder.path().join("audit.json");
    let path = baseline.to_string_lossy().into_owned();
    let written = audit(LOST, &["--output", "json", "--output-file", &path]);
    assert_eq!((written.status.code(), text(&written)), (Some(1), String::new()));
    assert_eq!(audit(LOST, &["--baseline", &path]).status.code(), Some(0));
    assert_eq!(audit(DANGLING, &["--baseline", &path]).status.code(), Some(1));
    std::fs::write(&baseline, "# known\nlost/Deployment/shop/web\n").expect("it can be written");
    let output = audit(LOST, &["--baseline", &path, "--output", "json"]);
    assert_eq!((output.status.code(), &json(&output)["findings"][0]["baseline"]), (Some(0), &Value::Bool(true)));
    std::fs::write(&baseline, "nonsense\n").expect("it can be written");
    assert_eq!(audit(LOST, &["--baseline", &path]).status.code(), Some(2));
}

#[test]
fn unusable_input_is_said() {
    let folder = tempfile::tempdir().expect("there is a folder");
    let empty = folder.path().join("empty.yaml");
    std::fs::write(&empty, "# nothing\n").expect("it can be written");
    for path in [empty, folder.path().join("absent.yaml")] {
        let program = env!("CARGO_BIN_EXE_autoscaler-guard");
        let output = Command::new(program).args(["audit", "-f"]).arg(&path).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{}", path.display());
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: "), "{}", path.display());
    }
}

#[test]
fn answers_in_every_format() {
    let human = text(&audit(LOST, &[]));
    assert!(human.contains("lost") && human.contains("Deployment shop/web") && human.contains("certain"), "{human}");
    assert!(human.contains("shop: 1 lost") && human.contains("kubectl annotate deployment web"), "{human}");
    let acknowledged = text(&audit("lost/acknowledged", &[]));
    assert!(
        acknowledged.contains("nothing found") && acknowledged.contains("since 2026-11-20T16:40:11Z"),
        "{acknowledged}"
    );
    let unread = text(&audit("unread/hpas", &[]));
    assert!(unread.contains("not read: HorizontalPodAutoscaler"), "{unread}");
    let sarif = json(&audit(LOST, &["--output", "sarif"]));
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!((&sarif["version"], &result["ruleId"]), (&"2.1.0".into(), &"lost".into()));
    assert_eq!(result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"], "Deployment/shop/web");
    let junit = text(&audit(LOST, &["--output", "junit"]));
    assert!(junit.contains("failures=\"1\"") && junit.contains("<testcase name=\"orphaned\""), "{junit}");
    let markdown = text(&audit(LOST, &["--output", "markdown"]));
    assert!(markdown.contains("| lost | Deployment shop/web | 2026-11-20T16:40:11Z | certain |"), "{markdown}");
    assert!(text(&audit("healthy/keda", &["--output", "markdown"])).contains("Nothing found."));
}

/// Every command that a finding names is one that a shell takes as it is: no name breaks out of it.
#[test]
fn commands_are_plain() {
    for name in all() {
        for finding in json(&audit(&name, &["--output", "json"]))["findings"].as_array().expect("findings") {
            for command in finding["commands"].as_array().expect("commands") {
                let words = shell_words::split(command.as_str().expect("a command")).expect("it is a command");
                assert!(["kubectl", "autoscaler-guard"].contains(&words[0].as_str()), "{name}: {command}");
            }
        }
    }
}

/// kubectl finds a plugin by its name, and people read that name in its help.
#[cfg(unix)]
#[test]
fn it_is_a_plugin_of_kubectl() {
    let folder = tempfile::tempdir().expect("there is a folder");
    let plugin = folder.path().join("kubectl-autoscaler_guard");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_autoscaler-guard"), &plugin).expect("it can be linked");
    let run = |arguments: &[&str]| Command::new(&plugin).args(arguments).output().expect("it runs");
    let help = text(&run(&["audit", "--help"]));
    assert!(help.contains("Usage: kubectl autoscaler-guard audit"), "{help}");
    assert_eq!(run(&["audit", "-f", &file(LOST).to_string_lossy()]).status.code(), Some(1));
}

fn fix(name: &str, more: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_autoscaler-guard");
    Command::new(program).args(["fix"]).args(more).arg("--cluster").arg(file(name)).output().expect("the program runs")
}

/// From files it shows what it would do: the requests with their preconditions, or the change to make in Git.
#[test]
fn what_would_be_fixed_is_shown() {
    for (name, parts) in [
        (
            "orphaned/envoy-1.3-envoyhpa-removed",
            &["declares 2 replicas for Deployment", "APPLY Deployment", "DELETE HPA", "only if uid", "resourceVersion"]
                [..],
        ),
        ("orphaned/envoy-1.3-gateway-deleted", &["deletes HPA", "DELETE HPA"]),
        ("stale-owner/another-uid", &["PATCH HPA shop/keda-hpa-web {\"metadata\":{\"ownerReferences\":null}}"]),
        ("unfinished/scaledobject-still-there", &["deletes ScaledObject shop/web", "what it owns stays"]),
        (
            "at-zero/hpa",
            &["PATCH Deployment shop/web {\"spec\":{\"replicas\":1}}", "-   replicas: 0", "+   replicas: 1"],
        ),
        ("lost/helm-release-declares-the-hpa", &["CREATE HPA shop/web", "meta.helm.sh/release-name: web"]),
        ("lost/flux-inventory", &["by hand: sync Kustomization flux-system/shop"]),
        ("fighting/last-applied", &["by hand: take `spec.replicas` out of the manifest of Deployment shop/web"]),
        ("dangling/hpa", &["by hand: kubectl edit hpa web -n shop"]),
    ] {
        let output = fix(name, &[]);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(1), "{name}");
        for part in parts {
            assert!(text.contains(part), "{name} lacks {part:?}:\n{text}");
        }
    }
    let output = fix("healthy/keda", &[]);
    assert_eq!((output.status.code(), text(&output).contains("nothing to fix")), (Some(0), true));
    let output = fix(LOST, &["lost/Deployment/shop/other"]);
    assert!(text(&output).contains("lost/Deployment/shop/other is not found"), "{}", text(&output));
}

/// What the policy's own audit rejects, object by object, an audit of the whole cluster finds, too: by that or a more specific name.
#[test]
fn what_the_policy_audits_is_found() {
    let settings = autoscaler_guard::Settings::from_json(r#"{"audit": true}"#).expect("they are settings");
    let mut rejected = 0;
    for name in all() {
        let snapshot = autoscaler_guard_host::Snapshot::from_paths(&[file(&name)]).expect("the cluster can be read");
        let inventory = autoscaler_guard_audit::Inventory::of(snapshot.objects().cloned());
        let answer = json(&audit(&name, &["--output", "json"]));
        let findings = answer["findings"].as_array().expect("findings");
        // What may not be read here, the policy does not know of.
        if !answer["unread"].as_array().expect("unread").is_empty() {
            continue;
        }
        for object in inventory.objects().filter(|object| object.key.is_autoscaler()) {
            let (group, version) = object.text("/apiVersion").split_once('/').expect("a group");
            let request = serde_json::json!({
                "uid": "1", "operation": "CREATE", "userInfo": {}, "object": object.value,
                "kind": {"group": group, "version": version, "kind": object.key.kind},
                "name": object.key.name, "namespace": object.key.namespace,
            });
            let verdict = autoscaler_guard::review(&request.to_string(), &inventory, &settings);
            let target = object.text("/spec/scaleTargetRef/name");
            for rejection in verdict.rejections() {
                rejected += 1;
                let is_told = |finding: &&Value| {
                    finding["object"] == object.key.to_string()
                        || finding["workload"]
                            .as_str()
                            .is_some_and(|workload| workload.ends_with(&format!("/{target}")))
                };
                assert!(
                    findings.iter().any(|it| is_told(&it)),
                    "{name}: {} of {}: {}",
                    rejection.rule,
                    object.key,
                    rejection.what
                );
            }
        }
    }
    assert!(rejected > 15, "{rejected} rejections");
}
