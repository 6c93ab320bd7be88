//! How events become lanes, segments and marks.

use super::*;
use harness_model::configuration::{Configuration, ScopeEntry};
use harness_model::directory::Sidecar;

fn reading(at_ns: u64, sidecar: &str, toggle: Option<&str>) -> Event {
    Event {
        at_ns,
        step: None,
        kind: EventKind::Observed(Box::new(Observation {
            sidecar: sidecar.to_owned(),
            pod_uid: "1".to_owned(),
            toggles: toggle
                .map(|v| BTreeMap::from([("t".to_owned(), v.to_owned())]))
                .unwrap_or_default(),
            ..Observation::default()
        })),
    }
}

/// The sidecar `a` of [`reading`] is gone.
pub(super) fn gone(at_ns: u64) -> Event {
    Event {
        at_ns,
        step: None,
        kind: EventKind::SidecarLeft {
            sidecar: "a".to_owned(),
            pod_uid: "1".to_owned(),
        },
    }
}

/// The timeline of a history that has no more events than these.
pub(super) fn whole(events: &[Event]) -> Timeline {
    let mut timeline = Timeline::default();
    for event in events {
        timeline.on(event);
    }
    timeline.finish();
    timeline
}

#[test]
fn equal_readings_are_one_segment_and_a_change_begins_the_next() {
    let timeline = whole(&[
        reading(1, "a", None),
        reading(2, "a", None),
        reading(5, "a", Some("on")),
        reading(9, "a", Some("on")),
    ]);
    let spans: Vec<_> = timeline.lanes["a"]
        .segments
        .iter()
        .map(|s| (s.from_ns, s.to_ns, timeline.contents[s.content].as_str()))
        .collect();
    assert_eq!(spans, [(1, 5, ""), (5, 9, "t = on")]);
}

#[test]
fn nobody_knows_what_a_gone_sidecar_shows() {
    let timeline = whole(&[
        reading(1, "a", Some("on")),
        gone(4),
        reading(8, "a", Some("on")),
        reading(10, "a", Some("on")),
    ]);
    let spans: Vec<_> = timeline.lanes["a"]
        .segments
        .iter()
        .map(|s| (s.from_ns, s.to_ns))
        .collect();
    assert_eq!(spans, [(1, 4), (8, 10)]);
}

/// A write of `callers` for these, from its start to its end.
fn written(at_ns: u64, entries: Vec<ScopeEntry>) -> [Event; 2] {
    let name = "callers".to_owned();
    let configuration = Configuration {
        name: name.clone(),
        scope: Scope {
            entries,
            except: vec![],
        },
        priority: 0,
        toggles: BTreeMap::new(),
        rules: BTreeMap::new(),
        tls: None,
    };
    let started = EventKind::WriteStarted {
        configuration: Some(configuration),
        name: name.clone(),
    };
    let ended = EventKind::Written {
        name,
        objects: BTreeMap::new(),
    };
    [started, ended].map(|kind| Event {
        at_ns,
        step: None,
        kind,
    })
}

#[test]
fn a_write_that_the_canaries_get_too_says_so() {
    let of = |application: &str| ScopeEntry {
        application: Some(application.to_owned()),
        ..ScopeEntry::default()
    };
    let at = |ip: &str| ScopeEntry {
        ip: Some(ip.to_owned()),
        ..ScopeEntry::default()
    };
    let mut timeline = Timeline::default();
    timeline.on(&Event {
        at_ns: 1,
        step: None,
        kind: EventKind::SidecarJoined {
            sidecar: Sidecar {
                name: "canary@zone-a".to_owned(),
                pod: "canary-1".to_owned(),
                pod_uid: "1".to_owned(),
                cluster: "main".to_owned(),
                data_center: "zone-a".to_owned(),
                node: "zone-a-1".to_owned(),
                application: CANARY_APPLICATION.to_owned(),
                ip: "10.1.2.3".to_owned(),
                identity: None,
            },
        },
    });
    let scopes = [
        vec![of("frontend"), of(CANARY_APPLICATION)],
        vec![of("frontend"), at("10.1.2.3/32")],
        vec![of("frontend"), at("10.1.2.4/32")],
        vec![of("frontend")],
    ];
    for event in scopes.into_iter().flat_map(|scope| written(2, scope)) {
        timeline.on(&event);
    }
    let told: Vec<bool> = timeline
        .marks
        .iter()
        .map(|mark| matches!(mark.kind, MarkKind::Write { to_canaries, .. } if to_canaries))
        .collect();
    assert_eq!(told, [true, true, false, false]);
}
