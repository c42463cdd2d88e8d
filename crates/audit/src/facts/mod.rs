//! Facts about a cluster, gathered once for all problems: who scales what, who declares what, who holds a count. No
//! findings.

pub mod autoscaler;
pub mod count;
pub mod fleet;
pub mod helm;
pub mod holder;
pub mod operator;
pub mod record;
pub mod time;
