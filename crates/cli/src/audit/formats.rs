//! For code scanning, test reports and pull requests.

use autoscaler_guard_audit::problems::PROBLEMS;
use autoscaler_guard_audit::{Certainty, Finding};
use serde_json::{Value, json};

use super::audits::Audits;
use crate::fault::Fault;

/// SARIF 2.1.0: objects of a cluster are logical locations.
pub fn sarif(audits: &Audits) -> Result<String, Fault> {
    let rules: Vec<Value> =
        PROBLEMS.iter().map(|problem| json!({"id": problem.id, "shortDescription": {"text": problem.title}})).collect();
    let result = |(context, finding): (Option<&str>, &Finding)| {
        let level = if finding.certainty == Certainty::Certain { "error" } else { "warning" };
        let name = context.map_or_else(|| finding.subject().path(), |it| format!("{it}/{}", finding.subject().path()));
        let suppressions = if audits.counts(finding) { json!([]) } else { json!([{"kind": "external"}]) };
        json!({
            "ruleId": finding.problem,
            "level": level,
            "message": {"text": sentence(finding)},
            "locations": [{"logicalLocations": [{"fullyQualifiedName": name, "kind": "resource"}]}],
            "partialFingerprints": {"id/v1": finding.id()},
            "suppressions": suppressions,
        })
    };
    let sarif = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "autoscaler-guard", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "results": audits.findings().map(result).collect::<Vec<_>>(),
        }],
    });
    let text = serde_json::to_string_pretty(&sarif);
    text.map(|text| text + "\n").map_err(|error| Fault::new("the answer cannot be written as SARIF").because(error))
}

fn sentence(finding: &Finding) -> String {
    let command = finding.commands.first().map(|command| format!(". {command}")).unwrap_or_default();
    format!("{}{command}", finding.message)
}

/// A test per problem and finding.
pub fn junit(audits: &Audits) -> String {
    let counting: Vec<&Finding> = audits.findings().map(|(_, it)| it).filter(|it| audits.counts(it)).collect();
    let clean: Vec<&str> = PROBLEMS
        .iter()
        .map(|problem| problem.id)
        .filter(|id| !counting.iter().any(|finding| finding.problem == *id))
        .collect();
    let tests = counting.len() + clean.len();
    let mut text = vec![format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"autoscaler-guard audit\" tests=\"{tests}\" failures=\"{}\">\n",
        counting.len()
    )];
    for finding in counting {
        let (name, class) = (escape(&finding.subject().to_string()), finding.problem);
        let message = escape(&sentence(finding));
        text.push(format!(
            "    <testcase name=\"{name}\" classname=\"{class}\">\n      <failure type=\"{class}\" message=\"{message}\"/>\n    </testcase>\n"
        ));
    }
    text.extend(clean.iter().map(|id| format!("    <testcase name=\"{id}\" classname=\"{id}\"/>\n")));
    text.push("  </testsuite>\n</testsuites>\n".to_owned());
    text.concat()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\n', "&#10;")
}

/// A table, and what mends each.
pub fn markdown(audits: &Audits) -> String {
    let mut text = vec!["### Autoscalers, as they are now\n\n".to_owned()];
    let counting: Vec<_> = audits.findings().filter(|(_, finding)| audits.counts(finding)).collect();
    if counting.is_empty() {
        text.push("Nothing found.\n".to_owned());
    } else {
        text.push("| problem | what | since | certainty | |\n|---|---|---|---|---|\n".to_owned());
    }
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    for (context, finding) in counting {
        let certainty = if finding.certainty == Certainty::Certain { "certain" } else { "likely" };
        let subject =
            context.map_or_else(|| finding.subject().to_string(), |it| format!("{it}: {}", finding.subject()));
        let command = finding.commands.first().map(|command| format!(" `{}`", cell(command))).unwrap_or_default();
        text.push(format!(
            "| {} | {} | {} | {certainty} | {}{command} |\n",
            finding.problem,
            cell(&subject),
            finding.since.as_deref().unwrap_or("unknown"),
            cell(&finding.message),
        ));
    }
    for unread in audits.clusters.iter().flat_map(|audit| &audit.report.unread) {
        text.push(format!("\nNot read: {} ({})\n", unread.kind, cell(&unread.reason)));
    }
    text.concat()
}
