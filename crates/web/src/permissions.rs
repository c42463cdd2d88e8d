//! Who may do what: `SubjectAccessReview` documents as a rulebook, read as `autoscaler-guard review --cluster` reads them.
//!
//! A document with `spec.resourceAttributes` and `status` answers every question it matches; where several match, the most specific
//! does, and among equals the last. `*` matches anything, an absent user, namespace or name does, too. Documents that name neither user
//! nor groups also govern look-ups. Where no document matches, everybody may get, list and watch, and nobody anything else.

use autoscaler_guard::json::Json;

/// What is to be done.
pub(crate) struct Action<'q> {
    pub(crate) verb: &'q str,
    pub(crate) group: &'q str,
    pub(crate) resource: &'q str,
    pub(crate) namespace: &'q str,
    pub(crate) name: &'q str,
}

/// The rulebook.
#[derive(Default)]
pub(crate) struct Permissions<'a> {
    reviews: Vec<Json<'a>>,
}

impl<'a> Permissions<'a> {
    /// Adds a document; the error says what it lacks.
    pub(crate) fn learn(&mut self, review: Json<'a>) -> Result<(), String> {
        let allowed = review.at(&["status", "allowed"]).map_or("", Json::text);
        if !["true", "false"].contains(&allowed) {
            return Err("the SubjectAccessReview has no status.allowed; set it to true or false".to_owned());
        }
        let attributes = &["spec", "resourceAttributes"];
        for field in ["verb", "resource"] {
            if review.at(attributes).is_none_or(|attributes| attributes.word(&[field]).is_none()) {
                return Err(format!("the SubjectAccessReview has no spec.resourceAttributes.{field}; add it"));
            }
        }
        self.reviews.push(review);
        Ok(())
    }

    /// Whether a look-up is permitted.
    pub(crate) fn are_granted_to_everybody(&self, action: &Action<'_>) -> bool {
        let general = |review: &&Json<'_>| {
            review.word(&["spec", "user"]).is_none() && review.items(&["spec", "groups"]).is_empty()
        };
        decided(self.reviews.iter().filter(general), action, |_| Some(0))
    }

    /// Whether somebody may do it.
    pub(crate) fn are_granted_to(&self, user: &str, groups: &[&str], action: &Action<'_>) -> bool {
        decided(self.reviews.iter(), action, |review| concerns(review, user, groups))
    }
}

/// What the most specific document says.
fn decided<'r, 'a: 'r>(
    reviews: impl Iterator<Item = &'r Json<'a>>,
    action: &Action<'_>,
    concerns: impl Fn(Json<'a>) -> Option<u32>,
) -> bool {
    let matching = reviews.filter_map(|review| Some((concerns(*review)? + specificity(*review, action)?, review)));
    match matching.max_by_key(|(specificity, _)| *specificity) {
        Some((_, review)) => review.is_true(&["status", "allowed"]),
        None => ["get", "list", "watch"].contains(&action.verb),
    }
}

/// How much of who asks a document names; none if it is about somebody else.
fn concerns(review: Json<'_>, user: &str, groups: &[&str]) -> Option<u32> {
    let named = any_if_empty(&review.string(&["spec", "user"]).unwrap_or_default(), user)?;
    let wanted = review.items(&["spec", "groups"]);
    let is_member = |group: &Json<'_>| group.string(&[]).is_some_and(|group| groups.contains(&group.as_ref()));
    let in_group = wanted.is_empty() || wanted.iter().any(is_member);
    in_group.then_some(named + u32::from(!wanted.is_empty()))
}

/// How much of the action a document names; none if it is about something else.
fn specificity(review: Json<'_>, action: &Action<'_>) -> Option<u32> {
    let field = |name| review.string(&["spec", "resourceAttributes", name]).unwrap_or_default();
    let parts = [
        exact(&field("verb"), action.verb),
        exact(&field("group"), action.group),
        exact(&field("resource"), action.resource),
        exact(&field("subresource"), ""),
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
