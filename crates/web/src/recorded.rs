//! Lookups in words, the same words as in `autoscaler-guard review --output json`.

use std::cell::RefCell;

use autoscaler_guard::cluster::{Access, ApiKind, Cluster, List, Presence};
use autoscaler_guard_reading::Json;

use crate::Lookup;

/// Answers as the cluster inside does, and keeps what was asked and answered.
pub(crate) struct Recorded<'c> {
    inner: &'c dyn Cluster,
    lookups: RefCell<Vec<Lookup>>,
}

impl<'c> Recorded<'c> {
    pub(crate) fn new(inner: &'c dyn Cluster) -> Self {
        Self { inner, lookups: RefCell::default() }
    }

    /// The lookups, oldest first.
    pub(crate) fn take(self) -> Vec<Lookup> {
        self.lookups.into_inner()
    }

    fn keep<T>(&self, lookup: String, answer: Presence<T>, word: impl FnOnce(&T) -> String) -> Presence<T> {
        let (outcome, failed) = match &answer {
            Presence::Found(found) => (word(found), false),
            Presence::Absent => ("absent".to_owned(), false),
            Presence::Unknown(reason) => (reason.to_string(), true),
        };
        self.lookups.borrow_mut().push(Lookup { lookup, outcome, failed });
        answer
    }
}

impl Cluster for Recorded<'_> {
    fn get(&self, kind: &ApiKind<'_>, namespace: Option<&str>, name: &str, fields: &[&str]) -> Presence<String> {
        let within = namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let question = format!("get {} {} {within}{name}", kind.api_version, kind.kind);
        self.keep(question, self.inner.get(kind, namespace, name, fields), |_| "found".to_owned())
    }

    fn list(&self, query: &List<'_>) -> Presence<String> {
        let within =
            query.namespace.map_or_else(|| "all namespaces".to_owned(), |namespace| format!("namespace {namespace}"));
        let question = format!("list {} {} in {within}", query.kind.api_version, query.kind.kind);
        self.keep(question, self.inner.list(query), |list| match Json::new(list).items(&["items"]).len() {
            1 => "1 object".to_owned(),
            count => format!("{count} objects"),
        })
    }

    fn can_i(&self, access: &Access<'_>) -> Presence<bool> {
        let mut question = format!("may {} {} {}", access.user, access.verb, access.resource);
        for (part, before) in [(access.group, "."), (access.namespace.unwrap_or_default(), " in ")] {
            if !part.is_empty() {
                question = question + before + part;
            }
        }
        self.keep(question, self.inner.can_i(access), |allowed| if *allowed { "yes" } else { "no" }.to_owned())
    }
}
