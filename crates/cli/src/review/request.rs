//! An admission request, as far as its headline goes; the policy reads the rest for itself.

use autoscaler_guard::{AdmissionRequest, Settings, is_watched};
use serde_json::Value;

/// An `AdmissionRequest` and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The file and document.
    pub origin: String,
    /// The request itself.
    pub value: Value,
}

impl Request {
    /// Takes the request out of an `AdmissionReview` or of a policy's payload, or takes it as it is; `None` if the
    /// value is neither.
    pub fn new(origin: impl Into<String>, mut value: Value) -> Option<Self> {
        let value = match value.get_mut("request") {
            Some(request) => request.take(),
            None => value,
        };
        let is_request = value["operation"].is_string() && value["kind"]["kind"].is_string();
        is_request.then(|| Self { origin: origin.into(), value })
    }

    /// Whether any rule watches such a change at all.
    pub fn is_watched(&self, settings: &Settings) -> bool {
        let text = self.value.to_string();
        AdmissionRequest::from_text(&text).is_ok_and(|request| is_watched(request, settings))
    }

    /// The request's uid; empty if it has none.
    pub fn uid(&self) -> &str {
        self.text("/uid").unwrap_or_default()
    }

    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    pub fn operation(&self) -> &str {
        self.text("/operation").unwrap_or_default()
    }

    /// The kind, without its group.
    pub fn kind(&self) -> &str {
        self.text("/kind/kind").unwrap_or_default()
    }

    /// The namespace; none for cluster-scoped kinds.
    pub fn namespace(&self) -> Option<&str> {
        self.text("/namespace")
    }

    /// The object's name. When a collection is deleted, only the old object has it.
    pub fn name(&self) -> Option<&str> {
        let places = ["/name", "/object/metadata/name", "/oldObject/metadata/name"];
        places.iter().find_map(|place| self.text(place))
    }

    /// Who is asking.
    pub fn user(&self) -> Option<&str> {
        self.text("/userInfo/username")
    }

    /// The object as it is to be; null when it is deleted.
    pub fn object(&self) -> &Value {
        &self.value["object"]
    }

    /// The object as it is; null when it is created.
    pub fn old_object(&self) -> &Value {
        &self.value["oldObject"]
    }

    /// `UPDATE HorizontalPodAutoscaler shop/web`
    pub fn change(&self) -> String {
        let namespace = self.namespace().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let name = self.name().or(self.text("/object/metadata/generateName")).unwrap_or("(unnamed)");
        let part = self.text("/subResource").map(|part| format!("/{part}")).unwrap_or_default();
        format!("{} {} {namespace}{name}{part}", self.operation(), self.kind())
    }

    /// `by lab-admin via helm`
    pub fn author(&self) -> String {
        let user = self.user().map(|user| format!("by {user}"));
        let tool = self.text("/options/fieldManager").map(|tool| format!("via {tool}"));
        let dry_run = (self.value["dryRun"] == true).then(|| "(dry run)".to_owned());
        [user, tool, dry_run].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(value: Value) -> Request {
        Request::new("a test", value).unwrap()
    }

    #[test]
    fn reviews_payloads_and_bare_requests_are_taken() {
        let bare = json!({"operation": "DELETE", "kind": {"kind": "Pod"}});
        for value in [
            bare.clone(),
            json!({"kind": "AdmissionReview", "request": bare}),
            json!({"request": bare, "settings": {}}),
        ] {
            assert_eq!(request(value).value, bare);
        }
        for value in [json!({"kind": "Pod"}), json!(3), json!(null), json!({"kind": "AdmissionReview", "response": {}})]
        {
            assert_eq!(Request::new("a test", value), None);
        }
    }

    #[test]
    fn the_headline_names_change_author_and_tool() {
        let update = request(json!({
            "operation": "UPDATE", "kind": {"kind": "Deployment"}, "namespace": "shop", "name": "web", "subResource": "scale",
            "userInfo": {"username": "jane"}, "options": {"fieldManager": "kubectl"}, "dryRun": true,
        }));
        assert_eq!(update.change(), "UPDATE Deployment shop/web/scale");
        assert_eq!(update.author(), "by jane via kubectl (dry run)");
    }

    #[test]
    fn the_name_comes_from_the_old_object_when_a_collection_is_deleted() {
        let delete = request(
            json!({"operation": "DELETE", "kind": {"kind": "Pod"}, "name": "", "oldObject": {"metadata": {"name": "a"}}}),
        );
        assert_eq!((delete.change().as_str(), delete.author().as_str()), ("DELETE Pod a", ""));
    }
}
