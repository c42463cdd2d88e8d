//! The Kubewarden guest: waPC operations on the outside, [`crate::review`] on the inside. No rule lives here.
//!
//! Payloads are `{"request": AdmissionRequest, "settings": …}`. The request stays text: the SDK's `ValidationRequest`
//! would turn all of it into a tree first, which costs more than judging it. Lookups are the SDK's requests, sent by
//! the SDK's host call; their answers stay text too, as its typed functions would bring a Kubernetes type per kind into
//! the module.

mod requests;

use crate::rules::CATALOGUE;
use autoscaler_guard_reading::Payload;

use crate::cluster::{Access, ApiKind, Cluster, List, Presence, Reason};
use crate::{Decision, Settings, SettingsError, Verdict};
use autoscaler_guard_reading::{Json, Writer};

/// A host's `kubernetes/*` capability: operation and request in, the answer or the host's error text out.
pub type HostCall<'h> = dyn Fn(&str, &[u8]) -> Result<Vec<u8>, String> + 'h;

/// A cluster behind Kubewarden's host capabilities.
pub struct HostCluster<'h> {
    call: &'h HostCall<'h>,
}

impl std::fmt::Debug for HostCluster<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("HostCluster")
    }
}

impl<'h> HostCluster<'h> {
    /// A cluster that asks through `call`.
    pub fn new(call: &'h HostCall<'h>) -> Self {
        Self { call }
    }

    fn ask(&self, operation: &str, request: &str) -> Presence<String> {
        match (self.call)(operation, request.as_bytes()) {
            Ok(answer) => match String::from_utf8(answer) {
                Ok(text) => Presence::Found(text),
                Err(error) => Presence::Unknown(Reason::Failed(error.to_string())),
            },
            Err(error) => from_error(&error),
        }
    }
}

/// What a host's error text means. Hosts give nothing but text, append a backtrace when they run with one, and print
/// the API server's status twice: once as a sentence, once as a Rust value.
fn from_error(error: &str) -> Presence<String> {
    let mut text = error.lines().next().unwrap_or_default();
    for prefix in ["Host error: ", "Callback evaluation failure: ", "ApiError: "] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    for status in [" (Status {", " (ErrorResponse {"] {
        text = text.split_once(status).map_or(text, |(sentence, _)| sentence);
    }
    let text = text.strip_suffix(": Forbidden").unwrap_or(text).trim_end_matches('.');
    let not_served =
        text.contains("Cannot find resource ") || (text.contains("error finding resource") && text.contains("404"));
    if not_served {
        Presence::Unknown(Reason::NotServed(text.to_owned()))
    } else if text.contains("Cannot find ") && text.contains(" named '") {
        Presence::Absent
    } else {
        Presence::Unknown(Reason::Failed(text.to_owned()))
    }
}

impl Cluster for HostCluster<'_> {
    fn get(&self, kind: &ApiKind<'_>, namespace: Option<&str>, name: &str, fields: &[&str]) -> Presence<String> {
        self.ask("get_resource", &requests::get(kind, namespace, name, fields))
    }

    fn list(&self, query: &List<'_>) -> Presence<String> {
        let operation = if query.namespace.is_some() { "list_resources_by_namespace" } else { "list_resources_all" };
        self.ask(operation, &requests::list(query))
    }

    fn can_i(&self, access: &Access<'_>) -> Presence<bool> {
        let answer = self.ask("can_i", &requests::can_i(access));
        answer.map(|status| Json::new(&status).is_true(&["allowed"]))
    }
}

/// Judges a `validate` payload and words the verdict as Kubewarden's `ValidationResponse`.
pub fn validate(payload: &[u8], call: &HostCall<'_>) -> Vec<u8> {
    response(&judge(payload, call))
}

/// A verdict as Kubewarden's `ValidationResponse`.
pub fn response(verdict: &Verdict) -> Vec<u8> {
    let mut answer = Writer::default().flag("accepted", verdict.is_accepted());
    match &verdict.decision {
        Decision::Allow => {}
        Decision::Repair(object) => answer = answer.json("mutated_object", object),
        Decision::Reject(code) => {
            let message = verdict.message().unwrap_or_default();
            answer = answer.string("message", &message).json("code", &code.to_string());
        }
    }
    let annotations = verdict.audit_annotations();
    if !annotations.is_empty() {
        // In their own order, so that equal verdicts are equal bytes.
        let audit = annotations.iter().fold(Writer::default(), |audit, (key, value)| audit.string(key, value));
        answer = answer.json("audit_annotations", &audit.text());
    }
    answer.list("warnings", &mut verdict.warnings().iter().map(String::as_str)).text().into_bytes()
}

/// Judges a `validate` payload.
pub fn judge(payload: &[u8], call: &HostCall<'_>) -> Verdict {
    let unusable = |error: &dyn std::fmt::Display| {
        Verdict::unusable(&format!("autoscaler-guard: cannot read the payload (request and settings): {error}"))
    };
    let text = match std::str::from_utf8(payload) {
        Ok(text) => text,
        Err(error) => return unusable(&error),
    };
    let payload = match Payload::from_text(text) {
        Ok(payload) => payload,
        Err(error) => return unusable(&error),
    };
    match Settings::read(payload.settings.unwrap_or(Json::new("{}")), &CATALOGUE) {
        Ok(settings) => crate::review_request(payload.request, &HostCluster::new(call), &settings),
        Err(errors) => Verdict::unusable(&unusable_settings(&errors)),
    }
}

/// Checks a `validate_settings` payload and words the outcome as Kubewarden's `SettingsValidationResponse`.
pub fn validate_settings(payload: &[u8]) -> Vec<u8> {
    let outcome = match std::str::from_utf8(payload) {
        Ok(text) => Settings::from_json(text).map(|_| ()).map_err(|errors| unusable_settings(&errors)),
        Err(error) => Err(format!("autoscaler-guard: the settings are not UTF-8: {error}")),
    };
    let message = outcome.as_ref().err().map(String::as_str);
    Writer::default().flag("valid", outcome.is_ok()).optional("message", message).text().into_bytes()
}

fn unusable_settings(errors: &[SettingsError]) -> String {
    let list: Vec<String> = errors.iter().map(ToString::to_string).collect();
    format!("autoscaler-guard: the settings cannot be used:\n  {}", list.join("\n  "))
}

/// The waPC entry points; only in the module, where the host provides the other side.
#[cfg(target_arch = "wasm32")]
mod guest {
    use kubewarden_policy_sdk::wapc_guest::{host_call, register_function};

    #[expect(unsafe_code, reason = "waPC calls it by name")]
    #[unsafe(no_mangle)]
    extern "C" fn wapc_init() {
        register_function("validate", |payload| Ok(super::validate(payload, &call)));
        register_function("validate_settings", |payload| Ok(super::validate_settings(payload)));
        register_function("protocol_version", |_| Ok(br#""v1""#.to_vec()));
    }

    fn call(operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        host_call("kubewarden", "kubernetes", operation, request).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn host_errors_are_absent_or_unknown() {
        let absent = "Host error: Cannot find keda.sh/v1alpha1/ScaledObject named 'x' inside of namespace 'Some(\"default\")'\n   0: backtrace";
        assert_eq!(from_error(absent), Presence::Absent);
        for text in ["Cannot find resource keda.sh/v1alpha1/ScaledObject", "error finding resource: 404 page not found"]
        {
            assert!(matches!(from_error(text), Presence::Unknown(Reason::NotServed(_))), "{text}");
        }
        let forbidden = "Callback evaluation failure: ApiError: x is forbidden: User y cannot get z: Forbidden (Status { status: None })";
        assert_eq!(
            from_error(forbidden),
            Presence::Unknown(Reason::Failed("x is forbidden: User y cannot get z".to_owned()))
        );
        for text in [
            "ApiError: x is forbidden: User y cannot get resource",
            "Policy has not been granted access to Kubernetes",
            "",
            "404",
        ] {
            assert!(matches!(from_error(text), Presence::Unknown(Reason::Failed(_))), "{text}");
        }
    }

    #[test]
    fn malformed_payloads_get_a_clear_refusal() {
        let nothing = |_: &str, _: &[u8]| Err(String::new());
        for payload in [
            &b"\xff"[..],
            b"",
            b"{}",
            b"[]",
            b"{\"request\":{}}",
            br#"{"request":{"operation":"UPDATE","kind":{"kind":"Pod"}},"settings":{"x":1}}"#,
        ] {
            let answer: Value = serde_json::from_slice(&validate(payload, &nothing)).expect("the answer is JSON");
            assert_eq!(answer["accepted"], false);
            assert_eq!(answer["code"], 400);
            assert!(
                answer["message"].as_str().is_some_and(|message| message.starts_with("autoscaler-guard: ")),
                "{answer}"
            );
        }
    }

    #[test]
    fn settings_errors_all_arrive() {
        let answer: Value =
            serde_json::from_slice(&validate_settings(br#"{"repiar":true,"helm":1}"#)).expect("the answer is JSON");
        let expected = "autoscaler-guard: the settings cannot be used:\n  repiar: unknown; did you mean repair?\n  helm: expected an object, got a number";
        assert_eq!((answer["valid"].as_bool(), answer["message"].as_str()), (Some(false), Some(expected)));
        assert_eq!(validate_settings(b"{}"), br#"{"valid":true,"message":null}"#);
    }
}
