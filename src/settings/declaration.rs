//! Setting `declarations`: objects of operators that this policy does not know, and the HPAs that they declare.

use crate::change::Attributes;
use autoscaler_guard_reading::{Json, Metadata, group_of};

/// A kind whose objects declare an HPA, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// `apiVersion`: the objects' `group/version`; the version does not matter.
    pub api_version: String,
    /// `kind`: the objects' kind.
    pub kind: String,
    /// `pointer`: where in the object the HPA is declared, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// `hpa.name`: the HPA's name, with `{name}` and `{namespace}` for the object's.
    pub hpa_name: String,
    /// `hpa.namespace`: its namespace, likewise.
    pub hpa_namespace: String,
}

impl Default for Declaration {
    fn default() -> Self {
        let (api_version, kind, pointer, hpa_name) = Default::default();
        Self { api_version, kind, pointer, hpa_name, hpa_namespace: "{namespace}".to_owned() }
    }
}

impl Declaration {
    /// Whether the object of a request is of the kind.
    pub fn concerns(&self, request: &Attributes<'_>) -> bool {
        self.is_about(&request.api.group, &request.api.kind)
    }

    /// Whether objects of an API group and kind are.
    pub fn is_about(&self, group: &str, kind: &str) -> bool {
        self.kind == kind && group_of(&self.api_version) == group
    }

    /// Whether an object, given as text, has what the pointer names.
    pub fn is_in(&self, object: &str) -> bool {
        let mut steps = self.pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
        let found = steps.try_fold(Json::new(object), |value, step| {
            let item = || value.items(&[]).into_iter().nth(step.parse().ok()?);
            value.at(&[&step]).or_else(item)
        });
        found.is_some_and(|value| value.text() != "null")
    }

    /// Namespace and name of the HPA that an object declares.
    pub fn hpa(&self, object: &Metadata<'_>) -> (String, String) {
        let fill = |template| Self::fill(template, &object.name, &object.namespace);
        (fill(&self.hpa_namespace), fill(&self.hpa_name))
    }

    /// The resource as kubectl takes it.
    pub fn resource(&self) -> String {
        format!("{}.{}", self.kind.to_ascii_lowercase(), group_of(&self.api_version))
    }

    /// Fills a template.
    pub(super) fn fill(template: &str, name: &str, namespace: &str) -> String {
        template.replace("{name}", name).replace("{namespace}", namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoscaler_guard_reading::Object;

    fn is_in(pointer: &str, object: &str) -> bool {
        Declaration { pointer: pointer.to_owned(), ..Declaration::default() }.is_in(object)
    }

    #[test]
    fn pointers_are_followed() {
        let object = r#"{"spec":{"hpa":{},"none":null,"list":[{"max":3},null],"a/b":1,"m~n":0,"~1":2,"":{"":5}}}"#;
        for pointer in ["/spec", "/spec/hpa", "/spec/list/0/max", "/spec/a~1b", "/spec/m~0n", "/spec/~01", "/spec//"] {
            assert!(is_in(pointer, object), "{pointer}");
        }
        for pointer in
            ["/hpa", "/spec/none", "/spec/list/1", "/spec/list/2", "/spec/list/-", "/spec/hpa/x", "/spec/a~0b"]
        {
            assert!(!is_in(pointer, object), "{pointer}");
        }
    }

    #[test]
    fn templates_name_the_hpa() {
        let object =
            Object::from_text(r#"{"metadata":{"name":"main","namespace":"monitoring"}}"#).expect("well-formed");
        let named = |hpa_name: &str| {
            Declaration { hpa_name: hpa_name.to_owned(), ..Declaration::default() }.hpa(&object.metadata)
        };
        assert_eq!(named("vmagent-{name}"), ("monitoring".to_owned(), "vmagent-main".to_owned()));
        assert_eq!(named("{namespace}.{name}.{name}").1, "monitoring.main.main");
    }
}
