//! Histories of scenarios that were not carried out as they say: whatever was seen, they do not pass.

use super::histories::applied;
use super::histories::apply;
use super::histories::delivered;
use super::histories::inside;
use super::histories::join;
use super::histories::newcomer;
use super::histories::outside;
use super::histories::version;
use super::histories::who;
use super::requests::answered;
use super::requests::batch;
use super::requests::expecting;
use super::requests::finding;
use super::requests::load;
use super::requests::outage;
use super::requests::recorder;
use crate::checker::judge;
use crate::directory::Sidecar;
use crate::duration::Span;
use crate::expectation::Expectation;
use crate::fault::Fault;
use crate::history::{EventKind, ImageReplaced};
use crate::patience::{Patience, Whose};
use crate::scenario::{Act, Rollout, Scenario};
use crate::testing::{Recorder, shows, sidecar};
use crate::verdict::{Finding, Verdict};
use rstest::rstest;

#[test]
fn the_worst_finding_is_the_verdict() {
    let mut recorder = recorder();
    recorder.request(0, |_| {}).finished();
    let by = |application: &str| Expectation::AnsweredBy {
        traffic: "traffic".to_owned(),
        application: application.to_owned(),
    };
    let (passes, fails, is_open) = (answered(0), by("inventory"), Expectation::Unchanged);
    let verdict = |then: &[&Expectation]| {
        let scenario = Scenario {
            then: then.iter().map(|one| (*one).clone()).collect(),
            ..expecting(vec![batch(1)], answered(0))
        };
        judge(&scenario, &recorder.events, &Patience::default()).verdict
    };
    assert_eq!(verdict(&[&passes]), Verdict::Passed);
    assert_eq!(verdict(&[&is_open, &passes]), Verdict::Inconclusive);
    assert_eq!(verdict(&[&passes, &is_open]), Verdict::Inconclusive);
    assert_eq!(verdict(&[&fails, &is_open, &passes]), Verdict::Failed);
    assert_eq!(verdict(&[&passes, &is_open, &fails]), Verdict::Failed);
    assert_eq!(verdict(&[]), Verdict::Inconclusive);
}

#[test]
fn who_was_not_told_to_dial_anew_supports_nothing() {
    let canary = sidecar("canary", 2, 9);
    for told in [true, false] {
        let mut recorder = Recorder::new(&[inside(), canary.clone()]);
        recorder.step(0).write(&version("v1"));
        recorder.observe(shows(&inside(), "a", "v1", ""));
        recorder.step(1);
        if told {
            recorder.reconnected("checkout@zone1", "b", 2);
        }
        recorder.observe(shows(&inside(), "b", "v1", ""));
        recorder.finished().observe(shows(&inside(), "b", "v1", ""));
        let found = delivered(vec![apply("v1"), Act::Reconnect], &recorder);
        let stayed = if told { vec![] } else { vec!["checkout@zone1"] };
        assert_eq!(who(&found), stayed, "{found:?}");
        let verdict = if told {
            Verdict::Passed
        } else {
            Verdict::Inconclusive
        };
        assert_eq!(found.verdict, verdict, "{found:?}");
    }
}

#[test]
fn a_history_that_ends_early_passes_nothing() {
    let mut recorder = recorder();
    recorder.request(0, |_| {});
    let scenario = expecting(vec![batch(1)], answered(0));
    let judged = judge(&scenario, &recorder.events, &Patience::default());
    assert_eq!(judged.verdict, Verdict::Inconclusive);
    let finding = &judged.findings[0];
    assert_eq!((finding.observations, finding.details.len()), (1, 1));
    assert_eq!(finding.details[0].observed, "the history ends before");
    recorder.finished();
    let judged = judge(&scenario, &recorder.events, &Patience::default());
    assert_eq!(judged.verdict, Verdict::Passed);
}

/// Two faults, each of which is told to have hit somebody and to have ended.
fn two_faults(hits: [&[&str]; 2], ended: &[usize]) -> Finding {
    let mut recorder = recorder();
    recorder.request(0, |_| {});
    for (fault, hits) in hits.into_iter().enumerate() {
        recorder.push(EventKind::FaultStarted {
            fault,
            spec: outage(),
            hits: hits.iter().map(|hit| (*hit).to_owned()).collect(),
            efficacy: "measured".to_owned(),
            left: None,
        });
    }
    for fault in ended {
        recorder.push(EventKind::FaultEnded { fault: *fault });
    }
    let inject = Act::Inject(outage());
    let when = vec![load(), inject.clone(), inject, Act::Recover];
    finding(&expecting(when, answered(0)), &recorder)
}

#[test]
fn every_fault_must_hit_somebody_and_end() {
    let zone: &[&str] = &["frontend@zone1"];
    assert_eq!(two_faults([zone, zone], &[0, 1]).verdict, Verdict::Passed);
    let open = two_faults([zone, zone], &[1]);
    assert_eq!(open.verdict, Verdict::Inconclusive);
    assert_eq!(open.details[0].observed, "1 of 2 ended");
    let nobody = two_faults([zone, &[]], &[0, 1]);
    assert_eq!(nobody.verdict, Verdict::Inconclusive);
    assert_eq!(nobody.details[0].observed, "nobody is hit");
}

#[test]
fn what_must_be_borne_must_last_until_the_recovery() {
    let judged = |millis: u64| {
        let fault = Fault::DiskFull {
            component: "node-agent".to_owned(),
            data_center: "zone1".to_owned(),
            duration: Span::secs(10),
        };
        let mut recorder = recorder();
        recorder.request(0, |_| {});
        recorder.step(1).push(EventKind::FaultStarted {
            fault: 0,
            spec: fault.clone(),
            hits: vec!["frontend@zone1".to_owned()],
            efficacy: "measured".to_owned(),
            left: None,
        });
        recorder.wait(millis).step(2);
        recorder
            .wait(60_000)
            .push(EventKind::FaultEnded { fault: 0 });
        let when = vec![load(), Act::Inject(fault), Act::Recover];
        finding(&expecting(when, answered(0)), &recorder)
    };
    assert_eq!(judged(9_900).verdict, Verdict::Passed);
    let late = judged(10_100);
    assert_eq!(late.verdict, Verdict::Inconclusive);
    assert_eq!(late.details[0].observed, "what came before took 10.1 s");
}

#[test]
fn a_rollout_must_have_replaced_somebody() {
    let what = || Rollout::Application("checkout".to_owned());
    let judged = |gone: &[&str], came: &[&str], of: Rollout| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut recorder = recorder();
        recorder.request(0, |_| {});
        recorder.step(1);
        recorder.push(EventKind::RolledOut {
            what: of,
            gone: names(gone),
            came: names(came),
            images: Vec::new(),
        });
        finding(
            &expecting(vec![load(), Act::Restart(what())], answered(0)),
            &recorder,
        )
    };
    assert_eq!(judged(&["a"], &["b"], what()).verdict, Verdict::Passed);
    for missing in [
        judged(&[], &["b"], what()),
        judged(&["a"], &[], what()),
        judged(&["a"], &["b"], Rollout::Component("checkout".to_owned())),
    ] {
        assert_eq!(missing.verdict, Verdict::Inconclusive);
        assert_eq!(missing.details[0].observed, "it was not");
    }
}

#[test]
fn a_build_that_was_taken_back_must_be_put_in_place_again() {
    let what = || Rollout::Component("node-agent".to_owned());
    let judged = |rollouts: &[(&str, &str)]| {
        let mut recorder = recorder();
        recorder.request(0, |_| {});
        recorder.step(1);
        for (from, to) in rollouts {
            recorder.push(EventKind::RolledOut {
                what: what(),
                gone: vec![format!("with-{from}")],
                came: vec![format!("with-{to}")],
                images: vec![ImageReplaced {
                    of: "node-agent".to_owned(),
                    container: "agent".to_owned(),
                    from: (*from).to_owned(),
                    to: (*to).to_owned(),
                }],
            });
        }
        finding(
            &expecting(vec![load(), Act::Restart(what())], answered(0)),
            &recorder,
        )
    };
    let back = judged(&[("new", "old"), ("old", "new")]);
    assert_eq!(back.verdict, Verdict::Passed);
    let left = judged(&[("new", "old")]);
    assert_eq!(left.verdict, Verdict::Inconclusive);
    assert_eq!(
        left.details[0].observed,
        "it was not; node-agent was left with old for agent, and had new"
    );
}

#[test]
fn why_a_rollout_came_to_no_end_is_told() {
    let mut recorder = recorder();
    recorder.request(0, |_| {});
    recorder.step(1);
    recorder.push(EventKind::GaveUp {
        waited_for: "pod a: CrashLoopBackOff".to_owned(),
        whose: Whose::Harness,
    });
    let act = Act::Restart(Rollout::Application("checkout".to_owned()));
    let found = finding(&expecting(vec![load(), act], answered(0)), &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    let told = found.details.iter().map(|detail| detail.observed.as_str());
    assert!(
        told.clone()
            .any(|told| told == "it was not: pod a: CrashLoopBackOff"),
        "{found:#?}"
    );
}

/// Everything is right, and then one more checkout is to join in zone 1.
fn joining(step: Option<usize>, who: &Sidecar) -> Finding {
    let mut recorder = applied();
    recorder.events.retain(|e| e.kind != EventKind::Finished);
    recorder.step(1);
    recorder.step = step;
    recorder.push(EventKind::SidecarJoined {
        sidecar: who.clone(),
    });
    for step in [Some(1), None] {
        recorder.step = step;
        if step.is_none() {
            recorder.finished();
        }
        recorder.observe(shows(who, "a", "v1", ""));
        recorder.observe(shows(&inside(), "a", "v1", ""));
    }
    delivered(vec![apply("v1"), join()], &recorder)
}

#[test]
fn who_is_to_join_must_have_joined() {
    let found = joining(Some(1), &newcomer());
    assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
    let elsewhere = Sidecar {
        data_center: "zone2".to_owned(),
        ..newcomer()
    };
    let other = Sidecar {
        application: "frontend".to_owned(),
        ..newcomer()
    };
    for (step, who) in [
        (None, &newcomer()),
        (Some(1), &elsewhere),
        (Some(1), &other),
    ] {
        let found = joining(step, who);
        assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
        assert_eq!(found.details[0].observed, "none did");
        assert_eq!(found.details[0].step, Some(1));
    }
}

fn leaving(who: &[Sidecar]) -> Finding {
    let mut recorder = Recorder::new(&[inside(), newcomer(), outside()]);
    recorder.step(0);
    for sidecar in who {
        recorder.push(EventKind::SidecarLeft {
            sidecar: sidecar.name.clone(),
            pod_uid: sidecar.pod_uid.clone(),
        });
    }
    recorder.step(1).request(0, |_| {});
    let leave = Act::Leave {
        application: "checkout".to_owned(),
        data_center: "zone1".to_owned(),
    };
    finding(&expecting(vec![leave, batch(1)], answered(0)), &recorder)
}

#[rstest]
#[case::nobody(&[], "still there")]
#[case::one_of_two(&[inside()], "still there")]
#[case::another(&[outside()], "still there")]
fn who_is_to_leave_must_have_left(#[case] gone: &[Sidecar], #[case] observed: &str) {
    let found = leaving(gone);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].observed, observed);
    assert_eq!(found.details[0].step, Some(0));
    assert!(found.details[0].sidecar.is_some());
    assert_eq!(
        leaving(&[inside(), newcomer()]).verdict,
        Verdict::Passed,
        "all of them and nobody else"
    );
}

#[test]
fn who_was_gone_before_does_not_leave() {
    let mut recorder = recorder();
    let gone = [inside().name, outside().name];
    recorder
        .events
        .retain(|e| !matches!(&e.kind, EventKind::SidecarJoined { sidecar } if gone.contains(&sidecar.name)));
    recorder.request(0, |_| {});
    let leave = |zone: &str| Act::Leave {
        application: "checkout".to_owned(),
        data_center: zone.to_owned(),
    };
    let found = finding(
        &expecting(vec![leave("zone1"), batch(1)], answered(0)),
        &recorder,
    );
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].observed, "nobody left");
    // Of several steps the one in which somebody left counts.
    let mut before = Recorder::new(&[inside(), outside()]);
    before.push(EventKind::SidecarLeft {
        sidecar: inside().name,
        pod_uid: inside().pod_uid,
    });
    before.step(0).request(0, |_| {});
    let found = finding(
        &expecting(vec![leave("zone1"), batch(1)], answered(0)),
        &before,
    );
    assert_eq!(found.details[0].observed, "nobody left");
}
