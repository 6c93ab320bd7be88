//! Histories that tell which hash stands for which rule.

use super::histories::apply;
use super::histories::delivered;
use super::histories::inside;
use super::histories::version;
use super::histories::who;
use crate::directory::Sidecar;
use crate::history::Observation;
use crate::testing::Recorder;
use crate::testing::shows;
use crate::testing::sidecar;
use crate::verdict::{Finding, Verdict};
use rstest::rstest;

/// Three sidecars in scope.
fn three() -> [Sidecar; 3] {
    [
        sidecar("inventory", 1, 3),
        inside(),
        sidecar("frontend", 1, 1),
    ]
}

/// What a sidecar shows that has the toggle of `v1` and the content `rule` stands for.
fn mixed(sidecar: &Sidecar, rule: &str) -> Observation {
    let mut seen = shows(sidecar, "a", "v1", "");
    seen.rules = shows(sidecar, "a", rule, "").rules;
    seen
}

/// What comes of the apply of `v1`, read at once, after the bound and at the end.
fn delivered_while(mut recorder: Recorder, read: impl Fn(&mut Recorder)) -> Finding {
    read(&mut recorder);
    recorder.wait(6000);
    read(&mut recorder);
    recorder.finished();
    read(&mut recorder);
    delivered(vec![apply("v1")], &recorder)
}

#[rstest]
#[case::read_first([0, 1, 2])]
#[case::read_last([1, 2, 0])]
fn of_two_contents_the_one_that_most_show_is_right(#[case] order: [usize; 3]) {
    let sidecars = three();
    let mut recorder = Recorder::new(&sidecars);
    let read = |recorder: &mut Recorder| {
        for number in order {
            let rule = if number == 0 { "other" } else { "v1" };
            recorder.observe(mixed(&sidecars[number], rule));
        }
    };
    recorder.step(0).write(&version("v1"));
    let found = delivered_while(recorder, read);
    assert_eq!(found.verdict, Verdict::Failed);
    assert_eq!(who(&found), ["inventory@zone1", "inventory@zone1"]);
}

#[test]
fn a_content_that_is_older_than_the_rule_does_not_stand_for_it_though_most_show_it() {
    let sidecars = three();
    let mut recorder = Recorder::new(&sidecars);
    for stale in &sidecars[1..] {
        let mut seen = mixed(stale, "older");
        seen.toggles.clear();
        recorder.observe(seen);
    }
    recorder.step(0).write(&version("v1"));
    let read = |recorder: &mut Recorder| {
        recorder.observe(mixed(&sidecars[0], "v1"));
        for stale in &sidecars[1..] {
            recorder.observe(mixed(stale, "older"));
        }
    };
    let found = delivered_while(recorder, read);
    assert_eq!(found.verdict, Verdict::Failed, "{found:?}");
    assert!(
        who(&found).iter().all(|who| *who != "inventory@zone1"),
        "{found:?}"
    );
}
