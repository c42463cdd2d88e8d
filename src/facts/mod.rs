//! Facts about the objects that autoscaling hangs on, each in one place: typed views of just the fields that a rule
//! reads. No findings.
//!
//! A view borrows from the object's JSON text. What it does not name is skipped unread, so objects may be large, newer
//! than this policy, or carry fields of other vendors.

pub mod application;
pub mod autoscalers;
pub mod departure;
pub mod envoy_gateway;
pub mod hpa;
pub mod installation;
pub mod keda_installation;
pub mod owner;
pub mod released;
pub mod scaled_object;
pub mod workload;
pub mod yaml;
