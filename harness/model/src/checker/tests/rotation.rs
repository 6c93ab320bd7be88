//! Histories of what certificates lead to: roots and intermediates that are replaced, and trust that is missing.

use super::requests::{expecting, finding};
use crate::configuration::{Configuration, InboundTls, Tls};
use crate::directory::Sidecar;
use crate::expectation::Expectation;
use crate::history::{CertificateSeen, EventKind, Observation};
use crate::rotation::Rotation;
use crate::scenario::Act;
use crate::testing::{Recorder, configuration, entry_application, shows, sidecar};
use crate::verdict::{Finding, Verdict};
use rstest::rstest;

fn sidecars() -> [Sidecar; 2] {
    [sidecar("checkout", 1, 2), sidecar("checkout", 2, 2)]
}

fn everybody() -> Configuration {
    let inbound = Some(InboundTls::Strict);
    Configuration {
        tls: Some(Tls {
            inbound,
            ..Tls::default()
        }),
        ..configuration("scoped", vec![entry_application("checkout")], "v1")
    }
}

/// A certificate that leads to `root` (empty: to none) by `issuer`, where `roots` are trusted.
fn held(root: &str, issuer: &str, roots: &[&str]) -> CertificateSeen {
    CertificateSeen {
        identities: vec!["spiffe://mesh/sa/checkout".to_owned()],
        serial: format!("{root}{issuer}"),
        root: Some(root.to_owned()).filter(|root| !root.is_empty()),
        issuer: Some(issuer.to_owned()),
        roots: roots.iter().map(|root| (*root).to_owned()).collect(),
        ..CertificateSeen::default()
    }
}

/// The same where the keys of its root and of its issuer are told; an empty one is not.
fn of_keys(held: CertificateSeen, [root, issuer]: [&str; 2]) -> CertificateSeen {
    let told = |key: &str| Some(key.to_owned()).filter(|key| !key.is_empty());
    CertificateSeen {
        root_key: told(root),
        issuer_key: told(issuer),
        ..held
    }
}

fn read(recorder: &mut Recorder, place: usize, held: CertificateSeen) {
    recorder.observe(Observation {
        certificate: Some(held),
        ..shows(&sidecars()[place], "a", "v1", "")
    });
}

/// Both hold a certificate that leads to `r1`, trust what is `trusted`, and then the act is done.
fn before(rotation: Rotation, trusted: &[&str]) -> Recorder {
    let mut recorder = Recorder::new(&sidecars());
    recorder.step(0).write(&everybody());
    for place in 0..2 {
        read(&mut recorder, place, held("r1", "i1", trusted));
    }
    recorder.step(1).push(EventKind::Rotated { rotation });
    recorder
}

fn judged(rotation: Rotation, recorder: &Recorder, expectation: Expectation) -> Finding {
    let when = vec![Act::Apply(everybody()), Act::Rotate(rotation)];
    finding(&expecting(when, expectation), recorder)
}

const NEW_ROOT: Rotation = Rotation::NewRoot;
const NEW_INTERMEDIATE: Rotation = Rotation::NewIntermediate;
const DROP: Rotation = Rotation::DropOldRoots;
const DROP_PARTNER: Rotation = Rotation::DropPartner;

fn partner() -> Rotation {
    Rotation::TrustPartner("frontend@dc1".to_owned())
}

#[rstest]
#[case::new_root(NEW_ROOT, &["r1"], held("r2", "i2", &["r1", "r2"]), None)]
#[case::old_root(NEW_ROOT, &["r1"], held("r1", "i1", &["r1", "r2"]), Some("to an old one"))]
#[case::old_root_not_trusted(NEW_ROOT, &["r1"], held("r2", "i2", &["r2"]), Some("one root trusted"))]
#[case::leads_nowhere(NEW_ROOT, &["r1"], held("", "i2", &["r1"]), Some("it leads to none"))]
#[case::new_intermediate(NEW_INTERMEDIATE, &["r1"], held("r1", "i2", &["r1"]), None)]
#[case::old_intermediate(NEW_INTERMEDIATE, &["r1"], held("r1", "i1", &["r1"]), Some("of an old one"))]
#[case::other_root(NEW_INTERMEDIATE, &["r1"], held("r2", "i2", &["r1", "r2"]), Some("to another one"))]
#[case::dropped(DROP, &["r0", "r1"], held("r1", "i1", &["r1"]), None)]
#[case::not_dropped(DROP, &["r0", "r1"], held("r1", "i1", &["r0", "r1"]), Some("2 roots trusted"))]
#[case::partner_trusted(partner(), &["r1"], held("r1", "i1", &["p1", "r1"]), None)]
#[case::partner_in_the_place_of_one_that_was_left(partner(), &["p0", "r1"], held("r1", "i1", &["p1", "r1"]), None)]
#[case::partner_not_trusted(partner(), &["r1"], held("r1", "i1", &["r1"]), Some("none is new"))]
#[case::led_to_the_partner(partner(), &["r1"], held("p1", "i1", &["p1", "r1"]), Some("to another one"))]
#[case::partner_dropped(DROP_PARTNER, &["p1", "r1"], held("r1", "i1", &["r1"]), None)]
#[case::partner_kept(DROP_PARTNER, &["p1", "r1"], held("r1", "i1", &["p1", "r1"]), Some("2 roots trusted, as before"))]
#[case::own_dropped(DROP_PARTNER, &["p1", "r1"], held("", "i1", &["p1"]), Some("it leads to none"))]
#[case::nothing_to_drop(DROP, &["r1"], held("r1", "i1", &["r1"]), Some("nothing was dropped"))]
fn every_certificate_must_show_what_is_new(
    #[case] rotation: Rotation,
    #[case] trusted: &[&str],
    #[case] after: CertificateSeen,
    #[case] wrong: Option<&str>,
) {
    let with_end = |end: &dyn Fn(&mut Recorder)| {
        let mut recorder = before(rotation.clone(), trusted);
        for place in 0..2 {
            read(&mut recorder, place, after.clone());
        }
        end(&mut recorder);
        let expectation = Expectation::Rotated { step: 1 };
        judged(rotation.clone(), &recorder, expectation)
    };
    let over = with_end(&|recorder| {
        recorder.gave_up();
    });
    // As long as the mesh has time nothing is wrong yet.
    let early = with_end(&|_| {});
    match wrong {
        None => {
            assert_eq!(over.verdict, Verdict::Passed, "{over:#?}");
            assert_eq!(early.verdict, Verdict::Passed, "{early:#?}");
        }
        Some(words) => {
            assert_eq!(over.verdict, Verdict::Failed, "{over:#?}");
            assert!(over.details[0].observed.contains(words), "{over:#?}");
            assert_eq!(early.verdict, Verdict::Inconclusive, "{early:#?}");
        }
    }
}

const OLD_ROOT_KEY: Option<&str> = Some("the key of an old root");
const OLD_ISSUER_KEY: Option<&str> = Some("the key of an old intermediate");

#[rstest]
#[case::new_root(NEW_ROOT, ["r2", "i2"], ["k1", "j1"], ["k2", "j2"], None)]
#[case::new_root_with_the_old_key(NEW_ROOT, ["r2", "i2"], ["k1", "j1"], ["k1", "j2"], OLD_ROOT_KEY)]
#[case::intermediate_with_the_old_key_below_a_new_root(NEW_ROOT, ["r2", "i2"], ["k1", "j1"], ["k2", "j1"], None)]
#[case::new_intermediate(NEW_INTERMEDIATE, ["r1", "i2"], ["k1", "j1"], ["k1", "j2"], None)]
#[case::new_intermediate_with_the_old_key(NEW_INTERMEDIATE, ["r1", "i2"], ["k1", "j1"], ["k1", "j1"], OLD_ISSUER_KEY)]
#[case::root_keys_told_before_alone(NEW_ROOT, ["r2", "i2"], ["k1", "j1"], ["", ""], None)]
#[case::root_keys_told_afterwards_alone(NEW_ROOT, ["r2", "i2"], ["", ""], ["k1", "j1"], None)]
#[case::intermediate_keys_not_told(NEW_INTERMEDIATE, ["r1", "i2"], ["", ""], ["", ""], None)]
fn what_is_new_must_have_a_new_key_where_keys_are_told(
    #[case] rotation: Rotation,
    #[case] leads_to: [&str; 2],
    #[case] before: [&str; 2],
    #[case] after: [&str; 2],
    #[case] wrong: Option<&str>,
) {
    let mut recorder = Recorder::new(&sidecars());
    recorder.step(0).write(&everybody());
    for place in 0..2 {
        let held = held("r1", "i1", &["r1"]);
        read(&mut recorder, place, of_keys(held, before));
    }
    recorder.step(1).push(EventKind::Rotated {
        rotation: rotation.clone(),
    });
    for place in 0..2 {
        let [root, issuer] = leads_to;
        let held = held(root, issuer, &["r1", "r2"]);
        read(&mut recorder, place, of_keys(held, after));
    }
    recorder.gave_up();
    let expectation = Expectation::Rotated { step: 1 };
    let found = judged(rotation, &recorder, expectation);
    match wrong {
        None => assert_eq!(found.verdict, Verdict::Passed, "{found:#?}"),
        Some(words) => {
            assert_eq!(found.verdict, Verdict::Failed, "{found:#?}");
            assert!(found.details[0].observed.contains(words), "{found:#?}");
        }
    }
}

#[test]
fn a_late_reading_of_something_old_is_a_failure_by_itself() {
    let mut recorder = before(NEW_ROOT, &["r1"]);
    recorder.wait(30_000);
    for place in 0..2 {
        read(&mut recorder, place, held("r1", "i1", &["r1"]));
    }
    let found = judged(NEW_ROOT, &recorder, Expectation::Rotated { step: 1 });
    assert_eq!(found.verdict, Verdict::Failed, "{found:#?}");
}

#[test]
fn what_was_shown_before_the_act_is_not_taken_for_what_came_of_it() {
    let mut recorder = before(NEW_ROOT, &["r1"]);
    recorder.gave_up();
    let found = judged(NEW_ROOT, &recorder, Expectation::Rotated { step: 1 });
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
}

#[test]
fn who_was_gone_before_the_act_has_no_part_in_what_was_before() {
    let mut recorder = Recorder::new(&sidecars());
    recorder.step(0).write(&everybody());
    read(&mut recorder, 0, held("r0", "i0", &["r0"]));
    let [gone, _] = sidecars();
    recorder.push(EventKind::SidecarLeft {
        sidecar: gone.name.clone(),
        pod_uid: gone.pod_uid.clone(),
    });
    let next = Sidecar {
        pod_uid: "another".to_owned(),
        ..gone
    };
    recorder.push(EventKind::SidecarJoined {
        sidecar: next.clone(),
    });
    let read_next = |recorder: &mut Recorder, held| {
        recorder.observe(Observation {
            certificate: Some(held),
            ..shows(&next, "a", "v1", "")
        });
    };
    read_next(&mut recorder, held("r1", "i1", &["r1"]));
    read(&mut recorder, 1, held("r1", "i1", &["r1"]));
    let rotation = NEW_ROOT;
    recorder.step(1).push(EventKind::Rotated { rotation });
    // Nobody who is there led to r0, so nobody has to trust it.
    read_next(&mut recorder, held("r2", "i2", &["r1", "r2"]));
    read(&mut recorder, 1, held("r2", "i2", &["r1", "r2"]));
    let found = judged(NEW_ROOT, &recorder, Expectation::Rotated { step: 1 });
    assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
}

#[test]
fn two_new_roots_are_one_too_many() {
    let mut recorder = before(NEW_ROOT, &["r1"]);
    read(&mut recorder, 0, held("r2", "i2", &["r1", "r2", "r3"]));
    read(&mut recorder, 1, held("r3", "i3", &["r1", "r2", "r3"]));
    let found = judged(NEW_ROOT, &recorder, Expectation::Rotated { step: 1 });
    assert_eq!(found.verdict, Verdict::Failed, "{found:#?}");
}

#[test]
fn what_was_not_done_or_not_read_decides_nothing() {
    let mut recorder = Recorder::new(&sidecars());
    recorder.step(0).write(&everybody());
    recorder.step(1);
    let expectation = Expectation::Rotated { step: 1 };
    let found = judged(NEW_ROOT, &recorder, expectation.clone());
    assert_eq!(found.verdict, Verdict::Inconclusive, "not written");
    recorder.push(EventKind::Rotated { rotation: NEW_ROOT });
    for place in 0..2 {
        read(&mut recorder, place, held("r2", "i2", &["r1", "r2"]));
    }
    let found = judged(NEW_ROOT, &recorder, expectation);
    assert_eq!(found.verdict, Verdict::Inconclusive, "nothing before");
}

#[test]
fn trust_is_missing_where_somebody_showed_the_root_before_and_after() {
    let trusted = |second: &[&str]| {
        let mut recorder = before(NEW_ROOT, &["r1"]);
        read(&mut recorder, 0, held("r2", "i2", &["r1", "r2"]));
        read(&mut recorder, 1, held("r1", "i1", second));
        read(&mut recorder, 0, held("r2", "i2", &["r1", "r2"]));
        judged(NEW_ROOT, &recorder, Expectation::Trusted)
    };
    let found = trusted(&["r1", "r2"]);
    assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
    let found = trusted(&["r1"]);
    assert_eq!(found.verdict, Verdict::Failed, "{found:#?}");
    assert_eq!(found.details[0].sidecar.as_deref(), Some("checkout@zone2"));
    assert!(found.details[0].expected.contains("checkout@zone1"));
}

#[test]
fn what_happened_between_two_readings_is_held_against_nobody() {
    let mut recorder = before(NEW_ROOT, &["r1"]);
    // The other one went over somewhere between; nobody knows whether before this or after it.
    read(&mut recorder, 1, held("r1", "i1", &["r1", "r2"]));
    read(&mut recorder, 0, held("r2", "i2", &["r1", "r2"]));
    let found = judged(NEW_ROOT, &recorder, Expectation::Trusted);
    assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
}

#[test]
fn a_certificate_that_leads_nowhere_is_not_trusted_and_roots_that_nobody_tells_decide_nothing() {
    let mut recorder = before(DROP, &["r1"]);
    let unknown = recorder.clone();
    read(&mut recorder, 0, held("", "i1", &["r2"]));
    let found = judged(DROP, &recorder, Expectation::Trusted);
    assert_eq!(found.verdict, Verdict::Failed, "{found:#?}");

    let mut untold = Recorder::new(&sidecars());
    untold.step(0).write(&everybody());
    read(&mut untold, 0, held("", "i1", &[]));
    untold.step(1);
    let found = judged(DROP, &untold, Expectation::Trusted);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
    // Nobody was read since.
    let found = judged(DROP, &unknown, Expectation::Trusted);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
}

#[rstest]
#[case::same("r1", "i1", Verdict::Passed)]
#[case::other_root("r2", "i1", Verdict::Failed)]
#[case::other_issuer("r1", "i2", Verdict::Failed)]
#[case::none("", "i1", Verdict::Failed)]
fn all_lead_to_one_root_by_one_issuer(
    #[case] root: &str,
    #[case] issuer: &str,
    #[case] verdict: Verdict,
) {
    let mut recorder = before(DROP, &["r1"]);
    read(&mut recorder, 1, held(root, issuer, &["r1", "r2"]));
    let found = judged(DROP, &recorder, Expectation::SameRoot);
    assert_eq!(found.verdict, verdict, "{found:#?}");
}

/// Roots come by a secret of their own, which may be the later one.
#[test]
fn who_shows_no_roots_yet_does_not_tell_what_its_certificate_leads_to() {
    let mut recorder = before(DROP, &["r1"]);
    read(&mut recorder, 1, held("", "i1", &[]));
    read(&mut recorder, 1, held("r1", "i1", &["r1"]));
    let found = judged(DROP, &recorder, Expectation::SameRoot);
    assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
    let mut never = before(DROP, &[]);
    read(&mut never, 1, held("r1", "i1", &["r1"]));
    let found = judged(DROP, &never, Expectation::SameRoot);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
}

/// What is published in a cluster in the step of the rotation.
fn publish(recorder: &mut Recorder, cluster: &str, roots: Option<&[&str]>) {
    let own = |roots: &[&str]| roots.iter().map(|root| (*root).to_owned()).collect();
    recorder.push(EventKind::Published {
        cluster: cluster.to_owned(),
        namespace: "mesh".to_owned(),
        roots: roots.map(own),
    });
}

/// Both went over to `r2`, and trust it beside `r1`, as two readings of each tell.
fn gone_over() -> Recorder {
    let mut recorder = before(NEW_ROOT, &["r1"]);
    for place in [0, 1, 0, 1] {
        read(&mut recorder, place, held("r2", "i2", &["r1", "r2"]));
    }
    recorder
}

#[rstest]
#[case::what_sidecars_trust(Some(vec!["r1", "r2"]), Verdict::Passed, "")]
#[case::an_old_bundle(Some(vec!["r1"]), Verdict::Failed, "1 of 2 roots lacking, and 0 others")]
#[case::another_one(Some(vec!["r1", "r2", "r3"]), Verdict::Failed, "0 of 2 roots lacking, and 1 others")]
#[case::no_bundle(Some(vec![]), Verdict::Failed, "2 of 2 roots lacking")]
#[case::not_read(None, Verdict::Inconclusive, "could not be read")]
fn what_is_published_is_what_sidecars_trust(
    #[case] roots: Option<Vec<&str>>,
    #[case] verdict: Verdict,
    #[case] words: &str,
) {
    let mut recorder = gone_over();
    let untold = judged(NEW_ROOT, &recorder, Expectation::Trusted);
    assert_eq!(untold.verdict, Verdict::Passed, "{untold:#?}");
    publish(&mut recorder, "local", roots.as_deref());
    let found = judged(NEW_ROOT, &recorder, Expectation::Trusted);
    assert_eq!(found.verdict, verdict, "{found:#?}");
    if verdict == Verdict::Passed {
        assert_eq!(found.observations, untold.observations + 1);
        return;
    }
    let detail = &found.details[0];
    assert_eq!((&detail.sidecar, detail.step), (&None, Some(1)));
    let place = "the published bundle of namespace mesh in cluster local";
    assert!(detail.expected.starts_with(place), "{detail:?}");
    assert!(detail.observed.contains(words), "{detail:?}");
    // What sidecars trust later is not held against what was published then.
    for place in 0..2 {
        read(&mut recorder, place, held("r2", "i2", &["r2"]));
    }
    let found = judged(NEW_ROOT, &recorder, Expectation::Trusted);
    assert_eq!(found.verdict, verdict, "{found:#?}");
}

#[test]
fn what_is_published_is_judged_by_the_sidecars_of_its_cluster_that_tell_what_they_trust() {
    let judged = |recorder: &Recorder| judged(NEW_ROOT, recorder, Expectation::Trusted).verdict;
    let old: Option<&[&str]> = Some(&["r1"]);
    // Nobody is in that cluster.
    let mut elsewhere = gone_over();
    publish(&mut elsewhere, "other", old);
    assert_eq!(judged(&elsewhere), Verdict::Passed);
    // One of them lags, so nobody knows which of the two it would have to be.
    let mut lagging = before(NEW_ROOT, &["r1"]);
    read(&mut lagging, 0, held("r2", "i2", &["r1", "r2"]));
    publish(&mut lagging, "local", old);
    assert_eq!(judged(&lagging), Verdict::Inconclusive);
    // Neither of whom cannot be read, nor of whom waits or has no roots yet, is it known what it trusts.
    let silent = |silence: &dyn Fn(&mut Recorder)| {
        let mut recorder = gone_over();
        silence(&mut recorder);
        publish(&mut recorder, "local", old);
        judged(&recorder)
    };
    let both = |recorder: &mut Recorder, held: CertificateSeen| {
        for place in 0..2 {
            read(recorder, place, held.clone());
        }
    };
    assert_eq!(silent(&|_| {}), Verdict::Failed);
    let unreadable = silent(&|recorder| {
        for sidecar in sidecars() {
            recorder.unreadable(&sidecar.name);
        }
    });
    assert_eq!(unreadable, Verdict::Passed);
    let warming = CertificateSeen {
        warming: true,
        ..held("r2", "i2", &["r1", "r2"])
    };
    assert_eq!(
        silent(&|recorder| both(recorder, warming.clone())),
        Verdict::Passed
    );
    let rootless = held("r2", "i2", &[]);
    assert_eq!(
        silent(&|recorder| both(recorder, rootless.clone())),
        Verdict::Passed
    );
}

#[test]
fn who_is_to_have_no_certificate_does_not_tell_what_is_to_be_published() {
    let mut recorder = Recorder::new(&sidecars());
    recorder
        .step(0)
        .write(&configuration("scoped", vec![], "v1"));
    for place in 0..2 {
        read(&mut recorder, place, held("r1", "i1", &["r1"]));
    }
    recorder.step(1);
    publish(&mut recorder, "local", Some(&["r2"]));
    let when = vec![
        Act::Apply(configuration("scoped", vec![], "v1")),
        Act::Rotate(NEW_ROOT),
    ];
    let found = finding(&expecting(when, Expectation::Trusted), &recorder);
    assert_ne!(found.verdict, Verdict::Failed, "{found:#?}");
}
