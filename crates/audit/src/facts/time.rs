//! Times, as objects have them.

use jiff::Timestamp;

/// How long a state has to last before it counts: controllers need a moment.
const SETTLED: i64 = 10 * 60;

/// Whether a time lies so far back that no controller is still at work; one that cannot be read does.
pub fn is_settled(time: Option<&str>, now: Timestamp) -> bool {
    let since = time.and_then(|time| time.parse::<Timestamp>().ok());
    since.is_none_or(|since| now.as_second() - since.as_second() > SETTLED)
}

/// Whether something came into being a moment ago, so that its controller has not got to it.
pub fn is_new(created: Option<&str>, now: Timestamp) -> bool {
    let created = created.and_then(|time| time.parse::<Timestamp>().ok());
    created.is_some_and(|created| (0..60).contains(&(now.as_second() - created.as_second())))
}
