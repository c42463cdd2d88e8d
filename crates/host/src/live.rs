//! A real cluster: lookups go to its API server, with the rights of whoever runs this.
//!
//! They are the requests that policy-server makes and fail with its words. Three things differ. What is asked for comes
//! from whoever made the request that is judged, so names are checked and encoded before they become part of a path. A
//! list that is not, or not yet, kept up to date by a watch ([`LiveOptions::watch`]) is asked for, so a missing
//! permission is an error and not an endless wait. And when a policy asks whether the policy server itself may do
//! something, it is the runner's own rights that matter here: [`LiveOptions::stands_for`] names the account for which
//! they stand in.

mod connect;
mod discovery;
mod pages;
mod rights;
mod watched;
mod write;

use std::{
    borrow::Cow,
    future::Future,
    path::PathBuf,
    sync::{Arc, OnceLock, mpsc},
    time::Duration,
};

use kube::{
    Client,
    core::{
        DynamicObject, Request, Resource,
        params::{GetParams, ListParams, PostParams},
    },
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

pub use self::connect::{ConnectError, client};
pub use self::pages::{Unlisted, Wanted};
pub use self::write::{Refused, Write, Writing};
use self::{
    discovery::{Discovery, Kind},
    rights::Rights,
    watched::Watches,
};
use crate::{
    Budget, CanI, Capabilities, Get, List, Lookup, WatchAge,
    view::{self, Mask, Place, View},
    wording,
};

/// Which cluster to ask, and by which account.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// The kubeconfig's context; its current one, or the cluster that this runs in, if none is named.
    pub context: Option<String>,
    /// The kubeconfig; `$KUBECONFIG` or `~/.kube/config` if none is named.
    pub kubeconfig: Option<PathBuf>,
    /// The account that a policy takes for the policy server's own.
    pub stands_for: Option<String>,
    /// How long to wait for each answer.
    pub timeout: Duration,
    /// For those who run long: lists of pruned objects are kept up to date by watches, of at most so many bytes for all
    /// kinds, and the runner's own rights are remembered for a moment. Without it everything is asked for anew.
    pub watch: Option<usize>,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self { context: None, kubeconfig: None, stands_for: None, timeout: Duration::from_secs(10), watch: None }
    }
}

/// A connection to an API server. It may be used from anywhere, inside of an async runtime, too.
#[derive(Debug)]
pub struct LiveCluster {
    api: Arc<Api>,
    /// Only taken when dropped.
    runtime: Option<Runtime>,
}

impl LiveCluster {
    /// Reads the configuration and greets the API server.
    pub fn connect(options: LiveOptions) -> Result<Self, ConnectError> {
        let runtime = runtime().map_err(ConnectError::Runtime)?;
        let connect = async {
            let (api, server) = connect::configure(options).await?;
            connect::greet(&api, &server).await.map(|()| api)
        };
        let api = wait(&runtime, connect).ok_or(ConnectError::Interrupted)??;
        Ok(Self { api: Arc::new(api), runtime: Some(runtime) })
    }

    /// Reads the configuration, and greets the API server until it answers: until then this is not
    /// [ready](Capabilities::ready). `failed` is given the reason, once for each.
    pub fn connect_eventually(
        options: LiveOptions,
        failed: impl Fn(&ConnectError) + Send + 'static,
    ) -> Result<Self, ConnectError> {
        let runtime = runtime().map_err(ConnectError::Runtime)?;
        let configure = connect::configure(options);
        let (api, server) = wait(&runtime, configure).ok_or(ConnectError::Interrupted)??;
        let api = Arc::new(api);
        let greeted = Arc::clone(&api);
        runtime.spawn(async move {
            let mut reported = String::new();
            while let Err(error) = connect::greet(&greeted, &server).await {
                let reason = error.to_string();
                if reason != reported {
                    failed(&error);
                    reported = reason;
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
        Ok(Self { api, runtime: Some(runtime) })
    }

    fn ask(&self, operation: &str, request: &[u8], budget: Option<&Budget>) -> Result<Vec<u8>, String> {
        let lookup = Lookup::parse(operation, request)?;
        let (api, budget) = (Arc::clone(&self.api), budget.cloned());
        let answer = async move {
            match budget {
                Some(budget) => budget.within(api.answer(lookup)).await,
                None => api.answer(lookup).await,
            }
        };
        let answer = self.runtime.as_ref().and_then(|runtime| wait(runtime, answer));
        answer.unwrap_or_else(|| Err(wording::failure("the lookup was interrupted")))
    }
}

/// How often to greet an API server that does not answer.
const AGAIN: Duration = Duration::from_secs(1);

impl Capabilities for LiveCluster {
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        self.ask(operation, request, None)
    }

    fn call_within(&self, operation: &str, request: &[u8], budget: &Budget) -> Result<Vec<u8>, String> {
        self.ask(operation, request, Some(budget))
    }

    fn ready(&self) -> Result<(), String> {
        match self.api.greeted.get() {
            Some(()) => Ok(()),
            None => Err("the API server has not answered yet".to_owned()),
        }
    }

    fn watches(&self) -> Vec<WatchAge> {
        self.api.watches.as_ref().map(Watches::ages).unwrap_or_default()
    }
}

impl Drop for LiveCluster {
    fn drop(&mut self) {
        // Waiting for its threads, as the runtime does by itself, is forbidden inside of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).thread_name("lookups").enable_all().build()
}

/// Runs a future to its end from a thread that may belong to another runtime; none if it panicked.
fn wait<F>(runtime: &Runtime, future: F) -> Option<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let (done, result) = mpsc::sync_channel(1);
    runtime.spawn(async move { done.send(future.await) });
    result.recv().ok()
}

/// How long a list may wait for a watch to begin.
const PATIENCE: Duration = Duration::from_secs(1);

/// What lookups need.
struct Api {
    client: Client,
    discovery: Discovery,
    stands_for: Option<String>,
    timeout: Duration,
    watches: Option<Watches>,
    rights: Option<Rights>,
    /// Set once the API server has answered.
    greeted: OnceLock<()>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("stands_for", &self.stands_for)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Api {
    fn new(client: Client, options: LiveOptions) -> Self {
        let LiveOptions { stands_for, timeout, watch, .. } = options;
        let watches = watch.map(|most| Watches::new(most, PATIENCE.min(timeout / 2)));
        let rights = watch.map(|_| Rights::default());
        let (discovery, greeted) = (Discovery::default(), OnceLock::new());
        Self { client, discovery, stands_for, timeout, watches, rights, greeted }
    }

    async fn answer(&self, lookup: Lookup) -> Result<Vec<u8>, String> {
        match lookup {
            Lookup::Get(get) => self.get(get).await,
            Lookup::List(list) => self.list(list).await,
            Lookup::CanI(can_i) => self.can_i(can_i).await,
        }
    }

    async fn get(&self, get: Get) -> Result<Vec<u8>, String> {
        let Get { api_version, kind, name, namespace, field_masks, .. } = get;
        let absent = || wording::missing_object(&api_version, &kind, &name, namespace.as_deref());
        let known = self.kind(&api_version, &kind).await?;
        if known.namespaced && namespace.is_none() {
            return Err(wording::namespace_wanted(&api_version, &kind));
        }
        // The API server would take such a name for another path, or for the part of one.
        let (Some(in_path), Some(within)) =
            (segment(&name), namespace.as_deref().map_or(Some(None), |it| segment(it).map(Some)))
        else {
            return Err(absent());
        };
        let request = requests(&known, within.as_deref()).get(&in_path, &GetParams::default());
        let text = match self.within(self.client.request_text(built(request)?)).await? {
            Ok(text) => text,
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                return Err(absent());
            }
            Err(error) => return Err(self.failure(&api_version, &kind, &error).await),
        };
        if field_masks.is_none() {
            return Ok(text.into_bytes());
        }
        view::write(&View { object: &parse(&text)?, mask: &Mask::new(field_masks.as_ref()), place: Place::Alone })
    }

    async fn list(&self, list: List) -> Result<Vec<u8>, String> {
        let known = self.kind(&list.api_version, &list.kind).await?;
        if list.namespace.is_some() && !known.namespaced {
            return Err(wording::cluster_wide(&list.api_version, &list.kind));
        }
        if let Some(watches) = &self.watches
            && let Some(answer) = watches.list(&self.client, &known, &list).await
        {
            return Ok(answer);
        }
        let List { api_version, kind, namespace, label_selector, field_selector, field_masks } = list;
        let parameters = ListParams { label_selector, field_selector, ..ListParams::default() };
        let Some(within) = namespace.as_deref().map_or(Some(None), |it| segment(it).map(Some)) else {
            return Err(wording::failure(&format!("there can be no namespace {namespace:?}")));
        };
        let request = requests(&known, within.as_deref()).list(&parameters);
        let text = match self.within(self.client.request_text(built(request)?)).await? {
            Ok(text) => text,
            Err(error) => return Err(self.failure(&api_version, &kind, &error).await),
        };
        let (found, mask) = (parse(&text)?, Mask::new(field_masks.as_ref()));
        let objects = found["items"].as_array().into_iter().flatten();
        view::write_list(&api_version, &kind, objects.map(|object| View { object, mask: &mask, place: Place::Listed }))
    }

    /// Whoever asks in the policy server's stead is named when something is denied: the policy knows the policy
    /// server's account alone.
    async fn can_i(&self, can_i: CanI) -> Result<Vec<u8>, String> {
        let review = &can_i.subject_access_review;
        let own = self.stands_for.as_ref() == Some(&review.user);
        let (verb, resource) = (review.resource_attributes.verb.clone(), review.resource_attributes.resource.clone());
        let answer = self.may(can_i).await?;
        if !own || parse(&String::from_utf8_lossy(&answer))?["allowed"] == true {
            return Ok(answer);
        }
        let who = self.who().await.unwrap_or_else(|| "the account of this connection".to_owned());
        Err(wording::failure(&format!("{who} may not {verb} {resource}")))
    }

    /// Under which name this connection asks.
    async fn who(&self) -> Option<String> {
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let request = Request::new(path).create(&PostParams::default(), view::write(&body).ok()?);
        let review = parse(&self.request(request).await.ok()?).ok()?;
        review.pointer("/status/userInfo/username")?.as_str().map(str::to_owned)
    }

    async fn may(&self, can_i: CanI) -> Result<Vec<u8>, String> {
        let review = can_i.subject_access_review;
        let attributes = review.resource_attributes;
        let own = self.stands_for.as_ref() == Some(&review.user);
        let rights = self.rights.as_ref().filter(|_| own && !can_i.disable_cache);
        if let Some(answer) = rights.and_then(|rights| rights.known(&attributes)) {
            return Ok(answer);
        }
        let (kind, resource, spec) = if own {
            ("SelfSubjectAccessReview", "selfsubjectaccessreviews", json!({"resourceAttributes": attributes}))
        } else {
            let spec = json!({"user": review.user, "groups": review.groups, "resourceAttributes": attributes});
            ("SubjectAccessReview", "subjectaccessreviews", spec)
        };
        let body = view::write(&json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}))?;
        let path = format!("/apis/authorization.k8s.io/v1/{resource}");
        let text = self.request(Request::new(path).create(&PostParams::default(), body)).await?;
        let Some(status) = parse(&text)?.get_mut("status").map(Value::take) else {
            return Err(wording::failure("SubjectAccessReview did not return a response"));
        };
        let answer = view::write(&status)?;
        if let Some(rights) = rights {
            rights.remember(&attributes, &answer);
        }
        Ok(answer)
    }

    /// Words why an API server did not answer. It may have ceased to serve the kind since that was found out.
    async fn failure(&self, api_version: &str, kind: &str, error: &kube::Error) -> String {
        if matches!(error, kube::Error::Api(status) if status.code == 404) {
            self.discovery.forget(api_version, kind);
            if let Err(not_served) = self.kind(api_version, kind).await {
                return not_served;
            }
        }
        wording::client_failure(error)
    }

    async fn kind(&self, api_version: &str, kind: &str) -> Result<Kind, String> {
        if !is_api_version(api_version) {
            return Err(wording::missing_kind(api_version, kind));
        }
        self.within(self.discovery.find(&self.client, api_version, kind)).await?
    }

    async fn request(&self, request: Built) -> Result<String, String> {
        let answer = self.within(self.client.request_text(built(request)?)).await?;
        answer.map_err(|error| wording::client_failure(&error))
    }

    async fn within<T>(&self, answer: impl Future<Output = T>) -> Result<T, String> {
        let late = |_| wording::failure(&format!("the API server gave no answer within {:?}", self.timeout));
        tokio::time::timeout(self.timeout, answer).await.map_err(late)
    }
}

/// What may stand in a path as it is: what DNS names and RBAC's names are made of.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b':');

/// A name as part of a path; none where no object can have it (Kubernetes' `path.IsValidPathSegmentName`).
fn segment(name: &str) -> Option<Cow<'_, str>> {
    let valid = !matches!(name, "" | "." | "..") && !name.contains(['/', '%']);
    valid.then(|| utf8_percent_encode(name, ENCODED).into())
}

/// Whether that can be a group and version, or a version.
fn is_api_version(text: &str) -> bool {
    let is_name = |part: &str| {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        part.bytes().all(known) && part.starts_with(|first: char| first.is_ascii_alphanumeric())
    };
    text.split('/').count() <= 2 && text.split('/').all(is_name)
}

type Built = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

fn built(request: Built) -> Result<http::Request<Vec<u8>>, String> {
    request.map_err(|error| wording::client_failure(&kube::Error::BuildRequest(error)))
}

/// The requests for a kind, in a namespace if it has any.
fn requests(kind: &Kind, namespace: Option<&str>) -> Request {
    let namespace = namespace.filter(|_| kind.namespaced);
    Request::new(DynamicObject::url_path(&kind.resource, namespace))
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| wording::client_failure(&kube::Error::SerdeError(error)))
}

#[cfg(test)]
mod tests;
