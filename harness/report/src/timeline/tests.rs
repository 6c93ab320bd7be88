//! How events become lanes, segments and marks.

use super::*;
use harness_model::configuration::{Configuration, ScopeEntry};
use harness_model::directory::Sidecar;
use harness_model::history::{Answerer, RefusalCause};

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

/// A request of the sidecar `a`, which was refused for this cause; without one it was reset.
fn request(at_s: u64, traffic: &str, cause: Option<RefusalCause>) -> RequestSeen {
    RequestSeen {
        traffic: traffic.to_owned(),
        sequence: at_s,
        from: "a".to_owned(),
        due_ns: at_s * 1_000_000_000,
        latency_us: 4000,
        protocol: None,
        connection: None,
        status: cause.map(|_| 403),
        failure: None,
        answered_by: None,
        passed_caller_sidecar: true,
        passed_callee_sidecar: true,
        arrived: None,
        cause,
    }
}

/// Requests to be refused since their caller may not call, and what became of them: two were refused for that and one for something
/// else, one was reset and one answered; and one that was refused for that, and that nobody wants to be refused.
fn requests() -> Vec<Event> {
    let not_allowed = Some(RefusalCause::NotAllowed);
    let again = RequestSeen {
        sequence: 2,
        ..request(1, "denied", not_allowed)
    };
    let answered = RequestSeen {
        status: Some(200),
        answered_by: Some(Answerer {
            pod: "b-1".to_owned(),
            application: "b".to_owned(),
            data_center: "zone-a".to_owned(),
        }),
        ..request(3, "denied", not_allowed)
    };
    let all = [
        request(1, "denied", not_allowed),
        again,
        answered,
        request(5, "denied", Some(RefusalCause::Timeout)),
        request(6, "denied", None),
        request(7, "other", not_allowed),
    ];
    all.into_iter()
        .map(|request| Event {
            at_ns: request.done_ns(),
            step: Some(0),
            kind: EventKind::Request(Box::new(request)),
        })
        .collect()
}

/// The timeline of [`requests`] in a scenario that wants those of `denied` to be refused.
pub(crate) fn refusals() -> Timeline {
    let mut scenario = crate::fixture::scenarios().remove(0);
    scenario.then.push(Expectation::Refused {
        traffic: "denied".to_owned(),
        because: RefusalCause::NotAllowed,
    });
    let mut timeline = Timeline::of(&scenario);
    for event in requests() {
        timeline.on(&event);
    }
    timeline.finish();
    timeline
}

/// Refused and lost, of the traffic with this name.
fn unanswered(timeline: &Timeline, traffic: &str) -> (u64, u64) {
    let sum = &timeline.traffic[traffic];
    (sum.refused, sum.lost)
}

#[test]
fn a_request_is_refused_as_wanted_where_the_scenario_wants_it_and_for_its_cause_alone() {
    let second = 1_000_000_000;
    let timeline = refusals();
    assert_eq!(unanswered(&timeline, "denied"), (2, 2));
    assert_eq!(unanswered(&timeline, "other"), (0, 1));
    assert_eq!(timeline.traffic["denied"].sent, 5);
    assert_eq!(timeline.traffic["denied"].latencies_us.len(), 1);
    let lane = &timeline.lanes["a"];
    assert_eq!(lane.refusals, [second, second]);
    assert_eq!(lane.losses, [5 * second, 6 * second, 7 * second]);
}

#[test]
fn where_nobody_knows_what_is_wanted_all_that_was_not_answered_is_lost() {
    let timeline = whole(&requests());
    assert_eq!(unanswered(&timeline, "denied"), (0, 4));
    assert!(timeline.lanes["a"].refusals.is_empty());
}
