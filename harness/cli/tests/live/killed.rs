//! `kill -9` of the harness in each phase, and of the cluster under it: the kernel must end everything, and nothing may stay.

use crate::baseline::Baseline;
use crate::meshproof::{Place, phase_started, scenario_event};
use serde_json::Value;

/// How often the asset build is hit; where in it differs from time to time by itself.
const TIMES: usize = 3;

/// A short scenario without a fault and one with.
const CALM: &str = "delivery-scope/everybody";
const FAULTY: &str = "resilience/zone-cut-off";

/// Kills a run once for each of `later`: so many events after the one that `is` the beginning of a phase.
#[track_caller]
fn kill_when(phase: &str, later: &[usize], arguments: &[&str], is: impl Fn(&Value) -> bool) {
    for &later in later {
        let place = Place::new();
        let before = Baseline::take(&place.folders);
        let mut running = place.start(arguments);
        running.wait_for(phase, &is);
        for _ in 0..later {
            running.wait_for("what comes next", |_| true);
        }
        let footprint = running.kill();
        before.is_restored(
            &place.folders,
            &footprint,
            &format!("after kill -9 in phase {phase}, {later} events later"),
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
    kill_when(
        "cluster",
        &[0, 1, 3],
        &["run", CALM],
        phase_started("cluster"),
    );
}

#[test]
fn in_deployment() {
    kill_when("mesh", &[0, 0, 1], &["run", CALM], phase_started("mesh"));
}

#[test]
fn in_a_scenario() {
    kill_when(
        "a scenario",
        &[0, 3, 9],
        &["run", CALM],
        scenario_event("written"),
    );
}

#[test]
fn in_a_fault() {
    kill_when(
        "a fault",
        &[0, 3, 9],
        &["run", FAULTY],
        scenario_event("faultStarted"),
    );
}

#[test]
fn in_teardown() {
    kill_when(
        "teardown",
        &[0, 0, 0],
        &["run", CALM],
        phase_started("teardown"),
    );
}

/// The fabric that this process has started: its only child that runs under that name.
fn fabric_of(process: u32) -> u32 {
    let children = format!("/proc/{process}/task");
    let threads = std::fs::read_dir(children).expect("the process is there");
    let mut fabrics = threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|children| {
            let pids: Vec<u32> = children
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect();
            pids
        })
        .filter(|pid| {
            let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            arguments.is_ok_and(|arguments| arguments.contains("__fabric"))
        });
    let fabric = fabrics.next().expect("a run has a fabric");
    assert_eq!(fabrics.next(), None, "and no other");
    fabric
}

#[test]
fn the_fabric_under_a_run() {
    let place = Place::new();
    let before = Baseline::take(&place.folders);
    let mut running = place.start(&["run", CALM, FAULTY]);
    running.wait_for("a scenario", |event| event["type"] == "scenarioStarted");
    let said = place
        .command(&["cluster", "list", "-o", "json"])
        .output()
        .expect("the built binary starts");
    let listed: Value = serde_json::from_slice(&said.stdout).expect("it is JSON");
    assert_eq!(listed[0]["inUse"], true, "{listed}");
    let name = listed[0]["name"].as_str().expect("it has a name");
    let refused = place
        .command(&["cluster", "down", name])
        .output()
        .expect("the built binary starts");
    let words = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{words}");
    assert!(words.contains("a run uses it"), "{words}");

    let footprint = running.footprint();
    // A grandchild of this test: the run is ours, and so is what it started.
    let fabric = fabric_of(running.id()).to_string();
    let killed = std::process::Command::new("kill")
        .args(["-9", &fabric])
        .status();
    assert!(killed.expect("`kill` starts").success());
    let (status, _, words) = running.finish();
    assert_eq!(status.code(), Some(3), "{words}");
    assert!(words.contains("has ended (signal: 9"), "{words}");
    before.is_restored(&place.folders, &footprint, "after the fabric was killed");
}
