//! A cluster in memory, read from files: what `kubectl get -o yaml` prints, or a folder of manifests.
//!
//! It answers like policy-server in front of a cluster with just these objects. A kind without objects is served and
//! empty. An object that lacks a namespace is in `default`, as `kubectl apply` would have put it, unless its kind is
//! cluster-scoped; whether it is, a `CustomResourceDefinition` in the snapshot says best. Nothing is converted: an
//! object stored as `autoscaling/v1` and asked for as `autoscaling/v2` is answered as it is.
//!
//! What may go wrong in a cluster can be had here, too, by documents in the files:
//!
//! | document | effect |
//! |---|---|
//! | `authorization.k8s.io/v1` `SubjectAccessReview` with `status.allowed` | answers `can_i`; without a user it governs
//! the host's own gets and lists |
//! | `apiextensions.k8s.io/v1` `CustomResourceDefinition` | scope, resource name and served versions of its kind |
//! | `autoscaler-guard/v1` `NotServed` with `spec: {apiVersion, kind}` | the API server does not know the kind |
//! | `autoscaler-guard/v1` `NotGranted` with `spec: {apiVersion, kind}` | the policy was not granted access to the kind
//! |
//!
//! Lists need both `list` and `watch`. Without them policy-server never answers; a snapshot says so instead.

mod read;
mod schema;
mod store;

use std::io;
use std::path::{Path, PathBuf};

use autoscaler_guard_permissions::{Action, Permissions, Who};
use serde_json::Value;

use self::schema::Schema;
use self::store::{Address, Store};
use crate::documents::{Document, Origin, at};
use crate::lookup::{ResourceAttributes, group_of};
use crate::selector::Selector;
use crate::view::{self, Mask, Place, View};
use crate::{CanI, Capabilities, Get, List, Lookup, wording};

/// The account whose lookups a snapshot answers, as policy-server's chart calls it.
const POLICY_SERVER: &str = "system:serviceaccount:kubewarden:policy-server";

/// Objects by address, and what is known of their API server.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    store: Store,
    schema: Schema,
    permissions: Permissions,
}

/// Why a snapshot cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A file or folder cannot be opened.
    #[error("{} cannot be read: {cause}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A document is neither YAML nor JSON.
    #[error("{origin}: {reason}{}; correct the document or leave the file out", at(*position))]
    Syntax {
        /// The document.
        origin: Origin,
        /// The line and column in the file, from 1.
        position: Option<(usize, usize)>,
        /// What the parser says.
        reason: String,
    },
    /// A document is no Kubernetes object, or one that cannot be used.
    #[error("{origin}: {reason}")]
    Unusable {
        /// The document.
        origin: Origin,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// Two objects of one name are no cluster: whichever counted, the other would be a silent mistake.
fn twice(object: &Value) -> String {
    let field = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, namespace, name) = (field("/kind"), field("/metadata/namespace"), field("/metadata/name"));
    let slash = if namespace.is_empty() { "" } else { "/" };
    format!("{kind} {namespace}{slash}{name} was there before; leave one of the two out")
}

impl Snapshot {
    /// Reads files, and all `*.yaml`, `*.yml` and `*.json` files in folders and below.
    pub fn from_paths<P: AsRef<Path>>(paths: &[P]) -> Result<Self, SnapshotError> {
        Self::from_documents(read::paths(paths)?)
    }

    /// Reads a text, YAML or JSON; `source` is what errors call it.
    pub fn from_text(source: &str, text: &str) -> Result<Self, SnapshotError> {
        Self::from_documents(read::text(source, text)?)
    }

    /// Takes objects; errors count them as items of `objects`.
    pub fn from_objects(objects: Vec<Value>) -> Result<Self, SnapshotError> {
        let origin = |index| Origin { source: "objects".into(), document: None, item: Some(index + 1) };
        let numbered = objects.into_iter().enumerate();
        Self::from_documents(numbered.map(|(index, value)| Document { origin: origin(index), value }).collect())
    }

    fn from_documents(documents: Vec<Document>) -> Result<Self, SnapshotError> {
        let mut snapshot = Self::default();
        // Definitions first: they say where objects without a namespace belong.
        for document in &documents {
            snapshot.schema.learn(&document.value);
        }
        for Document { origin, value } in documents {
            match snapshot.insert(value) {
                Ok(None) => {}
                Ok(Some(twin)) => return Err(SnapshotError::Unusable { origin, reason: twice(&twin) }),
                Err(reason) => return Err(SnapshotError::Unusable { origin, reason }),
            }
        }
        Ok(snapshot)
    }

    /// Adds an object or a document of the table above, or replaces the object of that name and returns it; the error
    /// says what is wrong with it, and what to do.
    pub fn insert(&mut self, mut object: Value) -> Result<Option<Value>, String> {
        let (api_version, kind) = (text(&object, "/apiVersion")?, text(&object, "/kind")?);
        match (group_of(&api_version), kind.as_str()) {
            ("authorization.k8s.io", "SubjectAccessReview") => {
                return self.permissions.learn(&object.to_string()).map(|()| None);
            }
            ("autoscaler-guard", _) => return self.insert_condition(&kind, &object).map(|()| None),
            // How kustomize is to put files together is no object of a cluster.
            ("kustomize.config.k8s.io", _) => return Ok(None),
            _ => self.schema.learn(&object),
        }
        let name = text(&object, "/metadata/name")?;
        let namespace = self.place(&api_version, &kind, &mut object);
        let address = Address { api_version: &api_version, kind: &kind, namespace: &namespace, name: &name };
        Ok(self.store.insert(address, object))
    }

    fn insert_condition(&mut self, condition: &str, document: &Value) -> Result<(), String> {
        let (api_version, kind) = (text(document, "/spec/apiVersion")?, text(document, "/spec/kind")?);
        match condition {
            "NotServed" => self.schema.not_served(&api_version, &kind),
            "NotGranted" => self.schema.not_granted(&api_version, &kind),
            other => return Err(format!("autoscaler-guard/v1 has no kind {other}; use NotServed or NotGranted")),
        }
        Ok(())
    }

    /// The namespace that an object is kept in, written into it where it is missing.
    fn place(&self, api_version: &str, kind: &str, object: &mut Value) -> String {
        if !self.schema.is_namespaced(api_version, kind) {
            return String::new();
        }
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).filter(|name| !name.is_empty());
        let namespace = namespace.unwrap_or("default").to_owned();
        object["metadata"]["namespace"] = Value::from(namespace.as_str());
        namespace
    }

    /// Removes an object; `namespace` counts for namespaced kinds only.
    pub fn remove(&mut self, api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Option<Value> {
        let namespace = if self.schema.is_namespaced(api_version, kind) { namespace.unwrap_or("default") } else { "" };
        self.store.remove(Address { api_version, kind, namespace, name })
    }

    /// Makes the API server not know a kind, as if its operator were not installed.
    pub fn not_served(&mut self, api_version: &str, kind: &str) {
        self.schema.not_served(api_version, kind);
    }

    /// Makes the host refuse lookups of a kind, as if `contextAwareResources` did not list it.
    pub fn not_granted(&mut self, api_version: &str, kind: &str) {
        self.schema.not_granted(api_version, kind);
    }

    /// Whether nothing was said about the cluster at all.
    pub fn is_empty(&self) -> bool {
        self.objects().next().is_none() && self.schema.is_empty() && self.permissions.is_empty()
    }

    /// Whether the API server serves a kind.
    pub fn serves(&self, api_version: &str, kind: &str) -> bool {
        self.schema.is_served(api_version, kind)
    }

    /// Why the objects of a kind may not be listed; none where they may.
    pub fn why_unread(&self, api_version: &str, kind: &str) -> Option<String> {
        if !self.schema.is_granted(api_version, kind) {
            return Some("access to the kind was not granted".to_owned());
        }
        let refused = self.permit("list", api_version, kind, "", "").err()?;
        Some(wording::in_words(&refused).to_owned())
    }

    /// All objects by group, kind, version, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.store.objects()
    }

    fn get(&self, get: &Get) -> Result<Vec<u8>, String> {
        let Get { api_version, kind, name, namespace, .. } = get;
        self.check(api_version, kind)?;
        let namespaced = self.schema.is_namespaced(api_version, kind);
        let within = match (namespaced, namespace) {
            (true, None) => return Err(wording::namespace_wanted(api_version, kind)),
            (true, Some(namespace)) => namespace,
            (false, _) => "",
        };
        self.permit("get", api_version, kind, within, name)?;
        let found = self.store.get(Address { api_version, kind, namespace: within, name });
        let object = found.ok_or_else(|| wording::missing_object(api_version, kind, name, namespace.as_deref()))?;
        view::write(&View { object, mask: &Mask::new(get.field_masks.as_ref()), place: Place::Alone })
    }

    fn list(&self, list: &List) -> Result<Vec<u8>, String> {
        let List { api_version, kind, namespace, .. } = list;
        self.check(api_version, kind)?;
        if namespace.is_some() && !self.schema.is_namespaced(api_version, kind) {
            return Err(wording::cluster_wide(api_version, kind));
        }
        for verb in ["list", "watch"] {
            self.permit(verb, api_version, kind, namespace.as_deref().unwrap_or_default(), "")
                .map_err(|failure| never_answered(&failure))?;
        }
        let selector = Selector::parse(list.label_selector.as_deref(), list.field_selector.as_deref())
            .map_err(|reason| wording::client_failure(&wording::bad_request(&reason)))?;
        let mask = Mask::new(list.field_masks.as_ref());
        let objects = self.store.list(api_version, kind, namespace.as_deref()).into_iter();
        let place = listed(api_version);
        let items = objects.filter(|object| selector.matches(object)).map(|object| View { object, mask: &mask, place });
        view::write_list(api_version, kind, items)
    }

    fn can_i(&self, can_i: &CanI) -> Vec<u8> {
        let review = &can_i.subject_access_review;
        let groups: Vec<&str> = review.groups.iter().flatten().map(String::as_str).collect();
        let who = Who::Subject { user: &review.user, groups: &groups };
        let ResourceAttributes { verb, group, resource, subresource, namespace, name, .. } =
            &review.resource_attributes;
        let action = Action { verb, group, resource, subresource, namespace, name };
        self.permissions.status(who, &action).into_owned().into_bytes()
    }

    /// Refuses a kind that is not granted or not served.
    fn check(&self, api_version: &str, kind: &str) -> Result<(), String> {
        if !self.schema.is_granted(api_version, kind) {
            return Err(wording::not_granted(api_version, kind));
        }
        if self.schema.is_served(api_version, kind) {
            return Ok(());
        }
        if schema::is_built_in(api_version) || self.store.has_version(api_version) {
            return Err(wording::missing_kind(api_version, kind));
        }
        Err(wording::undiscovered(api_version, kind, &wording::page_not_found()))
    }

    /// Refuses what the host itself is not permitted.
    fn permit(&self, verb: &str, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<(), String> {
        if self.permissions.is_empty() {
            return Ok(());
        }
        let (group, resource) = (group_of(api_version), self.schema.plural(api_version, kind));
        let action = Action { verb, group, resource: &resource, namespace, name, ..Action::default() };
        if self.permissions.allow(Who::Host, &action) {
            return Ok(());
        }
        Err(wording::client_failure(&wording::forbidden(&action.forbidden(POLICY_SERVER))))
    }
}

impl Capabilities for Snapshot {
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        match Lookup::parse(operation, request)? {
            Lookup::Get(get) => self.get(&get),
            Lookup::List(list) => self.list(&list),
            Lookup::CanI(can_i) => Ok(self.can_i(&can_i)),
        }
    }
}

/// The API server omits `apiVersion` and `kind` from the items of lists, except of custom resources.
fn listed(api_version: &str) -> Place {
    if schema::is_built_in(api_version) { Place::ListedUntyped } else { Place::Listed }
}

fn never_answered(failure: &str) -> String {
    format!("{failure}\n\nIn a cluster this list would never be answered: ask can_i for list and watch first.")
}

fn text(object: &Value, pointer: &str) -> Result<String, String> {
    let field = pointer.trim_start_matches('/').replace('/', ".");
    let found = object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    found.map(ToOwned::to_owned).ok_or_else(|| {
        format!("this is no Kubernetes object, since it has no {field}; add one or leave the document out")
    })
}

#[cfg(test)]
mod tests;
