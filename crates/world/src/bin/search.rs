//! Searches the generated worlds for what the rules get wrong.
//!
//! | | |
//! |---|---|
//! | `search --seconds N` | for that long |
//! | `search --states N` | until that many distinct states; fails if there are fewer |
//! | `… --known FILE` | reports only what the file does not have; fails if that is a loss, or a controller that is
//! refused |
//! | `… --write FILE` | writes what is found, each by a shortest timeline |
//! | `search --table` | which hazard shows when a rule is switched off, as Markdown |

#![allow(clippy::indexing_slicing, reason = "JSON is read and built by key")]

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use autoscaler_guard::Settings;
use autoscaler_guard::rule::DefaultAction;
use autoscaler_guard::rules::RULES;
use autoscaler_guard_world::search::{Bounds, Found, Property, Violation, search};
use autoscaler_guard_world::worlds;

/// What the search found in all worlds together.
#[derive(Default)]
struct Total {
    states: HashSet<u64>,
    worlds: usize,
    whole: usize,
    steps: usize,
    ends: usize,
    /// By kind, the one with the shortest timeline.
    violations: BTreeMap<String, Violation>,
}

impl Total {
    fn add(&mut self, found: Found) {
        self.states.extend(found.states);
        self.worlds += 1;
        self.whole += usize::from(found.whole);
        self.steps += found.steps;
        self.ends += found.ends;
        for violation in found.violations.into_values() {
            let kind = format!("{}: {}", violation.property, violation.what);
            let shorter = |known: &Violation| violation.timeline.len() < known.timeline.len();
            if self.violations.get(&kind).is_none_or(shorter) {
                self.violations.insert(kind, violation);
            }
        }
    }

    fn page(&self) -> String {
        let mut page = HEAD.to_owned();
        for (kind, violation) in &self.violations {
            let _ = writeln!(page, "\n## {kind}\n\n{}\n", violation.scenario);
            for line in &violation.timeline {
                let _ = writeln!(page, "- {line}");
            }
        }
        page
    }
}

const HEAD: &str = "# What the search finds

Kinds of what does not hold in the generated worlds, each by a shortest timeline. Written by `make search-known`; the search in `make test`
reports other kinds, and fails when one is a loss or a controller that is refused.
";

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Searches world after world, by two threads.
fn all(least: usize, seconds: u64, per_world: usize) -> Total {
    let settings = Settings::default();
    let begun = Instant::now();
    let time = Duration::from_secs(seconds);
    let worlds = Mutex::new(worlds::all());
    let total: Mutex<Total> = Mutex::default();
    let states = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while states.load(Ordering::Relaxed) < least && begun.elapsed() < time {
                    let next = locked(&worlds).next();
                    let Some(world) = next else { break };
                    let left = time.saturating_sub(begun.elapsed());
                    let found = search(&world, &settings, Bounds::new(per_world, left));
                    let mut total = locked(&total);
                    total.add(found);
                    states.store(total.states.len(), Ordering::Relaxed);
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Which hazards show when a rule is switched off.
fn table() {
    let settings = Settings::default();
    let far = || Bounds::new(3_000, Duration::from_secs(20));
    let worlds: Vec<_> = worlds::small().collect();
    let searched: Vec<Found> = worlds.iter().map(|world| search(world, &settings, far())).collect();
    println!("| rule | what happens without it | where | shortest timeline |\n|---|---|---|---|");
    for rule in RULES.iter().filter(|rule| rule.may_reject || matches!(rule.default, DefaultAction::Repair)) {
        let off = format!("{{\"rules\": {{\"{}\": \"off\"}}}}", rule.id);
        let Ok(off) = Settings::from_json(&off) else { continue };
        let spoke = worlds.iter().zip(&searched).filter(|(_, found)| found.rules.contains(rule.id));
        let hazards = spoke.flat_map(|(world, with)| {
            let without = search(world, &off, far());
            let is_new = |(kind, violation): &(String, Violation)| {
                let is_hazard = matches!(violation.property, Property::Safety | Property::Liveness);
                is_hazard && !with.violations.contains_key(kind)
            };
            without.violations.into_iter().filter(is_new).map(|(_, violation)| violation).collect::<Vec<_>>()
        });
        match hazards.min_by_key(|violation| (violation.property, violation.timeline.len())) {
            Some(hazard) => {
                let timeline = hazard.timeline.join("<br>").replace('|', "\\|");
                println!("| `{}` | {} | {} | {timeline} |", rule.id, hazard.what, hazard.scenario);
            }
            None => println!("| `{}` | not found in these worlds | | |", rule.id),
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let text = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str| text(name)?.parse::<usize>().ok();
    if arguments.iter().any(|argument| argument == "--table") {
        table();
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    let least = number("--states").unwrap_or(usize::MAX);
    let seconds = number("--seconds").map_or(600, |seconds| seconds as u64);
    let total = all(least, seconds, number("--per-world").unwrap_or(20_000));
    let known = text("--known").map(|file| std::fs::read_to_string(file).unwrap_or_default());
    let is_known =
        |kind: &str| known.as_ref().is_some_and(|known| known.lines().any(|line| line == format!("## {kind}")));
    let new: Vec<(&String, &Violation)> = total.violations.iter().filter(|(kind, _)| !is_known(kind)).collect();
    for (kind, violation) in &new {
        println!("{kind} ({})", violation.scenario);
        violation.timeline.iter().for_each(|line| println!("    {line}"));
    }
    println!(
        "{} distinct states, {} steps, {} ends, {} worlds ({} of them whole), {} kinds of violations, {:.0} s",
        total.states.len(),
        total.steps,
        total.ends,
        total.worlds,
        total.whole,
        total.violations.len(),
        begun.elapsed().as_secs_f32()
    );
    if let Some(file) = text("--write")
        && let Err(error) = std::fs::write(&file, total.page())
    {
        println!("{file}: {error}");
        return ExitCode::FAILURE;
    }
    if least != usize::MAX && total.states.len() < least {
        println!("fewer than {least} states");
        return ExitCode::FAILURE;
    }
    // Flows and commands are being mended: a new kind of theirs is reported, and no failure.
    let is_grave = |violation: &Violation| matches!(violation.property, Property::Safety | Property::Freedom);
    let fails = known.is_some() && new.iter().any(|(_, violation)| is_grave(violation));
    if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
