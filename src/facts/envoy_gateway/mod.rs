//! Envoy Gateway: which version runs, what EnvoyProxies say, and which fleets run by them.

pub mod binding;
pub mod fleet;
pub mod fleet_change;
pub mod governed;
pub mod merge;
pub mod spec;
pub mod version;

pub use binding::{FEW, GROUP, Gateway, GatewayClass, ProxyRef, Reference, classes};
pub use fleet::{
    Fleet, Level, OWN_LABELS, OWNING_GATEWAY_CLASS, OWNING_GATEWAY_NAME, OWNING_GATEWAY_NAMESPACE, generated_name,
    has_fleet_labels, has_gateway_owner, has_own_labels, label_keys, labelled_owner,
};
pub use governed::{Governed, Topology, declares_fleet_hpa, is_run_by_envoy_gateway};
pub use merge::Effective;
pub use spec::{DEPLOYMENT, EnvoyProxySpec, HPA};
pub use version::{Removal, Running, WithoutClassProxy, WithoutOwnProxy};

#[cfg(test)]
mod tests {
    use super::version::image_version;
    use super::*;
    use crate::settings::Version;
    use autoscaler_guard_reading::{Json, Object};

    #[test]
    fn names_are_generated_as_envoy_gateway_does() {
        assert_eq!(generated_name("default/eg"), "envoy-default-eg-e41e7b31");
        // Merged Gateways: the class's name alone.
        assert!(generated_name("eg").starts_with("envoy-eg-"));
        let long = generated_name(&format!("{}/{}", "n".repeat(30), "g".repeat(30)));
        assert_eq!(long.len(), "envoy-".len() + 48 + "-".len() + 8);
        // The cut falls behind the separator, which goes too.
        let trimmed = generated_name(&format!("{}/{}", "n".repeat(47), "gateway"));
        assert!(
            trimmed.starts_with(&format!("envoy-{}-", "n".repeat(47))) && trimmed.len() == 6 + 47 + 1 + 8,
            "{trimmed}"
        );
    }

    #[test]
    fn versions_decide_what_a_removal_does() {
        let removal = |text: &str| Running(Version::parse(text)).removal();
        for (text, expected) in [
            ("1.1.2", Removal::Loses),
            ("1.1.3", Removal::Orphans),
            ("1.3.0", Removal::Orphans),
            ("1.4.6", Removal::Orphans),
            ("1.5.0", Removal::Loses),
            ("1.9.1", Removal::Loses),
            ("latest", Removal::Either),
        ] {
            assert_eq!(removal(text), expected, "{text}");
        }
    }

    #[test]
    fn versions_decide_what_is_deleted() {
        let deletes = |text: &str| {
            let running = Running(Version::parse(text));
            (running.deletes_by_name(), running.deletes_by_labels())
        };
        for (text, expected) in [
            ("1.1.2", (true, Some(false))),
            ("1.1.3", (false, Some(false))),
            ("1.4.6", (false, Some(false))),
            ("1.5.0", (false, Some(true))),
            ("latest", (false, None)),
        ] {
            assert_eq!(deletes(text), expected, "{text}");
        }
    }

    #[test]
    fn the_version_is_read_from_the_image() {
        let version = |image: &str| {
            let text = format!(
                r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"name":"proxy","image":"x:v9.9.9"}},{{"name":"envoy-gateway","image":"{image}"}}]}}}}}}}}"#
            );
            image_version(&Object::from_text(&text).expect("well-formed"))
        };
        assert_eq!(version("docker.io/envoyproxy/gateway:v1.4.2"), Some(Version::new(1, 4, 2)));
        assert_eq!(version("mirror.example:5000/envoyproxy/gateway:v1.9.1@sha256:0123"), Some(Version::new(1, 9, 1)));
        assert_eq!(version("mirror.example:5000/envoyproxy/gateway@sha256:0123"), None);
        assert_eq!(version("envoyproxy/gateway:latest"), None);
    }

    fn spec(text: &str) -> EnvoyProxySpec<'_> {
        EnvoyProxySpec(Json::new(text))
    }

    const WITH: &str = r#"{"provider":{"type":"Kubernetes","kubernetes":{"envoyHpa":{"maxReplicas":5}}}}"#;
    const WITHOUT: &str = r#"{"provider":{"type":"Kubernetes","kubernetes":{"envoyDeployment":{"replicas":3}}}}"#;
    const MERGED: &str = r#"{"mergeType":"StrategicMerge","provider":{"type":"Kubernetes","kubernetes":{"envoyDeployment":{"replicas":3}}}}"#;

    #[test]
    fn patches_rename_and_force() {
        let text = r#"{"provider":{"type":"Kubernetes","kubernetes":{
            "envoyDeployment":{"name":"edge","replicas":3,"patch":{"type":"JSONMerge","value":{"metadata":{"name":"other"},"spec":{"replicas":4}}}},
            "envoyHpa":{"maxReplicas":5,"patch":{"value":{"metadata":{"labels":null},"spec":{"scaleTargetRef":{"name":"third"}}}}}}}}"#;
        let effective = Effective::new(Some(spec(text)), None, None);
        assert_eq!(effective.name(DEPLOYMENT).as_deref(), Some("other"));
        assert_eq!((effective.name(HPA), effective.target_name().as_deref()), (None, Some("third")));
        assert_eq!((effective.replicas(), effective.patched_replicas()), (Some(4), Some(4)));
        let label = effective.patched(HPA, &["metadata", "labels", OWNING_GATEWAY_NAME]);
        assert_eq!(label.map(Json::text), Some("null"));
        assert!(effective.patched(HPA, &["metadata", "annotations"]).is_none());
        let unpatched = Effective::new(Some(spec(WITHOUT)), None, None);
        assert_eq!(
            (unpatched.name(DEPLOYMENT), unpatched.target_name(), unpatched.patched_replicas()),
            (None, None, None)
        );
    }

    #[test]
    fn versions_decide_who_writes_the_count() {
        const BOTH: &str =
            r#"{"provider":{"type":"Kubernetes","kubernetes":{"envoyDeployment":{"replicas":3},"envoyHpa":{}}}}"#;
        let writes = |text: &'static str, version: &str| {
            Effective::new(Some(spec(text)), None, None).writes_count(Running(Version::parse(version)))
        };
        for (version, expected) in [
            ("1.2.8", Some(false)),
            ("1.3.0", Some(true)),
            ("1.8.3", Some(true)),
            ("1.9.0", Some(false)),
            ("latest", None),
        ] {
            assert_eq!(writes(BOTH, version), expected, "{version}");
            assert_eq!((writes(WITHOUT, version), writes(WITH, version)), (Some(true), Some(false)), "{version}");
        }
    }

    #[test]
    fn bounds_and_logging_do_not_make_other_fleets() {
        let same = |one: &'static str, other: &'static str| {
            let alone = |text| Effective::new(Some(spec(text)), None, None);
            spec(one).same_binding(spec(other)) && alone(one).same_fleets(&alone(other))
        };
        let more = r#"{"logging":{},"provider":{"type":"Kubernetes","kubernetes":{"envoyHpa":{"maxReplicas":9}}}}"#;
        assert!(same(WITH, more) && !same(WITH, WITHOUT));
        let named = r#"{"provider":{"type":"Kubernetes","kubernetes":{"envoyHpa":{"maxReplicas":5,"name":"edge"}}}}"#;
        assert!(!same(WITH, named) && !same(WITHOUT, MERGED));
    }

    #[test]
    fn patches_take_back_and_empty() {
        let with = |patch: &str| {
            format!(
                r#"{{"provider":{{"type":"Kubernetes","kubernetes":{{"envoyDeployment":{{"replicas":3,"patch":{patch}}},"envoyHpa":{{"maxReplicas":5,"patch":{patch}}}}}}}}}"#
            )
        };
        let null = with(r#"{"value":{"spec":{"replicas":null}}}"#);
        assert_eq!(Effective::new(Some(EnvoyProxySpec(Json::new(&null))), None, None).replicas(), None);
        let target = |text: &str| {
            let effective = Effective::new(Some(EnvoyProxySpec(Json::new(text))), None, None);
            effective.patched(HPA, &["spec", "scaleTargetRef", "name"]).map(|name| name.text().to_owned())
        };
        let directive = r#""value":{"spec":{"$patch":"replace","minReplicas":2}}}"#;
        assert_eq!(target(&with(&format!("{{{directive}"))).as_deref(), Some("null"));
        assert_eq!(target(&with(&format!(r#"{{"type":"JSONMerge",{directive}"#))), None);
    }

    #[test]
    fn merging_follows_envoy_gateway() {
        let merged = |own: &str, class: &str| {
            let (own, class) = (EnvoyProxySpec(Json::new(own)), EnvoyProxySpec(Json::new(class)));
            Effective::new(Some(own), Some(class), None).declares_hpa()
        };
        let own = |rest: &str| {
            format!(r#"{{"mergeType":"StrategicMerge","provider":{{"type":"Kubernetes","kubernetes":{{{rest}}}}}}}"#)
        };
        let patch = r#""envoyDeployment":{"patch":{"value":{"spec":{}}}}"#;
        let class = format!(
            r#"{{"provider":{{"type":"Kubernetes","kubernetes":{{{patch},"envoyHpa":{{"maxReplicas":5}}}}}}}}"#
        );
        assert!(merged(&own(""), &class) && merged(&own(patch), WITH) && !merged(&own(patch), &class));
        assert!(merged(&own(patch).replace("StrategicMerge", "JSONMerge"), &class));
        assert!(!merged(&own(r#""envoyDaemonSet":{}"#), WITH));
        assert!(!merged(r#"{"mergeType":"JSONMerge","provider":{"type":"Host"}}"#, WITH));
        let default = Effective::new(None, None, Some(spec(WITH)));
        assert!(default.declares_hpa() && !Effective::new(None, Some(spec(WITHOUT)), Some(spec(WITH))).declares_hpa());
    }

    #[test]
    fn versions_decide_what_a_missing_proxy_does() {
        use WithoutClassProxy::{Defaults, DeletesFleets, FreezesAll};
        use WithoutOwnProxy::{DeletesFleet, FallsBack, Freezes};
        for (text, class, own) in [
            ("1.2.8", FreezesAll, FallsBack),
            ("1.3.2", FreezesAll, DeletesFleet),
            ("1.3.3", DeletesFleets, DeletesFleet),
            ("1.4.1", DeletesFleets, DeletesFleet),
            ("1.4.2", Defaults, DeletesFleet),
            ("1.7.0", Defaults, Freezes),
        ] {
            let running = Running(Version::parse(text));
            assert_eq!(
                (running.without_class_proxy(), running.without_own_proxy()),
                (Some(class), Some(own)),
                "{text}"
            );
        }
    }

    #[test]
    fn labels_show_whose_an_hpa_is() {
        let read = |text| Object::from_text(text).expect("well-formed");
        let old = r#"{"metadata":{"labels":{"gateway.envoyproxy.io/owning-gateway-name":"eg","gateway.envoyproxy.io/owning-gateway-namespace":"default"}}}"#;
        let new = r#"{"metadata":{"labels":{"gateway.envoyproxy.io/owning-gatewayclass":"eg","app.kubernetes.io/name":"envoy",
            "app.kubernetes.io/component":"proxy","app.kubernetes.io/managed-by":"envoy-gateway"}}}"#;
        assert!(has_fleet_labels(&read(old)) && !has_own_labels(&read(old)) && has_own_labels(&read(new)));
        let owned = r#"{"metadata":{"ownerReferences":[{"apiVersion":"gateway.networking.k8s.io/v1","kind":"GatewayClass","name":"eg","uid":"1"}]}}"#;
        assert!(has_gateway_owner(&read(owned)) && !has_gateway_owner(&read(old)));
    }

    #[test]
    fn a_gateways_own_proxy_replaces_the_class_unless_merged() {
        let declares = |own: Option<&'static str>, class: Option<&'static str>| {
            Effective::new(own.map(spec), class.map(spec), None).declares_hpa()
        };
        assert!(declares(None, Some(WITH)) && declares(Some(WITH), None) && declares(Some(WITH), Some(WITHOUT)));
        assert!(!declares(Some(WITHOUT), Some(WITH)));
        assert!(declares(Some(MERGED), Some(WITH)));
        assert_eq!(Effective::new(Some(spec(MERGED)), Some(spec(WITH)), None).replicas(), Some(3));
        assert!(!declares(Some(r#"{"mergeType":"Replace"}"#), Some(WITH)));
        assert!(!declares(Some(r#"{"provider":{"type":"Host","kubernetes":{"envoyHpa":{}}}}"#), None));
    }
}
