//! Who a finding is about: objects as kubectl addresses them, workloads as autoscalers aim at them.

use std::borrow::Cow;
use std::fmt;

use autoscaler_guard_reading::{Json, Metadata, Object, group_of, title};

use crate::cluster::{ApiKind, Neighbours, Presence};
use crate::command::Command;

/// An object as kubectl addresses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// `hpa`, `scaledobject`, `envoyproxy`.
    pub resource: Cow<'static, str>,
    /// Its namespace, empty when it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Subject {
    /// An object as kubectl addresses it.
    pub fn new(resource: impl Into<Cow<'static, str>>, metadata: &Metadata<'_>) -> Self {
        let resource = resource.into();
        Self { resource, namespace: metadata.namespace.clone().into_owned(), name: metadata.name.clone().into_owned() }
    }

    /// `kubectl <verb> <resource> <name> -n <namespace>`, with these arguments behind.
    pub fn kubectl(&self, verb: &'static str, rest: &[&'static str]) -> Command {
        let command = Command::kubectl(&[verb]).arg(self.resource.clone()).name(self.name.clone());
        let command = if self.namespace.is_empty() { command } else { command.arg("-n").name(self.namespace.clone()) };
        rest.iter().fold(command, |command, argument| command.arg(*argument))
    }
}

/// `scaleTargetRef`: what an autoscaler scales.
#[derive(Clone, Debug, Default)]
pub struct ScaleTargetRef<'a> {
    /// The target's `group/version`. Its version does not matter: the HPA controller maps by group and kind.
    pub api_version: Cow<'a, str>,
    /// The target's kind.
    pub kind: Cow<'a, str>,
    /// The target's name, in the autoscaler's namespace.
    pub name: Cow<'a, str>,
}

impl<'a> ScaleTargetRef<'a> {
    /// The reference in an autoscaler's spec.
    pub fn of_spec(spec: Json<'a>) -> Self {
        let field = |name| spec.string(&["scaleTargetRef", name]).unwrap_or_default();
        Self { api_version: field("apiVersion"), kind: field("kind"), name: field("name") }
    }

    /// Whether both aim at the same workload, whichever version they name it in.
    pub fn same_workload(&self, other: &ScaleTargetRef<'_>) -> bool {
        group_of(&self.api_version) == group_of(&other.api_version)
            && self.kind == other.kind
            && self.name == other.name
    }
}

/// The fields that a lookup of a workload has to bring.
const FIELDS: &[&str] = &["spec.replicas", "spec.selector", "spec.template.metadata.labels"];

/// A workload by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadRef {
    /// Its `group/version`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&title(&self.kind, &self.namespace, &self.name))
    }
}

impl WorkloadRef {
    /// What an autoscaler in `namespace` scales. Old versions of the built-in kinds (`apps/v1beta2`) are not served any
    /// more, and the HPA controller does not care: it maps by group and kind. Group `extensions` is not served at all,
    /// so nothing is scaled by it.
    pub fn new(target: &ScaleTargetRef<'_>, namespace: &str) -> Self {
        let api_version = if group_of(&target.api_version) == "apps" { "apps/v1" } else { &target.api_version };
        Self {
            api_version: api_version.to_owned(),
            kind: target.kind.clone().into_owned(),
            namespace: namespace.to_owned(),
            name: target.name.clone().into_owned(),
        }
    }

    /// A Deployment by name.
    pub fn deployment(namespace: &str, name: &str) -> Self {
        Self {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The reference by which an autoscaler aims at it.
    pub fn target(&self) -> ScaleTargetRef<'_> {
        ScaleTargetRef {
            api_version: self.api_version.as_str().into(),
            kind: self.kind.as_str().into(),
            name: self.name.as_str().into(),
        }
    }

    /// Looks the workload up; there is none of a kind that is not served.
    pub fn get<'a>(&self, neighbours: &Neighbours<'a>) -> Presence<Object<'a>> {
        let kind =
            ApiKind { api_version: Cow::Borrowed(&self.api_version), kind: Cow::Borrowed(&self.kind), resource: "" };
        neighbours.get(&kind, &self.namespace, &self.name, FIELDS).unless_not_served()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_group_are_one_target() {
        let target = |api_version: &'static str| ScaleTargetRef {
            api_version: api_version.into(),
            kind: "Deployment".into(),
            name: "web".into(),
        };
        assert!(target("apps/v1").same_workload(&target("apps/v1beta2")));
        assert!(!target("apps/v1").same_workload(&target("example.com/v1")));
        assert_eq!(group_of("v1"), "");
    }
}
