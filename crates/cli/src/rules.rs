//! `rules`: the catalogue, and each rule's page, both from the rules' own files.

mod default;
mod human;
mod json;
mod markdown;
mod page;

use autoscaler_guard::rule::Rule;
use autoscaler_guard::rules::{self, RULES};
pub use markdown::{pages, table};
use page::Page;

use crate::answer::Answer;
use crate::arguments::{RulesOptions, RulesOutput};
use crate::fault::Fault;
use crate::paint;

/// Shows all rules, or one.
pub fn run(options: &RulesOptions) -> Result<Answer, Fault> {
    let text = match &options.id {
        None => catalogue(options.output)?,
        Some(id) => one(find(id)?, options.output)?,
    };
    Ok(Answer::fine(text))
}

fn catalogue(output: RulesOutput) -> Result<String, Fault> {
    match output {
        RulesOutput::Human => Ok(human::catalogue(paint::width())),
        RulesOutput::Json => json::catalogue(),
        RulesOutput::Markdown => Ok(table("")),
    }
}

fn one(rule: &'static Rule, output: RulesOutput) -> Result<String, Fault> {
    let page = Page::of(rule.id);
    match output {
        RulesOutput::Human => Ok(human::page(rule, &page, paint::width())),
        RulesOutput::Json => json::page(rule, &page),
        RulesOutput::Markdown => Ok(markdown::page(rule, &page)),
    }
}

fn find(id: &str) -> Result<&'static Rule, Fault> {
    rules::find(id).ok_or_else(|| {
        let fault = Fault::new(format!("there is no rule {id}"));
        let near = near_misses(id);
        if near.is_empty() {
            fault.help("`autoscaler-guard rules` lists them")
        } else {
            fault.help(format!("did you mean {}?", near.join(" or ")))
        }
    })
}

/// The rules that someone may have meant, the likeliest first.
fn near_misses(id: &str) -> Vec<&'static str> {
    /// How alike two ids are that may be mistaken for each other; the ids share long words.
    const ALIKE: f64 = 0.8;
    let id = id.to_ascii_lowercase().replace('_', "-");
    let mut scored: Vec<(f64, &str)> =
        RULES.iter().map(|rule| (strsim::normalized_damerau_levenshtein(&id, rule.id), rule.id)).collect();
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let alike = scored.iter().filter(|(score, _)| *score >= ALIKE).map(|(_, rule)| *rule).take(2).collect::<Vec<_>>();
    if !alike.is_empty() {
        return alike;
    }
    RULES.iter().map(|rule| rule.id).filter(|rule| id.len() > 2 && rule.contains(&id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found_by_likeness_or_by_part() {
        assert_eq!(near_misses("hpa-handovr"), ["hpa-handover"]);
        assert_eq!(near_misses("HPA_DELETED"), ["hpa-deleted"]);
        assert_eq!(near_misses("gatewayclass"), ["gatewayclass-parameters", "gatewayclass-deleted"]);
        assert!(near_misses("something-else").is_empty() && near_misses("").is_empty());
    }

    #[test]
    fn a_wrong_id_comes_with_what_may_have_been_meant() {
        let fault = find("hpa-handovr").unwrap_err();
        assert_eq!(fault.to_string(), "error: there is no rule hpa-handovr\nhelp: did you mean hpa-handover?");
        assert!(find("x").unwrap_err().to_string().contains("lists them"));
    }
}
