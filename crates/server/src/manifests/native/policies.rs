//! Which policies there are: for each rule, which facts make it.

use super::facts::{annotation, entry, kept, named, plain_owners, title};
use super::{Does, Looks, Policy, Whose};
use crate::needs::{Api, CRD, ENVOY_PROXY, GATEWAY, GATEWAY_CLASS, HPA, SCALED_OBJECT, kind_of};

const DEPLOYMENT: Api = kind_of("apps", "v1", "deployments", "Deployment");
const STATEFUL_SET: Api = kind_of("apps", "v1", "statefulsets", "StatefulSet");

/// What a rule without a server does not see.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// The rule.
    pub rule: &'static str,
    /// What it does not see, for the table.
    pub unseen: &'static str,
}

/// What that rule without a server does not see; none where it sees all, or is not there.
pub fn limit(rule: &str) -> Option<&'static Limit> {
    LIMITS.iter().find(|limit| limit.rule == rule)
}

static LIMITS: &[Limit] = &[
    Limit { rule: "hpa-handover", unseen: "an acknowledgement on the workload" },
    Limit { rule: "hpa-readoption", unseen: "a ScaledObject that is gone already" },
    Limit {
        rule: "hpa-giveback",
        unseen: "whether another controller in the ownerReferences still exists: then the HPA is left as it is",
    },
    Limit {
        rule: "scaledobject-deleted",
        unseen: "the workload, but for what its HPA says of it, so objects of Helm, Flux, Argo CD and kapp get a warning: their tool may be deleting all of it",
    },
    Limit {
        rule: "scaledobject-retargeted",
        unseen: "whether the old workload owns its count, or something else scales it",
    },
    Limit { rule: "hpa-owner-changed", unseen: "Gateways as owners" },
    Limit {
        rule: "envoyhpa-removed",
        unseen: "Gateways of other namespaces: a class counts as in use while Envoy Gateway's finalizer is on it; who applied the fleet's count",
    },
    Limit {
        rule: "envoyproxy-deleted",
        unseen: "the fleets of a class: there it warns, and refuses where a Gateway refers to it",
    },
    Limit { rule: "duplicate-autoscaler", unseen: "what Envoy Gateway will make" },
    Limit {
        rule: "hpa-deleted",
        unseen: "whether something else scales the workload, who applied its count, and workloads that are neither Deployment nor StatefulSet",
    },
    Limit { rule: "owned-hpa-deleted", unseen: "an acknowledgement on the workload" },
    Limit { rule: "released-hpa-deleted", unseen: "whether the workload lives" },
    Limit { rule: "crd-deleted", unseen: "whether there is any such object" },
];

const UPDATE: &[&str] = &["UPDATE"];
const DELETE: &[&str] = &["DELETE"];
const WRITE: &[&str] = &["CREATE", "UPDATE"];

#[expect(clippy::unnecessary_wraps, reason = "it is what a policy looks at, or nothing")]
const fn in_namespace(api: Api) -> Option<Looks> {
    Some(Looks { api, namespace: None })
}

/// Where Envoy Gateway's fleets are, by the settings.
#[expect(clippy::unnecessary_wraps, reason = "it is what a policy looks at, or nothing")]
const fn in_fleets_namespace(api: Api) -> Option<Looks> {
    Some(Looks { api, namespace: Some(|settings| settings.envoy_gateway.namespace.as_str()) })
}

/// A policy about changes of a kind, with nothing said yet.
const fn policy(rule: &'static str, does: Does, on: Api, operation: &'static [&'static str]) -> Policy {
    Policy {
        rule,
        suffix: "",
        why: "",
        does,
        whose: Whose::Judged,
        on,
        operation,
        looks_at: None,
        when: &[],
        finds: "",
        what: "",
        help: &[],
        acknowledge: None,
    }
}

const ON_HPA: &str = concat!("'hpa ' + ", named!("oldObject"));
const ON_SCALED_OBJECT: &str = concat!("'scaledobject ' + ", named!("oldObject"));
const ON_ENVOY_PROXY: &str = concat!("'envoyproxy ' + ", named!("oldObject"));

/// Asked before an object is put together anew for each ScaledObject of the namespace.
const CONCERNS_IT: (&str, &str) = (
    "concerns-it",
    concat!(
        "oldObject.metadata.?ownerReferences.orValue([]).exists(owner, owner.uid == params.metadata.uid) ||\n",
        annotation!("oldObject", "autoscaler-guard/released-from"),
        ".contains(params.metadata.uid)"
    ),
);

const RELEASED: (&str, &str) = (
    "released-from-it",
    concat!(annotation!("oldObject", "autoscaler-guard/released-from"), ".contains(params.metadata.uid)"),
);

const RESPECIFIED: (&str, &str) = ("respecified", "object.spec != oldObject.spec");

/// All policies.
pub(super) fn all() -> impl Iterator<Item = Policy> {
    POLICIES.iter().copied()
}

static POLICIES: &[Policy] = &[
    Policy {
        why: "Whoever declares the HPA of a ScaledObject gets it: the reference goes, the mark comes. A manifest that forgets the mark keeps it.",
        looks_at: in_namespace(SCALED_OBJECT),
        when: &[CONCERNS_IT],
        finds: "variables.handsOver || variables.forgetsMark",
        what: concat!(
            "'writing ' + ",
            title!("HPA", "object"),
            " + ' leaves ' + ",
            title!("ScaledObject", "params"),
            " +\n' as its owner: when that is deleted, the garbage collector deletes the HPA too, and ' + variables.workload + ' has no autoscaler'"
        ),
        help: &[(
            "Delete the ScaledObject without its HPA, then write the HPA",
            concat!("'kubectl delete scaledobject ' + ", named!("params"), " + ' --cascade=orphan'"),
        )],
        acknowledge: Some(("the loss", ON_HPA)),
        ..policy(
            "hpa-handover",
            Does::Repairs(concat!(
                "(variables.handsOver && variables.owns ?\n(variables.newOwners.size() == 1 ?\n[JSONPatch{op: 'remove', path: '/metadata/ownerReferences'}] :\n",
                "[JSONPatch{op: 'replace', path: '/metadata/ownerReferences',\nvalue: ",
                plain_owners!("variables.newOwners.filter(owner, owner.uid != params.metadata.uid)"),
                "}]) : []) +\n",
                "(has(object.metadata.annotations) ? [] : [JSONPatch{op: 'add', path: '/metadata/annotations', value: {}}]) +\n",
                "[JSONPatch{op: 'add', path: '/metadata/annotations/autoscaler-guard~1released-from',\nvalue: variables.handsOver ?\nparams.metadata.name + '/' + params.metadata.uid + '/' + string(params.metadata.generation) :\n",
                annotation!("oldObject", "autoscaler-guard/released-from"),
                "}]"
            )),
            HPA,
            UPDATE,
        )
    },
    Policy {
        suffix: "elsewhere",
        why: "Who declares the HPA of a ScaledObject for another workload would take it from the ScaledObject's.",
        looks_at: in_namespace(SCALED_OBJECT),
        when: &[CONCERNS_IT],
        finds: "variables.claimed && variables.target != variables.itsSoTarget",
        what: concat!(
            "'writing ' + ",
            title!("HPA", "object"),
            " + ' aims it at ' + variables.workload + ', but ' +\n",
            title!("ScaledObject", "params"),
            " + ' owns it and scales ' + variables.itsSoWorkload + ', which would lose its autoscaler'"
        ),
        help: &[("Give the new HPA a name of its own, as this one belongs to", title!("ScaledObject", "params"))],
        acknowledge: Some(("the loss", ON_HPA)),
        ..policy("hpa-handover", Does::Refuses, HPA, UPDATE)
    },
    Policy {
        why: "KEDA's update of an HPA that it released changes nothing, until its ScaledObject is declared again.",
        whose: Whose::Kedas,
        looks_at: in_namespace(SCALED_OBJECT),
        when: &[RELEASED],
        finds: "variables.releasedFromIt && variables.owns &&\n(!variables.lives || string(params.metadata.generation) == variables.oldMark[2])",
        ..policy(
            "hpa-readoption",
            Does::Repairs(concat!(
                "[JSONPatch{op: 'replace', path: '/spec', value: variables.oldSpec}] +\n",
                kept!("labels", ".transformMap(key, value, string(value))"),
                " +\n",
                kept!("annotations", ".transformMap(key, value, string(value))"),
                " +\n",
                "('ownerReferences' in oldObject.metadata ?\n[JSONPatch{op: 'add', path: '/metadata/ownerReferences', value: ",
                plain_owners!("variables.oldOwners"),
                "}] :\n'ownerReferences' in object.metadata ? [JSONPatch{op: 'remove', path: '/metadata/ownerReferences'}] : [])",
                " +\n",
                kept!("finalizers", ".map(it, string(it))")
            )),
            HPA,
            UPDATE,
        )
    },
    Policy {
        why: "Whoever takes the mark off gives the HPA back: the reference returns, and KEDA owns and writes it again.",
        looks_at: in_namespace(SCALED_OBJECT),
        when: &[RELEASED],
        finds: "variables.releasedFromIt && !variables.isReleased && !variables.declares && !variables.owns &&\nvariables.lives && !variables.newOwners.exists(owner, owner.?controller.orValue(false))",
        what: concat!(
            title!("HPA", "object"),
            " + ' loses the mark of its release from ' + ",
            title!("ScaledObject", "params"),
            " +\n', but has no owner: KEDA does not watch it, and would not put it back'"
        ),
        ..policy(
            "hpa-giveback",
            Does::Repairs(
                "(has(object.metadata.ownerReferences) ? [] : [JSONPatch{op: 'add', path: '/metadata/ownerReferences', value: []}]) +\n[JSONPatch{op: 'add', path: '/metadata/ownerReferences/-', value: {\n'apiVersion': dyn('keda.sh/v1alpha1'), 'kind': dyn('ScaledObject'), 'name': dyn(params.metadata.name),\n'uid': dyn(params.metadata.uid), 'controller': dyn(true), 'blockOwnerDeletion': dyn(true)}}]",
            ),
            HPA,
            UPDATE,
        )
    },
    Policy {
        why: "KEDA undoes an edit of its HPA.",
        looks_at: in_namespace(SCALED_OBJECT),
        when: &[RESPECIFIED, CONCERNS_IT],
        finds: "variables.owned && !variables.claimed && !variables.isReleased",
        what: concat!(
            "'the spec of ' + ",
            title!("HPA", "object"),
            " + ' changes, but KEDA puts it back as ' + ",
            title!("ScaledObject", "params"),
            " + ' declares it; change that instead'"
        ),
        acknowledge: Some(("the loss", ON_HPA)),
        ..policy("owned-hpa-changed", Does::Warns, HPA, UPDATE)
    },
    Policy {
        suffix: "fleet",
        why: "Envoy Gateway undoes an edit of its HPAs.",
        when: &[RESPECIFIED],
        finds: "['gateway.envoyproxy.io/owning-gateway-name', 'gateway.envoyproxy.io/owning-gatewayclass']\n.exists(label, label in oldObject.metadata.?labels.orValue({}))",
        what: concat!(
            "'the spec of ' + ",
            title!("HPA", "object"),
            " +\n' changes, but Envoy Gateway puts the fields it declares back at the next change of any Gateway or EnvoyProxy; change envoyHpa instead'"
        ),
        acknowledge: Some(("the loss", ON_HPA)),
        ..policy("owned-hpa-changed", Does::Warns, HPA, UPDATE)
    },
    Policy {
        why: "KEDA makes an HPA anew that is deleted behind its back.",
        looks_at: in_namespace(SCALED_OBJECT),
        when: &[CONCERNS_IT],
        finds: "variables.owned && variables.lives",
        what: concat!(
            "'deleting ' + ",
            title!("HPA", "oldObject"),
            " + ' leaves ' + ",
            "variables.oldWorkload",
            " +\n' unscaled until KEDA makes it anew, as ' + ",
            title!("ScaledObject", "params"),
            " + ' declares it'"
        ),
        help: &[("Delete the ScaledObject instead", concat!("'kubectl delete scaledobject ' + ", named!("params")))],
        acknowledge: Some(("the loss", ON_HPA)),
        ..policy("owned-hpa-deleted", Does::Warns, HPA, DELETE)
    },
    Policy {
        why: "KEDA does not notice that an HPA goes which it released.",
        looks_at: in_namespace(SCALED_OBJECT),
        when: &[RELEASED],
        finds: "variables.releasedFromIt && !variables.owned && variables.lives",
        what: concat!(
            "'deleting ' + ",
            title!("HPA", "oldObject"),
            " + ' would leave ' + ",
            "variables.oldWorkload",
            " +\n' with no autoscaler: it was released from ' + ",
            title!("ScaledObject", "params"),
            " + ', and KEDA would not put it back'"
        ),
        help: &[(
            "Give the HPA back to KEDA first",
            concat!("'kubectl annotate hpa ' + ", named!("oldObject"), " + ' autoscaler-guard/released-from-'"),
        )],
        acknowledge: Some(("the loss", ON_HPA)),
        ..policy("released-hpa-deleted", Does::Warns, HPA, DELETE)
    },
    Policy {
        why: "Nobody but its controller takes a live ScaledObject's reference from its HPA, or gives it to one that does not declare it.",
        looks_at: in_namespace(SCALED_OBJECT),
        finds: "variables.lives && !variables.claimed && !variables.releasedFromIt &&\n(variables.owned ? !variables.owns || (variables.controlled && !variables.controls) :\nvariables.owns && variables.itsHpaName != object.metadata.name)",
        what: concat!(
            "variables.owned ?\n'changing ' + ",
            title!("HPA", "object"),
            " + (variables.owns ? ' takes controller from its reference to ' : ' drops its reference to ') +\n",
            title!("ScaledObject", "params"),
            " + ': its controller no longer sees it, and it may outlive what declares it' :\n",
            "'making ' + ",
            title!("ScaledObject", "params"),
            " + ' an owner of ' + ",
            title!("HPA", "object"),
            " + ', which it does not declare, has the HPA deleted with it'"
        ),
        help: &[(
            "Hand the HPA over instead",
            concat!(
                "'kubectl annotate hpa ' + ",
                named!("oldObject"),
                " + ' autoscaler-guard/handover=' + params.metadata.name"
            ),
        )],
        acknowledge: Some(("it", ON_HPA)),
        ..policy("hpa-owner-changed", Does::Refuses, HPA, UPDATE)
    },
    Policy {
        suffix: "class",
        why: "Nobody but Envoy Gateway takes a live GatewayClass's reference from its HPA.",
        looks_at: in_namespace(GATEWAY_CLASS),
        finds: "variables.lives && variables.owned &&\n(!variables.owns || (variables.controlled && !variables.controls))",
        what: concat!(
            "'changing ' + ",
            title!("HPA", "object"),
            " + (variables.owns ? ' takes controller from its reference to ' : ' drops its reference to ') +\n",
            "'GatewayClass ' + params.metadata.name + ': its controller no longer sees it, and it may outlive what declares it'"
        ),
        acknowledge: Some(("it", ON_HPA)),
        ..policy("hpa-owner-changed", Does::Refuses, HPA, UPDATE)
    },
    Policy {
        why: "The garbage collector takes the HPA with its ScaledObject. Not where a tool may be deleting the workload as well.",
        looks_at: in_namespace(HPA),
        finds: "variables.collected && variables.lives && !variables.oldPaused && !variables.orphans &&\n!variables.idle && !variables.ofATool",
        what: concat!(
            "'deleting ' + ",
            title!("ScaledObject", "oldObject"),
            " + ' would leave ' + variables.itsWorkload +\n' with no autoscaler: HPA \"' + params.metadata.name + '\" is owned by it and would be garbage-collected'"
        ),
        help: &[(
            "Keep the HPA",
            concat!("'kubectl delete scaledobject ' + ", named!("oldObject"), " + ' --cascade=orphan'"),
        )],
        acknowledge: Some(("the loss", ON_SCALED_OBJECT)),
        ..policy("scaledobject-deleted", Does::Refuses, SCALED_OBJECT, DELETE)
    },
    Policy {
        suffix: "by-a-tool",
        why: "The same where a release or an application has the ScaledObject: its tool may be deleting all of it.",
        looks_at: in_namespace(HPA),
        finds: "variables.collected && variables.lives && !variables.oldPaused && !variables.orphans &&\n!variables.idle && variables.ofATool",
        what: concat!(
            "'deleting ' + ",
            title!("ScaledObject", "oldObject"),
            " + ' leaves ' + variables.itsWorkload +\n' with no autoscaler, if it is still there: HPA \"' + params.metadata.name + '\" is owned by it and is garbage-collected'"
        ),
        help: &[(
            "Keep such an HPA next time",
            concat!("'kubectl delete scaledobject ' + ", named!("oldObject"), " + ' --cascade=orphan'"),
        )],
        acknowledge: Some(("the loss", ON_SCALED_OBJECT)),
        ..policy("scaledobject-deleted", Does::Warns, SCALED_OBJECT, DELETE)
    },
    Policy {
        suffix: "orphan",
        why: "An HPA that is kept belongs to nobody.",
        looks_at: in_namespace(HPA),
        finds: "variables.collected && variables.lives && !variables.oldPaused && variables.orphans",
        what: concat!(
            "'deleting ' + ",
            title!("ScaledObject", "oldObject"),
            " + ' keeps ' + ",
            title!("HPA", "params"),
            " + ', but nothing declares it any more' +\n(params.spec.?metrics.orValue([]).exists(metric, metric.type == 'External') ? '; its external metrics end with KEDA\\'s' : '') + ': apply a manifest for it'"
        ),
        acknowledge: Some(("the loss", ON_SCALED_OBJECT)),
        ..policy("scaledobject-deleted", Does::Warns, SCALED_OBJECT, DELETE)
    },
    Policy {
        why: "KEDA takes the HPA to the new workload, and the old one has none.",
        looks_at: in_namespace(HPA),
        when: &[RESPECIFIED],
        finds: "params.metadata.name == variables.oldHpaName && !variables.idle &&\nvariables.soTarget != variables.oldSoTarget && !(variables.oldPaused && variables.newPaused)",
        what: concat!(
            "'aiming ' + ",
            title!("ScaledObject", "object"),
            " + ' at ' + variables.soWorkload + ' takes HPA \"' + params.metadata.name + '\" away from ' + variables.oldSoWorkload +\n': if nothing else scales that, it has no autoscaler'"
        ),
        acknowledge: Some(("the loss", ON_SCALED_OBJECT)),
        ..policy("scaledobject-retargeted", Does::Warns, SCALED_OBJECT, UPDATE)
    },
    Policy {
        suffix: "answered-by-fleet",
        why: "What a fleet's Deployment says of its count is written down on the EnvoyProxy, as the policies below cannot look at both.",
        looks_at: in_fleets_namespace(DEPLOYMENT),
        when: &[RESPECIFIED_OR_GONE, FLEET],
        finds: "variables.losesHpa && (variables.isOff || variables.fleetAllows)",
        ..policy("envoyhpa-removed", Does::Repairs(ALLOW_REMOVAL), ENVOY_PROXY, UPDATE)
    },
    Policy {
        suffix: "answered-by-keda",
        why: "So is it where a ScaledObject that is Ready scales a fleet.",
        looks_at: in_fleets_namespace(SCALED_OBJECT),
        when: &[RESPECIFIED_OR_GONE],
        finds: "variables.losesHpa && variables.lives && !variables.itsSoPaused && variables.isReady && variables.scalesAFleet",
        ..policy("envoyhpa-removed", Does::Repairs(ALLOW_REMOVAL), ENVOY_PROXY, UPDATE)
    },
    Policy {
        suffix: "class",
        why: "The fleets of a GatewayClass do not lose envoyHpa, unless their count is declared in the same change.",
        looks_at: in_namespace(GATEWAY_CLASS),
        when: &[RESPECIFIED_OR_GONE],
        finds: "variables.losesHpa && !variables.declaresCount && !variables.isDaemonSet && variables.governsClass",
        what: concat!(
            "'removing envoyHpa from ' + ",
            title!("EnvoyProxy", "oldObject"),
            " + ', by which the fleets of GatewayClass ' + params.metadata.name + ' run,' + @removed@"
        ),
        help: &[("Declare the count in the same change", DECLARE_COUNT)],
        acknowledge: Some(("it", ON_ENVOY_PROXY)),
        ..policy("envoyhpa-removed", Does::Refuses, ENVOY_PROXY, UPDATE)
    },
    Policy {
        suffix: "gateway",
        why: "The same for the fleet of a Gateway that refers to the EnvoyProxy itself.",
        looks_at: in_namespace(GATEWAY),
        when: &[RESPECIFIED_OR_GONE],
        finds: "variables.losesHpa && !variables.declaresCount && !variables.isDaemonSet && variables.governsGateway",
        what: concat!(
            "'removing envoyHpa from ' + ",
            title!("EnvoyProxy", "oldObject"),
            " + ', by which the fleets of ' + ",
            title!("Gateway", "params"),
            " + ' run,' + @removed@"
        ),
        help: &[("Declare the count in the same change", DECLARE_COUNT)],
        acknowledge: Some(("it", ON_ENVOY_PROXY)),
        ..policy("envoyhpa-removed", Does::Refuses, ENVOY_PROXY, UPDATE)
    },
    Policy {
        suffix: "gateway",
        why: "An EnvoyProxy stays while a Gateway refers to it. Not where a release has it: Helm deletes it before the Gateway.",
        looks_at: in_namespace(GATEWAY),
        finds: "variables.oldDeclaresHpa && variables.governsGateway && !variables.ofATool",
        what: concat!(
            "'deleting ' + ",
            title!("EnvoyProxy", "oldObject"),
            " + ', by which ' + ",
            title!("Gateway", "params"),
            " +\n' runs, leaves that unmanaged: Envoy Gateway deletes its whole fleet (before 1.7), or freezes it with an HPA that nothing declares'"
        ),
        help: &[(
            "Take the Gateway's reference away first",
            concat!(
                "'kubectl patch gateway ' + ",
                named!("params"),
                " + ' --type json -p \\'[{\"op\":\"remove\",\"path\":\"/spec/infrastructure/parametersRef\"}]\\''"
            ),
        )],
        acknowledge: Some(("it", ON_ENVOY_PROXY)),
        ..policy("envoyproxy-deleted", Does::Refuses, ENVOY_PROXY, DELETE)
    },
    Policy {
        suffix: "class",
        why: "An EnvoyProxy that a GatewayClass in use refers to is missed; what its fleets say of their counts cannot be seen.",
        looks_at: in_namespace(GATEWAY_CLASS),
        finds: "variables.oldDeclaresHpa && variables.governsClass",
        what: concat!(
            "'deleting ' + ",
            title!("EnvoyProxy", "oldObject"),
            " + ', by which the fleets of GatewayClass ' + params.metadata.name + ' run,' + @deleted@"
        ),
        acknowledge: Some(("it", ON_ENVOY_PROXY)),
        ..policy("envoyproxy-deleted", Does::Warns, ENVOY_PROXY, DELETE)
    },
    Policy {
        why: "An HPA that never scales is reported.",
        finds: "variables.standsStill != '' && !variables.stoodStill &&\n!variables.newOwners.exists(owner, owner.kind == 'ScaledObject')",
        what: concat!(
            title!("HPA", "object"),
            " + ' never scales ' + variables.workload + ': ' + variables.standsStill"
        ),
        acknowledge: Some(("it", concat!("'hpa ' + ", named!("object")))),
        ..policy("autoscaler-disabled", Does::Warns, HPA, WRITE)
    },
    Policy {
        suffix: "scaledobject",
        why: "A ScaledObject that never scales is reported.",
        finds: "variables.soStandsStill != '' && !variables.soStoodStill",
        what: concat!(
            title!("ScaledObject", "object"),
            " + ' never scales ' + variables.soWorkload + ': ' + variables.soStandsStill"
        ),
        acknowledge: Some(("it", concat!("'scaledobject ' + ", named!("object")))),
        ..policy("autoscaler-disabled", Does::Warns, SCALED_OBJECT, WRITE)
    },
    Policy {
        why: "A second HPA on a workload stops both.",
        looks_at: in_namespace(HPA),
        finds: "variables.aims && variables.lives && params.metadata.name != object.metadata.name &&\nvariables.target == variables.itsTarget &&\n!variables.itIsKedas",
        what: concat!(
            title!("HPA", "object"),
            " + ' would give ' + variables.workload + ' a second autoscaler beside ' + ",
            title!("HPA", "params"),
            " + ': neither scales it then'"
        ),
        help: &[("Change the one that is there instead", concat!("'kubectl edit hpa ' + ", named!("params")))],
        acknowledge: Some(("it", concat!("'hpa ' + ", named!("object")))),
        ..policy("duplicate-autoscaler", Does::Warns, HPA, WRITE)
    },
    Policy {
        suffix: "scaledobject-first",
        why: "So does an HPA beside a ScaledObject.",
        looks_at: in_namespace(SCALED_OBJECT),
        finds: "variables.aims && variables.lives && !variables.itsSoPaused && !variables.owns &&\nvariables.itsHpaName != object.metadata.name && variables.target == variables.itsSoTarget",
        what: concat!(
            title!("HPA", "object"),
            " + ' would give ' + variables.workload + ' a second autoscaler beside ' + ",
            title!("ScaledObject", "params"),
            " + ': neither scales it then'"
        ),
        help: &[("Change the one that is there instead", concat!("'kubectl edit scaledobject ' + ", named!("params")))],
        acknowledge: Some(("it", concat!("'hpa ' + ", named!("object")))),
        ..policy("duplicate-autoscaler", Does::Warns, HPA, WRITE)
    },
    Policy {
        suffix: "hpa-first",
        why: "So does a ScaledObject beside an HPA that is not its own.",
        looks_at: in_namespace(HPA),
        finds: "variables.soAims && variables.lives && !variables.newPaused && params.metadata.name != variables.newHpaName &&\n!params.metadata.?ownerReferences.orValue([]).exists(owner, owner.uid == object.metadata.?uid.orValue('none')) &&\nvariables.soTarget == variables.itsTarget && !variables.itIsKedas",
        what: concat!(
            title!("ScaledObject", "object"),
            " + ' would give ' + variables.soWorkload + ' a second autoscaler beside ' + ",
            title!("HPA", "params"),
            " + ': neither scales it then'"
        ),
        help: &[(
            "Take it over instead",
            "'horizontalPodAutoscalerConfig.name: ' + params.metadata.name + ', and annotation scaledobject.keda.sh/transfer-hpa-ownership: \"true\"'",
        )],
        acknowledge: Some(("it", concat!("'scaledobject ' + ", named!("object")))),
        ..policy("duplicate-autoscaler", Does::Warns, SCALED_OBJECT, WRITE)
    },
    Policy {
        suffix: "scaledobjects",
        why: "So do two ScaledObjects, and two that write one HPA fight over it.",
        looks_at: in_namespace(SCALED_OBJECT),
        finds: "variables.soAims && variables.lives && params.metadata.name != object.metadata.name &&\n(variables.newHpaName == variables.itsHpaName ||\n(!variables.newPaused && !variables.itsSoPaused && variables.soTarget == variables.itsSoTarget))",
        what: concat!(
            "variables.newHpaName == variables.itsHpaName ?\n",
            title!("ScaledObject", "object"),
            " + ' would write the same HPA as ' + ",
            title!("ScaledObject", "params"),
            " + ': both rewrite it for as long as both live' :\n",
            title!("ScaledObject", "object"),
            " + ' would give ' + variables.soWorkload + ' a second autoscaler beside ' + ",
            title!("ScaledObject", "params"),
            " + ': neither scales it then'"
        ),
        help: &[("Change the one that is there instead", concat!("'kubectl edit scaledobject ' + ", named!("params")))],
        acknowledge: Some(("it", concat!("'scaledobject ' + ", named!("object")))),
        ..policy("duplicate-autoscaler", Does::Warns, SCALED_OBJECT, WRITE)
    },
    Policy {
        why: "A Deployment loses its HPA; whether something else scales it cannot be seen.",
        looks_at: in_namespace(DEPLOYMENT),
        when: &[PLAIN],
        finds: HPA_DELETED_OF_DEPLOYMENT,
        what: HPA_DELETED,
        help: &[(
            "Say that the workload is not autoscaled",
            concat!("'kubectl annotate deployment/' + ", named!("params"), " + ' autoscaler-guard/autoscaling=off'"),
        )],
        acknowledge: Some(("the loss", ON_HPA)),
        ..policy("hpa-deleted", Does::Warns, HPA, DELETE)
    },
    Policy {
        suffix: "statefulset",
        why: "A StatefulSet loses its HPA, likewise.",
        looks_at: in_namespace(STATEFUL_SET),
        when: &[PLAIN],
        finds: HPA_DELETED_OF_STATEFUL_SET,
        what: HPA_DELETED,
        help: &[(
            "Say that the workload is not autoscaled",
            concat!("'kubectl annotate statefulset/' + ", named!("params"), " + ' autoscaler-guard/autoscaling=off'"),
        )],
        acknowledge: Some(("the loss", ON_HPA)),
        ..policy("hpa-deleted", Does::Warns, HPA, DELETE)
    },
    Policy {
        why: "All autoscalers of a cluster go with the definition of their kind; whether there are any cannot be seen.",
        when: &[(
            "guarded",
            "oldObject.metadata.name in ['scaledobjects.keda.sh', 'envoyproxies.gateway.envoyproxy.io',\n'gateways.gateway.networking.k8s.io', 'gatewayclasses.gateway.networking.k8s.io']",
        )],
        finds: "true",
        what: "'deleting CustomResourceDefinition ' + oldObject.metadata.name + ' deletes every ' + oldObject.spec.names.kind +\n', and the autoscalers that hang on them'",
        help: &[("See what goes with it", "'kubectl get ' + oldObject.spec.names.plural + ' --all-namespaces'")],
        acknowledge: Some(("the loss", "'customresourcedefinition ' + oldObject.metadata.name")),
        ..policy("crd-deleted", Does::Warns, CRD, DELETE)
    },
];

const RESPECIFIED_OR_GONE: (&str, &str) =
    ("respecified", "has(oldObject.spec) && (!has(object.spec) || object.spec != oldObject.spec)");

/// An HPA that no controller owns and that was not handed over.
const PLAIN: (&str, &str) = (
    "plain",
    "!oldObject.metadata.?ownerReferences.orValue([]).exists(owner, owner.?controller.orValue(false) || owner.kind == 'ScaledObject') &&\n!('autoscaler-guard/released-from' in oldObject.metadata.?annotations.orValue({}))",
);

const HPA_DELETED_OF_DEPLOYMENT: &str = "variables.oldTarget == 'apps/Deployment/' + params.metadata.name && variables.lives &&\n!variables.ownsItsCount && !variables.workloadAllows";
const HPA_DELETED_OF_STATEFUL_SET: &str = "variables.oldTarget == 'apps/StatefulSet/' + params.metadata.name && variables.lives &&\n!variables.ownsItsCount && !variables.workloadAllows";

const HPA_DELETED: &str = concat!(
    "'deleting ' + ",
    title!("HPA", "oldObject"),
    " + ' would leave ' + variables.oldWorkload +\n' with no autoscaler, unless something else scales it'"
);

const FLEET: (&str, &str) = (
    "fleet",
    "['gateway.envoyproxy.io/owning-gateway-name', 'gateway.envoyproxy.io/owning-gatewayclass']\n.exists(label, label in params.metadata.?labels.orValue({}))",
);

/// An acknowledgement, beside those that are there.
const ALLOW_REMOVAL: &str = concat!(
    "(has(object.metadata.annotations) ? [] : [JSONPatch{op: 'add', path: '/metadata/annotations', value: {}}]) +\n",
    "[JSONPatch{op: 'add', path: '/metadata/annotations/autoscaler-guard~1allow',\nvalue: [",
    annotation!("object", "autoscaler-guard/allow"),
    ", 'envoyhpa-removed'].filter(rules, rules != '').join(',')}]"
);

/// As many as the fleet may have had: fewer might be too few.
const DECLARE_COUNT: &str = concat!(
    "'kubectl patch envoyproxy ' + ",
    named!("oldObject"),
    " + ' --type merge -p \\'{\"spec\":{\"provider\":{\"kubernetes\":{\"envoyHpa\":null,\"envoyDeployment\":{\"replicas\":' +\nstring(oldObject.?spec.?provider.?kubernetes.?envoyHpa.?maxReplicas.orValue(2)) + '}}}}}\\''"
);
