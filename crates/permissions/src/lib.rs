//! Who may do what in a made-up cluster: `SubjectAccessReview` documents as a rulebook.
//!
//! A document with `spec.resourceAttributes` and `status` answers every question it matches; where several match, the
//! most specific does, and among equals the last. `*` matches anything, an absent user, namespace or name does, too;
//! an absent group is the core group and an absent subresource is none, as in Kubernetes. Documents that name neither
//! user nor groups also govern what the host itself may get and list. Where no document matches, everybody may get,
//! list and watch, and nobody anything else.

use std::borrow::Cow;

use autoscaler_guard_reading::Json;

/// The rulebook.
#[derive(Debug, Clone, Default)]
pub struct Permissions {
    reviews: Vec<String>,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub enum Who<'q> {
    /// The host, for its own lookups.
    Host,
    /// Somebody that the policy asks about.
    Subject {
        /// The user's name.
        user: &'q str,
        /// The groups.
        groups: &'q [&'q str],
    },
}

/// What is to be done. Absent parts are empty: the core group, all namespaces, any name, no subresource.
#[derive(Debug, Clone, Copy, Default)]
pub struct Action<'q> {
    /// What to do: `get`, `list`, `delete`.
    pub verb: &'q str,
    /// The API group.
    pub group: &'q str,
    /// The resource, in plural and lower case: `deployments`.
    pub resource: &'q str,
    /// The subresource: `scale`.
    pub subresource: &'q str,
    /// The namespace.
    pub namespace: &'q str,
    /// The object's name.
    pub name: &'q str,
}

impl Action<'_> {
    /// The API server's words for a missing permission.
    pub fn forbidden(&self, user: &str) -> String {
        let Self { verb, group, resource, namespace, name, .. } = self;
        let dot = if group.is_empty() { "" } else { "." };
        let object = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
        let scope = if namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{namespace}\"")
        };
        format!(
            "{resource}{dot}{group}{object} is forbidden: User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {scope}"
        )
    }
}

impl Permissions {
    /// Adds a `SubjectAccessReview`, given as JSON text.
    ///
    /// # Errors
    /// It says nothing about anybody: what it lacks.
    pub fn learn(&mut self, review: &str) -> Result<(), String> {
        let document = Json::new(review);
        let allowed = document.at(&["status", "allowed"]).map_or("", Json::text);
        if !["true", "false"].contains(&allowed) {
            return Err("the SubjectAccessReview has no status.allowed; set it to true or false".to_owned());
        }
        for field in ["verb", "resource"] {
            if document.word(&["spec", "resourceAttributes", field]).is_none() {
                return Err(format!("the SubjectAccessReview has no spec.resourceAttributes.{field}; add it"));
            }
        }
        self.reviews.push(review.to_owned());
        Ok(())
    }

    /// Whether there are no documents, so that everybody may look at everything.
    pub fn is_empty(&self) -> bool {
        self.reviews.is_empty()
    }

    /// Whether the action is permitted.
    pub fn allow(&self, who: Who<'_>, action: &Action<'_>) -> bool {
        match self.deciding(who, action) {
            Some(review) => review.is_true(&["status", "allowed"]),
            None => reads(action),
        }
    }

    /// The answer, a `SubjectAccessReview`'s `status`, as JSON text.
    pub fn status(&self, who: Who<'_>, action: &Action<'_>) -> Cow<'_, str> {
        let decided = self.deciding(who, action).and_then(|review| review.at(&["status"]));
        let otherwise = || format!(r#"{{"allowed":{}}}"#, reads(action));
        decided.map_or_else(|| Cow::Owned(otherwise()), |status| Cow::Borrowed(status.text()))
    }

    fn deciding(&self, who: Who<'_>, action: &Action<'_>) -> Option<Json<'_>> {
        let reviews = self.reviews.iter().map(|review| Json::new(review));
        let matching =
            reviews.filter_map(|review| Some((concerns(review, who)? + specificity(review, action)?, review)));
        matching.max_by_key(|(specificity, _)| *specificity).map(|(_, review)| review)
    }
}

/// What everybody may where no document says otherwise.
fn reads(action: &Action<'_>) -> bool {
    matches!(action.verb, "get" | "list" | "watch")
}

/// How much of who asks a document names; none if it is about somebody else.
fn concerns(review: Json<'_>, who: Who<'_>) -> Option<u32> {
    let (named, wanted) = (review.string(&["spec", "user"]).unwrap_or_default(), review.items(&["spec", "groups"]));
    let Who::Subject { user, groups } = who else {
        return (named.is_empty() && wanted.is_empty()).then_some(0);
    };
    let is_member = |group: &Json<'_>| group.string(&[]).is_some_and(|group| groups.contains(&group.as_ref()));
    let in_group = wanted.is_empty() || wanted.iter().any(is_member);
    let named = any_if_empty(&named, user)?;
    in_group.then_some(named + u32::from(!wanted.is_empty()))
}

/// How much of the action a document names; none if it is about something else.
fn specificity(review: Json<'_>, action: &Action<'_>) -> Option<u32> {
    let field = |name| review.string(&["spec", "resourceAttributes", name]).unwrap_or_default();
    let parts = [
        exact(&field("verb"), action.verb),
        exact(&field("group"), action.group),
        exact(&field("resource"), action.resource),
        exact(&field("subresource"), action.subresource),
        any_if_empty(&field("namespace"), action.namespace),
        any_if_empty(&field("name"), action.name),
    ];
    parts.into_iter().sum()
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
    use serde_json::{Value, json};

    use super::*;

    fn rule(user: &str, attributes: &Value, allowed: bool) -> Value {
        json!({"spec": {"user": user, "resourceAttributes": attributes}, "status": {"allowed": allowed}})
    }

    fn permissions(rules: &[Value]) -> Permissions {
        let mut permissions = Permissions::default();
        for rule in rules {
            permissions.learn(&rule.to_string()).unwrap();
        }
        permissions
    }

    const JANE: Who<'_> = Who::Subject { user: "jane", groups: &[] };
    const JOE: Who<'_> = Who::Subject { user: "joe", groups: &[] };
    const LIST_PODS: Action<'_> =
        Action { verb: "list", group: "", resource: "pods", subresource: "", namespace: "", name: "" };

    fn bypass(namespace: &str) -> Action<'_> {
        Action { verb: "bypass", group: "autoscaler-guard", resource: "hpa-deleted", namespace, ..Action::default() }
    }

    #[test]
    fn without_rules_reading_is_allowed_and_nothing_else() {
        let permissions = Permissions::default();
        assert!(permissions.allow(JANE, &LIST_PODS));
        assert!(!permissions.allow(JANE, &bypass("")));
    }

    #[test]
    fn the_most_specific_rule_answers() {
        let permissions = permissions(&[
            rule("", &json!({"verb": "bypass", "group": "autoscaler-guard", "resource": "hpa-deleted"}), true),
            rule("jane", &json!({"verb": "*", "group": "*", "resource": "*"}), false),
            rule(
                "jane",
                &json!({"verb": "bypass", "group": "autoscaler-guard", "resource": "*", "namespace": "shop"}),
                false,
            ),
        ]);
        assert!(permissions.allow(JANE, &bypass("bank")));
        assert!(!permissions.allow(JANE, &bypass("shop")));
        assert!(permissions.allow(JOE, &bypass("shop")));
        assert_eq!(permissions.status(JOE, &bypass("shop")), r#"{"allowed":true}"#);
        assert_eq!(permissions.status(JOE, &LIST_PODS), r#"{"allowed":true}"#);
    }

    #[test]
    fn a_rule_for_a_user_or_group_does_not_bind_the_host() {
        let pods = json!({"verb": "list", "resource": "pods"});
        let of_ops = json!({"spec": {"groups": ["ops"], "resourceAttributes": pods}, "status": {"allowed": false}});
        let permissions = permissions(&[rule("jane", &pods, false), of_ops]);
        assert!(permissions.allow(Who::Host, &LIST_PODS));
        assert!(!permissions.allow(Who::Subject { user: "joe", groups: &["ops"] }, &LIST_PODS));
        assert!(permissions.allow(JOE, &LIST_PODS));
    }

    #[test]
    fn a_rule_without_verdict_or_action_is_refused() {
        let refused = |review: Value| Permissions::default().learn(&review.to_string()).unwrap_err();
        assert_eq!(
            refused(json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}, "status": {}})),
            "the SubjectAccessReview has no status.allowed; set it to true or false"
        );
        assert_eq!(
            refused(json!({"spec": {"resourceAttributes": {"verb": "get"}}, "status": {"allowed": true}})),
            "the SubjectAccessReview has no spec.resourceAttributes.resource; add it"
        );
    }
}
