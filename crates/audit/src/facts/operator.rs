//! Operators that make HPAs of their own objects: the table of docs/operators.md, and the setting `declarations`.

use autoscaler_guard::Settings;
use autoscaler_guard::settings::{Declaration, Effect};

use crate::inventory::Inventory;
use crate::object::{Object, Ref};
use autoscaler_guard_reading::{Object as Text, group_of};

/// An operator's declarations that need no setting: group and version, kind, where, and the HPA's name.
///
/// VictoriaMetrics/operator issue 2518; streamnative/function-mesh issue 725 (controllers/spec/function.go,
/// `MakeFunctionHPA`); open-telemetry/opentelemetry-operator (internal/manifests/collector/horizontalpodautoscaler.go).
const KNOWN: &[(&str, &str, &str, &str)] = &[
    ("operator.victoriametrics.com/v1beta1", "VMAgent", "/spec/hpa", "{name}"),
    ("operator.victoriametrics.com/v1beta1", "VMAgent", "/spec/hpa", "vmagent-{name}"),
    ("compute.functionmesh.io/v1alpha1", "Function", "/spec/maxReplicas", "{name}-function"),
    ("compute.functionmesh.io/v1alpha1", "Source", "/spec/maxReplicas", "{name}-source"),
    ("compute.functionmesh.io/v1alpha1", "Sink", "/spec/maxReplicas", "{name}-sink"),
    ("opentelemetry.io/v1beta1", "OpenTelemetryCollector", "/spec/autoscaler", "{name}-collector"),
];

/// All declarations: the settings' and the known ones.
pub fn declarations(settings: &Settings) -> Vec<Declaration> {
    let known = KNOWN.iter().map(|(api_version, kind, pointer, name)| Declaration {
        api_version: (*api_version).to_owned(),
        kind: (*kind).to_owned(),
        pointer: (*pointer).to_owned(),
        hpa_name: (*name).to_owned(),
        hpa_namespace: "{namespace}".to_owned(),
        effect: Effect::Orphaned,
    });
    settings.declarations.iter().cloned().chain(known).collect()
}

/// What an object of an operator says of an HPA.
#[derive(Debug)]
pub struct Declared<'i> {
    /// The object.
    pub object: &'i Object,
    /// The HPA that it would declare.
    pub hpa: Ref,
    /// Whether it does.
    pub now: bool,
    /// Whether what was applied last does.
    pub applied: bool,
}

/// What all objects of operators say.
pub fn declared<'i>(inventory: &'i Inventory, settings: &Settings) -> Vec<Declared<'i>> {
    let mut all = Vec::new();
    for declaration in declarations(settings) {
        for object in inventory.kind(group_of(&declaration.api_version), &declaration.kind) {
            let content = object.value.to_string();
            let Ok(read) = Text::from_text(&content) else { continue };
            let Some((namespace, name)) = declaration.hpa(&read) else { continue };
            let applied = object.last_applied().is_some_and(|applied| declaration.is_in(&applied.to_string()));
            let now = declaration.is_in(&content);
            all.push(Declared { object, hpa: Ref::hpa(&namespace, &name), now, applied });
        }
    }
    all
}
