//! The one door to an object's neighbours.
//!
//! A host implements [`Cluster`]; rules ask through [`Neighbours`], which reads the answers, remembers them for the
//! request, and asks whether a list is permitted before it lists: a host without that permission would never answer
//! (Kubewarden's watch-backed lists).
//!
//! *Unknown* is never taken for absent. Each rule decides what an unknown means, and gives the reason.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use typed_arena::Arena;

use autoscaler_guard_reading::{Object, group_of};

/// What the cluster knows about a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence<T> {
    /// It exists.
    Found(T),
    /// It does not exist: the API server said so.
    Absent,
    /// Nobody knows, and why.
    Unknown(Reason),
}

/// Why something is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The API server does not serve the kind: its operator is not installed, or being removed.
    NotServed(String),
    /// Not permitted, or it failed; in the host's words.
    Failed(String),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotServed(text) | Self::Failed(text) => formatter.write_str(text),
        }
    }
}

impl<T> Presence<Vec<T>> {
    /// The first of a list that is wanted.
    pub fn find(self, wanted: impl Fn(&T) -> bool) -> Presence<T> {
        match self {
            Self::Found(list) => list.into_iter().find(wanted).map_or(Presence::Absent, Presence::Found),
            Self::Absent => Presence::Absent,
            Self::Unknown(reason) => Presence::Unknown(reason),
        }
    }
}

impl<T> Presence<T> {
    /// Whether the API server said that it does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// A kind that the API server does not serve has no objects: whether one is there is known then.
    #[must_use]
    pub fn unless_not_served(self) -> Self {
        if matches!(self, Self::Unknown(Reason::NotServed(_))) { Self::Absent } else { self }
    }

    /// Turns what was found into something else.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Presence<U> {
        match self {
            Self::Found(found) => Presence::Found(change(found)),
            Self::Absent => Presence::Absent,
            Self::Unknown(reason) => Presence::Unknown(reason),
        }
    }

    /// Reads what was found further; what cannot be read is unknown.
    pub fn read<U, E: std::fmt::Display>(self, read: impl FnOnce(T) -> Result<U, E>) -> Presence<U> {
        match self.map(read) {
            Presence::Found(Ok(value)) => Presence::Found(value),
            Presence::Found(Err(error)) => Presence::Unknown(Reason::Failed(error.to_string())),
            Presence::Absent => Presence::Absent,
            Presence::Unknown(reason) => Presence::Unknown(reason),
        }
    }
}

/// An API kind, as lookups and access reviews name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKind<'k> {
    /// `group/version`, or the version alone in the core group.
    pub api_version: Cow<'k, str>,
    /// The kind.
    pub kind: Cow<'k, str>,
    /// The resource's plural name, for access reviews; needed only for kinds that are listed.
    pub resource: &'static str,
}

impl ApiKind<'static> {
    const fn new(api_version: &'static str, kind: &'static str, resource: &'static str) -> Self {
        Self { api_version: Cow::Borrowed(api_version), kind: Cow::Borrowed(kind), resource }
    }
}

/// The kinds that rules ask for by name; a workload's kind comes from the reference to it.
pub mod api {
    use super::ApiKind;

    /// HorizontalPodAutoscaler, in the version that every supported cluster serves.
    pub static HORIZONTAL_POD_AUTOSCALER: ApiKind<'static> =
        ApiKind::new("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
    /// KEDA's ScaledObject.
    pub static SCALED_OBJECT: ApiKind<'static> = ApiKind::new("keda.sh/v1alpha1", "ScaledObject", "scaledobjects");
    /// Deployment: Envoy Gateway's fleets and its own controller.
    pub static DEPLOYMENT: ApiKind<'static> = ApiKind::new("apps/v1", "Deployment", "deployments");
    /// Namespace, asked for before any rejection.
    pub static NAMESPACE: ApiKind<'static> = ApiKind::new("v1", "Namespace", "namespaces");
    /// ConfigMap: Envoy Gateway's configuration, by name.
    pub static CONFIG_MAP: ApiKind<'static> = ApiKind::new("v1", "ConfigMap", "configmaps");
    /// Secret: the records of Helm's releases, only with setting `helm.readReleases`.
    pub static SECRET: ApiKind<'static> = ApiKind::new("v1", "Secret", "secrets");
    /// Flux's record of what it manages.
    pub static KUSTOMIZATION: ApiKind<'static> =
        ApiKind::new("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "kustomizations");
    /// Argo CD's record of what it manages.
    pub static APPLICATION: ApiKind<'static> = ApiKind::new("argoproj.io/v1alpha1", "Application", "applications");
    /// Envoy Gateway's EnvoyProxy.
    pub static ENVOY_PROXY: ApiKind<'static> =
        ApiKind::new("gateway.envoyproxy.io/v1alpha1", "EnvoyProxy", "envoyproxies");
    /// Gateway API's Gateway.
    pub static GATEWAY: ApiKind<'static> = ApiKind::new("gateway.networking.k8s.io/v1", "Gateway", "gateways");
    /// Gateway API's GatewayClass.
    pub static GATEWAY_CLASS: ApiKind<'static> =
        ApiKind::new("gateway.networking.k8s.io/v1", "GatewayClass", "gatewayclasses");

    /// All of them, in the order in which manifests grant them.
    pub static ALL: &[&ApiKind<'static>] = &[
        &HORIZONTAL_POD_AUTOSCALER,
        &SCALED_OBJECT,
        &GATEWAY,
        &GATEWAY_CLASS,
        &ENVOY_PROXY,
        &CONFIG_MAP,
        &DEPLOYMENT,
        &KUSTOMIZATION,
        &APPLICATION,
        &NAMESPACE,
        &SECRET,
    ];
}

/// Which objects a list should hold.
#[derive(Clone, Debug)]
pub struct List<'q> {
    /// Of which kind.
    pub kind: &'q ApiKind<'q>,
    /// In which namespace; `None` for the whole cluster.
    pub namespace: Option<&'q str>,
    /// Restricts by labels, in kubectl's notation.
    pub label_selector: Option<&'q str>,
    /// The fields to bring beside `metadata`, as dot paths.
    pub fields: &'q [&'q str],
}

impl<'q> List<'q> {
    /// The labels that the selector asks for, with any value where it names none; `None` where it asks for something
    /// else. For clusters in memory: an API server reads selectors by itself.
    pub fn labels(&self) -> Option<Vec<(&'q str, Option<&'q str>)>> {
        let is_key = |key: &&str| !key.is_empty() && !key.contains(['!', ' ', '(']);
        let label = |part: &'q str| match part.split_once('=') {
            Some((key, value)) => Some((key, Some(value))).filter(|(key, _)| is_key(key)),
            None => Some((part, None)).filter(|(key, _)| is_key(key)),
        };
        self.label_selector.map_or(Some(Vec::new()), |selector| selector.split(',').map(label).collect())
    }
}

/// Whether someone may do something: a SubjectAccessReview.
#[derive(Clone, Debug)]
pub struct Access<'q> {
    /// Who.
    pub user: &'q str,
    /// The groups that RBAC should count the user to.
    pub groups: Vec<&'q str>,
    /// What.
    pub verb: &'q str,
    /// To which API group.
    pub group: &'q str,
    /// To which resource.
    pub resource: &'q str,
    /// Where; `None` for the whole cluster.
    pub namespace: Option<&'q str>,
}

/// What a host answers about a cluster's objects. Answers are JSON text, read by whoever asked.
pub trait Cluster {
    /// One object by name, pruned to `fields` beside its metadata where the host can.
    fn get(&self, kind: &ApiKind<'_>, namespace: Option<&str>, name: &str, fields: &[&str]) -> Presence<String>;

    /// A list of objects, as the API server's List. Ask [`Cluster::can_i`] first: without permission this may never
    /// return.
    fn list(&self, query: &List<'_>) -> Presence<String>;

    /// Whether a user may do something; `Absent` is not an answer here.
    fn can_i(&self, access: &Access<'_>) -> Presence<bool>;
}

/// The most questions that one request may ask of the cluster: a request names its owners and targets, so it would
/// choose how many otherwise.
pub const MOST_QUESTIONS: usize = 64;

/// The neighbours of one request: typed, remembered, counted.
pub struct Neighbours<'a> {
    cluster: &'a dyn Cluster,
    texts: &'a Arena<String>,
    account: &'a str,
    remembered: RefCell<Vec<(String, Presence<Vec<Object<'a>>>)>>,
    lookups: Cell<usize>,
    questions: Cell<usize>,
}

impl std::fmt::Debug for Neighbours<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Neighbours({} lookups)", self.lookups.get())
    }
}

impl<'a> Neighbours<'a> {
    /// Neighbours out of `cluster`, whose texts live in `texts`; `account` is who makes the lookups (setting
    /// `lookups.serviceAccount`).
    pub fn new(cluster: &'a dyn Cluster, texts: &'a Arena<String>, account: &'a str) -> Self {
        Self { cluster, texts, account, remembered: RefCell::default(), lookups: Cell::new(0), questions: Cell::new(0) }
    }

    /// Keeps a text that was made of an answer for as long as the answers.
    pub fn keep(&self, text: String) -> &'a str {
        self.texts.alloc(text)
    }

    /// How many objects and lists were asked for so far.
    pub fn lookups(&self) -> usize {
        self.lookups.get()
    }

    /// One object. `fields` are what the caller reads beside metadata.
    pub fn get(&self, kind: &ApiKind<'_>, namespace: &str, name: &str, fields: &[&str]) -> Presence<Object<'a>> {
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        let place = namespace.unwrap_or_default();
        let key = format!("{} {} {place} {name} {}", kind.api_version, kind.kind, fields.join(","));
        let one = |text: &'a str| Object::from_text(text).map(|object| vec![object]).map_err(|error| error.to_string());
        let found = self.remember(key, || self.ask(|| self.cluster.get(kind, namespace, name, fields)).read(one));
        found.read(|mut objects| objects.pop().ok_or("the answer is no object"))
    }

    /// The objects of a list; one that cannot be read is left out, so it never counts as a second autoscaler.
    pub fn list(&self, query: &List<'_>) -> Presence<Vec<Object<'a>>> {
        let (place, selector) = (query.namespace.unwrap_or_default(), query.label_selector.unwrap_or_default());
        let key = format!("{} {} {place} * {selector}", query.kind.api_version, query.kind.kind);
        self.remember(key, || match self.why_not(query) {
            Some(reason) => Presence::Unknown(reason),
            None => self.ask(|| self.cluster.list(query)).read(Object::list),
        })
    }

    /// Why a list must not be asked for.
    fn why_not(&self, query: &List<'_>) -> Option<Reason> {
        ["list", "watch"].iter().find_map(|verb| match self.may(verb, query) {
            Presence::Found(true) => None,
            Presence::Found(false) | Presence::Absent => Some(Reason::Failed(self.not_permitted(verb, query))),
            Presence::Unknown(reason) => Some(reason),
        })
    }

    /// Whether `access` is granted; a cluster that does not know grants nothing.
    pub fn is_granted(&self, access: &Access<'_>) -> bool {
        self.question(|| self.cluster.can_i(access)) == Presence::Found(true)
    }

    fn may(&self, verb: &str, query: &List<'_>) -> Presence<bool> {
        let groups = service_account_groups(self.account);
        let groups = groups.iter().map(String::as_str).collect();
        let group = group_of(&query.kind.api_version);
        let access = Access {
            user: self.account,
            groups,
            verb,
            group,
            resource: query.kind.resource,
            namespace: query.namespace,
        };
        self.question(|| self.cluster.can_i(&access))
    }

    fn not_permitted(&self, verb: &str, query: &List<'_>) -> String {
        format!(
            "{} may not {verb} {} (see policies/rbac.yaml, or set lookups.serviceAccount)",
            self.account, query.kind.resource
        )
    }

    fn ask(&self, ask: impl FnOnce() -> Presence<String>) -> Presence<&'a str> {
        let counted = || {
            self.lookups.set(self.lookups.get() + 1);
            ask()
        };
        self.question(counted).map(|text| &**self.texts.alloc(text))
    }

    fn question<T>(&self, ask: impl FnOnce() -> Presence<T>) -> Presence<T> {
        if self.questions.get() >= MOST_QUESTIONS {
            return Presence::Unknown(Reason::Failed(format!("it would take more than {MOST_QUESTIONS} lookups")));
        }
        self.questions.set(self.questions.get() + 1);
        ask()
    }

    fn remember(&self, key: String, ask: impl FnOnce() -> Presence<Vec<Object<'a>>>) -> Presence<Vec<Object<'a>>> {
        if let Some((_, answer)) = self.remembered.borrow().iter().find(|(known, _)| *known == key) {
            return answer.clone();
        }
        let answer = ask();
        self.remembered.borrow_mut().push((key, answer.clone()));
        answer
    }
}

/// The groups that the API server gives a service account.
fn service_account_groups(account: &str) -> Vec<String> {
    let mut groups = vec!["system:authenticated".to_owned()];
    if let Some((namespace, _)) = account.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        groups.push("system:serviceaccounts".to_owned());
        groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_selectors_of_equality_and_of_keys_are_understood() {
        let labels = |label_selector| {
            List { kind: &api::DEPLOYMENT, namespace: None, label_selector: Some(label_selector), fields: &[] }.labels()
        };
        assert_eq!(labels("a=b,c"), Some(vec![("a", Some("b")), ("c", None)]));
        assert_eq!((labels("a!=b"), labels("a in (b)"), labels("!a")), (None, None, None));
    }
}
