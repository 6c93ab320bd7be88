//! Histories out of order, with copies and gaps.

use super::histories::given_scenario;
use super::histories::reconnected;
use crate::checker::judge;
use crate::expectation::Expectation;
use crate::patience::Patience;
use crate::scenario::Scenario;
use crate::verdict::Verdict;

#[test]
fn no_history_makes_a_checker_panic() {
    let scenario = Scenario {
        then: vec![
            Expectation::Delivered,
            Expectation::Confined,
            Expectation::Restored {
                reference: 0,
                step: 1,
            },
            Expectation::StatusIsTrue,
            Expectation::Rejected { step: 0 },
            Expectation::Unchanged,
        ],
        ..given_scenario(Expectation::Delivered)
    };
    let whole = reconnected(&["a", "b"], |_, _| {});
    let count = whole.events.len();
    for seed in 0..200_usize {
        let mut garbled = whole.clone();
        // A linear congruence is shuffle enough, and the same every time.
        let mut state = seed * 7919 + 1;
        let mut next = |below: usize| {
            state = (state * 1_103_515_245 + 12_345) % (1 << 31);
            state / 8 % below
        };
        for _ in 0..10 {
            let (a, b) = (next(count), next(count));
            garbled.events.swap(a, b);
            let copy = garbled.events[next(count)].clone();
            garbled.events[a] = copy;
            garbled.events[b].step = Some(next(5));
            garbled.events[next(count)].at_ns = u64::MAX;
        }
        let judgement = judge(&scenario, &garbled.events, &Patience::default());
        assert_eq!(judgement.findings.len(), 6);
        for finding in judgement.findings {
            assert!(finding.verdict != Verdict::Passed || finding.observations > 0);
        }
    }
}
