//! How findings about a change that may take envoyHpa from fleets are worded.

use crate::cluster::Reason;
use crate::facts::envoy_gateway::{Running, WithoutClassProxy};
use crate::finding::{Action, Finding, Help};
use crate::subject::Subject;

/// A change that may take envoyHpa from fleets, and how findings about it are worded.
pub(super) struct Cause {
    pub(super) rule: &'static str,
    /// The changed object.
    pub(super) subject: Subject,
    /// The change, as a sentence begins.
    pub(super) change: String,
    /// Whether the changed object is an EnvoyProxy that can declare the fleets' count instead of envoyHpa.
    pub(super) takes_count: bool,
    /// The EnvoyProxy, other than the changed object, that the fleets would run by.
    pub(super) governing: Option<Subject>,
}

impl Cause {
    /// The change ends in an EnvoyProxy that does not exist, so nothing can be declared there.
    pub(super) fn is_to_nothing(&mut self) {
        self.change.push_str(", which does not exist,");
        self.governing = None;
    }

    /// A finding whose sentence goes on after the change.
    pub(super) fn finding(&self, action: Action, outcome: &str) -> Finding {
        Finding::new(self.rule, action, self.subject.clone(), format!("{}{outcome}", self.change))
    }

    /// Which fleets run by what could not be seen: there may be some.
    pub(super) fn unknown_fleets(&self, reason: &Reason) -> Finding {
        let outcome = format!(
            " may leave Envoy fleets without an autoscaler: which run by which EnvoyProxy is not known ({reason})"
        );
        self.finding(Action::Reject, &outcome)
            .help("Try again once the policy may read and list Gateways", Help::text("see policies/rbac.yaml"))
    }

    /// What becomes of a class whose EnvoyProxy is missing, where its fleets do not just run on defaults; `how` it
    /// comes to that follows the change.
    pub(super) fn without_class_proxy(&self, running: Running, how: &str) -> Option<Finding> {
        let name = running.name();
        let outcome = match running.without_class_proxy() {
            Some(WithoutClassProxy::Defaults) => return None,
            Some(WithoutClassProxy::FreezesAll) => format!("stops {name} from managing every fleet of every class"),
            Some(WithoutClassProxy::DeletesFleets) => format!("makes {name} delete every fleet of the class"),
            None => format!(
                "stops {name} from managing every fleet of every class (before 1.3.3; which version runs is not known: set envoyGateway.version)"
            ),
        };
        let mut finding = self.finding(Action::Reject, &format!("{how} {outcome}"));
        finding.at_stake = "it";
        Some(finding)
    }

    /// Adds what most people meant to do: the next EnvoyProxy has envoyHpa, too.
    pub(super) fn declare_hpa(&self, finding: Finding, hpa: Option<&str>) -> Finding {
        match (&self.governing, hpa) {
            // A quote would end the command's own.
            (Some(proxy), Some(hpa)) if !hpa.contains('\'') => {
                let patch =
                    format!(r#"{{"spec":{{"provider":{{"type":"Kubernetes","kubernetes":{{"envoyHpa":{hpa}}}}}}}}}"#);
                finding
                    .help("Declare envoyHpa there first", proxy.kubectl("patch", &["--type", "merge", "-p"]).arg(patch))
            }
            _ => finding,
        }
    }
}

pub(super) fn version_unknown(mut finding: Finding) -> Finding {
    finding.notes.push("Which Envoy Gateway runs is not known: set envoyGateway.version".to_owned());
    finding
}

pub(super) fn and_more(count: usize) -> String {
    if count > 1 { format!(" and {} more", count - 1) } else { String::new() }
}
