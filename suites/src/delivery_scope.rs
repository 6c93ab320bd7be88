//! Configuration reaches whom its scope names, and provably nobody else.

mod changes;
mod precedence;
mod shapes;

use harness_model::capability::Capability;
use harness_model::scenario::{Act, Scenario, file};

/// The scenarios of this suite.
#[must_use]
pub fn all() -> Vec<Scenario> {
    let mut scenarios = shapes::all();
    scenarios.extend(precedence::all());
    scenarios.extend(changes::all());
    for scenario in &mut scenarios {
        let needs = needs(scenario);
        scenario.requires.extend(needs);
    }
    scenarios
}

/// What follows from what a scenario says: the zones that it names, and reconnecting.
fn needs(scenario: &Scenario) -> Vec<Capability> {
    let text = file::print(scenario);
    let mut needs = Vec::new();
    if text.contains("$zone3") {
        needs.push(Capability::ThreeZones);
    } else if text.contains("$zone2") {
        needs.push(Capability::TwoZones);
    }
    if scenario.when.contains(&Act::Reconnect) {
        needs.push(Capability::Reconnect);
    }
    needs
}
