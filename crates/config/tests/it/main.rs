//! Tests of `longhaul-config` from outside: wrong inputs, round trips, layers, docs.

mod docs;
mod settings_ok;
mod settings_wrong;
mod task_ok;
mod task_props;
mod task_wrong;
mod world;
