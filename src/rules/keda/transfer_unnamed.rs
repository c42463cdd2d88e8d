//! A ScaledObject asks to take an HPA over in a way that KEDA does not follow.
//!
//! ## What it protects
//! A move from a plain HPA to KEDA ends with one autoscaler.
//!
//! ## Why
//! KEDA's `transfer-hpa-ownership` takes over the HPA only when `horizontalPodAutoscalerConfig.name` names it; without,
//! KEDA makes a second one, or its webhook refuses every later update. `validations.keda.sh/hpa-ownership` belongs on
//! the HPA: on the ScaledObject, where KEDA's documentation shows it, it does nothing.
//!
//! ## When it fires
//! A ScaledObject gets `scaledobject.keda.sh/transfer-hpa-ownership: "true"` without naming the HPA, or gets
//! `validations.keda.sh/hpa-ownership`. It is refused when an HPA scales the target already, else it warns.
//!
//! ## Overrides
//! * Name the HPA in `spec.advanced.horizontalPodAutoscalerConfig.name`.
//! * `autoscaler-guard/allow: transfer-unnamed` on the ScaledObject or its workload.
//!
//! ## Example
//! A ScaledObject with `scaledobject.keda.sh/transfer-hpa-ownership: "true"` and no `advanced`.

use crate::change::{Kind, Operation};
use crate::cluster::api;
use crate::context::Context;
use crate::facts::autoscalers::Namespace;
use crate::facts::scaled_object::ScaledObject;
use crate::finding::{Action, Finding, Help};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::Object;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "transfer-unnamed",
    title: "This ScaledObject is to take over an HPA that it does not name",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::ScaledObject, &[Operation::Create, Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] =
    &[Lookup::List(&api::HORIZONTAL_POD_AUTOSCALER), Lookup::List(&api::SCALED_OBJECT)];

const TRANSFER: &str = "scaledobject.keda.sh/transfer-hpa-ownership";
const OWNERSHIP: &str = "validations.keda.sh/hpa-ownership";

fn check(context: &Context<'_>) -> Option<Finding> {
    let new = context.change.after()?;
    let why = mistake(new)?;
    if context.change.before().and_then(mistake) == Some(why) {
        return None;
    }
    let scaled_object = ScaledObject::new(new.clone());
    let target = scaled_object.target();
    let namespace = Namespace::look_up(context, &new.metadata.namespace);
    let hpa = namespace.hpas.iter().find(|hpa| hpa.scales(&target) && !scaled_object.owns(hpa));
    let (action, beside) = match hpa {
        Some(hpa) => (Action::Reject, format!(", and {} scales the target already", hpa.object.title("HPA"))),
        None => (Action::Warn, String::new()),
    };
    let this = new.title("ScaledObject");
    let mut finding = Finding::new(
        RULE.id,
        action,
        Subject::new("scaledobject", &new.metadata),
        format!("{this} takes over no HPA: {why}{beside}"),
    )
    .about(WorkloadRef::new(&target, &new.metadata.namespace), this)
    .help("Name the HPA in", Help::field("spec.advanced.horizontalPodAutoscalerConfig.name"));
    finding.at_stake = "it";
    Some(finding)
}

fn mistake(scaled_object: &Object<'_>) -> Option<&'static str> {
    let named = scaled_object.spec().word(&["advanced", "horizontalPodAutoscalerConfig", "name"]).is_some();
    if scaled_object.metadata.annotation(TRANSFER).as_deref() == Some("true") && !named {
        return Some("transfer-hpa-ownership needs horizontalPodAutoscalerConfig.name");
    }
    scaled_object.metadata.annotation(OWNERSHIP).map(|_| "validations.keda.sh/hpa-ownership works on the HPA, not here")
}
