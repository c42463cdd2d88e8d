//! What the benches measure: requests as an API server sent them, and the cluster that they were sent in.

mod neighbours;
mod requests;

pub use neighbours::{Answers, shop};
pub use requests::{Expected, Request, all};
