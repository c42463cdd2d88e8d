//! Lookups in a file, to be replayed without a cluster: by [`Replay`], or by kwctl.
//!
//! The format is that of kwctl's `--record-host-capabilities-interactions` and
//! `--replay-host-capabilities-interactions`: a list of exchanges in the order in which the policy asked, each with the
//! request, which is YAML in a text, and the response.
//!
//! ```yaml
//! - request: |
//!     !KubernetesGetResource
//!     api_version: v1
//!     disable_cache: true
//!     field_masks: null
//!     kind: Namespace
//!     name: shop
//!     namespace: null
//!   response:
//!     payload: '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}'
//!     type: Success
//!   type: Exchange
//! ```

use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Call, Capabilities, Lookup, documents, wording, yaml};

/// A lookup in a session.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    operation: &'static str,
    tag: &'static str,
    /// What kwctl wants to read of it.
    fields: &'static [&'static str],
}

static KINDS: [Kind; 4] = [
    Kind {
        operation: "get_resource",
        tag: "KubernetesGetResource",
        fields: &["api_version", "kind", "name", "namespace", "disable_cache", "field_masks"],
    },
    Kind {
        operation: "list_resources_by_namespace",
        tag: "KubernetesListResourceNamespace",
        fields: &["api_version", "kind", "namespace", "label_selector", "field_selector", "field_masks"],
    },
    Kind {
        operation: "list_resources_all",
        tag: "KubernetesListResourceAll",
        fields: &["api_version", "kind", "label_selector", "field_selector", "field_masks"],
    },
    Kind { operation: "can_i", tag: "KubernetesCanI", fields: &[REVIEW, "disable_cache"] },
];

/// What a session calls the request of a `can_i`.
const REVIEW: &str = "request";

/// What the guest calls it.
const GUESTS_REVIEW: &str = "subject_access_review";

/// The lookups that a policy made, in order, and what it got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    exchanges: Vec<Exchange>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Exchange {
    kind: &'static Kind,
    /// The guest's own.
    request: Value,
    lookup: Lookup,
    outcome: Result<String, String>,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The text is no list of exchanges.
    #[error("it is no list of exchanges: {0}")]
    Syntax(String),
    /// An exchange cannot be used.
    #[error("exchange {number} {reason}")]
    Exchange {
        /// Its number, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// An exchange as it stands in a file.
#[derive(Deserialize)]
struct Written {
    request: String,
    response: Response,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Response {
    Success { payload: String },
    Error { message: String },
}

impl Session {
    /// Takes down what was recorded.
    pub fn of(calls: &[Call]) -> Result<Self, SessionError> {
        let exchanges = calls.iter().map(Exchange::of).enumerate().map(numbered);
        Ok(Self { exchanges: exchanges.collect::<Result<_, _>>()? })
    }

    /// Reads a session, kwctl's or one of this host's.
    pub fn read(text: &str) -> Result<Self, SessionError> {
        let written: Vec<Written> = read_yaml(text).map_err(SessionError::Syntax)?;
        let exchanges = written.into_iter().map(Exchange::read).enumerate().map(numbered);
        Ok(Self { exchanges: exchanges.collect::<Result<_, _>>()? })
    }
}

fn numbered<T>((index, result): (usize, Result<T, String>)) -> Result<T, SessionError> {
    result.map_err(|reason| SessionError::Exchange { number: index + 1, reason })
}

fn read_yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    documents::of_yaml(text).map_err(|error| error.without_snippet().to_string())
}

impl Exchange {
    fn of(call: &Call) -> Result<Self, String> {
        let outcome = match &call.outcome {
            Ok(answer) => Ok(String::from_utf8(answer.clone()).map_err(|error| format!("has no text: {error}"))?),
            Err(failure) => Err(wording::reason(failure).to_owned()),
        };
        let request = serde_json::from_slice(&call.request).map_err(|error| format!("is unreadable: {error}"))?;
        let kind = KINDS.iter().find(|kind| kind.operation == call.operation);
        Self::new(kind.ok_or_else(|| format!("is {}, which is no lookup", call.operation))?, request, outcome)
    }

    fn read(written: Written) -> Result<Self, String> {
        let text = written.request.trim();
        let tagged = text.strip_prefix('!').and_then(|text| text.split_once(char::is_whitespace));
        let (tag, fields) =
            tagged.ok_or("has a request that does not start with a tag such as !KubernetesGetResource")?;
        let kind = KINDS.iter().find(|kind| kind.tag == tag);
        let kind =
            kind.ok_or_else(|| format!("is !{tag}, which this host does not offer: it answers kubernetes/* only"))?;
        let mut request: Value = read_yaml(fields).map_err(|error| format!("has an unreadable request: {error}"))?;
        if kind.fields.contains(&REVIEW) {
            rename(&mut request, REVIEW, GUESTS_REVIEW);
        }
        let outcome = match written.response {
            Response::Success { payload } => Ok(payload),
            Response::Error { message } => Err(message),
        };
        Self::new(kind, request, outcome)
    }

    fn new(kind: &'static Kind, request: Value, outcome: Result<String, String>) -> Result<Self, String> {
        let lookup = Lookup::parse(kind.operation, request.to_string().as_bytes())
            .map_err(|error| format!("has an unreadable request: {error}"))?;
        Ok(Self { kind, request, lookup, outcome })
    }

    fn answer(self) -> Result<Vec<u8>, String> {
        self.outcome.map(String::into_bytes).map_err(|message| wording::failure(&message))
    }
}

fn rename(fields: &mut Value, from: &str, to: &str) {
    if let Some(fields) = fields.as_object_mut()
        && let Some(value) = fields.remove(from)
    {
        fields.insert(to.to_owned(), value);
    }
}

impl Display for Session {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&yaml::document(&self.exchanges.iter().map(Exchange::written).collect()))
    }
}

impl Exchange {
    fn written(&self) -> Value {
        let fields = self.kind.fields.iter().map(|field| {
            let guests = if *field == REVIEW { GUESTS_REVIEW } else { field };
            ((*field).to_owned(), self.request[guests].clone())
        });
        let request = format!("!{}\n{}", self.kind.tag, yaml::document(&Value::Object(fields.collect())));
        let response = match &self.outcome {
            Ok(payload) => json!({"type": "Success", "payload": payload}),
            Err(message) => json!({"type": "Error", "message": message}),
        };
        json!({"type": "Exchange", "request": request, "response": response})
    }
}

/// Answers lookups as a session says: in its order, and each only if the whole request is the same.
#[derive(Debug)]
pub struct Replay {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    left: VecDeque<Exchange>,
    answered: usize,
    mismatch: Option<Box<Mismatch>>,
}

/// A lookup that the session does not have at this place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lookup {number}: {}", self.words())]
pub struct Mismatch {
    /// Its number, from 1.
    pub number: usize,
    /// What the session has there; nothing if it has ended.
    pub expected: Option<Lookup>,
    /// What the policy asked.
    pub found: Lookup,
}

impl Mismatch {
    fn words(&self) -> String {
        let Some(expected) = &self.expected else {
            return format!("the session has ended, and the policy asked: {}", self.found);
        };
        // What differs may be something that words leave out, such as field masks.
        if expected.to_string() == self.found.to_string() {
            return format!("the session has {expected:?}, and the policy asked {:?}", self.found);
        }
        format!("the session has: {expected}; the policy asked: {}", self.found)
    }
}

impl Replay {
    /// Starts at the session's beginning.
    pub fn new(session: Session) -> Self {
        Self { state: Mutex::new(State { left: session.exchanges.into(), answered: 0, mismatch: None }) }
    }

    /// What is left of the session, in order; or the first lookup that did not fit, after which answers mean nothing.
    pub fn finish(&self) -> Result<Vec<Lookup>, Box<Mismatch>> {
        let state = self.state();
        match &state.mismatch {
            Some(mismatch) => Err(mismatch.clone()),
            None => Ok(state.left.iter().map(|exchange| exchange.lookup.clone()).collect()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Capabilities for Replay {
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        let asked = Lookup::parse(operation, request)?;
        let mut state = self.state();
        if let Some(mismatch) = &state.mismatch {
            return Err(wording::failure(&mismatch.to_string()));
        }
        match state.left.pop_front() {
            Some(exchange) if exchange.lookup == asked => {
                state.answered += 1;
                exchange.answer()
            }
            other => {
                let expected = other.map(|exchange| exchange.lookup);
                let mismatch = Box::new(Mismatch { number: state.answered + 1, expected, found: asked });
                let failure = wording::failure(&mismatch.to_string());
                state.mismatch = Some(mismatch);
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(operation: &str, request: &Value, outcome: Result<&str, &str>) -> Call {
        Call {
            operation: operation.into(),
            request: request.to_string().into(),
            outcome: outcome.map(|answer| answer.as_bytes().to_vec()).map_err(ToOwned::to_owned),
        }
    }

    fn get(name: &str) -> Value {
        json!({"api_version": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": name, "namespace": "shop",
            "disable_cache": true, "field_masks": ["spec.scaleTargetRef", "status"]})
    }

    fn all() -> Vec<Call> {
        let list = json!({"api_version": "v1", "kind": "Pod", "namespace": "shop"});
        let everywhere =
            json!({"api_version": "v1", "kind": "Pod", "label_selector": "a in (b,c)", "field_selector": null});
        let can_i = json!({"subject_access_review": {"groups": ["a", "b:c"], "user": "jane", "resource_attributes":
            {"group": null, "name": "it's", "namespace": "shop", "resource": "pods", "subresource": null, "verb": "get", "version": null}},
            "disable_cache": false});
        vec![
            call("get_resource", &get("web"), Ok(r#"{"kind":"ScaledObject","a":"it's \n # 'x': y"}"#)),
            call("get_resource", &get("x"), Err("Callback evaluation failure: Cannot find it\n\nCaused by:\n    this")),
            call("list_resources_by_namespace", &list, Ok(r#"{"items":[]}"#)),
            call("list_resources_all", &everywhere, Ok("line\nbreak \u{7f} \u{feff} ü 🦀")),
            call("can_i", &can_i, Ok(r#"{"allowed":true}"#)),
        ]
    }

    #[test]
    fn a_session_is_written_as_kwctl_reads_it() {
        let get = call("get_resource", &get("web"), Ok(r#"{"a":"it's"}"#));
        let expected = r#"- request: |
    !KubernetesGetResource
    api_version: keda.sh/v1alpha1
    disable_cache: true
    field_masks:
    - spec.scaleTargetRef
    - status
    kind: ScaledObject
    name: web
    namespace: shop
  response:
    payload: '{"a":"it''s"}'
    type: Success
  type: Exchange
"#;
        assert_eq!(Session::of(&[get]).unwrap().to_string(), expected);
        let can_i = Session::of(&all()[4..]).unwrap().to_string();
        let expected = r#"- request: |
    !KubernetesCanI
    disable_cache: false
    request:
      groups:
      - a
      - b:c
      resource_attributes:
        group: null
        name: it's
        namespace: shop
        resource: pods
        subresource: null
        verb: get
        version: null
      user: jane
  response:
    payload: '{"allowed":true}'
    type: Success
  type: Exchange
"#;
        assert_eq!(can_i, expected);
        assert_eq!(Session::default().to_string(), "[]\n");
    }

    /// As kwctl 1.36 writes it, after its sources.
    const KWCTL: &str = r#"- type: Exchange
  request: |
    !KubernetesGetResource
    api_version: v1
    kind: Namespace
    name: customer-1
    namespace: null
    disable_cache: false
    field_masks: null
  response:
    type: Success
    payload: '{"apiVersion":"v1","kind":"Namespace"}'
- type: Exchange
  request: |
    !KubernetesListResourceAll
    api_version: networking.k8s.io/v1
    kind: Ingress
    label_selector: null
    field_selector: null
    disable_cache: false
    field_masks: null
  response:
    type: Error
    message: 'Cannot find resource networking.k8s.io/v1/Ingress'
"#;

    #[test]
    fn kwctls_own_sessions_are_read() {
        let replay = Replay::new(Session::read(KWCTL).unwrap());
        let get = br#"{"api_version":"v1","kind":"Namespace","name":"customer-1","disable_cache":false}"#;
        assert_eq!(replay.call("get_resource", get).unwrap(), br#"{"apiVersion":"v1","kind":"Namespace"}"#);
        let list = br#"{"api_version":"networking.k8s.io/v1","kind":"Ingress"}"#;
        let failure = replay.call("list_resources_all", list).unwrap_err();
        assert_eq!(failure, "Callback evaluation failure: Cannot find resource networking.k8s.io/v1/Ingress");
        assert_eq!(replay.finish(), Ok(Vec::new()));
    }

    #[test]
    fn what_is_written_is_read_and_replayed_as_it_was() {
        let recorded = all();
        let session = Session::of(&recorded).unwrap();
        let read = Session::read(&session.to_string()).unwrap();
        assert_eq!(read.to_string(), session.to_string());
        let replay = Replay::new(read);
        for call in &recorded {
            let answer = replay.call(&call.operation, &call.request);
            // Causes are not taken down, as kwctl does not either; guests read the first line.
            let expected = call.outcome.clone().map_err(|failure| failure.lines().next().unwrap().to_owned());
            assert_eq!(answer, expected);
        }
        assert_eq!(replay.finish(), Ok(Vec::new()));
        assert_eq!(Session::read("[]\n").unwrap(), Session::default());
    }

    #[test]
    fn another_lookup_is_reported_with_both_and_ends_the_replay() {
        let replay = Replay::new(Session::of(&all()[..2]).unwrap());
        let other = get("other").to_string();
        let failure = replay.call("get_resource", other.as_bytes()).unwrap_err();
        let mismatch = "lookup 1: the session has: get keda.sh/v1alpha1 ScaledObject shop/web; the policy asked: get keda.sh/v1alpha1 ScaledObject shop/other";
        assert_eq!(failure, format!("Callback evaluation failure: {mismatch}"));
        assert!(replay.call("get_resource", get("x").to_string().as_bytes()).is_err());
        assert_eq!(replay.finish().unwrap_err().to_string(), mismatch);
    }

    #[test]
    fn a_look_up_that_differs_only_in_its_masks_does_not_fit() {
        let replay = Replay::new(Session::of(&all()[..1]).unwrap());
        let mut unmasked = get("web");
        unmasked["field_masks"] = Value::Null;
        assert!(replay.call("get_resource", unmasked.to_string().as_bytes()).is_err());
        let mismatch = replay.finish().unwrap_err().to_string();
        assert!(mismatch.contains("field_masks: Some(") && mismatch.contains("field_masks: None"), "{mismatch}");
    }

    #[test]
    fn what_is_left_and_what_is_missing_is_reported() {
        let replay = Replay::new(Session::of(&all()[2..3]).unwrap());
        let left: Vec<String> = replay.finish().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(left, ["list v1 Pod in namespace shop"]);
        let replay = Replay::new(Session::default());
        assert!(replay.call("get_resource", get("web").to_string().as_bytes()).is_err());
        let mismatch = replay.finish().unwrap_err().to_string();
        assert!(
            mismatch.starts_with("lookup 1: the session has ended, and the policy asked: get keda.sh"),
            "{mismatch}"
        );
    }

    #[test]
    fn what_is_no_session_is_reported_with_its_place() {
        let problem = |text: &str| Session::read(text).unwrap_err().to_string();
        assert!(problem("a: 1").starts_with("it is no list of exchanges: "));
        let exchange = |request: &str| {
            problem(&format!(
                "- type: Exchange\n  request: {request:?}\n  response: {{type: Success, payload: '{{}}'}}\n"
            ))
        };
        assert_eq!(
            exchange("!OciManifest\nimage: busybox\n"),
            "exchange 1 is !OciManifest, which this host does not offer: it answers kubernetes/* only"
        );
        assert_eq!(
            exchange("api_version: v1"),
            "exchange 1 has a request that does not start with a tag such as !KubernetesGetResource"
        );
        assert!(exchange("!KubernetesGetResource\nkind: Pod\n").starts_with("exchange 1 has an unreadable request: "));
    }
}
