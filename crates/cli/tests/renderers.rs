//! `preflight` with the programs that render manifests: helm, version 3 and 4, and kustomize, where the live tests have
//! built them.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A program that the live tests have built, or nothing.
fn tool(name: &str, program: &str) -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?;
    let folders = fs::read_dir(cache.join("autoscaler-guard/tools")).ok()?.flatten();
    let found = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{name}-")));
    let found = found.map(|entry| entry.path().join(program)).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: there is no {program} of {name} (`make e2e` builds it)");
    }
    found
}

const WORKLOAD: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  selector:\n    matchLabels: {app: web}\n  \
                        template:\n    metadata:\n      labels: {app: web}\n    spec:\n      containers:\n        - {name: web, image: web}\n";
const HPA: &str = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: web\nspec:\n  scaleTargetRef:\n    \
                   apiVersion: apps/v1\n    kind: Deployment\n    name: web\n  minReplicas: 2\n  maxReplicas: 9\n  metrics:\n    - type: \
                   Resource\n      resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}\n";
const SCALED_OBJECT: &str = "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata:\n  name: web\nspec:\n  scaleTargetRef:\n    name: \
                             web\n  minReplicaCount: 2\n  maxReplicaCount: 5\n  advanced:\n    horizontalPodAutoscalerConfig:\n      name: \
                             web\n  triggers:\n    - type: cron\n      metadata: {timezone: UTC, start: 0 6 * * *, end: 0 20 * * *, \
                             desiredReplicas: \"5\"}\n";

/// A chart whose value says which autoscaler there is; one that asks for the API first, and has a hook and a test.
fn chart(folder: &Path) -> PathBuf {
    let chart = folder.join("web");
    fs::create_dir_all(chart.join("templates")).expect("a folder can be made");
    let write = |name: &str, text: &str| fs::write(chart.join(name), text).expect("it can be written");
    write("Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\nkubeVersion: \">=1.27.0-0\"\n");
    write("values.yaml", "autoscaler: keda\n");
    write("templates/workload.yaml", WORKLOAD);
    let has = "and (eq .Values.autoscaler \"hpa\") (.Capabilities.APIVersions.Has \"autoscaling/v2/HorizontalPodAutoscaler\")";
    write("templates/hpa.yaml", &format!("{{{{- if {has} }}}}\n{HPA}{{{{- end }}}}\n"));
    write(
        "templates/keda.yaml",
        &format!("{{{{- if eq .Values.autoscaler \"keda\" }}}}\n{SCALED_OBJECT}{{{{- end }}}}\n"),
    );
    let hook = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  generateName: migrate-\n  annotations:\n    helm.sh/hook: pre-upgrade\nspec:\n  \
                template:\n    spec:\n      containers: []\n";
    write("templates/hook.yaml", hook);
    chart
}

/// A helm whose release was made by `helm template`: to read one takes a cluster.
fn helm_with_release(folder: &Path, helm: &Path, chart: &Path) {
    let rendered = Command::new(helm)
        .args(["template", "web", "--no-hooks", "--namespace", "shop", "--kube-version", "1.36.0"])
        .arg(chart)
        .output()
        .expect("helm runs");
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let release = folder.join("release.yaml");
    fs::write(&release, &rendered.stdout).expect("it can be written");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = get ]; then exec cat '{}'; fi\nexec '{}' \"$@\"\n",
        release.display(),
        helm.display()
    );
    let path = folder.join("helm");
    fs::write(&path, script).expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be made a program");
}

fn preflight(programs: &Path, arguments: &[&str]) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(env!("CARGO_BIN_EXE_autoscaler-guard"))
        .args(["preflight", "--output", "json"])
        .args(arguments)
        .env("PATH", format!("{}:{path}", programs.display()))
        .output()
        .expect("the program runs")
}

fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_release_and_a_chart_are_compared() {
    for (name, tool_id, without, with) in
        [("helm3", "helm3", "lost", "handed-over"), ("helm4", "helm4", "stuck", "stuck")]
    {
        let Some(helm) = tool(name, "helm") else { continue };
        let folder = tempfile::tempdir().expect("there is a folder");
        let chart = chart(folder.path());
        helm_with_release(folder.path(), &helm, &chart);
        let chart = chart.display().to_string();
        let given = ["--release", "web", "-n", "shop", "--chart", &chart, "--set", "autoscaler=hpa"];
        let found = answer(&preflight(folder.path(), &given));
        assert_eq!(found["as"], tool_id, "{found:#}");
        let web = &found["workloads"][0];
        assert_eq!(web["workload"], "Deployment shop/web");
        assert_eq!((&web["without"]["outcome"], &web["with"]["outcome"]), (&without.into(), &with.into()), "{found:#}");
        // A values file does the same, and another tool may apply it.
        let values = folder.path().join("values.yaml");
        fs::write(&values, "autoscaler: hpa\n").expect("it can be written");
        let values = values.display().to_string();
        let given = ["--release", "web", "-n", "shop", "--chart", &chart, "--values", &values, "--as", "argocd"];
        let found = answer(&preflight(folder.path(), &given));
        assert_eq!(found["workloads"][0]["without"]["outcome"], "gap", "{found:#}");
    }
}

#[test]
fn two_kustomizations_are_compared() {
    let Some(kustomize) = tool("kustomize", "kustomize") else { return };
    let folder = tempfile::tempdir().expect("there is a folder");
    let make = |name: &str, autoscaler: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).expect("a folder can be made");
        let write = |name: &str, text: &str| fs::write(path.join(name), text).expect("it can be written");
        write("workload.yaml", WORKLOAD);
        write("autoscaler.yaml", autoscaler);
        write("kustomization.yaml", "namespace: shop\nresources: [workload.yaml, autoscaler.yaml]\n");
        path.display().to_string()
    };
    let (old, new) = (make("old", SCALED_OBJECT), make("new", HPA));
    let programs = kustomize.parent().expect("it is in a folder");
    let output = preflight(programs, &["--kustomize", &old, &new, "--as", "flux", "--guard", "off"]);
    let found = answer(&output);
    assert_eq!(found["workloads"][0]["without"]["outcome"], "lost", "{found:#}");
    assert_eq!(output.status.code(), Some(1));
    // What cannot be rendered is no input.
    let output = preflight(programs, &["--kustomize", &old, &folder.path().join("none").display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
}
