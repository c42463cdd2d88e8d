//! Any bytes as the payload, any cluster around it.

use serde::Deserialize;

use crate::answer::Answer;
use crate::cluster::Stage;
use crate::split;

#[derive(Deserialize)]
struct Payload {
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    operation: String,
}

/// Judges the input.
///
/// # Panics
/// When the answer breaks a law.
pub fn evaluate(input: &[u8]) {
    let (payload, choices) = split(input);
    let answer = Answer::to(payload, &Stage::new(payload, choices));
    if answer.mutated_object.is_some() {
        let read: Payload = serde_json::from_slice(payload).expect("what was repaired can be read");
        assert_ne!(read.request.operation, "DELETE", "a delete was repaired");
    }
}
