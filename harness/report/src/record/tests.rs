//! A run gathered from its events.

use super::*;
use harness_model::expectation::Expectation;
use harness_model::history::{Event, EventKind, RefusalCause, RequestSeen};
use harness_model::verdict::{Detail, Finding, INTERRUPTED};

#[test]
fn what_was_selected_and_not_run_is_counted_and_named() {
    for (interrupted, error, reason) in [
        (Some(2), None, "the run was interrupted"),
        (
            None,
            Some("no"),
            "the environment could not be prepared, or was lost",
        ),
    ] {
        let mut record = RunRecord::new(crate::fixture::context());
        record
            .on(&RunEvent::RunStarted {
                run: "r".to_owned(),
                at: String::new(),
                seed: 1,
                environment: BTreeMap::new(),
                selected: 10,
            })
            .expect("a record takes everything");
        for event in crate::fixture::events() {
            if matches!(
                event,
                RunEvent::ScenarioSkipped { .. }
                    | RunEvent::ScenarioFinished { .. }
                    | RunEvent::ScenarioStarted { .. }
            ) {
                record.on(&event).expect("a record takes everything");
            }
        }
        let mut summary = record.sum();
        assert_eq!(summary.not_run, 5);
        summary.interrupted = interrupted;
        summary.environment_error = error.map(str::to_owned);
        record
            .on(&RunEvent::RunFinished { summary })
            .expect("a record takes everything");
        let left: Vec<(&str, u32)> = record
            .scenarios
            .iter()
            .filter(|s| matches!(&s.outcome, Outcome::NotRun { reason: told } if told == reason))
            .map(|s| (s.name.as_str(), s.repetition))
            .collect();
        assert_eq!(left.len(), 5, "{left:?}");
        assert!(
            left.iter().all(|(_, repetition)| *repetition == 2),
            "{left:?}"
        );
        let junit = crate::junit::render(&record).expect("it has a JUnit form");
        assert_eq!(
            junit
                .matches(&format!("<skipped message=\"not run: {reason}\"/>"))
                .count(),
            5,
            "{junit}"
        );
        let json = crate::json::render(&record, 3).expect("it has a JSON form");
        assert!(json.contains("\"notRun\": 5"), "{json}");
        assert_eq!(
            json.matches("\"outcome\": \"not-run\"").count(),
            5,
            "{json}"
        );
        assert_eq!(
            crate::terminal::sum_line(&record.sum()),
            "2 passed, 1 failed, 1 inconclusive, 1 skipped, 5 not run"
        );
    }
}

#[test]
fn a_run_that_ended_without_a_sum_is_counted() {
    let mut record = RunRecord::new(Context::default());
    for event in crate::fixture::events() {
        if !matches!(event, RunEvent::RunFinished { .. }) {
            record.on(&event).expect("a record takes everything");
        }
    }
    let sum = record.sum();
    assert_eq!(
        (sum.passed, sum.failed, sum.inconclusive, sum.skipped),
        (2, 1, 1, 1)
    );
}

#[test]
fn the_build_before_is_a_fact_of_the_environment() {
    let mut record = RunRecord::new(crate::fixture::context());
    record
        .on(&RunEvent::EnvironmentReady {
            sidecars: Vec::new(),
            candidates: BTreeMap::from([(
                "control-plane".to_owned(),
                vec!["sha256:aa".to_owned()],
            )]),
            before: BTreeMap::from([("control-plane".to_owned(), "in-use:1".to_owned())]),
            millis: 1,
        })
        .expect("a record takes everything");
    let fact = |name: &str| record.environment.get(name).map(String::as_str);
    assert_eq!(fact("candidate.control-plane"), Some("sha256:aa"));
    assert_eq!(fact("before.control-plane"), Some("in-use:1"));
}

/// Whether it is told how busy the machine was, of the scenario that fails in the fixture and is judged otherwise.
fn is_told(verdict: Verdict, checker: &str, observed: &str) -> bool {
    let mut record = crate::fixture::record();
    let scenario = record
        .scenarios
        .iter_mut()
        .find(|scenario| scenario.name == crate::fixture::FAILING)
        .expect("it is there");
    let Outcome::Judged { judgement, .. } = &mut scenario.outcome else {
        panic!("it is judged");
    };
    *judgement = Judgement {
        verdict,
        findings: vec![Finding {
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
        }],
        waited_in_vain: Vec::new(),
    };
    let is_told = scenario.busy_machine().is_some();
    let document = crate::json::document(&record, 1);
    let mut forms = document.scenarios.iter();
    let form = forms.find(|form| form.name == crate::fixture::FAILING);
    let kept = form.is_some_and(|form| form.machine.is_some());
    assert!(kept, "report.json has it whatever became of the scenario");
    is_told
}

#[test]
fn a_busy_machine_is_told_where_lateness_can_have_played_a_part() {
    for (verdict, checker, observed, expected) in [
        (Verdict::Failed, "delivered", "shown too late", true),
        (Verdict::Failed, "answered", "3 lost", true),
        (Verdict::Failed, "confined", "toggle banner = off", false),
        (Verdict::Failed, "over_tls", "in plaintext", false),
        (Verdict::Failed, "denied", "granted a certificate", false),
        (Verdict::Inconclusive, "confined", "not read", true),
        (Verdict::Inconclusive, "runner", "a load was lost", true),
        (Verdict::Inconclusive, "runner", INTERRUPTED, false),
        (Verdict::Passed, "delivered", "", false),
    ] {
        let told = is_told(verdict, checker, observed);
        assert_eq!(told, expected, "{verdict:?} {checker}: {observed}");
    }
}

#[test]
fn requests_are_told_apart_by_what_their_scenario_wants() {
    let mut context = crate::fixture::context();
    let wanting = context
        .scenarios
        .get_mut(crate::fixture::FAILING)
        .expect("it is selected");
    wanting.then.push(Expectation::Refused {
        traffic: "denied".to_owned(),
        because: RefusalCause::NotAllowed,
    });
    let mut record = RunRecord::new(context);
    for scenario in [
        crate::fixture::FAILING,
        "delivery-scope/everybody",
        "mine/unknown",
    ] {
        for event in [
            RunEvent::ScenarioStarted {
                scenario: scenario.to_owned(),
                claim: String::new(),
                repetition: 1,
            },
            RunEvent::ScenarioEvent {
                scenario: scenario.to_owned(),
                repetition: 1,
                event: refused("denied"),
            },
        ] {
            record.on(&event).expect("a record takes everything");
        }
    }
    let sums: Vec<(u64, u64)> = record
        .scenarios
        .iter()
        .map(|scenario| &scenario.timeline.traffic["denied"])
        .map(|sum| (sum.refused, sum.lost))
        .collect();
    assert_eq!(sums, [(1, 0), (0, 1), (0, 1)]);
}

/// A request whose caller may not call.
fn refused(traffic: &str) -> Event {
    Event {
        at_ns: 1,
        step: None,
        kind: EventKind::Request(Box::new(RequestSeen {
            traffic: traffic.to_owned(),
            sequence: 0,
            from: "frontend@zone-a".to_owned(),
            due_ns: 1,
            latency_us: 1,
            protocol: None,
            connection: None,
            status: Some(403),
            failure: None,
            answered_by: None,
            passed_caller_sidecar: true,
            passed_callee_sidecar: true,
            arrived: None,
            cause: Some(RefusalCause::NotAllowed),
        })),
    }
}
