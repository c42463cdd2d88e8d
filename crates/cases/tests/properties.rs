//! What must hold for any input: a verdict or a clear error, never a crash, and a repair that changes nothing but what
//! it says.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::sync::LazyLock;

use autoscaler_guard::kubewarden;
use autoscaler_guard_cases::{Case, World, pages};
use autoscaler_guard_host::Response;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Every case's world: real requests and real neighbours to start from.
static WORLDS: LazyLock<Vec<World>> =
    LazyLock::new(|| pages().iter().flat_map(|page| page.cases.iter().map(Case::world).collect::<Vec<_>>()).collect());

fn nothing(_: &str, _: &[u8]) -> Result<Vec<u8>, String> {
    Err("no cluster".to_owned())
}

fn answer(payload: &[u8]) -> Response {
    serde_json::from_slice(&kubewarden::validate(payload, &nothing)).expect("the answer is a ValidationResponse")
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000..1000).prop_map(|eighths: i32| Value::from(f64::from(eighths) / 8.0)),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("web")),
        Just(json!("autoscaler-guard/released-from")),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map("\\PC{0,10}|metadata|spec|ownerReferences|annotations", inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Every place in a value, as JSON pointers.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                places(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), into);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{at}/{index}"), into));
        }
        _ => {}
    }
}

/// A real world with a few things in its request changed to anything.
fn any_world() -> impl Strategy<Value = World> {
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any_json()), 0..4);
    (any::<prop::sample::Index>(), edits).prop_map(|(which, edits)| {
        let mut world = which.get(&WORLDS).clone();
        for (at, value) in edits {
            let mut found = Vec::new();
            places(&world.request, "", &mut found);
            let chosen: &String = at.get(&found);
            if let Some(place) = world.request.pointer_mut(chosen) {
                *place = value;
            }
        }
        world
    })
}

/// Whether a patch touches only what rules say that they repair.
fn is_announced(path: &str) -> bool {
    ["/metadata/ownerReferences", "/metadata/annotations", "/metadata/labels", "/metadata/finalizers", "/spec"]
        .iter()
        .any(|part| path.starts_with(part))
}

proptest! {
    #[test]
    fn arbitrary_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!answer(&bytes).accepted);
        let settings: Value = serde_json::from_slice(&kubewarden::validate_settings(&bytes)).expect("the answer is JSON");
        prop_assert!(settings["valid"].is_boolean());
    }

    #[test]
    fn arbitrary_json_gets_an_answer(request in any_json(), settings in any_json()) {
        let payload = json!({"request": request, "settings": settings}).to_string();
        answer(payload.as_bytes());
        let settings: Value = serde_json::from_slice(&kubewarden::validate_settings(settings.to_string().as_bytes())).expect("JSON");
        prop_assert_eq!(settings["valid"].as_bool() == Some(false), settings["message"].is_string());
    }

    #[test]
    fn damaged_real_requests_keep_the_laws(world in any_world()) {
        let response = world.natively().response;
        for warning in response.warnings.iter().flatten() {
            prop_assert!(warning.chars().count() <= 256, "{}", warning);
        }
        if !response.accepted {
            let code = response.code.unwrap_or_default();
            prop_assert!((400..500).contains(&code) && code != 409);
            prop_assert!(response.message.is_some_and(|message| message.starts_with("autoscaler-guard")));
            prop_assert!(response.warnings.is_some());
        }
        if let Some(mutated) = response.mutated_object {
            prop_assert_ne!(&world.request["operation"], "DELETE");
            let patch = json_patch::diff(&world.request["object"], &mutated);
            for operation in &patch.0 {
                prop_assert!(is_announced(operation.path().as_str()), "{}", operation);
            }
        }
    }
}

#[test]
fn deep_nesting_and_huge_objects_get_an_answer() {
    let deep = format!(
        r#"{{"request":{{"operation":"UPDATE","kind":{{"group":"keda.sh","kind":"ScaledObject"}},"object":{}1{}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(!answer(deep.as_bytes()).accepted);
    let annotations: serde_json::Map<String, Value> =
        (0..20_000).map(|index| (format!("key-{index}"), json!("x".repeat(50)))).collect();
    let object = json!({"metadata": {"name": "web", "namespace": "shop", "annotations": annotations}, "spec": {}});
    let request = json!({"operation": "UPDATE", "kind": {"group": "autoscaling", "kind": "HorizontalPodAutoscaler"}, "object": object, "oldObject": object});
    assert!(answer(json!({"request": request, "settings": null}).to_string().as_bytes()).accepted);
}
