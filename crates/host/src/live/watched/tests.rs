use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{Request, Response};
use http_body_util::{
    BodyExt, Full,
    channel::{Channel, Sender},
    combinators::UnsyncBoxBody,
};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tower::service_fn;

use super::super::{Api, LiveCluster, LiveOptions, runtime};
use crate::{Capabilities, Outcome};

/// Long, for machines that stand still for a while.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A small API server of ScaledObjects, which can be watched.
#[derive(Default)]
struct Server {
    served: bool,
    /// Whether what a watch begins with is held back.
    held: bool,
    objects: Vec<Value>,
    requests: Vec<String>,
    watchers: Vec<Sender<bytes::Bytes, io::Error>>,
}

type Shared = Arc<Mutex<Server>>;

type Answer = Response<UnsyncBoxBody<bytes::Bytes, io::Error>>;

const KIND: &str = "/apis/keda.sh/v1alpha1";
const OBJECTS: &str = "/apis/keda.sh/v1alpha1/scaledobjects";

fn scaled_object(namespace: &str, name: &str, target: &str) -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {
            "name": name, "namespace": namespace, "resourceVersion": "8", "managedFields": [{"manager": "helm"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "web"},
        },
        "spec": {"scaleTargetRef": {"name": target}, "triggers": [{"type": "cron"}]},
        "status": {"hpaName": format!("keda-hpa-{name}")},
    })
}

impl Server {
    fn answer(&mut self, path: &str) -> Answer {
        self.requests.push(path.to_owned());
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let text = |status: u16, text: String| {
            Response::builder().status(status).body(Full::from(text).map_err(|never| match never {}).boxed_unsync())
        };
        let objects = |of: &dyn Fn(&&Value) -> bool| {
            let items: Vec<&Value> = self.objects.iter().filter(of).collect();
            json!({"kind": "ScaledObjectList", "apiVersion": "keda.sh/v1alpha1", "metadata": {"resourceVersion": "7"}, "items": items})
        };
        let answer = match path {
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            | "/apis/authorization.k8s.io/v1/subjectaccessreviews" => {
                text(201, json!({"status": {"allowed": true}}).to_string())
            }
            _ if !self.served => text(404, "404 page not found\n".into()),
            KIND => {
                let kind = json!({"name": "scaledobjects", "kind": "ScaledObject", "namespaced": true, "singularName": "", "verbs": []});
                let list = json!({"kind": "APIResourceList", "groupVersion": "keda.sh/v1alpha1", "resources": [kind]});
                text(200, list.to_string())
            }
            OBJECTS if query.contains("watch=true") => {
                let (sender, body) = Channel::new(64);
                self.watchers.push(sender);
                Response::builder().status(200).body(body.boxed_unsync())
            }
            OBJECTS => text(200, objects(&|_| true).to_string()),
            "/apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects" => {
                text(200, objects(&|object| object["metadata"]["namespace"] == "shop").to_string())
            }
            _ => text(404, "404 page not found\n".into()),
        };
        answer.unwrap()
    }

    fn send(&mut self, event: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": event, "object": object}));
        for watcher in &mut self.watchers {
            // Some have gone already.
            let _ = watcher.try_send(http_body::Frame::data(line.clone().into()));
        }
    }

    /// How often lists were asked for, other than to begin a watch.
    fn lists(&self) -> usize {
        self.requests.iter().filter(|path| path.contains("/scaledobjects?") && !is_of_watch(path)).count()
    }

    fn watches(&self) -> usize {
        self.requests.iter().filter(|path| path.contains("watch=true")).count()
    }
}

/// Only watches ask for pages.
fn is_of_watch(path: &str) -> bool {
    path.contains("limit=") || path.contains("watch=true")
}

struct Lab {
    server: Shared,
    cluster: LiveCluster,
}

impl Lab {
    fn new(most: usize) -> Self {
        let server = Shared::default();
        {
            let mut server = server.lock().unwrap();
            server.served = true;
            server.objects = vec![scaled_object("shop", "web", "web"), scaled_object("shops", "api", "api")];
        }
        let shared = Arc::clone(&server);
        let service = service_fn(move |request: Request<Body>| {
            let shared = Arc::clone(&shared);
            async move {
                let path = request.uri().path_and_query().map(ToString::to_string).unwrap();
                while is_of_watch(&path) && shared.lock().unwrap().held {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Ok::<_, Infallible>(shared.lock().unwrap().answer(&path))
            }
        });
        let options = LiveOptions {
            stands_for: Some("policy-server".into()),
            timeout: TIMEOUT,
            watch: Some(most),
            ..LiveOptions::default()
        };
        let runtime = runtime().unwrap();
        let client = runtime.block_on(async { Client::new(service, "default") });
        Self { server, cluster: LiveCluster { api: Arc::new(Api::new(client, options)), runtime: Some(runtime) } }
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, operation: &str, request: &Value) -> Result<Value, String> {
        let answer = self.cluster.call(operation, request.to_string().as_bytes());
        answer.map(|answer| serde_json::from_slice(&answer).unwrap())
    }

    fn list(&self, fields: &[&str]) -> Result<Value, String> {
        let request = json!({"api_version": "keda.sh/v1alpha1", "kind": "ScaledObject", "field_masks": fields});
        self.call("list_resources_all", &request)
    }

    fn names(&self, namespace: &str) -> Vec<String> {
        let request = json!({"api_version": "keda.sh/v1alpha1", "kind": "ScaledObject", "namespace": namespace, "field_masks": ["spec.scaleTargetRef"]});
        let list = self.call("list_resources_by_namespace", &request).unwrap();
        let items = list["items"].as_array().unwrap();
        let mut names: Vec<String> =
            items.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

/// Waits until it holds; a watch takes its time.
fn eventually(mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "it never came to hold");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn lists_come_from_a_watch_pruned_and_by_namespace() {
    let lab = Lab::new(1 << 20);
    assert_eq!(lab.names("shop"), ["web"]);
    assert_eq!(lab.names("shops"), ["api"]);
    assert_eq!(lab.names("sho"), [""; 0]);
    let list = lab.list(&["spec.scaleTargetRef"]).unwrap();
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("ScaledObjectList"), 2));
    assert_eq!(
        list["items"][0],
        json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "8", "annotations": {"team": "web"}},
            "spec": {"scaleTargetRef": {"name": "web"}},
        })
    );
    assert_eq!(lab.server().lists(), 0);
}

#[test]
fn changes_are_heard_of() {
    let lab = Lab::new(1 << 20);
    assert_eq!(lab.names("shop"), ["web"]);
    eventually(|| lab.server().watches() == 1);
    lab.server().send("ADDED", &scaled_object("shop", "new", "web"));
    eventually(|| lab.names("shop") == ["new", "web"]);
    lab.server().send("MODIFIED", &scaled_object("shop", "new", "other"));
    eventually(|| lab.list(&["spec.scaleTargetRef"]).unwrap()["items"][0]["spec"]["scaleTargetRef"]["name"] == "other");
    lab.server().send("DELETED", &scaled_object("shop", "web", "web"));
    eventually(|| lab.names("shop") == ["new"]);
    assert_eq!(lab.server().lists(), 0);
}

#[test]
fn fields_that_were_not_asked_for_before_are_brought() {
    let lab = Lab::new(1 << 20);
    assert!(lab.list(&["spec.scaleTargetRef"]).unwrap()["items"][0]["status"].is_null());
    assert_eq!(lab.list(&["status.hpaName"]).unwrap()["items"][0]["status"], json!({"hpaName": "keda-hpa-web"}));
    let both = lab.list(&["spec.scaleTargetRef"]).unwrap();
    assert_eq!(both["items"][0]["spec"]["scaleTargetRef"]["name"], "web");
    assert_eq!(lab.server().lists(), 0);
    let begun = lab.server().requests.iter().filter(|path| path.contains("limit=")).count();
    assert_eq!(begun, 2, "a watch for both was begun once");
}

#[test]
fn a_list_does_not_wait_for_ever_for_its_watch() {
    let lab = Lab::new(1 << 20);
    lab.server().held = true;
    let started = Instant::now();
    assert_eq!(lab.names("shop"), ["web"]);
    assert!(started.elapsed() < TIMEOUT, "{:?}", started.elapsed());
    assert_eq!(lab.server().lists(), 1);
    lab.server().held = false;
    eventually(|| {
        let before = lab.server().lists();
        lab.names("shop");
        lab.server().lists() == before
    });
}

#[test]
fn what_a_broken_watch_missed_is_not_missed() {
    let lab = Lab::new(1 << 20);
    assert_eq!(lab.names("shop"), ["web"]);
    eventually(|| lab.server().watches() == 1);
    {
        let mut server = lab.server();
        server.held = true;
        server.objects.push(scaled_object("shop", "new", "web"));
        for watcher in server.watchers.drain(..) {
            watcher.abort(io::Error::other("connection reset"));
        }
    }
    eventually(|| lab.names("shop") == ["new", "web"]);
    assert!(lab.server().lists() > 0, "it was asked for anew");
    lab.server().held = false;
    eventually(|| {
        let before = lab.server().lists();
        assert_eq!(lab.names("shop"), ["new", "web"]);
        lab.server().lists() == before
    });
}

#[test]
fn a_kind_may_come_and_go() {
    let lab = Lab::new(1 << 20);
    let outcome = || {
        let request = json!({"api_version": "keda.sh/v1alpha1", "kind": "ScaledObject", "field_masks": ["spec"]});
        Outcome::of(&lab.cluster.call("list_resources_all", request.to_string().as_bytes()))
    };
    let got = || {
        let request = json!({"api_version": "keda.sh/v1alpha1", "kind": "ScaledObject", "namespace": "shop", "name": "x", "disable_cache": true});
        Outcome::of(&lab.cluster.call("get_resource", request.to_string().as_bytes()))
    };
    lab.server().served = false;
    assert_eq!((outcome(), got()), (Outcome::NotServed, Outcome::NotServed));
    lab.server().served = true;
    assert_eq!(outcome(), Outcome::Answered);
    {
        let mut server = lab.server();
        server.served = false;
        // The API server closes the watches of a kind that it ceases to serve.
        server.watchers.clear();
    }
    eventually(|| outcome() == Outcome::NotServed);
    assert_eq!(got(), Outcome::NotServed);
    lab.server().served = true;
    assert_eq!(outcome(), Outcome::Answered);
}

#[test]
fn more_than_may_be_kept_is_asked_for_each_time() {
    let lab = Lab::new(300);
    for asked in 1..4 {
        assert_eq!(lab.list(&["spec.scaleTargetRef"]).unwrap()["items"].as_array().unwrap().len(), 2);
        assert_eq!(lab.server().lists(), asked);
    }
    let begun = lab.server().requests.iter().filter(|path| path.contains("limit=")).count();
    assert_eq!(begun, 1, "the watch is given up");
}

#[test]
fn what_is_selected_or_wanted_whole_is_not_watched() {
    let lab = Lab::new(1 << 20);
    let whole = json!({"api_version": "keda.sh/v1alpha1", "kind": "ScaledObject"});
    assert_eq!(lab.call("list_resources_all", &whole).unwrap()["items"][0]["spec"]["triggers"][0]["type"], "cron");
    let selected = json!({"api_version": "keda.sh/v1alpha1", "kind": "ScaledObject", "label_selector": "a=b", "field_masks": ["spec"]});
    lab.call("list_resources_all", &selected).unwrap();
    let server = lab.server();
    assert_eq!((server.lists(), server.watches()), (2, 0));
}

#[test]
fn the_runners_own_rights_are_remembered_and_nobody_elses() {
    let lab = Lab::new(1 << 20);
    let ask = |user: &str, namespace: &str| {
        let attributes = json!({"verb": "list", "resource": "pods", "namespace": namespace});
        let request =
            json!({"subject_access_review": {"user": user, "resource_attributes": attributes}, "disable_cache": false});
        assert_eq!(lab.call("can_i", &request).unwrap(), json!({"allowed": true}));
        lab.server().requests.len()
    };
    assert_eq!((ask("policy-server", "shop"), ask("policy-server", "shop")), (1, 1));
    assert_eq!(ask("policy-server", "other"), 2);
    assert_eq!((ask("jane", "shop"), ask("jane", "shop")), (3, 4));
}

/// Line 11 of docs/serve.md, "What it withstands".
#[test]
fn a_watch_that_went_silent_is_not_relied_on() {
    let lab = Lab::new(1 << 20);
    assert_eq!(lab.names("shop"), ["web"]);
    eventually(|| lab.server().watches() == 1);
    assert!(lab.server().requests.iter().any(|path| path.contains("watch=true") && path.contains("timeoutSeconds=45")));
    let ages = lab.cluster.watches();
    assert_eq!(ages.iter().map(|watch| watch.kind.as_str()).collect::<Vec<_>>(), ["ScaledObject"]);
    let long_ago = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
    {
        let kinds = lab.cluster.api.watches.as_ref().unwrap().kinds.lock().unwrap();
        *kinds.values().next().unwrap().store.heard.lock().unwrap() = long_ago;
    }
    assert!(lab.cluster.watches()[0].age > Duration::from_mins(1));
    lab.server().objects.push(scaled_object("shop", "new", "web"));
    assert_eq!(lab.names("shop"), ["new", "web"], "it is listed anew");
    assert_eq!(lab.server().lists(), 1);
    lab.server().send("ADDED", &scaled_object("shop", "new", "web"));
    eventually(|| {
        let before = lab.server().lists();
        lab.names("shop") == ["new", "web"] && lab.server().lists() == before
    });
}
