//! Histories of waits that ended in vain: what is told of them.

use super::histories::{applied, applied_but, apply, expecting};
use crate::checker::evidence::clock;
use crate::checker::judge;
use crate::directory::Sidecar;
use crate::expectation::Expectation;
use crate::history::{EventKind, XdsForm};
use crate::in_vain::{self, VainWait, waited_for};
use crate::patience::{Patience, Whose};
use crate::scenario::Act;
use crate::testing::{Recorder, reading, scenario, sidecar};
use crate::verdict::{Judgement, Verdict};
use rstest::rstest;

fn frontends(count: usize) -> Vec<Sidecar> {
    let zones = 1..=count;
    zones.map(|zone| sidecar("frontend", zone, 1)).collect()
}

/// The sidecar was read while it spoke this.
fn speaks(recorder: &mut Recorder, sidecar: &Sidecar, form: Option<XdsForm>) {
    let mut seen = reading(&sidecar.name, &sidecar.pod_uid);
    seen.stream.form = form;
    recorder.observe(seen);
}

fn gives_up(recorder: &mut Recorder, waited_for: impl Into<String>) {
    recorder.push(EventKind::GaveUp {
        waited_for: waited_for.into(),
        whose: Whose::Mesh,
    });
}

/// What is told of a wait for this among five sidecars.
fn told(waited_for: &str) -> String {
    let mut recorder = Recorder::new(&frontends(5));
    gives_up(recorder.step(0), waited_for);
    let mut waits = in_vain::of(&scenario(vec![]), &recorder.events);
    assert_eq!(waits.len(), 1);
    waits.remove(0).waited_for
}

#[test]
fn it_is_told_unless_the_scenario_passed_and_decides_nothing() {
    let scenario = expecting(vec![apply("v1")], vec![Expectation::Delivered]);
    let judged = |history: &Recorder| -> (Judgement, Judgement) {
        let mut in_vain = history.clone();
        in_vain.gave_up_itself();
        let [with, without] = [&in_vain, history]
            .map(|history| judge(&scenario, &history.events, &Patience::default()));
        assert_eq!(with.verdict, without.verdict);
        assert_eq!(with.findings, without.findings);
        (with, without)
    };
    let (passed, _) = judged(&applied());
    assert_eq!(passed.verdict, Verdict::Passed);
    assert!(passed.waited_in_vain.is_empty());
    let history = applied_but(|_, seen| seen.toggles.clear());
    let (with, without) = judged(&history);
    assert_ne!(with.verdict, Verdict::Passed);
    assert!(without.waited_in_vain.is_empty());
    let at_ns = history.now_ns() + 1_000_000;
    let wait = VainWait {
        step: None,
        during: "the end".to_owned(),
        at_ns,
        whose: Whose::Harness,
        waited_for: "something of its own".to_owned(),
        event: history.events.len(),
    };
    let line = format!("the end, until {}: something of its own", clock(at_ns));
    assert_eq!(wait.to_string(), line);
    assert_eq!(with.waited_in_vain, [wait]);
}

#[test]
fn who_lacks_the_same_stands_together_with_the_form_of_xds_that_no_other_speaks() {
    let sidecars = frontends(9);
    let (delta, sotw) = sidecars.split_at(8);
    let mut recorder = Recorder::new(&sidecars);
    for sidecar in delta {
        speaks(&mut recorder, sidecar, Some(XdsForm::Delta));
        // Where it is not connected it does not tell.
        speaks(&mut recorder, sidecar, None);
    }
    let missing: Vec<String> = delta
        .iter()
        .map(|sidecar| format!("{}: still has the cluster inventory:80", sidecar.name))
        .collect();
    let waited_for = waited_for("no sidecar to know inventory any more", &missing);
    recorder.step(0).wait_until(5000);
    gives_up(&mut recorder, waited_for.as_str());
    // Now that somebody speaks the other form theirs says something.
    speaks(&mut recorder, &sotw[0], Some(XdsForm::Sotw));
    recorder.wait_until(6000);
    gives_up(&mut recorder, waited_for.as_str());
    let scenario = scenario(vec![Act::Withdraw("inventory".to_owned())]);
    let waits = in_vain::of(&scenario, &recorder.events);
    let told: Vec<String> = waits.iter().map(ToString::to_string).collect();
    let line = |until: &str, form: &str| {
        format!(
            "step 0 (take the service inventory away), until {until}: no sidecar to know inventory any more; missing: 8 of 9 sidecars{form} (frontend@zone1, frontend@zone2, frontend@zone3, frontend@zone4, frontend@zone5, frontend@zone6 and 2 more: still has the cluster inventory:80)"
        )
    };
    let lines = [line("5.000 s", ""), line("6.000 s", ", all over delta")];
    assert_eq!(told, lines);
}

#[rstest]
#[case::without_a_reason(
    "frontend@zone1; frontend@zone2",
    "2 of 5 sidecars (frontend@zone1, frontend@zone2)"
)]
#[case::for_several_reasons(
    "frontend@zone1: away; frontend@zone2: cut off; by whom is not known; frontend@zone3: away; frontend@zone4: late; frontend@zone5: lost",
    "5 of 5 sidecars (frontend@zone1, frontend@zone3: away; frontend@zone2: cut off; by whom is not known; frontend@zone4: late; and 1 more)"
)]
#[case::no_sidecar_alone(
    "frontend@zone1 to be gone; the new sidecar in zone2 to be read",
    "frontend@zone1 to be gone; the new sidecar in zone2 to be read"
)]
#[case::one_that_has_left_beside_another(
    "frontend@zone1: late; somebody@zone1: late",
    "1 of 5 sidecars (frontend@zone1: late); somebody@zone1: late"
)]
#[case::many_that_are_not_there("a; b; c; d; e", "a; b; c; and 2 more")]
fn who_lacked_it_is_told(#[case] missing: &str, #[case] words: &str) {
    let missing: Vec<String> = missing.split("; ").map(str::to_owned).collect();
    let words = format!("all of it; missing: {words}");
    assert_eq!(told(&waited_for("all of it", &missing)), words);
}

#[test]
fn who_has_left_is_not_counted() {
    let sidecars = frontends(2);
    let mut recorder = Recorder::new(&sidecars);
    let left = |uid: &str| EventKind::SidecarLeft {
        sidecar: sidecars[0].name.clone(),
        pod_uid: uid.to_owned(),
    };
    // Its name is that of another pod by then.
    recorder.push(left("of an earlier pod"));
    gives_up(&mut recorder, "all of it; missing: frontend@zone2");
    recorder.push(left(&sidecars[0].pod_uid));
    gives_up(&mut recorder, "all of it; missing: frontend@zone2");
    let waits = in_vain::of(&scenario(vec![]), &recorder.events);
    let told: Vec<&str> = waits.iter().map(|wait| wait.waited_for.as_str()).collect();
    let line = |all: usize| format!("all of it; missing: 1 of {all} sidecars (frontend@zone2)");
    assert_eq!(told, [line(2), line(1)]);
    assert!(waits.iter().all(|wait| wait.during == "given"));
}

#[test]
fn a_long_text_is_one_line_and_cut() {
    assert_eq!(told("the pods:\n  a\n  b"), "the pods: a b");
    let long = "é".repeat(1000);
    let cut = format!("{}... and 700 characters more", "é".repeat(300));
    assert_eq!(told(&long), cut);
    let missing = [format!("frontend@zone1: {long}")];
    let words = format!("{long}; missing: 1 of 5 sidecars (frontend@zone1: {long})");
    assert_eq!(
        told(&waited_for(&long, &missing)),
        words.replace(&long, &cut)
    );
}
