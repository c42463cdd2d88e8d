//! Searches the generated worlds: `search --states N` until that many distinct states, `search --seconds N` for that long.
//!
//! It prints how many states it saw and what does not hold, each by a shortest timeline. `search --table` prints which hazard shows when
//! a rule is switched off, as Markdown.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use autoscaler_guard::Settings;
use autoscaler_guard::rule::DefaultAction;
use autoscaler_guard::rules::RULES;
use autoscaler_guard_world::search::{Bounds, Found, Property, Violation, search};
use autoscaler_guard_world::worlds;

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
        let Some(hazard) = hazards.min_by_key(|violation| (violation.property, violation.timeline.len())) else {
            println!("| `{}` | not found by these worlds | | |", rule.id);
            continue;
        };
        println!("| `{}` | {} | {} | {} |", rule.id, hazard.what, hazard.scenario, hazard.timeline.join("; "));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--table") {
        table();
        return;
    }
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let seconds = value("--seconds").unwrap_or(600);
    let least = value("--states").map_or(usize::MAX, |states| usize::try_from(states).unwrap_or(usize::MAX));
    let per_world = value("--per-world").map_or(20_000, |states| usize::try_from(states).unwrap_or(usize::MAX));
    let settings = Settings::default();
    let begun = Instant::now();
    let worlds = Mutex::new(worlds::all());
    let (searched, states) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let total: Mutex<(Found, usize, BTreeMap<String, Violation>)> = Mutex::default();
    let seen: Mutex<HashSet<u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while states.load(Ordering::Relaxed) < least && begun.elapsed() < Duration::from_secs(seconds) {
                    let next = worlds.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                    let Some(world) = next else { break };
                    searched.fetch_add(1, Ordering::Relaxed);
                    let left = Duration::from_secs(seconds).saturating_sub(begun.elapsed());
                    let found = search(&world, &settings, Bounds::new(per_world, left));
                    let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    seen.extend(found.states);
                    states.store(seen.len(), Ordering::Relaxed);
                    drop(seen);
                    let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    total.0.steps += found.steps;
                    total.0.ends += found.ends;
                    total.1 += usize::from(found.whole);
                    total.2.extend(found.violations);
                }
            });
        }
    });
    let (found, whole, violations) = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let states = states.into_inner();
    for violation in violations.values() {
        println!("{}", violation.kind());
        for line in &violation.timeline {
            println!("    {line}");
        }
    }
    let searched = searched.into_inner();
    println!(
        "{states} distinct states, {} steps, {} ends, {searched} worlds ({whole} of them whole), {} violations, {:.0} s",
        found.steps,
        found.ends,
        violations.len(),
        begun.elapsed().as_secs_f32()
    );
    if least != usize::MAX && states < least {
        println!("fewer than {least} states: the worlds are too small");
        std::process::exit(1);
    }
}
