//! The manifests of both sides: from files, or from the programs that make them.

use std::path::{Path, PathBuf};
use std::process::Command;

use autoscaler_guard_world::Tool;

use super::input::{self, Manifest};
use crate::arguments::PreflightOptions;
use crate::documents::{Source, is_stdin};
use crate::fault::Fault;

/// Both sides, and what is known by the way they came.
#[derive(Debug, Default)]
pub struct Given {
    /// Before.
    pub before: Vec<Manifest>,
    /// After.
    pub after: Vec<Manifest>,
    /// The tool, where it is known.
    pub tool: Option<Tool>,
    /// The namespace, where it is known.
    pub namespace: Option<String>,
    /// The release, where it is known.
    pub app: Option<String>,
    /// What was taken for granted.
    pub notes: Vec<String>,
}

/// Reads both sides.
pub fn manifests(options: &PreflightOptions) -> Result<Given, Fault> {
    if let Some(release) = &options.release {
        return release_and_chart(options, release);
    }
    if let [old, new] = options.kustomize.as_slice() {
        return Ok(Given { before: kustomize(old)?, after: kustomize(new)?, ..Given::default() });
    }
    if let [range, path] = options.git.as_slice() {
        return git(options, range, Path::new(path));
    }
    let stdin = |paths: &[PathBuf]| paths.iter().any(|path| is_stdin(path));
    let streams = [&options.before, &options.after, &options.cluster].into_iter().filter(|paths| stdin(paths)).count();
    if streams > 1 {
        return Err(Fault::new("standard input can be read but once").help("name files for the others"));
    }
    if options.before.is_empty() && options.after.is_empty() {
        return Err(Fault::new("nothing says what changes")
            .help("--before and --after name manifests; --release, --kustomize and --git have them rendered"));
    }
    Ok(Given {
        before: input::manifests(&options.before, "the manifests of before")?,
        after: input::manifests(&options.after, "the manifests of after")?,
        ..Given::default()
    })
}

/// Runs a program for what it prints.
pub fn output(program: &str, arguments: &[String], folder: Option<&Path>) -> Result<String, Fault> {
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let shown = || format!("{program} {}", arguments.join(" "));
    let output = command.output().map_err(|error| {
        Fault::new(format!("{program} cannot be run")).because(error).help(format!("put {program} on PATH"))
    })?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Fault::new(format!("`{}` failed", shown())).because(reason));
    }
    String::from_utf8(output.stdout)
        .map_err(|error| Fault::new(format!("`{}` printed no text", shown())).because(error))
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn source(name: String, text: String) -> Result<Vec<Manifest>, Fault> {
    input::of_source(&Source { name, text })
}

/// The API versions that charts ask for before they render autoscalers.
const API_VERSIONS: &[&str] = &[
    "autoscaling/v2",
    "autoscaling/v2/HorizontalPodAutoscaler",
    "keda.sh/v1alpha1",
    "keda.sh/v1alpha1/ScaledObject",
    "policy/v1/PodDisruptionBudget",
];

/// A helm that was built without its version claims an old Kubernetes, and charts refuse to render.
const KUBE_VERSION: &str = "1.36.0";

fn template(options: &PreflightOptions, release: &str, namespace: &str, chart: &str) -> Result<Vec<Manifest>, Fault> {
    let mut arguments = words(&["template", release, chart, "--namespace", namespace, "--kube-version", KUBE_VERSION]);
    for version in API_VERSIONS {
        arguments.extend(words(&["--api-versions", version]));
    }
    for file in &options.values {
        arguments.extend(words(&["--values", &file.display().to_string()]));
    }
    for value in &options.set {
        arguments.extend(words(&["--set", value]));
    }
    source(format!("chart {chart}"), output("helm", &arguments, None)?)
}

fn release_and_chart(options: &PreflightOptions, release: &str) -> Result<Given, Fault> {
    let Some(chart) = &options.chart else {
        return Err(Fault::new("--release needs --chart").help("--chart names a folder, an archive or a reference"));
    };
    let namespace = options.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let version = output("helm", &words(&["version", "--short"]), None)?;
    let tool = if version.trim().trim_start_matches('v').starts_with('4') { Tool::Helm4 } else { Tool::Helm3 };
    let mut arguments = words(&["get", "manifest", release, "--namespace", &namespace]);
    arguments.extend(options.of.helm());
    let before = source(format!("release {release}"), output("helm", &arguments, None)?)?;
    let after = template(options, release, &namespace, chart)?;
    let mut notes = vec![format!("hooks of the last release are not known: helm get manifest leaves them out")];
    if options.values.is_empty() && options.set.is_empty() {
        notes.push(
            "the chart is rendered with its default values; helm upgrade would reuse those of the release".to_owned(),
        );
    }
    Ok(Given { before, after, tool: Some(tool), namespace: Some(namespace), app: Some(release.to_owned()), notes })
}

/// `kustomize build`, or kubectl's.
fn kustomize(folder: &Path) -> Result<Vec<Manifest>, Fault> {
    let folder = folder.display().to_string();
    let has_kustomize = Command::new("kustomize").arg("version").output().is_ok();
    let (program, arguments) = if has_kustomize {
        ("kustomize", words(&["build", &folder]))
    } else {
        ("kubectl", words(&["kustomize", &folder]))
    };
    source(format!("kustomization {folder}"), output(program, &arguments, None)?)
}

/// Both sides of a range: the tree at each commit, rendered by what it holds.
fn git(options: &PreflightOptions, range: &str, path: &Path) -> Result<Given, Fault> {
    let (base, head) =
        range.split_once("..").map_or((range, None), |(base, head)| (base, Some(head.trim_start_matches('.'))));
    let head = head.filter(|head| !head.is_empty());
    let before = at_commit(options, base, path)?;
    let after = match head {
        Some(head) => at_commit(options, head, path)?,
        None => render(options, path, path)?,
    };
    Ok(Given { before, after, ..Given::default() })
}

pub fn at_commit(options: &PreflightOptions, commit: &str, path: &Path) -> Result<Vec<Manifest>, Fault> {
    let folder =
        tempfile::tempdir().map_err(|error| Fault::new("there is no place for a commit's files").because(error))?;
    let top = output("git", &words(&["rev-parse", "--show-toplevel"]), None)?;
    let top = PathBuf::from(top.trim());
    let prefix = output("git", &words(&["rev-parse", "--show-prefix"]), None)?;
    let inside = Path::new(prefix.trim()).join(path);
    let archive = folder.path().join("commit.tar");
    let arguments = words(&["archive", "--output", &archive.display().to_string(), commit]);
    output("git", &arguments, Some(&top))?;
    let arguments = words(&["-xf", &archive.display().to_string(), "-C", &folder.path().display().to_string()]);
    output("tar", &arguments, None)?;
    std::fs::remove_file(&archive).map_err(|error| Fault::new("a commit's files cannot be used").because(error))?;
    let at = folder.path().join(&inside);
    // What is not there at a commit is an application that comes, or goes.
    if !at.exists() {
        return Ok(Vec::new());
    }
    render(options, &at, &inside)
}

/// Renders a folder by what it is: a chart, a kustomization, or plain manifests.
fn render(options: &PreflightOptions, at: &Path, name: &Path) -> Result<Vec<Manifest>, Fault> {
    if at.join("Chart.yaml").is_file() {
        let release = name.file_name().map_or("release".to_owned(), |name| name.to_string_lossy().into_owned());
        let namespace = options.namespace.clone().unwrap_or_else(|| "default".to_owned());
        return template(options, &release, &namespace, &at.display().to_string());
    }
    let files = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
    if files.iter().any(|file| at.join(file).is_file()) {
        return kustomize(at);
    }
    let mut found = input::manifests(&[at.to_owned()], "manifests")?;
    let (from, to) = (at.display().to_string(), name.display().to_string());
    for manifest in &mut found {
        manifest.file = manifest.file.replace(&from, &to);
    }
    Ok(found)
}

/// The kinds that a preflight needs of a cluster.
const KINDS: &[&str] = &[
    "deployments.apps",
    "statefulsets.apps",
    "horizontalpodautoscalers.v2.autoscaling",
    "scaledobjects.keda.sh",
    "gateways.gateway.networking.k8s.io",
    "gatewayclasses.gateway.networking.k8s.io",
    "envoyproxies.gateway.envoyproxy.io",
];

/// The objects of a live cluster, by kubectl. Kinds that are not served are none.
pub fn live(options: &PreflightOptions) -> Result<Vec<serde_json::Value>, Fault> {
    let mut found = Vec::new();
    for kind in KINDS {
        let mut arguments = words(&["get", kind, "--all-namespaces", "--show-managed-fields", "--output", "json"]);
        arguments.extend(options.of.kubectl());
        match output("kubectl", &arguments, None) {
            Ok(text) => found.extend(source(format!("kubectl get {kind}"), text)?.into_iter().map(|it| it.value)),
            Err(fault) if fault.to_string().contains("the server doesn't have a resource type") => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(found)
}

/// The objects of the cluster, if one is named.
pub fn cluster(options: &PreflightOptions) -> Result<Option<Vec<serde_json::Value>>, Fault> {
    if options.live || options.of.is_named() {
        return live(options).map(Some);
    }
    if options.cluster.is_empty() {
        return Ok(None);
    }
    let found = input::manifests(&options.cluster, "the cluster's objects")?;
    if found.is_empty() {
        return Err(Fault::new("there is no object in the cluster that was given")
            .help("`kubectl get deploy,sts,hpa,so -A -o yaml` prints some"));
    }
    Ok(Some(found.into_iter().map(|manifest| manifest.value).collect()))
}
