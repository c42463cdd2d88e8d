//! The cluster that the requests were sent in, and its answers, prepared so that giving them takes no time worth
//! measuring.

use std::collections::HashMap;
use std::sync::Mutex;

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

/// The cluster as the core asks it: an array of objects.
#[must_use]
pub fn shop() -> String {
    Value::from(objects()).to_string()
}

/// The operation and the request of a lookup.
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
