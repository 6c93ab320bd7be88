//! `confined` over reconnections: a proof on each replica, on the new stream.

use super::histories::apply;
use super::histories::confined;
use super::histories::inside;
use super::histories::reconnected;
use super::histories::who;
use crate::history::EventKind;
use crate::scenario::Act;
use crate::scenario::CANARY_APPLICATION;
use crate::testing::Recorder;
use crate::testing::shows;
use crate::verdict::Finding;
use crate::verdict::Verdict;

fn over_reconnect(recorder: &Recorder) -> Finding {
    confined(vec![apply("v1"), Act::Reconnect], recorder)
}

#[test]
fn a_reconnect_is_proven_on_every_replica() {
    let found = over_reconnect(&reconnected(&["a", "b"], |_, _| {}));
    // Three at the first step and at the end, two on two replicas, and the canary once.
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 11),
        "{found:#?}"
    );

    let unproven = over_reconnect(&reconnected(&["a", "b"], |replica, seen| {
        if replica == "b" && seen.sidecar == "checkout@zone2" {
            seen.marker_rule = None;
        }
    }));
    assert_eq!(unproven.verdict, Verdict::Inconclusive);
    assert_eq!(unproven.details.len(), 1);
    assert_eq!(
        unproven.details[0].expected,
        "a proof of absence at step 1 (every sidecar dials each control-plane replica in turn) on replica b"
    );

    let leak = over_reconnect(&reconnected(&["a", "b"], |replica, seen| {
        if replica == "b" {
            seen.toggles = shows(&inside(), "b", "v1", "").toggles;
        }
    }));
    assert_eq!(leak.verdict, Verdict::Failed);
    assert_eq!(who(&leak)[0], "checkout@zone2");
}

#[test]
fn a_reconnect_to_nowhere_proves_nothing() {
    let found = over_reconnect(&reconnected(&[], |_, _| {}));
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(
        found
            .details
            .iter()
            .any(|d| d.expected.ends_with("on replica ?")),
        "{found:#?}"
    );
}

#[test]
fn a_replica_of_another_cluster_is_not_demanded() {
    let mut recorder = reconnected(&["a", "b"], |_, _| {});
    for event in &mut recorder.events {
        if let EventKind::SidecarJoined { sidecar } = &mut event.kind
            && sidecar.application == CANARY_APPLICATION
        {
            sidecar.cluster = "elsewhere".to_owned();
        }
        if let EventKind::Observed(seen) = &mut event.kind
            && seen.sidecar.starts_with(CANARY_APPLICATION)
        {
            seen.stream.replica = Some("c".to_owned());
        }
    }
    // One of that cluster is sent to a replica there, in the same step.
    let step = recorder.events.iter().position(|e| e.step == Some(1));
    let at = step.expect("there is a second step") + 1;
    let mut sent = recorder.events[at].clone();
    sent.kind = EventKind::Reconnected {
        sidecar: "canary@zone3".to_owned(),
        replica: Some("d".to_owned()),
        epoch: 2,
    };
    recorder.events.insert(at, sent);
    let found = over_reconnect(&recorder);
    let demanded: Vec<&str> = found
        .details
        .iter()
        .filter_map(|detail| detail.expected.split_once("on replica "))
        .map(|(_, replica)| replica)
        .collect();
    assert!(demanded.is_empty(), "{demanded:?}: {found:#?}");
}

#[test]
fn a_proof_on_the_stream_that_was_there_before_does_not_count() {
    let found = over_reconnect(&reconnected(&["a"], |_, seen| {
        if seen.sidecar == "checkout@zone2" {
            seen.stream.epoch = 1;
        }
    }));
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
    assert_eq!(who(&found), ["checkout@zone2"]);
    assert!(found.details[0].observed.contains("(c)"), "{found:#?}");
}

#[test]
fn a_proof_before_the_reconnect_does_not_count() {
    let mut recorder = reconnected(&["a"], |_, _| {});
    let at = recorder.events.iter().position(
        |e| matches!(&e.kind, EventKind::Reconnected { sidecar, .. } if sidecar == "checkout@zone2"),
    );
    let event = recorder.events.remove(at.expect("it was told to"));
    let missing = over_reconnect(&recorder);
    assert_eq!(missing.verdict, Verdict::Inconclusive);
    assert_eq!(who(&missing), ["checkout@zone2"]);
    let finished = recorder
        .events
        .iter()
        .position(|e| e.kind == EventKind::Finished);
    recorder.events.insert(finished.expect("it ended"), event);
    let found = over_reconnect(&recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(who(&found), ["checkout@zone2"]);
    assert!(
        found.details[0].observed.starts_with("(b) no marker"),
        "{found:#?}"
    );
}

#[test]
fn a_replica_that_only_shows_up_in_readings_is_demanded_too() {
    let mut recorder = reconnected(&["a"], |_, _| {});
    for event in &mut recorder.events {
        if let EventKind::Observed(seen) = &mut event.kind
            && event.step == Some(1)
            && seen.sidecar.starts_with("canary")
        {
            seen.stream.replica = Some("b".to_owned());
        }
    }
    let found = over_reconnect(&recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(
        found
            .details
            .iter()
            .any(|d| d.expected.ends_with("on replica b")),
        "{found:#?}"
    );
}

#[test]
fn a_replica_that_was_dialled_and_never_seen_is_demanded() {
    let mut recorder = reconnected(&["a", "b"], |_, _| {});
    for event in &mut recorder.events {
        if let EventKind::Observed(seen) = &mut event.kind
            && event.step == Some(1)
        {
            seen.stream.replica = Some("a".to_owned());
        }
    }
    let found = over_reconnect(&recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(
        found.details[0].expected,
        "a proof of absence at step 1 (every sidecar dials each control-plane replica in turn) on replica b",
        "{found:#?}"
    );
}
