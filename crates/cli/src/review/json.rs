//! Judgements for scripts; `review --help` documents the fields, which stay.

use autoscaler_guard_host::admission::{self, AdmissionResponse};
use serde::Serialize;

use super::judgement::Judgement;
use super::lookups::Words;
use super::request;
use crate::fault::Fault;

#[derive(Serialize)]
struct Entry<'a, O> {
    request: Request<'a>,
    verdict: &'static str,
    judged: bool,
    rules: Vec<&'a str>,
    response: &'a AdmissionResponse,
    operations: O,
    lookups: Vec<Words>,
    #[serde(rename = "assumedAbsent")]
    assumed_absent: &'a [String],
}

#[derive(Serialize)]
struct Request<'a> {
    uid: &'a str,
    operation: &'a str,
    kind: &'a str,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    user: Option<&'a str>,
}

/// An array with one object per request.
pub fn all(judgements: &[Judgement]) -> Result<String, Fault> {
    let entries: Vec<_> = judgements.iter().map(entry).collect();
    let text = serde_json::to_string_pretty(&entries);
    text.map(|text| text + "\n").map_err(|error| Fault::new("the verdicts cannot be written as JSON").because(error))
}

fn entry(judgement: &Judgement) -> Entry<'_, impl Serialize> {
    Entry {
        request: request(&judgement.request),
        verdict: judgement.verdict().word(),
        judged: judgement.judged,
        rules: judgement.rules(),
        response: &judgement.response,
        operations: admission::operations(&judgement.response),
        lookups: judgement.lookups.iter().map(Words::of).collect(),
        assumed_absent: &judgement.assumed_absent,
    }
}

fn request(request: &request::Request) -> Request<'_> {
    Request {
        uid: request.uid(),
        operation: request.operation(),
        kind: request.kind(),
        namespace: request.namespace(),
        name: request.name(),
        user: request.user(),
    }
}
