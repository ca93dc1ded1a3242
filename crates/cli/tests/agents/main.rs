//! The real agents (pinned by scripts/agents, offline against the mock provider) under the real binary:
//! what no fake can prove. Nothing but loopback, fake keys, and folders of their own.

mod chain;
mod limits;
mod stage;
