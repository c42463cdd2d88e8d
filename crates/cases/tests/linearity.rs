//! What a rule that lists takes grows with the number of autoscalers in the namespace, and no faster.
//!
//! Nothing is timed: the host counts the module's instructions, which are the same on every machine.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::sync::Arc;

use autoscaler_guard_cases::{module, object, request};
use autoscaler_guard_host::{Capabilities, Limits, Lookup, Policy, Recorded, Response, Snapshot, Work};
use serde_json::{Value, json};

/// The numbers of HPAs, and of ScaledObjects as well, in the namespace.
const SIZES: [usize; 3] = [100, 1_000, 10_000];

fn policy() -> Policy {
    // Time does not matter here; memory does, so its limit is the usual one.
    let limits = Limits { time: std::time::Duration::from_mins(2), ..Limits::default() };
    let policy = Policy::load_counting(&module(), limits).unwrap_or_else(|error| panic!("{error}"));
    policy.with_every_kind_granted()
}

/// A ScaledObject and its HPA as KEDA makes them, of another workload than `web`.
fn pair(number: usize, scaled_object: &Value, hpa: &Value) -> [Value; 2] {
    let (name, uid) = (format!("service-{number:05}"), format!("62f7a3a1-38c5-4b67-9160-{number:012}"));
    let mut pair = [scaled_object.clone(), hpa.clone()];
    for object in &mut pair {
        object["metadata"]["name"] = json!(name);
        object["metadata"]["labels"]["scaledobject.keda.sh/name"] = json!(name);
        object["spec"]["scaleTargetRef"]["name"] = json!(name);
    }
    pair[0]["metadata"]["uid"] = json!(uid);
    pair[0]["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["name"] = json!(name);
    pair[0]["status"]["hpaName"] = json!(name);
    pair[1]["metadata"]["ownerReferences"][0]["name"] = json!(name);
    pair[1]["metadata"]["ownerReferences"][0]["uid"] = json!(uid);
    pair[1]["metadata"]["uid"] = json!(format!("302753f5-4494-465e-9a8f-{number:012}"));
    pair
}

/// A namespace with so many of both.
fn namespace(size: usize) -> Snapshot {
    let (mut scaled_object, mut hpa) = (object("scaledobject-web"), object("hpa-web-owned"));
    for object in [&mut scaled_object, &mut hpa] {
        // Lists come without them anyway.
        object["metadata"].as_object_mut().expect("metadata is an object").remove("managedFields");
    }
    let mut objects: Vec<Value> = (0..size).flat_map(|number| pair(number, &scaled_object, &hpa)).collect();
    objects.extend([object("deployment-web"), object("namespace-shop")]);
    Snapshot::from_objects(objects).expect("they are objects of different names")
}

/// A change whose rule has to look at every autoscaler of the namespace, and the neighbours it needs beside them.
struct Listing {
    rule: &'static str,
    request: Value,
    neighbours: Vec<Value>,
    accepted: bool,
}

fn listings() -> Vec<Listing> {
    let person = json!({"userInfo": {"username": "jane", "groups": []}, "options": {"fieldManager": "kubectl"}});
    let request = |name: &str| {
        let mut request = request(name);
        json_patch::merge(&mut request, &person);
        request
    };
    let plain = object("hpa-web-plain");
    let mut hpa_deleted = request("keda-hpa-helm3/004-delete-horizontalpodautoscaler-lab-admin");
    hpa_deleted["oldObject"]["metadata"]["labels"] = json!({});
    let scaled_object_deleted = request("keda-hpa-helm3/008-delete-scaledobject-lab-admin");
    let duplicate = request("keda-hpa-helm3/001-create-horizontalpodautoscaler-lab-admin");
    vec![
        Listing { rule: "hpa-deleted", request: hpa_deleted, neighbours: vec![plain], accepted: false },
        Listing {
            rule: "scaledobject-deleted",
            request: scaled_object_deleted,
            neighbours: vec![object("scaledobject-web"), object("hpa-web-owned")],
            accepted: false,
        },
        Listing { rule: "duplicate-autoscaler", request: duplicate, neighbours: vec![], accepted: true },
    ]
}

struct Measured {
    work: Work,
    lookups: usize,
}

fn measure(policy: &Policy, listing: &Listing, namespace: &Snapshot) -> Measured {
    let mut cluster = namespace.clone();
    for object in &listing.neighbours {
        cluster.insert(object.clone()).expect("it is an object");
    }
    let recorded = Arc::new(Recorded::new(cluster));
    let capabilities: Arc<dyn Capabilities> = recorded.clone();
    let (answer, work) = policy
        .answer_and_work(&listing.request.to_string(), "null", &capabilities)
        .unwrap_or_else(|error| panic!("{}: {error}", listing.rule));
    let response: Response = serde_json::from_slice(&answer).expect("the answer is a ValidationResponse");
    assert_eq!(response.accepted, listing.accepted, "{}: {response:?}", listing.rule);
    if !listing.accepted {
        assert_eq!(response.audit_annotations.expect("a rejection is audited")["rule"], listing.rule);
    }
    let calls = recorded.take();
    let mut lists = 0;
    for call in &calls {
        if let Ok(Lookup::List(list)) = Lookup::parse(&call.operation, &call.request) {
            lists += 1;
            let masks = list.field_masks.unwrap_or_default();
            assert!(!masks.is_empty(), "{}: {call} without field masks", listing.rule);
        }
    }
    assert_eq!(lists, 2, "{}: HPAs and ScaledObjects are listed once each", listing.rule);
    Measured { work, lookups: calls.len() }
}

#[test]
fn work_grows_with_the_namespace_and_no_faster() {
    let (policy, listings) = (policy(), listings());
    println!(
        "{:22} {:>8} {:>15} {:>12} {:>10} {:>9}",
        "rule", "objects", "instructions", "per object", "memory", "lookups"
    );
    let mut measured: Vec<Vec<Measured>> = listings.iter().map(|_| Vec::new()).collect();
    for size in SIZES {
        let namespace = namespace(size);
        for (listing, measured) in listings.iter().zip(&mut measured) {
            let one = measure(&policy, listing, &namespace);
            let (objects, instructions) = (2 * size, one.work.instructions.expect("instructions are counted"));
            println!(
                "{:22} {objects:>8} {instructions:>15} {:>12} {:>10} {:>9}",
                listing.rule,
                instructions / objects as u64,
                one.work.memory,
                one.lookups
            );
            measured.push(one);
        }
    }
    for (listing, measured) in listings.iter().zip(&measured) {
        let per_object = |index: usize| {
            let instructions = measured[index].work.instructions.unwrap_or_default();
            instructions / (2 * SIZES[index]) as u64
        };
        let (thousand, ten_thousand) = (per_object(1), per_object(2));
        assert!(
            ten_thousand * 5 <= thousand * 6 && ten_thousand * 6 >= thousand * 4,
            "{}: {thousand} instructions per object become {ten_thousand}",
            listing.rule
        );
        assert!(measured.iter().all(|one| one.lookups == measured[0].lookups), "{}: more lookups", listing.rule);
    }
}
