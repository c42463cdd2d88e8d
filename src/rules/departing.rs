//! A tool deletes an autoscaler that it manages: what hpa-deleted and scaledobject-deleted have in common.

use crate::context::Context;
use crate::facts::application::Tool;
use crate::facts::departure::Departure;
use crate::finding::{Action, Finding, Help};
use crate::settings::{FluxPrune, HelmHpaDeletes};

/// Softens a refused deletion where the tool's record, or its lack, says so; what goes as a whole is no finding.
pub(super) fn judge(context: &Context<'_>, mut finding: Finding, departure: Departure) -> Option<Finding> {
    let settings = context.settings;
    let (rejects, note) = match departure {
        Departure::Everything => return None,
        Departure::Replaced(record, next) => (
            false,
            format!("{record} brings {next} next; with sync option PruneLast=true it comes first, and there is no gap"),
        ),
        Departure::MayDeclareCount(record) => (
            false,
            format!(
                "{record} writes the workload next: fine if it declares the count; with sync option PruneLast=true that comes first"
            ),
        ),
        Departure::Lost(record) => {
            (true, format!("{record} keeps the workload and declares nothing else that scales it"))
        }
        Departure::Recreated => (false, "It is created anew next; until then nothing scales the workload".to_owned()),
        Departure::Open(Tool::Flux) => (
            settings.flux_prune == FluxPrune::Reject,
            "Flux prunes it, and its Kustomization does not say whether the workload goes too: fine if it does".to_owned(),
        ),
        Departure::Open(Tool::ArgoCd) => (
            false,
            "What Argo CD does next is not known: fine if the workload goes too or another autoscaler comes; with sync option PruneLast=true that comes first"
                .to_owned(),
        ),
        Departure::Open(Tool::Helm) => (settings.helm_hpa_deletes == HelmHpaDeletes::Reject, String::new()),
        Departure::Open(_) => (false, String::new()),
        Departure::Unmanaged => {
            let anew = Help::text("kubectl replace --force deletes it and creates it anew");
            finding = finding.help("Or, to replace it, change it in place", anew);
            (true, String::new())
        }
    };
    if !rejects {
        finding.action = Action::Warn;
    }
    if !note.is_empty() {
        finding.notes.push(note);
    }
    Some(finding)
}
