//! Applications: which tool manages an object, who writes, and what the tool's own record says.

pub mod argo_cd;
pub mod flux;
pub mod helm;
pub mod mark;
pub mod writer;

pub use mark::{Application, Member, Tool, belong_together, of_one_application, of_one_operator, of_one_record};
pub use writer::{acting, declares, is_dry_run_of_flux, softens_delete, writes_late};
