//! Histories of handshakes past the caller's sidecar.

use super::requests::{expecting, finding};
use crate::expectation::Expectation;
use crate::handshake::{Alert, End, Handshake, Met, Server, Shown};
use crate::history::{Answerer, Arrival, EventKind};
use crate::scenario::Act;
use crate::testing::{Recorder, sidecar};
use crate::verdict::Verdict;
use rstest::rstest;

const CALLER: &str = "spiffe://mesh/sa/frontend";
const CALLEE: &str = "spiffe://mesh/sa/checkout";

fn judged(met: Option<Met>, expectation: Expectation) -> Verdict {
    let ends = [sidecar("frontend", 1, 1), sidecar("checkout", 1, 2)];
    let mut recorder = Recorder::new(&ends);
    recorder.step(0);
    if let Some(met) = met {
        recorder.push(EventKind::Handshook {
            handshake: "one".to_owned(),
            from: ends[0].name.clone(),
            to: ends[1].name.clone(),
            met: Box::new(met),
        });
    }
    let act = Act::Handshake(Handshake {
        name: "one".to_owned(),
        from: ends[0].name.clone(),
        to: ends[1].name.clone(),
        shows: Shown::Right,
    });
    finding(&expecting(vec![act], expectation), &recorder).verdict
}

fn met(end: End) -> Met {
    Met {
        shown: Some("0a1b".to_owned()),
        server: Some(Server {
            identities: vec![CALLEE.to_owned()],
            untrusted: None,
        }),
        end,
    }
}

fn over_tls(peer: Option<&str>, serial: Option<&str>) -> Option<Arrival> {
    Some(Arrival::Tls {
        version: "TLSv1.3".to_owned(),
        cipher: "any".to_owned(),
        peer: peer.map(str::to_owned),
        serial: serial.map(str::to_owned),
        outdated: false,
    })
}

/// An answer of `by` with this status, which came to it like this.
fn answer(status: u16, by: Option<&str>, arrived: Option<Arrival>) -> End {
    End::Answered {
        status,
        by: by.map(|pod| Answerer {
            pod: pod.to_owned(),
            application: "checkout".to_owned(),
            data_center: "zone1".to_owned(),
        }),
        arrived,
        passed_caller_sidecar: false,
    }
}

const POD: Option<&str> = Some("checkout-zone1-0");

fn right() -> Option<Arrival> {
    over_tls(Some(CALLER), Some("A1B"))
}

fn alert(code: u8) -> End {
    End::Alert {
        code,
        alert: Alert::of_code(code),
    }
}

fn closed() -> End {
    End::Closed {
        reason: "end of file".to_owned(),
    }
}

fn unanswered() -> End {
    End::Unanswered {
        reason: "nobody is there".to_owned(),
    }
}

#[rstest]
#[case::rightly(answer(200, POD, right()), Verdict::Passed)]
#[case::with_another_status(answer(403, POD, right()), Verdict::Failed)]
#[case::by_another(answer(200, Some("other"), right()), Verdict::Failed)]
#[case::by_nobody_known(answer(200, None, None), Verdict::Failed)]
#[case::in_plaintext(answer(200, POD, Some(Arrival::Plaintext)), Verdict::Failed)]
#[case::nobody_tells_how(answer(200, POD, None), Verdict::Inconclusive)]
#[case::taken_for_nobody(answer(200, POD, over_tls(None, None)), Verdict::Failed)]
#[case::taken_for_another(answer(200, POD, over_tls(Some(CALLEE), Some("a1b"))), Verdict::Failed)]
#[case::by_another_certificate(
    answer(200, POD, over_tls(Some(CALLER), Some("ff"))),
    Verdict::Failed
)]
#[case::refused(alert(116), Verdict::Failed)]
#[case::closed(closed(), Verdict::Failed)]
#[case::unanswered(unanswered(), Verdict::Inconclusive)]
fn an_answer_is_the_callees_to_the_certificate_that_was_shown(
    #[case] end: End,
    #[case] verdict: Verdict,
) {
    let expectation = Expectation::HandshakeAnswered {
        handshake: "one".to_owned(),
    };
    assert_eq!(judged(Some(met(end)), expectation), verdict);
}

#[test]
fn what_went_through_the_own_sidecar_shows_nothing_of_the_probes_certificate() {
    let expectation = Expectation::HandshakeAnswered {
        handshake: "one".to_owned(),
    };
    let mut end = answer(200, POD, right());
    if let End::Answered {
        passed_caller_sidecar,
        ..
    } = &mut end
    {
        *passed_caller_sidecar = true;
    }
    assert_eq!(judged(Some(met(end)), expectation), Verdict::Inconclusive);
}

fn refusal() -> Expectation {
    Expectation::HandshakeRefused {
        handshake: "one".to_owned(),
        with: Alert::UnknownCa,
    }
}

#[rstest]
#[case::so(alert(48), Verdict::Passed)]
#[case::for_another_cause(alert(42), Verdict::Failed)]
#[case::without_a_name(alert(1), Verdict::Failed)]
#[case::without_an_alert(closed(), Verdict::Failed)]
#[case::answered(answer(200, POD, right()), Verdict::Failed)]
#[case::unanswered(unanswered(), Verdict::Inconclusive)]
fn a_refusal_has_its_alert(#[case] end: End, #[case] verdict: Verdict) {
    assert_eq!(judged(Some(met(end)), refusal()), verdict);
}

#[rstest]
#[case::nobody(None, Verdict::Inconclusive)]
#[case::another(Some((&["spiffe://mesh/sa/inventory"][..], None)), Verdict::Failed)]
#[case::two(Some((&[CALLEE, CALLER][..], None)), Verdict::Failed)]
#[case::without_a_name(Some((&[][..], None)), Verdict::Failed)]
#[case::untrusted(Some((&[CALLEE][..], Some("UnknownIssuer"))), Verdict::Failed)]
fn nobody_refuses_in_the_callees_place(
    #[case] server: Option<(&[&str], Option<&str>)>,
    #[case] verdict: Verdict,
) {
    let met = Met {
        server: server.map(|(identities, untrusted)| Server {
            identities: identities.iter().map(|id| (*id).to_owned()).collect(),
            untrusted: untrusted.map(str::to_owned),
        }),
        ..met(alert(48))
    };
    assert_eq!(judged(Some(met), refusal()), verdict);
}

#[test]
fn what_was_not_made_shows_nothing() {
    assert_eq!(judged(None, refusal()), Verdict::Inconclusive);
}
