use std::collections::BTreeMap;

use autoscaler_guard::gate;
use autoscaler_guard_cases::{Expect, object, pages, request};
use cel::{Context, Program, Value as Cel};
use serde_json::{Value, json};

use super::*;

/// The webhook's conditions, as an API server has them.
struct Webhook(Vec<(&'static str, Program)>);

impl Webhook {
    fn new(settings: &Settings) -> Self {
        let compiled = |condition: Condition| match Program::compile(&condition.expression) {
            Ok(program) => (condition.name, program),
            Err(error) => panic!("{condition:?}: {error}"),
        };
        Self(all(settings).into_iter().map(compiled).collect())
    }

    /// Whether a request would be sent to it.
    fn is_sent(&self, request: &Value) -> bool {
        let mut context = Context::default();
        for (name, value) in
            [("request", request), ("object", &request["object"]), ("oldObject", &request["oldObject"])]
        {
            context.add_variable(name, value.clone()).unwrap();
        }
        self.0.iter().all(|(name, program)| match program.execute(&context) {
            Ok(Cel::Bool(holds)) => holds,
            other => panic!("{name}: {other:?} on {request}"),
        })
    }
}

fn is_sent(request: &Value, settings: &Settings) -> bool {
    Webhook::new(settings).is_sent(request)
}

fn settings(value: &Value) -> Settings {
    Settings::from_json(&value.to_string()).unwrap()
}

/// An update of an HPA that nobody owns, by which nothing is changed.
fn update() -> Value {
    let mut request = request("keda-hpa-helm3/007-update-horizontalpodautoscaler-lab-admin");
    request["oldObject"] = object("hpa-web-plain");
    request["object"] = object("hpa-web-plain");
    request
}

fn by(mut request: Value, user: &str) -> Value {
    request["userInfo"] = json!({"username": user, "groups": ["system:authenticated", "scalers"]});
    request
}

fn edited(mut request: Value, edit: &Value) -> Value {
    fn merge(target: &mut Value, edit: &Value) {
        match edit {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| merge(&mut target[key], value)),
            value => *target = value.clone(),
        }
    }
    merge(&mut request, edit);
    request
}

/// The request, and what others would make of it: controllers, clean-up, a write that changes nothing.
fn variants(request: &Value) -> Vec<Value> {
    let mut variants = vec![request.clone()];
    for user in [
        "system:serviceaccount:keda:keda-operator",
        "system:serviceaccount:envoy-gateway-system:envoy-gateway",
        "system:serviceaccount:kube-system:generic-garbage-collector",
    ] {
        variants.push(by(request.clone(), user));
    }
    let deletion = json!("2026-11-21T17:09:40Z");
    let (mut terminating, mut idle) = (request.clone(), request.clone());
    for metadata in ["/object/metadata", "/oldObject/metadata"] {
        if let Some(metadata) = terminating.pointer_mut(metadata).and_then(Value::as_object_mut) {
            metadata.insert("deletionTimestamp".to_owned(), deletion.clone());
        }
    }
    variants.push(terminating);
    if request["operation"] == "UPDATE" {
        idle["oldObject"] = request["object"].clone();
        idle["object"]["metadata"]["managedFields"] = json!([]);
        variants.push(idle);
    }
    variants
}

#[test]
fn what_is_kept_away_is_nothing_that_the_policy_would_speak_about() {
    let mut webhooks = BTreeMap::new();
    let (mut sent, mut kept) = (0, 0);
    for page in pages() {
        for case in &page.cases {
            let mut world = case.world();
            // An audit comes from a scanner, not from an API server.
            if world.settings["audit"] == true {
                continue;
            }
            let webhook =
                webhooks.entry(world.settings.to_string()).or_insert_with(|| Webhook::new(&settings(&world.settings)));
            for request in variants(&world.request) {
                if webhook.is_sent(&request) {
                    sent += 1;
                    continue;
                }
                kept += 1;
                world.request = request;
                let verdict = world.natively().verdict();
                assert_eq!(verdict, Expect::Silent, "{}: {}: {}", page.rule, case.name, world.request);
            }
        }
    }
    assert!(sent > 300 && kept > 1000, "{sent} sent, {kept} kept away");
}

#[test]
fn controllers_are_not_asked_about_but_for_what_one_rule_answers() {
    let everyone = settings(&json!({}));
    let touched = edited(update(), &json!({"object": {"spec": {"maxReplicas": 99}}}));
    assert!(is_sent(&by(touched.clone(), "jane"), &everyone));
    let keda = "system:serviceaccount:keda:keda-operator";
    for user in
        gate::KUBERNETES_CONTROLLERS.iter().chain(&[keda, "system:serviceaccount:envoy-gateway-system:envoy-gateway"])
    {
        assert!(!is_sent(&by(touched.clone(), user), &everyone), "{user}");
    }
    let marked = json!({"oldObject": {"metadata": {"annotations": {RELEASED_FROM: "web/uid/1"}}}});
    assert!(is_sent(&by(edited(touched.clone(), &marked), keda), &everyone));
    assert!(!is_sent(&by(edited(touched.clone(), &marked), gate::KUBERNETES_CONTROLLERS[0]), &everyone));
    let mut creation = by(touched, keda);
    creation["operation"] = json!("CREATE");
    creation["oldObject"] = Value::Null;
    assert!(!is_sent(&creation, &everyone));
}

#[test]
fn the_settings_say_who_else_need_not_ask() {
    let touched = edited(update(), &json!({"object": {"spec": {"maxReplicas": 99}}}));
    let sent = |user: &str, given: &Value| is_sent(&by(touched.clone(), user), &settings(given));
    let patterns = json!({"exempt": {"users": ["ci-*", "o'brien\\", "a.b"]}});
    assert!(!sent("ci-1", &patterns) && !sent("o'brien\\", &patterns) && !sent("a.b", &patterns));
    assert!(sent("xci-1", &patterns) && sent("aXb", &patterns) && sent("jane", &patterns));
    assert!(
        !sent("a.b1", &json!({"exempt": {"users": ["a.b*"]}})) && sent("axb1", &json!({"exempt": {"users": ["a.b*"]}}))
    );
    assert!(
        !sent("jane", &json!({"exempt": {"groups": ["scal*"]}})) && sent("jane", &json!({"exempt": {"groups": ["x"]}}))
    );
    let keda = json!({"controllers": {"keda": ["system:serviceaccount:scaling:*"]}});
    assert!(
        !sent("system:serviceaccount:scaling:keda", &keda) && sent("system:serviceaccount:keda:keda-operator", &keda)
    );
    assert!(sent("jane", &json!({"controllers": {"keda": [], "envoyGateway": []}})));
}

#[test]
fn updates_of_bookkeeping_and_clean_up_are_kept_away() {
    let everyone = settings(&json!({}));
    let sent = |edit: &Value| is_sent(&edited(update(), edit), &everyone);
    assert!(!sent(&json!({})));
    let owned = json!({"oldObject": object("hpa-web-owned"), "object": object("hpa-web-owned")});
    assert!(sent(&owned), "it may be a handover");
    assert!(!sent(
        &json!({"object": {"metadata": {"managedFields": [], "resourceVersion": "9", "generation": 9}, "status": {}}})
    ));
    for touched in [
        json!({"spec": {"maxReplicas": 99}}),
        json!({"spec": null}),
        json!({"metadata": {"labels": {"a": "b"}}}),
        json!({"metadata": {"annotations": {"a": "b"}}}),
        json!({"metadata": {"finalizers": ["a"]}}),
        json!({"metadata": {"ownerReferences": []}}),
    ] {
        assert!(sent(&json!({"object": touched})), "{touched}");
        let terminating = json!({"object": {"metadata": {"deletionTimestamp": "2026-11-21T17:09:40Z"}}});
        assert!(!is_sent(&edited(edited(update(), &json!({"object": touched})), &terminating), &everyone), "{touched}");
    }
    let deletion = request("keda-hpa-helm3/008-delete-scaledobject-lab-admin");
    assert!(is_sent(&deletion, &everyone));
    let terminating = json!({"oldObject": {"metadata": {"deletionTimestamp": "2026-11-21T17:09:40Z"}}});
    assert!(!is_sent(&edited(deletion, &terminating), &everyone));
}

#[test]
fn an_object_without_any_metadata_of_note_is_no_error() {
    let mut bare = update();
    for side in ["object", "oldObject"] {
        bare[side] = json!({"metadata": {"name": "web"}});
    }
    assert!(!is_sent(&bare, &settings(&json!({}))));
    bare["oldObject"] = object("hpa-web-plain");
    assert!(is_sent(&bare, &settings(&json!({}))));
    let nobody = edited(bare, &json!({"userInfo": {"username": ""}}));
    assert!(is_sent(&nobody, &settings(&json!({"exempt": {"groups": ["x"]}}))));
}

#[test]
fn of_a_declared_group_just_the_declared_kinds_are_sent() {
    let declared = |api: &str, kind: &str, pointer: &str| json!({"apiVersion": api, "kind": kind, "pointer": pointer, "hpa": {"name": "{name}"}});
    let settings = settings(&json!({"declarations": [
        declared("example.com/v1", "Fleet", "/spec/hpa"),
        declared("example.com/v2", "Farm", "/hpa"),
        declared("keda.sh/v1alpha1", "Other", "/spec/hpa"),
    ]}));
    let of = |group: &str, kind: &str| {
        let mut request = by(update(), "jane");
        request["kind"] = json!({"group": group, "version": "v1", "kind": kind});
        request["object"]["spec"]["maxReplicas"] = json!(99);
        request
    };
    for (group, kind, expected) in [
        ("example.com", "Fleet", true),
        ("example.com", "Farm", true),
        ("example.com", "Tractor", false),
        ("keda.sh", "Other", true),
        ("keda.sh", "ScaledObject", true),
        ("keda.sh", "ScaledJob", false),
        // Of groups that nobody declared, the rules of the webhook choose.
        ("autoscaling", "HorizontalPodAutoscaler", true),
    ] {
        assert_eq!(is_sent(&of(group, kind), &settings), expected, "{group} {kind}");
    }
    // It declares its HPA outside the spec.
    let mut elsewhere = of("example.com", "Farm");
    elsewhere["object"] = elsewhere["oldObject"].clone();
    assert!(is_sent(&elsewhere, &settings));
    elsewhere["kind"]["kind"] = json!("Fleet");
    assert!(!is_sent(&elsewhere, &settings));
}
