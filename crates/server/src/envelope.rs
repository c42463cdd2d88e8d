//! What a protocol puts around its requests and answers: an API version, a kind, and the one or the other.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What a protocol's envelopes say.
pub(crate) struct Protocol {
    pub(crate) api_version: &'static str,
    pub(crate) request: &'static str,
    pub(crate) answer: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "T: Deserialize<'de> + Default"))]
struct Envelope<'a, T> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(default)]
    request: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<T> {
    api_version: &'static str,
    kind: &'static str,
    response: T,
}

impl Protocol {
    /// What the envelope holds; the error says what is wrong with it.
    pub(crate) fn read<'a, T: Deserialize<'a> + Default>(&self, body: &'a [u8]) -> Result<T, String> {
        let Self { api_version: wanted, request: name, .. } = self;
        let Envelope { api_version, kind, request } =
            serde_json::from_slice(body).map_err(|error| format!("the body is no {name}: {error}"))?;
        if kind != *name || api_version != *wanted {
            return Err(format!("the body is {api_version:?} {kind:?}, but {wanted} {name} is wanted"));
        }
        Ok(request)
    }

    /// The answer in its envelope.
    pub(crate) fn write(&self, response: impl Serialize) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Answer { api_version: self.api_version, kind: self.answer, response })
    }
}
