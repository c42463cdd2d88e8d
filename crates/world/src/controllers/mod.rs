//! What acts by itself: each controller as a set of steps, enabled when it has something to do.

pub mod envoy;
pub mod garbage;
pub mod hpa;
pub mod keda;

use crate::object::Key;
use crate::server::{Reply, World};

/// One step of a controller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The garbage collector looks at an object.
    Collect(Key),
    /// The namespace controller deletes the next object of a namespace, or the namespace.
    EmptyNamespace(Key),
    /// The definition's finalizer deletes the next object of a kind, or the definition.
    EmptyKind(Key),
    /// The HPA controller looks at an HPA.
    Scale(Key),
    /// KEDA looks at a ScaledObject.
    Keda(Key),
    /// Envoy Gateway looks at everything.
    Envoy,
}

/// The steps that would do something.
pub fn enabled(world: &World) -> Vec<Step> {
    steps(world, true)
}

/// The same, with the HPA controller's or without.
fn steps(world: &World, with_hpas: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    for (key, stored) in &world.objects {
        if garbage::has_work(world, key, stored) {
            steps.push(Step::Collect(key.clone()));
        }
        if stored.is_terminating() && &*key.kind == "Namespace" {
            steps.push(Step::EmptyNamespace(key.clone()));
        }
        if stored.is_terminating()
            && &*key.kind == "CustomResourceDefinition"
            && garbage::can_empty_kind(world, &stored.value)
        {
            steps.push(Step::EmptyKind(key.clone()));
        }
        if with_hpas && key.is_hpa() && hpa::plan(world, key, stored).is_some() {
            steps.push(Step::Scale(key.clone()));
        }
        if key.is_scaled_object() && world.keda_runs && keda::wants_to_scale(world, &stored.value).is_some() {
            steps.push(Step::Keda(key.clone()));
        }
    }
    if world.keda_runs {
        let queued = world.keda_queue.iter().cloned().map(Step::Keda);
        steps.extend(queued);
        steps.sort();
        steps.dedup();
    }
    if world.envoy_runs && world.envoy_queue {
        steps.push(Step::Envoy);
    }
    steps
}

/// Takes a step; what admission refused of it, for nobody may refuse a controller.
pub fn perform(world: &mut World, step: &Step) -> Option<String> {
    let replies = match step {
        Step::Collect(key) => garbage::collect(world, key),
        Step::EmptyNamespace(key) => garbage::empty_namespace(world, key),
        Step::EmptyKind(key) => garbage::empty_kind(world, key),
        Step::Scale(key) => hpa::scale(world, key),
        Step::Keda(key) => keda::reconcile(world, key),
        Step::Envoy => envoy::reconcile(world),
    };
    replies.into_iter().find_map(|reply| match reply {
        Reply::Refused { by_guard: true, message } => Some(message),
        _ => None,
    })
}

/// How often controllers may act before it is a fight.
const PATIENCE: usize = 400;

/// How often they act between two requests of a tool: two that overwrite each other would never come to rest.
const QUICK: usize = 6;

/// Lets the controllers act, one after the other, until all is quiet; false if it never is.
pub fn settle(world: &mut World) -> bool {
    settle_those(world, PATIENCE.max(world.objects.len()), true)
}

/// Lets those act that take milliseconds. The HPA controller looks every 15 seconds: a tool sends several requests
/// meanwhile.
pub fn settle_quick(world: &mut World) -> bool {
    settle_those(world, QUICK, false)
}

fn settle_those(world: &mut World, patience: usize, with_hpas: bool) -> bool {
    for _ in 0..patience {
        // The HPA controller comes last: the others are done in the 15 seconds until it looks.
        let mut steps = steps(world, false);
        if steps.is_empty() && with_hpas {
            steps = self::steps(world, true);
        }
        if steps.is_empty() {
            return true;
        }
        for step in steps {
            perform(world, &step);
        }
    }
    false
}
