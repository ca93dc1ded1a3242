//! Checks end to end on the real binary (T9–T12, I13): commands, models and reviewing agents.

mod agent;
mod judge_server;
mod model;
mod run;
mod stage;
