//! `kill -9` of the harness in each phase: the kernel must end everything, and nothing may stay.

use crate::baseline::Baseline;
use crate::meshproof::{Place, phase_started, scenario_event};
use serde_json::Value;

/// How often each phase is hit; where in the phase differs from time to time by itself.
const TIMES: usize = 2;

/// A short scenario without a fault and one with.
const CALM: &str = "delivery-scope/everybody";
const FAULTY: &str = "resilience/zone-cut-off";

#[track_caller]
fn kill_when(phase: &str, arguments: &[&str], is: impl Fn(&Value) -> bool) {
    for time in 1..=TIMES {
        let place = Place::new();
        let before = Baseline::take(&place.folders);
        let mut running = place.start(arguments);
        running.wait_for(phase, &is);
        let footprint = running.kill();
        before.is_restored(
            &place.folders,
            &footprint,
            &format!("after kill -9 in phase {phase}, time {time}"),
        );
    }
}

#[test]
fn in_the_asset_build() {
    for time in 1..=TIMES {
        let cache = tempfile::tempdir().expect("a temporary folder can be made");
        let place = Place::new().with_cache(cache.path().join("cache"));
        let before = Baseline::take(&place.folders);
        let mut running = place.start(&["run", CALM]);
        running.wait_for("assets", phase_started("assets"));
        running.wait_for("progress of an asset", |event| {
            event["type"] == "phaseProgress"
        });
        let footprint = running.kill();
        before.is_restored(
            &place.folders,
            &footprint,
            &format!("after kill -9 in the asset build, time {time}"),
        );
    }
}

#[test]
fn in_boot() {
    kill_when("cluster", &["run", CALM], phase_started("cluster"));
}

#[test]
fn in_deployment() {
    kill_when("mesh", &["run", CALM], phase_started("mesh"));
}

#[test]
fn in_a_scenario() {
    kill_when("a scenario", &["run", CALM], scenario_event("written"));
}

#[test]
fn in_a_fault() {
    kill_when("a fault", &["run", FAULTY], scenario_event("faultStarted"));
}

#[test]
fn in_teardown() {
    kill_when("teardown", &["run", CALM], phase_started("teardown"));
}
