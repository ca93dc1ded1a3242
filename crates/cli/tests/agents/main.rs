//! The real agents (pinned by scripts/agents, offline against the mock provider) under the real binary:
//! what no fake can prove. Nothing but loopback, fake keys, and folders of their own.

#![expect(
    clippy::unwrap_used,
    reason = "helpers fail the test they help; the exception for tests covers test functions only"
)]

mod accounts;
mod authority;
mod chain;
mod denied;
mod homes;
mod killed;
mod limits;
mod planted;
mod pool;
mod pool_fake;
mod pool_kills;
mod stage;
