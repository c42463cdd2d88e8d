//! `fix`: what `audit` finds, fixed with preconditions.
//!
//! [`autoscaler_guard_audit::fix`] plans; here plans are shown, asked about, carried out and verified.

use std::io::{self, BufRead, IsTerminal, Write as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use autoscaler_guard::Settings;
use autoscaler_guard_audit::fix::{Change, FIELD_MANAGER, Plan, Step, plans};
use autoscaler_guard_audit::{Finding, Inventory, Timestamp};
use autoscaler_guard_host::{LiveCluster, Write, Writing, yaml};
use serde_json::Value;

use crate::answer::Answer;
use crate::arguments::{FixOptions, Place};
use crate::audit::{self, live};
use crate::documents;
use crate::fault::Fault;
use crate::paint::{self, COMMAND, GOOD, HELP, STRONG, WARNING, paint};
use crate::review::diff::diff;

/// Runs the command.
pub fn run(options: &FixOptions) -> Result<Answer, Fault> {
    let settings = audit::settings(options.settings.as_deref())?;
    if options.place.context.len() > 1 {
        return Err(Fault::new("one cluster is fixed at a time").help("name one --context"));
    }
    let place = place(options);
    of_one(options, &place, &settings)
}

/// Where to look: without any namespace named, in those of the findings.
fn place(options: &FixOptions) -> Place {
    let mut place = options.place.clone();
    if place.namespace.is_empty() && !place.all_namespaces {
        // `<problem>/<kind>/<namespace>/<name>`.
        let namespace = |id: &String| match &*id.split('/').collect::<Vec<_>>() {
            [_, _, namespace, _] => Some((*namespace).to_owned()),
            _ => None,
        };
        place.namespace = options.ids.iter().filter_map(namespace).collect();
        place.namespace.sort();
        place.namespace.dedup();
    }
    place
}

fn of_one(options: &FixOptions, place: &Place, settings: &Settings) -> Result<Answer, Fault> {
    let context = place.context.first().map(String::as_str);
    if !place.cluster.is_empty() {
        let inventory = audit::read(place, context, settings)?;
        let (plans, missing) = chosen(options, place, &inventory, settings);
        let text = [missing, show(&plans, &inventory)].concat();
        return Ok(Answer { text, code: u8::from(!plans.is_empty()), faults: Vec::new() });
    }
    let cluster = live::connect(place.kubeconfig.as_deref(), context)?;
    let inventory = live::inventory(&cluster, place, settings);
    let (plans, missing) = chosen(options, place, &inventory, settings);
    let shown = [missing, show(&plans, &inventory)].concat();
    if plans.iter().all(|plan| plan.steps.is_empty()) {
        return Ok(Answer { text: shown, code: u8::from(!plans.is_empty()), faults: Vec::new() });
    }
    anstream::print!("{shown}");
    let is_trial = options.dry_run.is_some();
    if !is_trial && !options.yes && !is_wanted()? {
        return Ok(Answer { text: "nothing was done\n".to_owned(), code: 1, faults: Vec::new() });
    }
    let run = Run { cluster: &cluster, place, settings, is_trial, undo_folder: &options.undo_folder };
    Ok(run.all(&plans))
}

/// The plans for the findings that were named, or for all that count; and what was named but is not found.
fn chosen(options: &FixOptions, place: &Place, inventory: &Inventory, settings: &Settings) -> (Vec<Plan>, String) {
    let report = audit::report(place, inventory, settings);
    let is_named = |finding: &Finding| match options.ids.as_slice() {
        [] => !finding.acknowledged,
        ids => ids.contains(&finding.id()),
    };
    let findings: Vec<Finding> = report.findings.into_iter().filter(is_named).collect();
    let is_missing = |id: &&String| !findings.iter().any(|finding| finding.id() == **id);
    let missing = options.ids.iter().filter(is_missing);
    let missing: Vec<String> =
        missing.map(|id| format!("{} {id} is not found: nothing to do\n", paint(GOOD, "✓"))).collect();
    (plans(inventory, settings, Timestamp::now(), &findings), missing.concat())
}

/// What would be done.
fn show(plans: &[Plan], inventory: &Inventory) -> String {
    if plans.is_empty() {
        return format!("{} nothing to fix\n", paint(GOOD, "✓"));
    }
    let one = |plan: &Plan| {
        let mut lines = vec![paint(STRONG, &plan.id), format!("  {}", plan.what)];
        for step in &plan.steps {
            lines.push(format!("  {} {}", paint(HELP, "request:"), step.request()));
            lines.extend(difference(step, inventory));
        }
        if let Some(by_hand) = &plan.by_hand {
            let by_hand = by_hand.lines().map(|line| format!("  {} {}", paint(HELP, "by hand:"), paint(COMMAND, line)));
            lines.extend(by_hand);
        }
        lines.join("\n") + "\n"
    };
    plans.iter().map(one).collect()
}

fn difference(step: &Step, inventory: &Inventory) -> Vec<String> {
    // A whole object is long, and says nothing new.
    if matches!(step.change, Change::Delete) {
        return Vec::new();
    }
    let (before, after) = step.difference(inventory.get(&step.object).map(|object| &object.value));
    diff(&before, &after, paint::width()).into_iter().map(|line| format!("    {line}")).collect()
}

fn is_wanted() -> Result<bool, Fault> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Fault::new("it would ask first, and standard input is no terminal")
            .help("say --yes to have it done, or --dry-run=server to have it tried"));
    }
    anstream::print!("Do this? [y/N] ");
    let _ = io::stdout().flush();
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    read.map_err(|error| Fault::new("the answer cannot be read").because(error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

struct Run<'r> {
    cluster: &'r LiveCluster,
    place: &'r Place,
    settings: &'r Settings,
    is_trial: bool,
    undo_folder: &'r Path,
}

/// How often to look whether a problem is gone, and how long to wait between: controllers need a moment.
const LOOKS: (u32, Duration) = (10, Duration::from_millis(500));

impl Run<'_> {
    fn all(&self, plans: &[Plan]) -> Answer {
        let (mut text, mut faults, mut left) = (Vec::new(), Vec::new(), false);
        for plan in plans {
            if plan.steps.is_empty() {
                left = true;
                continue;
            }
            match self.one(plan) {
                Ok((shown, is_fixed)) => {
                    text.push(shown);
                    left |= !is_fixed;
                }
                Err(fault) => faults.push(fault),
            }
        }
        Answer { text: text.concat(), code: u8::from(left), faults }
    }

    fn one(&self, plan: &Plan) -> Result<(String, bool), Fault> {
        let mut undo: Vec<String> = Vec::new();
        for step in &plan.steps {
            let done = self.step(step).map_err(|fault| match undo.join("\n") {
                done if done.is_empty() => fault,
                done => fault.because(format!("what was done before is undone by:\n{done}")),
            })?;
            undo.extend(done);
        }
        if self.is_trial {
            return Ok((format!("{} {}: the API server takes it\n", paint(GOOD, "✓"), plan.id), false));
        }
        let is_gone = self.is_gone(&plan.id);
        let verdict = if is_gone {
            format!("{} {} is fixed", paint(GOOD, "✓"), plan.id)
        } else {
            format!("{} {} was done, and is still found: look again in a while", paint(WARNING, "!"), plan.id)
        };
        let undo = undo.iter().map(|line| format!("  {} {}", paint(HELP, "undo:"), paint(COMMAND, line)));
        Ok(([verdict].into_iter().chain(undo).collect::<Vec<_>>().join("\n") + "\n", is_gone))
    }

    /// Does a step, and says how to undo it; what is done already is passed over.
    fn step(&self, step: &Step) -> Result<Option<String>, Fault> {
        let key = &step.object;
        let failed = |reason: &str| {
            Fault::new(format!("{} was not done", step.request()))
                .because(reason)
                .help("run it again: it looks at the cluster anew")
        };
        let read = self.cluster.read_one(&step.api_version, &key.kind, &key.namespace, &key.name);
        let before = read.map_err(|refused| failed(&refused.reason))?;
        if before.is_none() && step.change == Change::Delete {
            return Ok(None);
        }
        let undo = self.undo(step, before.as_ref())?;
        let write = match &step.change {
            Change::Delete => Write::Delete,
            Change::Patch(fields) => Write::Patch(fields.clone()),
            Change::Apply(fields) => Write::Apply(fields.clone()),
            Change::Create(object) => Write::Create(object.clone()),
        };
        let writing = Writing {
            api_version: step.api_version.clone(),
            kind: key.kind.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            write,
            uid: step.uid.clone(),
            resource_version: step.resource_version.clone(),
            field_manager: FIELD_MANAGER.to_owned(),
            dry_run: self.is_trial,
        };
        self.cluster.write(writing).map_err(|refused| failed(&refused.reason))?;
        Ok(undo.filter(|_| !self.is_trial))
    }

    fn undo(&self, step: &Step, before: Option<&Value>) -> Result<Option<String>, Fault> {
        let key = &step.object;
        let addressed = |verb: &'static str| key.kubectl(verb);
        let undo = match &step.change {
            Change::Create(_) => addressed("delete").to_string(),
            // The same count as before; only who declares it changed.
            Change::Apply(_) => return Ok(None),
            Change::Patch(_) => {
                let (old, _) = step.difference(before);
                addressed("patch").arg("--type=merge").arg("-p").arg(old.to_string()).to_string()
            }
            Change::Delete => {
                let name = format!("undo-{}.yaml", key.path().replace('/', "-").to_ascii_lowercase());
                let path = self.undo_folder.join(name);
                if !self.is_trial {
                    let manifest = before.cloned().map(manifest).unwrap_or_default();
                    documents::write(&path, yaml::document(&manifest).as_bytes())?;
                }
                format!("kubectl create -f {}", path.display())
            }
        };
        Ok(Some(undo))
    }

    fn is_gone(&self, id: &str) -> bool {
        let (times, pause) = LOOKS;
        (0..times).any(|look| {
            if look > 0 {
                thread::sleep(pause);
            }
            let inventory = live::inventory(self.cluster, self.place, self.settings);
            let report = audit::report(self.place, &inventory, self.settings);
            !report.findings.iter().any(|finding| finding.id() == id)
        })
    }
}

/// What an object is made anew from.
fn manifest(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["uid", "resourceVersion", "managedFields", "creationTimestamp", "generation", "selfLink"] {
            metadata.remove(field);
        }
    }
    object
}
