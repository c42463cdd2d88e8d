//! `review` of what is no request: plain manifests, sequences, audit logs.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

fn object(name: &str) -> PathBuf {
    fixtures().join("objects").join(name)
}

fn review(arguments: &[&Path], more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_autoscaler-guard"))
        .arg("review")
        .args(arguments)
        .args(["--output", "json"])
        .args(more)
        .output()
        .expect("the program runs")
}

fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn cluster(names: &[&str]) -> Vec<String> {
    names.iter().flat_map(|name| ["--cluster".to_owned(), object(name).display().to_string()]).collect()
}

#[test]
fn plain_manifests_are_judged() {
    let folder = tempfile::tempdir().expect("there is a folder");
    let file = folder.path().join("hpa.yaml");
    let manifest = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: second\nspec:\n  scaleTargetRef:\n    \
                    apiVersion: apps/v1\n    kind: Deployment\n    name: web\n  maxReplicas: 4\n";
    std::fs::write(&file, manifest).expect("it can be written");
    let around = cluster(&["deployment-web.yaml", "hpa-web-plain.yaml", "namespace-shop.yaml"]);
    let around: Vec<&str> = around.iter().map(String::as_str).collect();
    let judged = |file: &Path, more: &[&str]| review(&[file], &[&around[..], more].concat());
    let created = judged(&file, &["--operation", "create", "-n", "shop"]);
    assert_eq!(answer(&created)[0]["rules"][0], "duplicate-autoscaler");
    assert_eq!(created.status.code(), Some(1));
    // Without a namespace, or with nothing to compare with, there is no request.
    assert_eq!(judged(&file, &["--operation", "create"]).status.code(), Some(2));
    assert_eq!(judged(&file, &["--operation", "update", "-n", "shop"]).status.code(), Some(2));
    let deleted = judged(&object("hpa-web-plain.yaml"), &["--operation", "delete"]);
    assert_eq!(answer(&deleted)[0]["rules"][0], "hpa-deleted");
    // The object as it is now, by name: what the manifest leaves out is taken away.
    let retargeted = folder.path().join("retargeted.yaml");
    let plain = std::fs::read_to_string(object("hpa-web-plain.yaml")).expect("it can be read");
    let mut plain: Value = serde_saphyr::from_str(&plain).expect("it is YAML");
    plain["spec"]["scaleTargetRef"]["name"] = json!("api");
    std::fs::write(&retargeted, plain.to_string()).expect("it can be written");
    let old = object("hpa-web-plain.yaml").display().to_string();
    for more in [&["--operation", "update"][..], &["--operation", "update", "--old", &old]] {
        let updated = answer(&judged(&retargeted, more));
        assert_eq!(updated[0]["request"]["operation"], "UPDATE");
        assert!(
            updated[0]["rules"].as_array().is_some_and(|rules| rules.contains(&json!("hpa-retargeted"))),
            "{updated:#}"
        );
    }
}

/// Helm replaces a ScaledObject by an HPA of the same name: the last requests of the first incident, as they were
/// captured.
#[test]
fn the_first_incident_ends_well_as_a_sequence() {
    let requests = fixtures().join("requests/keda-hpa-helm3");
    let (update, delete) = (
        requests.join("007-update-horizontalpodautoscaler-lab-admin.json"),
        requests.join("008-delete-scaledobject-lab-admin.json"),
    );
    let around =
        cluster(&["deployment-web.yaml", "hpa-web-owned.yaml", "scaledobject-web.yaml", "namespace-shop.yaml"]);
    let around: Vec<&str> = around.iter().map(String::as_str).collect();
    let play = |settings: &[&str]| review(&[&update, &delete], &[&around[..], &["--sequence"], settings].concat());
    let output = play(&[]);
    let guarded = answer(&output);
    assert_eq!(guarded[0]["verdict"], "repaired");
    assert_eq!(guarded[1]["workloads"]["Deployment shop/web"], "handed-over", "{guarded:#}");
    assert_eq!(output.status.code(), Some(0), "{guarded:#}");
    // With every rule off it ends as it did.
    let folder = tempfile::tempdir().expect("there is a folder");
    let off = folder.path().join("off.yaml");
    std::fs::write(&off, "rules:\n  hpa: \"off\"\n  keda: \"off\"\n").expect("it can be written");
    let output = play(&["--settings", &off.display().to_string()]);
    let bare = answer(&output);
    assert_eq!(bare[1]["workloads"]["Deployment shop/web"], "lost", "{bare:#}");
    let then = bare[1]["then"].as_array().expect("what happened next");
    assert!(then.iter().any(|event| event["what"] == "DELETE HPA shop/web"), "{bare:#}");
    assert_eq!(output.status.code(), Some(1));
}

/// An event of an audit log about an HPA.
fn event(verb: &str, user: &str, body: &Value, query: &str) -> String {
    let name = &body["metadata"]["name"];
    let reply = if verb == "delete" { json!({"kind": "Status", "metadata": {}}) } else { body.clone() };
    json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse", "stage": "ResponseComplete", "verb": verb,
        "requestURI": format!("/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers{query}"),
        "user": {"username": user, "groups": ["system:authenticated"]},
        "objectRef": {"resource": "horizontalpodautoscalers", "namespace": "shop", "name": name, "apiGroup": "autoscaling", "apiVersion": "v2"},
        "responseStatus": {"code": 200},
        "responseObject": reply,
    })
    .to_string()
}

#[test]
fn an_audit_log_says_what_would_have_been_refused() {
    let hpa = |name: &str| {
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name, "namespace": "shop", "uid": name},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 5},
        })
    };
    let refused = event("create", "jane", &hpa("third"), "").replace("\"code\":200", "\"code\":403");
    let bodiless = event("patch", "jane", &hpa("unknown"), "").replace("\"responseObject\"", "\"other\"");
    let lines = [
        event("create", "jane", &hpa("web"), "?fieldManager=kubectl-create"),
        event("create", "jane", &hpa("second"), ""),
        refused,
        bodiless,
        event("delete", "joe", &hpa("second"), ""),
        event("delete", "joe", &hpa("web"), ""),
        event("delete", "system:serviceaccount:kube-system:generic-garbage-collector", &hpa("web"), ""),
    ];
    let folder = tempfile::tempdir().expect("there is a folder");
    let log = folder.path().join("audit.log");
    std::fs::write(&log, lines.join("\n")).expect("it can be written");
    let run = |more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_autoscaler-guard"))
            .args(["review", "--audit-log"])
            .arg(&log)
            .args(more)
            .output()
            .expect("the program runs")
    };
    let output = run(&["--output", "json"]);
    let found = answer(&output);
    let said: Vec<(&str, &str)> = found["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter(|finding| finding["verdict"] == "rejected")
        .map(|finding| (finding["change"].as_str().expect("a change"), finding["rules"][0].as_str().expect("a rule")))
        .collect();
    assert_eq!(
        said,
        [
            ("CREATE HorizontalPodAutoscaler shop/second", "duplicate-autoscaler"),
            ("DELETE HorizontalPodAutoscaler shop/web", "hpa-deleted"),
        ],
        "{found:#}"
    );
    assert_eq!((&found["judged"], &found["notJudged"]), (&json!(4), &json!(2)), "{found:#}");
    assert_eq!(found["byUser"]["joe"]["rejected"], 1, "{found:#}");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(run(&[]).stdout).expect("it is text");
    assert!(text.contains("rejected CREATE HorizontalPodAutoscaler shop/second by jane"), "{text}");
    assert!(text.contains("duplicate-autoscaler: 1 rejected") && text.contains("joe: 1 rejected"), "{text}");
}
