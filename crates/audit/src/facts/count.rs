//! Who wrote and who declares a workload's count.
//!
//! Of managedFields only this is believed: an *Apply* entry with `f:replicas` declares, an entry of subresource *scale*
//! says who scaled last. Any other *Update* entry proves nothing, as defaulting gives the field to whoever created the
//! workload; and where nobody applied the count, scaling leaves no entry at all.

use serde_json::Value;

use crate::object::{Object, text};

/// The field managers by which the HPA controller and KEDA write through the scale subresource. KEDA's is the name of
/// its program.
const AUTOSCALERS: &[&str] = &["kube-controller-manager", "keda", "keda-operator"];

/// Somebody's write of a workload's count.
#[derive(Clone, Copy, Debug)]
pub struct Written<'o> {
    /// By which field manager.
    pub manager: &'o str,
    /// When, where that is known.
    pub since: Option<&'o str>,
}

/// The count in the spec.
pub fn replicas(workload: &Object) -> Option<i64> {
    workload.number("/spec/replicas")
}

fn entries(workload: &Object) -> impl Iterator<Item = &Value> {
    workload.items("/metadata/managedFields").iter().filter(|entry| entry.pointer("/fieldsV1/f:spec").is_some())
}

fn has_count(entry: &Value) -> bool {
    entry.pointer("/fieldsV1/f:spec/f:replicas").is_some()
}

fn written(entry: &Value) -> Written<'_> {
    Written { manager: text(entry, "/manager"), since: Some(text(entry, "/time")).filter(|time| !time.is_empty()) }
}

/// The autoscaler's write, where it wrote the count last.
pub fn scaled_by_autoscaler(workload: &Object) -> Option<Written<'_>> {
    let scaled = entries(workload).filter(|entry| has_count(entry) && text(entry, "/subresource") == "scale");
    scaled.map(written).find(|written| AUTOSCALERS.contains(&written.manager))
}

/// Who applies the count server-side, Envoy Gateway's fleets excepted: what it applies, an EnvoyProxy says.
pub fn applied_by(workload: &Object) -> Option<Written<'_>> {
    let applied = entries(workload).filter(|entry| has_count(entry) && text(entry, "/operation") == "Apply");
    applied.map(written).find(|written| written.manager != "envoy-gateway")
}

/// The count of the manifest that `kubectl apply`, or what works like it, applied last.
pub fn last_applied(workload: &Object) -> Option<i64> {
    workload.last_applied()?.pointer("/spec/replicas")?.as_i64()
}

/// Whether somebody applies the workload server-side, and nobody at all has its count.
pub fn is_nobodys(workload: &Object) -> bool {
    let applied = entries(workload).any(|entry| text(entry, "/operation") == "Apply");
    applied && !entries(workload).any(has_count)
}

/// The field manager that wrote the count outside of the scale subresource.
pub fn holder(workload: &Object) -> Option<&str> {
    let set = entries(workload).filter(|entry| has_count(entry) && text(entry, "/subresource").is_empty());
    set.map(|entry| text(entry, "/manager")).next()
}
