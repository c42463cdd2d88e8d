//! Gatekeeper's external data protocol (`externaldata.gatekeeper.sh/v1beta1`): reviews as keys, a verdict for each.
//!
//! A key is the JSON text of `input.review`: an `AdmissionRequest`, with the old object of a DELETE as `object`, too.
//! Gatekeeper takes any JSON as a value (open-policy-agent/frameworks, `externaldata.Item`) and hands it to Rego as it
//! is.

use std::borrow::Cow;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::envelope::Protocol;
use crate::review::{Judged, Review};

static PROTOCOL: Protocol = Protocol {
    api_version: "externaldata.gatekeeper.sh/v1beta1",
    request: "ProviderRequest",
    answer: "ProviderResponse",
};

/// The most keys of a request. Gatekeeper sends one for each review (`manifests/gatekeeper/autoscaler_guard.rego`).
const MOST_KEYS: usize = 16;

#[derive(Deserialize, Default)]
struct Keys<'a> {
    #[serde(borrow, default, deserialize_with = "few")]
    keys: Vec<Cow<'a, str>>,
}

/// Reads no further than that, so that a body of nothing but empty keys takes no more memory than it has bytes.
fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Cow<'de, str>>, D::Error> {
    struct Few;

    impl<'de> Visitor<'de> for Few {
        type Value = Vec<Cow<'de, str>>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a list of keys")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut keys: A) -> Result<Self::Value, A::Error> {
            let mut few = Vec::new();
            while let Some(Key(key)) = keys.next_element()? {
                if few.len() == MOST_KEYS {
                    return Err(A::Error::custom(format!("there are more than {MOST_KEYS} keys")));
                }
                few.push(key);
            }
            Ok(few)
        }
    }

    deserializer.deserialize_seq(Few)
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    /// Gatekeeper asks for it where it changes objects. A verdict depends on what else is in the cluster.
    idempotent: bool,
    items: &'a [Item<'a>],
    #[serde(skip_serializing_if = "str::is_empty")]
    system_error: &'a str,
}

/// The answer to a key.
#[derive(Serialize)]
pub(crate) struct Item<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What Rego gets.
#[derive(Serialize)]
struct Verdict {
    allowed: bool,
    /// Why not; empty where it is allowed.
    message: String,
    warnings: Vec<String>,
    /// The ids of the rules that spoke, the strongest first.
    rules: Vec<String>,
}

/// The keys of a request; the error says what is wrong with it.
pub(crate) fn keys(body: &[u8]) -> Result<Vec<Cow<'_, str>>, String> {
    PROTOCOL.read::<Keys<'_>>(body).map(|request| request.keys)
}

/// The review that a key is.
pub(crate) fn review(key: &str) -> Result<Review<'_>, String> {
    Review::of_request(key).map_err(|error| format!("the key is no review in JSON: {error}"))
}

impl<'a> Item<'a> {
    pub(crate) fn new(key: &'a str, answer: Result<Judged, String>) -> Self {
        match answer {
            Ok(judged) => Self { key, value: Some(Verdict::new(judged)), error: None },
            Err(error) => Self { key, value: None, error: Some(error) },
        }
    }
}

impl Verdict {
    fn new(judged: Judged) -> Self {
        let Judged { response, rules, .. } = judged;
        Self {
            allowed: response.allowed,
            message: response.status.and_then(|status| status.message).unwrap_or_default(),
            warnings: response.warnings.unwrap_or_default(),
            rules,
        }
    }
}

/// The answer to a request.
pub(crate) fn answer(items: &[Item<'_>]) -> Result<Vec<u8>, String> {
    PROTOCOL.write(Response { items, ..Response::default() }).map_err(|error| error.to_string())
}

/// The answer to a request of which nothing can be answered.
pub(crate) fn system_error(reason: &str) -> Vec<u8> {
    PROTOCOL.write(Response { system_error: reason, ..Response::default() }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_is_refused_with_the_reason() {
        let refused = |body: &str| keys(body.as_bytes()).err().unwrap_or_default();
        assert!(refused("{").starts_with("the body is no ProviderRequest: EOF"));
        assert_eq!(
            refused(r#"{"apiVersion":"externaldata.gatekeeper.sh/v1alpha1","kind":"ProviderRequest"}"#),
            r#"the body is "externaldata.gatekeeper.sh/v1alpha1" "ProviderRequest", but externaldata.gatekeeper.sh/v1beta1 ProviderRequest is wanted"#
        );
        let Protocol { api_version, request, .. } = PROTOCOL;
        let of = |inner: &str| format!(r#"{{"apiVersion":"{api_version}","kind":"{request}","request":{inner}}}"#);
        assert_eq!(keys(of("{}").as_bytes()).unwrap().len(), 0);
        let empty = |count: usize| of(&format!(r#"{{"keys":[{}]}}"#, vec![r#""""#; count].join(",")));
        assert_eq!(keys(empty(MOST_KEYS).as_bytes()).unwrap().len(), MOST_KEYS);
        assert!(refused(&empty(1_000_000)).contains("there are more than 16 keys"));
    }
}
