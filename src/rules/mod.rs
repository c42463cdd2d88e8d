//! The rules: one file each, one line in the list below.
//!
//! A rule's file opens with its page (headings `What it protects`, `Why`, `When it fires`, `Ways through`, `Example`), which
//! `autoscaler-guard rules <id>` shows; then come its facts, its check and its tests. To add one: write the file, add its line here and
//! a test page `tests/rules/<id>.yaml`.

use crate::change::{Kind, Operation};
use crate::cluster::ApiKind;
use crate::context::Context;
use crate::gate::Passage;
use crate::verdict::Finding;

/// What a rule does by itself when it fires; single cases may be softer or harder, as its page tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// Says so and lets it pass.
    Warn,
    /// Changes the request.
    Repair,
    /// Refuses.
    Reject,
}

/// A rule: its facts and its check.
pub struct Rule {
    /// Stable, kebab-case: settings, annotations, RBAC and audit logs name the rule by it.
    pub id: &'static str,
    /// What it protects, in one line.
    pub title: &'static str,
    /// What it does by itself.
    pub default: Default,
    /// Whether it may ever refuse: what answers a controller or gives something back may not.
    pub may_reject: bool,
    /// The first version that had it.
    pub since: &'static str,
    /// Whose changes: everybody's that are judged, or KEDA's update of an HPA that it released.
    pub concerns: Passage,
    /// Which changes it looks at.
    pub watches: &'static [(Kind, &'static [Operation])],
    /// Finds what is wrong with a change that it watches.
    pub check: for<'a> fn(&Context<'a>) -> Option<Finding>,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Rule({})", self.id)
    }
}

impl Rule {
    /// Whether a change of this kind concerns the rule at all.
    pub fn watches(&self, kind: Kind, operation: Operation) -> bool {
        self.watches.iter().any(|(watched, operations)| *watched == kind && operations.contains(&operation))
    }
}

/// What a rule may ask the cluster for.
///
/// Beside that, whatever is about to be refused or repaired asks for its workload and for the namespace, and whether the user may
/// `bypass` the rule; with setting `helm.readReleases`, for the Secrets of a release.
#[derive(Clone, Copy, Debug)]
pub enum LookUp {
    /// One object of the kind.
    Get(&'static ApiKind<'static>),
    /// The objects of the kind, in a namespace or in the whole cluster.
    List(&'static ApiKind<'static>),
    /// The object that an ownerReference names, of whatever kind.
    Owner,
}

/// The rule of that id.
pub fn find(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id).copied()
}

macro_rules! rules {
    ($($file:ident: $id:literal,)+) => {
        $(mod $file;)+

        /// Every rule, in the order in which findings are told.
        pub static RULES: &[&Rule] = &[$(&$file::RULE,)+];

        /// Every rule's id, for the settings' near misses.
        pub(crate) static IDS: &[&str] = &[$($id,)+];

        /// What each rule looks up, for manifests and docs; not in the module.
        pub static LOOK_UPS: &[(&str, &[LookUp])] = &[$(($id, $file::LOOK_UPS),)+];

        /// Every rule's source, which opens with its page. Only the command line and the docs reach it, so it is not in the module.
        pub static SOURCES: &[(&str, &str)] = &[$(($id, include_str!(concat!(stringify!($file), ".rs"))),)+];
    };
}

rules! {
    hpa_handover: "hpa-handover",
    hpa_readoption: "hpa-readoption",
    hpa_giveback: "hpa-giveback",
    released_hpa_deleted: "released-hpa-deleted",
    owned_hpa_changed: "owned-hpa-changed",
    owned_hpa_deleted: "owned-hpa-deleted",
    hpa_deleted: "hpa-deleted",
    hpa_owner_changed: "hpa-owner-changed",
    hpa_owner_stale: "hpa-owner-stale",
    hpa_name_claimed: "hpa-name-claimed",
    handover_unfinished: "handover-unfinished",
    scaledobject_deleted: "scaledobject-deleted",
    scaledobject_takes_hpa: "scaledobject-takes-hpa",
    duplicate_autoscaler: "duplicate-autoscaler",
    transfer_unnamed: "transfer-unnamed",
    autoscaler_disabled: "autoscaler-disabled",
    target_missing: "target-missing",
    crd_deleted: "crd-deleted",
    hpa_retargeted: "hpa-retargeted",
    scaledobject_retargeted: "scaledobject-retargeted",
    scaledobject_hpa_renamed: "scaledobject-hpa-renamed",
    scaledobject_paused: "scaledobject-paused",
    scaledobject_without_hpa: "scaledobject-without-hpa",
    envoyhpa_removed: "envoyhpa-removed",
    envoyproxy_deleted: "envoyproxy-deleted",
    gatewayclass_parameters: "gatewayclass-parameters",
    gateway_parameters: "gateway-parameters",
    gatewayclass_deleted: "gatewayclass-deleted",
    merge_gateways: "merge-gateways",
    envoyhpa_with_replicas: "envoyhpa-with-replicas",
    envoyhpa_over_replicas: "envoyhpa-over-replicas",
    envoyhpa_takes_hpa: "envoyhpa-takes-hpa",
    envoy_fleet_renamed: "envoy-fleet-renamed",
    envoy_hpa_orphaned: "envoy-hpa-orphaned",
    declared_hpa_removed: "declared-hpa-removed",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_and_the_files_agree() {
        let ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(ids, IDS);
        for rule in RULES {
            assert!(
                rule.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
                "{} is not kebab-case",
                rule.id
            );
            assert!(rule.may_reject || rule.default != Default::Reject, "{} rejects by default, so it may", rule.id);
            assert!(!rule.watches.is_empty(), "{} watches nothing", rule.id);
        }
    }

    #[test]
    fn every_rule_opens_with_its_page() {
        for (id, source) in SOURCES {
            for heading in ["What it protects", "Why", "When it fires", "Ways through", "Example"] {
                assert!(source.contains(&format!("//! ## {heading}\n")), "{id} lacks the heading {heading}");
            }
        }
    }
}
