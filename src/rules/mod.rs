//! The rules: one file each below their family, one line in the list below.
//!
//! A rule's file opens with its page (headings `What it protects`, `Why`, `When it fires`, `Overrides`, `Example`),
//! which `autoscaler-guard rules <id>` shows; then come its facts, its check and its tests. To add one: write the file,
//! add its line here and a test page `tests/rules/<id>.yaml`. What rules share stands beside them, never inside one: no
//! rule imports a rule.

use crate::rule::{Lookup, Rule};
use crate::settings::Catalogue;

mod departing;
mod fleet_finding;
mod retarget;

/// The rule of that id.
pub fn find(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id).copied()
}

/// The family of a rule.
pub fn family(id: &str) -> &'static str {
    FAMILIES.iter().find(|(_, ids)| ids.contains(&id)).map_or("", |(family, _)| *family)
}

/// The rules, as settings know them.
pub static CATALOGUE: Catalogue = Catalogue {
    names: NAMES,
    families: FAMILIES.len(),
    members: |name| match FAMILIES.iter().find(|(family, _)| *family == name) {
        Some((_, ids)) => ids.to_vec(),
        None => find(name).map(|rule| rule.id).into_iter().collect(),
    },
    may_reject: |id| find(id).is_some_and(|rule| rule.may_reject),
    #[cfg(not(target_arch = "wasm32"))]
    title: |id| find(id).map_or("", |rule| rule.title),
};

macro_rules! rules {
    ($($family:ident shares [$($shared:ident),*] { $($file:ident: $id:literal,)+ })+) => {
        $(mod $family {
            $(pub(super) mod $shared;)*
            $(pub(super) mod $file;)+
        })+

        /// Every rule, in the order in which findings are reported.
        pub static RULES: &[&Rule] = &[$($(&$family::$file::RULE,)+)+];

        /// Every family with the ids of its rules.
        pub static FAMILIES: &[(&str, &[&str])] = &[$((stringify!($family), &[$($id,)+]),)+];

        /// Every rule's id.
        pub(crate) static IDS: &[&str] = &[$($($id,)+)+];

        /// What settings may name.
        static NAMES: &[&str] = &[$(stringify!($family),)+ $($($id,)+)+];

        /// What each rule looks up, for manifests and docs; not in the module.
        pub static LOOKUPS: &[(&str, &[Lookup])] = &[$($(($id, $family::$file::LOOKUPS),)+)+];

        /// Every rule's source, which opens with its page. Only the command line and the docs reach it, so it is not in
        /// the module.
        pub static SOURCES: &[(&str, &str)] =
            &[$($(($id, include_str!(concat!(stringify!($family), "/", stringify!($file), ".rs"))),)+)+];
    };
}

rules! {
    hpa shares [handover] {
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
        duplicate_autoscaler: "duplicate-autoscaler",
        autoscaler_disabled: "autoscaler-disabled",
        target_missing: "target-missing",
        replicas_declared: "replicas-declared",
        crd_deleted: "crd-deleted",
        hpa_retargeted: "hpa-retargeted",
        declared_hpa_removed: "declared-hpa-removed",
    }
    keda shares [] {
        scaledobject_deleted: "scaledobject-deleted",
        scaledobject_takes_hpa: "scaledobject-takes-hpa",
        transfer_unnamed: "transfer-unnamed",
        scaledobject_retargeted: "scaledobject-retargeted",
        scaledobject_hpa_renamed: "scaledobject-hpa-renamed",
        scaledobject_paused: "scaledobject-paused",
        scaledobject_without_hpa: "scaledobject-without-hpa",
        metrics_api_changed: "metrics-api-changed",
    }
    envoy shares [cause, class, lost_fleet, merge, references] {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::DefaultAction;

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
            assert!(
                rule.may_reject || rule.default != DefaultAction::Reject,
                "{} rejects by default, so it may",
                rule.id
            );
            assert!(!rule.watches.is_empty(), "{} watches nothing", rule.id);
        }
    }

    #[test]
    fn every_rule_opens_with_its_page() {
        for (id, source) in SOURCES {
            for heading in ["What it protects", "Why", "When it fires", "Overrides", "Example"] {
                assert!(source.contains(&format!("//! ## {heading}\n")), "{id} lacks the heading {heading}");
            }
        }
    }
}
