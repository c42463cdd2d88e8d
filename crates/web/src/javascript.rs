//! The border to JavaScript. Values cross it as JSON text: the policy reads text, and so no field is lost or reworded
//! on the way.

use js_sys::JSON;
use serde::Serialize;
use wasm_bindgen::prelude::*;

/// Judges a request as the policy would in a cluster.
///
/// `request` is an AdmissionReview or its AdmissionRequest. `cluster` holds the objects around it, whole, as the API
/// server gives them; what is not in it is not there. `settings` are the policy's; without, the defaults. Each may also
/// be JSON text.
#[wasm_bindgen(unchecked_return_type = "Answer")]
pub fn review(
    #[wasm_bindgen(unchecked_param_type = "object | string")] request: &JsValue,
    #[wasm_bindgen(unchecked_optional_param_type = "object[] | string | null")] cluster: &JsValue,
    #[wasm_bindgen(unchecked_optional_param_type = "object | string | null")] settings: &JsValue,
) -> JsValue {
    value(&crate::review(&text(request), &text(cluster), &text(settings)))
}

/// All that is wrong with settings; nothing when they can be used.
#[wasm_bindgen(js_name = validateSettings, unchecked_return_type = "Problem[]")]
pub fn validate_settings(
    #[wasm_bindgen(unchecked_optional_param_type = "object | string | null")] settings: &JsValue,
) -> JsValue {
    value(&crate::validate_settings(&text(settings)))
}

/// The rules, in the order in which findings are listed.
#[wasm_bindgen(unchecked_return_type = "RuleFacts[]")]
pub fn rules() -> JsValue {
    value(&crate::rules())
}

/// A value as JSON text. What has none, such as a function or a loop, becomes a text that is no JSON, and is reported
/// as such.
fn text(value: &JsValue) -> String {
    if value.is_null() || value.is_undefined() {
        return "null".to_owned();
    }
    value.as_string().or_else(|| JSON::stringify(value).ok()?.as_string()).unwrap_or_else(|| "undefined".to_owned())
}

fn value(answer: &impl Serialize) -> JsValue {
    // Neither fails: all keys are strings, and what is written is JSON.
    let text = serde_json::to_string(answer).unwrap_or_default();
    JSON::parse(&text).unwrap_or_default()
}
