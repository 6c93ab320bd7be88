//! A run built by hand with every outcome in it: what all reporters are tested on.
//!
//! Two scenarios pass, one fails (a sidecar outside the scope shows the toggle), one is inconclusive during a
//! fault, after which a sidecar is waited for in vain, one is skipped. How busy the machine was is known of all but
//! one that passed; it was busy beside those that did not.

mod catalogue;
mod moments;
mod used;

pub use catalogue::scenarios;
pub use used::usage;

use crate::Reporter as _;
use crate::record::{Context, RunRecord};
use harness_model::directory::Sidecar;
use harness_model::duration::Span;
use harness_model::fault::Fault;
use harness_model::history::{Answerer, EventKind, RequestSeen};
use harness_model::machine::MachineLoad;
use harness_model::patience::Whose;
use harness_model::run_event::{RunEvent, Summary};
use harness_model::verdict::{Detail, Finding, Verdict};
use moments::{
    everybody_joins, finished, machine, marker, passed, reading, seen, started, waited_in_vain,
    write,
};
use std::collections::BTreeMap;

const ZONES: [&str; 3] = ["zone-a", "zone-b", "zone-c"];
const APPLICATIONS: [&str; 3] = ["checkout", "frontend", "inventory"];

/// Name of the scenario that fails.
pub const FAILING: &str = "delivery-scope/data-center";

/// The environment's sidecars: three applications in three zones.
#[must_use]
pub fn sidecars() -> Vec<Sidecar> {
    let mut all = Vec::new();
    for application in APPLICATIONS {
        for (index, zone) in ZONES.iter().enumerate() {
            all.push(Sidecar {
                name: format!("{application}@{zone}"),
                pod: format!("{application}-{zone}-5d8f7"),
                pod_uid: format!("uid-{application}-{zone}"),
                cluster: "main".to_owned(),
                data_center: (*zone).to_owned(),
                node: format!("{zone}-1"),
                application: application.to_owned(),
                ip: format!("10.{}.1.2", 101 + index),
                identity: None,
            });
        }
    }
    all
}

/// The events of the run, in order.
#[must_use]
pub fn events() -> Vec<RunEvent> {
    let mut events = vec![
        RunEvent::RunStarted {
            run: "2026-11-23t14-05-00z-ab12".to_owned(),
            at: "2026-11-23T14:05:00Z".to_owned(),
            seed: 42,
            environment: BTreeMap::from([
                ("cluster".to_owned(), "local".to_owned()),
                ("kubernetes".to_owned(), "v1.36.3".to_owned()),
                ("mesh".to_owned(), "reference".to_owned()),
                ("topology".to_owned(), "three-zones".to_owned()),
            ]),
            selected: 5,
        },
        RunEvent::PhaseStarted {
            phase: "cluster".to_owned(),
        },
        RunEvent::PhaseProgress {
            phase: "cluster".to_owned(),
            message: "kube-apiserver is ready".to_owned(),
        },
        RunEvent::PhaseFinished {
            phase: "cluster".to_owned(),
            millis: 2412,
        },
        RunEvent::EnvironmentReady {
            sidecars: sidecars(),
            candidates: BTreeMap::new(),
            before: BTreeMap::new(),
            millis: 5310,
        },
    ];
    let quiet = Some(machine(35, 1.4));
    events.extend(passing(
        "delivery-scope/everybody",
        1_000_000_000,
        402,
        36,
        quiet,
    ));
    events.extend(failing());
    events.extend(passing(
        "routing/both-sidecars",
        4_000_000_000,
        388,
        12,
        None,
    ));
    events.extend(inconclusive());
    events.push(RunEvent::ScenarioSkipped {
        scenario: "routing/own-zone".to_owned(),
        repetition: 1,
        reason: "needs at least three zones, the environment has two".to_owned(),
    });
    events.push(RunEvent::Used { usage: usage() });
    events.push(RunEvent::RunFinished {
        summary: Summary {
            passed: 2,
            failed: 1,
            inconclusive: 1,
            skipped: 1,
            millis: 14_870,
            ..Summary::default()
        },
    });
    events
}

/// The record of the whole run.
///
/// # Panics
///
/// Never: a record takes every event.
#[must_use]
pub fn record() -> RunRecord {
    let mut record = RunRecord::new(context());
    for event in events() {
        record.on(&event).expect("a record takes every event");
    }
    record
}

/// What the events do not tell.
#[must_use]
pub fn context() -> Context {
    Context {
        scenarios: scenarios()
            .into_iter()
            .map(|s| (s.name.clone(), s))
            .collect(),
        selection: Vec::new(),
        options: vec!["--topology".to_owned(), "three-zones".to_owned()],
        files: BTreeMap::new(),
        artifacts: Some("artifacts/2026-11-23t14-05-00z-ab12".into()),
        collects: true,
        program: "meshproof".to_owned(),
        ..Context::default()
    }
}

fn passing(
    name: &str,
    start: u64,
    millis: u64,
    observations: u64,
    machine: Option<MachineLoad>,
) -> Vec<RunEvent> {
    let mut events = vec![started(name)];
    events.extend(everybody_joins(name, start));
    events.push(write(name, start + 60_000_000, 0));
    for (index, sidecar) in sidecars().iter().enumerate() {
        let at = start + 90_000_000 + index as u64 * 7_000_000;
        events.push(seen(
            name,
            at,
            Some(0),
            reading(&sidecar.name, Some("on"), "control-plane-0"),
        ));
    }
    events.push(marker(name, start + 220_000_000, 0));
    events.push(seen(
        name,
        start + millis * 1_000_000,
        None,
        EventKind::Finished,
    ));
    let findings = vec![
        passed("delivered", observations),
        passed("confined", observations / 2),
    ];
    events.push(finished(name, findings, Vec::new(), millis, machine));
    events
}

fn failing() -> Vec<RunEvent> {
    let start = 2_000_000_000;
    let mut events = vec![started(FAILING)];
    events.extend(everybody_joins(FAILING, start));
    for (step, value) in [Some("on"), Some("off"), None].into_iter().enumerate() {
        let at = start + 80_000_000 + step as u64 * 500_000_000;
        events.push(write(FAILING, at, step));
        for (index, sidecar) in sidecars()
            .iter()
            .filter(|s| s.data_center == "zone-a")
            .enumerate()
        {
            let at = at + 30_000_000 + index as u64 * 9_000_000;
            events.push(seen(
                FAILING,
                at,
                Some(step),
                reading(&sidecar.name, value, "control-plane-0"),
            ));
        }
        events.push(marker(FAILING, at + 120_000_000, step));
        if step == 1 {
            events.push(seen(
                FAILING,
                at + 210_000_000,
                Some(step),
                reading("inventory@zone-c", Some("off"), "control-plane-1"),
            ));
        }
    }
    events.push(seen(
        FAILING,
        start + 1_523_000_000,
        None,
        EventKind::Finished,
    ));
    let leak = Finding {
        checker: "confined".to_owned(),
        expectation: None,
        verdict: Verdict::Failed,
        observations: 54,
        details: vec![Detail {
            sidecar: Some("inventory@zone-c".to_owned()),
            step: Some(1),
            expected: "no toggle banner, no rule reroute".to_owned(),
            observed: "toggle banner = off since 0.790 s on control-plane-1, still at the end"
                .to_owned(),
            event: Some(31),
        }],
    };
    let findings = vec![passed("delivered", 27), leak];
    let busy = Some(machine(97, 31.2));
    events.push(finished(FAILING, findings, Vec::new(), 1523, busy));
    events
}

fn inconclusive() -> Vec<RunEvent> {
    let name = "resilience/zone-outage";
    let start = 6_000_000_000;
    let mut events = vec![started(name)];
    events.extend(everybody_joins(name, start));
    let hit: Vec<String> = sidecars()
        .iter()
        .filter(|s| s.data_center == "zone-b")
        .map(|s| s.name.clone())
        .collect();
    let injected = start + 800_000_000;
    let healed = injected + 3_000_000_000;
    events.push(seen(
        name,
        injected,
        Some(1),
        EventKind::FaultStarted {
            fault: 0,
            spec: Fault::ZoneOutage {
                data_center: "zone-b".to_owned(),
                duration: Span::secs(3),
                without: None,
            },
            hits: hit,
            efficacy: "5 of 5 connections into zone-b timed out".to_owned(),
            left: Some(Span::secs(3)),
        },
    ));
    for sequence in 0..90_u64 {
        let due_ns = start + 200_000_000 + sequence * 50_000_000;
        let lost = due_ns > injected && due_ns < injected + 900_000_000;
        events.push(seen(
            name,
            due_ns + 4_000_000,
            Some(if due_ns > injected { 1 } else { 0 }),
            EventKind::Request(Box::new(RequestSeen {
                traffic: "steady".to_owned(),
                sequence,
                from: "frontend@zone-b".to_owned(),
                due_ns,
                latency_us: 3900,
                protocol: None,
                connection: None,
                status: Some(if lost { 503 } else { 200 }),
                failure: lost.then(|| "no healthy upstream".to_owned()),
                answered_by: (!lost).then(|| Answerer {
                    pod: "checkout-zone-b-5d8f7".to_owned(),
                    application: "checkout".to_owned(),
                    data_center: "zone-b".to_owned(),
                }),
                passed_caller_sidecar: true,
                passed_callee_sidecar: !lost,
                arrived: None,
                cause: None,
            })),
        ));
    }
    events.push(seen(
        name,
        healed,
        Some(2),
        EventKind::FaultEnded { fault: 0 },
    ));
    events.push(seen(
        name,
        injected + 700_000_000,
        Some(1),
        EventKind::ObservationFailed {
            sidecar: "checkout@zone-b".to_owned(),
            reason: "probe did not answer in 5s".to_owned(),
        },
    ));
    events.push(seen(
        name,
        healed + 700_000_000,
        Some(2),
        EventKind::GaveUp {
            waited_for: "every sidecar to have its control plane again; missing: checkout@zone-b"
                .to_owned(),
            whose: Whose::Mesh,
        },
    ));
    events.push(seen(name, healed + 800_000_000, None, EventKind::Finished));
    let findings = vec![
        passed("fails-over", 42),
        Finding {
            checker: "unchanged".to_owned(),
            expectation: None,
            verdict: Verdict::Inconclusive,
            observations: 0,
            details: vec![Detail {
                sidecar: Some("checkout@zone-b".to_owned()),
                step: Some(1),
                expected: "at least one reading while the fault lasted".to_owned(),
                observed: "none: probe did not answer in 5s".to_owned(),
                event: None,
            }],
        },
    ];
    let busy = Some(machine(97, 31.2));
    let in_vain = waited_in_vain(name, &events);
    events.push(finished(name, findings, in_vain, 4604, busy));
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_the_run_is_in_the_catalogue() {
        let names: Vec<String> = scenarios().into_iter().map(|s| s.name).collect();
        for event in events() {
            if let RunEvent::ScenarioStarted { scenario, .. } = event {
                assert!(names.contains(&scenario), "{scenario}");
            }
        }
    }
}
