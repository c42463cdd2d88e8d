//! For scripts; `docs/audit.schema.json` describes it.

use autoscaler_guard_audit::Finding;
use serde_json::{Value, json};

use super::audits::{Audit, Audits};
use crate::fault::Fault;

/// The whole answer.
pub fn text(audits: &Audits) -> Result<String, Fault> {
    let text = serde_json::to_string_pretty(&value(audits));
    text.map(|text| text + "\n").map_err(|error| Fault::new("the answer cannot be written as JSON").because(error))
}

fn value(audits: &Audits) -> Value {
    let findings: Vec<Value> = audits.findings().map(|(context, finding)| one(audits, context, finding)).collect();
    let all = |list: fn(&Audit) -> Value| {
        let of = |audit| {
            let Value::Array(mut entries) = list(audit) else { return Vec::new() };
            for entry in &mut entries {
                name(entry, audit.context.as_deref());
            }
            entries
        };
        audits.clusters.iter().flat_map(of).collect::<Vec<Value>>()
    };
    json!({
        "findings": findings,
        "unread": all(|audit| json!(audit.report.unread)),
        "acknowledgements": all(|audit| json!(audit.report.acknowledgements)),
    })
}

/// Says of which cluster something is, where there are several.
fn name(entry: &mut Value, context: Option<&str>) {
    if let Some(context) = context {
        entry["context"] = Value::from(context);
    }
}

fn one(audits: &Audits, context: Option<&str>, finding: &Finding) -> Value {
    let mut value = json!({
        "id": finding.id(),
        "rule": finding.rule,
        "problem": finding.problem,
        "object": finding.object.to_string(),
        "workload": finding.workload.as_ref().map(ToString::to_string),
        "message": finding.message,
        "commands": finding.commands,
        "since": finding.since,
        "certainty": finding.certainty,
        "acknowledged": finding.acknowledged,
        "baseline": audits.is_known(finding),
    });
    name(&mut value, context);
    value
}
