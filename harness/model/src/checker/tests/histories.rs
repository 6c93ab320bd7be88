//! The histories that the tests of configuration checkers begin with.

use crate::checker::judge;
use crate::configuration::Configuration;
use crate::directory::Sidecar;
use crate::duration::Span;
use crate::expectation::Expectation;
use crate::history::{DeliveryStatus, EventKind, Observation};
use crate::patience::Patience;
use crate::scenario::{Act, Given, Scenario};
use crate::testing::{Recorder, configuration, entry_zone, scenario, shows, sidecar};
use crate::verdict::{Finding, Verdict};

pub(super) fn inside() -> Sidecar {
    sidecar("checkout", 1, 2)
}

pub(super) fn outside() -> Sidecar {
    sidecar("checkout", 2, 2)
}

/// Both, the first of which zone 1 is the scope of.
pub(super) fn both() -> [Sidecar; 2] {
    [inside(), outside()]
}

/// A pod that comes to be in zone 1 beside the one that is there.
pub(super) fn newcomer() -> Sidecar {
    Sidecar {
        name: "checkout@zone1#2".to_owned(),
        pod_uid: "new".to_owned(),
        ..inside()
    }
}

/// The act that has it join.
pub(super) fn join() -> Act {
    Act::Join {
        application: "checkout".to_owned(),
        data_center: "zone1".to_owned(),
    }
}

pub(super) fn version(value: &str) -> Configuration {
    configuration("scoped", vec![entry_zone("zone1")], value)
}

pub(super) fn apply(value: &str) -> Act {
    Act::Apply(version(value))
}

pub(super) fn delete() -> Act {
    Act::Delete("scoped".to_owned())
}

pub(super) fn expecting(when: Vec<Act>, then: Vec<Expectation>) -> Scenario {
    Scenario {
        then,
        ..scenario(when)
    }
}

pub(super) fn findings(scenario: &Scenario, recorder: &Recorder) -> Vec<Finding> {
    let judgement = judge(scenario, &recorder.events, &Patience::default());
    let worst = judgement.findings.iter().map(|f| f.verdict).max();
    assert_eq!(Some(judgement.verdict), worst);
    for finding in &judgement.findings {
        if finding.verdict == Verdict::Passed {
            assert!(
                finding.observations > 0 && finding.details.is_empty(),
                "{finding:?}"
            );
        } else {
            assert!(!finding.details.is_empty(), "{finding:?}");
        }
    }
    judgement.findings
}

pub(super) fn one(when: Vec<Act>, then: Expectation, recorder: &Recorder) -> Finding {
    findings(&expecting(when, vec![then]), recorder).remove(0)
}

pub(super) fn delivered(when: Vec<Act>, recorder: &Recorder) -> Finding {
    one(when, Expectation::Delivered, recorder)
}

pub(super) fn confined(when: Vec<Act>, recorder: &Recorder) -> Finding {
    one(when, Expectation::Confined, recorder)
}

pub(super) fn who(finding: &Finding) -> Vec<&str> {
    finding
        .details
        .iter()
        .filter_map(|d| d.sidecar.as_deref())
        .collect()
}

/// What the two sidecars show when only the first holds `value`.
pub(super) fn right(recorder: &mut Recorder, value: &str, marker: &str) {
    recorder.observe(shows(&inside(), "a", value, marker));
    recorder.observe(shows(&outside(), "a", "", marker));
}

/// A settled and proven step.
pub(super) fn settled(recorder: &mut Recorder, value: &str, marker: &str) {
    right(recorder, value, "");
    recorder.marker(marker);
    right(recorder, value, marker);
}

/// The end: everything read once more with a fresh marker.
pub(super) fn ended(recorder: &mut Recorder, value: &str) {
    recorder.finished();
    recorder.marker("end");
    right(recorder, value, "end");
}

/// One apply of `v1`, settled, proven and ended.
pub(super) fn applied() -> Recorder {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    ended(&mut recorder, "v1");
    recorder
}

/// The same, with every reading changed by `change`.
pub(super) fn applied_but(change: impl Fn(usize, &mut Observation)) -> Recorder {
    let mut recorder = applied();
    let mut number = 0;
    for event in &mut recorder.events {
        if let EventKind::Observed(seen) = &mut event.kind {
            change(number, seen);
            number += 1;
        }
    }
    recorder
}

pub(super) fn given_scenario(then: Expectation) -> Scenario {
    Scenario {
        given: Given {
            configurations: vec![version("v1")],
        },
        ..expecting(vec![Act::Hold(Span::secs(1))], vec![then])
    }
}

/// Given `v1`, then a hold of a second with a marker `after_ms` after its beginning.
pub(super) fn held(after_ms: u64) -> Recorder {
    let mut recorder = Recorder::new(&both());
    recorder.write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.step(0).wait(after_ms - 1).marker("m1");
    right(&mut recorder, "v1", "m1");
    ended(&mut recorder, "v1");
    recorder
}

/// Both sidecars go to each of the replicas; `change` spoils readings by replica and sidecar.
pub(super) fn reconnected(replicas: &[&str], change: impl Fn(&str, &mut Observation)) -> Recorder {
    let canary = sidecar("canary", 3, 9);
    let mut recorder = Recorder::new(&[inside(), outside(), canary.clone()]);
    recorder.step(0).write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.observe(shows(&canary, "a", "", "m0"));
    recorder.step(1);
    for (epoch, replica) in (2..).zip(replicas) {
        recorder.reconnected("checkout@zone1", replica, epoch);
        recorder.reconnected("checkout@zone2", replica, epoch);
        let read = |recorder: &mut Recorder, marker: &str| {
            for (sidecar, value) in [(inside(), "v1"), (outside(), "")] {
                let mut seen = shows(&sidecar, replica, value, marker);
                seen.stream.epoch = epoch;
                change(replica, &mut seen);
                recorder.observe(seen);
            }
        };
        read(&mut recorder, "");
        let marker = format!("m-{replica}");
        recorder.marker(&marker);
        read(&mut recorder, &marker);
        if *replica == "a" {
            recorder.observe(shows(&canary, "a", "", &marker));
        }
    }
    recorder.finished().marker("end");
    let last = replicas.last().copied().unwrap_or("a");
    recorder.observe(shows(&inside(), last, "v1", "end"));
    recorder.observe(shows(&outside(), last, "", "end"));
    recorder.observe(shows(&canary, last, "", "end"));
    recorder
}

pub(super) fn status(
    matched: u64,
    delivered: u64,
    acknowledged: u64,
    rejected: &[(&str, &str)],
) -> DeliveryStatus {
    DeliveryStatus {
        observed_generation: 1,
        generation: 1,
        matched,
        delivered,
        acknowledged,
        rejected: rejected
            .iter()
            .map(|(p, w)| ((*p).to_owned(), (*w).to_owned()))
            .collect(),
    }
}
