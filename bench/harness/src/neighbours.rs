//! The cluster that the requests were sent in, and its answers, prepared so that giving them takes no time worth
//! measuring.

use std::collections::HashMap;
use std::sync::Mutex;

use autoscaler_guard::cluster::{Access, ApiKind, Cluster, List, Presence};
use autoscaler_guard_host::{Capabilities, Snapshot};
use serde_json::Value;

use crate::requests::{owned_hpa, scaled_object};

/// A Deployment as Helm and the HPA controller leave it.
const DEPLOYMENT: &str = include_str!("../neighbours/deployment.json");
const NAMESPACE: &str = include_str!("../neighbours/namespace.json");

/// The objects in namespace `shop`.
fn objects() -> Vec<Value> {
    let read = |text| serde_json::from_str(text).expect("a neighbour is JSON");
    vec![read(NAMESPACE), read(DEPLOYMENT), scaled_object(), owned_hpa()]
}

/// The cluster as the core asks it.
pub struct Shop {
    objects: Vec<(Value, String)>,
}

impl Default for Shop {
    fn default() -> Self {
        let text = |object: Value| (object.clone(), object.to_string());
        Self { objects: objects().into_iter().map(text).collect() }
    }
}

impl Shop {
    fn of_kind<'s>(&'s self, kind: &'s ApiKind<'_>) -> impl Iterator<Item = &'s (Value, String)> {
        self.objects
            .iter()
            .filter(|(object, _)| object["apiVersion"] == *kind.api_version && object["kind"] == *kind.kind)
    }
}

impl Cluster for Shop {
    fn get(&self, kind: &ApiKind<'_>, _: Option<&str>, name: &str, _: &[&str]) -> Presence<String> {
        let found = self.of_kind(kind).find(|(object, _)| object["metadata"]["name"] == *name);
        found.map_or(Presence::Absent, |(_, text)| Presence::Found(text.clone()))
    }

    fn list(&self, query: &List<'_>) -> Presence<String> {
        let items: Vec<&str> = self.of_kind(query.kind).map(|(_, text)| text.as_str()).collect();
        Presence::Found(format!(r#"{{"items":[{}]}}"#, items.join(",")))
    }

    fn can_i(&self, _: &Access<'_>) -> Presence<bool> {
        Presence::Found(true)
    }
}

/// The operation and the request of a look-up.
type Question = (String, Vec<u8>);

/// The cluster as the module asks it: what was answered once is answered the same again.
pub struct Answers {
    cluster: Snapshot,
    given: Mutex<HashMap<Question, Result<Vec<u8>, String>>>,
}

impl Default for Answers {
    fn default() -> Self {
        let cluster = Snapshot::from_objects(objects()).expect("the neighbours are objects");
        Self { cluster, given: Mutex::default() }
    }
}

impl Capabilities for Answers {
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        let mut given = self.given.lock().expect("nobody panics with it");
        let answer = given.entry((operation.to_owned(), request.to_vec()));
        answer.or_insert_with(|| self.cluster.call(operation, request)).clone()
    }
}
