//! `cargo xtask size`: what the module's bytes are spent on, and whether they stay within the limit.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use rustc_demangle::demangle;
use serde::Serialize;

use crate::build::{self, Recipe};
use crate::table::{number, render};
use crate::wasm::{self, Section};
use crate::workspace::Workspace;

/// The most that the module may take, annotated and with every rule.
const LIMIT: usize = 350_000;

/// What to measure and how to print it.
#[derive(clap::Args)]
pub struct Options {
    /// The module to measure
    #[arg(long, default_value = "annotated-policy.wasm")]
    wasm: PathBuf,
    /// Only hold the module to its limit
    #[arg(long)]
    check: bool,
    /// How many crates and functions to list, the biggest first
    #[arg(long, default_value_t = 20)]
    top: usize,
    /// The form of the report
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Everything that is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    bytes: usize,
    limit: usize,
    within_limit: bool,
    /// The smallest policy that Kubewarden's SDK allows, built the same way.
    smallest_policy: usize,
    sections: Vec<Share>,
    crates: Vec<Share>,
    functions: Vec<Share>,
}

/// A part and what it takes.
#[derive(Debug, PartialEq, Serialize)]
struct Share {
    name: String,
    bytes: usize,
}

/// Measures the module; fails when it is over the limit.
pub fn run(options: &Options) -> Result<()> {
    let module = build::read(&options.wasm)?;
    if !options.check {
        print(&report(&module, options.top)?, options.output)?;
    }
    let verdict = verdict(module.len());
    if module.len() > LIMIT {
        bail!("{} takes {verdict}; `make size` shows what takes them", options.wasm.display());
    }
    if options.output == Output::Table {
        println!("{} takes {verdict}", options.wasm.display());
    }
    Ok(())
}

fn verdict(bytes: usize) -> String {
    let distance = number(bytes.abs_diff(LIMIT));
    let side = if bytes > LIMIT { "too many" } else { "to spare" };
    format!("{} of {} bytes: {distance} {side}", number(bytes), number(LIMIT))
}

fn report(module: &[u8], top: usize) -> Result<Report> {
    let workspace = Workspace::own()?;
    let functions = functions(&workspace)?;
    Ok(Report {
        bytes: module.len(),
        limit: LIMIT,
        within_limit: module.len() <= LIMIT,
        smallest_policy: Recipe::shipped(&workspace.bench()?, "smallest").build()?.len(),
        sections: sections(module)?,
        crates: biggest(by_crate(&functions), top),
        functions: biggest(functions, top),
    })
}

fn sections(module: &[u8]) -> Result<Vec<Share>> {
    let sections = wasm::sections(module)?;
    let share = |section: &Section| Share { name: section.name.to_string(), bytes: section.bytes() };
    Ok(sections.iter().map(share).collect())
}

/// The shipped module has no names, so it is built once more with them; the code is the same.
fn functions(workspace: &Workspace) -> Result<Vec<Share>> {
    let mut recipe = Recipe::shipped(workspace, build::POLICY);
    recipe.names = true;
    let functions = wasm::functions(&recipe.build()?)?;
    let readable = |symbol: &str| format!("{:#}", demangle(symbol));
    Ok(functions.iter().map(|function| Share { name: readable(&function.symbol), bytes: function.bytes }).collect())
}

fn by_crate(functions: &[Share]) -> Vec<Share> {
    let mut crates: BTreeMap<&str, usize> = BTreeMap::new();
    for function in functions {
        *crates.entry(crate_of(&function.name)).or_default() += function.bytes;
    }
    crates.into_iter().map(|(name, bytes)| Share { name: name.to_owned(), bytes }).collect()
}

fn biggest(mut shares: Vec<Share>, top: usize) -> Vec<Share> {
    shares.sort_by(|one, other| (Reverse(one.bytes), &one.name).cmp(&(Reverse(other.bytes), &other.name)));
    shares.truncate(top);
    shares
}

/// The crate that a function was written in: of `<type as trait>::function` the type's, or, where the type is nobody's
/// (`&T`, `[T]`, `u8`), the trait's. What drops a value counts to the value's crate.
fn crate_of(function: &str) -> &str {
    let path = function.strip_prefix("core::ptr::drop_in_place").unwrap_or(function);
    path.split(" as ").find_map(first_segment).unwrap_or("(no crate)")
}

fn first_segment(path: &str) -> Option<&str> {
    let mut path = path.trim_start_matches([':', '<', '&', '*', '[', '(']);
    for word in ["mut ", "const ", "dyn "] {
        path = path.strip_prefix(word).unwrap_or(path);
    }
    let (first, _) = path.split_once("::")?;
    first.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(first)
}

fn print(report: &Report, output: Output) -> Result<()> {
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(report)?),
        Output::Table => print!("{}", tables(report)),
    }
    Ok(())
}

fn tables(report: &Report) -> String {
    let comparison = [
        ("this module", report.bytes),
        ("the smallest policy of Kubewarden's SDK", report.smallest_policy),
        ("the limit", report.limit),
    ];
    let comparison = comparison.map(|(name, bytes)| Share { name: name.to_owned(), bytes });
    [
        ("module", &comparison[..]),
        ("section", &report.sections),
        ("crate", &report.crates),
        ("function", &report.functions),
    ]
    .map(|(title, shares)| table(title, shares, report.bytes))
    .join("\n")
        + "\n"
}

fn table(title: &str, shares: &[Share], whole: usize) -> String {
    let mut rows = vec![[title, "bytes", "%"].map(str::to_owned).to_vec()];
    rows.extend(shares.iter().map(|share| row(share, whole)));
    render(&rows)
}

fn row(share: &Share, whole: usize) -> Vec<String> {
    // One digit after the point, without leaving the whole numbers.
    let permille = share.bytes * 1000 / whole.max(1);
    vec![shorten(&share.name), number(share.bytes), format!("{}.{}", permille / 10, permille % 10)]
}

/// Generic functions have names of several lines.
fn shorten(name: &str) -> String {
    const LONGEST: usize = 100;
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_counts_to_the_crate_that_it_was_written_in() {
        let examples = [
            ("serde_json::de::from_slice", "serde_json"),
            ("<alloc::vec::Vec<T> as serde_core::de::Deserialize>::deserialize", "alloc"),
            ("<&T as core::fmt::Debug>::fmt", "core"),
            ("<dyn core::any::Any>::is", "core"),
            ("core::ptr::drop_in_place<serde_json::value::Value>", "serde_json"),
            ("core::ptr::drop_in_place::<autoscaler_guard::Change>", "autoscaler_guard"),
            ("<<autoscaler_guard::A as serde_core::B>::C as serde_core::D>::e", "autoscaler_guard"),
            ("memcpy", "(no crate)"),
        ];
        for (function, expected) in examples {
            assert_eq!(crate_of(function), expected, "{function}");
        }
    }

    #[test]
    fn the_biggest_come_first_and_equals_by_name() {
        let share = |name: &str, bytes| Share { name: name.to_owned(), bytes };
        let shares = biggest(vec![share("b", 1), share("c", 5), share("a", 1)], 2);
        assert_eq!(shares, [share("c", 5), share("a", 1)]);
    }

    #[test]
    fn the_verdict_has_the_distance_to_the_limit() {
        assert_eq!(verdict(349_000), "349,000 of 350,000 bytes: 1,000 to spare");
        assert_eq!(verdict(350_001), "350,001 of 350,000 bytes: 1 too many");
    }
}
