//! Incident 2: envoyHpa is removed from an EnvoyProxy (envoyproxy/gateway issue 5357).

use autoscaler_guard_cli::fault::Fault;
use autoscaler_guard_cli::review::VerdictKind;
use autoscaler_guard_host::Snapshot;
use serde_json::json;

use crate::fixtures::{
    ENVOY_HPA_REMOVED_1_3, ENVOY_HPA_REMOVED_1_9, FLEET_1_3, FLEET_1_9, changed_request, cluster, request,
};
use crate::stage::{Scene, Stage};

/// Plays the incident on an old and a new Envoy Gateway, and two ways to do what was meant.
pub fn play(stage: &mut Stage) -> Result<(), Fault> {
    introduce(stage);
    orphan(stage, &cluster(FLEET_1_3)?)?;
    let fleet = cluster(FLEET_1_9)?;
    loss(stage, &fleet)?;
    declared(stage, &fleet)?;
    pinned(stage, &fleet)
}

fn introduce(stage: &Stage) {
    stage.heading("Incident 2: Envoy Gateway's fleet loses its autoscaler");
    stage.say(
        "Envoy Gateway runs a fleet of Envoy proxies for Gateway eg. EnvoyProxy fleet says, in its field envoyHpa, that an \
         HPA keeps between 2 and 5 of them. Somebody removes the field. What that does depends on the version \
         (envoyproxy/gateway issue 5357), and no version says so.",
    );
}

fn orphan(stage: &mut Stage, fleet: &Snapshot) -> Result<(), Fault> {
    stage.play(&Scene {
        title: "envoyHpa is removed, Envoy Gateway 1.3.0",
        story: "The HPA would stay and keep scaling, though nothing declares it any more, even after the Gateway is deleted.",
        settings: json!({}),
        cluster: fleet,
        request: request(ENVOY_HPA_REMOVED_1_3)?,
        expected: (VerdictKind::Rejected, Some("envoyhpa-removed")),
        without: "an HPA that nothing declares keeps scaling the fleet",
        with: "envoyHpa stays",
    })?;
    Ok(())
}

fn loss(stage: &mut Stage, fleet: &Snapshot) -> Result<(), Fault> {
    stage.play(&Scene {
        title: "envoyHpa is removed, Envoy Gateway 1.9.1",
        story: "The HPA would be deleted, and the fleet would stay at the size that it happens to have.",
        settings: json!({}),
        cluster: fleet,
        request: request(ENVOY_HPA_REMOVED_1_9)?,
        expected: (VerdictKind::Rejected, Some("envoyhpa-removed")),
        without: "the HPA is deleted, the fleet's size freezes",
        with: "envoyHpa stays",
    })?;
    Ok(())
}

fn declared(stage: &mut Stage, fleet: &Snapshot) -> Result<(), Fault> {
    let declared = changed_request(ENVOY_HPA_REMOVED_1_9, |request| {
        request["object"]["spec"]["provider"]["kubernetes"]["envoyDeployment"] = json!({"replicas": 4});
    })?;
    stage.play(&Scene {
        title: "envoyHpa makes way for a declared size, Envoy Gateway 1.9.1",
        story: "Who says how large the fleet shall be instead has decided, and nothing happens by chance.",
        settings: json!({}),
        cluster: fleet,
        request: declared,
        expected: (VerdictKind::Allowed, None),
        without: "the fleet has 4 proxies",
        with: "the fleet has 4 proxies",
    })?;
    Ok(())
}

fn pinned(stage: &mut Stage, fleet: &Snapshot) -> Result<(), Fault> {
    let judgement = stage.play(&Scene {
        title: "envoyHpa is removed, and the policy is to pin it, Envoy Gateway 1.9.1",
        story: "With this setting the removal means: stay at this size. envoyHpa stays, with its minimum and maximum at the \
                size that the fleet has.",
        settings: json!({"envoyHpaRemoval": "pin"}),
        cluster: fleet,
        request: request(ENVOY_HPA_REMOVED_1_9)?,
        expected: (VerdictKind::Repaired, Some("envoyhpa-removed")),
        without: "the HPA is deleted, the fleet's size freezes",
        with: "the size is declared, by envoyHpa",
    })?;
    let bounds = judgement.repaired.as_ref().map(|repaired| &repaired["spec"]["provider"]["kubernetes"]["envoyHpa"]);
    let is_pinned =
        bounds.is_some_and(|bounds| bounds["minReplicas"].is_u64() && bounds["minReplicas"] == bounds["maxReplicas"]);
    stage.claim("envoyHpa is still declared, with one size.", is_pinned);
    Ok(())
}
