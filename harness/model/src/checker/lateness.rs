//! Which verdicts a machine that is too busy may have led to.
//!
//! Invariant: no verdict depends on it.

use crate::patience::Whose;
use crate::verdict::{Judgement, Verdict};

/// The checkers that fail by something that was seen and is wrong whenever it is: a wrong receiver, a wrong answerer, a certificate
/// or a way to go that is not the one expected. All others can fail since something came late, or not within a bound, or was lost:
/// a request that is to be refused can have been lost instead, and a stream ends that is not heard of for long. (What is still
/// shown when it must be gone is told by `delivered`, too.)
const WRONG_WHENEVER: &[&str] = &[
    "answered_by",
    "confined",
    "denied",
    "in_plaintext",
    "keeps_protocol",
    "on_the_wire",
    "over_tls",
    "passes_both_sidecars",
    "same_root",
    "shared_by",
    "unchanged",
];

/// Of these, what goes by the configuration that is in force: where a step waited for that in vain it may have been late and no more.
/// Not `confined`: a configuration where it must not be keeps a step waiting, too.
const BY_WHAT_IS_IN_FORCE: &[&str] = &[
    "answered_by",
    "in_plaintext",
    "on_the_wire",
    "over_tls",
    "shared_by",
    "unchanged",
];

/// Whether lateness can have played a part in a verdict: something that failed may have come late or been lost, or nothing could be
/// decided. Beside a failure what is undecided does not count, since it often follows from that; and neither does it where the run
/// was interrupted, which is why nothing could be decided.
#[must_use]
pub fn may_come_of_lateness(judgement: &Judgement) -> bool {
    match judgement.verdict {
        Verdict::Passed => false,
        Verdict::Inconclusive => !judgement.is_interrupted(),
        Verdict::Failed => {
            let waits = &judgement.waited_in_vain;
            let was_late = waits.iter().any(|wait| wait.whose == Whose::Mesh);
            let may = |checker: &str| {
                !WRONG_WHENEVER.contains(&checker)
                    || (was_late && BY_WHAT_IS_IN_FORCE.contains(&checker))
            };
            let findings = &judgement.findings;
            findings
                .iter()
                .any(|finding| finding.verdict == Verdict::Failed && may(&finding.checker))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expectation::Expectation;
    use crate::in_vain::VainWait;
    use crate::verdict::{Detail, Finding, INTERRUPTED};
    use std::collections::BTreeSet;

    /// Every kind of expectation as a scenario file has it, and whether lateness can fail it.
    const KINDS: &[(&str, bool)] = &[
        ("delivered", true),
        ("confined", false),
        ("restored", true),
        ("statusIsTrue", true),
        ("rejected", true),
        ("answered", true),
        ("passesBothSidecars", false),
        ("keepsProtocol", false),
        ("prefersOwnZone", true),
        ("answeredBy", false),
        ("sharedBy", false),
        ("overTls", false),
        ("inPlaintext", false),
        ("movesTo", true),
        ("received", true),
        ("onTheWire", false),
        ("refused", true),
        ("renewed", true),
        ("keepsStream", true),
        ("spreadsRenewals", true),
        ("backsOff", true),
        ("rotated", true),
        // What is published must be so within a bound.
        ("trusted", true),
        ("sameRoot", false),
        ("granted", true),
        ("denied", false),
        ("audited", true),
        ("handshakeAnswered", true),
        ("handshakeRefused", true),
        ("failsOver", true),
        ("unchanged", false),
        ("recovers", true),
    ];

    /// `answeredBy` is judged by `answered_by`.
    fn checker(word: &str) -> String {
        let mut name = String::new();
        for letter in word.chars() {
            if letter.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    fn finding(checker: &str, verdict: Verdict, observed: &str) -> Finding {
        Finding {
            checker: checker.to_owned(),
            expectation: None,
            verdict,
            observations: 1,
            details: vec![Detail {
                sidecar: None,
                step: None,
                expected: "something else".to_owned(),
                observed: observed.to_owned(),
                event: None,
            }],
        }
    }

    fn wait(whose: Whose) -> VainWait {
        VainWait {
            step: Some(0),
            during: "step 0".to_owned(),
            at_ns: 1,
            whose,
            waited_for: "every sidecar to hold what it must".to_owned(),
            event: 0,
        }
    }

    fn may(verdict: Verdict, findings: Vec<Finding>) -> bool {
        may_come_of_lateness(&Judgement {
            verdict,
            findings,
            waited_in_vain: Vec::new(),
        })
    }

    #[test]
    fn every_kind_of_expectation_is_told_apart() {
        for (word, can_be_late) in KINDS {
            let failed = finding(&checker(word), Verdict::Failed, "something");
            assert_eq!(may(Verdict::Failed, vec![failed]), *can_be_late, "{word}");
        }
        let kinds: BTreeSet<String> = KINDS.iter().map(|(word, _)| checker(word)).collect();
        for name in WRONG_WHENEVER {
            assert!(kinds.contains(*name), "{name} judges nothing");
        }
    }

    #[test]
    fn no_kind_of_expectation_is_missing() {
        let schema = schemars::schema_for!(Expectation).to_value();
        let mut words = BTreeSet::new();
        for variant in schema["oneOf"].as_array().into_iter().flatten() {
            let alone = variant["enum"].as_array().into_iter().flatten();
            let alone = alone.chain(variant.get("const"));
            words.extend(alone.filter_map(|word| word.as_str()));
            let with_more = variant["properties"].as_object().into_iter().flatten();
            words.extend(with_more.map(|(word, _)| word.as_str()));
        }
        let known: BTreeSet<&str> = KINDS.iter().map(|(word, _)| *word).collect();
        assert_eq!(words, known);
    }

    #[test]
    fn what_decides_the_verdict_counts_and_nothing_beside_it() {
        use Verdict::{Failed, Inconclusive, Passed};
        let leak = || finding("confined", Failed, "a toggle");
        let late = || finding("delivered", Failed, "shown too late");
        let open = || finding("delivered", Inconclusive, "not read");
        let kept = || finding("delivered", Passed, "");
        for (verdict, findings, expected) in [
            (Passed, vec![kept()], false),
            (Inconclusive, vec![open()], true),
            (Inconclusive, vec![kept(), open()], true),
            (Failed, vec![leak(), late()], true),
            (Failed, vec![leak(), open()], false),
            (Failed, vec![leak(), kept()], false),
        ] {
            let told = format!("{verdict:?} {findings:?}");
            assert_eq!(may(verdict, findings), expected, "{told}");
        }
    }

    #[test]
    fn what_goes_by_a_configuration_that_was_waited_for_in_vain_may_come_of_it() {
        let judged = |checker, whose| Judgement {
            verdict: Verdict::Failed,
            findings: vec![finding(checker, Verdict::Failed, "something")],
            waited_in_vain: vec![wait(whose)],
        };
        assert!(may_come_of_lateness(&judged("answered_by", Whose::Mesh)));
        let of_the_harness = judged("answered_by", Whose::Harness);
        assert!(!may_come_of_lateness(&of_the_harness));
        assert!(!may_come_of_lateness(&judged("confined", Whose::Mesh)));
        for name in BY_WHAT_IS_IN_FORCE {
            assert!(WRONG_WHENEVER.contains(name), "{name} may be late anyhow");
        }
    }

    #[test]
    fn an_interrupt_is_no_lateness() {
        let undecided = |reason| vec![finding("runner", Verdict::Inconclusive, reason)];
        assert!(!may(Verdict::Inconclusive, undecided(INTERRUPTED)));
        assert!(may(Verdict::Inconclusive, undecided("a load was lost")));
    }
}
