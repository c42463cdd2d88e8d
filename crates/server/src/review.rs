//! An `AdmissionReview` and its answer.
//!
//! The request stays text on its way to the judge; of its objects one is read, and only when there is a patch to make.

use std::borrow::Cow;
use std::sync::Arc;

use autoscaler_guard::VerdictKind;
use autoscaler_guard_host::Capabilities;
use autoscaler_guard_host::admission::{self, AdmissionResponse};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::envelope::Protocol;
use crate::{Host, Judge, Line};

/// The policy's name where an answer gives it.
const NAME: &str = "autoscaler-guard";
const KIND: &str = "AdmissionReview";

static PROTOCOL: Protocol = Protocol { api_version: "admission.k8s.io/v1", request: KIND, answer: KIND };

/// What has to be known of a request here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Head<'a> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    kind: Kind<'a>,
    #[serde(borrow)]
    pub(crate) operation: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    user_info: User<'a>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
struct User<'a> {
    #[serde(borrow, default)]
    username: Cow<'a, str>,
}

/// A review, read.
pub(crate) struct Review<'a> {
    pub(crate) request: &'a str,
    pub(crate) head: Head<'a>,
}

/// What became of a request.
pub(crate) struct Judged {
    pub(crate) response: AdmissionResponse,
    /// The rules that spoke, the strongest first.
    pub(crate) rules: Vec<String>,
    overridden: Vec<String>,
}

impl Judged {
    /// The `AdmissionReview` that answers it.
    pub(crate) fn answer(&self) -> Result<Vec<u8>, String> {
        PROTOCOL.write(&self.response).map_err(|error| error.to_string())
    }

    /// The strongest rule that spoke, else the first that someone acknowledged, or empty.
    pub(crate) fn rule(&self) -> &str {
        self.rules.iter().chain(&self.overridden).next().map_or("", String::as_str)
    }

    /// `allowed`, `acknowledged`, `warned`, `repaired` or `rejected`.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.response.verdict() {
            VerdictKind::Allowed if !self.overridden.is_empty() => "acknowledged",
            kind => kind.word(),
        }
    }
}

impl<'a> Review<'a> {
    /// Reads a review; the error says what is wrong with it.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, String> {
        let request: Option<&RawValue> = PROTOCOL.read(body)?;
        let request = request.ok_or_else(|| format!("the {KIND} has no request"))?.get();
        let review =
            Self::of_request(request).map_err(|error| format!("the {KIND}'s request cannot be read: {error}"))?;
        if review.head.uid.is_empty() {
            return Err(format!("the {KIND}'s request has no uid"));
        }
        Ok(review)
    }

    /// Reads an `AdmissionRequest` that comes without an envelope.
    pub(crate) fn of_request(request: &'a str) -> Result<Self, serde_json::Error> {
        Ok(Self { request, head: serde_json::from_str(request)? })
    }

    /// The kind that the request is about.
    pub(crate) fn kind(&self) -> &str {
        &self.head.kind.kind
    }

    /// Has the request judged for a host that takes changes, or does not; the error is why there is no verdict.
    pub(crate) fn judge(
        &self,
        judge: &dyn Judge,
        lookups: &Arc<dyn Capabilities>,
        host: Host,
    ) -> Result<Judged, String> {
        let verdict = judge.judge(self.request, lookups)?;
        let review = admission::TextReview {
            uid: &self.head.uid,
            policy: NAME,
            object: self.head.object.map(RawValue::get),
            mutating: host == Host::ApiServer && judge.may_change(),
        };
        let response = admission::respond_in_text(review, verdict.response, verdict.object.as_deref());
        let (rules, overridden) = (verdict.rules, verdict.overridden);
        response.map(|response| Judged { response, rules, overridden }).map_err(|error| error.to_string())
    }

    /// A line for the log, about what was not simply let through.
    pub(crate) fn line(&self, judged: &Judged) -> Line {
        let Head { operation, name, namespace, user_info, .. } = &self.head;
        Line::info("judged")
            .with("verdict", judged.verdict())
            .with("rule", judged.rule())
            .with("operation", &**operation)
            .with("kind", self.kind())
            .with("namespace", &**namespace)
            .with("name", &**name)
            .with("user", &*user_info.username)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        Review::read(body.as_bytes()).err().unwrap_or_default()
    }

    #[test]
    fn what_is_no_review_is_refused_with_the_reason() {
        assert!(refused("{").starts_with("the body is no AdmissionReview: EOF"));
        assert_eq!(refused("{}"), r#"the body is "" "", but admission.k8s.io/v1 AdmissionReview is wanted"#);
        assert_eq!(
            refused(r#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{}}"#),
            r#"the body is "admission.k8s.io/v1beta1" "AdmissionReview", but admission.k8s.io/v1 AdmissionReview is wanted"#
        );
        let with = |request: &str| {
            refused(&format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"{request}}}"#))
        };
        assert_eq!(with(""), "the AdmissionReview has no request");
        assert!(
            with(r#","request":{}"#).starts_with("the AdmissionReview's request cannot be read: missing field `kind`")
        );
        assert_eq!(
            with(r#","request":{"uid":"","kind":{"kind":"Pod"},"operation":"CREATE"}"#),
            "the AdmissionReview's request has no uid"
        );
    }
}
