//! What is run asks for what is measured, and a run that was not what it was meant to be gives no figures.

use super::*;
use crate::bench::program::Seen;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// A run that has passed. Each change takes 100 ms to the last of so many sidecars, and the policy itself 900.
fn run(sidecars: usize, changes: usize, form: &str) -> Run {
    let of_scenario =
        |event: Value| json!({"type": "scenarioEvent", "scenario": SCENARIO, "event": event});
    let plain = |millis: usize, event: &str| {
        of_scenario(json!({"atNs": millis * 1_000_000, "event": event}))
    };
    let observed = |millis: usize, sidecar: usize, version: usize| {
        of_scenario(json!({
            "atNs": millis * 1_000_000, "event": "observed", "sidecar": format!("s{sidecar}"),
            "toggles": {"feature": version}, "rules": {}, "stream": {"form": form},
        }))
    };
    let everybody: Vec<Value> = (0..sidecars + 2).map(|_| json!({})).collect();
    let mut events = vec![json!({"type": "environmentReady", "sidecars": everybody})];
    events.extend((0..sidecars).map(|sidecar| observed(0, sidecar, 0)));
    for change in 0..=changes {
        let begin = 1000 * change;
        let last = begin + if change == 0 { 900 } else { 100 };
        events.push(plain(begin, "writeStarted"));
        events.push(plain(begin + 5, "written"));
        events.extend((0..sidecars).map(|sidecar| observed(last, sidecar, change + 1)));
    }
    events.push(json!({
        "type": "scenarioFinished", "scenario": SCENARIO, "judgement": {"verdict": "passed"}, "millis": 1,
    }));
    let seen = |event| Seen {
        at: Duration::ZERO,
        event,
    };
    Run {
        events: events.into_iter().map(seen).collect(),
        whole: Duration::ZERO,
        code: Some(0),
        processor_time: Duration::ZERO,
        machine_used: 0.0,
        artifacts: PathBuf::new(),
    }
}

#[test]
fn every_act_changes_toggle_and_rule_and_waits_for_nothing_but_delivery() {
    let text = scenario();
    let read: Value = serde_saphyr::from_str(&text).expect("it is YAML");
    assert_eq!(read["name"], SCENARIO);
    assert_eq!(read["then"], json!(["delivered"]));
    let given = read["given"]["configurations"].as_array().expect("a list");
    let acts = read["when"].as_array().expect("a list");
    assert_eq!((given.len(), acts.len()), (1, CHANGES));
    let policies = || given.iter().chain(acts.iter().map(|act| &act["apply"]));
    let versions = |pointer: &str| -> BTreeSet<&str> {
        let values = policies().map(|policy| policy.pointer(pointer));
        values
            .map(|value| value.and_then(Value::as_str).expect("a text"))
            .collect()
    };
    let toggles = versions("/toggles/feature");
    assert_eq!(toggles.len(), CHANGES + 1, "none is there twice");
    assert_eq!(
        toggles,
        versions("/rules/route/headers/x-meshproof-version")
    );
    assert_eq!(versions("/name").len(), 1, "it is one policy");
}

#[test]
fn the_topology_is_for_as_many_sidecars_as_there_are_clients_and_knows_no_distance() {
    let read: Value = serde_saphyr::from_str(TOPOLOGY).expect("it is YAML");
    let data_centers = read["clusters"][0]["dataCenters"].as_array();
    assert_eq!(data_centers.expect("a list").len() * 3, FEWEST);
    assert!(read["latency"].is_null());
}

#[test]
fn a_round_is_all_changes_but_the_first() {
    let round = Round::of(&run(16, CHANGES, "delta"), FORMS[1]).expect("it is whole");
    assert_eq!((round.shown_by, round.sidecars), (16, 18));
    assert_eq!(round.changes.len(), CHANGES);
    assert!(round.issued().all(|millis| millis == 100.0));
}

#[test]
fn a_run_that_was_another_gives_no_figures() {
    let problem = |run: &Run| {
        let error = Round::of(run, FORMS[1]).expect_err("it was another");
        error.to_string()
    };
    let few = problem(&run(FEWEST - 1, CHANGES, "delta"));
    assert!(few.contains("by 14 sidecars"), "{few}");
    let short = problem(&run(FEWEST, CHANGES - 1, "delta"));
    assert!(short.contains("39 of 40"), "{short}");
    let other = problem(&run(FEWEST, CHANGES, "sotw"));
    assert!(other.contains("s0 speaks sotw instead of delta"), "{other}");
    let mut failed = run(FEWEST, CHANGES, "delta");
    failed.events.pop();
    assert_eq!(problem(&failed), "it was not judged");
}

#[test]
fn figures_are_of_both_forms_and_held_against_simple_clients() {
    let rounds: Vec<Round> = FORMS
        .into_iter()
        .map(|form| Round::of(&run(FEWEST, CHANGES, form.set), form).expect("it is whole"))
        .collect();
    let mut report = Report::new("control-plane", Value::Null);
    assert!(tell(&rounds, &mut report).is_err(), "clients are missing");
    let mut report = Report::new("control-plane", Value::Null);
    for (form, millis) in FORMS.iter().zip([5.0, 10.0]) {
        report.figure(form.clients, "simple clients", Unit::Millis, millis);
    }
    assert!(
        tell(&rounds[..1], &mut report).is_err(),
        "delta was not tried"
    );
    tell(&rounds, &mut report).expect("complete");
    let value = |name: &str| report.value(name).unwrap_or_else(|| panic!("{name}"));
    for (name, expected) in [
        ("envoys", 15.0),
        ("envoysStateOfTheWorldChangesPerSecond", 10.0),
        ("envoysDeltaShownMillisP99", 100.0),
        ("envoysStateOfTheWorldToClients", 20.0),
        ("envoysDeltaToClients", 10.0),
    ] {
        assert!((value(name) - expected).abs() < 1e-9, "{name}");
    }
    assert!(report.is_comparable("envoysDeltaToClients"));
}
