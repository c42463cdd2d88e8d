//! Plays the scenarios of a world side by side, each without the policy and with it.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use futures::{FutureExt as _, StreamExt as _};
use serde_json::json;

use crate::audit;
use crate::operators::{ENVOY_GATEWAY_USER, KEDA_USER};
use crate::results::{self, Outcome, Run};
use crate::scenarios::Scenario;
use crate::stage::{Policy, Stage};
use crate::tools::Tools;
use crate::webhook::{ENFORCED, POLICY_LABEL, Subject};
use crate::world::{Kind, World};

/// How long one run of a scenario may take before it counts as stuck.
const STUCK: Duration = Duration::from_mins(8);

/// What to run.
#[derive(Debug)]
pub struct Options {
    /// The policy under test.
    pub subject: Subject,
    /// Without the policy, with it, or both.
    pub policies: Vec<Policy>,
    /// How many runs at once.
    pub jobs: usize,
    /// Where the components work and log.
    pub folder: PathBuf,
}

/// Plays those scenarios of one world and says how each went.
///
/// # Errors
/// The world does not start; scenarios that fail are no error but an [`Outcome`].
pub async fn play(
    kind: Kind,
    scenarios: &[&'static Scenario],
    tools: &Tools,
    options: &Options,
) -> Result<Vec<Outcome>> {
    let folder = options.folder.join(kind.name());
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let started = Instant::now();
    let subject = options.policies.contains(&Policy::On).then_some(&options.subject);
    let world = World::start(kind, tools, &folder, subject).await?;
    eprintln!("World {} is ready after {:.1} s", kind.name(), started.elapsed().as_secs_f32());
    let mut outcomes = play_in(&world, scenarios, tools, options).await;
    if subject.is_some() && kind != Kind::NativeLaw {
        outcomes.push(controllers_run_free(&world, kind));
    }
    Ok(outcomes)
}

async fn play_in(world: &World, scenarios: &[&'static Scenario], tools: &Tools, options: &Options) -> Vec<Outcome> {
    let mut runs: BTreeMap<(usize, bool), Run> = BTreeMap::new();
    // What changes the world for everybody plays alone, after the others.
    for alone in [false, true] {
        let all = scenarios.iter().enumerate().filter(|(_, scenario)| scenario.alone == alone);
        let all =
            all.flat_map(|(index, scenario)| options.policies.iter().map(move |policy| (index, *scenario, *policy)));
        let playing = futures::stream::iter(all).map(|(index, scenario, policy)| async move {
            let run = play_one(world, scenario, tools, &options.subject, policy).await;
            ((index, policy == Policy::On), run)
        });
        let mut playing = std::pin::pin!(playing.buffer_unordered(if alone { 1 } else { options.jobs }));
        while let Some((key, run)) = playing.next().await {
            runs.insert(key, run);
        }
    }
    let outcome = |(index, scenario): (usize, &&Scenario)| Outcome {
        id: scenario.id.to_owned(),
        shows: scenario.shows.to_owned(),
        without: runs.get(&(index, false)).cloned(),
        with: runs.get(&(index, true)).cloned(),
    };
    scenarios.iter().enumerate().map(outcome).collect()
}

async fn play_one(world: &World, scenario: &Scenario, tools: &Tools, subject: &Subject, policy: Policy) -> Run {
    let mode = if policy == Policy::On { "with" } else { "without" };
    // Some hazards are a race, as between KEDA and Helm; what may lose an autoscaler needs to do so once. With the
    // policy nothing may ever be lost, and what changes the world for everybody may leave it changed.
    let attempts = if policy == Policy::On || scenario.alone { 1 } else { 3 };
    let mut attempt = 1;
    loop {
        let started = Instant::now();
        let suffix = if attempt == 1 { mode.to_owned() } else { format!("{mode}-{attempt}") };
        let namespace = format!("{}-{suffix}", scenario.id.replace('.', "-"));
        let playing = AssertUnwindSafe(play_stage(world, scenario, tools, subject, policy, namespace)).catch_unwind();
        let outcome = match tokio::time::timeout(STUCK, playing).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(anyhow::anyhow!("panicked: {}", panic_text(panic.as_ref()))),
            Err(_) => Err(anyhow::anyhow!("stuck: it did not end within {} minutes", STUCK.as_secs() / 60)),
        };
        let (seconds, passed) = (started.elapsed().as_secs(), outcome.is_ok());
        let seen = outcome.unwrap_or_else(|error| format!("{error:#}"));
        let is_last = passed || attempt == attempts;
        let fate = match (passed, is_last) {
            (true, _) => "ok",
            (false, true) => "FAILED",
            (false, false) => "again",
        };
        eprintln!("{fate:<6} {:<36} {mode:<8} {seconds:>3} s  {seen}", scenario.id);
        if is_last {
            return Run { seen, passed, seconds };
        }
        attempt += 1;
    }
}

async fn play_stage(
    world: &World,
    scenario: &Scenario,
    tools: &Tools,
    subject: &Subject,
    policy: Policy,
    namespace: String,
) -> Result<String> {
    let label = if policy == Policy::On { ENFORCED } else { "off" };
    world.plane.namespace(&namespace, &json!({POLICY_LABEL: label})).await?;
    let stage = Stage::new(world, tools, subject, policy, namespace).await?;
    let played = (scenario.play)(&stage).await;
    stage.leave().await?;
    let seen = played?;
    if policy == Policy::On {
        for rule in scenario.rules {
            stage.judged_by(rule)?;
        }
    }
    Ok(seen)
}

/// No request of a controller was refused in all of the run, with the policy enforcing.
fn controllers_run_free(world: &World, kind: Kind) -> Outcome {
    let started = Instant::now();
    let checked = check_controllers(&world.plane.audit_log(), &world.plane.logs());
    let passed = checked.is_ok();
    let seen = checked.unwrap_or_else(|error| format!("{error:#}"));
    let id = results::controllers(kind);
    eprintln!(
        "{} {id:<36} with     {:>3} s  {seen}",
        if passed { "ok    " } else { "FAILED" },
        started.elapsed().as_secs()
    );
    let how = match kind {
        Kind::Gatekeeper => "behind Gatekeeper",
        kind if kind.guards_itself() => "without a server",
        _ => "with failurePolicy Fail",
    };
    let shows = format!("controllers write all the while, {how}");
    Outcome { id, shows, without: None, with: Some(Run { seen, passed, seconds: started.elapsed().as_secs() }) }
}

fn check_controllers(log: &Path, logs: &Path) -> Result<String> {
    let is_controller = |user: &str| [KEDA_USER, ENVOY_GATEWAY_USER].contains(&user) || user.starts_with("system:");
    // Those of all webhooks, the scenarios' own too; nobody else writes such lines.
    for log in std::fs::read_dir(logs)? {
        let text = String::from_utf8_lossy(&std::fs::read(log?.path())?).into_owned();
        if let Some(line) = text.lines().find(|line| rejected_user(line).is_some_and(is_controller)) {
            bail!("a webhook's log says: {line}");
        }
    }
    let events = audit::events(log)?;
    let mut requests = 0;
    for event in events.iter().filter(|event| is_controller(event.user())) {
        requests += 1;
        if let Some(refusal) = event.denial() {
            bail!(
                "{} was refused to {} {} {}/{}: {refusal}",
                event.user(),
                event.verb(),
                event.resource(),
                event.namespace(),
                event.name()
            );
        }
    }
    ensure!(requests > 0, "no controller wrote anything, so nothing is shown");
    Ok("none of their requests was refused".into())
}

/// Whom a line of the webhook's log says to have been refused.
fn rejected_user(line: &str) -> Option<&str> {
    let (_, facts) = line.split_once(" judged verdict=\"rejected\" ")?;
    facts.rsplit_once("user=\"")?.1.strip_suffix('"')
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_from_the_webhook_s_log() {
        let line = |verdict: &str| {
            format!(
                r#"2026-11-30T00:00:00.000Z info  judged verdict="{verdict}" rule="hpa-deleted" name="user=\"x\"" user="system:y""#
            )
        };
        assert_eq!(rejected_user(&line("rejected")), Some("system:y"));
        assert_eq!(rejected_user(&line("warned")), None);
        assert_eq!(rejected_user("the certificate has changed and was loaded"), None);
    }
}
