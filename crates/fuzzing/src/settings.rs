//! Any bytes as settings.

use autoscaler_guard::kubewarden;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::Answer;
use crate::cluster::Stage;

#[derive(Deserialize)]
struct Checked {
    valid: bool,
    message: Option<String>,
}

/// Checks the input as settings, and judges a request with them.
///
/// # Panics
/// When the two disagree, or a refusal does not say why.
pub fn settings(input: &[u8]) {
    let answer = kubewarden::validate_settings(input);
    let checked: Checked = serde_json::from_slice(&answer).expect("the answer is a SettingsValidationResponse");
    assert_eq!(checked.valid, checked.message.is_none());
    if let Some(message) = checked.message {
        let reasons = message.trim_start_matches("autoscaler-guard: the settings cannot be used:").trim();
        assert!(!reasons.is_empty() && reasons != message || message.contains("UTF-8"), "no reason: {message:?}");
    }
    // As a part of a payload, other texts would end the settings early.
    let Ok(text) = serde_json::from_slice::<&RawValue>(input) else { return };
    let request = r#"{"operation":"UPDATE","kind":{"kind":"Pod"}}"#;
    let payload = format!(r#"{{"request":{request},"settings":{}}}"#, text.get());
    let judged = Answer::to(payload.as_bytes(), &Stage::new(b"", b""));
    assert_eq!(judged.accepted, checked.valid, "{:?}", judged.message);
    if !judged.accepted {
        assert!(judged.message.is_some_and(|message| message.contains("the settings cannot be used")));
    }
}
