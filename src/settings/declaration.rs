//! Setting `declarations`: objects of operators that this policy does not know, and the HPAs that they declare.

use std::borrow::Cow;

use crate::change::Attributes;
use autoscaler_guard_reading::{Json, Object, group_of};

/// What an operator does with an HPA that is not declared any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// It forgets it: the HPA stays, still scaling.
    #[default]
    Orphaned,
    /// It deletes it: the workload has none.
    Lost,
}

/// A kind whose objects declare an HPA, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// `apiVersion`: the objects' `group/version`, or `v1`; the version does not matter.
    pub api_version: String,
    /// `kind`: the objects' kind.
    pub kind: String,
    /// `pointer`: where in the object the HPA is declared, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// `hpa.name`: the HPA's name, with `{name}` and `{namespace}` for the object's, and `{/pointer}` for what a field
    /// of it says.
    pub hpa_name: String,
    /// `hpa.namespace`: its namespace, likewise.
    pub hpa_namespace: String,
    /// `effect`: what becomes of the HPA.
    pub effect: Effect,
}

impl Default for Declaration {
    fn default() -> Self {
        let (api_version, kind, pointer, hpa_name) = Default::default();
        Self { api_version, kind, pointer, hpa_name, hpa_namespace: "{namespace}".to_owned(), effect: Effect::Orphaned }
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

    /// Whether an object, given as text, has what the pointer names: something, that is not `false` and no reference to
    /// something else than an HPA.
    pub fn is_in(&self, object: &str) -> bool {
        at(object, &self.pointer).is_some_and(|value| {
            let refers = value.string(&["kind"]);
            !matches!(value.text(), "null" | "false" | "\"false\"")
                && refers.is_none_or(|kind| kind == "HorizontalPodAutoscaler")
        })
    }

    /// Whether what declares the HPA says the same in both objects, where it is a word that chooses between kinds of
    /// autoscalers.
    pub fn says_the_same(&self, one: &str, other: &str) -> bool {
        let word = |object| at(object, &self.pointer).and_then(|value| value.string(&[]));
        word(one) == word(other)
    }

    /// Namespace and name of the HPA that an object declares; `None` where a field of it that names the HPA is not
    /// there.
    pub fn hpa(&self, object: &Object<'_>) -> Option<(String, String)> {
        let fill = |template: &str| {
            let filled = Self::fill(template, &object.metadata.name, &object.metadata.namespace);
            fields(&filled, &|pointer| {
                at(object.text(), pointer).and_then(|value| value.string(&[])).map(Cow::into_owned)
            })
        };
        Some((fill(&self.hpa_namespace)?, fill(&self.hpa_name)?))
    }

    /// The resource as kubectl takes it.
    pub fn resource(&self) -> String {
        let kind = self.kind.to_ascii_lowercase();
        match group_of(&self.api_version) {
            "" => kind,
            group => format!("{kind}.{group}"),
        }
    }

    /// Fills a template.
    pub(super) fn fill(template: &str, name: &str, namespace: &str) -> String {
        template.replace("{name}", name).replace("{namespace}", namespace)
    }
}

/// What a JSON pointer (RFC 6901) leads to.
fn at<'o>(object: &'o str, pointer: &str) -> Option<Json<'o>> {
    let mut steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    steps.try_fold(Json::new(object), |value, step| {
        let item = || value.items(&[]).into_iter().nth(step.parse().ok()?);
        value.at(&[&step]).or_else(item)
    })
}

/// Fills `{/pointer}` in a template.
pub(super) fn fields(template: &str, field: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let Some((before, rest)) = template.split_once("{/") else { return Some(template.to_owned()) };
    let (pointer, after) = rest.split_once('}')?;
    let value = field(&format!("/{pointer}"))?;
    Some(format!("{before}{value}{}", fields(after, field)?))
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
    fn a_switch_that_is_off_and_another_kind_declare_nothing() {
        let object = r#"{"on":true,"off":false,"text":"false","hpa":{"kind":"HorizontalPodAutoscaler"},"so":{"kind":"ScaledObject"}}"#;
        assert!(is_in("/on", object) && is_in("/hpa", object));
        assert!(!is_in("/off", object) && !is_in("/text", object) && !is_in("/so", object));
    }

    #[test]
    fn templates_name_the_hpa() {
        let object =
            Object::from_text(r#"{"metadata":{"name":"main","namespace":"monitoring"},"spec":{"ref":{"name":"web"}}}"#)
                .expect("well-formed");
        let named =
            |hpa_name: &str| Declaration { hpa_name: hpa_name.to_owned(), ..Declaration::default() }.hpa(&object);
        assert_eq!(named("vmagent-{name}"), Some(("monitoring".to_owned(), "vmagent-main".to_owned())));
        assert_eq!(named("{namespace}.{name}.{name}").unwrap_or_default().1, "monitoring.main.main");
        assert_eq!(named("{/spec/ref/name}-primary").unwrap_or_default().1, "web-primary");
        assert_eq!(named("{/spec/ref/none}-primary"), None);
    }
}
