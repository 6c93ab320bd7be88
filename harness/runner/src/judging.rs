//! Asking the checkers.
//!
//! Invariant: a checker that panics has decided nothing, and breaks nothing off.

use crate::one::undecided;
use harness_model::checker;
use harness_model::history::Event;
use harness_model::patience::Patience;
use harness_model::scenario::Scenario;
use harness_model::verdict::Judgement;
use std::time::Duration;

/// How often a history is judged while it grows.
pub(crate) const JUDGE_EVERY: Duration = Duration::from_millis(200);

/// Judges a history.
pub(crate) fn judge(scenario: &Scenario, history: &[Event], patience: &Patience) -> Judgement {
    std::panic::catch_unwind(|| checker::judge(scenario, history, patience))
        .unwrap_or_else(|_| undecided("a checker has a defect: it panicked".to_owned()))
}

/// Whether more requests of a load can still decide an expectation `recovers` of it. Of a checker with a defect nothing is
/// waited for.
pub(crate) fn is_recovery_open(
    scenario: &Scenario,
    history: &[Event],
    patience: &Patience,
    load: &str,
) -> bool {
    std::panic::catch_unwind(|| checker::is_recovery_open(scenario, history, patience, load))
        .unwrap_or(false)
}
