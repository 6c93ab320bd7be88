//! Both forms of the protocol, request by request.

use super::*;

fn versions(bundle: &str, certificate: &str) -> Versions {
    [(Kind::Bundle, bundle), (Kind::Certificate, certificate)]
        .into_iter()
        .filter(|(_, version)| !version.is_empty())
        .map(|(kind, version)| (kind, version.to_owned()))
        .collect()
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn exactly(list: &[&str], nonce: &str, error: Option<&str>) -> Request {
    Request {
        names: Names::Exactly(names(list)),
        nonce: nonce.to_owned(),
        error: error.map(str::to_owned),
    }
}

fn change(more: &[&str], less: &[&str], nonce: &str, error: Option<&str>) -> Request {
    Request {
        names: Names::Change {
            more: names(more),
            less: names(less),
            held: BTreeMap::new(),
        },
        nonce: nonce.to_owned(),
        error: error.map(str::to_owned),
    }
}

#[test]
fn what_is_not_there_yet_is_sent_when_it_is() {
    for form in [Form::StateOfTheWorld, Form::Delta] {
        let mut stream = Stream::new(form);
        let request = match form {
            Form::StateOfTheWorld => exactly(&["default"], "", None),
            Form::Delta => change(&["default"], &[], "", None),
        };
        assert_eq!(stream.receive(&request), Meaning::Subscription);
        assert_eq!(stream.due(&versions("b1", "")), None, "{form:?}");
        let response = stream.due(&versions("b1", "c1")).expect("due");
        assert_eq!(response.resources, [(Kind::Certificate, "c1".to_owned())]);
        assert_eq!(stream.due(&versions("b1", "c2")), None, "one is in flight");
    }
}

#[test]
fn the_state_of_the_world_is_everything_and_roots_come_first() {
    let mut stream = Stream::new(Form::StateOfTheWorld);
    stream.receive(&exactly(&["default", "ROOTCA", "other"], "", None));
    let first = stream.due(&versions("b1", "c1")).expect("due");
    assert_eq!(first.version, "b1-c1");
    assert_eq!(first.resources[0].0, Kind::Bundle);
    assert!(first.removed.is_empty(), "left out without a word");
    let all = ["default", "ROOTCA", "other"];
    assert_eq!(
        stream.receive(&exactly(&all, &first.nonce, None)),
        Meaning::Acknowledgement(vec![Kind::Bundle, Kind::Certificate])
    );
    assert_eq!(stream.due(&versions("b1", "c1")), None);
    let second = stream.due(&versions("b1", "c2")).expect("due");
    assert_eq!(second.resources.len(), 2);
    assert_ne!(second.nonce, first.nonce);
    // The answer to a response that is not the newest says nothing.
    assert_eq!(
        stream.receive(&exactly(&[], &first.nonce, None)),
        Meaning::Stale
    );
    assert_eq!(stream.due(&versions("b1", "c3")), None, "still in flight");
}

#[test]
fn a_rejected_version_is_not_sent_again() {
    let mut stream = Stream::new(Form::StateOfTheWorld);
    stream.receive(&exactly(&["default"], "", None));
    let first = stream.due(&versions("", "c1")).expect("due");
    assert_eq!(
        stream.receive(&exactly(&["default"], &first.nonce, Some("no"))),
        Meaning::Rejection(vec![Kind::Certificate])
    );
    assert_eq!(stream.due(&versions("", "c1")), None);
    assert_eq!(stream.due(&versions("b1", "c1")), None, "of something else");
    // The same answer once more is of nothing in flight.
    assert_eq!(
        stream.receive(&exactly(&["default"], &first.nonce, Some("no"))),
        Meaning::Subscription
    );
    assert!(stream.due(&versions("", "c2")).is_some());
}

#[test]
fn a_changed_subscription_is_answered_with_what_is_new_in_it() {
    let mut stream = Stream::new(Form::StateOfTheWorld);
    stream.receive(&exactly(&["default"], "", None));
    let first = stream.due(&versions("b1", "c1")).expect("due");
    stream.receive(&exactly(&["default"], &first.nonce, None));
    assert_eq!(
        stream.receive(&exactly(&["ROOTCA"], &first.nonce, None)),
        Meaning::Subscription
    );
    let second = stream.due(&versions("b1", "c1")).expect("due");
    assert_eq!(second.resources, [(Kind::Bundle, "b1".to_owned())]);
    stream.receive(&exactly(&["default", "ROOTCA"], &second.nonce, None));
    let third = stream.due(&versions("b1", "c1")).expect("wanted again");
    assert_eq!(third.resources.len(), 2);
}

#[test]
fn increments_are_of_one_resource_each_and_roots_come_first() {
    let mut stream = Stream::new(Form::Delta);
    stream.receive(&change(&["default", "ROOTCA", "other"], &[], "", None));
    let first = stream.due(&versions("b1", "c1")).expect("due");
    assert_eq!(first.resources, [(Kind::Bundle, "b1".to_owned())]);
    assert_eq!(first.removed, ["other"]);
    assert_eq!(stream.due(&versions("b1", "c1")), None, "one is in flight");
    assert_eq!(
        stream.receive(&change(&[], &[], &first.nonce, Some("bad root"))),
        Meaning::Rejection(vec![Kind::Bundle])
    );
    let second = stream.due(&versions("b1", "c1")).expect("due");
    assert_eq!(second.resources, [(Kind::Certificate, "c1".to_owned())]);
    assert!(second.removed.is_empty(), "said once");
    assert_eq!(
        stream.receive(&change(&[], &[], "77", None)),
        Meaning::Stale
    );
    assert_eq!(
        stream.receive(&change(&[], &[], &second.nonce, None)),
        Meaning::Acknowledgement(vec![Kind::Certificate])
    );
    assert_eq!(stream.due(&versions("b1", "c1")), None, "rejected");
    let third = stream.due(&versions("b2", "c1")).expect("due");
    assert_eq!(third.resources, [(Kind::Bundle, "b2".to_owned())]);
}

#[test]
fn a_subscription_may_change_while_a_response_is_in_flight() {
    let mut stream = Stream::new(Form::Delta);
    stream.receive(&change(&["default"], &[], "", None));
    let first = stream.due(&versions("b1", "c1")).expect("due");
    assert_eq!(
        stream.receive(&change(&["ROOTCA"], &["default"], "", None)),
        Meaning::Subscription
    );
    assert!(!stream.asks_for(Kind::Certificate));
    assert_eq!(stream.due(&versions("b1", "c1")), None);
    stream.receive(&change(&[], &[], &first.nonce, None));
    let second = stream.due(&versions("b1", "c1")).expect("due");
    assert_eq!(second.resources, [(Kind::Bundle, "b1".to_owned())]);
}

#[test]
fn what_a_client_brings_is_not_sent_unless_it_changed_or_is_asked_for_again() {
    let mut stream = Stream::new(Form::Delta);
    let held = [
        ("default".to_owned(), "c1".to_owned()),
        ("ROOTCA".to_owned(), "b0".to_owned()),
    ];
    stream.receive(&Request {
        names: Names::Change {
            more: names(&["default", "ROOTCA"]),
            less: vec![],
            held: held.into(),
        },
        nonce: String::new(),
        error: None,
    });
    let first = stream.due(&versions("b1", "c1")).expect("due");
    assert_eq!(first.resources, [(Kind::Bundle, "b1".to_owned())]);
    stream.receive(&change(&[], &[], &first.nonce, None));
    assert_eq!(stream.due(&versions("b1", "c1")), None);
    stream.receive(&change(&["default"], &[], "", None));
    assert!(stream.due(&versions("b1", "c1")).is_some());
}
