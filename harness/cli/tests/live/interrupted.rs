//! Ctrl-C and SIGTERM: the run stops, heals, takes down, reports and says so by its exit code.

use crate::baseline::Baseline;
use crate::meshproof::{Place, scenario_event};
use serde_json::Value;

#[test]
fn one_ctrl_c_heals_takes_down_and_reports() {
    let place = Place::new();
    let before = Baseline::take(&place.folders);
    let mut running = place.start(&["run", "resilience/zone-cut-off"]);
    running.wait_for("a fault", scenario_event("faultStarted"));
    let footprint = running.footprint();
    running.signal("INT");
    let (status, events, complaints) = running.finish();
    assert_eq!(status.code(), Some(130), "{complaints}");
    assert_eq!(summary(&events)["interrupted"], 2);
    assert!(
        summary(&events)["notRun"].is_null(),
        "the only scenario was begun"
    );
    let unsearched = summary(&events)["notSearched"].to_string();
    assert!(
        unsearched.contains("the logs of the mesh's pods"),
        "{unsearched}"
    );
    for name in ["report.json", "junit.xml", "report.html"] {
        let file = place.artifacts().join("latest").join(name);
        assert!(
            file.exists(),
            "{} is written after an interrupt too",
            file.display()
        );
    }
    before.is_restored(&place.folders, &footprint, "after Ctrl-C in a fault");
}

#[test]
fn the_second_ctrl_c_leaves_at_once_and_nothing_stays() {
    let place = Place::new();
    let before = Baseline::take(&place.folders);
    let mut running = place.start(&["run", "delivery-scope"]);
    running.wait_for("a write", scenario_event("written"));
    let footprint = running.footprint();
    running.signal("INT");
    running.signal("INT");
    let (status, events, complaints) = running.finish();
    assert_eq!(status.code(), Some(130), "{complaints}");
    let selected = events.iter().find_map(|event| event["selected"].as_u64());
    let counts = ["passed", "failed", "inconclusive", "skipped", "notRun"];
    let counted: u64 = counts
        .iter()
        .filter_map(|of| summary(&events)[of].as_u64())
        .sum();
    assert_eq!(Some(counted), selected, "{}", summary(&events));
    let unsearched = summary(&events)["notSearched"].to_string();
    assert!(
        unsearched.contains("the logs of the mesh's pods"),
        "{unsearched}"
    );
    assert!(
        summary(&events)["notRun"].as_u64() > Some(0),
        "{}",
        summary(&events)
    );
    before.is_restored(&place.folders, &footprint, "after two Ctrl-C");
}

#[test]
fn a_termination_is_told_by_its_own_exit_code() {
    let place = Place::new();
    let before = Baseline::take(&place.folders);
    let mut running = place.start(&["run", "delivery-scope"]);
    running.wait_for("a write", scenario_event("written"));
    let footprint = running.footprint();
    running.signal("TERM");
    let (status, _, complaints) = running.finish();
    assert_eq!(status.code(), Some(143), "{complaints}");
    before.is_restored(&place.folders, &footprint, "after SIGTERM");
}

fn summary(events: &[Value]) -> &Value {
    let last = events.last().expect("there are events");
    assert_eq!(
        last["type"], "runFinished",
        "nothing comes after the summary"
    );
    &last["summary"]
}
