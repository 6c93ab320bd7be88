//! What a status counts, and for whom.

use super::*;
use crate::acknowledgements::PolicyStanding;
use mesh_api::{PolicyConfigSpec, ScopeConfigSpec, ScopeEntry};

fn now() -> Time {
    Time("2026-01-01T00:00:00Z".parse().expect("a time"))
}

fn later() -> Time {
    Time("2026-01-01T00:01:00Z".parse().expect("a time"))
}

fn world() -> World {
    let sidecar = |name: &str, zone: &str| {
        let sidecar = Sidecar {
            pod: name.into(),
            uid: format!("uid-{name}"),
            data_center: zone.into(),
            ..Sidecar::default()
        };
        (sidecar.uid.clone(), Arc::new(sidecar))
    };
    let scope = Scope {
        name: "east".into(),
        uid: "east".into(),
        generation: 1,
        spec: ScopeConfigSpec {
            entries: vec![ScopeEntry {
                data_center: Some("east".into()),
                ..ScopeEntry::default()
            }],
            except: vec![],
        },
    };
    World {
        sidecars: [
            sidecar("a", "east"),
            sidecar("b", "east"),
            sidecar("c", "west"),
        ]
        .into(),
        scopes: [("east".to_owned(), Arc::new(scope))].into(),
        ..World::default()
    }
}

fn policy(scope: &str, generation: i64) -> Policy {
    Policy {
        name: "p".into(),
        uid: "policy".into(),
        generation,
        spec: PolicyConfigSpec {
            scope_ref: scope.into(),
            ..PolicyConfigSpec::default()
        },
        ..Policy::default()
    }
}

fn recipient(pod: &str, since: i64, generation: i64, state: State) -> RecipientReport {
    let standing = PolicyStanding {
        uid: "policy".into(),
        generation,
        state,
    };
    RecipientReport {
        pod: pod.into(),
        uid: format!("uid-{pod}"),
        since,
        policies: [("p".to_owned(), standing)].into(),
    }
}

fn report(recipients: Vec<RecipientReport>) -> Report {
    Report {
        revision: 1,
        recipients,
    }
}

#[test]
fn counts_are_of_this_generation_and_of_those_in_scope() {
    let here = report(vec![
        recipient("a", 1, 2, State::Acknowledged),
        recipient("c", 1, 2, State::Acknowledged),
    ]);
    let there = report(vec![recipient("b", 1, 1, State::Acknowledged)]);
    let status = of_policy(
        &world(),
        &policy("east", 2),
        &newest([&here, &there]),
        None,
        &now(),
    );
    assert_eq!(
        (status.matched, status.delivered, status.acknowledged),
        (2, 1, 1)
    );
    assert_eq!(status.observed_generation, 2);
    assert_eq!(status.conditions[1].reason, "Pending");
}

#[test]
fn a_rejection_is_repeated_in_the_sidecars_words() {
    let rejected = State::Rejected {
        kind: "RDS".into(),
        message: "bad regex".into(),
    };
    let here = report(vec![
        recipient("a", 1, 1, rejected),
        recipient("b", 1, 1, State::Acknowledged),
    ]);
    let status = of_policy(&world(), &policy("east", 1), &newest([&here]), None, &now());
    assert_eq!(
        status.rejected,
        vec![Rejection {
            pod: "a".into(),
            kind: "RDS".into(),
            message: "bad regex".into()
        }]
    );
    assert_eq!((status.delivered, status.acknowledged), (2, 1));
    assert_eq!(status.conditions[1].status, "False");
}

#[test]
fn of_two_streams_of_a_pod_the_later_one_counts() {
    let old = report(vec![recipient("a", 1, 1, State::Acknowledged)]);
    let new = report(vec![recipient("a", 2, 1, State::Delivered)]);
    for order in [[&old, &new], [&new, &old]] {
        let status = of_policy(&world(), &policy("east", 1), &newest(order), None, &now());
        assert_eq!((status.delivered, status.acknowledged), (1, 0));
    }
}

#[test]
fn a_missing_scope_is_said() {
    let status = of_policy(
        &world(),
        &policy("nowhere", 1),
        &BTreeMap::new(),
        None,
        &now(),
    );
    assert_eq!(status.matched, 0);
    assert_eq!(status.conditions[0].status, "False");
    assert!(status.conditions[0].message.contains("`nowhere`"));
}

#[test]
fn conditions_keep_the_time_of_their_last_change() {
    let nobody = BTreeMap::new();
    let first = of_policy(&world(), &policy("east", 1), &nobody, None, &now());
    let second = of_policy(
        &world(),
        &policy("east", 2),
        &nobody,
        Some(&first),
        &later(),
    );
    assert_eq!(second.conditions[0].last_transition_time, now());
    let here = report(vec![
        recipient("a", 1, 2, State::Acknowledged),
        recipient("b", 1, 2, State::Acknowledged),
    ]);
    let third = of_policy(
        &world(),
        &policy("east", 2),
        &newest([&here]),
        Some(&second),
        &later(),
    );
    assert_eq!(third.conditions[1].status, "True");
    assert_eq!(third.conditions[1].last_transition_time, later());
}

#[test]
fn a_scope_says_whom_it_covers_and_who_refers_to_it() {
    let mut world = world();
    world
        .policies
        .insert("p".into(), Arc::new(policy("east", 1)));
    let scope = world.scopes["east"].clone();
    let status = of_scope(&world, &scope, &BTreeMap::new(), None, &now());
    assert_eq!((status.matched, status.policies), (2, 1));
    assert_eq!(status.conditions[0].status, "True");
}
