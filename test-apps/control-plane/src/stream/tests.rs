//! What a stream sends, when, and what an answer to it changes.

use super::*;
use crate::snapshot::Resources;

pub(super) fn snapshot(parts: &[(Kind, &[(&str, &str)])], generation: i64) -> Snapshot {
    Snapshot {
        resources: parts
            .iter()
            .map(|(kind, resources)| {
                let resources: Resources = resources
                    .iter()
                    .map(|(name, content)| {
                        (
                            (*name).to_owned(),
                            Resource::new(*kind, content.as_bytes().to_vec()),
                        )
                    })
                    .collect();
                (*kind, Arc::new(resources))
            })
            .collect(),
        basis: Arc::new([("p".to_owned(), ("uid".to_owned(), generation))].into()),
    }
}

fn request(names: &[&str], nonce: &str) -> Request {
    Request {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        nonce: nonce.to_owned(),
        error: None,
    }
}

fn rejection(names: &[&str], nonce: &str) -> Request {
    Request {
        error: Some("no".into()),
        ..request(names, nonce)
    }
}

const RUNTIME_A: &[(Kind, &[(&str, &str)])] = &[(Kind::Runtime, &[("mesh", "a")])];
const RUNTIME_B: &[(Kind, &[(&str, &str)])] = &[(Kind::Runtime, &[("mesh", "b")])];
const RUNTIME_C: &[(Kind, &[(&str, &str)])] = &[(Kind::Runtime, &[("mesh", "c")])];

/// A stream whose client holds the runtime layer `a` of generation 1; its nonce is `1`.
fn settled() -> Stream {
    let mut stream = Stream::default();
    assert_eq!(
        stream.receive(Kind::Runtime, &request(&["mesh"], "")),
        Meaning::Subscription
    );
    assert_eq!(stream.due(&snapshot(RUNTIME_A, 1)).len(), 1);
    assert_eq!(
        stream.receive(Kind::Runtime, &request(&["mesh"], "1")),
        Meaning::Acknowledgement
    );
    stream
}

#[test]
fn an_acknowledgement_is_not_answered() {
    let mut stream = settled();
    assert_eq!(stream.due(&snapshot(RUNTIME_A, 1)), vec![]);
    assert_eq!(
        stream.standing(Kind::Runtime).held,
        Some(snapshot(&[], 1).basis)
    );
}

#[test]
fn nothing_is_sent_for_what_nobody_subscribed_to() {
    let mut stream = settled();
    let mixed = snapshot(
        &[
            (Kind::Routes, &[("outbound", "r")]),
            (Kind::Runtime, &[("mesh", "a")]),
        ],
        1,
    );
    assert_eq!(stream.due(&mixed), vec![]);
}

#[test]
fn changes_in_flight_are_coalesced_into_the_newest() {
    let mut stream = settled();
    assert_eq!(stream.due(&snapshot(RUNTIME_B, 2)).len(), 1);
    assert_eq!(
        stream.due(&snapshot(RUNTIME_A, 3)),
        vec![],
        "one is in flight"
    );
    assert_eq!(stream.due(&snapshot(RUNTIME_C, 4)), vec![]);
    assert_eq!(
        stream.receive(Kind::Runtime, &request(&["mesh"], "2")),
        Meaning::Acknowledgement
    );
    assert_eq!(
        stream.standing(Kind::Runtime).held,
        Some(snapshot(&[], 2).basis)
    );
    let responses = stream.due(&snapshot(RUNTIME_C, 4));
    assert_eq!(responses.len(), 1);
    assert_eq!(
        responses[0].resources,
        vec![Resource::new(Kind::Runtime, b"c".to_vec())]
    );
}

#[test]
fn a_change_without_effect_is_held_at_once() {
    let mut stream = settled();
    assert_eq!(stream.due(&snapshot(RUNTIME_A, 2)), vec![]);
    assert_eq!(
        stream.standing(Kind::Runtime).held,
        Some(snapshot(&[], 2).basis)
    );
}

#[test]
fn stale_nonces_are_ignored() {
    let mut stream = settled();
    assert_eq!(stream.due(&snapshot(RUNTIME_B, 2)).len(), 1);
    assert_eq!(
        stream.receive(Kind::Runtime, &request(&["mesh"], "1")),
        Meaning::Stale
    );
    assert_eq!(
        stream.receive(Kind::Runtime, &rejection(&["mesh"], "1")),
        Meaning::Stale
    );
    assert_eq!(stream.standing(Kind::Runtime).rejection, None);
    assert_eq!(
        stream.due(&snapshot(RUNTIME_C, 3)),
        vec![],
        "still in flight"
    );
}

#[test]
fn a_nonce_of_an_earlier_stream_is_a_first_request() {
    let mut stream = Stream::default();
    assert_eq!(
        stream.receive(Kind::Runtime, &request(&["mesh"], "77")),
        Meaning::Subscription
    );
    assert_eq!(stream.due(&snapshot(RUNTIME_A, 1)).len(), 1);
}

#[test]
fn a_rejected_content_is_not_sent_again_but_the_next_is() {
    let mut stream = settled();
    assert_eq!(stream.due(&snapshot(RUNTIME_B, 2)).len(), 1);
    assert_eq!(
        stream.receive(Kind::Runtime, &rejection(&["mesh"], "2")),
        Meaning::Rejection
    );
    assert_eq!(stream.due(&snapshot(RUNTIME_B, 2)), vec![], "no loop");
    let standing = stream.standing(Kind::Runtime);
    assert_eq!(standing.rejection.as_deref(), Some("no"));
    assert_eq!(
        standing.held,
        Some(snapshot(&[], 1).basis),
        "it goes on with the last good one"
    );
    assert_eq!(
        stream.due(&snapshot(RUNTIME_A, 3)).len(),
        1,
        "back to the good one is sent"
    );
    assert_eq!(
        stream.standing(Kind::Runtime).rejection,
        None,
        "it was another one that was rejected"
    );
    assert_eq!(
        stream.receive(Kind::Runtime, &request(&["mesh"], "3")),
        Meaning::Acknowledgement
    );
    assert_eq!(stream.standing(Kind::Runtime).rejection, None);
}

#[test]
fn after_a_rejection_the_next_response_carries_everything() {
    let endpoints = |a: &'static str, b: &'static str| {
        let parts: Vec<(&str, &str)> = vec![("a", a), ("b", b)];
        snapshot(&[(Kind::Endpoints, &parts)], 1)
    };
    let mut stream = Stream::default();
    stream.receive(Kind::Endpoints, &request(&["a", "b"], ""));
    assert_eq!(stream.due(&endpoints("1", "1"))[0].resources.len(), 2);
    stream.receive(Kind::Endpoints, &request(&["a", "b"], "1"));
    assert_eq!(
        stream.due(&endpoints("2", "1"))[0].resources.len(),
        1,
        "only what changed"
    );
    stream.receive(Kind::Endpoints, &rejection(&["a", "b"], "2"));
    assert_eq!(stream.due(&endpoints("2", "2"))[0].resources.len(), 2);
}

#[test]
fn whole_types_start_with_a_response_even_if_empty_and_shrink() {
    let mut stream = Stream::default();
    stream.receive(Kind::Clusters, &request(&[], ""));
    assert_eq!(
        stream.due(&snapshot(&[], 1)).len(),
        1,
        "an empty world is an answer"
    );
    stream.receive(Kind::Clusters, &request(&[], "1"));
    let two = snapshot(&[(Kind::Clusters, &[("a", "1"), ("b", "1")])], 1);
    assert_eq!(stream.due(&two)[0].resources.len(), 2);
    stream.receive(Kind::Clusters, &request(&[], "2"));
    let one = snapshot(&[(Kind::Clusters, &[("a", "1")])], 1);
    assert_eq!(stream.due(&one)[0].resources.len(), 1, "absence deletes");
}

#[test]
fn names_narrow_and_no_names_after_names_mean_nothing() {
    let clusters = snapshot(&[(Kind::Clusters, &[("a", "1"), ("b", "1")])], 1);
    let mut stream = Stream::default();
    stream.receive(Kind::Clusters, &request(&["a"], ""));
    assert_eq!(stream.due(&clusters)[0].resources.len(), 1);
    stream.receive(Kind::Clusters, &request(&["*", "a"], "1"));
    assert_eq!(
        stream.due(&clusters)[0].resources.len(),
        2,
        "explicit wildcard"
    );
    stream.receive(Kind::Clusters, &request(&[], "2"));
    assert_eq!(
        stream.due(&clusters)[0].resources.len(),
        0,
        "unsubscribed from all"
    );
}

#[test]
fn what_is_missing_comes_when_it_exists_and_again_after_unsubscribing() {
    let mut stream = Stream::default();
    stream.receive(Kind::Endpoints, &request(&["a"], ""));
    assert_eq!(stream.due(&snapshot(&[], 1)), vec![]);
    let there = snapshot(&[(Kind::Endpoints, &[("a", "1")])], 1);
    assert_eq!(stream.due(&there).len(), 1);
    stream.receive(Kind::Endpoints, &request(&[], "1"));
    assert_eq!(stream.due(&there), vec![]);
    stream.receive(Kind::Endpoints, &request(&["a"], "1"));
    assert_eq!(stream.due(&there).len(), 1, "subscribed again, sent again");
}

#[test]
fn a_changed_cluster_is_followed_by_its_endpoints() {
    let world = |cluster: &'static str| {
        let clusters: Vec<(&str, &str)> = vec![("a", cluster), ("b", "1")];
        snapshot(
            &[
                (Kind::Clusters, &clusters),
                (Kind::Endpoints, &[("a", "1"), ("b", "1")]),
            ],
            1,
        )
    };
    let mut stream = Stream::default();
    stream.receive(Kind::Clusters, &request(&[], ""));
    stream.receive(Kind::Endpoints, &request(&["a", "b"], ""));
    assert_eq!(stream.due(&world("1")).len(), 2);
    stream.receive(Kind::Clusters, &request(&[], "1"));
    stream.receive(Kind::Endpoints, &request(&["a", "b"], "2"));
    let responses = stream.due(&world("2"));
    assert_eq!(
        responses.iter().map(|r| r.kind).collect::<Vec<_>>(),
        vec![Kind::Clusters, Kind::Endpoints]
    );
    assert_eq!(
        responses[1].resources.len(),
        1,
        "only those of the changed cluster"
    );
}

#[test]
fn types_go_out_in_order_with_nonces_of_their_own() {
    let all = snapshot(
        &[
            (Kind::Clusters, &[("c", "1")]),
            (Kind::Endpoints, &[("c", "1")]),
            (Kind::Listeners, &[("l", "1")]),
            (Kind::Routes, &[("r", "1")]),
            (Kind::Runtime, &[("mesh", "1")]),
        ],
        1,
    );
    let mut stream = Stream::default();
    stream.receive(Kind::Runtime, &request(&["mesh"], ""));
    stream.receive(Kind::Routes, &request(&["r"], ""));
    stream.receive(Kind::Listeners, &request(&[], ""));
    stream.receive(Kind::Endpoints, &request(&["c"], ""));
    stream.receive(Kind::Clusters, &request(&[], ""));
    let mut responses = stream.due(&all);
    let answered = responses[0].nonce.clone();
    stream.receive(Kind::Clusters, &request(&[], &answered));
    responses.extend(stream.due(&all));
    assert_eq!(
        responses.iter().map(|r| r.kind).collect::<Vec<_>>(),
        Kind::ALL.to_vec()
    );
    let nonces: BTreeSet<_> = responses.iter().map(|r| r.nonce.clone()).collect();
    assert_eq!(nonces.len(), 5);
}

#[test]
fn routes_wait_for_a_listener_that_could_not_be_sent_yet() {
    let world = |listener: &'static str, route: &'static str| {
        snapshot(
            &[
                (Kind::Listeners, &[("l", listener)]),
                (Kind::Routes, &[("r", route)]),
            ],
            1,
        )
    };
    let kinds = |responses: Vec<Response>| responses.iter().map(|r| r.kind).collect::<Vec<_>>();
    let mut stream = Stream::default();
    stream.receive(Kind::Listeners, &request(&[], ""));
    stream.receive(Kind::Routes, &request(&["r"], ""));
    assert_eq!(stream.due(&world("1", "1")).len(), 2);
    stream.receive(Kind::Routes, &request(&["r"], "2"));
    assert_eq!(stream.due(&world("2", "2")), vec![], "one is in flight");
    stream.receive(Kind::Listeners, &request(&[], "1"));
    assert_eq!(
        kinds(stream.due(&world("2", "2"))),
        vec![Kind::Listeners, Kind::Routes]
    );
}

#[test]
fn listeners_wait_until_the_clusters_before_them_are_in_use() {
    let world = |cluster: &'static str, listener: &'static str, runtime: &'static str| {
        snapshot(
            &[
                (Kind::Clusters, &[("c", cluster)]),
                (Kind::Listeners, &[("l", listener)]),
                (Kind::Runtime, &[("mesh", runtime)]),
            ],
            1,
        )
    };
    let kinds = |responses: Vec<Response>| responses.iter().map(|r| r.kind).collect::<Vec<_>>();
    let mut stream = Stream::default();
    stream.receive(Kind::Listeners, &request(&[], ""));
    stream.receive(Kind::Runtime, &request(&["mesh"], ""));
    assert_eq!(stream.due(&world("1", "1", "1")).len(), 2);
    stream.receive(Kind::Listeners, &request(&[], "1"));
    stream.receive(Kind::Runtime, &request(&["mesh"], "2"));
    stream.receive(Kind::Clusters, &request(&[], ""));
    assert_eq!(kinds(stream.due(&world("1", "1", "1"))), [Kind::Clusters]);
    // Where only runtime values change they wait for nothing.
    assert_eq!(kinds(stream.due(&world("1", "1", "2"))), [Kind::Runtime]);
    stream.receive(Kind::Runtime, &request(&["mesh"], "4"));
    // A marker in runtime values must not overtake the listener.
    assert_eq!(stream.due(&world("1", "2", "3")), vec![]);
    let refused = rejection(&[], "3");
    stream.receive(Kind::Clusters, &refused);
    assert_eq!(
        kinds(stream.due(&world("1", "2", "3"))),
        [Kind::Listeners, Kind::Runtime]
    );
}
