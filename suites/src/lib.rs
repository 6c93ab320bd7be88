//! The built-in scenarios, which seeded bug each of them must catch, and where which of them may be skipped.
//!
//! Invariant: knows the model and nothing else. A scenario cannot reach a cluster, a mesh or a client.

pub mod delivery_scope;
pub mod identity;
pub mod matrix;
pub mod outages;
mod payload;
pub mod resilience;
pub mod rotation;
pub mod routing;
pub mod tls;
mod traffic;

use harness_model::scenario::Scenario;

/// The list of scenarios that may be skipped on a kind of cluster: its file in the repository, and its text.
pub const PARITY: (&str, &str) = ("suites/parity.yaml", include_str!("../parity.yaml"));

/// Every built-in scenario, suite by suite.
#[must_use]
pub fn all() -> Vec<Scenario> {
    let mut scenarios = delivery_scope::all();
    scenarios.extend(routing::all());
    scenarios.extend(resilience::all());
    scenarios.extend(tls::all());
    scenarios.extend(outages::all());
    scenarios.extend(rotation::all());
    scenarios.extend(identity::all());
    scenarios
}
