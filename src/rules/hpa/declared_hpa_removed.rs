//! An object of another operator gives up the HPA that it declares, and the HPA stays behind.
//!
//! ## What it protects
//! An HPA lives as long as something declares it, and no longer.
//!
//! ## Why
//! Many operators make an HPA of a part of their objects and forget it when that part goes: it keeps scaling, nobody declares it, and it
//! fights whatever comes next. VictoriaMetrics' operator does it when `spec.hpa` is removed from a VMAgent (VictoriaMetrics/operator issue
//! 2518), Function Mesh did it with `spec.maxReplicas` of a Function (streamnative/function-mesh issue 725), as Envoy Gateway did with
//! envoyHpa, which has rules of its own.
//!
//! ## When it fires
//! Only for the kinds in setting `declarations`, which says where in the object the HPA is declared and what the HPA is called:
//!
//! ```yaml
//! declarations:
//!   - apiVersion: operator.victoriametrics.com/v1beta1
//!     kind: VMAgent
//!     pointer: /spec/hpa
//!     hpa: {name: "{name}"}
//!   - apiVersion: compute.functionmesh.io/v1alpha1
//!     kind: Function
//!     pointer: /spec/maxReplicas
//!     hpa: {name: "{name}-function"}
//! ```
//!
//! Versions of an operator differ in these names (VictoriaMetrics' uses the VMAgent's own from 0.71 on, and `vmagent-<name>` once issue
//! 2518 is mended): look with `kubectl get hpa`. Once the operator deletes the HPA itself, take its kind out of the setting. The `rules` of the policy's manifest
//! have to register the kind for UPDATE and DELETE, and an operator that writes such objects itself belongs in `exempt.users`.
//!
//! An update that removes what the pointer names is rejected while the HPA is there, or cannot be read. It only warns when the object
//! has a controller of its own, which may have made the change: a FunctionMesh that owns the Function. A delete of the object warns when
//! the HPA would stay: the HPA has no owner, or `propagationPolicy: Orphan` keeps it. An HPA that is owned goes with its owner.
//!
//! ## Overrides
//! * `autoscaler-guard/allow: declared-hpa-removed` on the object, before or in the change; then delete the HPA.
//!
//! ## Example
//! `kubectl patch vmagent main -n monitoring --type json -p '[{"op":"remove","path":"/spec/hpa"}]'`

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::settings::Declaration;
use crate::subject::Subject;
use autoscaler_guard_reading::title;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "declared-hpa-removed",
    title: "An HPA that another operator's object declared is left behind",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::Other, &[Operation::Update, Operation::Delete])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.old()?;
    let new = context.change.new();
    let deletes = new.is_none();
    let judge = |declaration: &Declaration| {
        let removed = declaration.concerns(context.request)
            && declaration.is_in(old.text())
            && !new.is_some_and(|new| declaration.is_in(new.text()));
        let (namespace, name) = declaration.hpa(&old.metadata);
        let unread = if removed { why_it_stays(context, &namespace, &name)? } else { return None };
        let by_controller = || old.metadata.owner_references().iter().any(|owner| owner.controller == Some(true));
        let action = if deletes || by_controller() { Action::Warn } else { Action::Reject };
        let (verb, part, of) =
            if deletes { ("deleting", "", "") } else { ("removing ", declaration.pointer.as_str(), " from") };
        let (this, autoscaler) = (old.title(&declaration.kind), title("HPA", &namespace, &name));
        let what = format!(
            "{verb}{part}{of} {this} would orphan {autoscaler}: it stays, still scaling, and nothing declares it any more{unread}"
        );
        let delete = Subject { resource: "hpa".into(), namespace, name }.kubectl("delete", &[]);
        let finding = Finding::new(RULE.id, action, Subject::new(declaration.resource(), &old.metadata), what);
        let finding = finding.help("Afterwards delete what stays behind", delete);
        Some(Finding { at_stake: "the orphan", autoscaler, ..finding })
    };
    // An object that declares several is reported for one at a time.
    context.settings.declarations.iter().find_map(judge)
}

/// Whether the HPA is there and stays; the text says what is not known about it, as the end of a sentence.
fn why_it_stays(context: &Context<'_>, namespace: &str, name: &str) -> Option<String> {
    match context.neighbours.get(&api::HORIZONTAL_POD_AUTOSCALER, namespace, name, &["kind"]) {
        Presence::Absent => None,
        Presence::Found(hpa) => {
            let kept = context.request.operation != Operation::Delete || context.request.propagation_policy == "Orphan";
            let stays = kept || hpa.metadata.owner_references().is_empty();
            (stays && !hpa.metadata.is_terminating()).then(String::new)
        }
        Presence::Unknown(reason) => Some(format!(" (whether it is there is not known: {reason})")),
    }
}
