//! Tests of `longhaul-config` from outside: wrong inputs, round trips, docs.

mod docs;
mod task_ok;
mod task_props;
mod task_wrong;
mod world;
