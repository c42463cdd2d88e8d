//! `preflight` on upgrades of public charts, and all the ways in which it answers.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn charts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../world/tests/charts")
}

fn preflight(chart: &str, more: &[&str]) -> Output {
    let folder = charts().join(chart);
    Command::new(env!("CARGO_BIN_EXE_autoscaler-guard"))
        .args(["preflight", "--before"])
        .arg(folder.join("before.yaml"))
        .arg("--after")
        .arg(folder.join("after.yaml"))
        .args(more)
        .output()
        .expect("the program runs")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it is text")
}

const SEED: &str = "haproxy-ingress-keda-to-hpa-adopted";
const LOST: &str = "tempo-worker-to-keda-without-triggers";

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

#[test]
fn json_is_what_its_schema_says() {
    let schema =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/preflight.schema.json"));
    let schema: Value = serde_json::from_str(&schema.expect("there is a schema")).expect("it is JSON");
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    for entry in std::fs::read_dir(charts()).expect("there are charts") {
        let chart = entry.expect("it can be read").file_name();
        for more in [&["--guard", "both"][..], &["--guard", "off", "--rollback"], &["--guard", "on", "--as", "argocd"]]
        {
            let output = preflight(&chart.to_string_lossy(), &[&["--output", "json"], more].concat());
            let answer = json(&output);
            let errors: Vec<String> = validator.iter_errors(&answer).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{chart:?} {more:?}: {errors:?}");
            assert!(!answer["workloads"].as_array().expect("workloads").is_empty(), "{chart:?}");
        }
    }
}

#[test]
fn the_incident_is_foreseen_and_prevented() {
    let output = preflight(SEED, &["--output", "json", "--as", "helm3", "--namespace", "edge"]);
    assert_eq!(output.status.code(), Some(0));
    let answer = json(&output);
    let workload = &answer["workloads"][0];
    assert_eq!(workload["workload"], "Deployment edge/haproxy-kubernetes-ingress");
    assert_eq!(
        (&workload["without"]["outcome"], &workload["with"]["outcome"]),
        (&"lost".into(), &"handed-over".into())
    );
    assert_eq!(workload["after"], serde_json::json!(["HPA edge/haproxy-kubernetes-ingress"]));
    assert!(!workload["advice"].as_array().expect("advice").is_empty());
    // A side that nobody asked for is null, and the side that is there decides.
    let output = preflight(SEED, &["--output", "json", "--guard", "off"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(json(&output)["workloads"][0]["with"].is_null());
}

#[test]
fn exit_codes_follow_fail_on() {
    for (chart, more, code) in [
        (LOST, &[][..], 1),
        (LOST, &["--fail-on", "never"], 0),
        ("loki-two-of-three-to-keda-argocd", &["--as", "argocd", "--guard", "off"], 0),
        ("loki-two-of-three-to-keda-argocd", &["--as", "argocd", "--guard", "off", "--fail-on", "gap"], 1),
        (SEED, &["--as", "nobody"], 2),
        (SEED, &["--cluster", "no-such-file.yaml"], 2),
    ] {
        assert_eq!(preflight(chart, more).status.code(), Some(code), "{chart} {more:?}");
    }
}

#[test]
fn what_was_assumed_and_what_helps_is_said() {
    let text = text(&preflight(SEED, &["--verbose"]));
    for part in [
        "assumed: --as helm3",
        "without     lost",
        "with guard  handed-over",
        "help: ",
        "--cascade=orphan",
        "garbage collector: DELETE HPA",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn other_programs_are_answered_in_their_own_form() {
    let sarif: Value = json(&preflight(LOST, &["--output", "sarif"]));
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "lost");
    let place = &result["locations"][0]["physicalLocation"];
    assert!(place["artifactLocation"]["uri"].as_str().is_some_and(|file| file.ends_with("after.yaml")), "{place}");
    assert!(place["region"]["startLine"].as_u64().is_some_and(|line| line > 1), "{place}");
    let junit = text(&preflight(LOST, &["--output", "junit"]));
    assert!(junit.contains("tests=\"1\" failures=\"1\"") && junit.contains("<failure type=\"lost\""), "{junit}");
    let github = text(&preflight(LOST, &["--output", "github"]));
    assert!(github.starts_with("::error file="), "{github}");
    let markdown = text(&preflight(LOST, &["--output", "markdown"]));
    assert!(
        markdown.contains("| StatefulSet obs/tempo-backend-worker | HPA obs/tempo-backend-worker → none | ❌ lost |"),
        "{markdown}"
    );
}

#[test]
fn a_cluster_from_files_counts() {
    // Of a live HPA that the manifests do not know, nothing is lost.
    let folder = tempfile::tempdir().expect("there is a folder");
    let cluster = folder.path().join("cluster.yaml");
    let before = std::fs::read_to_string(charts().join(LOST).join("before.yaml")).expect("it can be read");
    let second = "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: other\n  namespace: obs\nspec:\n  \
                  scaleTargetRef:\n    apiVersion: apps/v1\n    kind: StatefulSet\n    name: tempo-backend-worker\n  maxReplicas: 5\n";
    std::fs::write(&cluster, format!("{before}\n{second}")).expect("it can be written");
    let cluster = cluster.display().to_string();
    let answer = json(&preflight(LOST, &["--output", "json", "--cluster", &cluster]));
    assert_eq!(answer["workloads"][0]["without"]["outcome"], "kept", "{answer:#}");
}

#[test]
fn both_sides_of_a_pull_request_are_rendered() {
    let git = |folder: &Path, arguments: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
        let output = Command::new("git").args(identity).args(arguments).current_dir(folder).output().expect("git runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let folder = tempfile::tempdir().expect("there is a folder");
    let deploy = folder.path().join("deploy");
    std::fs::create_dir(&deploy).expect("a folder can be made");
    let copy = |side: &str| {
        std::fs::copy(charts().join(SEED).join(side), deploy.join("all.yaml")).expect("it can be copied");
    };
    git(folder.path(), &["init", "--quiet"]);
    copy("before.yaml");
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "--quiet", "--message", "KEDA"]);
    copy("after.yaml");
    git(folder.path(), &["commit", "--quiet", "--all", "--message", "HPA"]);
    for range in ["HEAD~1", "HEAD~1..HEAD"] {
        let output = Command::new(env!("CARGO_BIN_EXE_autoscaler-guard"))
            .args(["preflight", "--git", range, "deploy", "--output", "json"])
            .current_dir(folder.path())
            .output()
            .expect("the program runs");
        let answer = json(&output);
        assert_eq!(answer["workloads"][0]["without"]["outcome"], "lost", "{range}: {answer:#}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_autoscaler-guard"))
        .args(["preflight", "--git", "HEAD~1..HEAD", "deploy", "--each"])
        .current_dir(folder.path())
        .output()
        .expect("the program runs");
    let text = text(&output);
    assert!(
        text.contains("without lost  with handed-over") && text.contains("prevented 1, refused for nothing 0"),
        "{text}"
    );
}
