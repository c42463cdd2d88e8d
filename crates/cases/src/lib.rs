//! The test pages `tests/rules/<id>.yaml`, loaded for whichever host runs them: the core natively, the module in the
//! waPC host, and whatever host comes next. All must give the same answers.
//!
//! A page lists cases. A case is a captured request (edited by a JSON merge patch), the neighbours in the cluster (full
//! objects, edited likewise), settings, and the verdict that is expected of it:
//!
//! ```yaml
//! rule: scaledobject-deleted
//! cases:
//!   - name: a person deletes it
//!     request: keda-hpa-helm3/008-delete-scaledobject-lab-admin   # in tests/fixtures/requests
//!     edit: {options: {propagationPolicy: Orphan}}                # of the AdmissionRequest
//!     cluster: [hpa-web-owned, deployment-web, namespace-shop]    # in tests/fixtures/objects
//!     change: {deployment-web: {metadata: {labels: {a: b}}}}      # of those objects
//!     objects: []                                                 # further documents, whole
//!     settings: {repair: false}
//!     expect: reject                                              # silent, allow, warn, repair or reject
//! ```
//!
//! With `audit: <object>` instead of `request` that object, which is then also in the cluster, is replayed as
//! Kubewarden's audit scanner does, with setting `audit`.

#![allow(clippy::restriction, reason = "only tests use it, and they may panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use autoscaler_guard::kubewarden;
use autoscaler_guard_host::{Call, Capabilities, Policy, Recorded, Response, Snapshot};
use serde::Deserialize;
use serde_json::{Value, json};

/// A rule's page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The rule's id.
    pub rule: String,
    /// Its cases.
    pub cases: Vec<Case>,
}

/// What a case expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// The page's rule has nothing to say; another may.
    Silent,
    /// Someone acknowledged what the page's rule had to say; another may speak.
    Allow,
    /// It passes with a warning.
    Warn,
    /// It passes, changed.
    Repair,
    /// It is refused.
    Reject,
}

/// One case of a page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in a few words; unique in its page.
    pub name: String,
    #[serde(default)]
    request: Option<String>,
    #[serde(default)]
    audit: Option<String>,
    #[serde(default)]
    edit: Value,
    #[serde(default)]
    cluster: Vec<String>,
    #[serde(default)]
    change: BTreeMap<String, Value>,
    #[serde(default)]
    objects: Vec<Value>,
    #[serde(default)]
    settings: Value,
    /// What is expected.
    pub expect: Expect,
}

/// A case with all its files read: what a host is given.
#[derive(Clone, Debug)]
pub struct World {
    /// The `AdmissionRequest`.
    pub request: Value,
    /// The settings, as a JSON object or null.
    pub settings: Value,
    /// The neighbours.
    pub cluster: Snapshot,
}

/// What a host answered, and what it looked up on the way.
#[derive(Debug)]
pub struct Outcome {
    /// The policy's answer.
    pub response: Response,
    /// The lookups, in order.
    pub lookups: Vec<Call>,
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All pages, by name.
///
/// # Panics
/// When a page cannot be read: there is nothing to test then.
pub fn pages() -> Vec<Page> {
    let folder = tests().join("rules");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "yaml"))
        .collect();
    files.sort();
    files.iter().map(|file| page(file)).collect()
}

fn page(file: &Path) -> Page {
    let page: Page = serde_saphyr::from_str(&read(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    assert_eq!(page.rule, stem, "a page is named after its rule");
    page
}

/// The objects around the captured requests of each folder of `tests/fixtures/requests`, by their names in
/// `tests/fixtures/objects`.
const AROUND: [(&str, &[&str]); 7] = [
    ("argocd-3.6", &["deployment-web-argocd", "application-shop", "namespace-shop"]),
    ("declared", &["hpa-vmagent-main", "hpa-function-exclaim"]),
    (
        "edited",
        &["gatewayclass-eg-1.9.1", "gateway-eg-1.9.1", "envoyproxy-fleet-1.9.1", "deployment-envoy-gateway-1.9.1"],
    ),
    (
        "envoy-gateway-1.3.0",
        &["gatewayclass-eg-1.3.0", "gateway-eg-1.3.0", "hpa-fleet-1.3.0", "deployment-envoy-gateway-1.3.0"],
    ),
    (
        "envoy-gateway-1.9.1",
        &["gatewayclass-eg-1.9.1", "gateway-eg-1.9.1", "hpa-fleet-1.9.1", "deployment-envoy-gateway-1.9.1"],
    ),
    ("flux-1.9", &["deployment-web-flux", "kustomization-shop", "namespace-shop"]),
    ("keda-hpa-helm3", &["scaledobject-web", "hpa-web-owned", "deployment-web", "namespace-shop"]),
];

/// All captured requests, as `folder/name`.
///
/// # Panics
/// When they cannot be listed.
pub fn requests() -> Vec<String> {
    let folder = tests().join("fixtures/requests");
    let list = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let name = |file: PathBuf| {
        let below = file.strip_prefix(&folder).unwrap_or(&file).with_extension("");
        below.to_str().unwrap_or_else(|| panic!("{}: not UTF-8", below.display())).to_owned()
    };
    let mut names: Vec<String> = list(&folder).iter().flat_map(|folder| list(folder)).map(name).collect();
    names.sort();
    names
}

/// The objects around a captured request, by their names.
///
/// # Panics
/// When nobody has said what is around the requests of its folder.
pub fn around(request: &str) -> &'static [&'static str] {
    let folder = request.split('/').next().unwrap_or_default();
    let known = AROUND.iter().find(|(known, _)| *known == folder);
    known.unwrap_or_else(|| panic!("{request}: say which objects are around it, in AROUND")).1
}

/// The built module.
///
/// # Panics
/// When `AUTOSCALER_GUARD_MODULE` does not name it.
pub fn module() -> Vec<u8> {
    let path = std::env::var_os("AUTOSCALER_GUARD_MODULE").map(PathBuf::from);
    let path =
        path.unwrap_or_else(|| panic!("AUTOSCALER_GUARD_MODULE names the module; `make test` builds it and sets it"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Something to judge, in whichever host.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What to call it.
    pub name: String,
    /// Request, settings and neighbours.
    pub world: World,
    /// What the neighbours are made of, see [`Case::documents`].
    pub documents: Vec<Value>,
}

/// Everything about which all hosts have to agree: every case of every page, and every captured request.
///
/// # Panics
/// When a page or a fixture cannot be read.
pub fn subjects() -> Vec<Subject> {
    let of_page = |page: Page| {
        page.cases.into_iter().map(move |case| {
            let name = format!("{}: {}", page.rule, case.name);
            Subject { name, world: case.world(), documents: case.documents() }
        })
    };
    let captured = |name: String| {
        let documents: Vec<Value> = around(&name).iter().map(|object| self::object(object)).collect();
        let cluster = Snapshot::from_objects(documents.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let world = World { request: request(&name), settings: Value::Null, cluster };
        Subject { name, world, documents }
    };
    pages().into_iter().flat_map(of_page).chain(requests().into_iter().map(captured)).collect()
}

/// A captured `AdmissionRequest`, by its path under `tests/fixtures/requests` without `.json`.
///
/// # Panics
/// When there is no such fixture.
pub fn request(name: &str) -> Value {
    let file = tests().join("fixtures/requests").join(format!("{name}.json"));
    let review: Value =
        serde_json::from_str(&read(&file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    review["request"].clone()
}

/// An object, by its name under `tests/fixtures/objects` without `.yaml`.
///
/// # Panics
/// When there is no such fixture.
pub fn object(name: &str) -> Value {
    // Cases share a handful of objects, and YAML is slow to read.
    static READ: Mutex<BTreeMap<String, Value>> = Mutex::new(BTreeMap::new());
    let mut read_before = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let object = read_before.entry(name.to_owned()).or_insert_with(|| {
        let file = tests().join("fixtures/objects").join(format!("{name}.yaml"));
        serde_saphyr::from_str(&read(&file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    });
    object.clone()
}

impl Case {
    /// Reads the files that the case names.
    ///
    /// # Panics
    /// When the case names what is not there.
    pub fn world(&self) -> World {
        let mut settings = self.settings.clone();
        let mut request = match (&self.request, &self.audit) {
            (Some(name), None) => request(name),
            (None, Some(name)) => {
                json_patch::merge(&mut settings, &json!({"audit": true}));
                replayed(&self.neighbour(name))
            }
            _ => panic!("{}: a case has either a request or an object to audit", self.name),
        };
        if !self.edit.is_null() {
            json_patch::merge(&mut request, &self.edit);
        }
        let cluster = Snapshot::from_objects(self.documents()).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        World { request, settings, cluster }
    }

    /// What the neighbours are made of: objects, and documents that say what goes wrong in their cluster.
    ///
    /// # Panics
    /// When the case names what is not there.
    pub fn documents(&self) -> Vec<Value> {
        let present = || self.cluster.iter().chain(&self.audit);
        for name in self.change.keys() {
            assert!(present().any(|known| known == name), "{}: changes {name}, which is not in its cluster", self.name);
        }
        present().map(|name| self.neighbour(name)).chain(self.objects.iter().cloned()).collect()
    }

    fn neighbour(&self, name: &str) -> Value {
        let mut object = object(name);
        if let Some(edit) = self.change.get(name) {
            json_patch::merge(&mut object, edit);
        }
        object
    }
}

/// An object as the audit scanner replays it (kubewarden/audit-scanner, `newAdmissionRequest`): created, by nobody,
/// with the kind in the resource's place.
pub fn replayed(object: &Value) -> Value {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = json!({"group": group, "version": version, "kind": object["kind"]});
    let resource = json!({"group": group, "version": version, "resource": object["kind"]});
    json!({
        "uid": object["metadata"]["uid"],
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "name": object["metadata"]["name"],
        "namespace": object["metadata"]["namespace"],
        "operation": "CREATE",
        "userInfo": {},
        "object": object,
        "oldObject": null,
        "options": null,
    })
}

impl World {
    /// The payload that a host hands to the policy; the neighbours go along in `cluster`, which the policy does not
    /// read, for those who answer its lookups from the payload itself.
    pub fn payload(&self) -> String {
        let cluster: Vec<&Value> = self.cluster.objects().collect();
        json!({"request": self.request, "settings": self.settings, "cluster": cluster}).to_string()
    }

    /// The core, run natively behind the same payload as the module.
    ///
    /// # Panics
    /// When the core's answer is no answer.
    pub fn natively(&self) -> Outcome {
        let lookups = Recorded::new(self.cluster.clone());
        let payload = format!(r#"{{"request":{},"settings":{}}}"#, self.request, self.settings);
        let answer = kubewarden::validate(payload.as_bytes(), &|operation, request| lookups.call(operation, request));
        let response = serde_json::from_slice(&answer).unwrap_or_else(|error| panic!("{error}"));
        Outcome { response, lookups: lookups.take() }
    }

    /// The module, in the waPC host.
    ///
    /// # Panics
    /// When the module gives no verdict.
    pub fn in_host(&self, policy: &Policy) -> Outcome {
        let lookups = Arc::new(Recorded::new(self.cluster.clone()));
        let capabilities: Arc<dyn Capabilities> = lookups.clone();
        let answer = policy.validate(&self.request.to_string(), &self.settings.to_string(), &capabilities);
        let response = answer.unwrap_or_else(|error| panic!("{error}"));
        Outcome { response, lookups: lookups.take() }
    }
}

impl Outcome {
    /// What became of the request.
    pub fn verdict(&self) -> Expect {
        let Response { accepted, mutated_object, warnings, audit_annotations, .. } = &self.response;
        match (accepted, mutated_object.is_some(), warnings.is_some(), audit_annotations.is_some()) {
            (false, ..) => Expect::Reject,
            (true, true, ..) => Expect::Repair,
            (true, false, true, _) => Expect::Warn,
            (true, false, false, true) => Expect::Allow,
            (true, false, false, false) => Expect::Silent,
        }
    }

    /// What the rule had to do with it: its verdict when it spoke, else whether it was acknowledged.
    pub fn verdict_of(&self, rule: &str) -> Expect {
        let audit = self.response.audit_annotations.as_ref();
        let names =
            |key: &str| audit.and_then(|audit| audit.get(key)).is_some_and(|ids| ids.split(',').any(|id| id == rule));
        match (names("rule"), names("allowed")) {
            (true, _) => self.verdict(),
            (false, true) => Expect::Allow,
            (false, false) => Expect::Silent,
        }
    }

    /// The lookups of objects and lists, without the questions about permissions.
    pub fn objects_looked_up(&self) -> usize {
        self.lookups.iter().filter(|call| call.operation != "can_i").count()
    }
}
