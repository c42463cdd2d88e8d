//! What the fuzz targets do with a text: plain functions that panic when a law is broken.
//!
//! The targets in `fuzz/` hand them what libFuzzer makes up; `crates/cases/tests/regressions.rs` hands them what was
//! found once, and the seeds. They know the policy from outside only: bytes in, an answer out, and a look at what the
//! answer may be.
//!
//! | target | input | laws |
//! |---|---|---|
//! | [`evaluate()`] | a payload, with its cluster in it; after a NUL, how the cluster misbehaves | an answer, always;
//! the laws of answers |
//! | [`settings()`] | settings | `validate_settings` and judging agree on what can be used |
//! | [`repair()`] | a payload as above; after a NUL, how its objects are damaged | a repair changes what it names and
//! nothing else, once |
//! | [`reading()`] | any text | agrees with a full JSON parser on what is JSON, and what is in it |

#![allow(clippy::restriction, reason = "only tests use it, and they may panic")]

mod answer;
mod cluster;
mod damage;
mod evaluate;
mod reading;
mod repair;
mod settings;

pub use evaluate::evaluate;
pub use reading::reading;
pub use repair::repair;
pub use settings::settings;

/// A fuzz target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub static TARGETS: &[Target] =
    &[("evaluate", evaluate), ("settings", settings), ("repair", repair), ("reading", reading)];

/// Takes an input apart: the payload, and after the last NUL, which no JSON text holds, the choices that go with it.
fn split(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().rposition(|byte| *byte == 0) {
        Some(place) => (&input[..place], &input[place + 1..]),
        None => (input, &[]),
    }
}
