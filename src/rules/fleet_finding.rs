//! Findings about a change that makes other fleets.

use crate::change::{Kind, Operation};
use crate::cluster::Reason;
use crate::context::Context;
use crate::finding::{Action, Finding};
use crate::subject::Subject;

/// The changes that make other fleets.
pub const WATCHES: &[(Kind, &[Operation])] = &[
    (Kind::EnvoyProxy, &[Operation::Create, Operation::Update]),
    (Kind::Gateway, &[Operation::Create, Operation::Update]),
    (Kind::GatewayClass, &[Operation::Create, Operation::Update]),
];

/// A finding about the change, whose sentence goes on with the outcome; acknowledged on the changed object.
pub fn finding(context: &Context<'_>, rule: &'static str, action: Action, outcome: &str) -> Finding {
    let kind = context.request.kind;
    let verb = match context.request.operation {
        Operation::Create => "creating",
        Operation::Delete => "deleting",
        _ => "changing",
    };
    let object = context.change.object();
    let (subject, this) = (Subject::new(kind.resource(), &object.metadata), object.title(kind.name()));
    let mut finding = Finding::new(rule, action, subject, [verb, " ", &this, " ", outcome].concat());
    finding.at_stake = "it";
    finding
}

/// The warning where it is not known which fleets the change is about, or what there is beside them.
pub fn unknown(context: &Context<'_>, rule: &'static str, may: &str, reason: &Reason) -> Finding {
    let outcome = format!("may {may}: what there is, is not known ({reason})");
    finding(context, rule, Action::Warn, &outcome)
}
