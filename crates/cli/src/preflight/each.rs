//! Every commit of a range by itself: what the guard would have prevented, and what it would have refused for nothing.

use std::path::Path;

use autoscaler_guard_world::preflight::{Cell, Row};
use serde_json::{Value, json};

use super::human;
use super::json as one;
use super::question::{fails, find_out};
use super::render::{Given, at_commit, output, words};
use super::report::Preflight;
use crate::answer::Answer;
use crate::arguments::{PreflightOptions, PreflightOutput};
use crate::fault::Fault;
use crate::paint::{STRONG, paint};

/// A commit, and what it did.
struct Commit {
    id: String,
    subject: String,
    preflight: Preflight,
}

/// Plays every commit.
pub fn run(options: &PreflightOptions) -> Result<Answer, Fault> {
    let [range, path] = options.git.as_slice() else {
        return Err(Fault::new("--each needs --git"));
    };
    let range = if range.contains("..") { range.clone() } else { format!("{range}..HEAD") };
    let listed = words(&["log", "--reverse", "--first-parent", "--format=%H %s", &range, "--", path]);
    let listed = output("git", &listed, None)?;
    let mut commits = Vec::new();
    for line in listed.lines() {
        let (id, subject) = line.split_once(' ').unwrap_or((line, ""));
        let path = Path::new(path);
        let before = at_commit(options, &format!("{id}^"), path)?;
        let after = at_commit(options, id, path)?;
        if before.is_empty() && after.is_empty() {
            continue;
        }
        let preflight = find_out(options, Given { before, after, ..Given::default() })?;
        commits.push(Commit { id: id.chars().take(12).collect(), subject: subject.to_owned(), preflight });
    }
    let code = u8::from(commits.iter().any(|commit| fails(&commit.preflight.rows, options.fail_on)));
    let text = match options.output {
        PreflightOutput::Json => json(&commits)?,
        PreflightOutput::Markdown => markdown(&commits),
        _ => table(&commits),
    };
    Ok(Answer { text, code, faults: Vec::new() })
}

/// The workloads that a commit did something to.
fn changed(preflight: &Preflight) -> impl Iterator<Item = &Row> {
    preflight.rows.iter().filter(|row| {
        let kept = |cell: &Option<Cell>| cell.as_ref().is_none_or(|cell| cell.outcome.id() == "kept");
        row.before != row.after || !kept(&row.without) || !kept(&row.with)
    })
}

fn outcome(cell: Option<&Cell>) -> &'static str {
    cell.map_or("", |cell| cell.outcome.id())
}

fn table(commits: &[Commit]) -> String {
    let mut lines = Vec::new();
    for commit in commits {
        let mut rows = changed(&commit.preflight).peekable();
        if rows.peek().is_none() {
            continue;
        }
        lines.push(format!("{} {}", paint(STRONG, &commit.id), commit.subject));
        lines.extend(rows.map(|row| {
            let cell = |label: &str, cell: &Option<Cell>| {
                cell.as_ref().map_or_else(String::new, |cell| {
                    format!("  {label} {}", paint(human::style(cell.outcome), cell.outcome))
                })
            };
            format!("  {}{}{}", row.workload, cell("without", &row.without), cell("with", &row.with))
        }));
    }
    lines.push(conclusion(commits));
    lines.join("\n") + "\n"
}

fn conclusion(commits: &[Commit]) -> String {
    let rows = || commits.iter().flat_map(|commit| commit.preflight.rows.iter());
    let is_bad = |cell: &Option<Cell>| cell.as_ref().is_some_and(|cell| cell.outcome.is_bad());
    let prevented = rows().filter(|row| is_bad(&row.without) && row.with.is_some() && !is_bad(&row.with)).count();
    let for_nothing = rows().filter(|row| row.without.is_some() && !is_bad(&row.without) && is_bad(&row.with)).count();
    format!("{} commits; prevented {prevented}, refused for nothing {for_nothing}", commits.len())
}

fn markdown(commits: &[Commit]) -> String {
    let mut text = "| commit | workload | without the guard | with it |\n|---|---|---|---|\n".to_owned();
    for commit in commits {
        let rows = changed(&commit.preflight).map(|row| {
            let (without, with) = (outcome(row.without.as_ref()), outcome(row.with.as_ref()));
            format!(
                "| `{}` {} | {} | {without} | {with} |\n",
                commit.id,
                commit.subject.replace('|', "\\|"),
                row.workload
            )
        });
        text.extend(rows);
    }
    text + "\n" + &conclusion(commits) + "\n"
}

fn json(commits: &[Commit]) -> Result<String, Fault> {
    let all: Vec<Value> = commits
        .iter()
        .map(|commit| {
            let mut value = one::value(&commit.preflight);
            value["commit"] = json!(commit.id);
            value["subject"] = json!(commit.subject);
            value
        })
        .collect();
    let text = serde_json::to_string_pretty(&all);
    text.map(|text| text + "\n").map_err(|error| Fault::new("the answer cannot be written as JSON").because(error))
}
