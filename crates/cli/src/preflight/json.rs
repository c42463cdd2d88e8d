//! For scripts; `docs/preflight.schema.json` describes it.

use autoscaler_guard_world::Key;
use autoscaler_guard_world::preflight::{Cell, Row};
use serde_json::{Value, json};

use super::report::Preflight;
use crate::fault::Fault;

/// The whole answer.
pub fn text(preflight: &Preflight) -> Result<String, Fault> {
    let text = serde_json::to_string_pretty(&value(preflight));
    text.map(|text| text + "\n").map_err(|error| Fault::new("the answer cannot be written as JSON").because(error))
}

pub fn value(preflight: &Preflight) -> Value {
    let workloads: Vec<Value> = preflight.rows.iter().map(row).collect();
    json!({"as": preflight.tool.id(), "assumed": preflight.assumed, "workloads": workloads})
}

fn row(row: &Row) -> Value {
    let names = |keys: &[Key]| keys.iter().map(ToString::to_string).collect::<Vec<String>>();
    let advice: Vec<Value> = row
        .advice
        .iter()
        .map(|advice| json!({"text": advice.text, "commands": advice.commands, "outcome": advice.outcome.id()}))
        .collect();
    json!({
        "workload": row.workload.to_string(),
        "before": names(&row.before),
        "after": names(&row.after),
        "without": row.without.as_ref().map(|cell| side(cell, false)),
        "with": row.with.as_ref().map(|cell| side(cell, true)),
        "advice": advice,
    })
}

fn side(cell: &Cell, guarded: bool) -> Value {
    let timeline: Vec<Value> = cell
        .timeline
        .iter()
        .map(|event| json!({"who": event.who, "what": event.what(), "answer": event.answer()}))
        .collect();
    let mut side = json!({"outcome": cell.outcome.id(), "timeline": timeline});
    if guarded {
        let refused = cell
            .refused
            .iter()
            .map(|refusal| json!({"rule": refusal.rule, "object": refusal.object, "message": refusal.message}));
        side["refused"] = refused.collect();
    }
    if let Some(dip) = cell.dip {
        side["dip"] = dip.into();
    }
    if let Some(failure) = &cell.failure {
        side["failure"] = failure.as_str().into();
    }
    if let Some(back) = cell.rollback {
        side["rollback"] = back.id().into();
    }
    side
}
