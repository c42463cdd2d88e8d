//! A cluster that answers with the objects of the input, and misbehaves as the input says.

use std::cell::RefCell;

use arbitrary::Unstructured;
use autoscaler_guard::cluster::{Access, ApiKind, Cluster, List, Presence};
use autoscaler_guard_objects::Objects;
use autoscaler_guard_reading::Json;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The objects that a payload brings along in its member `cluster`, which the policy does not read, and how answers go
/// wrong.
pub(crate) struct Stage<'a> {
    honest: Objects<'a>,
    texts: Vec<&'a str>,
    choices: RefCell<Unstructured<'a>>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow, default)]
    cluster: Vec<&'a RawValue>,
}

/// What is read of a lookup.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    api_version: String,
    kind: String,
    name: String,
    namespace: Option<String>,
    label_selector: Option<String>,
    subject_access_review: Option<Review>,
}

#[derive(Deserialize)]
struct Review {
    user: Option<String>,
    groups: Option<Vec<String>>,
    resource_attributes: Attributes,
}

#[derive(Deserialize)]
struct Attributes {
    verb: Option<String>,
    group: Option<String>,
    resource: Option<String>,
    namespace: Option<String>,
}

impl<'a> Stage<'a> {
    /// The cluster of a payload. Without choices it answers honestly.
    pub(crate) fn new(payload: &'a [u8], choices: &'a [u8]) -> Self {
        let payload = serde_json::from_slice::<Payload<'_>>(payload);
        let texts: Vec<&str> =
            payload.map(|payload| payload.cluster).unwrap_or_default().iter().map(|text| text.get()).collect();
        let mut honest = Objects::empty("fuzzing");
        for text in &texts {
            // What is no object is not there.
            let _ = honest.insert(Json::new(text));
        }
        Self { honest, texts, choices: RefCell::new(Unstructured::new(choices)) }
    }

    /// Answers a lookup: a host's `kubernetes/*` capability.
    pub(crate) fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        let asked: Asked = serde_json::from_slice(request).unwrap_or_else(|error| panic!("not a lookup: {error}"));
        let honest = self.honest(operation, &asked);
        let mut choices = self.choices.borrow_mut();
        match choices.arbitrary::<u8>().unwrap_or_default() % 12 {
            1 => Err("Callback evaluation failure: ApiError: x is forbidden: no: Forbidden (Status {".to_owned()),
            2 => Err(format!("Cannot find v1/{} named '{}' inside of namespace 'None'", asked.kind, asked.name)),
            3 => Err(format!("Cannot find resource v1/{}", asked.kind)),
            4 => honest.map(|answer| damaged(answer, &mut choices)),
            5 => honest.map(|mut answer| {
                answer.truncate(choices.choose_index(answer.len()).unwrap_or_default());
                answer
            }),
            6 => Ok(choices.arbitrary::<&[u8]>().unwrap_or_default().to_vec()),
            7 => Ok(choices.choose(&self.texts).map(|text| (*text).into()).unwrap_or_default()),
            _ => honest,
        }
    }

    fn honest<'s>(&self, operation: &str, asked: &'s Asked) -> Result<Vec<u8>, String> {
        if let Some(Review { user, groups, resource_attributes }) = &asked.subject_access_review {
            let Attributes { verb, group, resource, namespace } = resource_attributes;
            let word = |text: &'s Option<String>| text.as_deref().unwrap_or_default();
            let access = Access {
                user: word(user),
                groups: groups.iter().flatten().map(String::as_str).collect(),
                verb: word(verb),
                group: word(group),
                resource: word(resource),
                namespace: namespace.as_deref(),
            };
            let allowed = self.honest.can_i(&access) == Presence::Found(true);
            return Ok(format!(r#"{{"allowed":{allowed}}}"#).into_bytes());
        }
        let Asked { api_version, kind, name, namespace, label_selector, .. } = asked;
        let kind = &ApiKind { api_version: api_version.into(), kind: kind.into(), resource: "" };
        let (namespace, label_selector) = (namespace.as_deref(), label_selector.as_deref());
        let answer = if operation.starts_with("list") {
            self.honest.list(&List { kind, namespace, label_selector, fields: &[] })
        } else {
            self.honest.get(kind, namespace, name, &[])
        };
        match answer {
            Presence::Found(text) => Ok(text.into_bytes()),
            Presence::Absent => Err(format!("Cannot find v1/{} named '{name}' inside of namespace 'None'", kind.kind)),
            Presence::Unknown(reason) => Err(reason.to_string()),
        }
    }
}

/// A few bytes exchanged.
fn damaged(mut answer: Vec<u8>, choices: &mut Unstructured<'_>) -> Vec<u8> {
    for _ in 0..choices.int_in_range(1..=4).unwrap_or(1) {
        let place = choices.arbitrary::<u16>().unwrap_or_default();
        let byte = choices.arbitrary().unwrap_or(b'{');
        if let Some(at) = answer.get_mut(usize::from(place)) {
            *at = byte;
        }
    }
    answer
}
