//! Without a server: the API server guards by itself, in CEL. Both incidents, their ways back, and who must never be in
//! the way of whom.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DynamicObject, PropagationPolicy};
use serde_json::json;

use super::deletes::{self, ALLOW, given_keda, no_autoscaler};
use super::handover::{self, DIFFERENT, KEDA, keda_has, lost_or_kept};
use super::keda::{deployment, hpa};
use super::{Scenario, envoy, free};
use crate::control_plane::{ControlPlane, UNGUARDED_USER};
use crate::law;
use crate::native;
use crate::objects::{self, ENVOY_PROXY, GATEWAY, HPA, SCALED_OBJECT};
use crate::operators::{self, ENVOY_GATEWAY_NAMESPACE};
use crate::stage::{Answer, Stage};
use crate::webhook::{self, ENFORCED, POLICY_LABEL, Webhook};
use crate::world::Kind::{Native, Native137, NativeEnvoyGateway, NativeLaw};

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new("native-demo", "the incident and its cure, in ten lines", |stage| Box::pin(demo(stage)))
        .world(Native)
        .helm(3),
    Scenario::new("native-helm3-back-to-hpa", "Helm 3: HPA, upgraded to KEDA, upgraded back, twice", |stage| {
        Box::pin(handover::upgrade_back(stage, 3, DIFFERENT, &[]))
    })
    .world(Native)
    .helm(3),
    Scenario::new("native-helm4-back-to-hpa", "Helm 4 with --force-conflicts, twice", |stage| {
        Box::pin(handover::upgrade_back(stage, 4, DIFFERENT, &["--force-conflicts"]))
    })
    .world(Native)
    .helm(4),
    Scenario::new("native-helm4-client-side", "Helm 4 with --server-side=false, twice", |stage| {
        Box::pin(handover::upgrade_back(stage, 4, DIFFERENT, &["--server-side=false"]))
    })
    .world(Native)
    .helm(4),
    Scenario::new("native-helm3-rollback", "Helm 3: HPA, upgraded to KEDA, rolled back", |stage| {
        Box::pin(handover::roll_back(stage, 3))
    })
    .world(Native)
    .helm(3),
    Scenario::new("native-helm4-rollback", "Helm 4: HPA, upgraded to KEDA, rolled back by force", |stage| {
        Box::pin(handover::roll_back(stage, 4))
    })
    .world(Native)
    .helm(4),
    Scenario::new("native-flux-apply", "Flux's field manager applies the HPA and prunes the ScaledObject", |stage| {
        Box::pin(handover::apply_back(stage, "kustomize-controller"))
    })
    .world(Native),
    Scenario::new("native-whole-spec", "an HPA with all that a spec may have is handed over", |stage| {
        Box::pin(whole_spec(stage))
    })
    .world(Native),
    Scenario::new(
        "native-argocd-apply",
        "Argo CD's field manager applies the HPA and prunes the ScaledObject",
        |stage| Box::pin(handover::apply_back(stage, "argocd-controller")),
    )
    .world(Native),
    Scenario::new(
        "native-handover-by-annotation",
        "kubectl hands the HPA over by annotation, then gives it back",
        |stage| Box::pin(handover::by_annotation_and_back(stage)),
    )
    .world(Native),
    Scenario::new("native-contained", "Helm 3 sends no request for an HPA that equals KEDA's", |stage| {
        Box::pin(contained(stage))
    })
    .world(Native)
    .helm(3),
    Scenario::new(
        "native-scaledobject-deleted",
        "a ScaledObject is deleted, with and without each override",
        |stage| Box::pin(scaled_object_deleted(stage)),
    )
    .world(Native),
    Scenario::new(
        "native-deletes-by-bypass",
        "a ScaledObject is deleted by someone who may bypass the rule",
        |stage| Box::pin(bypassed(stage)),
    )
    .world(Native),
    Scenario::new("native-helm3-uninstall-keda", "Helm 3 uninstalls a chart with a ScaledObject", |stage| {
        Box::pin(free::uninstall(stage, 3, "keda"))
    })
    .world(Native)
    .helm(3),
    Scenario::new("native-helm4-uninstall-keda", "Helm 4 uninstalls a chart with a ScaledObject", |stage| {
        Box::pin(free::uninstall(stage, 4, "keda"))
    })
    .world(Native)
    .helm(4),
    Scenario::new("native-helm3-uninstall-hpa", "Helm 3 uninstalls a chart with an HPA", |stage| {
        Box::pin(free::uninstall(stage, 3, "hpa"))
    })
    .world(Native)
    .helm(3),
    Scenario::new(
        "native-namespace-deleted",
        "a namespace with ScaledObject, HPA and Deployments goes away",
        |stage| Box::pin(free::namespace_deleted(stage)),
    )
    .world(Native),
    Scenario::new("native-keda-lives", "KEDA creates, updates, pauses, renames and finalizes", |stage| {
        Box::pin(keda_lives(stage))
    })
    .world(Native),
    Scenario::new("native-envoyhpa-removed", "envoyHpa is removed from an EnvoyProxy", |stage| {
        Box::pin(envoy::removed(stage))
    })
    .world(NativeEnvoyGateway),
    Scenario::new("native-envoyhpa-to-replicas", "envoyHpa is replaced by a declared count", |stage| {
        Box::pin(envoy::replaced(stage))
    })
    .world(NativeEnvoyGateway),
    Scenario::new("native-envoyproxy-deleted", "the EnvoyProxy of a Gateway is deleted", |stage| {
        Box::pin(proxy_deleted(stage))
    })
    .world(NativeEnvoyGateway),
    Scenario::new("native-envoy-gateway-lives", "Envoy Gateway creates, changes and deletes a fleet", |stage| {
        Box::pin(envoy::lives(stage))
    })
    .world(NativeEnvoyGateway),
    Scenario::new("native-many", "a namespace with 3,000 HPAs", |stage| Box::pin(many(stage))).world(Native).alone(),
    Scenario::new("native-beside-module", "beside the module: up, then down with failurePolicy Ignore", |stage| {
        Box::pin(beside_module(stage))
    })
    .world(Native)
    .helm(3)
    .alone(),
    Scenario::new("native-fleet-beside-module", "envoyHpa beside the module: up, then down with Ignore", |stage| {
        Box::pin(fleet_beside_module(stage))
    })
    .world(NativeEnvoyGateway)
    .alone(),
    Scenario::new("native-types", "the API server checks the types of all expressions", |stage| Box::pin(types(stage)))
        .world(Native),
    Scenario::new(
        "native-1.37-back-to-hpa",
        "Kubernetes 1.37, Helm 3: HPA, upgraded to KEDA, upgraded back",
        |stage| Box::pin(handover::upgrade_back(stage, 3, DIFFERENT, &[])),
    )
    .world(Native137)
    .helm(3),
    Scenario::new(
        "native-1.37-whole-spec",
        "Kubernetes 1.37: an HPA with all that a spec may have is handed over",
        |stage| Box::pin(whole_spec(stage)),
    )
    .world(Native137),
    Scenario::new("native-1.37-types", "Kubernetes 1.37 checks the types of all expressions", |stage| {
        Box::pin(types(stage))
    })
    .world(Native137),
    Scenario::new("native-law", "every case of the rules, on an API server: never stricter than the module", |stage| {
        Box::pin(never_stricter(stage))
    })
    .world(NativeLaw),
];

/// All kinds of metrics, of what they are to be, and of behavior.
const WHOLE: &str = "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: web, labels: {app: web}}, spec: {
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, minReplicas: 2, maxReplicas: 9,
  metrics: [
    {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}},
    {type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 200Mi}}},
    {type: ContainerResource, containerResource: {name: cpu, container: web, target: {type: Utilization, averageUtilization: 70}}},
    {type: Pods, pods: {metric: {name: requests, selector: {matchLabels: {verb: GET}}}, target: {type: AverageValue, averageValue: 100m}}},
    {type: Object, object: {describedObject: {apiVersion: v1, kind: Service, name: web}, metric: {name: hits}, target: {type: Value, value: 2k}}},
    {type: External, external: {metric: {name: queue, selector: {matchExpressions: [{key: topic, operator: In, values: [a, b]}]}},
      target: {type: AverageValue, averageValue: \"3\"}}}],
  behavior: {
    scaleUp: {stabilizationWindowSeconds: 5, selectPolicy: Min, tolerance: 50m,
      policies: [{type: Pods, value: 4, periodSeconds: 60}, {type: Percent, value: 10, periodSeconds: 30}]},
    scaleDown: {stabilizationWindowSeconds: 600, selectPolicy: Disabled, policies: [{type: Percent, value: 100, periodSeconds: 15}]}}}}";

/// KEDA writes an HPA that it released as its ScaledObject says, and not one field of it may change.
async fn whole_spec(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    stage.given(&super::keda::scaled_object("web", "web")).await?;
    keda_has(stage).await?;
    stage.apply_as("kustomize-controller", WHOLE).await?.done()?;
    if !stage.guarded() {
        let is_kedas = |hpa: &DynamicObject| objects::field(hpa, "/spec/maxReplicas") == Some(&json!(5));
        stage.until(HPA, "web", "as the ScaledObject declares it", is_kedas).await?;
        return Ok("KEDA writes its own spec over it".into());
    }
    // KEDA looks once more.
    stage.annotate(SCALED_OBJECT, "web", "e2e/touched", Some("true")).await?.done()?;
    let hpa = stage.only_hpa("web", "web").await?;
    let declared = objects::documents(WHOLE)?.into_iter().next().context("a document")?;
    let spec = objects::field(&hpa, "/spec").cloned().unwrap_or_default();
    ensure!(spec == declared["spec"], "the spec is now {spec:#}");
    ensure!(objects::controller(&hpa).is_none(), "it has an owner again");
    stage.keda_is_content().await?;
    Ok("not one field of it changes".into())
}

/// What a new user would do by hand; the lines are printed.
async fn demo(stage: &Stage<'_>) -> Result<String> {
    let show = |line: &str| eprintln!("    {} {line}", if stage.guarded() { "with   " } else { "without" });
    let helm = stage.helm(3)?;
    if stage.guarded() {
        show("$ kubectl apply -k policies/native");
    }
    show("$ helm upgrade --install web charts/web --set autoscaler=keda");
    helm.upgrade(KEDA, &[]).await?.succeeded()?;
    keda_has(stage).await?;
    show("$ kubectl get hpa     # web, owned by ScaledObject web");
    show("$ helm upgrade web charts/web --set autoscaler=hpa --set hpa.max=9");
    let output = helm.upgrade(DIFFERENT, &[]).await?;
    output.succeeded()?;
    let status = output.text.lines().find(|line| line.starts_with("STATUS")).unwrap_or_default().to_owned();
    show(&format!("{status}     # says Helm, either way"));
    let seen = lost_or_kept(stage, 9).await?;
    show("$ kubectl get hpa");
    let left = stage.autoscalers_of("web").await?;
    let left = if left.is_empty() {
        "No resources found".to_owned()
    } else {
        format!("{} Deployment/web, 2 to 9", left.join(", "))
    };
    show(&left);
    Ok(seen)
}

/// Helm hides what becomes of the delete but for warnings; a release's ScaledObject is never held, as it may be
/// uninstalled.
async fn contained(stage: &Stage<'_>) -> Result<String> {
    let helm = stage.helm(3)?;
    helm.upgrade(KEDA, &[]).await?.succeeded()?;
    keda_has(stage).await?;
    let output = helm.upgrade(&["autoscaler=hpa"], &[]).await?;
    output.succeeded()?;
    stage.until_gone(SCALED_OBJECT, "web").await?;
    stage.until_gone(HPA, "web").await?;
    let warned = output.text.contains("[scaledobject-deleted]") && output.text.contains("--cascade=orphan");
    ensure!(warned == stage.guarded(), "Helm says {}", output.text);
    Ok(if warned { "lost, and Helm prints the warning" } else { "no autoscaler left" }.into())
}

async fn scaled_object_deleted(stage: &Stage<'_>) -> Result<String> {
    given_keda(stage).await?;
    let answer = stage.delete(SCALED_OBJECT, "web").await?;
    if !stage.guarded() {
        answer.done()?;
        return no_autoscaler(stage).await;
    }
    let Answer::Refused(message) = answer else { bail!("the delete passed") };
    let command = format!("`kubectl delete scaledobject web -n {} --cascade=orphan`", stage.namespace);
    ensure!(message.contains("[scaledobject-deleted]") && message.contains(&command), "it says {message}");
    stage.only_hpa("web", "web").await?;
    // As the message says.
    stage.delete_by(SCALED_OBJECT, "web", PropagationPolicy::Orphan).await?.done()?;
    stage.until_gone(SCALED_OBJECT, "web").await?;
    let kept = stage.only_hpa("web", "web").await?;
    ensure!(!objects::is_owned(&kept), "the HPA still refers to its ScaledObject");
    stage.delete(HPA, "web").await?.done()?;
    stage.until_gone(HPA, "web").await?;
    // Or acknowledged, as it says too.
    stage.given(&super::keda::scaled_object("web", "web")).await?;
    keda_has(stage).await?;
    stage.delete(SCALED_OBJECT, "web").await?.refused_by("scaledobject-deleted")?;
    stage.annotate(SCALED_OBJECT, "web", ALLOW, Some("scaledobject-deleted")).await?.done()?;
    stage.delete(SCALED_OBJECT, "web").await?.done()?;
    no_autoscaler(stage).await?;
    stage.keda_is_content().await?;
    Ok("refused; both ways in its message are let through".into())
}

async fn bypassed(stage: &Stage<'_>) -> Result<String> {
    let on_call = deletes::on_call(stage).await?;
    given_keda(stage).await?;
    if stage.guarded() {
        stage.delete(SCALED_OBJECT, "web").await?.refused_by("scaledobject-deleted")?;
    }
    stage.delete_as(&on_call, SCALED_OBJECT, "web").await?.done()?;
    no_autoscaler(stage).await?;
    Ok(if stage.guarded() { "refused to others, let through" } else { "no autoscaler left" }.into())
}

/// That a ScaledObject's workload is gone is known by its HPA alone, which learns of it at the HPA controller's next
/// turn.
async fn keda_lives(stage: &Stage<'_>) -> Result<String> {
    free::keda_lives_and(stage, async |stage| {
        let failing = |hpa: &DynamicObject| objects::has_condition(hpa, "AbleToScale", "False", "FailedGetScale");
        stage.until(HPA, "renamed", "reported to have lost its target", failing).await?;
        Ok(())
    })
    .await
}

async fn proxy_deleted(stage: &Stage<'_>) -> Result<String> {
    envoy::given_fleet_at_gateway(stage).await?;
    let answer = stage.delete(ENVOY_PROXY, "fleet").await?;
    if !stage.guarded() {
        answer.done()?;
        return Ok("the Gateway refers to nothing".into());
    }
    envoy::refused_and_alive(stage, answer, "envoyproxy-deleted").await?;
    // The way on that the message names.
    let without = json!({"spec": {"infrastructure": {"parametersRef": null}}});
    stage.patch(GATEWAY, "eg", without).await?.done()?;
    stage.delete(ENVOY_PROXY, "fleet").await?.done()?;
    Ok("refused; let through once nothing refers to it".into())
}

/// How many HPAs a large namespace has.
const MANY: usize = 3_000;
/// How often one asks there, to know how long it takes.
const TIMES: u32 = 20;

async fn many(stage: &Stage<'_>) -> Result<String> {
    stage.given(&deployment("web")).await?;
    let admin = objects::api(&stage.plane.client(UNGUARDED_USER).await?, HPA, &stage.namespace)?;
    let one = |number: usize| {
        let admin = admin.clone();
        async move {
            let document = objects::documents(&hpa(&format!("hpa-{number}"), &format!("workload-{number}"), 5))?;
            let object = serde_json::from_value(document.into_iter().next().context("a document")?)?;
            admin.create(&kube::api::PostParams::default(), &object).await?;
            Ok::<_, anyhow::Error>(())
        }
    };
    // Each new HPA is compared with all that are there: guarded from the first on, they would take minutes to make.
    if stage.guarded() {
        stage.plane.namespace(&stage.namespace, &json!({POLICY_LABEL: "off"})).await?;
    }
    futures::stream::iter((0..MANY).map(one)).buffer_unordered(16).try_collect::<Vec<_>>().await?;
    if stage.guarded() {
        stage.plane.namespace(&stage.namespace, &json!({POLICY_LABEL: ENFORCED})).await?;
    }
    stage.given(&super::keda::scaled_object("web", "web")).await?;
    keda_has(stage).await?;
    let passes = until_heard(stage).await?;
    let started = Instant::now();
    for _ in 0..TIMES {
        let refused = matches!(stage.try_deletion(SCALED_OBJECT, "web").await?, Answer::Refused(_));
        ensure!(refused != passes, "it is answered otherwise than before");
    }
    let took = started.elapsed() / TIMES;
    eprintln!("    a delete among {MANY} HPAs, {}: {took:?}", if stage.guarded() { "guarded" } else { "unguarded" });
    stage.take_warnings();
    let started = Instant::now();
    stage.create(&hpa("second", "workload-7", 5)).await?.done()?;
    let took = started.elapsed();
    eprintln!("    a new HPA among {MANY}, {}: {took:?}", if stage.guarded() { "guarded" } else { "unguarded" });
    stage.warned_by("duplicate-autoscaler")?;
    Ok(if stage.guarded() { "refused and warned as in a small one" } else { "both pass" }.into())
}

/// Whether the delete of the ScaledObject passes, once the API server has heard of its HPA.
async fn until_heard(stage: &Stage<'_>) -> Result<bool> {
    for _ in 0..50 {
        if matches!(stage.try_deletion(SCALED_OBJECT, "web").await?, Answer::Refused(_)) {
            return Ok(false);
        }
        if !stage.guarded() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ensure!(!stage.guarded(), "the delete passes");
    Ok(true)
}

/// The label's value of namespaces that both the module and these policies guard.
pub(crate) const BESIDE: &str = "native-beside";

async fn beside_module(stage: &Stage<'_>) -> Result<String> {
    if !stage.guarded() {
        return handover::upgrade_back(stage, 3, DIFFERENT, &[]).await;
    }
    let mut module = module_beside(stage).await?;
    // Up: the module answers, and nobody hears the same twice.
    given_keda(stage).await?;
    let Answer::Refused(message) = stage.delete(SCALED_OBJECT, "web").await? else { bail!("the delete passed") };
    ensure!(
        message.matches("[scaledobject-deleted]").count() == 1 && message.contains("admission webhook"),
        "it says {message}"
    );
    handover_by_hand(stage, &["hpa-handover"]).await?;
    // Down: failurePolicy Ignore lets all pass, and both incidents are held.
    module.stop().await?;
    given_keda_again(stage).await?;
    stage
        .delete(SCALED_OBJECT, "web")
        .await?
        .refused_by("ValidatingAdmissionPolicy 'autoscaler-guard-scaledobject-deleted'")?;
    handover_by_hand(stage, &[]).await?;
    stage.keda_is_content().await?;
    Ok("up: one message, the module's; down: the HPA is kept, the delete refused".into())
}

async fn fleet_beside_module(stage: &Stage<'_>) -> Result<String> {
    envoy::given_fleet(stage).await?;
    if !stage.guarded() {
        envoy::remove(stage).await?.done()?;
        return envoy::lost(stage).await;
    }
    let mut module = module_beside(stage).await?;
    let Answer::Refused(message) = envoy::remove(stage).await? else { bail!("the removal passed") };
    ensure!(
        message.matches("[envoyhpa-removed]").count() == 1 && message.contains("admission webhook"),
        "it says {message}"
    );
    module.stop().await?;
    let answer = envoy::remove(stage).await?;
    let ours = "ValidatingAdmissionPolicy 'autoscaler-guard-envoyhpa-removed-class'";
    envoy::refused_and_alive(stage, answer, ours).await
}

/// The module for the scenario's namespace too, by a webhook with failurePolicy Ignore.
async fn module_beside(stage: &Stage<'_>) -> Result<Webhook> {
    let account = webhook::policy_server(stage.plane).await?;
    let module = Webhook::start(stage.plane, stage.subject, "beside", &json!({}), &account).await?;
    webhook::configure(stage.plane, BESIDE, module.port(), "Ignore", &[]).await?;
    stage.plane.namespace(&stage.namespace, &json!({POLICY_LABEL: BESIDE})).await?;
    webhook::until_asked(stage.plane, &stage.namespace, true).await?;
    Ok(module)
}

async fn given_keda_again(stage: &Stage<'_>) -> Result<()> {
    stage.delete(HPA, "web").await?.done()?;
    stage.until_gone(HPA, "web").await?;
    stage.given(&super::keda::scaled_object("web", "web")).await?;
    keda_has(stage).await
}

/// A declarative writer takes the HPA, and the ScaledObject goes; these rules report it, each once.
async fn handover_by_hand(stage: &Stage<'_>, warned: &[&str]) -> Result<()> {
    stage.take_warnings();
    stage.apply_as("kustomize-controller", &hpa("web", "web", 9)).await?.done()?;
    let warnings = stage.take_warnings();
    for rule in warned {
        let count = warnings.iter().filter(|warning| warning.contains(&format!("[{rule}]"))).count();
        ensure!(count <= 1, "{rule} is reported {count} times: {warnings:?}");
    }
    stage.delete(SCALED_OBJECT, "web").await?.done()?;
    lost_or_kept(stage, 9).await?;
    Ok(())
}

async fn types(stage: &Stage<'_>) -> Result<String> {
    let policies = native::policies(stage.subject, stage.folder()).await?;
    let checked = native::types_are_sound(stage.plane, &policies).await?;
    ensure!(checked > 0, "there is no validating policy");
    Ok("nothing to say".into())
}

async fn never_stricter(stage: &Stage<'_>) -> Result<String> {
    if !stage.guarded() {
        return Ok("nothing is refused".into());
    }
    let folder = stage.folder().join("law");
    let mut plane = ControlPlane::start(stage.tools, &folder).await?;
    plane.without_controllers().await?;
    operators::keda_definitions(stage.tools, &plane).await?;
    operators::envoy_gateway_definitions(stage.tools, &plane, "1.9.1").await?;
    plane.let_everybody_do_everything().await?;
    plane.namespace(ENVOY_GATEWAY_NAMESPACE, &json!({})).await?;
    let policies = native::policies(stage.subject, &folder).await?;
    native::install(&plane, &policies, &[]).await?;
    webhook::until_asked(&plane, "default", true).await?;
    let only = std::env::var("AUTOSCALER_GUARD_CASES").ok();
    let count = law::hold(&plane, only.as_deref()).await?;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/native.json");
    if only.is_none() {
        std::fs::write(file, serde_json::to_string_pretty(&count)? + "\n")?;
    }
    ensure!(count.stricter.is_empty(), "stricter than the module: {:#?}", count.stricter);
    let unplayable: usize = count.unplayable.values().map(Vec::len).sum();
    Ok(format!(
        "{} played: {} passed by both, {} refused by both, {} milder, {} unseen; {unplayable} cannot be played",
        count.played,
        count.passed,
        count.refused,
        count.milder.len(),
        count.unseen.len()
    ))
}
