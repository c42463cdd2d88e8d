//! Shows scenes, one by one, and keeps account of whether they end as they claim.

use std::time::{Duration, Instant};

use autoscaler_guard_cli::fault::Fault;
use autoscaler_guard_cli::paint::{self, BAD, FAINT, GOOD, STRONG, paint};
use autoscaler_guard_cli::review::human::{self, Sheet};
use autoscaler_guard_cli::review::{Judge, Judgement, Neighbours, Request, SettingsText, VerdictKind, diff};
use autoscaler_guard_host::Snapshot;
use serde_json::{Value, json};

/// A request and what is claimed about it.
pub struct Scene<'a> {
    /// What happens, in a few words.
    pub title: &'a str,
    /// What it would mean without the policy.
    pub story: &'a str,
    /// The policy's settings.
    pub settings: Value,
    /// What is in the cluster.
    pub cluster: &'a Snapshot,
    /// What the API server is asked for.
    pub request: Request,
    /// The verdict, and the rule that gives it.
    pub expected: (VerdictKind, Option<&'a str>),
    /// For the closing table: what happens without the policy.
    pub without: &'a str,
    /// And what happens with it.
    pub with: &'a str,
}

/// Shows scenes and remembers them.
pub struct Stage {
    judge: Judge,
    sheet: Sheet,
    scenes: Vec<Ending>,
    judging: Duration,
}

struct Ending {
    title: String,
    without: String,
    with: String,
    verdict: VerdictKind,
    is_as_claimed: bool,
}

/// How far everything below a title is indented.
const INDENT: usize = 3;

impl Stage {
    pub fn new(judge: Judge) -> Self {
        let sheet = Sheet::new();
        let sheet = Sheet { width: sheet.width - INDENT, audit: false, ..sheet };
        Self { judge, sheet, scenes: Vec::new(), judging: Duration::ZERO }
    }

    /// A line across the page.
    pub fn heading(&self, text: &str) {
        let rule = "═".repeat((self.width() - 1).saturating_sub(text.chars().count()));
        anstream::println!("\n{} {}", paint(STRONG, text), paint(FAINT, rule));
    }

    /// A paragraph.
    pub fn say(&self, text: &str) {
        anstream::println!("\n{}", paint::wrap(text, self.width(), 0));
    }

    /// Plays a scene.
    pub fn play(&mut self, scene: &Scene<'_>) -> Result<Judgement, Fault> {
        self.introduce(scene);
        let settings = SettingsText::new(&scene.settings, &self.judge)
            .map_err(|reasons| Fault::new("the demo's settings cannot be used").because(reasons.join("; ")))?;
        let neighbours = Neighbours::snapshot(scene.cluster.clone());
        let start = Instant::now();
        let judgement = Judgement::of(&self.judge, &scene.request, &settings, &neighbours)?;
        self.judging += start.elapsed();
        print(&self.sheet.one(&judgement, false));
        self.end(scene, &judgement);
        Ok(judgement)
    }

    fn introduce(&self, scene: &Scene<'_>) {
        anstream::println!("\n{}", paint(STRONG, format!("{}. {}", self.scenes.len() + 1, scene.title)));
        print(&paint::wrap(&paint::code_spans(scene.story), self.sheet.width, 0));
        if scene.settings != json!({}) {
            print(&format!("The policy's settings: {}", scene.settings));
        }
        let (old, new) = (of_people(scene.request.old_object()), of_people(scene.request.object()));
        let changes = diff(&old, &new, self.sheet.width - INDENT);
        if scene.request.operation() == "UPDATE" {
            print(&format!("\nThe request, {}:", scene.request.author()));
            print(&changes.iter().map(|line| ["  ", line, "\n"].concat()).collect::<String>());
        }
        anstream::println!();
    }

    fn end(&mut self, scene: &Scene<'_>, judgement: &Judgement) {
        let (verdict, rule) = scene.expected;
        let verdict_holds = judgement.verdict() == verdict;
        let rule_holds = rule.is_none_or(|rule| judgement.rules().contains(&rule));
        self.scenes.push(Ending {
            title: scene.title.to_owned(),
            without: scene.without.to_owned(),
            with: scene.with.to_owned(),
            verdict: judgement.verdict(),
            is_as_claimed: true,
        });
        if !(verdict_holds && rule_holds) {
            let rule = rule.map(|rule| format!(" by {rule}")).unwrap_or_default();
            self.claim(&format!("this should have been: {}{rule}", human::verdict(verdict)), false);
        }
    }

    /// States something about the last scene; the demo fails if it does not hold.
    pub fn claim(&mut self, text: &str, holds: bool) {
        let mark = if holds { paint(GOOD, "✓") } else { paint(BAD, "✗ not so:") };
        print(&paint::hang(&format!("{mark} {text}"), self.sheet.width, 0, 2));
        if let Some(scene) = self.scenes.last_mut() {
            scene.is_as_claimed &= holds;
        }
    }

    /// Shows the closing table and says whether everything was as claimed.
    pub fn close(&self) -> bool {
        self.heading("What happened");
        let width = self.width();
        row(width, "", &["", "without the policy", "with it"].map(|title| paint(FAINT, title)));
        for (index, scene) in self.scenes.iter().enumerate() {
            let verdict = format!("{}: {}", human::verdict(scene.verdict), scene.with);
            let number = format!("{}.", index + 1);
            row(width, &number, &[scene.title.clone(), scene.without.clone(), verdict]);
        }
        let failed = self.scenes.iter().filter(|scene| !scene.is_as_claimed).count();
        let (count, time) = (paint::count(self.scenes.len(), "verdict"), self.judging.as_millis());
        anstream::println!("\n{count} in {time} ms, {}", closing(failed));
        failed == 0
    }

    fn width(&self) -> usize {
        self.sheet.width + INDENT
    }
}

/// A row of the closing table.
fn row(width: usize, number: &str, cells: &[String; 3]) {
    let cell_width = (width - 5) / 3 - 2;
    let wrapped = cells.each_ref().map(|cell| paint::wrap(cell, cell_width, 0));
    let columns = wrapped.each_ref().map(|cell| cell.lines().collect::<Vec<_>>());
    let height = columns.iter().map(Vec::len).max().unwrap_or_default();
    for line in 0..height {
        let cells = columns.each_ref().map(|column| pad(column.get(line).unwrap_or(&""), cell_width));
        anstream::println!("{:>3}  {}", if line == 0 { number } else { "" }, cells.join("  ").trim_end());
    }
}

/// Prints below a title.
fn print(text: &str) {
    for line in text.lines() {
        anstream::println!("{}", format!("{:INDENT$}{line}", "").trim_end());
    }
}

/// An object without what the API server counts by itself.
fn of_people(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("generation");
    }
    object
}

fn closing(failed: usize) -> String {
    match failed {
        0 => paint(GOOD, "all of them as claimed"),
        failed => paint(BAD, format!("{failed} not as claimed")),
    }
}

/// Styles take no room on the screen.
fn pad(text: &str, width: usize) -> String {
    let seen = anstream::adapter::strip_str(text).to_string().chars().count();
    format!("{text}{}", " ".repeat(width.saturating_sub(seen)))
}
