//! Histories of how sidecars are set up for TLS: what requests alone would not show.

use super::histories::{both, confined, delivered, inside, outside, who};
use crate::configuration::{Configuration, InboundTls, OutboundTls, Tls};
use crate::history::{CertificateSeen, Guard, Observation, TlsSeen};
use crate::scenario::Act;
use crate::testing::{Recorder, configuration, entry_zone, shows};
use crate::verdict::{Finding, Verdict};
use rstest::rstest;

fn strict_of_frontend() -> Configuration {
    Configuration {
        tls: Some(Tls {
            inbound: Some(InboundTls::Strict),
            outbound: None,
            allow: Some(vec!["frontend".to_owned()]),
        }),
        ..configuration("scoped", vec![entry_zone("zone1")], "v1")
    }
}

fn permissive() -> Configuration {
    Configuration {
        tls: Some(Tls {
            inbound: Some(InboundTls::Permissive),
            ..Tls::default()
        }),
        ..strict_of_frontend()
    }
}

fn guard(takes: InboundTls, allow: Option<&[&str]>) -> Guard {
    Guard {
        takes,
        allow: allow.map(|all| all.iter().map(|who| (*who).to_owned()).collect()),
    }
}

fn taking(guard: Guard) -> TlsSeen {
    TlsSeen {
        inbound: [guard].into(),
        outbound: [OutboundTls::Plaintext].into(),
        ..TlsSeen::default()
    }
}

fn right() -> TlsSeen {
    taking(guard(InboundTls::Strict, Some(&["frontend"])))
}

fn plain() -> TlsSeen {
    taking(Guard::default())
}

fn inside_with(tls: Option<TlsSeen>, marker: &str) -> Observation {
    Observation {
        tls,
        certificate: Some(CertificateSeen {
            identities: inside().identity.into_iter().collect(),
            ..CertificateSeen::default()
        }),
        ..shows(&inside(), "a", "v1", marker)
    }
}

fn outside_with(tls: Option<TlsSeen>, marker: &str) -> Observation {
    Observation {
        tls,
        ..shows(&outside(), "a", "", marker)
    }
}

/// A write in a step, settled and proven; the two sidecars are set up like this afterwards.
fn step(
    recorder: &mut Recorder,
    number: usize,
    written: &Configuration,
    tls: [Option<TlsSeen>; 2],
) {
    recorder.step(number).write(written);
    let [held, other] = tls;
    let marker = format!("m{number}");
    for marker in ["", &marker] {
        if !marker.is_empty() {
            recorder.marker(marker);
        }
        recorder.observe(inside_with(held.clone(), marker));
        recorder.observe(outside_with(other.clone(), marker));
    }
}

fn end(recorder: &mut Recorder, tls: [Option<TlsSeen>; 2]) {
    recorder.gave_up();
    recorder.finished().marker("end");
    let [held, other] = tls;
    recorder.observe(inside_with(held, "end"));
    recorder.observe(outside_with(other, "end"));
}

/// One apply; from then on the sidecar in scope and the other one are set up like this.
fn applied(held: TlsSeen, other: TlsSeen) -> Recorder {
    let mut recorder = Recorder::new(&both());
    let tls = [Some(held), Some(other)];
    step(&mut recorder, 0, &strict_of_frontend(), tls.clone());
    end(&mut recorder, tls);
    recorder
}

fn apply() -> Vec<Act> {
    vec![Act::Apply(strict_of_frontend())]
}

fn says(found: &Finding, words: &str) -> bool {
    found
        .details
        .iter()
        .any(|detail| detail.observed.contains(words))
}

#[test]
fn the_modes_of_the_configuration_are_right() {
    let recorder = applied(right(), plain());
    for found in [delivered(apply(), &recorder), confined(apply(), &recorder)] {
        assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
    }
}

#[rstest]
#[case::mode(taking(guard(InboundTls::Permissive, Some(&["frontend"]))), "inbound `permissive`")]
#[case::everybody(taking(guard(InboundTls::Strict, None)), "inbound `strict`")]
#[case::nobody(taking(guard(InboundTls::Strict, Some(&[]))), "of nobody")]
#[case::another(taking(guard(InboundTls::Strict, Some(&["inventory"]))), "of `inventory` only")]
#[case::outbound(TlsSeen { outbound: [OutboundTls::Strict].into(), ..right() }, "outbound `strict`")]
#[case::nothing(TlsSeen { inbound: [].into(), ..right() }, "nothing inbound")]
#[case::nothing_offered(TlsSeen { outbound: [].into(), ..right() }, "nothing outbound")]
fn whoever_is_in_scope_must_be_set_up_as_it_says(#[case] held: TlsSeen, #[case] words: &str) {
    let found = delivered(apply(), &applied(held, plain()));
    assert_eq!(found.verdict, Verdict::Failed, "{found:#?}");
    assert!(who(&found).iter().all(|who| *who == "checkout@zone1"));
    assert!(says(&found, words), "{found:#?}");
}

#[test]
fn a_way_around_the_list_is_found_beside_the_right_one() {
    let mut held = right();
    held.inbound.insert(guard(InboundTls::Strict, None));
    let found = delivered(apply(), &applied(held, plain()));
    assert_eq!(found.verdict, Verdict::Failed, "{found:#?}");
}

#[rstest]
#[case::list(taking(guard(InboundTls::Plaintext, Some(&["frontend"]))), "inbound `plaintext` of `frontend` only")]
#[case::mode(taking(guard(InboundTls::Strict, None)), "inbound `strict`")]
#[case::outbound(TlsSeen { outbound: [OutboundTls::Permissive].into(), ..plain() }, "outbound `permissive`")]
#[case::warming(
    TlsSeen { warming_inbound: right().inbound, ..plain() },
    "warming inbound `strict` of `frontend` only"
)]
#[case::warming_outbound(
    TlsSeen { warming_outbound: [OutboundTls::Strict].into(), ..plain() },
    "warming outbound `strict`"
)]
fn nobody_else_may_be_set_up_for_it_though_no_certificate_tells(
    #[case] leaked: TlsSeen,
    #[case] words: &str,
) {
    let found = confined(apply(), &applied(right(), leaked));
    assert_eq!(found.verdict, Verdict::Failed, "{found:#?}");
    assert!(who(&found).iter().all(|who| *who == "checkout@zone2"));
    assert!(says(&found, words), "{found:#?}");
}

#[test]
fn what_is_as_it_must_be_may_warm() {
    let held = TlsSeen {
        warming_inbound: right().inbound,
        warming_outbound: right().outbound,
        ..right()
    };
    let found = confined(apply(), &applied(held, plain()));
    assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
}

/// Where nothing is set up yet there is no leak, but no proof of absence either.
#[test]
fn a_sidecar_that_is_not_set_up_at_all_proves_nothing() {
    let found = confined(apply(), &applied(right(), TlsSeen::default()));
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
    assert!(says(&found, "(e)"), "{found:#?}");
}

/// Permissive becomes strict: neither a toggle, a rule nor a certificate changes.
fn tightened(before: Option<TlsSeen>, after: Option<TlsSeen>, others: Option<TlsSeen>) -> Recorder {
    let mut recorder = Recorder::new(&both());
    step(&mut recorder, 0, &permissive(), [before, others.clone()]);
    let after = [after, others];
    step(&mut recorder, 1, &strict_of_frontend(), after.clone());
    end(&mut recorder, after);
    recorder
}

fn tighten() -> Vec<Act> {
    vec![Act::Apply(permissive()), Act::Apply(strict_of_frontend())]
}

#[test]
fn a_change_of_the_mode_alone_is_delivered_and_witnessed() {
    let open = || Some(taking(guard(InboundTls::Permissive, None)));
    let recorder = tightened(open(), Some(right()), Some(plain()));
    for found in [
        delivered(tighten(), &recorder),
        confined(tighten(), &recorder),
    ] {
        assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
    }
    let kept = delivered(tighten(), &tightened(open(), open(), Some(plain())));
    assert_eq!(kept.verdict, Verdict::Failed, "{kept:#?}");
    assert!(says(&kept, "inbound `permissive`"), "{kept:#?}");
}

/// As histories were before readings told of modes: who shows nothing new is no witness of a change.
#[test]
fn where_readings_do_not_tell_a_change_of_the_mode_is_not_witnessed() {
    let recorder = tightened(None, None, None);
    let found = delivered(tighten(), &recorder);
    assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
    let found = confined(tighten(), &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
    assert!(says(&found, "(a)"), "{found:#?}");
}
