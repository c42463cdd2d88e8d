//! The question that a change asks: from which world it starts, by which tool, with which guard.

use autoscaler_guard::Settings;
use autoscaler_guard_world::play::{app_name, assumed, narrow, rest};
use autoscaler_guard_world::preflight::{Question, Row, Sides, preflight};
use autoscaler_guard_world::{Change, Setup, Tool, World};
use serde_json::Value;

use super::input::Manifest;
use super::render::{self, Given};
use super::report::Preflight;
use crate::arguments::{FailOn, Guard, PreflightOptions};
use crate::fault::Fault;
use crate::review::{Judge, SettingsText};

/// Whether an outcome shows in the exit code.
pub fn fails(rows: &[Row], fail_on: FailOn) -> bool {
    rows.iter().filter_map(Row::counts).any(|cell| {
        let is_gap = cell.outcome == autoscaler_guard_world::Outcome::Gap;
        match fail_on {
            FailOn::Never => false,
            FailOn::Lost => cell.outcome.is_bad(),
            FailOn::Gap => cell.outcome.is_bad() || is_gap,
            FailOn::Warned => cell.outcome.is_bad() || is_gap || cell.warnings().next().is_some(),
        }
    })
}

/// Plays the change on all sides.
pub fn find_out(options: &PreflightOptions, given: Given) -> Result<Preflight, Fault> {
    let mut notes = given.notes;
    let values =
        |manifests: &[Manifest]| manifests.iter().map(|manifest| manifest.value.clone()).collect::<Vec<Value>>();
    let (before, after) = (values(&given.before), values(&given.after));
    if before.is_empty() && after.is_empty() {
        return Err(
            Fault::new("there is no manifest on either side").help("--before and --after name files or folders")
        );
    }
    let both = [before.clone(), after.clone()].concat();
    let tool = options.tool.map(Into::into).or(given.tool).unwrap_or_else(|| {
        let (tool, why) = guess(&both);
        notes.push(format!("--as {}, {why}", tool.id()));
        tool
    });
    let namespace = options.namespace.clone().or(given.namespace).unwrap_or_else(|| {
        if both.iter().any(|manifest| manifest.pointer("/metadata/namespace").is_none()) {
            notes.push("objects without a namespace are in namespace default (--namespace names another)".to_owned());
        }
        "default".to_owned()
    });
    let app = given.app.unwrap_or_else(|| app_name(&both));
    let change = Change::new(tool, &app, &namespace, &before, &after);
    let settings = settings(options)?;
    let start = start(options, &change, &namespace, &mut notes)?;
    let sides = match options.guard {
        Guard::On => Sides::On,
        Guard::Off => Sides::Off,
        Guard::Both => Sides::Both,
    };
    let question = Question { start: &start, change: &change, settings: &settings, sides, rollback: options.rollback };
    let rows = preflight(&question);
    Ok(Preflight { tool, assumed: notes, rows, manifests: given.after })
}

fn settings(options: &PreflightOptions) -> Result<Settings, Fault> {
    let text = SettingsText::read(options.settings.as_deref(), &Judge::Core)?;
    // They were checked just now.
    Settings::from_json(text.as_str()).map_err(|errors| {
        let fault = Fault::new("the settings cannot be used");
        errors.iter().fold(fault, Fault::because)
    })
}

/// The world before the change.
fn start(
    options: &PreflightOptions,
    change: &Change,
    namespace: &str,
    notes: &mut Vec<String>,
) -> Result<World, Fault> {
    let setup = Setup { log: false, ..Setup::default() };
    let objects = render::cluster(options)?;
    let Some(objects) = objects else {
        notes.push(
            "no cluster was given: it holds what the manifests of before make of it, with the HPAs of KEDA and Envoy \
             Gateway, and every HPA has scaled"
                .to_owned(),
        );
        return Ok(with_webhook(assumed(setup, change)));
    };
    let mut world = World::new(Setup { keda_webhook: false, ..setup });
    for object in &objects {
        world.put(object, namespace, change.tool.manager());
    }
    narrow(&mut world, change);
    rest(&mut world);
    let missing = change.keys_before().iter().filter(|key| world.get(key).is_none()).count();
    if missing > 0 {
        notes.push(format!("{missing} of the objects before are not in the cluster: they count as absent"));
    }
    Ok(with_webhook(world))
}

fn with_webhook(world: World) -> World {
    world.with(|setup| setup.keda_webhook = true)
}

/// The tool that manifests show signs of.
fn guess(manifests: &[Value]) -> (Tool, &'static str) {
    let has = |pointer: &str, test: &dyn Fn(&str) -> bool| {
        manifests.iter().any(|manifest| manifest.pointer(pointer).and_then(Value::as_str).is_some_and(test))
    };
    let any = |_: &str| true;
    if has("/metadata/annotations/argocd.argoproj.io~1tracking-id", &any) {
        (Tool::ArgoCd, "by annotation argocd.argoproj.io/tracking-id")
    } else if has("/metadata/labels/kustomize.toolkit.fluxcd.io~1name", &any) {
        (Tool::Flux, "by label kustomize.toolkit.fluxcd.io/name")
    } else if has("/metadata/labels/app.kubernetes.io~1managed-by", &|name| name.eq_ignore_ascii_case("helm")) {
        (Tool::Helm3, "by label app.kubernetes.io/managed-by")
    } else if has("/metadata/labels/helm.sh~1chart", &any) {
        (Tool::Helm3, "by label helm.sh/chart")
    } else {
        (Tool::Kubectl, "as nothing names another tool")
    }
}
