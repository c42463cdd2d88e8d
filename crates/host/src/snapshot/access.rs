//! Who may do what in a snapshot: `SubjectAccessReview` documents as a rulebook.
//!
//! A document with `spec.resourceAttributes` and `status` answers every question it matches; where several match, the
//! most specific does, and among equals the last. `*` matches anything, an absent user, namespace or name does, too;
//! an absent group is the core group and an absent subresource is none, as in Kubernetes. Documents that name neither
//! user nor groups also govern what the host itself may get and list. Where no document matches, everybody may get,
//! list and watch, and nobody anything else.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::lookup::ResourceAttributes;

/// The account whose look-ups a snapshot answers, as policy-server's chart calls it.
pub(super) const POLICY_SERVER: &str = "system:serviceaccount:kubewarden:policy-server";

#[derive(Debug, Clone, Default)]
pub(super) struct Access {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Deserialize)]
struct Rule {
    spec: RuleSpec,
    status: Value,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleSpec {
    #[serde(default)]
    user: String,
    #[serde(default)]
    groups: Vec<String>,
    resource_attributes: ResourceAttributes,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) enum Who<'a> {
    /// The host, for its own look-ups.
    Host,
    /// Somebody that the policy asks about.
    Subject { user: &'a str, groups: &'a [String] },
}

impl Access {
    /// Adds a `SubjectAccessReview`; the error says what it lacks.
    pub(super) fn learn(&mut self, review: &Value) -> Result<(), String> {
        let rule: Rule = serde_json::from_value(review.clone()).map_err(|error| {
            format!("the SubjectAccessReview is no rule: {error}; give it spec.resourceAttributes and status.allowed")
        })?;
        if !rule.status["allowed"].is_boolean() {
            return Err("the SubjectAccessReview has no status.allowed; set it to true or false".into());
        }
        self.rules.push(rule);
        Ok(())
    }

    /// The `status` of the answer.
    pub(super) fn status(&self, who: Who<'_>, action: &ResourceAttributes) -> Value {
        match self.rule(who, action) {
            Some(rule) => rule.status.clone(),
            None => json!({ "allowed": matches!(action.verb.as_str(), "get" | "list" | "watch") }),
        }
    }

    /// Whether the host's own look-up is permitted; fast where there are no rules.
    pub(super) fn permits_host(&self, action: impl FnOnce() -> ResourceAttributes) -> bool {
        self.rules.is_empty() || self.status(Who::Host, &action())["allowed"] == true
    }

    fn rule(&self, who: Who<'_>, action: &ResourceAttributes) -> Option<&Rule> {
        let matching = self.rules.iter().filter_map(|rule| Some((rule.spec.specificity(who, action)?, rule)));
        matching.max_by_key(|(specificity, _)| *specificity).map(|(_, rule)| rule)
    }
}

impl RuleSpec {
    /// How many parts of the question the rule names; none if it is about something else.
    fn specificity(&self, who: Who<'_>, action: &ResourceAttributes) -> Option<u32> {
        let rule = &self.resource_attributes;
        let parts = [
            self.concerns(who),
            exact(&rule.verb, &action.verb),
            exact(&rule.group, &action.group),
            exact(&rule.resource, &action.resource),
            exact(&rule.subresource, &action.subresource),
            any_if_empty(&rule.namespace, &action.namespace),
            any_if_empty(&rule.name, &action.name),
        ];
        parts.into_iter().sum()
    }

    fn concerns(&self, who: Who<'_>) -> Option<u32> {
        let Who::Subject { user, groups } = who else {
            return (self.user.is_empty() && self.groups.is_empty()).then_some(0);
        };
        let in_group = self.groups.is_empty() || self.groups.iter().any(|group| groups.contains(group));
        let named = any_if_empty(&self.user, user)?;
        in_group.then_some(named + u32::from(!self.groups.is_empty()))
    }
}

fn exact(rule: &str, asked: &str) -> Option<u32> {
    match rule {
        "*" => Some(0),
        _ => (rule == asked).then_some(1),
    }
}

fn any_if_empty(rule: &str, asked: &str) -> Option<u32> {
    if rule.is_empty() { Some(0) } else { exact(rule, asked) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(user: &str, attributes: &Value, allowed: bool) -> Value {
        json!({"spec": {"user": user, "resourceAttributes": attributes}, "status": {"allowed": allowed}})
    }

    fn access(rules: &[Value]) -> Access {
        let mut access = Access::default();
        for rule in rules {
            access.learn(rule).unwrap();
        }
        access
    }

    fn allowed(access: &Access, who: Who<'_>, attributes: Value) -> bool {
        access.status(who, &serde_json::from_value(attributes).unwrap())["allowed"] == true
    }

    const JANE: Who<'_> = Who::Subject { user: "jane", groups: &[] };

    #[test]
    fn without_rules_reading_is_allowed_and_nothing_else() {
        let access = Access::default();
        assert!(allowed(&access, JANE, json!({"verb": "list", "resource": "pods"})));
        assert!(!allowed(
            &access,
            JANE,
            json!({"verb": "bypass", "resource": "hpa-deleted", "group": "autoscaler-guard"})
        ));
    }

    #[test]
    fn the_most_specific_rule_answers() {
        let access = access(&[
            rule("", &json!({"verb": "bypass", "group": "autoscaler-guard", "resource": "hpa-deleted"}), true),
            rule("jane", &json!({"verb": "*", "group": "*", "resource": "*"}), false),
            rule(
                "jane",
                &json!({"verb": "bypass", "group": "autoscaler-guard", "resource": "*", "namespace": "shop"}),
                false,
            ),
        ]);
        let bypass = |namespace| json!({"verb": "bypass", "group": "autoscaler-guard", "resource": "hpa-deleted", "namespace": namespace});
        assert!(allowed(&access, JANE, bypass("bank")));
        assert!(!allowed(&access, JANE, bypass("shop")));
        assert!(allowed(&access, Who::Subject { user: "joe", groups: &[] }, bypass("shop")));
    }

    #[test]
    fn a_rule_for_a_user_or_group_does_not_bind_the_host() {
        let pods = json!({"verb": "list", "resource": "pods"});
        let mut access = access(&[rule("jane", &pods, false)]);
        access
            .learn(&json!({"spec": {"groups": ["ops"], "resourceAttributes": pods}, "status": {"allowed": false}}))
            .unwrap();
        assert!(allowed(&access, Who::Host, pods.clone()));
        let groups = ["ops".to_owned()];
        assert!(!allowed(&access, Who::Subject { user: "joe", groups: &groups }, pods.clone()));
        assert!(allowed(&access, Who::Subject { user: "joe", groups: &[] }, pods));
    }

    #[test]
    fn a_rule_without_verdict_is_refused() {
        let error = Access::default()
            .learn(&json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}, "status": {}}));
        assert_eq!(error.unwrap_err(), "the SubjectAccessReview has no status.allowed; set it to true or false");
    }
}
