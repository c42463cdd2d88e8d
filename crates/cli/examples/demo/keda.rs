//! Incident 1: a chart goes back from KEDA to a plain HPA (kedacore/keda issue 6250).

use autoscaler_guard_cli::fault::Fault;
use autoscaler_guard_cli::review::{Judgement, Request, VerdictKind};
use autoscaler_guard_host::Snapshot;
use serde_json::{Value, json};

use crate::fixtures::{
    HPA_CREATED_BY_KEDA, HPA_UPDATED_BY_HELM, SCALED_OBJECT_DELETED, SHOP, changed_request, cluster, request,
};
use crate::stage::{Scene, Stage};

const KEDA: &str = "system:serviceaccount:keda:keda-operator";

/// Plays the incident with the policy in the way, then what else people do there.
pub fn play(stage: &mut Stage) -> Result<(), Fault> {
    introduce(stage);
    let before = cluster(SHOP)?;
    let released = hand_over(stage, &before)?;
    let mut after = before.clone();
    after.insert(released.clone()).map_err(|reason| Fault::new("the repaired HPA cannot be stored").because(reason))?;
    readoption(stage, &after, &released)?;
    delete_after_hand_over(stage, &after, &released)?;
    hand_over_without_repair(stage, &before)?;
    bare_delete(stage, &before)?;
    acknowledged_delete(stage, &before)
}

fn introduce(stage: &Stage) {
    stage.heading("Incident 1: a chart goes back from KEDA to a plain HPA");
    stage.say(
        "Deployment web in namespace shop is scaled by KEDA: somebody declared a ScaledObject, and KEDA keeps an HPA for \
         it, of which the ScaledObject is the owner. Now a new version of the Helm chart drops the ScaledObject and brings \
         an HPA of the same name instead.",
    );
    stage.say(
        "Without the policy: Helm updates the HPA, then deletes the ScaledObject, and prints STATUS: deployed. A moment \
         later the garbage collector deletes the HPA, since its owner is gone. The workload has no autoscaler, and nobody \
         is warned (kedacore/keda issue 6250).",
    );
}

fn hand_over(stage: &mut Stage, before: &Snapshot) -> Result<Value, Fault> {
    let judgement = stage.play(&Scene {
        title: "Helm updates the HPA",
        story: "The HPA would keep the ScaledObject as its owner, and so go down with it.",
        settings: json!({}),
        cluster: before,
        request: request(HPA_UPDATED_BY_HELM)?,
        expected: (VerdictKind::Repaired, Some("hpa-handover")),
        without: "the HPA stays owned by the ScaledObject",
        with: "the HPA belongs to the chart",
    })?;
    let released = stored(&judgement);
    stage.claim("The ScaledObject no longer owns the HPA.", !is_owned(&released));
    Ok(released)
}

fn readoption(stage: &mut Stage, after: &Snapshot, released: &Value) -> Result<(), Fault> {
    let judgement = stage.play(&Scene {
        title: "KEDA takes the HPA back",
        story: "Helm's update has woken KEDA, and the ScaledObject is still there: KEDA would write the HPA anew, as the \
                ScaledObject's own.",
        settings: json!({}),
        cluster: after,
        request: update_by_keda(released)?,
        expected: (VerdictKind::Repaired, Some("hpa-readoption")),
        without: "the ScaledObject owns the HPA again",
        with: "KEDA's update changes nothing",
    })?;
    stage.claim(
        "The HPA is stored as it was before.",
        without_managed_fields(stored(&judgement)) == without_managed_fields(released.clone()),
    );
    Ok(())
}

fn delete_after_hand_over(stage: &mut Stage, after: &Snapshot, released: &Value) -> Result<(), Fault> {
    stage.play(&Scene {
        title: "Helm deletes the ScaledObject",
        story: "The garbage collector would delete the HPA with it, if it were still the ScaledObject's.",
        settings: json!({}),
        cluster: after,
        request: request(SCALED_OBJECT_DELETED)?,
        expected: (VerdictKind::Allowed, None),
        without: "the HPA is deleted, too: no autoscaler is left",
        with: "nothing is lost, the HPA stays",
    })?;
    stage.claim("The garbage collector finds no HPA that the ScaledObject owns.", !is_owned(released));
    Ok(())
}

fn hand_over_without_repair(stage: &mut Stage, before: &Snapshot) -> Result<(), Fault> {
    stage.play(&Scene {
        title: "Helm updates the HPA, and the policy may not repair",
        story: "Those who do not want a policy to change requests get an error in the upgrade, early enough, and the way to go.",
        settings: json!({"repair": false}),
        cluster: before,
        request: request(HPA_UPDATED_BY_HELM)?,
        expected: (VerdictKind::Rejected, Some("hpa-handover")),
        without: "the HPA stays owned by the ScaledObject",
        with: "the upgrade fails, and says why",
    })?;
    Ok(())
}

fn bare_delete(stage: &mut Stage, before: &Snapshot) -> Result<(), Fault> {
    stage.play(&Scene {
        title: "Somebody just deletes the ScaledObject",
        story: "`kubectl delete scaledobject web -n shop` would take the HPA along.",
        settings: json!({}),
        cluster: before,
        request: request(SCALED_OBJECT_DELETED)?,
        expected: (VerdictKind::Rejected, Some("scaledobject-deleted")),
        without: "the HPA is deleted, too: no autoscaler is left",
        with: "the ScaledObject stays",
    })?;
    Ok(())
}

fn acknowledged_delete(stage: &mut Stage, before: &Snapshot) -> Result<(), Fault> {
    let acknowledged = changed_request(SCALED_OBJECT_DELETED, |request| {
        request["oldObject"]["metadata"]["annotations"]["autoscaler-guard/allow"] = "scaledobject-deleted".into();
    })?;
    let judgement = stage.play(&Scene {
        title: "Somebody deletes the ScaledObject and means it",
        story: "They annotated it as the message says: `autoscaler-guard/allow=scaledobject-deleted`.",
        settings: json!({}),
        cluster: before,
        request: acknowledged,
        expected: (VerdictKind::Allowed, None),
        without: "the HPA is deleted, too",
        with: "as they wish; the audit log keeps it",
    })?;
    stage.claim(
        "The audit log names the rule that was acknowledged.",
        judgement.response.audit("allowed") == Some("scaledobject-deleted"),
    );
    Ok(())
}

/// What KEDA sends a second after the handover: the HPA that it builds for its ScaledObject, over the stored one.
fn update_by_keda(released: &Value) -> Result<Request, Fault> {
    changed_request(HPA_CREATED_BY_KEDA, |request| {
        request["operation"] = "UPDATE".into();
        request["userInfo"]["username"] = KEDA.into();
        for field in ["uid", "resourceVersion", "creationTimestamp"] {
            request["object"]["metadata"][field] = released["metadata"][field].clone();
        }
        request["object"]["status"] = released["status"].clone();
        request["oldObject"] = released.clone();
        request["options"] = json!({"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1"});
    })
}

/// The object as the API server stores it after the verdict.
fn stored(judgement: &Judgement) -> Value {
    judgement.repaired.clone().unwrap_or_else(|| judgement.request.object().clone())
}

fn is_owned(hpa: &Value) -> bool {
    let owners = hpa["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|owner| owner["kind"] == "ScaledObject"))
}

fn without_managed_fields(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object
}
