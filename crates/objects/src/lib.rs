//! A cluster that is an array of objects: what is in it is there, everything else is absent.
//!
//! For hosts without files and field masks: the browser, the fuzz targets and the benches. Objects stay text, as the
//! core reads them. An object without a namespace is cluster-scoped. Nothing is converted: an object of another version
//! of its group is answered as it is. Beside objects there may be the documents that `autoscaler-guard review
//! --cluster` knows, for what may go wrong in a cluster: `SubjectAccessReview` (see `autoscaler_guard_permissions`),
//! and `NotServed` and `NotGranted` of `autoscaler-guard/v1`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use autoscaler_guard::cluster::{Access, ApiKind, Cluster, List, Presence, Reason};
use autoscaler_guard_permissions::{Action, Permissions, Who};
use autoscaler_guard_reading::{Json, Metadata, Object, group_of};

/// Objects as text, in the order of namespace and name, as the API server lists them.
#[derive(Debug)]
pub struct Objects<'a> {
    stored: BTreeMap<Identity<'a>, &'a str>,
    conditions: Vec<Condition<'a>>,
    permissions: Permissions,
    account: &'a str,
}

/// Something that is wrong with the array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `cluster[3]`.
    pub path: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// What an object is known by in a cluster.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity<'a> {
    namespace: Cow<'a, str>,
    name: Cow<'a, str>,
    group: Cow<'a, str>,
    kind: Cow<'a, str>,
}

/// A kind that cannot be asked for.
#[derive(Debug)]
struct Condition<'a> {
    served: bool,
    api_version: Cow<'a, str>,
    kind: Cow<'a, str>,
}

impl<'a> Objects<'a> {
    /// A cluster without objects; `account` is who looks up.
    pub fn empty(account: &'a str) -> Self {
        Self { stored: BTreeMap::new(), conditions: Vec::new(), permissions: Permissions::default(), account }
    }

    /// Reads a JSON array of objects; `null` is an empty one.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(text: &'a str, account: &'a str) -> Result<Self, Vec<Problem>> {
        let problem = |problem: String| vec![Problem { path: "cluster".to_owned(), problem }];
        let json = Json::parse(text).map_err(|error| problem(format!("not JSON: {error}")))?;
        if json.text() != "null" && !json.text().starts_with('[') {
            return Err(problem("expected an array of objects".to_owned()));
        }
        let mut read = Self::empty(account);
        let outcomes = json.items(&[]).into_iter().enumerate().map(|(index, document)| {
            read.insert(document).map_err(|problem| Problem { path: format!("cluster[{index}]"), problem })
        });
        let problems: Vec<Problem> = outcomes.filter_map(Result::err).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(read)
    }

    /// Adds an object, or a document that says what goes wrong.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn insert(&mut self, document: Json<'a>) -> Result<(), String> {
        let (api_version, kind) = (word(document, &["apiVersion"])?, word(document, &["kind"])?);
        match (group_of(&api_version), kind.as_ref()) {
            ("authorization.k8s.io", "SubjectAccessReview") => self.permissions.learn(document.text()),
            ("autoscaler-guard", "NotServed" | "NotGranted") => {
                let (api_version, named) =
                    (word(document, &["spec", "apiVersion"])?, word(document, &["spec", "kind"])?);
                self.conditions.push(Condition { served: kind == "NotGranted", api_version, kind: named });
                Ok(())
            }
            ("autoscaler-guard", _) => {
                Err(format!("autoscaler-guard/v1 has no kind {kind}; use NotServed or NotGranted"))
            }
            (group, _) => {
                let group = Cow::Owned(group.to_owned());
                self.add(document, group, kind)
            }
        }
    }

    /// Two objects of one name are no cluster: whichever counted, the other would be a silent mistake.
    fn add(&mut self, document: Json<'a>, group: Cow<'a, str>, kind: Cow<'a, str>) -> Result<(), String> {
        let name = word(document, &["metadata", "name"])?;
        let namespace = document.string(&["metadata", "namespace"]).unwrap_or_default();
        match self.stored.entry(Identity { namespace, name, group, kind }) {
            Entry::Vacant(place) => {
                place.insert(document.text());
                Ok(())
            }
            Entry::Occupied(other) => {
                let Identity { namespace, name, kind, .. } = other.key();
                let slash = if namespace.is_empty() { "" } else { "/" };
                Err(format!("{kind} {namespace}{slash}{name} was there before; leave one of the two out"))
            }
        }
    }

    fn of_kind<'o>(&'o self, kind: &ApiKind<'_>) -> impl Iterator<Item = (&'o Identity<'a>, &'a str)> {
        let (group, kind) = (group_of(&kind.api_version).to_owned(), kind.kind.clone().into_owned());
        let objects = self.stored.iter().map(|(identity, text)| (identity, *text));
        objects.filter(move |(identity, _)| identity.group == group && identity.kind == kind)
    }

    /// Why a kind cannot be asked for at all.
    fn why_not(&self, kind: &ApiKind<'_>) -> Option<Reason> {
        let ApiKind { api_version, kind: name, .. } = kind;
        let condition =
            self.conditions.iter().find(|condition| condition.api_version == *api_version && condition.kind == *name);
        match condition {
            Some(Condition { served: true, .. }) => Some(Reason::Failed(format!(
                "Policy has not been granted access to Kubernetes {api_version}/{name} resources. The violation has been reported"
            ))),
            None if self.is_served(kind) => None,
            _ => Some(Reason::NotServed(format!("Cannot find resource {api_version}/{name}"))),
        }
    }

    /// A definition is believed; a kind without one is served.
    fn is_served(&self, kind: &ApiKind<'_>) -> bool {
        let group = group_of(&kind.api_version);
        let version = kind.api_version.rsplit('/').next().unwrap_or_default();
        let spec = self.definitions().find(|spec| {
            spec.string(&["group"]).as_deref() == Some(group)
                && spec.string(&["names", "kind"]).as_deref() == Some(&kind.kind)
        });
        spec.is_none_or(|spec| {
            spec.items(&["versions"]).into_iter().any(|found| {
                let unserved = found.at(&["served"]).is_some_and(|served| served.text() == "false");
                found.string(&["name"]).as_deref() == Some(version) && !unserved
            })
        })
    }

    fn definitions(&self) -> impl Iterator<Item = Json<'a>> {
        let definitions = self.stored.iter().filter(|(identity, _)| identity.kind == "CustomResourceDefinition");
        definitions.filter_map(|(_, text)| Json::new(text).at(&["spec"]))
    }

    /// Why a lookup is not permitted, in the API server's words.
    fn forbidden(&self, verb: &str, kind: &ApiKind<'_>, namespace: &str, name: &str) -> Option<Reason> {
        let (group, resource) = (group_of(&kind.api_version), plural(&kind.kind));
        let action = Action { verb, group, resource: &resource, namespace, name, ..Action::default() };
        let permitted = self.permissions.allow(Who::Host, &action);
        (!permitted).then(|| Reason::Failed(action.forbidden(self.account)))
    }
}

impl Cluster for Objects<'_> {
    fn get(&self, kind: &ApiKind<'_>, namespace: Option<&str>, name: &str, _fields: &[&str]) -> Presence<String> {
        let namespace = namespace.unwrap_or_default();
        if let Some(reason) = self.why_not(kind).or_else(|| self.forbidden("get", kind, namespace, name)) {
            return Presence::Unknown(reason);
        }
        let found = self.of_kind(kind).find(|(identity, _)| identity.name == name && identity.is_within(namespace));
        found.map_or(Presence::Absent, |(_, text)| Presence::Found(text.to_owned()))
    }

    fn list(&self, query: &List<'_>) -> Presence<String> {
        let namespace = query.namespace.unwrap_or_default();
        let forbidden = || ["list", "watch"].iter().find_map(|verb| self.forbidden(verb, query.kind, namespace, ""));
        if let Some(reason) = self.why_not(query.kind).or_else(forbidden) {
            return Presence::Unknown(reason);
        }
        let Some(labels) = query.labels() else {
            return Presence::Unknown(Reason::Failed("this cluster knows selectors of the form a=b,c only".to_owned()));
        };
        let within = |identity: &Identity<'_>| query.namespace.is_none_or(|namespace| identity.is_within(namespace));
        let matching =
            self.of_kind(query.kind).filter(|(identity, text)| within(identity) && has_labels(text, &labels));
        let items: Vec<&str> = matching.map(|(_, text)| text).collect();
        Presence::Found(format!("{{\"items\":[{}]}}", items.join(",")))
    }

    fn can_i(&self, access: &Access<'_>) -> Presence<bool> {
        let Access { user, groups, verb, group, resource, namespace } = access;
        let namespace = namespace.unwrap_or_default();
        let action = Action { verb, group, resource, namespace, ..Action::default() };
        Presence::Found(self.permissions.allow(Who::Subject { user, groups }, &action))
    }
}

impl<'a> Identity<'a> {
    /// That of an object which has been read.
    pub fn of(object: &'a Object<'_>) -> Self {
        let Metadata { namespace, name, .. } = &object.metadata;
        Self {
            namespace: Cow::Borrowed(namespace),
            name: Cow::Borrowed(name),
            group: Cow::Borrowed(group_of(&object.api_version)),
            kind: Cow::Borrowed(&object.kind),
        }
    }

    fn is_within(&self, namespace: &str) -> bool {
        self.namespace.is_empty() || self.namespace == namespace
    }
}

fn has_labels(object: &str, labels: &[(&str, Option<&str>)]) -> bool {
    let object = Json::new(object);
    labels.iter().all(|(key, wanted)| {
        let label = object.string(&["metadata", "labels", key]);
        label.is_some_and(|value| wanted.is_none_or(|wanted| value == wanted))
    })
}

fn word<'a>(document: Json<'a>, path: &[&str]) -> Result<Cow<'a, str>, String> {
    document.word(path).ok_or_else(|| {
        format!("this is no Kubernetes object, since it has no {}; add one or leave it out", path.join("."))
    })
}

/// The resource that RBAC knows a kind by.
fn plural(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ if kind.ends_with(['s', 'x', 'z']) || kind.ends_with("ch") || kind.ends_with("sh") => format!("{kind}es"),
        _ => kind + "s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let found = Objects::read(text, "me").err().unwrap_or_default();
        found.into_iter().map(|Problem { path, problem }| format!("{path}: {problem}")).collect()
    }

    #[test]
    fn each_problem_has_its_place() {
        assert_eq!(problems("null").len() + problems("[]").len(), 0);
        assert_eq!(problems("{}"), ["cluster: expected an array of objects"]);
        assert!(problems("[").first().is_some_and(|problem| problem.starts_with("cluster: not JSON")));
        let namespace = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}"#;
        assert_eq!(
            problems(&format!(r#"[3,{{"apiVersion":"v1"}},{namespace},{namespace}]"#)),
            [
                "cluster[0]: this is no Kubernetes object, since it has no apiVersion; add one or leave it out",
                "cluster[1]: this is no Kubernetes object, since it has no kind; add one or leave it out",
                "cluster[3]: Namespace shop was there before; leave one of the two out",
            ]
        );
    }

    #[test]
    fn plurals_are_those_that_rbac_uses() {
        for (kind, expected) in [
            ("HorizontalPodAutoscaler", "horizontalpodautoscalers"),
            ("EnvoyProxy", "envoyproxies"),
            ("GatewayClass", "gatewayclasses"),
            ("Gateway", "gateways"),
        ] {
            assert_eq!(plural(kind), expected);
        }
    }
}
