//! `audit`: what is wrong now.
//!
//! [`autoscaler_guard_audit`] does the work; here objects are read from files (`files`) or a cluster (`live`), and what
//! came out is shown.

mod audits;
mod baseline;
mod files;
mod formats;
mod human;
mod json;
pub mod live;

use std::thread;
use std::time::Duration;

use autoscaler_guard::Settings;
use autoscaler_guard_audit::{Finding, Inventory, Report, Timestamp, audit};

use crate::answer::Answer;
use crate::arguments::{AuditFailOn, AuditOptions, AuditOutput, Place};
use crate::documents::Source;
use crate::fault::Fault;
use crate::settings::value;
use audits::{Audit, Audits};
use baseline::Baseline;

/// How long to wait before the next look.
const PAUSE: Duration = Duration::from_secs(30);

/// Runs the command.
pub fn run(options: &AuditOptions) -> Result<Answer, Fault> {
    let settings = settings(options.settings.as_deref())?;
    let mut shown = String::new();
    loop {
        let baseline = Baseline::read(options.baseline.as_deref())?;
        let audits = Audits { clusters: clusters(options, &settings)?, baseline };
        let text = text(&audits, options.output)?;
        let code = code(&audits, options.fail_on);
        if options.watch {
            if text != shown {
                anstream::print!("{text}");
                shown = text;
            }
            thread::sleep(PAUSE);
            continue;
        }
        return Ok(Answer { text, code, faults: Vec::new() });
    }
}

fn text(audits: &Audits, output: AuditOutput) -> Result<String, Fault> {
    Ok(match output {
        AuditOutput::Human => human::text(audits),
        AuditOutput::Json => json::text(audits)?,
        AuditOutput::Sarif => formats::sarif(audits)?,
        AuditOutput::Junit => formats::junit(audits),
        AuditOutput::Markdown => formats::markdown(audits),
    })
}

/// What could not be read comes first: nobody knows what is wrong there.
fn code(audits: &Audits, fail_on: AuditFailOn) -> u8 {
    let fails = |finding: &Finding| match fail_on {
        AuditFailOn::Any => true,
        AuditFailOn::Lost => finding.problem == "lost",
        AuditFailOn::Never => false,
    };
    if !audits.is_complete() {
        return 2;
    }
    u8::from(audits.findings().any(|(_, finding)| audits.counts(finding) && fails(finding)))
}

fn clusters(options: &AuditOptions, settings: &Settings) -> Result<Vec<Audit>, Fault> {
    let place = &options.place;
    let look = |context: Option<&String>| {
        let inventory = read(place, context.map(String::as_str), settings)?;
        Ok(report(place, &inventory, settings))
    };
    if place.context.len() < 2 {
        return Ok(vec![Audit { context: None, report: look(place.context.first())? }]);
    }
    let one = |context: &String| Ok(Audit { context: Some(context.clone()), report: look(Some(context))? });
    place.context.iter().map(one).collect()
}

/// Reads the objects: from files where there are any, else from a cluster.
pub fn read(place: &Place, context: Option<&str>, settings: &Settings) -> Result<Inventory, Fault> {
    if place.cluster.is_empty() {
        Ok(live::inventory(&live::connect(place.kubeconfig.as_deref(), context)?, place, settings))
    } else {
        files::inventory(&place.cluster, settings)
    }
}

/// What is wrong, in the namespaces that are looked at.
pub fn report(place: &Place, inventory: &Inventory, settings: &Settings) -> Report {
    let mut report = audit(inventory, settings, Timestamp::now());
    // What lives in no namespace concerns all of them.
    let is_wanted = |namespace: &str| {
        place.namespace.is_empty() || namespace.is_empty() || place.namespace.iter().any(|wanted| wanted == namespace)
    };
    report.findings.retain(|finding| is_wanted(&finding.subject().namespace));
    report
}

/// The policy's settings.
pub fn settings(path: Option<&std::path::Path>) -> Result<Settings, Fault> {
    let Some(path) = path else { return Ok(Settings::default()) };
    let source = Source::file(path)?;
    Settings::from_json(&value(&source)?.to_string()).map_err(|errors| {
        let fault = Fault::new(format!("the settings in {} cannot be used", source.name));
        errors.into_iter().fold(fault, Fault::because)
    })
}
