//! What a stream in the delta form sends, when, and what an answer to it changes.

use super::*;
use crate::stream::tests::snapshot;

/// What is sent in one response: kind, names with contents, names that are gone.
type Told = (Kind, Vec<(&'static str, &'static str)>, Vec<&'static str>);

fn tell(stream: &mut DeltaStream, snapshot: &Snapshot, expected: &[Told]) {
    let content = |kind: Kind, (name, content): &(&str, &str)| {
        let resource = Resource::new(kind, content.as_bytes().to_vec());
        ((*name).to_owned(), resource)
    };
    let told: Vec<_> = stream
        .due(snapshot)
        .into_iter()
        .map(|response| (response.kind, response.resources, response.removed))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(kind, resources, removed)| {
            let resources: Vec<_> = resources.iter().map(|one| content(*kind, one)).collect();
            let removed: Vec<_> = removed.iter().map(ToString::to_string).collect();
            (*kind, resources, removed)
        })
        .collect();
    assert_eq!(told, expected);
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn subscribe(more: &[&str]) -> DeltaRequest {
    DeltaRequest {
        subscribe: names(more),
        ..DeltaRequest::default()
    }
}

fn resume(more: &[&str], held: &[(&str, String)]) -> DeltaRequest {
    let held = held.iter();
    DeltaRequest {
        held: held
            .map(|(name, version)| ((*name).to_owned(), version.clone()))
            .collect(),
        ..subscribe(more)
    }
}

fn unsubscribe(less: &[&str]) -> DeltaRequest {
    DeltaRequest {
        unsubscribe: names(less),
        ..DeltaRequest::default()
    }
}

fn acknowledge(nonce: &str) -> DeltaRequest {
    DeltaRequest {
        nonce: nonce.to_owned(),
        ..DeltaRequest::default()
    }
}

fn reject(nonce: &str) -> DeltaRequest {
    DeltaRequest {
        error: Some("no".into()),
        ..acknowledge(nonce)
    }
}

fn version_of(kind: Kind, content: &str) -> String {
    let resource = Resource::new(kind, content.as_bytes().to_vec());
    resource.version().to_string()
}

fn endpoints(parts: &[(&str, &str)], generation: i64) -> Snapshot {
    snapshot(&[(Kind::Endpoints, parts)], generation)
}

/// A stream whose client holds the endpoints `a` and `b`; the newest nonce is `1`.
fn settled() -> DeltaStream {
    let mut stream = DeltaStream::default();
    let meaning = stream.receive(Kind::Endpoints, &subscribe(&["a", "b"]));
    assert_eq!(meaning, Meaning::Subscription);
    let both = vec![("a", "1"), ("b", "1")];
    tell(
        &mut stream,
        &endpoints(&both, 1),
        &[(Kind::Endpoints, both.clone(), vec![])],
    );
    let meaning = stream.receive(Kind::Endpoints, &acknowledge("1"));
    assert_eq!(meaning, Meaning::Acknowledgement);
    stream
}

#[test]
fn only_what_changed_is_sent_and_what_is_gone_is_told() {
    let mut stream = settled();
    tell(&mut stream, &endpoints(&[("a", "1"), ("b", "1")], 1), &[]);
    tell(
        &mut stream,
        &endpoints(&[("a", "1"), ("b", "2")], 2),
        &[(Kind::Endpoints, vec![("b", "2")], vec![])],
    );
    stream.receive(Kind::Endpoints, &acknowledge("2"));
    tell(
        &mut stream,
        &endpoints(&[("b", "2")], 3),
        &[(Kind::Endpoints, vec![], vec!["a"])],
    );
    stream.receive(Kind::Endpoints, &acknowledge("3"));
    tell(&mut stream, &endpoints(&[("b", "2")], 3), &[]);
    tell(
        &mut stream,
        &endpoints(&[("a", "1"), ("b", "2")], 4),
        &[(Kind::Endpoints, vec![("a", "1")], vec![])],
    );
}

#[test]
fn changes_in_flight_are_coalesced_into_the_newest() {
    let mut stream = settled();
    let at = |b: &'static str, generation| endpoints(&[("a", "1"), ("b", b)], generation);
    let told = |b: &'static str| [(Kind::Endpoints, vec![("b", b)], vec![])];
    tell(&mut stream, &at("2", 2), &told("2"));
    tell(&mut stream, &at("3", 3), &[]);
    tell(&mut stream, &at("4", 4), &[]);
    stream.receive(Kind::Endpoints, &acknowledge("2"));
    let held = stream.standing(Kind::Endpoints).held;
    assert_eq!(held, Some(snapshot(&[], 2).basis));
    tell(&mut stream, &at("4", 4), &told("4"));
}

#[test]
fn a_change_without_effect_is_held_at_once() {
    let mut stream = settled();
    tell(&mut stream, &endpoints(&[("a", "1"), ("b", "1")], 2), &[]);
    let held = stream.standing(Kind::Endpoints).held;
    assert_eq!(held, Some(snapshot(&[], 2).basis));
}

#[test]
fn what_is_there_is_sent_again_when_it_is_asked_for_again() {
    let mut stream = settled();
    let both = endpoints(&[("a", "1"), ("b", "1")], 1);
    stream.receive(Kind::Endpoints, &subscribe(&["a"]));
    tell(
        &mut stream,
        &both,
        &[(Kind::Endpoints, vec![("a", "1")], vec![])],
    );
    stream.receive(Kind::Endpoints, &acknowledge("2"));
    stream.receive(Kind::Endpoints, &unsubscribe(&["b"]));
    tell(&mut stream, &endpoints(&[("a", "1"), ("b", "2")], 2), &[]);
    stream.receive(Kind::Endpoints, &subscribe(&["b"]));
    tell(
        &mut stream,
        &both,
        &[(Kind::Endpoints, vec![("b", "1")], vec![])],
    );
}

#[test]
fn what_does_not_exist_is_told_once_and_comes_when_it_does() {
    let mut stream = DeltaStream::default();
    stream.receive(Kind::Routes, &subscribe(&["r"]));
    tell(
        &mut stream,
        &snapshot(&[], 1),
        &[(Kind::Routes, vec![], vec!["r"])],
    );
    stream.receive(Kind::Routes, &acknowledge("1"));
    tell(&mut stream, &snapshot(&[], 1), &[]);
    tell(
        &mut stream,
        &snapshot(&[(Kind::Routes, &[("r", "1")])], 2),
        &[(Kind::Routes, vec![("r", "1")], vec![])],
    );
}

#[test]
fn a_subscription_changes_also_with_an_answer_that_is_stale() {
    let mut stream = settled();
    let stale = DeltaRequest {
        subscribe: names(&["c"]),
        ..acknowledge("77")
    };
    assert_eq!(stream.receive(Kind::Endpoints, &stale), Meaning::Stale);
    assert_eq!(
        stream.receive(Kind::Endpoints, &reject("1")),
        Meaning::Stale,
        "it was answered before"
    );
    assert_eq!(stream.standing(Kind::Endpoints).rejection, None);
    tell(
        &mut stream,
        &endpoints(&[("a", "1"), ("b", "1"), ("c", "1")], 1),
        &[(Kind::Endpoints, vec![("c", "1")], vec![])],
    );
}

#[test]
fn who_comes_back_is_sent_only_what_it_lacks() {
    let mut stream = DeltaStream::default();
    let kind = Kind::Routes;
    let brought = [
        ("a", version_of(kind, "1")),
        ("b", version_of(kind, "old")),
        ("c", "of another control plane".to_owned()),
        ("gone", version_of(kind, "1")),
        ("not asked for", version_of(kind, "1")),
    ];
    let asked = ["a", "b", "c", "gone", "missing"];
    stream.receive(kind, &resume(&asked, &brought));
    let there = [("a", "1"), ("b", "2"), ("c", "1"), ("not asked for", "2")];
    tell(
        &mut stream,
        &snapshot(&[(kind, &there)], 1),
        &[(kind, vec![("b", "2"), ("c", "1")], vec!["gone", "missing"])],
    );
}

#[test]
fn who_comes_back_and_lacks_nothing_is_greeted_and_sent_endpoints() {
    let mut stream = DeltaStream::default();
    let all = snapshot(
        &[
            (Kind::Clusters, &[("c", "1")]),
            (Kind::Endpoints, &[("c", "1")]),
            (Kind::Routes, &[("r", "1")]),
        ],
        1,
    );
    for (kind, asked, name) in [
        (Kind::Clusters, vec![], "c"),
        (Kind::Endpoints, vec!["c"], "c"),
        (Kind::Routes, vec!["r"], "r"),
    ] {
        stream.receive(kind, &resume(&asked, &[(name, version_of(kind, "1"))]));
    }
    // The client learns from it which replica serves it now. A cluster of its may wait for endpoints that it has.
    tell(
        &mut stream,
        &all,
        &[
            (Kind::Clusters, vec![], vec![]),
            (Kind::Endpoints, vec![("c", "1")], vec![]),
        ],
    );
    assert_eq!(stream.standing(Kind::Routes).held, Some(all.basis.clone()));
    stream.receive(Kind::Clusters, &acknowledge("1"));
    stream.receive(Kind::Endpoints, &acknowledge("2"));
    tell(&mut stream, &all, &[]);
}

#[test]
fn wildcards_begin_empty_and_end_with_the_names_that_stay() {
    let mut stream = DeltaStream::default();
    let kind = Kind::Clusters;
    stream.receive(kind, &subscribe(&[]));
    tell(&mut stream, &snapshot(&[], 1), &[(kind, vec![], vec![])]);
    stream.receive(kind, &acknowledge("1"));
    let two = snapshot(&[(kind, &[("a", "1"), ("b", "1")])], 2);
    tell(
        &mut stream,
        &two,
        &[(kind, vec![("a", "1"), ("b", "1")], vec![])],
    );
    stream.receive(kind, &acknowledge("2"));
    stream.receive(kind, &subscribe(&["a"]));
    tell(&mut stream, &two, &[(kind, vec![("a", "1")], vec![])]);
    stream.receive(kind, &acknowledge("3"));
    stream.receive(kind, &unsubscribe(&["*"]));
    let changed = snapshot(&[(kind, &[("a", "2"), ("b", "2")])], 3);
    tell(&mut stream, &changed, &[(kind, vec![("a", "2")], vec![])]);
    stream.receive(kind, &acknowledge("4"));
    stream.receive(kind, &subscribe(&["*"]));
    tell(&mut stream, &changed, &[(kind, vec![("b", "2")], vec![])]);
    stream.receive(kind, &acknowledge("5"));
    stream.receive(kind, &unsubscribe(&["a"]));
    tell(&mut stream, &changed, &[(kind, vec![("a", "2")], vec![])]);
}

#[test]
fn what_was_rejected_together_goes_alone_and_keeps_nothing_else() {
    let mut stream = settled();
    let kind = Kind::Endpoints;
    let all =
        |a: &'static str, generation| endpoints(&[("a", a), ("b", "2"), ("c", "1")], generation);
    tell(
        &mut stream,
        &all("bad", 2),
        &[(kind, vec![("a", "bad"), ("b", "2")], vec![])],
    );
    assert_eq!(stream.receive(kind, &reject("2")), Meaning::Rejection);
    tell(
        &mut stream,
        &all("bad", 2),
        &[(kind, vec![("a", "bad")], vec![])],
    );
    stream.receive(kind, &reject("3"));
    tell(
        &mut stream,
        &all("bad", 2),
        &[(kind, vec![("b", "2")], vec![])],
    );
    stream.receive(kind, &acknowledge("4"));
    tell(&mut stream, &all("bad", 2), &[]);
    let standing = stream.standing(kind);
    assert_eq!(standing.rejection.as_deref(), Some("no"));
    assert_eq!(standing.held, Some(snapshot(&[], 1).basis));

    stream.receive(kind, &subscribe(&["c"]));
    tell(
        &mut stream,
        &all("bad", 2),
        &[(kind, vec![("c", "1")], vec![])],
    );
    stream.receive(kind, &acknowledge("5"));
    assert!(
        stream.standing(kind).rejection.is_some(),
        "that another one is taken repairs nothing"
    );
    tell(
        &mut stream,
        &all("1", 3),
        &[(kind, vec![("a", "1")], vec![])],
    );
    let standing = stream.standing(kind);
    assert_eq!(
        (standing.rejection, standing.held),
        (None, Some(snapshot(&[], 1).basis)),
        "it was another one that was rejected, and this one is not taken yet"
    );
    stream.receive(kind, &acknowledge("6"));
    let standing = stream.standing(kind);
    assert_eq!(standing.rejection, None);
    assert_eq!(standing.held, Some(snapshot(&[], 3).basis));
}

#[test]
fn what_is_repaired_while_it_is_sent_alone_is_held_when_all_of_it_is() {
    let mut stream = settled();
    let kind = Kind::Endpoints;
    let both = |content: &'static str, generation| {
        endpoints(&[("a", content), ("b", content)], generation)
    };
    let bad = both("bad", 2);
    tell(
        &mut stream,
        &bad,
        &[(kind, vec![("a", "bad"), ("b", "bad")], vec![])],
    );
    stream.receive(kind, &reject("2"));
    let repaired = both("2", 3);
    for (name, nonce) in [("a", "3"), ("b", "4")] {
        tell(&mut stream, &repaired, &[(kind, vec![(name, "2")], vec![])]);
        let standing = stream.standing(kind);
        assert_eq!(standing.rejection, None, "{name}");
        assert_eq!(standing.held, Some(snapshot(&[], 1).basis), "{name}");
        stream.receive(kind, &acknowledge(nonce));
    }
    assert_eq!(stream.standing(kind).held, Some(repaired.basis));
}

#[test]
fn what_was_rejected_and_is_gone_is_no_rejection_any_more() {
    let mut stream = settled();
    let kind = Kind::Endpoints;
    let bad = endpoints(&[("a", "bad"), ("b", "1")], 2);
    tell(&mut stream, &bad, &[(kind, vec![("a", "bad")], vec![])]);
    stream.receive(kind, &reject("2"));
    let gone = endpoints(&[("b", "1")], 3);
    tell(&mut stream, &gone, &[(kind, vec![], vec!["a"])]);
    stream.receive(kind, &acknowledge("3"));
    let standing = stream.standing(kind);
    assert_eq!(
        (standing.rejection, standing.held),
        (None, Some(gone.basis))
    );
}

#[test]
fn a_removal_that_was_rejected_with_others_is_told_once_more_alone() {
    let mut stream = settled();
    let kind = Kind::Endpoints;
    let bad = endpoints(&[("a", "bad")], 2);
    tell(&mut stream, &bad, &[(kind, vec![("a", "bad")], vec!["b"])]);
    stream.receive(kind, &reject("2"));
    tell(&mut stream, &bad, &[(kind, vec![], vec!["b"])]);
    stream.receive(kind, &reject("3"));
    tell(&mut stream, &bad, &[(kind, vec![("a", "bad")], vec![])]);
    stream.receive(kind, &acknowledge("4"));
    tell(&mut stream, &bad, &[]);
    assert!(stream.standing(kind).rejection.is_some());
}

#[test]
fn what_was_rejected_together_and_is_gone_is_told_as_gone() {
    let mut stream = settled();
    let kind = Kind::Endpoints;
    let bad = endpoints(&[("a", "2"), ("b", "2")], 2);
    let both = vec![("a", "2"), ("b", "2")];
    tell(&mut stream, &bad, &[(kind, both, vec![])]);
    stream.receive(kind, &reject("2"));
    tell(&mut stream, &bad, &[(kind, vec![("a", "2")], vec![])]);
    stream.receive(kind, &acknowledge("3"));
    let gone = endpoints(&[("a", "2")], 3);
    tell(&mut stream, &gone, &[(kind, vec![], vec!["b"])]);
    stream.receive(kind, &acknowledge("4"));
    let standing = stream.standing(kind);
    assert_eq!(
        (standing.rejection, standing.held),
        (None, Some(gone.basis))
    );
}

#[test]
fn what_nobody_subscribes_to_any_more_is_no_rejection() {
    for unsubscribed_first in [false, true] {
        let mut stream = settled();
        let kind = Kind::Endpoints;
        let bad = endpoints(&[("a", "bad"), ("b", "bad")], 2);
        let both = vec![("a", "bad"), ("b", "bad")];
        tell(&mut stream, &bad, &[(kind, both, vec![])]);
        let less = unsubscribe(&["a", "b"]);
        let answers = match unsubscribed_first {
            true => [less, reject("2")],
            false => [reject("2"), less],
        };
        for answer in answers {
            stream.receive(kind, &answer);
        }
        tell(&mut stream, &bad, &[]);
        let standing = stream.standing(kind);
        assert_eq!((standing.rejection, standing.held), (None, Some(bad.basis)));
    }
}

#[test]
fn routes_wait_for_every_cluster_that_was_rejected_together() {
    let kind = Kind::Clusters;
    let changed = |route: &'static str| {
        snapshot(
            &[
                (Kind::Clusters, &[("a", "2"), ("b", "2")]),
                (Kind::Endpoints, &[("a", "1"), ("b", "1")]),
                (Kind::Listeners, &[("l", "1")]),
                (Kind::Routes, &[("r", route)]),
                (Kind::Runtime, &[("mesh", "1")]),
            ],
            2,
        )
    };
    let mut stream = complete();
    let both = vec![("a", "2"), ("b", "2")];
    let endpoints = vec![("a", "1"), ("b", "1")];
    let answer = |stream: &mut DeltaStream, kind, answer: DeltaRequest| {
        stream.receive(kind, &answer);
    };
    let old = changed("1");
    tell(
        &mut stream,
        &old,
        &[(kind, both, vec![]), (Kind::Endpoints, endpoints, vec![])],
    );
    answer(&mut stream, Kind::Endpoints, acknowledge("7"));
    answer(&mut stream, kind, reject("6"));
    // The first of both goes, and the route must not overtake the other one.
    let new = changed("2");
    tell(
        &mut stream,
        &new,
        &[
            (kind, vec![("a", "2")], vec![]),
            (Kind::Endpoints, vec![("a", "1")], vec![]),
        ],
    );
    answer(&mut stream, Kind::Endpoints, acknowledge("9"));
    answer(&mut stream, kind, acknowledge("8"));
    tell(
        &mut stream,
        &new,
        &[
            (kind, vec![("b", "2")], vec![]),
            (Kind::Endpoints, vec![("b", "1")], vec![]),
            (Kind::Routes, vec![("r", "2")], vec![]),
        ],
    );
}

fn chain(cluster: &'static str, listener: &'static str, route: &'static str) -> Snapshot {
    snapshot(
        &[
            (Kind::Clusters, &[("a", cluster), ("b", "1")]),
            (Kind::Endpoints, &[("a", "1"), ("b", "1")]),
            (Kind::Listeners, &[("l", listener)]),
            (Kind::Routes, &[("r", route)]),
            (Kind::Runtime, &[("mesh", "1")]),
        ],
        1,
    )
}

/// A client of everything in [`chain`], which has answered.
fn complete() -> DeltaStream {
    let mut stream = DeltaStream::default();
    stream.receive(Kind::Runtime, &subscribe(&["mesh"]));
    stream.receive(Kind::Routes, &subscribe(&["r"]));
    stream.receive(Kind::Listeners, &subscribe(&[]));
    stream.receive(Kind::Endpoints, &subscribe(&["a", "b"]));
    stream.receive(Kind::Clusters, &subscribe(&[]));
    let mut kinds = Vec::new();
    for _ in 0..2 {
        for response in stream.due(&chain("1", "1", "1")) {
            kinds.push(response.kind);
            stream.receive(response.kind, &acknowledge(&response.nonce));
        }
    }
    assert_eq!(kinds, Kind::ALL);
    stream
}

#[test]
fn what_hangs_on_a_changed_cluster_or_listener_follows_it() {
    let mut stream = complete();
    tell(
        &mut stream,
        &chain("2", "2", "1"),
        &[
            (Kind::Clusters, vec![("a", "2")], vec![]),
            (Kind::Endpoints, vec![("a", "1")], vec![]),
        ],
    );
    // The listener must not lead to the cluster of before, and nothing may overtake it.
    stream.receive(Kind::Endpoints, &acknowledge("7"));
    tell(&mut stream, &chain("2", "2", "2"), &[]);
    stream.receive(Kind::Clusters, &acknowledge("6"));
    tell(
        &mut stream,
        &chain("2", "2", "1"),
        &[
            (Kind::Listeners, vec![("l", "2")], vec![]),
            (Kind::Routes, vec![("r", "1")], vec![]),
        ],
    );
}

#[test]
fn routes_wait_for_a_listener_that_could_not_be_sent_yet() {
    let mut stream = complete();
    let sent = stream.due(&chain("1", "2", "1"));
    assert_eq!(sent.len(), 2, "the listener, and its routes");
    stream.receive(Kind::Routes, &acknowledge(&sent[1].nonce));
    tell(&mut stream, &chain("1", "3", "2"), &[]);
    stream.receive(Kind::Listeners, &acknowledge(&sent[0].nonce));
    tell(
        &mut stream,
        &chain("1", "3", "2"),
        &[
            (Kind::Listeners, vec![("l", "3")], vec![]),
            (Kind::Routes, vec![("r", "2")], vec![]),
        ],
    );
}

#[test]
fn a_client_may_answer_for_a_cluster_after_its_endpoints() {
    let mut stream = complete();
    let sent = stream.due(&chain("2", "1", "1"));
    stream.receive(Kind::Endpoints, &acknowledge(&sent[1].nonce));
    let mut all = chain("3", "1", "1");
    let endpoints = endpoints(&[("a", "2"), ("b", "1")], 1);
    all.resources.extend(endpoints.resources);
    tell(
        &mut stream,
        &all,
        &[(Kind::Endpoints, vec![("a", "2")], vec![])],
    );
}
