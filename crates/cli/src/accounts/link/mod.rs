//! Shared state of config homes (A18): each home's folders of conversations become links to one shared target, so
//! that any home can resume any conversation. `look` sees what there is, `plan` decides, `apply` carries out. What
//! is not as expected is told and never corrected: every problem of every home at once, and nothing half-done.

mod adopt;
mod apply;
mod look;
mod plan;

pub(crate) use apply::apply;
pub(crate) use look::{look, wanted};
pub(crate) use plan::{Plan, Problem, Step, plan};
