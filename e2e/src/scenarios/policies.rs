//! The policies for Kubewarden while no policy server answers: controllers and clean-up are not held up by
//! failurePolicy Fail.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio::process::Command;

use super::keda::{deployment, hpa};
use super::{Scenario, envoy, free};
use crate::control_plane::{ADMIN, UNGUARDED_USER, free_ports};
use crate::objects::{self, DEPLOYMENT, HPA};
use crate::operators::ENVOY_GATEWAY_NAMESPACE;
use crate::stage::{Answer, Stage};
use crate::world::Kind::EnvoyGateway;

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "policy-server-down",
        "KEDA and clean-up, while no policy server answers, failurePolicy Fail",
        |stage| Box::pin(keda(stage)),
    )
    .kustomize(),
    Scenario::new(
        "policy-server-down-1.9.1",
        "Envoy Gateway and clean-up, while no policy server answers, failurePolicy Fail",
        |stage| Box::pin(envoy_gateway(stage)),
    )
    .world(EnvoyGateway)
    .kustomize()
    .alone(),
];

async fn keda(stage: &Stage<'_>) -> Result<String> {
    if !stage.guarded() {
        free::keda_lives(stage).await?;
        return free::namespace_deleted(stage).await;
    }
    examples_are_as_documented(stage).await?;
    gatekeeper_is_as_documented(stage).await?;
    while_down(stage, &[&stage.namespace], "Namespaced", async |driver| {
        free::keda_lives(driver).await?;
        fails_for_people(stage, driver).await?;
        free::namespace_deleted(driver).await
    })
    .await
}

async fn envoy_gateway(stage: &Stage<'_>) -> Result<String> {
    if !stage.guarded() {
        envoy::lives(stage).await?;
        return envoy::namespace_deleted(stage).await;
    }
    while_down(stage, &[&stage.namespace, ENVOY_GATEWAY_NAMESPACE], "*", async |driver| {
        envoy::lives(driver).await?;
        fails_for_people(stage, driver).await?;
        envoy::namespace_deleted(driver).await
    })
    .await
}

/// Plays by someone who is not asked about while the policies are there and no policy server answers.
async fn while_down(
    stage: &Stage<'_>,
    namespaces: &[&str],
    scope: &str,
    play: impl AsyncFnOnce(&Stage<'_>) -> Result<String>,
) -> Result<String> {
    let installed = Installed::of(stage, namespaces, scope).await?;
    let driver = stage.unguarded().await?;
    let played = play(&driver).await;
    installed.remove(stage).await?;
    played?;
    Ok("each step is done; a person's delete fails".into())
}

async fn fails_for_people(stage: &Stage<'_>, driver: &Stage<'_>) -> Result<()> {
    driver.given(&deployment("api")).await?;
    driver.given(&hpa("api", "api", 5)).await?;
    let Answer::Refused(message) = stage.delete(HPA, "api").await? else {
        bail!("the delete passed, though nobody could judge it")
    };
    ensure!(message.contains("failed calling webhook"), "{message}");
    for kind in [HPA, DEPLOYMENT] {
        driver.delete(kind, "api").await?.done()?;
        driver.until_gone(kind, "api").await?;
    }
    Ok(())
}

/// The webhook configurations that the policies amount to, with a policy server that does not answer.
struct Installed(Vec<(&'static str, String)>);

impl Installed {
    async fn of(stage: &Stage<'_>, namespaces: &[&str], scope: &str) -> Result<Self> {
        let mut policies = policies(&built(stage, "enforce").await?);
        let no_repair = objects::documents(include_str!("../../../policies/guard-no-repair.yaml"))?;
        policies.extend(no_repair);
        ensure!(policies.len() == 4, "there are {} policies instead of 4", policies.len());
        let [port] = free_ports()?;
        let mut installed = Vec::new();
        for policy in &policies {
            let configuration = configuration(stage, policy, namespaces, scope, port)?;
            stage.own_configuration(&configuration).await?;
            let kind = if policy["spec"]["mutating"] == true { MUTATING } else { VALIDATING };
            installed.push((kind, configuration["metadata"]["name"].as_str().unwrap_or_default().to_owned()));
        }
        Ok(Self(installed))
    }

    async fn remove(self, stage: &Stage<'_>) -> Result<()> {
        for (kind, name) in self.0 {
            let api = objects::api(stage.plane.admin(), ("admissionregistration.k8s.io/v1", kind), "")?;
            api.delete(&name, &DeleteParams::default()).await?;
        }
        Ok(())
    }
}

const MUTATING: &str = "MutatingWebhookConfiguration";
const VALIDATING: &str = "ValidatingWebhookConfiguration";

/// What Kubewarden's controller makes of a ClusterAdmissionPolicy, for these namespaces; whoever drives the scenario is
/// not asked.
fn configuration(stage: &Stage<'_>, policy: &Value, namespaces: &[&str], scope: &str, port: u16) -> Result<Value> {
    let spec = &policy["spec"];
    let name = policy["metadata"]["name"].as_str().context("a policy without a name")?;
    let mut conditions = spec["matchConditions"].as_array().cloned().context("a policy without matchConditions")?;
    let driven = format!("!(request.userInfo.username in ['{ADMIN}', '{UNGUARDED_USER}'])");
    conditions.push(json!({"name": "not-the-scenario", "expression": driven}));
    let mut rules = spec["rules"].as_array().cloned().context("a policy without rules")?;
    for rule in &mut rules {
        rule["scope"] = json!(scope);
    }
    let kind = if spec["mutating"] == true { MUTATING } else { VALIDATING };
    Ok(json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
        "metadata": {"name": format!("{name}-{}", stage.namespace)},
        "webhooks": [{
            "name": format!("{name}.kubewarden.admission"),
            "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            "timeoutSeconds": spec["timeoutSeconds"], "matchPolicy": spec["matchPolicy"], "rules": rules,
            "matchConditions": conditions,
            "namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces},
            ]},
            "clientConfig": {
                "url": format!("https://127.0.0.1:{port}/validate"),
                "caBundle": BASE64_STANDARD.encode(stage.plane.authority().certificate()),
            },
        }],
    }))
}

/// Kustomize takes what each example builds on from here instead of from the project's site.
const SITE: &str = "https://github.com/autoscaler-guard/autoscaler-guard//policies?ref=";
const FILES: &str = "https://raw.githubusercontent.com/autoscaler-guard/autoscaler-guard/";

/// What kustomize makes of an example.
async fn built(stage: &Stage<'_>, example: &str) -> Result<Vec<Value>> {
    let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies"));
    let folder = stage.folder().join("kustomize");
    copy(source, &folder.join("base"), false)?;
    copy(&source.join("examples"), &folder.join("examples"), true)?;
    for file in kustomizations(&folder.join("examples").join(example))? {
        let place = file.parent().context("a file without a folder")?;
        let depth = place.strip_prefix(&folder)?.components().count();
        let base = "../".repeat(depth) + "base";
        std::fs::copy(source.join("guard.yaml"), place.join("guard.yaml"))?;
        let text = std::fs::read_to_string(&file)?;
        let lines = text.lines().map(|line| match line.trim_start_matches(['-', ' ']) {
            url if url.starts_with(SITE) => format!("  - {base}\n"),
            url if url.starts_with(FILES) => "  - guard.yaml\n".to_owned(),
            _ => format!("{line}\n"),
        });
        std::fs::write(&file, lines.collect::<String>())?;
    }
    kustomize(stage, &folder.join("examples").join(example)).await
}

async fn kustomize(stage: &Stage<'_>, folder: &Path) -> Result<Vec<Value>> {
    let mut command = Command::new(stage.tools.program("kustomize", "kustomize")?);
    command.arg("build").arg(folder).kill_on_drop(true);
    let output = command.output().await?;
    ensure!(output.status.success(), "kustomize says {}", String::from_utf8_lossy(&output.stderr));
    objects::documents(&String::from_utf8(output.stdout)?)
}

fn policies(documents: &[Value]) -> Vec<Value> {
    documents.iter().filter(|document| document["kind"] == "ClusterAdmissionPolicy").cloned().collect()
}

fn copy(from: &Path, to: &Path, deep: bool) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let (path, is_folder) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?.is_dir())))?;
        let target = to.join(path.file_name().context("a file without a name")?);
        if !is_folder {
            std::fs::copy(&path, &target)?;
        } else if deep {
            copy(&path, &target, true)?;
        }
    }
    Ok(())
}

fn kustomizations(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(kustomizations(&path)?);
        } else if path.ends_with("kustomization.yaml") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Every example does what its comment says.
async fn examples_are_as_documented(stage: &Stage<'_>) -> Result<()> {
    let expected = [
        ("monitor", vec![("autoscaler-guard", "monitor", "Ignore")]),
        ("warn", vec![("autoscaler-guard", "protect", "Ignore")]),
        ("enforce", vec![("autoscaler-guard", "protect", "Fail")]),
        (
            "by-namespace",
            vec![("autoscaler-guard", "monitor", "Ignore"), ("autoscaler-guard-protecting", "protect", "Ignore")],
        ),
        ("without-keda", vec![("autoscaler-guard", "monitor", "Ignore")]),
        ("own-policy-server", vec![("autoscaler-guard", "monitor", "Ignore")]),
    ];
    for (example, mut expected) in expected {
        expected.push(("autoscaler-guard-audit", "monitor", "Ignore"));
        if example != "without-keda" {
            expected.push(("autoscaler-guard-audit-keda", "monitor", "Ignore"));
        }
        expected.sort_unstable();
        let policies = policies(&built(stage, example).await?);
        let word = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
        let mut found: Vec<_> = policies
            .iter()
            .map(|policy| {
                let spec = &policy["spec"];
                (word(&policy["metadata"]["name"]), word(&spec["mode"]), word(&spec["failurePolicy"]))
            })
            .collect();
        found.sort_unstable();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, mode, failure)| (name.to_owned(), mode.to_owned(), failure.to_owned()))
            .collect();
        ensure!(found == expected, "{example} has {found:?}");
        let selects = policies.iter().filter(|policy| policy["spec"]["namespaceSelector"].is_object()).count();
        ensure!(
            selects == if example == "by-namespace" { 2 } else { 0 },
            "{example}: {selects} policies select namespaces"
        );
    }
    Ok(())
}

/// The folder for Gatekeeper is a base; patched as its comment says, it builds.
async fn gatekeeper_is_as_documented(stage: &Stage<'_>) -> Result<()> {
    let folder = stage.folder().join("gatekeeper");
    copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/gatekeeper")), &folder.join("base"), false)?;
    let text = std::fs::read_to_string(folder.join("base/kustomization.yaml"))?;
    let example = text.lines().filter_map(|line| line.strip_prefix("#   ")).collect::<Vec<_>>().join("\n");
    let authority = BASE64_STANDARD.encode(stage.plane.authority().certificate());
    let example = example.replace("<this folder>", "base").replace("<ca.crt in base64>", &authority);
    std::fs::write(folder.join("kustomization.yaml"), example)?;

    let mut expected = Vec::new();
    for file in ["server.yaml", "provider.yaml", "template.yaml", "constraint.yaml"] {
        expected.extend(objects::documents(&std::fs::read_to_string(folder.join("base").join(file))?)?);
    }
    for provider in expected.iter_mut().filter(|object| object["kind"] == "Provider") {
        provider["spec"]["caBundle"] = json!(authority);
    }
    let built = kustomize(stage, &folder).await?;
    ensure!(
        built.len() == expected.len(),
        "kustomize builds {} objects of {} for Gatekeeper",
        built.len(),
        expected.len()
    );
    for object in expected {
        ensure!(built.contains(&object), "kustomize does not build this for Gatekeeper: {object}");
    }
    Ok(())
}
