//! The webhook's matchConditions, in CEL: what need not be asked about, since the policy's gate lets it pass without a
//! look.
//!
//! All must hold for a request to be sent. Each is narrower than the gate of the policy: what is in doubt is sent.

use std::collections::{BTreeMap, BTreeSet};

use autoscaler_guard::Settings;
use autoscaler_guard::facts::released::RELEASED_FROM;
use autoscaler_guard::gate::KUBERNETES_CONTROLLERS;
use autoscaler_guard::pattern::Patterns;
use autoscaler_guard_reading::group_of;

use crate::needs;

/// One of the matchConditions.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) name: &'static str,
    pub(crate) why: &'static str,
    pub(crate) expression: String,
}

/// All conditions, in the order of what they cost.
pub(crate) fn all(settings: &Settings) -> Vec<Condition> {
    let exempt = exempt(settings);
    let keda = keda(settings);
    let mut conditions = vec![
        Condition {
            name: "not-exempt",
            why: "Kubernetes' own controllers, Envoy Gateway, and who is exempt by the settings.",
            expression: format!("!({exempt})"),
        },
        Condition {
            name: "not-terminating",
            why: "An object that is being deleted is past guarding, and its clean-up must not wait for anybody.",
            expression: NOT_TERMINATING.to_owned(),
        },
        Condition {
            name: "touches-what-counts",
            why: "An update of nothing but bookkeeping concerns no rule, unless it is a handover: then managedFields say who writes.",
            expression: touches(settings),
        },
    ];
    if let Some(expression) = declared(settings) {
        let condition = Condition {
            name: "of-a-kind-that-is-declared",
            why: "Of the groups that setting declarations names, just its kinds: their plurals are not known, so the rules have all.",
            expression,
        };
        conditions.insert(0, condition);
    }
    if let Some(keda) = keda {
        let condition = Condition {
            name: "not-keda",
            why: "KEDA's operator, but for its update of an HPA that was handed over.",
            expression: format!("!({keda}) ||\n{}", released_update()),
        };
        conditions.insert(1, condition);
    }
    conditions
}

/// The groups that settings name, each with the kinds of it that are of interest.
pub(super) fn declared_groups(settings: &Settings) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for declaration in &settings.declarations {
        let group = group_of(&declaration.api_version);
        let watched = needs::watched().into_iter().filter(|watched| watched.api.group == group);
        let kinds = groups.entry(group).or_default();
        kinds.extend(watched.map(|watched| watched.api.kind));
        kinds.insert(&declaration.kind);
    }
    groups
}

fn declared(settings: &Settings) -> Option<String> {
    let groups = declared_groups(settings);
    let only = |(group, kinds): (&str, BTreeSet<&str>)| {
        let kinds: Vec<&str> = kinds.into_iter().collect();
        format!("(request.kind.group != {} || {})", quoted(group), one_of("request.kind.kind", &kinds))
    };
    (!groups.is_empty()).then(|| groups.into_iter().map(only).collect::<Vec<_>>().join(" &&\n"))
}

/// A kind that declares its HPA elsewhere than in its spec is always asked about.
fn touches(settings: &Settings) -> String {
    let elsewhere = settings.declarations.iter().filter(|declaration| !declaration.pointer.starts_with("/spec/"));
    let kinds: Vec<&str> = elsewhere.map(|declaration| declaration.kind.as_str()).collect();
    if kinds.is_empty() { TOUCHES.to_owned() } else { format!("{} ||\n{TOUCHES}", one_of("request.kind.kind", &kinds)) }
}

pub(super) const NOT_TERMINATING: &str = "request.operation == 'DELETE' ?
!has(oldObject.metadata.deletionTimestamp) :
!has(object.metadata.deletionTimestamp)";

pub(super) const TOUCHES: &str = "request.operation != 'UPDATE' ||
(request.kind.kind == 'HorizontalPodAutoscaler' && has(oldObject.metadata.ownerReferences)) ||
has(object.spec) != has(oldObject.spec) || (has(object.spec) && object.spec != oldObject.spec) ||
['ownerReferences', 'labels', 'annotations', 'finalizers'].exists(field,
(field in object.metadata) != (field in oldObject.metadata) ||
(field in object.metadata && object.metadata[field] != oldObject.metadata[field]))";

/// An update of an HPA that was handed over.
pub(super) fn released_update() -> String {
    format!("({RELEASED_UPDATE} '{RELEASED_FROM}' in oldObject.metadata.annotations)")
}

const RELEASED_UPDATE: &str = "request.kind.kind == 'HorizontalPodAutoscaler' && request.operation == 'UPDATE' &&
has(oldObject.metadata.annotations) &&";

/// Who is never judged.
pub(super) fn exempt(settings: &Settings) -> String {
    let own = one_of("request.userInfo.username", KUBERNETES_CONTROLLERS);
    let users = [&settings.envoy_gateway_controllers, &settings.exempt_users].into_iter().filter_map(user_is);
    let groups = test("group", &settings.exempt_groups)
        .map(|test| format!("has(request.userInfo.groups) && request.userInfo.groups.exists(group, {test})"));
    [own].into_iter().chain(users).chain(groups).collect::<Vec<_>>().join(" ||\n")
}

/// Whether KEDA's operator asks; none where the settings name no account of it.
pub(super) fn keda(settings: &Settings) -> Option<String> {
    user_is(&settings.keda_controllers)
}

fn user_is(patterns: &Patterns) -> Option<String> {
    test("request.userInfo.username", patterns)
}

/// Whether a name matches any of the patterns; none where there is none.
pub(super) fn test(name: &str, patterns: &Patterns) -> Option<String> {
    let (with_star, plain): (Vec<&str>, Vec<&str>) = patterns.iter().partition(|pattern| pattern.contains('*'));
    let plain = (!plain.is_empty()).then(|| one_of(name, &plain));
    let with_star = with_star.iter().map(|pattern| format!("{name}.matches({})", quoted(&regular(pattern))));
    let tests: Vec<String> = plain.into_iter().chain(with_star).collect();
    (!tests.is_empty()).then(|| tests.join(" ||\n"))
}

fn one_of(name: &str, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    format!("{name} in [\n{}]", names.join(",\n"))
}

/// The same in the notation of RE2. A name has one line.
pub(super) fn regular(pattern: &str) -> String {
    let mut expression = "^".to_owned();
    for letter in pattern.chars() {
        match letter {
            '*' => expression += ".*",
            letter if letter.is_ascii_punctuation() && !matches!(letter, '-' | ':' | '_' | '@' | '/') => {
                expression.push('\\');
                expression.push(letter);
            }
            letter => expression.push(letter),
        }
    }
    expression + "$"
}

/// A text in CEL. It may not have line breaks, as no pattern does.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests;
