//! Whether a request is one that an API server could send: what contradicts itself, or is in no namespace, would be
//! allowed without having been judged.

use autoscaler_guard::Settings;
use serde_json::Value;

use super::request::Request;
use crate::fault::Fault;

/// The operations of an `AdmissionRequest`, as API servers spell them.
const OPERATIONS: [&str; 4] = ["CREATE", "UPDATE", "DELETE", "CONNECT"];

/// The kinds that rules watch and that are in no namespace.
const CLUSTER_SCOPED: [&str; 4] = ["GatewayClass", "CustomResourceDefinition", "Namespace", "APIService"];

/// Checks a request, and puts its object into a namespace as the API server would: the request's own, else the one
/// given.
pub fn placed(mut request: Request, given: Option<&str>, settings: &Settings) -> Result<Request, Fault> {
    let unusable = |what: String| Fault::new(format!("{} cannot be judged", request.origin)).because(what);
    let operation = request.operation();
    if !OPERATIONS.contains(&operation) {
        let fault = unusable(format!("no API server sends the operation {operation}"));
        return Err(fault.help(format!("an operation is one of {}", OPERATIONS.join(", "))));
    }
    for object in ["object", "oldObject"] {
        if let Some(other) = contradiction(&request.value, object) {
            return Err(unusable(other).help("kind is that of the object, in its spelling"));
        }
    }
    if !request.is_watched(settings) || CLUSTER_SCOPED.contains(&request.kind()) {
        return Ok(request);
    }
    let named = |pointer| request.value.pointer(pointer).and_then(Value::as_str).filter(|name| !name.is_empty());
    let pointers = ["/namespace", "/object/metadata/namespace", "/oldObject/metadata/namespace"];
    let mut names = pointers.iter().filter_map(|pointer| named(pointer));
    let Some(namespace) = names.next().or(given).map(ToOwned::to_owned) else {
        let fault = unusable(format!("{} is in no namespace", request.change()));
        return Err(fault.help("say where it would be created: --namespace NAME"));
    };
    if let Some(other) = names.find(|other| *other != namespace) {
        return Err(unusable(format!("it names two namespaces, {namespace} and {other}")));
    }
    request.value["namespace"] = Value::from(namespace.as_str());
    for object in ["object", "oldObject"] {
        if let Some(metadata) = request.value[object]["metadata"].as_object_mut() {
            metadata.insert("namespace".to_owned(), Value::from(namespace.as_str()));
        }
    }
    Ok(request)
}

/// How an object's API group or kind differs from the request's.
fn contradiction(request: &Value, object: &str) -> Option<String> {
    let text = |value: &Value, pointer| value.pointer(pointer).and_then(Value::as_str).map(ToOwned::to_owned);
    let kind = text(request, "/kind/kind")?;
    if let Some(other) = text(&request[object], "/kind").filter(|other| *other != kind) {
        return Some(format!("kind says {kind}, its {object} is a {other}"));
    }
    let group = text(request, "/kind/group").unwrap_or_default();
    let api_version = text(&request[object], "/apiVersion")?;
    let other = api_version.split_once('/').map_or("", |(group, _)| group);
    (other != group).then(|| format!("kind.group says \"{group}\", its {object} is of {api_version}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request() -> Value {
        json!({
            "operation": "CREATE", "kind": {"group": "autoscaling", "version": "v2", "kind": "HorizontalPodAutoscaler"},
            "object": {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"}},
        })
    }

    fn with(pointer: &str, value: &str) -> Value {
        let mut request = request();
        *request.pointer_mut(pointer).expect("it is there") = json!(value);
        request
    }

    fn place(value: Value, given: Option<&str>) -> Result<Value, String> {
        let request = Request::new("a test", value).expect("it is a request");
        placed(request, given, &Settings::default()).map(|request| request.value).map_err(|fault| fault.to_string())
    }

    #[test]
    fn what_no_api_server_sends_is_unusable() {
        for (pointer, value, reason) in [
            ("/operation", "Create", "no API server sends the operation Create\nhelp: an operation is one of CREATE,"),
            ("/operation", "FOO", "no API server sends"),
            ("/kind/kind", "HorizontalPodAutoScaler", "kind says HorizontalPodAutoScaler, its object is a Horizontal"),
            ("/kind/group", "apps", "kind.group says \"apps\", its object is of autoscaling/v2"),
        ] {
            let fault = place(with(pointer, value), Some("shop")).unwrap_err();
            assert!(fault.starts_with("error: a test cannot be judged: ") && fault.contains(reason), "{fault}");
        }
    }

    #[test]
    fn an_object_is_put_where_the_request_is_made() {
        let fault = place(request(), None).unwrap_err();
        assert!(fault.contains("is in no namespace\nhelp: "), "{fault}");
        let place = |value, given| {
            place(value, given)
                .map(|request| [request["namespace"].clone(), request["object"]["metadata"]["namespace"].clone()])
        };
        assert_eq!(place(request(), Some("shop")), Ok([json!("shop"), json!("shop")]));
        let mut own = request();
        own["namespace"] = json!("web");
        assert_eq!(place(own.clone(), Some("shop")), Ok([json!("web"), json!("web")]));
        own["object"]["metadata"]["namespace"] = json!("other");
        assert!(place(own, None).is_err_and(|fault| fault.contains("two namespaces, web and other")));
    }

    #[test]
    fn what_no_rule_watches_needs_no_namespace() {
        let pod = json!({"operation": "CREATE", "kind": {"kind": "Pod"}, "object": {"metadata": {"name": "web"}}});
        assert_eq!(place(pod.clone(), None), Ok(pod));
    }
}
