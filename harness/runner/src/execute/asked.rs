//! What a scenario asks for, and so what is worth its time while it is carried out.

use harness_model::asking::AuditOutcome;
use harness_model::expectation::Expectation;
use harness_model::scenario::{Act, Scenario};

/// Nobody but those in scope shows what was written, which is proven by markers.
pub(super) fn for_absence(scenario: &Scenario) -> bool {
    scenario.then.contains(&Expectation::Confined)
}

/// What the mesh says of a configuration.
pub(super) fn for_status(scenario: &Scenario) -> bool {
    let asks = |expectation: &Expectation| {
        matches!(
            expectation,
            Expectation::StatusIsTrue | Expectation::Rejected { .. }
        )
    };
    scenario.then.iter().any(asks)
}

/// What sidecars hold.
pub(super) fn for_configuration(scenario: &Scenario) -> bool {
    let asks = |expectation: &Expectation| {
        matches!(
            expectation,
            Expectation::Delivered
                | Expectation::Confined
                | Expectation::Restored { .. }
                | Expectation::Unchanged
        )
    };
    for_status(scenario) || scenario.then.iter().any(asks)
}

/// What the act with this index writes is to be rejected.
pub(super) fn is_to_be_rejected(scenario: &Scenario, act: usize) -> bool {
    scenario.then.iter().any(
        |expectation| matches!(expectation, Expectation::Rejected { step, .. } if *step == act),
    )
}

/// What an audit log has of the attempt of this name; none where that is not asked for.
pub(super) fn for_audit(scenario: &Scenario, name: &str) -> Option<AuditOutcome> {
    let mut expectations = scenario.then.iter();
    expectations.find_map(|expectation| match expectation {
        Expectation::Audited { ask, outcome } if ask == name => Some(*outcome),
        _ => None,
    })
}

/// Something that rounds of reconnections disturb: an absence is proven on streams that stay where they are, and who is
/// between two streams may be counted by no replica. Traffic and certificates do not depend on streams.
pub(super) fn for_what_rounds_disturb(scenario: &Scenario) -> bool {
    scenario.when.contains(&Act::Reconnect) || for_absence(scenario) || for_status(scenario)
}
