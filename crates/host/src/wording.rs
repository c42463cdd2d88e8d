//! What policy-server says when a lookup fails, word for word.
//!
//! A guest learns of a failure by its text alone, so by it policies know an absent object from a missing permission.
//! The texts follow policy-server's `callback.rs` and `kubernetes/client.rs`; whatever its lookups fail with reaches
//! the guest as `Callback evaluation failure: ` and the error with its causes below.

use std::error::Error;

use kube::core::Status;

/// The guest asked for a kind that its `contextAwareResources` do not list.
pub(crate) fn not_granted(api_version: &str, kind: &str) -> String {
    format!(
        "Policy has not been granted access to Kubernetes {api_version}/{kind} resources. The violation has been reported."
    )
}

pub(crate) fn unknown_binding(binding: &str) -> String {
    format!("unknown binding: {binding}")
}

pub(crate) fn unknown_namespace(namespace: &str) -> String {
    format!("unknown namespace: {namespace}")
}

pub(crate) fn unknown_operation(operation: &str) -> String {
    format!("unknown operation: {operation}")
}

/// A capability that policy-server has and this host has not.
pub(crate) fn not_offered(namespace: &str, operation: &str) -> String {
    format!(
        "{namespace}/{operation} is not offered by this host, which answers kubernetes/* only: run the policy in policy-server or kwctl"
    )
}

/// Policy-server sets no such limit.
pub(crate) fn too_many_lookups(most: usize) -> String {
    failure(&format!("more than {most} lookups were made for one request"))
}

pub(crate) fn no_client() -> String {
    failure("kube::Client was not initialized properly")
}

pub(crate) fn missing_object(api_version: &str, kind: &str, name: &str, namespace: Option<&str>) -> String {
    failure(&format!("Cannot find {api_version}/{kind} named '{name}' inside of namespace '{namespace:?}'"))
}

/// The group and version are served, the kind is not.
pub(crate) fn missing_kind(api_version: &str, kind: &str) -> String {
    failure(&format!("Cannot find resource {api_version}/{kind}"))
}

/// The API server knows nothing of the group or version, or would not say.
pub(crate) fn undiscovered(api_version: &str, kind: &str, cause: &kube::Error) -> String {
    failure(&format!("error finding resource {api_version} / {kind}: {cause}"))
}

pub(crate) fn namespace_wanted(api_version: &str, kind: &str) -> String {
    failure(&format!("Resource {api_version}/{kind} is namespaced, but no namespace was provided"))
}

pub(crate) fn cluster_wide(api_version: &str, kind: &str) -> String {
    failure(&format!("resource {api_version}/{kind} is cluster wide. Cannot search for it inside of a namespace"))
}

/// What the API server said, or why it could not be asked.
pub(crate) fn client_failure(error: &kube::Error) -> String {
    failure(&with_causes(error))
}

/// Whether a failure says that an object does not exist.
pub(crate) fn is_absence(failure: &str) -> bool {
    failure.contains("Cannot find ") && failure.contains(" named '")
}

/// Whether a failure says that the API server does not serve the kind.
pub(crate) fn is_unserved(failure: &str) -> bool {
    failure.contains("Cannot find resource ")
        || failure.contains("error finding resource ") && failure.contains("404 page not found")
}

/// What kube makes of an answer that is no `Status`: a group that is not there gets `404 page not found`.
pub(crate) fn page_not_found() -> kube::Error {
    api_error(Status::failure("404 page not found", "Failed to parse error data").with_code(404))
}

pub(crate) fn forbidden(message: &str) -> kube::Error {
    api_error(Status::failure(message, "Forbidden").with_code(403))
}

pub(crate) fn bad_request(message: &str) -> kube::Error {
    api_error(Status::failure(message, "BadRequest").with_code(400))
}

fn api_error(status: Status) -> kube::Error {
    kube::Error::Api(status.boxed())
}

/// What precedes any failure of a lookup that policy-server had taken on.
const FAILURE: &str = "Callback evaluation failure: ";

/// Any failure of a lookup that policy-server had taken on.
pub(crate) fn failure(cause: &str) -> String {
    format!("{FAILURE}{cause}")
}

/// The other way round: the failure by itself, without its causes.
pub(crate) fn reason(failure: &str) -> &str {
    let reason = failure.strip_prefix(FAILURE).unwrap_or(failure);
    reason.split_once("\n\nCaused by:").map_or(reason, |(reason, _)| reason)
}

/// A failure for people: one line, without what policy-server puts in front of it, and without the API server's answer
/// as a Rust value, which says the same once more.
#[must_use]
pub fn in_words(failure: &str) -> &str {
    let line = reason(failure).lines().next().unwrap_or_default();
    let words = line.strip_prefix("ApiError: ").unwrap_or(line);
    let words = words.split_once(" (Status {").map_or(words, |(words, _)| words);
    words.strip_suffix(": Forbidden").unwrap_or(words)
}

/// The error and its causes, as anyhow prints them for debugging, which is what policy-server hands on.
fn with_causes(error: &dyn Error) -> String {
    let causes: Vec<String> =
        std::iter::successors(error.source(), |&cause| cause.source()).map(ToString::to_string).collect();
    match causes.as_slice() {
        [] => error.to_string(),
        [only] => format!("{error}\n\nCaused by:\n    {only}"),
        several => {
            let numbered: Vec<String> =
                several.iter().enumerate().map(|(n, cause)| format!("{n:>5}: {cause}")).collect();
            format!("{error}\n\nCaused by:\n{}", numbered.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_its_causes_below() {
        let text = client_failure(&forbidden("pods is forbidden"));
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(
            first.starts_with("Callback evaluation failure: ApiError: pods is forbidden: Forbidden (Status { "),
            "{first}"
        );
        assert_eq!(rest, "\nCaused by:\n    pods is forbidden: Forbidden");
        assert_eq!(in_words(&text), "pods is forbidden");
    }

    #[test]
    fn absent_objects_and_kinds_are_no_failures() {
        let missing = missing_object("v1", "Pod", "x", Some("default"));
        let undiscovered = undiscovered("keda.sh/v1alpha1", "ScaledObject", &page_not_found());
        assert!(is_absence(&missing) && !is_unserved(&missing));
        for unserved in [missing_kind("v1", "Fleet"), undiscovered] {
            assert!(is_unserved(&unserved) && !is_absence(&unserved), "{unserved}");
        }
        let failed = client_failure(&forbidden("pods is forbidden"));
        assert!(!is_unserved(&failed) && !is_absence(&failed));
    }

    #[test]
    fn a_missing_object_names_its_namespace_as_rust_debugs_it() {
        assert_eq!(
            missing_object("keda.sh/v1alpha1", "ScaledObject", "x", Some("default")),
            "Callback evaluation failure: Cannot find keda.sh/v1alpha1/ScaledObject named 'x' inside of namespace 'Some(\"default\")'"
        );
        assert!(missing_object("v1", "Namespace", "x", None).ends_with("inside of namespace 'None'"));
    }
}
