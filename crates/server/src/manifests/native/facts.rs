//! What policies in CEL know, each fact once and under a name.
//!
//! A fact may name others (`variables.x`). `object` and `oldObject` are the changed object, `params` is the one looked
//! at. Words between two `@` are what settings say.

use autoscaler_guard::Settings;
use autoscaler_guard::facts::envoy_gateway::{Removal, Running};

use crate::manifests::conditions::{quoted, test};

/// An annotation, empty where it is not there.
macro_rules! annotation {
    ($of:literal, $key:literal) => {
        concat!($of, ".metadata.?annotations[?'", $key, "'].orValue('')")
    };
}

/// `Kind namespace/name`.
macro_rules! title {
    ($kind:literal, $of:literal) => {
        concat!("'", $kind, " ' + ", $of, ".metadata.namespace + '/' + ", $of, ".metadata.name")
    };
}

/// ` name -n namespace`, behind a command and a kind.
macro_rules! named {
    ($of:literal) => {
        concat!($of, ".metadata.name + ' -n ' + ", $of, ".metadata.namespace")
    };
}

/// What an HPA scales, as `group/Kind/name`; the version does not matter.
macro_rules! hpa_target {
    ($of:literal) => {
        concat!(
            $of,
            ".spec.scaleTargetRef.?apiVersion.orValue('').split('/')[0] + '/' +\n",
            $of,
            ".spec.scaleTargetRef.kind + '/' + ",
            $of,
            ".spec.scaleTargetRef.name"
        )
    };
}

/// What a ScaledObject scales, likewise, with KEDA's defaults.
macro_rules! so_target {
    ($of:literal) => {
        concat!(
            $of,
            ".spec.scaleTargetRef.?apiVersion.orValue('apps/v1').split('/')[0] + '/' +\n",
            $of,
            ".spec.scaleTargetRef.?kind.orValue('Deployment') + '/' + ",
            $of,
            ".spec.scaleTargetRef.name"
        )
    };
}

/// `Kind namespace/name` of what a ScaledObject scales.
macro_rules! so_workload {
    ($of:literal) => {
        concat!(
            $of,
            ".spec.scaleTargetRef.?kind.orValue('Deployment') + ' ' + ",
            $of,
            ".metadata.namespace + '/' +\n",
            $of,
            ".spec.scaleTargetRef.name"
        )
    };
}

/// The same of an HPA.
macro_rules! hpa_workload {
    ($of:literal) => {
        concat!(
            $of,
            ".spec.scaleTargetRef.kind + ' ' + ",
            $of,
            ".metadata.namespace + '/' + ",
            $of,
            ".spec.scaleTargetRef.name"
        )
    };
}

/// The HPA that a ScaledObject writes: `status.hpaName`, else the spec's name, else `keda-hpa-<name>` (kedacore/keda
/// `getHPAName`, controllers/keda/hpa.go).
macro_rules! hpa_name {
    ($of:literal) => {
        concat!(
            $of,
            ".?status.?hpaName.orValue('') != '' ? ",
            $of,
            ".status.hpaName :\n",
            $of,
            ".spec.?advanced.?horizontalPodAutoscalerConfig.?name.orValue('keda-hpa-' + ",
            $of,
            ".metadata.name)"
        )
    };
}

/// Whether a ScaledObject is paused: by any value but a parsable false, or by a count.
macro_rules! paused {
    ($of:literal) => {
        concat!(
            "'autoscaling.keda.sh/paused-replicas' in ",
            $of,
            ".metadata.?annotations.orValue({}) ||\n",
            "!(",
            $of,
            ".metadata.?annotations[?'autoscaling.keda.sh/paused'].orValue('false') in\n",
            "['0', 'f', 'F', 'false', 'FALSE', 'False'])"
        )
    };
}

/// Whether an EnvoyProxy declares envoyHpa.
macro_rules! declares_hpa {
    ($of:literal) => {
        concat!(
            $of,
            ".?spec.?provider.?type.orValue('') == 'Kubernetes' &&\n",
            $of,
            ".?spec.?provider.?kubernetes.?envoyHpa.hasValue()"
        )
    };
}

/// Whether an EnvoyProxy is merged over its class's; older definitions do not have the field.
macro_rules! merged {
    ($of:literal) => {
        concat!("dyn(", $of, ").?spec.?mergeType.orValue('') in ['StrategicMerge', 'JSONMerge']")
    };
}

/// Whether an HPA or ScaledObject can never change the count, and why; empty where it can.
macro_rules! hpa_stands_still {
    ($of:literal) => {
        concat!(
            $of,
            ".spec.?minReplicas.orValue(1) == ",
            $of,
            ".spec.maxReplicas ? 'its minimum is its maximum' :\n",
            $of,
            ".spec.?behavior.?scaleUp.?selectPolicy.orValue('') == 'Disabled' &&\n",
            $of,
            ".spec.?behavior.?scaleDown.?selectPolicy.orValue('') == 'Disabled' ?\n",
            "'its behavior disables scaling up and down' : ''"
        )
    };
}

macro_rules! so_stands_still {
    ($of:literal) => {
        concat!(
            annotation!($of, "autoscaling.keda.sh/paused-scale-in"), " == 'true' &&\n",
            annotation!($of, "autoscaling.keda.sh/paused-scale-out"), " == 'true' ?\n",
            "'paused-scale-in and paused-scale-out are both set' :\n",
            $of, ".spec.?minReplicaCount.orValue(-1) == ", $of, ".spec.?maxReplicaCount.orValue(-2) &&\n",
            "!", $of, ".spec.?idleReplicaCount.hasValue() ? 'its minimum is its maximum' :\n",
            $of, ".spec.?advanced.?horizontalPodAutoscalerConfig.?behavior.?scaleUp.?selectPolicy.orValue('') == 'Disabled' &&\n",
            $of, ".spec.?advanced.?horizontalPodAutoscalerConfig.?behavior.?scaleDown.?selectPolicy.orValue('') == 'Disabled' ?\n",
            "'its behavior disables scaling up and down' : ''"
        )
    };
}

// Since Kubernetes 1.37 a patch cannot hold what has a type of Kubernetes' own (seen on 1.37.2: "could not marshal to
// JSON: type conversion error from struct type v2.HorizontalPodAutoscalerSpec"), so such values are put together field
// by field.

/// A field that may be missing, as an entry of a map: a `string`, an `int` or a `bool`.
macro_rules! entry {
    ($of:literal, $field:literal, $type:literal) => {
        concat!("?'", $field, "': ", $of, ".?", $field, ".optMap(it, dyn(", $type, "(it)))")
    };
}

/// References of owners.
macro_rules! plain_owners {
    ($owners:literal) => {
        concat!(
            $owners,
            ".map(owner, {'apiVersion': dyn(string(owner.apiVersion)), 'kind': dyn(string(owner.kind)),\n",
            "'name': dyn(string(owner.name)), 'uid': dyn(string(owner.uid)),\n",
            entry!("owner", "controller", "bool"),
            ", ",
            entry!("owner", "blockOwnerDeletion", "bool"),
            "})"
        )
    };
}

/// What a metric of an HPA is to be.
macro_rules! plain_goal {
    ($of:literal) => {
        concat!(
            "'target': dyn({'type': dyn(string(",
            $of,
            ".target.type)), ",
            "?'averageUtilization': ",
            $of,
            ".target.?averageUtilization.optMap(it, dyn(int(it))),\n",
            "?'averageValue': ",
            $of,
            ".target.?averageValue.optMap(it, dyn(it)), ",
            "?'value': ",
            $of,
            ".target.?value.optMap(it, dyn(it))})"
        )
    };
}

/// Which metric of Pods, an object or elsewhere.
macro_rules! plain_metric {
    ($of:literal) => {
        concat!(
            "'metric': dyn({'name': dyn(string(",
            $of,
            ".metric.name)),\n",
            "?'selector': ",
            $of,
            ".metric.?selector.optMap(selector, dyn({",
            "?'matchLabels': selector.?matchLabels.optMap(it, dyn(it.transformMap(key, value, string(value))))",
            ",\n",
            "?'matchExpressions': selector.?matchExpressions.optMap(all, dyn(all.map(one,\n",
            "{'key': dyn(string(one.key)), 'operator': dyn(string(one.operator)), ",
            "?'values': one.?values.optMap(it, dyn(it.map(value, string(value))))})))}))})"
        )
    };
}

/// How fast an HPA may scale in a direction, as an entry of its behavior.
macro_rules! plain_pace {
    ($direction:literal) => {
        concat!(
            "?'", $direction, "': behavior.?", $direction, ".optMap(pace, dyn({", entry!("pace", "selectPolicy", "string"), ",\n",
            entry!("pace", "stabilizationWindowSeconds", "int"), ", ", "?'tolerance': pace.?tolerance.optMap(it, dyn(it))", ",\n",
            "?'policies': pace.?policies.optMap(all, dyn(all.map(one,\n",
            "{'type': dyn(string(one.type)), 'value': dyn(int(one.value)), 'periodSeconds': dyn(int(one.periodSeconds))})))}))"
        )
    };
}

/// A command that puts the mark back, keeps or replaces a part of the object as it was, in JSON Patch.
macro_rules! kept {
    ($part:literal, $as:literal) => {
        concat!(
            "('",
            $part,
            "' in oldObject.metadata ?\n",
            "[JSONPatch{op: 'add', path: '/metadata/",
            $part,
            "', value: oldObject.metadata.",
            $part,
            $as,
            "}] :\n",
            "'",
            $part,
            "' in object.metadata ? [JSONPatch{op: 'remove', path: '/metadata/",
            $part,
            "'}] : [])"
        )
    };
}

pub(super) use {annotation, entry, kept, named, plain_owners, title};

/// All facts, by name.
pub(super) static FACTS: &[(&str, &str)] = &[
    // Who writes.
    ("declares", "@declares@"),
    // The mark of a handover: <scaledobject>/<uid>/<generation>.
    ("oldMark", concat!(annotation!("oldObject", "autoscaler-guard/released-from"), ".split('/')")),
    ("newMark", concat!(annotation!("object", "autoscaler-guard/released-from"), ".split('/')")),
    ("wasReleased", "variables.oldMark.size() == 3 && variables.oldMark[1] != ''"),
    ("isReleased", "variables.newMark.size() == 3 && variables.newMark[1] != ''"),
    ("releasedFromIt", "variables.wasReleased && variables.oldMark[1] == params.metadata.uid"),
    // Owners of an HPA, before and after the change; the object looked at is a ScaledObject or GatewayClass.
    ("oldOwners", "oldObject.metadata.?ownerReferences.orValue([])"),
    ("newOwners", "object.metadata.?ownerReferences.orValue([])"),
    ("owned", "variables.oldOwners.exists(owner, owner.uid == params.metadata.uid)"),
    ("owns", "variables.newOwners.exists(owner, owner.uid == params.metadata.uid)"),
    (
        "controlled",
        "variables.oldOwners.exists(owner, owner.uid == params.metadata.uid && owner.?controller.orValue(false))",
    ),
    (
        "controls",
        "variables.newOwners.exists(owner, owner.uid == params.metadata.uid && owner.?controller.orValue(false))",
    ),
    ("lives", "!has(params.metadata.deletionTimestamp)"),
    // The spec of an HPA as it was.
    (
        "oldMetrics",
        concat!(
            "oldObject.spec.?metrics.orValue([]).map(metric, {'type': dyn(string(metric.type)),\n",
            "?'resource': metric.?resource.optMap(it, dyn({'name': dyn(string(it.name)), ",
            plain_goal!("it"),
            "})),\n?'containerResource': metric.?containerResource.optMap(it, dyn({'name': dyn(string(it.name)), 'container': dyn(string(it.container)),\n",
            plain_goal!("it"),
            "})),\n?'pods': metric.?pods.optMap(it, dyn({",
            plain_metric!("it"),
            ",\n",
            plain_goal!("it"),
            "})),\n?'object': metric.?object.optMap(it, dyn({'describedObject': dyn({'kind': dyn(string(it.describedObject.kind)),\n'name': dyn(string(it.describedObject.name)), 'apiVersion': dyn(string(it.describedObject.?apiVersion.orValue('')))}),\n",
            plain_metric!("it"),
            ",\n",
            plain_goal!("it"),
            "})),\n?'external': metric.?external.optMap(it, dyn({",
            plain_metric!("it"),
            ",\n",
            plain_goal!("it"),
            "}))})"
        ),
    ),
    (
        "oldSpec",
        concat!(
            "{'scaleTargetRef': dyn({'kind': dyn(string(oldObject.spec.scaleTargetRef.kind)), 'name': dyn(string(oldObject.spec.scaleTargetRef.name)),\n",
            "'apiVersion': dyn(string(oldObject.spec.scaleTargetRef.?apiVersion.orValue('')))}),\n",
            "'maxReplicas': dyn(int(oldObject.spec.maxReplicas)), ",
            entry!("oldObject.spec", "minReplicas", "int"),
            ",\n?'metrics': oldObject.spec.?metrics.optMap(it, dyn(variables.oldMetrics)),\n",
            "?'behavior': oldObject.spec.?behavior.optMap(behavior, dyn({",
            plain_pace!("scaleUp"),
            ",\n",
            plain_pace!("scaleDown"),
            "}))}"
        ),
    ),
    // What is scaled.
    ("target", hpa_target!("object")),
    ("oldTarget", hpa_target!("oldObject")),
    ("soTarget", so_target!("object")),
    ("oldSoTarget", so_target!("oldObject")),
    ("itsTarget", hpa_target!("params")),
    ("itsSoTarget", so_target!("params")),
    ("itsSoPaused", paused!("params")),
    ("newPaused", paused!("object")),
    ("oldPaused", paused!("oldObject")),
    ("newHpaName", hpa_name!("object")),
    ("oldHpaName", hpa_name!("oldObject")),
    ("itsHpaName", hpa_name!("params")),
    // The handover.
    (
        "asked",
        concat!(
            annotation!("object", "autoscaler-guard/handover"),
            " == params.metadata.name &&\n",
            annotation!("oldObject", "autoscaler-guard/handover"),
            " != params.metadata.name &&\n",
            annotation!("params", "autoscaler-guard/handover"),
            " != params.metadata.name"
        ),
    ),
    ("claimed", "variables.owned && (variables.declares || variables.asked)"),
    ("handsOver", "variables.claimed && variables.target == variables.itsSoTarget"),
    ("forgetsMark", "variables.declares && variables.releasedFromIt && !variables.isReleased"),
    // The object that is deleted belongs to a release or an application, whose tool may be deleting all of it.
    ("labels", "oldObject.metadata.?labels.orValue({})"),
    ("annotations", "oldObject.metadata.?annotations.orValue({})"),
    (
        "ofHelm",
        "variables.labels[?'app.kubernetes.io/managed-by'].orValue('') == 'Helm' &&\n'meta.helm.sh/release-name' in variables.annotations",
    ),
    (
        "ofATool",
        "variables.ofHelm ||\n['kustomize.toolkit.fluxcd.io/name', 'helm.toolkit.fluxcd.io/name', 'argocd.argoproj.io/instance', 'kapp.k14s.io/app']\n.exists(label, label in variables.labels) ||\n'argocd.argoproj.io/tracking-id' in variables.annotations",
    ),
    ("orphans", "request.?options.?propagationPolicy.orValue('') == 'Orphan'"),
    // A ScaledObject that is deleted, and its HPA. Helm makes a hook anew.
    (
        "collected",
        "!('helm.sh/hook' in variables.annotations) && params.metadata.name == variables.oldHpaName &&\nparams.metadata.?ownerReferences.orValue([]).exists(owner, owner.uid == oldObject.metadata.uid) &&\nparams.metadata.?ownerReferences.orValue([]).all(owner, owner.uid == oldObject.metadata.uid)",
    ),
    // The HPA's own word that its workload is gone, or that another HPA scales it.
    (
        "idle",
        "params.?status.?conditions.orValue([]).exists(condition, condition.status == 'False' &&\n(condition.type == 'AbleToScale' || condition.?reason.orValue('') == 'AmbiguousSelector'))",
    ),
    ("itsWorkload", hpa_workload!("params")),
    // A workload, looked at as the target of an HPA that is deleted. The API server keeps no managedFields of what
    // policies look at (kubernetes/kubernetes, pkg/controlplane/apiserver/config.go), so who wrote the count is not
    // known.
    ("ownsItsCount", "variables.isOff || variables.isApplied"),
    ("isOff", concat!(annotation!("params", "autoscaler-guard/autoscaling"), " == 'off'")),
    (
        "isApplied",
        concat!(
            annotation!("params", "kubectl.kubernetes.io/last-applied-configuration"),
            ".contains('\"replicas\":')"
        ),
    ),
    (
        "workloadAllows",
        concat!(
            annotation!("params", "autoscaler-guard/allow"),
            ".split(',').exists(rule, rule.trim() == 'hpa-deleted')"
        ),
    ),
    (
        "fleetAllows",
        concat!(
            annotation!("params", "autoscaler-guard/allow"),
            ".split(',').exists(rule, rule.trim() == 'envoyhpa-removed')"
        ),
    ),
    (
        "isReady",
        "params.?status.?conditions.orValue([]).exists(condition, condition.type == 'Ready' && condition.status == 'True')",
    ),
    // By the name that Envoy Gateway gives, or the one that the EnvoyProxy gives.
    (
        "scalesAFleet",
        "params.spec.scaleTargetRef.name.startsWith('envoy-') ||\nparams.spec.scaleTargetRef.name == oldObject.?spec.?provider.?kubernetes.?envoyDeployment.?name.orValue('')",
    ),
    // An HPA that is KEDA's is spoken of as its ScaledObject.
    ("itIsKedas", "params.metadata.?ownerReferences.orValue([]).exists(owner, owner.kind == 'ScaledObject')"),
    // EnvoyProxies.
    ("oldDeclaresHpa", declares_hpa!("oldObject")),
    ("newDeclaresHpa", declares_hpa!("object")),
    (
        "losesHpa",
        concat!(
            "(variables.oldDeclaresHpa || ",
            merged!("oldObject"),
            ") && !variables.newDeclaresHpa && !(",
            merged!("object"),
            ")"
        ),
    ),
    // By the field, or by a patch of the Deployment; what a patch holds has no type.
    (
        "declaresCount",
        concat!(
            "object.?spec.?provider.?kubernetes.?envoyDeployment.?replicas.hasValue() ||\n",
            "dyn(object).?spec.?provider.?kubernetes.?envoyDeployment.?patch.?value.?spec.?replicas.hasValue()"
        ),
    ),
    ("isDaemonSet", "object.?spec.?provider.?kubernetes.?envoyDaemonSet.hasValue()"),
    // The class refers to it, is Envoy Gateway's, and has Gateways: Envoy Gateway puts that finalizer on it.
    (
        "governsClass",
        "params.spec.controllerName == @controller@ &&\nparams.spec.?parametersRef.?group.orValue('') == 'gateway.envoyproxy.io' &&\nparams.spec.?parametersRef.?kind.orValue('') == 'EnvoyProxy' &&\nparams.spec.?parametersRef.?name.orValue('') == oldObject.metadata.name &&\nparams.spec.?parametersRef.?namespace.orValue('default') == oldObject.metadata.namespace &&\n'gateway-exists-finalizer.gateway.networking.k8s.io' in params.metadata.?finalizers.orValue([])",
    ),
    (
        "governsGateway",
        "variables.lives &&\nparams.spec.?infrastructure.?parametersRef.?group.orValue('') == 'gateway.envoyproxy.io' &&\nparams.spec.?infrastructure.?parametersRef.?kind.orValue('') == 'EnvoyProxy' &&\nparams.spec.?infrastructure.?parametersRef.?name.orValue('') == oldObject.metadata.name",
    ),
    // An autoscaler that never scales.
    ("standsStill", hpa_stands_still!("object")),
    ("stoodStill", concat!("request.operation == 'UPDATE' && (", hpa_stands_still!("oldObject"), ") != ''")),
    ("soStandsStill", so_stands_still!("object")),
    ("soStoodStill", concat!("request.operation == 'UPDATE' && (", so_stands_still!("oldObject"), ") != ''")),
    // The changed object is aimed at a workload by this change.
    ("aims", concat!("request.operation == 'CREATE' || variables.target != (", hpa_target!("oldObject"), ")")),
    ("soAims", concat!("request.operation == 'CREATE' || variables.soTarget != (", so_target!("oldObject"), ")")),
    ("itsSoWorkload", so_workload!("params")),
    ("oldWorkload", hpa_workload!("oldObject")),
    ("workload", hpa_workload!("object")),
    ("soWorkload", so_workload!("object")),
    ("oldSoWorkload", so_workload!("oldObject")),
];

/// What settings say, as the facts name it.
#[derive(Debug)]
pub(super) struct Texts(Vec<(&'static str, String)>);

impl Texts {
    /// What these settings say.
    pub(super) fn of(settings: &Settings) -> Self {
        let manager = "request.?options.?fieldManager.orValue('')";
        let declares = test(manager, &settings.handover_field_managers).unwrap_or_else(|| "false".to_owned());
        let running = Running(settings.envoy_gateway.version);
        let (removed, deleted) = match running.removal() {
            Removal::Loses => {
                let name = running.name();
                (
                    format!(" would leave them with no autoscaler: {name} deletes their HPAs and the replica count freezes"),
                    format!(" leaves them with no autoscaler: {name} deletes their HPAs and the replica count freezes"),
                )
            }
            Removal::Orphans => {
                let name = running.name();
                (
                    format!(" would orphan their HPAs: {name} leaves them behind, still scaling, even after the Gateways are deleted"),
                    format!(" stops {name} from managing every fleet of every class"),
                )
            }
            Removal::Either => (
                " would orphan their HPAs, or lose them: Envoy Gateway 1.1.3 to 1.4.x leaves them behind, still scaling; from 1.5 they go and the replica count freezes".to_owned(),
                " takes their HPAs and freezes the replica counts (from 1.5), or stops Envoy Gateway from managing every fleet of every class (before)".to_owned(),
            ),
        };
        Self(vec![
            ("@declares@", declares),
            ("@controller@", quoted(&settings.envoy_gateway.controller_name)),
            ("@removed@", quoted(&removed)),
            ("@deleted@", quoted(&deleted)),
        ])
    }

    /// An expression with what settings say put in.
    pub(super) fn fill(&self, expression: &str) -> String {
        self.0.iter().fold(expression.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}
