//! The built-in scenarios, and which seeded bug each of them must catch.
//!
//! Invariant: knows the model and nothing else. A scenario cannot reach a cluster, a mesh or a client.

pub mod delivery_scope;
pub mod matrix;
mod payload;
pub mod resilience;
pub mod routing;

use harness_model::scenario::Scenario;

/// Every built-in scenario, suite by suite.
#[must_use]
pub fn all() -> Vec<Scenario> {
    let mut scenarios = delivery_scope::all();
    scenarios.extend(routing::all());
    scenarios.extend(resilience::all());
    scenarios
}
