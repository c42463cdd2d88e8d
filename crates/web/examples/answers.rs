//! Prints everything about which all hosts have to agree, a JSON object a line, with the answer that this crate gives
//! as plain Rust: what the tests in Node hold the compiled module to.

#![allow(clippy::restriction, reason = "the demo may panic")]

use autoscaler_guard_cases::{Subject, subjects};
use autoscaler_guard_web::review;
use serde_json::{Value, json};

fn main() {
    for Subject { name, world, documents } in subjects() {
        let (request, settings, cluster) = (world.request, world.settings, Value::from(documents));
        let answer = review(&request.to_string(), &cluster.to_string(), &settings.to_string());
        println!(
            "{}",
            json!({"name": name, "request": request, "cluster": cluster, "settings": settings, "answer": answer})
        );
    }
}
