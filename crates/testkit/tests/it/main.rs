//! Tests of the test doubles themselves.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod fake_agent;
mod mock_provider;
mod real_agents;
mod world;
