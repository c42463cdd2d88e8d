//! Argo CD's own record of what it manages: the Application (`argoproj.io/v1alpha1`).
//!
//! At every DELETE of a sync `status.resources` is that of the revision being synced, once its revision is the
//! operation's: the controller sets the operation before it writes the status (argoproj/argo-cd,
//! controller/appcontroller.go, `autoSync`, `persistAppStatus`).

use std::borrow::Cow;

use autoscaler_guard_reading::{Json, Object};

use super::mark::Application;
use super::writer::service_account;
use crate::cluster::{Presence, api};
use crate::context::Context;

const FIELDS: &[&str] = &["operation", "status.operationState", "status.resources", "status.sync"];

/// An Application.
#[derive(Clone, Debug)]
pub struct Record<'a>(Object<'a>);

/// An object that an Application declares or is about to prune.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a>(Json<'a>);

impl<'a> Record<'a> {
    /// Looks up the Application: in the namespace that its mark names, else in that of the controller that asks.
    pub fn look_up(context: &Context<'a>, application: &Application) -> Presence<Self> {
        let controllers = service_account(context).filter(|(_, name)| name.contains("application-controller"));
        let namespace = match application.namespace.as_str() {
            "" => controllers.map_or("argocd", |(namespace, _)| namespace),
            namespace => namespace,
        };
        context.neighbours.get(&api::APPLICATION, namespace, &application.name, FIELDS).map(Self)
    }

    /// The namespace that it is in.
    pub fn namespace(&self) -> Cow<'a, str> {
        self.0.metadata.namespace.clone()
    }

    /// Whether it is being deleted, and all its resources with it.
    pub fn is_terminating(&self) -> bool {
        self.0.metadata.is_terminating()
    }

    /// Its resources, if they are those of the revision that is being synced.
    pub fn synced_resources(&self) -> Option<Vec<Resource<'a>>> {
        let (sync, status) = (self.sync()?, self.0.status());
        let current = ["revision", "revisions"].iter().any(|field| {
            let of = sync.at(&[field]).map(Json::text);
            of.is_some() && of == status.at(&["sync", field]).map(Json::text)
        });
        current.then(|| self.resources())
    }

    /// All its resources.
    pub fn resources(&self) -> Vec<Resource<'a>> {
        self.0.status().items(&["resources"]).into_iter().map(Resource).collect()
    }

    /// The sync that is under way.
    fn sync(&self) -> Option<Json<'a>> {
        let status = self.0.status();
        let running = status.string(&["operationState", "phase"]).as_deref() == Some("Running");
        let asked = Json::new(self.0.text()).at(&["operation", "sync"]);
        asked.or_else(|| status.at(&["operationState", "operation", "sync"]).filter(|_| running))
    }

    /// Whether the sync under way is to write that resource: not yet written, and not left out by a sync of some
    /// resources only.
    pub fn will_write(&self, resource: Resource<'a>) -> bool {
        let chosen = self.sync().map(|sync| sync.items(&["resources"])).unwrap_or_default();
        let done = self.0.status().items(&["operationState", "syncResult", "resources"]);
        resource.is_out_of_sync()
            && (chosen.is_empty() || chosen.iter().any(|one| resource.is(one)))
            && !done.iter().any(|one| resource.is(one) && one.string(&["status"]).as_deref() == Some("Synced"))
    }
}

impl<'a> Resource<'a> {
    fn field(self, name: &str) -> Cow<'a, str> {
        self.0.string(&[name]).unwrap_or_default()
    }

    /// Whether it is that object.
    pub fn is_at(self, group: &str, kind: &str, namespace: &str, name: &str) -> bool {
        self.field("group") == group
            && self.field("kind") == kind
            && self.field("namespace") == namespace
            && self.field("name") == name
    }

    fn is(self, other: &Json<'_>) -> bool {
        ["group", "kind", "name"].iter().all(|field| self.field(field) == other.string(&[field]).unwrap_or_default())
    }

    /// Its kind.
    pub fn kind(self) -> Cow<'a, str> {
        self.field("kind")
    }

    /// Its namespace.
    pub fn namespace(self) -> Cow<'a, str> {
        self.field("namespace")
    }

    /// Its name.
    pub fn name(self) -> Cow<'a, str> {
        self.field("name")
    }

    /// Whether it is an HPA or a ScaledObject.
    pub fn is_autoscaler(self) -> bool {
        matches!(
            (self.field("group").as_ref(), self.field("kind").as_ref()),
            ("autoscaling", "HorizontalPodAutoscaler") | ("keda.sh", "ScaledObject")
        )
    }

    /// Whether it is declared no more and is about to be deleted.
    pub fn is_pruned(self) -> bool {
        self.0.is_true(&["requiresPruning"])
    }

    /// Whether it differs from what is declared, or is not there yet.
    pub fn is_out_of_sync(self) -> bool {
        self.field("status") == "OutOfSync"
    }
}
