//! What was looked up for a case, written down as a session and replayed without the cluster, leads to the same answer.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::sync::Arc;

use autoscaler_guard::kubewarden;
use autoscaler_guard_cases::{World, pages};
use autoscaler_guard_host::{Capabilities, Replay, Response, Session};

#[test]
fn every_case_gets_the_same_answer_from_its_session() {
    let mut replayed = 0;
    for case in pages().iter().flat_map(|page| &page.cases) {
        let world = case.world();
        let recorded = world.natively();
        let session = Session::of(&recorded.lookups).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let read = Session::read(&session.to_string()).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let replay = Arc::new(Replay::new(read));
        assert_eq!(answer(&world, &*replay), recorded.response, "{}", case.name);
        assert_eq!(replay.finish(), Ok(Vec::new()), "{}", case.name);
        replayed += recorded.lookups.len();
    }
    assert!(replayed > 0, "no case looks anything up");
}

fn answer(world: &World, lookups: &dyn Capabilities) -> Response {
    let payload = format!(r#"{{"request":{},"settings":{}}}"#, world.request, world.settings);
    let answer = kubewarden::validate(payload.as_bytes(), &|operation, request| lookups.call(operation, request));
    serde_json::from_slice(&answer).unwrap_or_else(|error| panic!("{error}"))
}
