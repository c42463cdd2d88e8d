//! What a former audit found.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::documents::Source;
use crate::fault::Fault;

/// Ids of findings that are known.
#[derive(Debug, Default)]
pub struct Baseline {
    ids: BTreeSet<String>,
}

impl Baseline {
    /// Reads a former answer: its JSON, or ids, one a line.
    pub fn read(path: Option<&Path>) -> Result<Self, Fault> {
        let Some(path) = path else { return Ok(Self::default()) };
        let source = Source::file(path)?;
        if !source.text.trim_start().starts_with(['{', '[']) {
            let lines = source.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            let ids: BTreeSet<String> = lines.map(str::to_owned).collect();
            return match ids.iter().find(|id| id.split('/').count() < 3) {
                Some(id) => Err(unusable(&source, &format!("`{id}` is no id of a finding"))),
                None => Ok(Self { ids }),
            };
        }
        let answer: Value =
            serde_json::from_str(&source.text).map_err(|error| unusable(&source, &error.to_string()))?;
        let findings = answer.get("findings").unwrap_or(&answer).as_array().cloned();
        let findings = findings.ok_or_else(|| unusable(&source, "it has no findings"))?;
        let id = |finding: &Value| finding.get("id").or(Some(finding)).and_then(Value::as_str).map(str::to_owned);
        Ok(Self { ids: findings.iter().filter_map(id).collect() })
    }

    /// Whether a finding is known.
    pub fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }
}

fn unusable(source: &Source, reason: &str) -> Fault {
    Fault::new(format!("the baseline {} cannot be used", source.name))
        .because(reason)
        .help("take what `autoscaler-guard audit --output json` printed, or ids, one a line")
}
