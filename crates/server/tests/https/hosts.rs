//! One walk over everything that hosts have to agree about, through each of them: the core, the module in the waPC
//! host, JavaScript's package, the webhook and Gatekeeper's provider.

use autoscaler_guard_cases::{Expect, Outcome, Subject, World, module, pages, subjects};
use autoscaler_guard_host::{Call, Limits as GuestLimits, Lookup, Outcome as Lookedup, Policy};
use autoscaler_guard_web as web;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_host_gives_the_same_answer() {
    let (policy, webhook, gatekeeper) = (policy(), Served::start(Host::ApiServer), Served::start(Host::Gatekeeper));
    let subjects = subjects();
    assert!(subjects.len() > 700, "only {} were found", subjects.len());
    for Subject { name, world, documents } in subjects {
        let core = world.natively();
        let in_module = world.in_host(&policy);
        assert_eq!((&core.response, &core.lookups), (&in_module.response, &in_module.lookups), "{name}, the module");
        assert_eq!(in_javascript(&world, documents), said_in_javascript(&core), "{name}, JavaScript");
        assert_eq!(webhook.validated(&world).await, said_by_webhook(&core), "{name}, the webhook");
        // Gatekeeper cannot repair.
        let world = without_repair(world);
        assert_eq!(gatekeeper.provided(&world).await, said_to_gatekeeper(&world.natively()), "{name}, Gatekeeper");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_nobody_can_make_is_a_refusal() {
    let repaired = pages().into_iter().flat_map(|page| page.cases).find(|case| case.expect == Expect::Repair);
    let answer = Served::start(Host::Gatekeeper).provided(&repaired.unwrap().world()).await;
    assert_eq!(answer["allowed"], false);
    assert!(answer["message"].as_str().unwrap().contains("not allow mutations"), "{answer}");
}

/// Lines 6 and 13 of docs/serve.md, "What it withstands", in every host.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_chooses_how_much_is_looked_up_or_what_a_terminal_does() {
    let (policy, webhook) = (policy(), Served::start(Host::ApiServer));
    let refused = |page: &autoscaler_guard_cases::Page| page.rule == "duplicate-autoscaler";
    let case = |case: &autoscaler_guard_cases::Case| {
        case.expect == Expect::Reject && case.world().request["kind"]["kind"] == "HorizontalPodAutoscaler"
    };
    let page = pages().into_iter().find(refused).unwrap();
    let mut world = page.cases.into_iter().find(case).unwrap().world();
    let owner = |number: usize| json!({"apiVersion": format!("v{number}.example.com/v1"), "kind": "Owner", "name": format!("owner-{number}"), "uid": format!("{number}")});
    world.request["object"]["metadata"]["ownerReferences"] = json!((0..5000).map(owner).collect::<Vec<_>>());
    world.request["object"]["metadata"]["annotations"]["autoscaler-guard/allow"] = json!("\u{1b}[2J\u{202e}");
    let core = world.natively();
    let module = world.in_host(&policy);
    assert_eq!((&core.response, &core.lookups), (&module.response, &module.lookups));
    assert_eq!(webhook.validated(&world).await, said_by_webhook(&core));
    assert!(core.lookups.len() <= autoscaler_guard::cluster::MOST_QUESTIONS, "{}", core.lookups.len());
    assert_eq!(core.verdict(), Expect::Reject, "what is refused without owners is with them");
    let message = core.response.message.clone().unwrap();
    assert!(message.contains(r"\u{1b}[2J\u{202e}") && !message.contains(['\u{1b}', '\u{202e}']), "{message}");
    let answer = in_javascript(&world, Vec::new());
    assert!(answer["lookups"].as_array().unwrap().len() <= autoscaler_guard::cluster::MOST_QUESTIONS);
}

fn policy() -> Policy {
    let policy = Policy::load(&module(), GuestLimits::default()).unwrap();
    // The natively run core has no metadata that would keep a kind from it.
    policy.with_every_kind_granted()
}

fn without_repair(mut world: World) -> World {
    if !world.settings.is_object() {
        world.settings = json!({});
    }
    world.settings["repair"] = json!(false);
    world
}

fn rules(core: &Outcome) -> String {
    core.response.audit_annotations.as_ref().and_then(|audit| audit.get("rule")).cloned().unwrap_or_default()
}

// JavaScript's package.

fn in_javascript(world: &World, documents: Vec<Value>) -> Value {
    let (request, settings) = (world.request.to_string(), world.settings.to_string());
    let review = match web::review(&request, &Value::from(documents).to_string(), &settings) {
        web::Answer::Reviewed(review) => review,
        other => panic!("{other:?}"),
    };
    let object: Value = review.object.as_ref().map_or(Value::Null, |object| object.get().parse().unwrap());
    let asked = |web::Lookup { lookup, outcome, failed }: &web::Lookup| {
        json!([lookup, if *failed { "failed" } else { outcome }])
    };
    json!({
        "verdict": review.verdict.word(), "message": review.message, "code": review.code, "object": object,
        "warnings": review.warnings, "audit": review.audit_annotations, "rules": review.rules.join(","),
        "lookups": review.lookups.iter().map(asked).collect::<Vec<_>>(),
    })
}

fn said_in_javascript(core: &Outcome) -> Value {
    let verdict = match core.verdict() {
        // Allowed is what somebody acknowledged.
        Expect::Silent | Expect::Allow => "allowed",
        Expect::Warn => "warned",
        Expect::Repair => "repaired",
        Expect::Reject => "rejected",
    };
    let response = &core.response;
    json!({
        "verdict": verdict, "message": response.message, "code": response.code, "object": response.mutated_object,
        "warnings": response.warnings.clone().unwrap_or_default(),
        "audit": response.audit_annotations.clone().unwrap_or_default(), "rules": rules(core),
        "lookups": core.lookups.iter().map(asked).collect::<Vec<_>>(),
    })
}

/// A question, and what came of it: the texts of failures are each host's own, so a failure is just one.
fn asked(call: &Call) -> Value {
    let lookup = Lookup::parse(&call.operation, &call.request).expect("the core asks what hosts understand");
    let answer = || serde_json::from_slice::<Value>(call.outcome.as_ref().unwrap()).unwrap();
    let outcome = match (Lookedup::of(&call.outcome), &lookup) {
        (Lookedup::Answered, Lookup::Get(_)) => "found".to_owned(),
        (Lookedup::Answered, Lookup::List(_)) => match answer()["items"].as_array().map_or(0, Vec::len) {
            1 => "1 object".to_owned(),
            count => format!("{count} objects"),
        },
        (Lookedup::Answered, Lookup::CanI(_)) => if answer()["allowed"] == true { "yes" } else { "no" }.to_owned(),
        (Lookedup::Absent, _) => "absent".to_owned(),
        (Lookedup::NotServed | Lookedup::Failed, _) => "failed".to_owned(),
    };
    json!([lookup.to_string(), outcome])
}

// The servers.

/// A server whose settings and cluster are those of the world that is asked about.
struct Served {
    lab: Lab,
    client: Connected,
    now: Arc<Now>,
}

/// The built-in rules, in a world that changes.
struct Now(Mutex<(Value, Snapshot)>);

impl Judge for Now {
    fn judge(&self, request: &str, lookups: &Arc<dyn Capabilities>) -> Result<Verdict, String> {
        let settings = self.0.lock().unwrap().0.clone();
        judged(request, &settings, lookups)
    }

    fn may_change(&self) -> bool {
        true
    }
}

impl Capabilities for Now {
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        self.0.lock().unwrap().1.call(operation, request)
    }
}

impl Served {
    fn start(host: Host) -> Self {
        let now = Arc::new(Now(Mutex::new((Value::Null, Snapshot::default()))));
        let (judge, cluster): (Arc<dyn Judge>, Arc<dyn Capabilities>) = (now.clone(), now.clone());
        let lab = Lab::start_for(host, Files::new(), judge, cluster, Limits::default());
        let client = connected(client(&lab.trusted, &[&TLS13], None));
        Self { lab, client, now }
    }

    async fn ask(&self, world: &World, path: &str, body: String) -> super::Answer {
        *self.now.0.lock().unwrap() = (world.settings.clone(), world.cluster.clone());
        send_over(&self.client, "POST", &format!("{}{path}", self.lab.address), body).await.unwrap()
    }

    async fn validated(&self, world: &World) -> Value {
        let mut request = world.request.clone();
        if request["uid"].as_str().unwrap_or_default().is_empty() {
            request["uid"] = json!("uid");
        }
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let response = self.ask(world, "/validate", review.to_string()).await.response();
        assert_eq!(response["uid"], request["uid"]);
        let object = response["patch"].as_str().map(|patch| {
            let patch = base64::prelude::BASE64_STANDARD.decode(patch).unwrap();
            let mut object = request["object"].clone();
            let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
            json_patch::patch(&mut object, &patch).unwrap();
            object
        });
        json!({
            "allowed": response["allowed"], "message": response["status"]["message"], "code": response["status"]["code"],
            "object": object, "warnings": response["warnings"], "audit": response["auditAnnotations"],
        })
    }

    async fn provided(&self, world: &World) -> Value {
        let key = gatekeepers(&world.request);
        let (status, mut response) = self.ask(world, "/gatekeeper", asking(&[&key])).await.provided();
        assert_eq!((status, response["items"][0]["key"].as_str()), (StatusCode::OK, Some(key.as_str())));
        response["items"][0]["value"].take()
    }
}

fn said_by_webhook(core: &Outcome) -> Value {
    let response = &core.response;
    json!({
        "allowed": response.accepted, "message": response.message, "code": response.code,
        "object": response.mutated_object, "warnings": response.warnings, "audit": response.audit_annotations,
    })
}

fn said_to_gatekeeper(core: &Outcome) -> Value {
    let response = &core.response;
    let rules = rules(core);
    json!({
        "allowed": response.accepted, "message": response.message.clone().unwrap_or_default(),
        "warnings": response.warnings.clone().unwrap_or_default(),
        "rules": rules.split(',').filter(|rule| !rule.is_empty()).collect::<Vec<_>>(),
    })
}

/// The request as Gatekeeper words it (gatekeeper, `pkg/target/review.go`).
fn gatekeepers(request: &Value) -> String {
    let mut review = request.clone();
    if review["operation"] == "DELETE" {
        review["object"] = review["oldObject"].clone();
    }
    review["namespaceObject"] = json!({"metadata": {"name": request["namespace"]}});
    review.to_string()
}
