//! A cluster that answers with the objects of the input, and misbehaves as the input says.

use std::cell::RefCell;

use arbitrary::Unstructured;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The objects that a payload brings along in its member `cluster`, which the policy does not read, and how answers go wrong.
pub(crate) struct Stage<'a> {
    objects: Vec<(Head, &'a str)>,
    choices: RefCell<Unstructured<'a>>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow, default)]
    cluster: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    kind: String,
    metadata: Named,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
    namespace: String,
}

/// What is read of a look-up.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    kind: String,
    name: String,
    namespace: Option<String>,
    subject_access_review: Option<Review>,
}

#[derive(Deserialize)]
struct Review {
    resource_attributes: Attributes,
}

#[derive(Deserialize)]
struct Attributes {
    verb: String,
}

impl<'a> Stage<'a> {
    /// The cluster of a payload. Without choices it answers honestly.
    pub(crate) fn new(payload: &'a [u8], choices: &'a [u8]) -> Self {
        let payload = serde_json::from_slice::<Payload<'_>>(payload);
        let texts = payload.map(|payload| payload.cluster).unwrap_or_default();
        let head = |text: &&'a RawValue| (serde_json::from_str(text.get()).unwrap_or_default(), text.get());
        Self { objects: texts.iter().map(head).collect(), choices: RefCell::new(Unstructured::new(choices)) }
    }

    /// Answers a look-up: a host's `kubernetes/*` capability.
    pub(crate) fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        let asked: Asked = serde_json::from_slice(request).unwrap_or_else(|error| panic!("not a look-up: {error}"));
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
            7 => Ok(choices.choose(&self.objects).map(|(_, text)| (*text).into()).unwrap_or_default()),
            _ => honest,
        }
    }

    fn honest(&self, operation: &str, asked: &Asked) -> Result<Vec<u8>, String> {
        if let Some(review) = &asked.subject_access_review {
            let allowed = matches!(review.resource_attributes.verb.as_str(), "list" | "watch");
            return Ok(format!(r#"{{"allowed":{allowed}}}"#).into_bytes());
        }
        let namespace = asked.namespace.as_deref().unwrap_or_default();
        let mut of_kind = self.objects.iter().filter(|(head, _)| {
            head.kind == asked.kind && (namespace.is_empty() || head.metadata.namespace == namespace)
        });
        if operation.starts_with("list") {
            let items: Vec<&str> = of_kind.map(|(_, text)| *text).collect();
            return Ok(format!(r#"{{"items":[{}]}}"#, items.join(",")).into_bytes());
        }
        let found = of_kind.find(|(head, _)| head.metadata.name == asked.name);
        let absent = || format!("Cannot find v1/{} named '{}' inside of namespace 'None'", asked.kind, asked.name);
        found.map(|(_, text)| (*text).into()).ok_or_else(absent)
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
