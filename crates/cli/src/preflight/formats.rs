//! For pull requests and dashboards: Markdown, SARIF, `JUnit`, GitHub's annotations.

use autoscaler_guard_world::Key;
use autoscaler_guard_world::preflight::{Cell, Row};
use serde_json::{Value, json};

use super::human::names;
use super::input::Manifest;
use super::report::Preflight;
use crate::fault::Fault;

/// A comment on a pull request.
pub fn markdown(preflight: &Preflight, verbose: bool) -> String {
    let mut text = vec![format!("### Autoscalers, applied by `{}`\n\n", preflight.tool.id())];
    if preflight.rows.is_empty() {
        text.push("No workload has an autoscaler on either side.\n".to_owned());
        return text.concat();
    }
    text.push("| workload | autoscaler | without the guard | with it |\n|---|---|---|---|\n".to_owned());
    for row in &preflight.rows {
        let cell = |cell: &Option<Cell>| {
            cell.as_ref().map_or_else(String::new, |cell| {
                let mark = if cell.outcome.is_bad() { "❌" } else { "✅" };
                format!("{mark} {}", cell.outcome)
            })
        };
        let change = format!("{} → {}", names(&row.before), names(&row.after));
        text.push(format!("| {} | {change} | {} | {} |\n", row.workload, cell(&row.without), cell(&row.with)));
    }
    for row in preflight.rows.iter().filter(|row| !row.advice.is_empty()) {
        text.push(format!("\n**{}**\n\n", row.workload));
        for advice in &row.advice {
            text.push(format!("- {} ({})\n", advice.text, advice.outcome));
            for command in &advice.commands {
                text.push(format!("  ```sh\n  {command}\n  ```\n"));
            }
        }
    }
    if verbose {
        for (row, cell) in preflight.rows.iter().filter_map(|row| Some((row, row.counts()?))) {
            text.push(format!("\n<details><summary>{}</summary>\n\n", row.workload));
            for event in &cell.timeline {
                text.push(format!("- {}: {}: {}\n", event.who, event.what(), event.answer()));
            }
            text.push("\n</details>\n".to_owned());
        }
    }
    if !preflight.assumed.is_empty() {
        text.push("\nAssumed:\n\n".to_owned());
        text.extend(preflight.assumed.iter().map(|note| format!("- {note}\n")));
    }
    text.concat()
}

/// The manifest at fault: the autoscaler that comes, or the workload.
fn at_fault<'p>(preflight: &'p Preflight, row: &Row) -> Option<&'p Manifest> {
    let find = |key: &Key| {
        preflight.manifests.iter().find(|manifest| Key::of(&manifest.value, &key.namespace).as_ref() == Some(key))
    };
    row.after.iter().find_map(find).or_else(|| find(&row.workload))
}

fn sentence(row: &Row, cell: &Cell) -> String {
    let help = row.advice.first().map(|advice| format!(". {}", advice.text)).unwrap_or_default();
    format!("{} {}{help}", row.workload, cell.outcome.words())
}

fn problems(preflight: &Preflight) -> impl Iterator<Item = (&Row, &Cell)> {
    preflight.rows.iter().filter_map(|row| Some((row, row.counts()?))).filter(|(_, cell)| cell.outcome.is_bad())
}

/// SARIF 2.1.0, with file and line of the manifest at fault.
pub fn sarif(preflight: &Preflight) -> Result<String, Fault> {
    let results: Vec<Value> = problems(preflight)
        .map(|(row, cell)| {
            let place = at_fault(preflight, row);
            let location = place.map(|manifest| {
                json!({"physicalLocation": {
                    "artifactLocation": {"uri": manifest.file.trim_start_matches("./")},
                    "region": {"startLine": manifest.line},
                }})
            });
            json!({
                "ruleId": cell.outcome.id(), "level": "error", "message": {"text": sentence(row, cell)},
                "locations": location.into_iter().collect::<Vec<Value>>(),
            })
        })
        .collect();
    let bad = autoscaler_guard_world::Outcome::ALL.iter().filter(|outcome| outcome.is_bad());
    let rules: Vec<Value> =
        bad.map(|outcome| json!({"id": outcome.id(), "shortDescription": {"text": format!("A workload {}", outcome.words())}})).collect();
    let sarif = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "autoscaler-guard", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "results": results,
        }],
    });
    let text = serde_json::to_string_pretty(&sarif);
    text.map(|text| text + "\n").map_err(|error| Fault::new("the answer cannot be written as SARIF").because(error))
}

/// A test per workload.
pub fn junit(preflight: &Preflight) -> String {
    let cells: Vec<(&Row, &Cell)> = preflight.rows.iter().filter_map(|row| Some((row, row.counts()?))).collect();
    let failures = problems(preflight).count();
    let mut text = vec![format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"autoscaler-guard preflight\" tests=\"{}\" failures=\"{failures}\">\n",
        cells.len()
    )];
    for (row, cell) in cells {
        let (name, class) = (escape(&row.workload.to_string()), escape(preflight.tool.id()));
        if cell.outcome.is_bad() {
            let message = escape(&sentence(row, cell));
            text.push(format!(
                "    <testcase name=\"{name}\" classname=\"{class}\">\n      <failure type=\"{}\" message=\"{message}\"/>\n    </testcase>\n",
                cell.outcome
            ));
        } else {
            text.push(format!("    <testcase name=\"{name}\" classname=\"{class}\"/>\n"));
        }
    }
    text.push("  </testsuite>\n</testsuites>\n".to_owned());
    text.concat()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\n', "&#10;")
}

/// GitHub's workflow commands.
pub fn github(preflight: &Preflight) -> String {
    let escaped = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| escaped(text).replace(':', "%3A").replace(',', "%2C");
    let mut text = Vec::new();
    for (row, cell) in problems(preflight) {
        let place = at_fault(preflight, row)
            .map(|manifest| format!("file={},line={},", property(&manifest.file), manifest.line))
            .unwrap_or_default();
        let title = property(&format!("autoscaler-guard: {}", cell.outcome));
        text.push(format!("::error {place}title={title}::{}\n", escaped(&sentence(row, cell))));
    }
    for (row, cell) in preflight.rows.iter().filter_map(|row| Some((row, row.counts()?))) {
        if cell.outcome == autoscaler_guard_world::Outcome::Gap {
            text.push(format!("::warning title=autoscaler-guard%3A gap::{}\n", escaped(&sentence(row, cell))));
        }
    }
    text.concat()
}
