//! The API server's audit log: who asked for what, and what admission made of it.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A request that the API server has answered.
#[derive(Clone, Debug)]
pub struct Event(Value);

impl Event {
    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Who asked.
    pub fn user(&self) -> &str {
        let impersonated = self.text("/impersonatedUser/username");
        if impersonated.is_empty() { self.text("/user/username") } else { impersonated }
    }

    /// What was asked for, such as `delete`.
    pub fn verb(&self) -> &str {
        self.text("/verb")
    }

    /// The kind of object, such as `horizontalpodautoscalers`.
    pub fn resource(&self) -> &str {
        self.text("/objectRef/resource")
    }

    /// The object's namespace.
    pub fn namespace(&self) -> &str {
        self.text("/objectRef/namespace")
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.text("/objectRef/name")
    }

    /// The message of a request that a webhook refused. One that does not answer is none: scenarios have such, too.
    pub fn denial(&self) -> Option<&str> {
        Some(self.text("/responseStatus/message")).filter(|message| is_denial(message))
    }

    /// The rules that the policy named in its annotations, and in its refusal: an API server that meets a newer object
    /// asks again about a delete, and keeps the annotations of the first answer.
    pub fn rules(&self) -> Vec<&str> {
        let annotations = self.0.get("annotations").and_then(Value::as_object);
        let named = annotations.into_iter().flatten().filter(|(name, _)| name.ends_with("/rule"));
        let named = named.filter_map(|(_, value)| value.as_str()).flat_map(|rules| rules.split([',', ' ']));
        let refusal = self.0.pointer("/responseStatus/message").and_then(Value::as_str).unwrap_or_default();
        let refused = refusal.split("autoscaler-guard[").skip(1).filter_map(|rest| Some(rest.split_once("]: ")?.0));
        named.chain(refused).collect()
    }
}

/// Whether an answer's message is a webhook's refusal, or that of the API server for a webhook that does not answer.
pub fn is_refusal(message: &str) -> bool {
    is_denial(message) || message.contains("failed calling webhook")
}

fn is_denial(message: &str) -> bool {
    (message.contains("admission webhook") && message.contains("denied the request"))
        || (message.contains("ValidatingAdmissionPolicy") && message.contains("denied request"))
}

/// All events so far.
///
/// # Errors
/// The log cannot be read.
pub fn events(log: &Path) -> Result<Vec<Event>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
    // The last line may be half-written.
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).map(Event).collect())
}
