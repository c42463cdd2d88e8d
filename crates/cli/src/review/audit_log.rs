//! An API server's audit log: which of its writes would have been refused or repaired.
//!
//! Each write is judged in the cluster as the log and `--cluster` have shown it until then. What was there before an
//! update is the last that was seen of the object. A write without its body, as below level `RequestResponse`, cannot
//! be judged, and neither can one of an object that was not seen before; they are counted. Workloads are unknown where
//! neither shows any: few log them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use autoscaler_guard::{Settings, VerdictKind};
use autoscaler_guard_host::{Capabilities, Snapshot};
use serde_json::{Value, json};

use super::judge::Judge;
use super::judgement::Judgement;
use super::neighbours::Neighbours;
use super::request::Request;
use super::settings::SettingsText;
use crate::answer::Answer;
use crate::arguments::{ReviewOptions, ReviewOutput};
use crate::documents::{Source, is_stdin};
use crate::fault::Fault;
use crate::paint::{self, BAD, FAINT, REPAIR, STRONG, paint};

/// The cluster as far as it was shown.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Snapshot>>);

impl Shown {
    fn cluster(&self) -> MutexGuard<'_, Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Capabilities for Shown {
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        self.cluster().call(operation, request)
    }
}

/// The kinds of workloads that there are wherever there are autoscalers.
const WORKLOADS: &[(&str, &str)] = &[("deployments", "Deployment"), ("statefulsets", "StatefulSet")];

/// Something that would have been said about a write.
struct Finding {
    time: String,
    judgement: Judgement,
}

impl Finding {
    fn user(&self) -> &str {
        self.judgement.request.user().unwrap_or_default()
    }

    fn verdict(&self) -> &'static str {
        self.judgement.verdict().word()
    }

    /// The first sentence of what was said.
    fn sentence(&self) -> &str {
        let response = &self.judgement.response;
        let refusal = response.status.as_ref().and_then(|status| status.message.as_deref());
        let warning = response.warnings.iter().flatten().next().map(String::as_str);
        refusal.or(warning).unwrap_or_default().lines().next().unwrap_or_default()
    }
}

/// What is known while the log is read.
struct Reader<'r> {
    judge: &'r Judge,
    settings: &'r SettingsText,
    known: Settings,
    shown: Shown,
    neighbours: Neighbours,
    last: BTreeMap<String, Value>,
    judged: usize,
    not_judged: usize,
    assumed: usize,
    findings: Vec<Finding>,
    faults: Vec<Fault>,
}

/// Judges all writes of the logs.
pub fn run(options: &ReviewOptions, judge: &Judge, settings: &SettingsText) -> Result<Answer, Fault> {
    let cluster = Snapshot::from_paths(&options.cluster)
        .map_err(|error| Fault::new("the cluster's objects cannot be used").because(error))?;
    let logs: Vec<Result<Source, Fault>> = options
        .sources
        .audit_log
        .iter()
        .map(|path| if is_stdin(path) { Source::stdin("an audit log") } else { Source::file(path) })
        .collect();
    let mut reader = Reader::new(judge, settings, cluster, &logs);
    for log in logs {
        match log {
            Ok(source) => reader.read(&source),
            Err(fault) => reader.faults.push(fault),
        }
    }
    if reader.judged + reader.not_judged == 0 && reader.faults.is_empty() {
        return Err(Fault::new("there is no write of a kind that rules watch in the audit log").help(
            "the audit policy has to log HPAs, ScaledObjects and Envoy Gateway's kinds at level RequestResponse",
        ));
    }
    let text = match options.output {
        ReviewOutput::Human => reader.human(),
        ReviewOutput::Json => reader.json()?,
    };
    let fails = reader.findings.iter().any(|finding| options.fail_on.fails(finding.judgement.verdict()));
    Ok(Answer { text, code: u8::from(fails), faults: reader.faults })
}

impl<'r> Reader<'r> {
    fn new(
        judge: &'r Judge,
        settings: &'r SettingsText,
        mut cluster: Snapshot,
        logs: &[Result<Source, Fault>],
    ) -> Self {
        let in_cluster: BTreeSet<&str> = cluster.objects().filter_map(|object| object["kind"].as_str()).collect();
        let is_shown = |resource: &str, kind: &str| {
            let logged = format!("\"objectRef\":{{\"resource\":\"{resource}\"");
            in_cluster.contains(kind) || logs.iter().flatten().any(|log| log.text.contains(&logged))
        };
        let unknown: Vec<&str> =
            WORKLOADS.iter().filter(|(resource, kind)| !is_shown(resource, kind)).map(|(_, kind)| *kind).collect();
        for kind in unknown {
            cluster.not_granted("apps/v1", kind);
        }
        let last = cluster.objects().map(|object| (place_of(object), object.clone())).collect();
        let shown = Shown(Arc::new(Mutex::new(cluster)));
        Self {
            judge,
            settings,
            known: settings.known(),
            neighbours: Neighbours::filling(Arc::new(shown.clone())),
            shown,
            last,
            judged: 0,
            not_judged: 0,
            assumed: 0,
            findings: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn read(&mut self, source: &Source) {
        for (index, line) in source.text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let origin = format!("{}, line {}", source.name, index + 1);
            match serde_json::from_str::<Value>(line) {
                Ok(event) => self.event(&origin, &event),
                Err(error) => self.faults.push(Fault::new(format!("{origin} is no event")).because(error)),
            }
        }
    }

    /// An event is judged first, and counts for the cluster next.
    fn event(&mut self, origin: &str, event: &Value) {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let is_done = matches!(text("/stage"), "" | "ResponseComplete");
        let is_fine = event.pointer("/responseStatus/code").and_then(Value::as_u64).is_none_or(|code| code < 300);
        if !is_done || !is_fine {
            return;
        }
        let is_write = matches!(text("/verb"), "create" | "update" | "patch" | "delete" | "deletecollection");
        let is_dry = text("/requestURI").contains("dryRun=");
        if is_write && text("/objectRef/subresource").is_empty() && is_watched(text("/objectRef/resource")) {
            match self.request(origin, event) {
                Some(request) if request.is_watched(&self.known) => {
                    self.judge(text("/requestReceivedTimestamp"), &request);
                }
                Some(_) => {}
                None => self.not_judged += 1,
            }
        }
        if !is_dry {
            self.learn(event);
        }
    }

    fn judge(&mut self, time: &str, request: &Request) {
        match Judgement::of(self.judge, request, self.settings, &self.neighbours) {
            Ok(judgement) => {
                self.judged += 1;
                let speaks = judgement.verdict() != VerdictKind::Allowed;
                self.assumed += usize::from(speaks && !judgement.assumed_absent.is_empty());
                if speaks {
                    self.findings.push(Finding { time: time.to_owned(), judgement });
                }
            }
            Err(fault) => self.faults.push(fault),
        }
    }

    /// The request that an event was, as admission saw it.
    fn request(&self, origin: &str, event: &Value) -> Option<Request> {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let body = object_of(&event["responseObject"]);
        let sent = object_of(&event["requestObject"]);
        let operation = match text("/verb") {
            "create" => "CREATE",
            "update" | "patch" => "UPDATE",
            "delete" => "DELETE",
            _ => return None,
        };
        let now = body.or(sent.filter(|_| operation == "CREATE"));
        let before = self.before(event, now);
        let (old, new) = match operation {
            "CREATE" => (None, Some(now?)),
            // A server-side apply creates, too.
            "UPDATE" if before.is_none() && is_new(now?) => (None, now),
            "UPDATE" => (Some(before?), Some(now?)),
            _ => (Some(before.or(body)?), None),
        };
        let object = new.or(old)?;
        let version = object["apiVersion"].as_str().unwrap_or_default();
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let uri = text("/requestURI");
        let options = match operation {
            "DELETE" if event["requestObject"]["kind"] == "DeleteOptions" => event["requestObject"].clone(),
            "DELETE" => json!({}),
            _ => json!({"fieldManager": parameter(uri, "fieldManager")}),
        };
        let value = json!({
            "uid": text("/auditID"),
            "kind": {"group": group, "version": version, "kind": object["kind"]},
            "operation": if old.is_none() { "CREATE" } else { operation },
            "name": object["metadata"]["name"],
            "namespace": text("/objectRef/namespace"),
            "userInfo": {"username": text("/user/username"), "groups": event["user"]["groups"]},
            "options": options,
            "dryRun": uri.contains("dryRun="),
            "object": new,
            "oldObject": old,
        });
        Request::new(origin, value)
    }

    /// The object as it was seen last.
    fn before(&self, event: &Value, now: Option<&Value>) -> Option<&Value> {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let name = now.and_then(|now| now["metadata"]["name"].as_str()).unwrap_or_else(|| text("/objectRef/name"));
        let (group, resource) = (text("/objectRef/apiGroup"), text("/objectRef/resource"));
        self.last.get(&place(group, resource, text("/objectRef/namespace"), name))
    }

    fn keep(&mut self, object: Value) {
        self.last.insert(place_of(&object), object.clone());
        // What is no object of a cluster is none to look up either.
        drop(self.shown.cluster().insert(object));
    }

    fn forget(&mut self, object: &Value) {
        let field = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (api, kind, name) =
            (field(&object["apiVersion"]), field(&object["kind"]), field(&object["metadata"]["name"]));
        self.last.remove(&place_of(object));
        self.shown.cluster().remove(&api, &kind, object["metadata"]["namespace"].as_str(), &name);
    }

    /// What an event shows of the cluster.
    fn learn(&mut self, event: &Value) {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (body, part) = (&event["responseObject"], text("/objectRef/subresource"));
        if text("/verb") == "delete" && part.is_empty() {
            let stays = object_of(body).filter(|object| !object["metadata"]["finalizers"].is_null());
            match (stays.cloned(), self.before(event, None).cloned()) {
                (Some(object), _) => self.keep(object),
                (None, Some(gone)) => self.forget(&gone),
                (None, None) => {}
            }
            return;
        }
        let typed = body["kind"].as_str().and_then(|kind| kind.strip_suffix("List"));
        for item in body["items"].as_array().into_iter().flatten() {
            let mut item = item.clone();
            if let (Some(kind), true) = (typed, item["kind"].is_null() && item.is_object()) {
                item["kind"] = json!(kind);
                item["apiVersion"] = body["apiVersion"].clone();
            }
            self.keep(item);
        }
        if part == "scale" {
            let count = body.pointer("/spec/replicas").cloned();
            if let (Some(count), Some(mut object)) = (count, self.before(event, None).cloned()) {
                object["spec"]["replicas"] = count;
                self.keep(object);
            }
        } else if let Some(object) = object_of(body).cloned() {
            let is_done =
                !object["metadata"]["deletionTimestamp"].is_null() && object["metadata"]["finalizers"].is_null();
            if is_done { self.forget(&object) } else { self.keep(object) }
        }
    }

    /// How often something was said, by what.
    fn totals<'f>(
        &'f self,
        by: impl Fn(&'f Finding) -> Vec<&'f str>,
    ) -> BTreeMap<&'f str, BTreeMap<&'static str, usize>> {
        let mut totals: BTreeMap<&str, BTreeMap<&'static str, usize>> = BTreeMap::new();
        for finding in &self.findings {
            for name in by(finding) {
                *totals.entry(name).or_default().entry(finding.verdict()).or_default() += 1;
            }
        }
        totals
    }

    fn by_rule(&self) -> BTreeMap<&str, BTreeMap<&'static str, usize>> {
        self.totals(|finding| finding.judgement.response.rules().collect())
    }

    fn by_user(&self) -> BTreeMap<&str, BTreeMap<&'static str, usize>> {
        self.totals(|finding| vec![finding.user()])
    }

    fn human(&self) -> String {
        let mut lines = Vec::new();
        for finding in self.findings.iter().filter(|finding| finding.judgement.verdict() != VerdictKind::Warned) {
            let (verdict, request) = (finding.judgement.verdict(), &finding.judgement.request);
            let style = if verdict == VerdictKind::Rejected { BAD } else { REPAIR };
            let (word, when) = (paint(style, finding.verdict()), paint(FAINT, &finding.time));
            lines.push(format!("{when} {word} {} {}: {}", request.change(), request.author(), finding.sentence()));
        }
        for (title, totals) in [("by rule", self.by_rule()), ("by user", self.by_user())] {
            if totals.is_empty() {
                continue;
            }
            lines.push(String::new());
            lines.push(paint(STRONG, title));
            for (name, counts) in totals {
                let counts: Vec<String> = counts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
                lines.push(format!("  {name}: {}", counts.join(", ")));
            }
        }
        lines.push(String::new());
        let findings = paint::count(self.findings.len(), "finding");
        lines.push(format!("{} judged, {findings}", paint::count(self.judged, "write")));
        if self.not_judged > 0 {
            lines.push(format!(
                "{} not judged: their bodies are not in the log",
                paint::count(self.not_judged, "write")
            ));
        }
        if self.assumed > 0 {
            let those = paint::count(self.assumed, "finding");
            lines.push(format!("{those} took objects for absent that the log does not show; --cluster adds them"));
        }
        lines.join("\n").trim_start().to_owned() + "\n"
    }

    fn json(&self) -> Result<String, Fault> {
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                let request = &finding.judgement.request;
                json!({
                    "time": finding.time, "verdict": finding.verdict(), "rules": finding.judgement.rules(), "change": request.change(),
                    "user": finding.user(), "origin": request.origin, "message": finding.sentence(),
                    "assumedAbsent": finding.judgement.assumed_absent,
                })
            })
            .collect();
        let value = json!({
            "judged": self.judged, "notJudged": self.not_judged, "findings": findings, "byRule": self.by_rule(), "byUser": self.by_user(),
        });
        let text = serde_json::to_string_pretty(&value);
        text.map(|text| text + "\n")
            .map_err(|error| Fault::new("the verdicts cannot be written as JSON").because(error))
    }
}

/// Whether any rule watches objects of this resource.
fn is_watched(resource: &str) -> bool {
    let watched = [
        "horizontalpodautoscalers",
        "scaledobjects",
        "httpscaledobjects",
        "envoyproxies",
        "gateways",
        "gatewayclasses",
        "customresourcedefinitions",
        "apiservices",
    ];
    watched.contains(&resource)
}

/// Where an object is, by its resource.
fn place(group: &str, resource: &str, namespace: &str, name: &str) -> String {
    format!("{group}/{resource}/{namespace}/{name}")
}

/// The same of an object. Its resource is the plural of its kind, as far as the kinds here go.
fn place_of(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let kind = text("/kind").to_ascii_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with('a') => format!("{stem}ies"),
        _ if kind.ends_with('s') || kind.ends_with('x') => format!("{kind}es"),
        _ => format!("{kind}s"),
    };
    let group = text("/apiVersion").split_once('/').map_or("", |(group, _)| group);
    place(group, &plural, text("/metadata/namespace"), text("/metadata/name"))
}

/// An object that is no status and no options.
fn object_of(value: &Value) -> Option<&Value> {
    let is_object = value["metadata"]["name"].is_string() && !matches!(value["kind"].as_str(), None | Some("Status"));
    is_object.then_some(value)
}

/// Whether an object was only just created.
fn is_new(object: &Value) -> bool {
    object["metadata"]["generation"].as_i64().unwrap_or(1) <= 1
        && object["status"].as_object().is_none_or(serde_json::Map::is_empty)
}

/// A parameter of a request's address.
fn parameter<'u>(uri: &'u str, name: &str) -> &'u str {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let found = query.split('&').filter_map(|part| part.split_once('=')).find(|(key, _)| *key == name);
    found.map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_their_resource() {
        for (kind, resource) in [
            ("EnvoyProxy", "envoyproxies"),
            ("GatewayClass", "gatewayclasses"),
            ("Gateway", "gateways"),
            ("ScaledObject", "scaledobjects"),
        ] {
            let object = json!({"apiVersion": "a/v1", "kind": kind, "metadata": {"name": "n"}});
            assert_eq!(place_of(&object), format!("a/{resource}//n"));
        }
    }

    #[test]
    fn the_field_manager_is_in_the_address() {
        let uri = "/apis/apps/v1/namespaces/shop/deployments?fieldManager=helm&dryRun=All";
        assert_eq!((parameter(uri, "fieldManager"), parameter("/apis", "fieldManager")), ("helm", ""));
    }
}
