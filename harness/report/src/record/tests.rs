//! A run gathered from its events.

use super::*;

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
