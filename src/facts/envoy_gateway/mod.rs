//! Envoy Gateway: which version runs, what EnvoyProxies say, and which fleets run by them.

pub mod binding;
pub mod fleet;
pub mod fleet_change;
pub mod governed;
pub mod merge;
pub mod spec;
pub mod version;

pub use binding::{GROUP, Gateway, GatewayClass, Reference, classes};
pub use fleet::{
    Fleet, Level, OWNING_GATEWAY_CLASS, OWNING_GATEWAY_NAME, OWNING_GATEWAY_NAMESPACE, generated_name,
    has_fleet_labels, has_gateway_owner, has_own_labels, label_keys,
};
pub use governed::{Governed, Topology, declares_fleet_hpa, is_run_by_envoy_gateway};
pub use merge::Effective;
pub use spec::{DEPLOYMENT, EnvoyProxySpec, HPA};
pub use version::{Removal, Running};

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
            let text = format!(r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"image":"{image}"}}]}}}}}}}}"#);
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
        let effective = Effective::new(Some(spec(text)), None);
        assert_eq!(effective.name(DEPLOYMENT).as_deref(), Some("other"));
        assert_eq!((effective.name(HPA), effective.target_name().as_deref()), (None, Some("third")));
        assert_eq!((effective.replicas(), effective.patched_replicas()), (Some(3), Some(4)));
        let label = effective.patched(HPA, &["metadata", "labels", OWNING_GATEWAY_NAME]);
        assert_eq!(label.map(Json::text), Some("null"));
        assert!(effective.patched(HPA, &["metadata", "annotations"]).is_none());
        let unpatched = Effective::new(Some(spec(WITHOUT)), None);
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
            Effective::new(Some(spec(text)), None).writes_count(Running(Version::parse(version)))
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
        let with = |text| spec(text);
        let more = r#"{"logging":{},"provider":{"type":"Kubernetes","kubernetes":{"envoyHpa":{"maxReplicas":9}}}}"#;
        assert!(with(WITH).same_fleets(with(more)) && !with(WITH).same_fleets(with(WITHOUT)));
        let named = r#"{"provider":{"type":"Kubernetes","kubernetes":{"envoyHpa":{"maxReplicas":5,"name":"edge"}}}}"#;
        assert!(!with(WITH).same_fleets(with(named)) && !with(WITHOUT).same_fleets(with(MERGED)));
    }

    #[test]
    fn labels_tell_whose_an_hpa_is() {
        let read = |text| Object::from_text(text).expect("well-formed");
        let old = r#"{"metadata":{"labels":{"gateway.envoyproxy.io/owning-gateway-name":"eg","gateway.envoyproxy.io/owning-gateway-namespace":"default"}}}"#;
        let new = r#"{"metadata":{"labels":{"gateway.envoyproxy.io/owning-gatewayclass":"eg","app.kubernetes.io/name":"envoy",
            "app.kubernetes.io/component":"proxy","app.kubernetes.io/managed-by":"envoy-gateway"}}}"#;
        assert!(has_fleet_labels(&read(old)) && !has_own_labels(&read(old)) && has_own_labels(&read(new)));
        let owned = r#"{"metadata":{"ownerReferences":[{"apiVersion":"gateway.networking.k8s.io/v1","kind":"GatewayClass","name":"eg","uid":"1"}]}}"#;
        assert!(has_gateway_owner(&read(owned)) && !has_gateway_owner(&read(old)));
        let gateway = Gateway::new(read(r#"{"metadata":{"name":"eg","namespace":"default"}}"#));
        let fleet = gateway.fleet(Level::Gateway, None, None);
        assert!(fleet.labels(&read(old)) && !fleet.labels(&read(new)));
        let labelled = |object| Fleet::labelled(&read(object)).map(|fleet| fleet.title());
        assert_eq!(labelled(old).as_deref(), Some("Gateway default/eg"));
        assert_eq!((labelled(new).as_deref(), labelled("{}")), (Some("GatewayClass eg"), None));
        assert!(Fleet::merged("eg", false).labels(&read(new)) && !Fleet::merged("eg", false).labels(&read(old)));
    }

    #[test]
    fn a_gateways_own_proxy_replaces_the_class_unless_merged() {
        let declares = |own: Option<&'static str>, class: Option<&'static str>| {
            Effective::new(own.map(spec), class.map(spec)).declares_hpa()
        };
        assert!(declares(None, Some(WITH)) && declares(Some(WITH), None) && declares(Some(WITH), Some(WITHOUT)));
        assert!(!declares(Some(WITHOUT), Some(WITH)));
        assert!(declares(Some(MERGED), Some(WITH)));
        assert_eq!(Effective::new(Some(spec(MERGED)), Some(spec(WITH))).replicas(), Some(3));
        assert!(!declares(Some(r#"{"mergeType":"Replace"}"#), Some(WITH)));
        assert!(!declares(Some(r#"{"provider":{"type":"Host","kubernetes":{"envoyHpa":{}}}}"#), None));
    }
}
