//! The real binary under kills, misbehaving agents, a person's orders, full disks and rivals: every
//! scenario ends in the state that the rules name, with one session per fence, nothing left running,
//! no output lost, the repository sound and the user's checkout untouched.

#![expect(
    clippy::unwrap_used,
    reason = "helpers fail the test they help; the exception for tests covers test functions only"
)]

mod audit;
mod catch_up;
mod conduct;
mod crash;
mod fakes;
mod homes;
mod in_place;
mod inbox;
mod janitor;
mod landing;
mod landing_kills;
mod operator;
mod outside;
mod overlap;
mod power;
mod proposal;
mod queue;
mod removal;
mod rivals;
mod room;
mod scene;
mod setups;
mod storm;
mod stuck;
mod sweep;
mod uninstall;
