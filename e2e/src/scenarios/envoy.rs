//! Incident 2 and what else takes a fleet's autoscaler, on an Envoy Gateway that deletes such HPAs and on one that
//! leaves them behind.

use anyhow::{Result, bail, ensure};
use kube::api::DynamicObject;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Scenario;
use super::deletes::ALLOW;
use crate::objects::{self, DEPLOYMENT, ENVOY_PROXY, GATEWAY, GATEWAY_CLASS, HPA, Kind, NAMESPACE};
use crate::operators::ENVOY_GATEWAY_NAMESPACE;
use crate::stage::{Answer, Stage};
use crate::webhook;
use crate::world::Kind::{EnvoyGateway, LeakyEnvoyGateway};

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario::new("envoyhpa-removed-1.9.1", "envoyHpa is removed from an EnvoyProxy", |stage| Box::pin(removed(stage)))
        .world(EnvoyGateway)
        .rules(&["envoyhpa-removed"]),
    Scenario::new("envoyhpa-removed-1.3.0", "envoyHpa is removed, then the Gateway deleted", |stage| {
        Box::pin(removed_leaky(stage))
    })
    .world(LeakyEnvoyGateway)
    .rules(&["envoyhpa-removed"]),
    Scenario::new("envoyhpa-to-replicas-1.9.1", "envoyHpa is replaced by a declared count", |stage| {
        Box::pin(replaced(stage))
    })
    .world(EnvoyGateway),
    Scenario::new("envoyhpa-to-replicas-1.3.0", "envoyHpa is replaced by a declared count", |stage| {
        Box::pin(replaced_leaky(stage))
    })
    .world(LeakyEnvoyGateway)
    .rules(&["envoyhpa-removed"]),
    Scenario::new("envoyhpa-pinned-1.9.1", "envoyHpa is removed where the policy pins the count", |stage| {
        Box::pin(pinned(stage))
    })
    .world(EnvoyGateway)
    .rules(&["envoyhpa-removed"]),
    Scenario::new("envoyhpa-pinned-1.3.0", "envoyHpa is removed where the policy pins the count", |stage| {
        Box::pin(pinned(stage))
    })
    .world(LeakyEnvoyGateway)
    .rules(&["envoyhpa-removed"]),
    Scenario::new("envoyproxy-deleted-1.9.1", "the EnvoyProxy of a class is deleted", |stage| {
        Box::pin(proxy_deleted(stage))
    })
    .world(EnvoyGateway)
    .rules(&["envoyproxy-deleted"]),
    Scenario::new("envoyproxy-deleted-1.3.0", "the EnvoyProxy of a Gateway is deleted", |stage| {
        Box::pin(proxy_deleted_leaky(stage))
    })
    .world(LeakyEnvoyGateway)
    .rules(&["envoyproxy-deleted"]),
    Scenario::new("class-envoyproxy-deleted-1.3.0", "the EnvoyProxy of a class is deleted", |stage| {
        Box::pin(class_proxy_deleted_leaky(stage))
    })
    .world(LeakyEnvoyGateway)
    .rules(&["envoyproxy-deleted"])
    .alone(),
    Scenario::new("gatewayclass-to-nothing-1.9.1", "a class refers to an EnvoyProxy that is not there", |stage| {
        Box::pin(class_to_nothing(stage))
    })
    .world(EnvoyGateway)
    .rules(&["gatewayclass-parameters"]),
    Scenario::new("gatewayclass-to-nothing-1.3.0", "a class refers to an EnvoyProxy that is not there", |stage| {
        Box::pin(class_to_nothing_leaky(stage))
    })
    .world(LeakyEnvoyGateway)
    .rules(&["gatewayclass-parameters"])
    .alone(),
    Scenario::new("gatewayclass-parameters-1.9.1", "a class loses its reference to an EnvoyProxy", |stage| {
        Box::pin(class_parameters(stage))
    })
    .world(EnvoyGateway)
    .rules(&["gatewayclass-parameters"]),
    Scenario::new("gatewayclass-parameters-1.3.0", "a class loses its reference to an EnvoyProxy", |stage| {
        Box::pin(class_parameters(stage))
    })
    .world(LeakyEnvoyGateway)
    .rules(&["gatewayclass-parameters"]),
    Scenario::new("gateway-parameters-1.9.1", "a Gateway gets an EnvoyProxy without envoyHpa", |stage| {
        Box::pin(gateway_parameters(stage))
    })
    .world(EnvoyGateway)
    .rules(&["gateway-parameters"]),
    Scenario::new("gateway-parameters-1.3.0", "a Gateway gets an EnvoyProxy without envoyHpa", |stage| {
        Box::pin(gateway_parameters(stage))
    })
    .world(LeakyEnvoyGateway)
    .rules(&["gateway-parameters"]),
    Scenario::new("gatewayclass-deleted-1.9.1", "a class is deleted while a fleet of it runs", |stage| {
        Box::pin(class_deleted(stage))
    })
    .world(EnvoyGateway)
    .rules(&["gatewayclass-deleted"]),
    Scenario::new("gatewayclass-deleted-1.3.0", "a class is deleted while a fleet of it runs", |stage| {
        Box::pin(class_deleted_leaky(stage))
    })
    .world(LeakyEnvoyGateway)
    .rules(&["gatewayclass-deleted"]),
    Scenario::new("merge-gateways-1.9.1", "the Gateways of a class are merged into one fleet", |stage| {
        Box::pin(merged(stage))
    })
    .world(EnvoyGateway)
    .rules(&["merge-gateways"]),
    Scenario::new("merge-gateways-1.3.0", "the Gateways of a class are merged into one fleet", |stage| {
        Box::pin(merged(stage))
    })
    .world(LeakyEnvoyGateway)
    .rules(&["merge-gateways"]),
    Scenario::new("helm3-fleet-1.9.1", "Helm 3 installs, upgrades, rolls back and uninstalls a fleet", |stage| {
        Box::pin(by_helm(stage, 3))
    })
    .world(EnvoyGateway)
    .helm(3)
    .rules(&["envoyproxy-deleted", "envoyhpa-removed"]),
    Scenario::new("helm4-fleet-1.9.1", "Helm 4 installs, upgrades, rolls back and uninstalls a fleet", |stage| {
        Box::pin(by_helm(stage, 4))
    })
    .world(EnvoyGateway)
    .helm(4)
    .rules(&["envoyproxy-deleted", "envoyhpa-removed"]),
    // For a moment the class is without its EnvoyProxy, which stops this Envoy Gateway for everybody.
    Scenario::new("helm3-fleet-1.3.0", "Helm 3 installs, upgrades, rolls back and uninstalls a fleet", |stage| {
        Box::pin(by_helm(stage, 3))
    })
    .world(LeakyEnvoyGateway)
    .helm(3)
    .rules(&["envoyproxy-deleted", "envoyhpa-removed"])
    .alone(),
    Scenario::new("envoy-gateway-lives-1.9.1", "Envoy Gateway creates, changes and deletes a fleet", |stage| {
        Box::pin(lives(stage))
    })
    .world(EnvoyGateway),
    Scenario::new("envoy-gateway-lives-1.3.0", "Envoy Gateway creates and changes a fleet", |stage| {
        Box::pin(lives(stage))
    })
    .world(LeakyEnvoyGateway),
    Scenario::new("gateway-namespace-deleted-1.9.1", "a namespace with EnvoyProxy and Gateway goes away", |stage| {
        Box::pin(namespace_deleted(stage))
    })
    .world(EnvoyGateway),
];

/// The name of the scenario's class: classes have no namespace.
fn class<'a>(stage: &'a Stage<'_>) -> &'a str {
    &stage.namespace
}

/// Whether it plays where Envoy Gateway leaves HPAs behind: scenarios that do so on both are called after the version.
fn is_leaky(stage: &Stage<'_>) -> bool {
    stage.namespace.contains("1-3-0")
}

/// The name that Envoy Gateway gives what it makes for Gateway `eg` of the scenario's namespace.
pub(super) fn fleet(stage: &Stage<'_>) -> String {
    fleet_for(stage, "eg")
}

fn fleet_for(stage: &Stage<'_>, gateway: &str) -> String {
    let digest = Sha256::digest(format!("{}/{gateway}", stage.namespace));
    let hash = format!("{digest:x}");
    format!("envoy-{}-{gateway}-{hash:.8}", stage.namespace)
}

fn envoy_proxy(name: &str, kubernetes: &Value) -> String {
    json!({
        "apiVersion": ENVOY_PROXY.0, "kind": ENVOY_PROXY.1, "metadata": {"name": name},
        "spec": {"provider": {"type": "Kubernetes", "kubernetes": kubernetes}},
    })
    .to_string()
}

fn gateway_class(name: &str, parameters: Option<Value>) -> String {
    let mut class = json!({
        "apiVersion": GATEWAY_CLASS.0, "kind": GATEWAY_CLASS.1, "metadata": {"name": name},
        "spec": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
    });
    if let Some(parameters) = parameters {
        class["spec"]["parametersRef"] = parameters;
    }
    class.to_string()
}

fn gateway(class: &str, parameters: Option<&str>) -> String {
    let mut gateway = json!({
        "apiVersion": GATEWAY.0, "kind": GATEWAY.1, "metadata": {"name": "eg"},
        "spec": {"gatewayClassName": class, "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    });
    if let Some(name) = parameters {
        gateway["spec"]["infrastructure"] = own_parameters(name);
    }
    gateway.to_string()
}

fn own_parameters(name: &str) -> Value {
    json!({"parametersRef": {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": name}})
}

fn envoy_hpa() -> Value {
    json!({"envoyHpa": {"minReplicas": 2, "maxReplicas": 5}})
}

/// A class with an EnvoyProxy with envoyHpa, a Gateway, and the HPA that Envoy Gateway makes for them.
pub(super) async fn given_fleet(stage: &Stage<'_>) -> Result<()> {
    given_fleet_of(stage, &envoy_hpa()).await?;
    hpa_is_there(stage).await
}

/// A class with that EnvoyProxy, and a Gateway.
pub(super) async fn given_fleet_of(stage: &Stage<'_>, kubernetes: &Value) -> Result<()> {
    stage.given(&envoy_proxy("fleet", kubernetes)).await?;
    stage.given(&gateway_class(class(stage), Some(class_parameters_of(stage, "fleet")))).await?;
    stage.given(&gateway(class(stage), None)).await
}

/// A class without an EnvoyProxy, and a Gateway with its own.
pub(super) async fn given_fleet_at_gateway(stage: &Stage<'_>) -> Result<()> {
    stage.given(&envoy_proxy("fleet", &envoy_hpa())).await?;
    stage.given(&gateway_class(class(stage), None)).await?;
    stage.given(&gateway(class(stage), Some("fleet"))).await?;
    hpa_is_there(stage).await
}

fn class_parameters_of(stage: &Stage<'_>, proxy: &str) -> Value {
    json!({"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": proxy, "namespace": stage.namespace})
}

pub(super) async fn hpa_is_there(stage: &Stage<'_>) -> Result<()> {
    until(stage, HPA, "made by Envoy Gateway", |hpa| objects::field(hpa, "/spec/maxReplicas") == Some(&json!(5)))
        .await?;
    until(stage, DEPLOYMENT, "scaled to the minimum", |fleet| {
        objects::field(fleet, "/spec/replicas") == Some(&json!(2))
    })
    .await?;
    Ok(())
}

pub(super) async fn until(
    stage: &Stage<'_>,
    kind: Kind,
    wanted: &str,
    condition: impl Fn(&DynamicObject) -> bool,
) -> Result<DynamicObject> {
    stage.until_in(ENVOY_GATEWAY_NAMESPACE, kind, &fleet(stage), wanted, condition).await
}

pub(super) async fn until_gone(stage: &Stage<'_>, kind: Kind) -> Result<()> {
    stage.until_gone_in(ENVOY_GATEWAY_NAMESPACE, kind, &fleet(stage)).await
}

/// Without the policy and from 1.5 on: the HPA goes, and the fleet's count stays where it was.
pub(super) async fn lost(stage: &Stage<'_>) -> Result<String> {
    until_gone(stage, HPA).await?;
    stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, DEPLOYMENT, &fleet(stage)).await?;
    until(stage, DEPLOYMENT, "frozen at its count", |fleet| objects::field(fleet, "/spec/replicas") == Some(&json!(2)))
        .await?;
    Ok("the HPA is deleted, the count frozen at 2".into())
}

/// Without the policy and before 1.5: nothing declares the HPA any more, and it stays, even after the Gateway.
async fn orphaned(stage: &Stage<'_>) -> Result<String> {
    stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, HPA, &fleet(stage)).await?;
    stage.delete(GATEWAY, "eg").await?.done()?;
    until_gone(stage, DEPLOYMENT).await?;
    stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, HPA, &fleet(stage)).await?;
    Ok("the HPA stays, even after the Gateway".into())
}

async fn lost_or_orphaned(stage: &Stage<'_>) -> Result<String> {
    if is_leaky(stage) { orphaned(stage).await } else { lost(stage).await }
}

/// With the policy: refused, and Envoy Gateway goes on realising what people declare.
pub(super) async fn refused_and_alive(stage: &Stage<'_>, answer: Answer, rule: &str) -> Result<String> {
    answer.refused_by(rule)?;
    let more = json!({"spec": {"provider": {"kubernetes": {"envoyHpa": {"maxReplicas": 7}}}}});
    stage.patch(ENVOY_PROXY, "fleet", more).await?.done()?;
    until(stage, HPA, "updated", |hpa| objects::field(hpa, "/spec/maxReplicas") == Some(&json!(7))).await?;
    Ok("refused, later changes are realised".into())
}

/// A change that can be seen on the fleet, so that one knows that Envoy Gateway has read the EnvoyProxy.
pub(super) fn seen() -> Value {
    json!({"pod": {"labels": {"seen": "yes"}}})
}

pub(super) async fn until_seen(stage: &Stage<'_>) -> Result<()> {
    let labelled = |fleet: &DynamicObject| objects::field(fleet, "/spec/template/metadata/labels/seen").is_some();
    until(stage, DEPLOYMENT, "of the new EnvoyProxy", labelled).await?;
    Ok(())
}

pub(super) async fn remove(stage: &Stage<'_>) -> Result<Answer> {
    let without = json!({"spec": {"provider": {"kubernetes": {"envoyHpa": null, "envoyDeployment": seen()}}}});
    stage.patch(ENVOY_PROXY, "fleet", without).await
}

pub(super) async fn removed(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    let answer = remove(stage).await?;
    if !stage.guarded() {
        answer.done()?;
        return lost(stage).await;
    }
    refused_and_alive(stage, answer, "envoyhpa-removed").await?;
    stage.annotate(ENVOY_PROXY, "fleet", ALLOW, Some("envoyhpa-removed")).await?.done()?;
    remove(stage).await?.done()?;
    until_gone(stage, HPA).await?;
    Ok("refused; let through once acknowledged".into())
}

async fn removed_leaky(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    let answer = remove(stage).await?;
    if stage.guarded() {
        return refused_and_alive(stage, answer, "envoyhpa-removed").await;
    }
    answer.done()?;
    until_seen(stage).await?;
    orphaned(stage).await
}

async fn replace(stage: &Stage<'_>) -> Result<Answer> {
    let pinned = json!({"spec": {"provider": {"kubernetes": {"envoyHpa": null, "envoyDeployment": {"replicas": 3}}}}});
    stage.patch(ENVOY_PROXY, "fleet", pinned).await
}

pub(super) async fn replaced(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    replace(stage).await?.done()?;
    until_gone(stage, HPA).await?;
    until(stage, DEPLOYMENT, "pinned", |fleet| objects::field(fleet, "/spec/replicas") == Some(&json!(3))).await?;
    Ok("the HPA is deleted, the count is the declared one".into())
}

async fn replaced_leaky(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    let answer = replace(stage).await?;
    if stage.guarded() {
        return refused_and_alive(stage, answer, "envoyhpa-removed").await;
    }
    answer.done()?;
    until(stage, DEPLOYMENT, "at the declared count", |fleet| {
        objects::field(fleet, "/spec/replicas") == Some(&json!(3))
    })
    .await?;
    orphaned(stage).await
}

async fn pinned(stage: &Stage<'_>) -> Result<String> {
    let mut policy = None;
    if stage.guarded() {
        let account = webhook::policy_server(stage.plane).await?;
        policy = Some(stage.own_policy(&json!({"envoyHpaRemoval": "pin"}), &account).await?);
    }
    given_fleet(stage).await?;
    remove(stage).await?.done()?;
    let Some(mut policy) = policy else {
        until_seen(stage).await?;
        return lost_or_orphaned(stage).await;
    };
    let both = |hpa: &DynamicObject| {
        ["minReplicas", "maxReplicas"].map(|bound| hpa.data["spec"][bound] == json!(2)) == [true, true]
    };
    until(stage, HPA, "pinned at 2", both).await?;
    policy.alive()?;
    Ok("the HPA stays, with the count as both bounds".into())
}

pub(super) async fn proxy_deleted(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    let answer = stage.delete(ENVOY_PROXY, "fleet").await?;
    if stage.guarded() {
        return refused_and_alive(stage, answer, "envoyproxy-deleted").await;
    }
    answer.done()?;
    lost(stage).await
}

/// Of a class, see [`frozen`].
async fn proxy_deleted_leaky(stage: &Stage<'_>) -> Result<String> {
    stage.given(&envoy_proxy("fleet", &envoy_hpa())).await?;
    stage.given(&gateway_class(class(stage), None)).await?;
    stage.given(&gateway(class(stage), Some("fleet"))).await?;
    hpa_is_there(stage).await?;
    let answer = stage.delete(ENVOY_PROXY, "fleet").await?;
    if stage.guarded() {
        return refused_and_alive(stage, answer, "envoyproxy-deleted").await;
    }
    answer.done()?;
    until_gone(stage, DEPLOYMENT).await?;
    stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, HPA, &fleet(stage)).await?;
    Ok("the fleet is gone, its HPA stays".into())
}

async fn class_parameters(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    let answer = stage.patch(GATEWAY_CLASS, class(stage), json!({"spec": {"parametersRef": null}})).await?;
    if stage.guarded() {
        return refused_and_alive(stage, answer, "gatewayclass-parameters").await;
    }
    answer.done()?;
    lost_or_orphaned(stage).await
}

async fn point_to(stage: &Stage<'_>, proxy: &str) -> Result<Answer> {
    let parameters = class_parameters_of(stage, proxy);
    stage.patch(GATEWAY_CLASS, class(stage), json!({"spec": {"parametersRef": parameters}})).await
}

async fn class_to_nothing(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    let answer = point_to(stage, "nothing").await?;
    if stage.guarded() {
        return refused_and_alive(stage, answer, "gatewayclass-parameters").await;
    }
    answer.done()?;
    lost(stage).await
}

async fn class_to_nothing_leaky(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    given_other_fleet(stage).await?;
    let answer = point_to(stage, "nothing").await?;
    if stage.guarded() {
        return refused_and_alive(stage, answer, "gatewayclass-parameters").await;
    }
    answer.done()?;
    let max = frozen(stage).await?;
    point_to(stage, "fleet").await?.done()?;
    mended(stage, max).await
}

async fn class_proxy_deleted_leaky(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    given_other_fleet(stage).await?;
    let answer = stage.delete(ENVOY_PROXY, "fleet").await?;
    if stage.guarded() {
        return refused_and_alive(stage, answer, "envoyproxy-deleted").await;
    }
    answer.done()?;
    let max = frozen(stage).await?;
    stage.given(&envoy_proxy("fleet", &envoy_hpa())).await?;
    mended(stage, max).await
}

/// A fleet of another class.
async fn given_other_fleet(stage: &Stage<'_>) -> Result<()> {
    let other_class = format!("{}-other", stage.namespace);
    stage.given(&envoy_proxy("other", &envoy_hpa())).await?;
    stage.given(&gateway_class(&other_class, Some(class_parameters_of(stage, "other")))).await?;
    let mut gateway = objects::documents(&gateway(&other_class, None))?.remove(0);
    gateway["metadata"]["name"] = json!("other");
    stage.given(&gateway.to_string()).await?;
    stage.until_in(ENVOY_GATEWAY_NAMESPACE, HPA, &fleet_for(stage, "other"), "there", |_| true).await?;
    Ok(())
}

/// Changes an EnvoyProxy until that fleet's HPA does not follow; returns the maximum that the HPA should have by then.
async fn until_unfollowed(stage: &Stage<'_>, proxy: &str, fleet: &str) -> Result<u32> {
    // Nothing shows when Envoy Gateway has seen a class as it is, and what is written later it sometimes sees first.
    for max in [7, 8, 9] {
        let more = json!({"spec": {"provider": {"kubernetes": {"envoyHpa": {"maxReplicas": max}}}}});
        stage.patch(ENVOY_PROXY, proxy, more).await?.done()?;
        let hpa = stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, HPA, fleet).await?;
        if objects::field(&hpa, "/spec/maxReplicas") != Some(&json!(max)) {
            return Ok(max);
        }
    }
    bail!("HPA {fleet} still follows EnvoyProxy {proxy}")
}

/// Without the policy and before 1.5: one class without its EnvoyProxy, and no fleet of any class is managed any more.
async fn frozen(stage: &Stage<'_>) -> Result<u32> {
    until_unfollowed(stage, "other", &fleet_for(stage, "other")).await
}

async fn mended(stage: &Stage<'_>, max: u32) -> Result<String> {
    let realised = |hpa: &DynamicObject| objects::field(hpa, "/spec/maxReplicas") == Some(&json!(max));
    let other = fleet_for(stage, "other");
    stage.until_in(ENVOY_GATEWAY_NAMESPACE, HPA, &other, "managed again", realised).await?;
    Ok("all fleets of all classes freeze".into())
}

async fn gateway_parameters(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    stage.given(&envoy_proxy("plain", &json!({"envoyDeployment": seen()}))).await?;
    let answer = stage.patch(GATEWAY, "eg", json!({"spec": {"infrastructure": own_parameters("plain")}})).await?;
    if stage.guarded() {
        return refused_and_alive(stage, answer, "gateway-parameters").await;
    }
    answer.done()?;
    until_seen(stage).await?;
    lost_or_orphaned(stage).await
}

async fn class_deleted(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    let answer = stage.delete(GATEWAY_CLASS, class(stage)).await?;
    if stage.guarded() {
        return refused_and_alive(stage, answer, "gatewayclass-deleted").await;
    }
    answer.done()?;
    lost(stage).await
}

/// A class that is being deleted is not managed any more, and neither are its fleets.
async fn class_deleted_leaky(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    let answer = stage.delete(GATEWAY_CLASS, class(stage)).await?;
    if stage.guarded() {
        return refused_and_alive(stage, answer, "gatewayclass-deleted").await;
    }
    answer.done()?;
    until_unfollowed(stage, "fleet", &fleet(stage)).await?;
    Ok("the HPA follows no EnvoyProxy any more".into())
}

async fn merged(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    stage.take_warnings();
    let answer = stage.patch(ENVOY_PROXY, "fleet", json!({"spec": {"mergeGateways": true}})).await?;
    let leaky = is_leaky(stage);
    if stage.guarded() && leaky {
        return refused_and_alive(stage, answer, "merge-gateways").await;
    }
    answer.done()?;
    let warnings = stage.take_warnings();
    ensure!(warnings.is_empty() != stage.guarded(), "the warnings are {warnings:?}");
    until_gone(stage, DEPLOYMENT).await?;
    if leaky {
        stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, HPA, &fleet(stage)).await?;
        return Ok("the fleet is gone, its HPA stays".into());
    }
    until_gone(stage, HPA).await?;
    Ok(if stage.guarded() { "another fleet, with a warning".into() } else { "another fleet, without a word".into() })
}

pub(super) async fn lives(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    let changed =
        json!({"spec": {"provider": {"kubernetes": {"envoyHpa": {"maxReplicas": 8}, "envoyDeployment": seen()}}}});
    stage.patch(ENVOY_PROXY, "fleet", changed).await?.done()?;
    until(stage, HPA, "updated", |hpa| objects::field(hpa, "/spec/maxReplicas") == Some(&json!(8))).await?;
    until_seen(stage).await?;
    stage.delete(GATEWAY, "eg").await?.done()?;
    until_gone(stage, DEPLOYMENT).await?;
    if !is_leaky(stage) {
        until_gone(stage, HPA).await?;
    }
    stage.delete(GATEWAY_CLASS, class(stage)).await?.done()?;
    stage.delete(ENVOY_PROXY, "fleet").await?.done()?;
    stage.until_gone(GATEWAY_CLASS, class(stage)).await?;
    Ok("each step is done".into())
}

/// The namespace controller deletes EnvoyProxy and Gateway in any order.
pub(super) async fn namespace_deleted(stage: &Stage<'_>) -> Result<String> {
    given_fleet(stage).await?;
    stage.delete(NAMESPACE, &stage.namespace).await?.done()?;
    stage.until_gone(NAMESPACE, &stage.namespace).await?;
    until_gone(stage, DEPLOYMENT).await?;
    until_gone(stage, HPA).await?;
    stage.delete(GATEWAY_CLASS, class(stage)).await?.done()?;
    stage.until_gone(GATEWAY_CLASS, class(stage)).await?;
    Ok("the namespace and its fleet are gone".into())
}

async fn by_helm(stage: &Stage<'_>, major: u8) -> Result<String> {
    let helm = stage.helm(major)?;
    helm.upgrade_to("fleet", &[], &[]).await?.succeeded()?;
    hpa_is_there(stage).await?;
    helm.upgrade_to("fleet", &["max=7"], &[]).await?.succeeded()?;
    until(stage, HPA, "updated", |hpa| objects::field(hpa, "/spec/maxReplicas") == Some(&json!(7))).await?;
    helm.rollback(1, &[]).await?.succeeded()?;
    hpa_is_there(stage).await?;
    let leaky = is_leaky(stage);
    let without = helm.upgrade_to("fleet", &["hpa=false"], &[]).await?;
    if stage.guarded() {
        ensure!(!without.success && without.text.contains("envoyhpa-removed"), "Helm says {}", without.text);
    } else {
        without.succeeded()?;
        until_seen(stage).await?;
        if leaky {
            stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, HPA, &fleet(stage)).await?;
        } else {
            until_gone(stage, HPA).await?;
        }
    }
    helm.upgrade_to("fleet", &["max=8"], &[]).await?.succeeded()?;
    until(stage, HPA, "updated", |hpa| objects::field(hpa, "/spec/maxReplicas") == Some(&json!(8))).await?;
    helm.uninstall().await?.succeeded()?;
    until_gone(stage, DEPLOYMENT).await?;
    stage.until_gone(GATEWAY_CLASS, class(stage)).await?;
    ensure!(stage.get(ENVOY_PROXY, "fleet").await?.is_none(), "the EnvoyProxy is left");
    if leaky {
        stage.at_rest_in(ENVOY_GATEWAY_NAMESPACE, HPA, &fleet(stage)).await?;
    } else {
        until_gone(stage, HPA).await?;
    }
    let fate = match (stage.guarded(), leaky) {
        (true, _) => "an upgrade without envoyHpa is refused",
        (false, true) => "an upgrade without envoyHpa leaves the HPA behind",
        (false, false) => "an upgrade without envoyHpa takes the HPA",
    };
    let left = if leaky { ", but for the HPA" } else { "" };
    Ok(format!("{fate}; at the end all is gone{left}"))
}
