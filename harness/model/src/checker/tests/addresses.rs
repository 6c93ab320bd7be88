//! Histories of a pod that keeps its UID and its name and comes back at another address, as one does whose node had no power.

use super::histories::both;
use super::histories::confined;
use super::histories::delivered;
use super::histories::inside;
use super::histories::one;
use super::histories::outside;
use super::histories::who;
use super::requests::outage;
use crate::configuration::Configuration;
use crate::directory::Sidecar;
use crate::duration::Span;
use crate::expectation::Expectation;
use crate::history::EventKind;
use crate::scenario::Act;
use crate::testing::Recorder;
use crate::testing::configuration;
use crate::testing::entry_ip;
use crate::testing::shows;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use rstest::rstest;

/// The pod in zone 1 as it comes back.
fn moved() -> Sidecar {
    Sidecar {
        ip: "10.101.1.77".to_owned(),
        ..inside()
    }
}

/// For whoever has the address of `sidecar`, and for the pod in zone 2, whose address stays: the witness of all proofs.
fn for_address(sidecar: &Sidecar, value: &str) -> Configuration {
    let entries = vec![entry_ip(&sidecar.ip), entry_ip(&outside().ip)];
    configuration("scoped", entries, value)
}

fn comes_back(recorder: &mut Recorder, sidecar: Sidecar) {
    recorder.push(EventKind::SidecarLeft {
        sidecar: sidecar.name.clone(),
        pod_uid: sidecar.pod_uid.clone(),
    });
    recorder.push(EventKind::SidecarJoined { sidecar });
}

/// What the pod and the witness show.
fn read(recorder: &mut Recorder, pod: &str, witness: &str, marker: &str) {
    recorder.observe(shows(&inside(), "a", pod, marker));
    recorder.observe(shows(&outside(), "a", witness, marker));
}

/// A settled and proven step.
fn settled(recorder: &mut Recorder, pod: &str, witness: &str, marker: &str) {
    read(recorder, pod, witness, "");
    recorder.marker(marker);
    read(recorder, pod, witness, marker);
}

/// `v1` for the pod's address; its node has no power for a while; then `v2` for the address that it has by then. Before it shows
/// what it must it may show `v1` once more, so many milliseconds after it is back.
fn is_given_by_each_address(shows_v1_after_ms: Option<u64>) -> (Vec<Act>, Recorder) {
    let (first, second) = (for_address(&inside(), "v1"), for_address(&moved(), "v2"));
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&first);
    settled(&mut recorder, "v1", "v1", "m0");
    recorder
        .step(1)
        .fault_started(outage(), &["checkout@zone1"]);
    recorder.step(2).fault_ended();
    comes_back(&mut recorder, moved());
    if let Some(after_ms) = shows_v1_after_ms {
        recorder
            .wait(after_ms - 1)
            .observe(shows(&inside(), "a", "v1", ""));
    }
    settled(&mut recorder, "", "v1", "m2");
    recorder.step(3).write(&second);
    settled(&mut recorder, "v2", "v2", "m3");
    recorder.finished().marker("end");
    read(&mut recorder, "v2", "v2", "end");
    let when = vec![
        Act::Apply(first),
        Act::Inject(outage()),
        Act::Recover,
        Act::Apply(second),
    ];
    (when, recorder)
}

#[test]
fn a_scope_is_about_the_address_that_a_pod_has_then() {
    let (when, recorder) = is_given_by_each_address(None);
    let found = delivered(when.clone(), &recorder);
    // Both after each write and at the end, and the witness alone after the outage.
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 7),
        "{found:?}"
    );
    let found = confined(when, &recorder);
    assert_eq!(found.verdict, Verdict::Passed, "{found:?}");
}

#[rstest]
#[case::within_the_bound(5000, Verdict::Passed)]
#[case::after_it(5001, Verdict::Failed)]
fn what_was_meant_for_its_last_address_may_be_shown_for_as_long_as_a_delivery_may_take(
    #[case] shows_v1_after_ms: u64,
    #[case] verdict: Verdict,
) {
    let (when, recorder) = is_given_by_each_address(Some(shows_v1_after_ms));
    let found = confined(when, &recorder);
    assert_eq!(found.verdict, verdict, "{found:?}");
    if verdict == Verdict::Failed {
        // The toggle and the rule.
        assert_eq!(who(&found), ["checkout@zone1", "checkout@zone1"]);
        assert_eq!(found.details[0].step, Some(2));
        assert_eq!(found.details[0].expected, "nothing");
    }
}

/// `v1` for the address that the pod does not have yet. In the next act it comes back at that one and shows each value after so
/// many milliseconds more; the act waits for the end of an outage, or nothing tells of one.
fn comes_into_scope(tells_of_outage: bool, shown: &[(u64, &str)]) -> Finding {
    let given = for_address(&moved(), "v1");
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&given);
    read(&mut recorder, "", "v1", "");
    let mut when = vec![Act::Apply(given)];
    if tells_of_outage {
        recorder
            .step(1)
            .fault_started(outage(), &["checkout@zone1"]);
        when.push(Act::Inject(outage()));
        when.push(Act::Recover);
    } else {
        when.push(Act::Hold(Span::secs(1)));
    }
    recorder.wait(30_000).step(when.len() - 1);
    // What it shows at its first address is right there, and says nothing of the other one.
    recorder.observe(shows(&inside(), "a", "", ""));
    comes_back(&mut recorder, moved());
    if tells_of_outage {
        recorder.fault_ended();
    }
    for (after_ms, value) in shown {
        recorder
            .wait(after_ms - 1)
            .observe(shows(&inside(), "a", value, ""));
    }
    recorder.observe(shows(&outside(), "a", "v1", ""));
    recorder.finished();
    read(&mut recorder, "v1", "v1", "");
    delivered(when, &recorder)
}

#[rstest]
#[case::at_once(false, &[(1, "v1")], Verdict::Passed)]
#[case::not_yet(false, &[(4999, "")], Verdict::Inconclusive)]
#[case::not_in_time(false, &[(5000, "")], Verdict::Failed)]
#[case::soon_after_it_can_be_read(false, &[(10_000, ""), (4999, ""), (1, "v1")], Verdict::Passed)]
#[case::late_after_it_can_be_read(false, &[(10_000, ""), (5000, ""), (1, "v1")], Verdict::Failed)]
#[case::soon_after_the_outage(true, &[(19_999, ""), (1, "v1")], Verdict::Passed)]
#[case::late_after_the_outage(true, &[(20_000, ""), (1, "v1")], Verdict::Failed)]
fn what_is_meant_for_its_new_address_must_come_in_time(
    #[case] tells_of_outage: bool,
    #[case] shown: &[(u64, &str)],
    #[case] verdict: Verdict,
) {
    let found = comes_into_scope(tells_of_outage, shown);
    assert_eq!(found.verdict, verdict, "{found:?}");
    if verdict != Verdict::Passed {
        assert_eq!(who(&found), ["checkout@zone1"]);
        assert!(found.details[0].observed.starts_with("no toggle `flag`"));
    }
}

#[test]
fn a_pod_may_have_its_first_address_again() {
    let given = for_address(&inside(), "v1");
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&given);
    read(&mut recorder, "v1", "v1", "");
    recorder.step(1);
    comes_back(&mut recorder, moved());
    comes_back(&mut recorder, inside());
    read(&mut recorder, "v1", "v1", "");
    recorder.finished();
    read(&mut recorder, "v1", "v1", "");
    let when = vec![Act::Apply(given), Act::Hold(Span::secs(1))];
    let found = delivered(when, &recorder);
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 6),
        "{found:?}"
    );
}

/// `v1` and then `v2` for the pod's address; it comes back at another one, and `v1` is written for the address of `recipient`.
fn goes_back(recipient: &Sidecar, shown: &str) -> Finding {
    let back = for_address(recipient, "v1");
    let mut recorder = Recorder::new(&both());
    for (step, value) in ["v1", "v2"].into_iter().enumerate() {
        recorder.step(step).write(&for_address(&inside(), value));
        read(&mut recorder, value, value, "");
    }
    comes_back(&mut recorder, moved());
    recorder.step(2).write(&back);
    read(&mut recorder, shown, "v1", "");
    let restored = Expectation::Restored {
        reference: 0,
        step: 2,
    };
    let when = vec![
        Act::Apply(for_address(&inside(), "v1")),
        Act::Apply(for_address(&inside(), "v2")),
        Act::Apply(back),
    ];
    one(when, restored, &recorder.whole())
}

#[test]
fn what_was_there_is_restored_at_another_address_where_it_is_meant_for_that() {
    let found = goes_back(&moved(), "v1");
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 2),
        "{found:?}"
    );
    let found = goes_back(&moved(), "v2");
    assert_eq!(found.verdict, Verdict::Failed, "{found:?}");
    assert_eq!(who(&found), ["checkout@zone1"]);
    let found = goes_back(&inside(), "");
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
    assert_eq!(
        found.details[0].observed,
        "at another address, where it must show something else"
    );
}
