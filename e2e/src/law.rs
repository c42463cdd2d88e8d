//! The law of the policies without a server: never stricter than the module.
//!
//! Every case of the test pages and every captured request is played on an API server: its cluster applied, its request
//! sent as its user, as a dry run. Nothing else runs there, so that statuses stay as the case has them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use autoscaler_guard_cases::{Subject, subjects};
use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, UNGUARDED_USER};
use crate::objects;

/// What became of all cases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// How many were played.
    pub played: usize,
    /// Passed by both.
    pub passed: usize,
    /// Refused by both.
    pub refused: usize,
    /// Refused by the module, passed by the API server.
    pub milder: Vec<String>,
    /// Passed by the module, refused by the API server, though it could know; there may be none.
    pub stricter: Vec<String>,
    /// Passed by the module for something that the API server cannot know; each with what it is.
    pub unseen: BTreeMap<String, String>,
    /// Those that cannot be played, by the reason.
    pub unplayable: BTreeMap<String, Vec<String>>,
}

/// What the API server refuses and the module passes, since it cannot know better. Each has an override on the object
/// itself.
const UNSEEN: &[(&str, &str)] = &[
    (
        "envoy-gateway-1.9.1/007-update-envoyproxy-lab-admin",
        "Incident 2 itself: the fleet's Deployment is not among the captured objects, so the module takes the fleet for gone",
    ),
    (
        "envoyhpa-removed: no Gateway runs by it",
        "Envoy Gateway's finalizer on the class says that Gateways exist; in the case it is there without any",
    ),
    (
        "envoyhpa-removed: its Gateway is being deleted",
        "Gateways of other namespaces cannot be looked at; Envoy Gateway's finalizer stays on the class until they are gone",
    ),
    (
        "envoyhpa-removed: another field manager applied the count",
        "The API server keeps no managedFields of the objects that policies look at",
    ),
    (
        "envoyhpa-removed: the HPA is gone already on 1.3.0",
        "A policy looks at objects of one kind, here at the class, and so not at the fleets' HPAs",
    ),
    (
        "envoyhpa-removed: a Gateway with an EnvoyProxy of its own does not run by the class's",
        "Gateways of other namespaces cannot be looked at, so all of a class count as running by the class's EnvoyProxy",
    ),
];

/// How long the API server may take to hear of objects that it was given: it watches them, as controllers do.
const HEARD: Duration = Duration::from_millis(200);
const HEARD_AT_LAST: Duration = Duration::from_secs(1);

/// Plays all cases.
///
/// # Errors
/// The API server cannot be talked to, or what a case left behind cannot be cleared away.
pub async fn hold(plane: &ControlPlane, only: Option<&str>) -> Result<Count> {
    let mut count = Count::default();
    for subject in subjects() {
        if only.is_some_and(|only| !subject.name.contains(only)) {
            continue;
        }
        let name = subject.name.clone();
        if let Some(reason) = unplayable(&subject) {
            count.unplayable.entry(reason.to_owned()).or_default().push(name);
            continue;
        }
        let passes = subject.world.natively().response.accepted;
        let answer = Play::of(plane, &subject).await.with_context(|| name.clone())?;
        let refused = match answer {
            Played::Impossible(reason) => {
                count.unplayable.entry(reason).or_default().push(name);
                continue;
            }
            Played::Passed => false,
            Played::Refused(message) => {
                eprintln!("{} {name}: {message}", if passes { "STRICTER" } else { "refused" });
                true
            }
        };
        count.played += 1;
        match (passes, refused) {
            (true, false) => count.passed += 1,
            (false, true) => count.refused += 1,
            (false, false) => count.milder.push(name),
            (true, true) => match UNSEEN.iter().find(|(case, _)| *case == name) {
                Some((_, why)) => drop(count.unseen.insert(name, (*why).to_owned())),
                None => count.stricter.push(name),
            },
        }
    }
    for (case, _) in UNSEEN.iter().filter(|(case, _)| only.is_none_or(|only| case.contains(only))) {
        if !count.unseen.contains_key(*case) {
            bail!("{case} is not stricter any more: take it off the list in e2e/src/law.rs");
        }
    }
    Ok(count)
}

/// Why a case cannot be played on any API server.
fn unplayable(subject: &Subject) -> Option<&'static str> {
    let request = &subject.world.request;
    let settings = &subject.world.settings;
    if settings["audit"] == true {
        return Some("an audit: nobody asks for a change");
    }
    if settings.as_object().is_some_and(|settings| !settings.is_empty()) {
        return Some("settings other than the defaults");
    }
    // What goes wrong in the module's cluster is described by documents that are no objects.
    let is_object = |document: &Value| {
        document["kind"] != "SubjectAccessReview" && document.pointer("/metadata/name").is_some_and(Value::is_string)
    };
    if !subject.documents.iter().all(is_object) {
        return Some("a lookup of the module that fails, or a permission: objects that no API server keeps");
    }
    if request["subResource"].as_str().is_some_and(|name| !name.is_empty()) {
        return Some("a sub-resource, which no policy looks at");
    }
    if !matches!(request["operation"].as_str(), Some("CREATE" | "UPDATE" | "DELETE")) {
        return Some("an operation that no API server knows");
    }
    None
}

enum Played {
    Passed,
    Refused(String),
    Impossible(String),
}

/// A case under way.
struct Play<'a> {
    client: &'a Client,
    /// The uids of the case, and those that the API server gave out.
    uids: Vec<(String, String)>,
    made: Vec<String>,
    terminating: Vec<String>,
}

const HOLD: &str = "autoscaler-guard.test/hold";
const EARLIEST: &[&str] =
    &["Namespace", "Deployment", "StatefulSet", "ScaledObject", "GatewayClass", "Gateway", "EnvoyProxy"];

impl<'a> Play<'a> {
    async fn of(plane: &'a ControlPlane, subject: &Subject) -> Result<Played> {
        let mut play = Self { client: plane.admin(), uids: Vec::new(), made: Vec::new(), terminating: Vec::new() };
        let played = play.out(subject).await;
        play.clear().await?;
        played
    }

    async fn out(&mut self, subject: &Subject) -> Result<Played> {
        let request = &subject.world.request;
        let mut objects = subject.documents.clone();
        let old = &request["oldObject"];
        let changed = if old.is_null() { &request["object"] } else { old };
        let is_changed = |object: &Value| {
            object["kind"] == changed["kind"]
                && object["metadata"]["name"] == changed["metadata"]["name"]
                && object["metadata"]["namespace"] == changed["metadata"]["namespace"]
        };
        objects.retain(|object| !is_changed(object));
        if !old.is_null() {
            objects.push(old.clone());
        }
        let place = |object: &Value| EARLIEST.iter().position(|kind| object["kind"] == *kind).unwrap_or(EARLIEST.len());
        objects.sort_by_key(place);
        let mut namespaces: Vec<&str> =
            objects.iter().chain([changed]).filter_map(|object| object["metadata"]["namespace"].as_str()).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        for namespace in namespaces {
            self.namespace(namespace).await?;
        }
        for object in &objects {
            if object["kind"] == "Namespace" {
                continue;
            }
            if let Some(reason) = self.make(object).await? {
                return Ok(Played::Impossible(reason));
            }
        }
        for object in objects.iter().filter(|object| object["kind"] == "Namespace") {
            if !object["metadata"]["deletionTimestamp"].is_null() {
                self.end_namespace(object["metadata"]["name"].as_str().unwrap_or_default()).await?;
            }
        }
        tokio::time::sleep(HEARD).await;
        let answer = self.ask(request).await?;
        if !matches!(answer, Played::Refused(_)) {
            return Ok(answer);
        }
        // It may not have heard of all; what it refuses for good it refuses again.
        tokio::time::sleep(HEARD_AT_LAST).await;
        self.ask(request).await
    }

    fn renamed(&self, value: &Value) -> Result<Value> {
        let text = self.uids.iter().fold(value.to_string(), |text, (from, to)| text.replace(from, to));
        Ok(serde_json::from_str(&text)?)
    }

    async fn namespace(&self, name: &str) -> Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        match self.send(Method::POST, "/api/v1/namespaces", &[], &namespace).await? {
            Err((code, _)) if code != 409 => bail!("namespace {name} cannot be made"),
            _ => Ok(()),
        }
    }

    async fn end_namespace(&mut self, name: &str) -> Result<()> {
        let path = format!("/api/v1/namespaces/{name}");
        drop(self.send(Method::DELETE, &path, &[], &json!({})).await?);
        self.terminating.push(name.to_owned());
        Ok(())
    }

    /// Makes an object as it is in the case; why that cannot be, where it cannot.
    async fn make(&mut self, object: &Value) -> Result<Option<String>> {
        let mut fresh = self.renamed(object)?;
        let uid = object["metadata"]["uid"].as_str().map(str::to_owned);
        let (generation, deleting) =
            (object["metadata"]["generation"].as_i64(), !object["metadata"]["deletionTimestamp"].is_null());
        let status = fresh["status"].take();
        let is_workload = matches!(fresh["kind"].as_str(), Some("Deployment" | "StatefulSet"));
        let Some(metadata) = fresh["metadata"].as_object_mut() else { bail!("an object without metadata") };
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
        ] {
            metadata.remove(field);
        }
        metadata.remove("managedFields");
        if deleting {
            metadata.insert("finalizers".to_owned(), json!([HOLD]));
        }
        if let Some(fields) = fresh.as_object_mut() {
            fields.remove("status");
        }
        if is_workload {
            complete(&mut fresh);
        }
        let (collection, path) = paths(&fresh)?;
        let made = match self.send(Method::POST, &collection, &[("fieldManager", "case")], &fresh).await? {
            Ok(made) => made,
            Err((_, message)) => {
                return Ok(Some(not_taken(&message)));
            }
        };
        self.made.push(path.clone());
        if let Some(uid) = uid {
            self.uids.push((uid, made["metadata"]["uid"].as_str().unwrap_or_default().to_owned()));
        }
        if is_workload {
            self.declare_counts(&path, object).await?;
        }
        if fresh["kind"] == "ScaledObject" {
            self.age(&path, &fresh, generation.unwrap_or(1)).await?;
        }
        if !status.is_null() && !is_workload {
            let patch = json!({"status": status});
            if let Err((_, message)) = self.send(Method::PATCH, &format!("{path}/status"), &[], &patch).await? {
                return Ok(Some(not_taken(&message)));
            }
        }
        if deleting {
            drop(self.send(Method::DELETE, &path, &[], &json!({})).await?);
        }
        Ok(None)
    }

    /// Applies a workload's count as those field managers who did so in the case; nobody else can put that into
    /// managedFields.
    async fn declare_counts(&self, path: &str, workload: &Value) -> Result<()> {
        let replicas = workload["spec"]["replicas"].as_i64().unwrap_or(1);
        let count = json!({
            "apiVersion": workload["apiVersion"], "kind": workload["kind"], "metadata": {"name": workload["metadata"]["name"]},
            "spec": {"replicas": replicas},
        });
        for entry in workload["metadata"]["managedFields"].as_array().into_iter().flatten() {
            let declares = entry["operation"] == "Apply" && !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null();
            if let Some(manager) = entry["manager"].as_str().filter(|_| declares) {
                let query = [("fieldManager", manager), ("force", "true")];
                drop(self.send(Method::PATCH, path, &query, &count).await?);
            }
        }
        Ok(())
    }

    /// Brings a ScaledObject to its generation, which marks name: each change of the spec counts.
    async fn age(&self, path: &str, object: &Value, generation: i64) -> Result<()> {
        for step in 1..generation {
            let last = step + 1 == generation;
            let own = object["spec"]["cooldownPeriod"].clone();
            // Odd and even differ from each other and from the last.
            let period = if last { own } else { json!(1000 + step) };
            let patch = json!({"spec": {"cooldownPeriod": period}});
            drop(self.send(Method::PATCH, path, &[], &patch).await?);
        }
        if generation == 2 {
            // A single step that changes nothing would not count.
            let patch = json!({"spec": {"cooldownPeriod": 299}});
            drop(self.send(Method::PATCH, path, &[], &patch).await?);
        }
        Ok(())
    }

    async fn ask(&self, request: &Value) -> Result<Played> {
        let resource = &request["resource"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (group, version) = (text(&resource["group"]), text(&resource["version"]));
        let old = self.renamed(&request["oldObject"])?;
        let mut object = self.renamed(&request["object"])?;
        let subject = if object.is_null() { &old } else { &object };
        let namespace = text(&subject["metadata"]["namespace"]);
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let scope = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
        let collection = format!("{root}{scope}/{}", text(&resource["resource"]));
        let path = format!("{collection}/{}", text(&subject["metadata"]["name"]));
        let manager = text(&request["options"]["fieldManager"]);
        let mut query = vec![("dryRun", "All")];
        if !manager.is_empty() {
            query.push(("fieldManager", manager.as_str()));
        }
        let user = (text(&request["userInfo"]["username"]), &request["userInfo"]["groups"]);
        let answer = match request["operation"].as_str() {
            Some("CREATE") => {
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.remove("resourceVersion");
                    metadata.remove("uid");
                    metadata.remove("managedFields");
                }
                self.send_as(user, Method::POST, &collection, &query, &object).await?
            }
            Some("UPDATE") => {
                let live = match self.send(Method::GET, &path, &[], &Value::Null).await? {
                    Ok(live) => live,
                    Err((_, message)) => return Ok(Played::Impossible(not_taken(&message))),
                };
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.insert("resourceVersion".to_owned(), live["metadata"]["resourceVersion"].clone());
                    metadata.insert("uid".to_owned(), live["metadata"]["uid"].clone());
                    metadata.remove("managedFields");
                    metadata.remove("generation");
                    metadata.remove("creationTimestamp");
                }
                self.send_as(user, Method::PUT, &path, &query, &object).await?
            }
            _ => {
                let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]});
                if let Some(policy) = request["options"]["propagationPolicy"].as_str() {
                    options["propagationPolicy"] = json!(policy);
                }
                self.send_as(user, Method::DELETE, &path, &[], &options).await?
            }
        };
        Ok(match answer {
            Ok(_) => Played::Passed,
            Err((_, message)) if message.contains("'autoscaler-guard-") => Played::Refused(message),
            Err((_, message)) => Played::Impossible(not_taken(&message)),
        })
    }

    /// Clears away what the case made. No controller runs, so nothing goes by itself.
    async fn clear(&self) -> Result<()> {
        for path in self.made.iter().rev() {
            drop(self.send(Method::PATCH, path, &[], &json!({"metadata": {"finalizers": null}})).await?);
            drop(self.send(Method::DELETE, path, &[], &json!({"propagationPolicy": "Background"})).await?);
            if let Ok(left) = self.send(Method::GET, path, &[], &Value::Null).await? {
                bail!("{path} is still there: {left}");
            }
        }
        for name in &self.terminating {
            let empty = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}});
            drop(self.send(Method::PUT, &format!("/api/v1/namespaces/{name}/finalize"), &[], &empty).await?);
        }
        Ok(())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Result<Value, (u16, String)>> {
        // What a case needs, and what it leaves, is nobody's to judge.
        self.send_as((UNGUARDED_USER.to_owned(), &Value::Null), method, path, query, body).await
    }

    async fn send_as(
        &self,
        (user, groups): (String, &Value),
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Result<Value, (u16, String)>> {
        // Only an apply is forced.
        let kind = if method != Method::PATCH {
            "application/json"
        } else if query.iter().any(|(name, _)| *name == "force") {
            "application/apply-patch+yaml"
        } else {
            "application/merge-patch+json"
        };
        let query: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "%20"))).collect();
        let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
        let mut builder = Request::builder().method(method).uri(uri).header("content-type", kind);
        if !user.is_empty() {
            builder = builder.header("impersonate-user", user);
            for group in groups.as_array().into_iter().flatten().filter_map(Value::as_str) {
                builder = builder.header("impersonate-group", group);
            }
        }
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = builder.body(Body::from(body))?;
        let response = self.client.send(request).await?;
        let status = response.status();
        let text = response.into_body().collect_bytes().await?;
        let value: Value = serde_json::from_slice(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(Ok(value));
        }
        Ok(Err((status.as_u16(), value["message"].as_str().unwrap_or_default().to_owned())))
    }
}

/// The fields without which no API server takes a workload; fixtures are as short as what looks at them.
fn complete(workload: &mut Value) {
    let labels = json!({"app": workload["metadata"]["name"]});
    let name = workload["metadata"]["name"].clone();
    let spec = &mut workload["spec"];
    if spec["selector"].is_null() {
        spec["selector"] = json!({"matchLabels": labels});
    }
    if spec["template"].is_null() || spec["template"]["spec"]["containers"].is_null() {
        spec["template"] = json!({
            "metadata": {"labels": spec["selector"]["matchLabels"]},
            "spec": {"containers": [{"name": "web", "image": "registry.invalid/web"}]},
        });
    }
    if workload["kind"] == "StatefulSet" && workload["spec"]["serviceName"].is_null() {
        workload["spec"]["serviceName"] = name;
    }
}

/// The paths of a kind's collection and of an object.
fn paths(object: &Value) -> Result<(String, String)> {
    let (api_version, kind, name) = objects::identity(object)?;
    let resource = objects::resource(api_version, kind)?;
    let root = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let scope = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("/namespaces/{namespace}"),
        None => String::new(),
    };
    let collection = format!("{root}{scope}/{}", resource.plural);
    Ok((collection.clone(), format!("{collection}/{name}")))
}

/// What the API server refuses by itself: an object that is shorter than its kind demands, or a version that is not
/// served any more.
fn not_taken(message: &str) -> String {
    eprintln!("not taken: {message}");
    "the API server itself takes no such object or request".to_owned()
}
