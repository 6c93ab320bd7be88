//! Configuration reaches whom its scope names, and provably nobody else.

mod changes;
mod precedence;
mod shapes;

use harness_model::scenario::Scenario;

/// The scenarios of this suite.
#[must_use]
pub fn all() -> Vec<Scenario> {
    let mut scenarios = shapes::all();
    scenarios.extend(precedence::all());
    scenarios.extend(changes::all());
    scenarios
}
