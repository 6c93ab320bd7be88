//! Histories of real runs are judged again: what a stored format or a checker loses or changes is noticed here.

use fixtures::histories::{ALL, History};
use harness_model::checker::judge;
use harness_model::expectation::Expectation;
use harness_model::history::file::{self, Recorded};
use harness_model::history::{Event, EventKind};
use harness_model::verdict::{Judgement, Verdict};

fn read(recorded: &History) -> Recorded {
    let mut histories = file::parse(recorded.history).unwrap_or_else(|problems| {
        panic!("{} cannot be read: {problems:?}", recorded.name);
    });
    assert_eq!(histories.len(), 1, "{} is one history", recorded.name);
    histories.remove(0)
}

fn judged(history: &Recorded, events: &[Event]) -> Judgement {
    judge(&history.header.scenario, events, &history.header.patience)
}

#[test]
fn every_history_gets_its_judgement_again() {
    for recorded in ALL {
        let history = read(recorded);
        let now = judged(&history, &history.events);
        let expected: Judgement =
            serde_json::from_str(recorded.judgement).expect("a judgement is JSON of its type");
        assert_eq!(
            now,
            expected,
            "{} is judged otherwise; as JSON:\n{}",
            recorded.name,
            serde_json::to_string_pretty(&now).expect("a judgement is plain data"),
        );
    }
}

#[test]
fn every_verdict_is_there() {
    let has = |verdict| {
        ALL.iter()
            .any(|recorded| judged(&read(recorded), &read(recorded).events).verdict == verdict)
    };
    for verdict in [Verdict::Passed, Verdict::Failed, Verdict::Inconclusive] {
        assert!(has(verdict), "none is {verdict:?}");
    }
}

#[test]
fn what_is_stored_is_what_was_read() {
    for recorded in ALL {
        assert_eq!(
            file::print(&read(recorded)).lines().collect::<Vec<_>>(),
            recorded.history.lines().collect::<Vec<_>>(),
            "{}",
            recorded.name
        );
    }
}

/// One kind of evidence and the expectations that cannot hold without it.
struct Kind {
    name: &'static str,
    is_evidence: fn(&EventKind) -> bool,
    concerns: fn(&Expectation) -> bool,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "the end",
        is_evidence: |kind| matches!(kind, EventKind::Finished),
        concerns: |_| true,
    },
    Kind {
        name: "markers",
        is_evidence: |kind| matches!(kind, EventKind::MarkerWritten { .. }),
        concerns: |expectation| matches!(expectation, Expectation::Confined),
    },
    Kind {
        name: "readings",
        is_evidence: |kind| matches!(kind, EventKind::Observed(_)),
        concerns: |expectation| {
            matches!(
                expectation,
                Expectation::Delivered
                    | Expectation::Confined
                    | Expectation::Restored { .. }
                    | Expectation::StatusIsTrue
                    | Expectation::Rejected { .. }
                    | Expectation::Unchanged
            )
        },
    },
    Kind {
        name: "requests",
        is_evidence: |kind| matches!(kind, EventKind::Request(_)),
        concerns: |expectation| {
            matches!(
                expectation,
                Expectation::Answered { .. }
                    | Expectation::PassesBothSidecars { .. }
                    | Expectation::PrefersOwnZone { .. }
                    | Expectation::AnsweredBy { .. }
                    | Expectation::SharedBy { .. }
                    | Expectation::FailsOver { .. }
                    | Expectation::Recovers { .. }
            )
        },
    },
];

#[test]
fn without_its_evidence_nothing_passes() {
    for recorded in ALL {
        let history = read(recorded);
        for kind in &KINDS {
            let mut events = history.events.clone();
            events.retain(|event| !(kind.is_evidence)(&event.kind));
            let without = judged(&history, &events);
            let expectations = history.header.scenario.then.iter();
            for (expectation, finding) in expectations.zip(without.findings) {
                assert!(
                    !(kind.concerns)(expectation) || finding.verdict != Verdict::Passed,
                    "{} passes without {}: {finding:?}",
                    recorded.name,
                    kind.name
                );
            }
        }
    }
}
